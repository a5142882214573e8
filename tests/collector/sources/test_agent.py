"""A node agent's document: the example of docs/dev/agent-protocol.md is read as it is meant, and lies are not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import pytest
from krm.collector.facts import ContainerFacts, PodFacts, pod_facts
from krm.collector.source import NoData, Target
from krm.collector.sources import agent
from krm.collector.sources.agent import FIGURES, Agents, agent_targets, samples_of
from krm.collector.sources.annotated import Reach
from krm.model.measures import Sample, Subject
from krm.model.metrics import TABLE

PAGE = (Path(__file__).parents[3] / "docs" / "dev" / "agent-protocol.md").read_text(encoding="utf-8")
EXAMPLE = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0]
NOW = 1_800_000_001.0
UID, ID = "5f0c5e9c-6c8e-4a57-9d0e-2f6f6f3c1a11", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
WEB = Subject("shop", "web-0", UID, "web", "worker-1")


def pod(uid: str = UID, container: str = "web", container_id: str = ID) -> PodFacts:
    runs = (ContainerFacts(container, 1.0, container_id),)
    return PodFacts("shop", "web-0", uid, "worker-1", "10.1.2.3", False, False, runs, {}, True)


def read(change: Optional[Callable[[Dict[str, Any]], Any]] = None, *pods: PodFacts) -> List[Sample]:
    """Of the node and its containers, without what the runtime costs."""
    beside = ("runtime/", "overhead/")
    return [one for one in read_all(change, *pods) if not any(name.startswith(beside) for name in one.values)]


def read_all(change: Optional[Callable[[Dict[str, Any]], Any]] = None, *pods: PodFacts) -> List[Sample]:
    page = json.loads(EXAMPLE)
    if change is not None:
        change(page)
    return samples_of(json.dumps(page).encode(), "worker-1", pods or (pod(),), NOW)


def test_the_example_of_the_docs() -> None:
    node, web, runtime, shims, overhead = read_all()
    assert node == Sample(
        Subject(node="worker-1"), 1800000000.25, {
            "cpu/usage": 81234567890123, "memory/usage": 9126805504, "memory/working_set": 6442450944,
            "pids/usage": 812, "pids/limit": 32768,
            "pressure/memory_waiting_time": 1.2003, "pressure/memory_stalled_time": 0.9001,
            "uptime": 1000000250,
        }, "agent", 0.0, 1799000000.0,
    )  # fmt: skip
    used = {"runtime/cpu_usage": 1250000000, "runtime/memory": 11534336}
    assert runtime == Sample(Subject(node="worker-1"), 1799999998.75, used, "agent"), "as old as the processes"
    assert shims == runtime._replace(subject=Subject(node="worker-1", resource_id="containerd-shim"))
    beyond = {"overhead/cpu_usage": 1293210988, "overhead/memory": 12058624}
    assert overhead == Sample(WEB._replace(container=""), 1799999998.75, beyond, "agent")
    assert web == Sample(
        WEB, 1800000000.125, {
            "cpu/usage": 123456789012,
            "cpu/periods": 50000, "cpu/throttled_periods": 1250, "cpu/throttled_time": 7.5,
            "memory/usage": 104857600, "memory/working_set": 83886080, "memory/rss": 67108864,
            "memory/cache": 33554432, "memory/page_faults": 250000, "memory/major_page_faults": 12,
            "swap/usage": 0, "pids/usage": 17, "oom/kills": 1,
            "pressure/cpu_waiting_time": 2.5, "pressure/cpu_stalled_time": 0.5, "uptime": 10000125,
        }, "agent", 0.0, 1799990000.0,
    )  # fmt: skip


def test_what_the_runtime_costs_is_summed_over_parts_that_stay() -> None:
    """Of what runs for moments alone the sum would fall and rise; a part that is no part of a runtime is a lie."""

    def change(page: Dict[str, Any]) -> None:
        part = page["runtime"][0]
        page["runtime"] = [part, {**part, "part": "containerd", "cpu_ns": 1}, {**part, "part": "runc"}]
        page["runtime"] += [{**part, "part": "web"}, {**part, "part": "kubelet", "rss": None}, {"part": ["x"]}]

    found = {one.subject.resource_id: one.values for one in read_all(change) if "runtime/memory" in one.values}
    assert sorted(found) == ["", "containerd", "containerd-shim"]
    assert found[""] == {"runtime/cpu_usage": 1250000001, "runtime/memory": 2 * 11534336}


def test_what_has_no_moment_is_not_known() -> None:
    found = read_all(lambda page: page.update(processes_at=None))
    assert not [one for one in found if "runtime/memory" in one.values or "overhead/memory" in one.values]


def test_an_overhead_of_which_a_part_is_not_known_is_not_known() -> None:
    def change(page: Dict[str, Any]) -> None:
        page["overheads"][0]["memory"] = None
        page["overheads"].append({**page["overheads"][0], "pod_uid": "of-no-pod-here"})

    (found,) = [one for one in read_all(change) if "overhead/cpu_usage" in one.values]
    assert found.values == {"overhead/cpu_usage": 1293210988}


def test_every_figure_is_in_the_docs_and_its_metric_in_the_table() -> None:
    for figure, (metric, _) in FIGURES.items():
        named = figure if not figure.startswith(("memory_waiting", "memory_stalled", "io_")) else "cpu_waiting_us"
        assert f"`{named}`" in PAGE
        assert "agent" in TABLE[metric].sources, metric
    for sample in read_all():
        for metric in sample.values:
            assert "agent" in TABLE[metric].sources, metric
            assert sample.subject.level in TABLE[metric].levels


def test_whose_a_container_is_the_snapshots_say() -> None:
    def lie(page: Dict[str, Any]) -> None:
        page["containers"][0].update(namespace="bank", pod="vault-0", container="other", pod_uid="x")

    assert read(lie)[1].subject == WEB, "by its id"
    assert read(None, pod(container_id=""))[1].subject == WEB, "a status that has no id yet"
    assert read(None, pod(uid="mirror"))[1].subject == WEB._replace(uid="mirror"), "a static pod"
    assert len(read(lie, pod(container_id=""))) == 1
    assert len(read(None, pod("y", container_id="z"))) == 1, "of no pod of this node"


def test_a_container_stands_once() -> None:
    assert len(read(lambda page: page["containers"].extend(page["containers"]))) == 2

    def restarted(page: Dict[str, Any]) -> None:
        page["containers"].insert(0, {**page["containers"][0], "id": "gone", "cpu_usage_ns": 1})

    assert read(restarted)[1].values["cpu/usage"] == 123456789012, "the one whose id the status has"


@pytest.mark.parametrize("value", [None, "max", -1, True, [], {}, 1e300, 2**70])
def test_what_is_no_figure_is_not_known(value: Any) -> None:
    web = read(lambda page: page["containers"][0].update(memory_rss=value, started=value))[1]
    assert "memory/rss" not in web.values
    assert web.started is None
    assert "uptime" not in web.values
    assert web.values["memory/cache"] == 33554432


def test_a_container_whose_time_is_none_is_left_out() -> None:
    for value in (None, "x", -5, 0, NOW + 2 * 86400):
        assert len(read(lambda page, value=value: page["containers"][0].update(at=value))) == 1
    assert read(lambda page: page["containers"][0].pop("at"))[1].at == 1800000000.25


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "no JSON object"),
        (b"[]", "no JSON object"),
        (b"[" * 200_000, "no JSON object"),
        (b'{"version": NaN}', "no JSON object"),
        (b'{"version": 2}', "speaks version 2"),
        (b'{"version": "1"}', "speaks version '1'"),
        (b'{"version": 1, "node": "worker-2", "time": 1}', "that of node 'worker-2'"),
        (b'{"version": 1, "node": "worker-1"}', "no time"),
        (b'{"version": 1, "node": "worker-1", "time": 4e9}', "no time"),
        (b'{"version": 1, "node": "worker-1", "time": 1, "containers": 5}', "of nothing on this node"),
        (
            b'{"version": 1, "node": "worker-1", "time": 1, "containers": [%s{}]}' % (b"{}," * 4000),
            "4001 containers",
        ),
    ],
)
def test_a_document_of_no_use_is_no_data(raw: bytes, why: str) -> None:
    with pytest.raises(NoData, match=why) as caught:
        samples_of(raw, "worker-1", [pod()], NOW)
    assert len(str(caught.value)) < 150


def test_agents_are_krms_own_pods_and_nobody_elses() -> None:
    own = pod()._replace(namespace="krm", name="krm-agent-x", app="krm-agent")
    assert agent_targets([own, own._replace(namespace="evil"), own._replace(app="x")], "krm") == {
        "node worker-1": Target("node worker-1", "worker-1", "krm", "krm-agent-x", UID, "", "krm-agent")
    }


class Door:
    """Answers what it is told to, in place of the network."""

    def __init__(self) -> None:
        self.asked: List[Any] = []

    def get(self, url: str, server_name: str, timeout: float, most: int, gzip: bool) -> bytes:
        self.asked.append((url, server_name, timeout, most, gzip))
        return EXAMPLE.encode()


def test_an_agent_is_asked_at_its_own_address_by_its_name() -> None:
    own = pod("u-agent")._replace(namespace="krm", name="krm-agent-x", app="krm-agent", ip="10.7.7.7")
    door = Door()
    ask = Agents(door, lambda *_: own, lambda node: [pod()], frozenset, Reach())  # type: ignore[arg-type]
    (target,) = agent_targets([own], "krm").values()
    assert [one.subject for one in ask(target, NOW)][:2] == [Subject(node="worker-1"), WEB]
    assert door.asked == [("https://10.7.7.7:10260/v1/node", "krm-agent", agent.TIMEOUT, agent.MOST, True)]
    with pytest.raises(NoData, match="no such pod"):
        ask(target._replace(uid="another"), NOW)


def test_a_containers_id_comes_from_the_pods_status() -> None:
    status = {"name": "web", "state": {"running": {}}, "containerID": f"containerd://{ID}"}
    (found,) = pod_facts({"status": {"containerStatuses": [status]}}).containers
    assert found.id == ID
