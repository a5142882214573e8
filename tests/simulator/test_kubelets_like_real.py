"""The pages of simulated kubelets against pages recorded from a real kubelet 1.36 with containerd (tests/node)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Set, Tuple

import pytest
from krm.simulator.kubelet_loads import MIB, Life, Load
from krm.simulator.kubelet_nodes import Container, Node, Pod
from krm.simulator.kubelet_serving import Kubelet
from simulator.kubelet_samples import CADVISOR, RESOURCE, SUMMARY, T0, Clock

RECORDED = Path(__file__).resolve().parents[1] / "node" / "recorded"
_LABEL, _STAMPED = re.compile('([a-z_]+)="'), re.compile(r" [0-9]{13}$")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?(e[+-][0-9]{2})?")


class Shape(NamedTuple):
    """All of a family but its numbers."""

    help: str
    kind: str
    labels: Set[Tuple[str, ...]]
    stamped: Set[bool]


def shapes(page: str) -> Dict[str, Shape]:
    found: Dict[str, Shape] = {}
    text = ""
    for line in page.splitlines():
        if line.startswith("# HELP"):
            text = line.split(" ", 3)[3]
        elif line.startswith("# TYPE"):
            name, kind = line.split()[2:]
            found[name] = Shape(text, kind, set(), set())
        else:
            shape = found[re.split("[{ ]", line, maxsplit=1)[0]]
            shape.labels.add(tuple(_LABEL.findall(line)))
            shape.stamped.add(bool(_STAMPED.search(line)))
    return found


@pytest.fixture
def simulated() -> Kubelet:
    """As the recorded one: a pod of two containers, of which one has a limit of CPU."""
    capped = Container("capped", Life(T0, Load(cpu=200.0)), cpu_limit=200.0, memory_limit=128 * MIB)
    holding = Container("holding", Life(T0, Load(cpu=1.0, memory=64.0 * MIB)), memory_limit=128 * MIB)
    clock = Clock()
    clock.now = T0 + 60.0
    return Kubelet(Node("real", [Pod("default", "busy", [capped, holding])], systemd=False), clock)


@pytest.mark.parametrize(("path", "name"), [(RESOURCE, "resource.txt"), (CADVISOR, "cadvisor.txt")])
def test_each_family_is_as_the_real_one(simulated: Kubelet, path: str, name: str) -> None:
    real, mine = shapes((RECORDED / name).read_text()), shapes(simulated.page(path).decode())
    assert len(real) >= 12
    assert {family: mine.get(family) for family in real} == real


def test_the_resource_page_has_nothing_more(simulated: Kubelet) -> None:
    """The recorded page of cAdvisor is shortened, and cgroup v1 has no pressure: there it may."""
    assert set(shapes(simulated.page(RESOURCE).decode())) == set(shapes((RECORDED / "resource.txt").read_text()))


def test_numbers_are_written_alike(simulated: Kubelet) -> None:
    for page in (simulated.page(CADVISOR).decode(), (RECORDED / "cadvisor.txt").read_text()):
        for line in page.splitlines():
            if not line.startswith("#"):
                value = _STAMPED.sub("", line).rpartition(" ")[2]
                assert value == "-1" or _NUMBER.fullmatch(value), line
                assert ("e" in value) == (float(value) >= 1e6 or 0 < float(value) < 1e-4), line


def test_the_same_cgroups_are_told_of(simulated: Kubelet) -> None:
    """Those of the node and the pod; the recorded node has a class of pods more, and a cgroup of its own above."""

    def ids(page: str) -> List[str]:
        lines = [line for line in page.splitlines() if line.startswith("container_start_time_seconds{")]
        found = [re.sub("[0-9a-f]{64}", "ID", line.split('id="')[1].split('"')[0]) for line in lines]
        short = [re.sub("pod[0-9a-f-]{36}", "podUID", each.replace("/krm-test-node", "")) for each in found]
        return sorted(each for each in short if "besteffort" not in each)

    assert ids(simulated.page(CADVISOR).decode()) == ids((RECORDED / "cadvisor.txt").read_text())


def test_the_summary_has_every_member_of_the_real_one_in_its_order(simulated: Kubelet) -> None:
    real, mine = json.loads((RECORDED / "summary.json").read_text()), json.loads(simulated.page(SUMMARY))
    assert members(mine) == members(real)


def members(value: Any, path: str = "") -> Dict[str, object]:
    """Each object's members in order, each leaf's type; of a list all that its elements have."""
    found: Dict[str, object] = {}
    if isinstance(value, dict):
        found[path] = list(value)
        for name, inner in value.items():
            found.update(members(inner, "%s.%s" % (path, name)))
    elif isinstance(value, list):
        for inner in value:
            found.update(members(inner, path + "[]"))
    else:
        found[path] = str if isinstance(value, str) else float
    return found
