"""What a kernel (Debian's 6.1, in tests/vm) wrote to its log as it killed: each kill is told once and whole."""

import json
from pathlib import Path
from typing import Any, Dict, List

import pytest
from krm.agent.oom.kmsg import record_of, scope_of
from krm.agent.oom.oom_lines import GLOBAL, Killed, OomLines
from krm.model.kills import ANCESTOR_LIMIT, CONTAINER_LIMIT, NODE_WIDE, POD_LIMIT

HERE = Path(__file__).resolve().parent / "recorded"
SCOPES = {"ancestor": ANCESTOR_LIMIT, "pod": POD_LIMIT, "node": NODE_WIDE}
KINDS = ("container", "child", "ancestor", "pod", "group", "hostile", "row", "removed", "nested", "below", "node")
LEAST = 20 * 1024 * 1024  # bytes that the one that took too much held, in each


def told(kind: str) -> Dict[str, Any]:
    done: Dict[str, Any] = json.loads((HERE / f"kmsg-6.1-{kind}.json").read_text())
    return done


def killed(kind: str) -> List[Killed]:
    lines, found = OomLines(), []
    for raw in (HERE / f"kmsg-6.1-{kind}.txt").read_bytes().splitlines():
        record = record_of(raw)
        assert record is not None, raw
        one = lines.line(record.us, record.text, record.goes_on)
        if one is not None:
            found.append(one)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_each_process_that_died_is_told_once(kind: str) -> None:
    """With memory.oom.group the kernel writes of the one that it chose twice: first, and among the others."""
    assert sorted(one.pid for one in killed(kind)) == told(kind)["pids"]


@pytest.mark.parametrize("kind", KINDS)
def test_its_cgroup_and_whose_limit_was_hit_are_as_they_were_made(kind: str) -> None:
    done = told(kind)
    for one in killed(kind):
        assert (one.cgroup, one.limited, one.limit) == (done["path"], done["limited"], done["limit"])
        assert scope_of(one) == SCOPES.get(kind, CONTAINER_LIMIT)
        assert (one.reason == GLOBAL) == (kind == "node")


@pytest.mark.parametrize("kind", KINDS)
def test_the_one_that_took_too_much_held_it(kind: str) -> None:
    assert max(one.rss for one in killed(kind)) > LEAST
