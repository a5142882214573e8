"""Pages of a real kubelet 1.36 (tests/node/recorded): three readers of one moment tell the same of a container.

A pod `busy`: `capped` wants a core and may have 0.2, `holding` keeps 64 MiB. In the pages named
`-restarted` the first was killed half a minute before.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Tuple

import pytest
from krm.collector.source import Target
from krm.collector.sources import cadvisor, resource, summary
from krm.model.measures import Sample

RECORDED = Path(__file__).resolve().parents[2] / "node" / "recorded"
TARGET = Target("node real", node="real")
HELD = 64 * 1024 * 1024
_STAMP = re.compile(rb" (1[0-9]{12})$", re.MULTILINE)  # milliseconds since the epoch


class Reader(NamedTuple):
    """A page and who reads it."""

    stem: str
    suffix: str
    read: Callable[[bytes, Target, float], List[Sample]]


READERS = {
    "resource": Reader("resource", "txt", resource.samples_of),
    "cadvisor": Reader("cadvisor", "txt", cadvisor.samples_of),
    "summary": Reader("summary", "json", summary.samples_of),
}


def now(addition: str) -> float:
    """When the pages were recorded: the newest time in one of them."""
    stamps = _STAMP.findall((RECORDED / f"resource{addition}.txt").read_bytes())
    return max(int(stamp) for stamp in stamps) / 1000


def containers(name: str, addition: str = "") -> Dict[str, Sample]:
    """Container -> what this reader tells of it as a whole."""
    reader = READERS[name]
    page = (RECORDED / f"{reader.stem}{addition}.{reader.suffix}").read_bytes()
    samples = reader.read(page, TARGET, now(addition))
    return {s.subject.container: s for s in samples if s.subject.container and not s.subject.resource_id}


@pytest.mark.parametrize("addition", ["", "-restarted"])
def test_all_three_tell_the_same(addition: str) -> None:
    told = {name: containers(name, addition) for name in READERS}
    for container in ("capped", "holding"):
        samples = [found[container] for found in told.values()]
        assert {sample.subject._replace(uid="") for sample in samples} == {samples[0].subject._replace(uid="")}
        for metric in ("cpu/usage", "memory/working_set", "swap/usage"):
            assert len({float(sample.values[metric]) for sample in samples}) == 1, metric
        # The summary rounds times down to seconds, /metrics/cadvisor starts.
        assert [sample.at for sample in samples] == pytest.approx([samples[0].at] * 3, abs=1.0)
        starts = [sample.started for sample in samples]
        assert starts == pytest.approx([starts[0]] * 3, abs=1.0)


@pytest.mark.parametrize("name", READERS)
def test_the_loads_are_seen_as_they_are(name: str) -> None:
    told = containers(name)
    capped = told["capped"]
    assert capped.started is not None
    assert float(capped.values["cpu/usage"]) / 1e9 / (capped.at - capped.started) == pytest.approx(0.2, rel=0.05)
    assert HELD < told["holding"].values["memory/working_set"] < HELD * 1.05


@pytest.mark.parametrize("name", READERS)
def test_a_restart_is_a_new_start_and_touches_its_container_alone(name: str) -> None:
    before, after = (_starts(containers(name, addition)) for addition in ("", "-restarted"))
    assert after["capped"][0] > before["capped"][0] + 30
    assert after["capped"][1] < before["capped"][1]
    assert after["holding"] == before["holding"]


def _starts(told: Dict[str, Sample]) -> Dict[str, Tuple[float, float]]:
    """Container -> when it began, and CPU nanoseconds since."""
    found = {}
    for name, sample in told.items():
        assert sample.started is not None
        found[name] = (sample.started, float(sample.values["cpu/usage"]))
    return found
