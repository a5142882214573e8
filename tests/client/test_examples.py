"""The examples of docs/client.md that read from Redis run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from kept_cluster import KeptCluster, pod

_PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "client.md"
_SECTIONS = [text.partition("\n")[::2] for text in _PAGE.read_text(encoding="utf-8").split("\n## ")[1:]]
_EXAMPLE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXAMPLES = {title: code for title, text in _SECTIONS for code in _EXAMPLE.findall(text)}


@pytest.mark.parametrize("title", ["Read", "Watch", "The past"])
def test_an_example_runs_as_it_stands(
    kept: KeptCluster, title: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pods = kept.kind("pods", {"a/x": pod(app="web")})
    for _ in range(3):
        token = pods.publish(("a/x", pod(app="web")))
    pods.writer.trim(None, int(token.rpartition(":")[2]))  # the past is shorter than the changes, as it often is
    monkeypatch.setenv("KRM_REDIS", kept.url)
    monkeypatch.delenv("KRM_CLUSTER", raising=False)
    code = EXAMPLES[title].replace("timeout=5", "timeout=0.2")
    exec(compile(code, f"client.md, {title}", "exec"), {})
    assert "a x" in capsys.readouterr().out.replace("/", " ") or title == "Watch"
