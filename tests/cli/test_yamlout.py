"""The YAML that `krm get -o yaml` prints reads back as what it was, and looks as kubectl's does."""

from __future__ import annotations

import random
from typing import Any

import pytest
from krm.cli.yamlout import to_yaml

PIECES = [
    *"a-?:#'\"{[&*!|>%@`,.~=_1\\é😀 \t\n\r\x1b\x85\u2028\ufeff",
    *("0x1", "true", "null", "yes", "2020-01-01", "12:30", "<<", "---", "1e3", ".inf", "0o7"),
]


def random_text(source: random.Random) -> str:
    return "".join(source.choice(PIECES) for _ in range(source.randrange(6)))


def random_value(source: random.Random, depth: int = 0) -> Any:
    kind = source.randrange(9)
    if depth > 3 or kind < 4:
        return random_text(source)
    if kind == 4:
        return source.choice([None, True, False, 0, -5, 1.5, 10**20])
    if kind < 7:
        return {random_text(source): random_value(source, depth + 1) for _ in range(source.randrange(4))}
    return [random_value(source, depth + 1) for _ in range(source.randrange(4))]


def test_whatever_is_written_reads_back_the_same() -> None:
    yaml = pytest.importorskip("yaml")
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    source = random.Random(seed)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for _ in range(4000):
        value = random_value(source)
        text = to_yaml(value)
        assert yaml.load(text, loader) == value, text


def test_layout_is_that_of_kubectl() -> None:
    pod = {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": "web-0", "annotations": {"a": "true", "b": "1", "c": "", "d": "x: y"}, "labels": {}},
        "spec": {"containers": [{"name": "c", "args": ["-c", "line one\nline two\n"], "ports": []}]},
        "status": None,
    }
    assert to_yaml(pod) == (
        "apiVersion: v1\n"
        "kind: Pod\n"
        "metadata:\n"
        "  annotations:\n"
        '    a: "true"\n'
        '    b: "1"\n'
        '    c: ""\n'
        "    d: 'x: y'\n"
        "  labels: {}\n"
        "  name: web-0\n"
        "spec:\n"
        "  containers:\n"
        "  - args:\n"
        "    - -c\n"
        "    - |\n"
        "      line one\n"
        "      line two\n"
        "    name: c\n"
        "    ports: []\n"
        "status: null\n"
    )


def test_a_lone_surrogate_does_not_stop_the_output() -> None:
    assert to_yaml({"a": "x\ud800"}).encode() == b'a: "x\\uFFFD"\n'
