"""An agent's processes and kills: the examples of docs/dev/agent-protocol.md are read as meant, lies are not."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import pytest
from krm.agent.documents import MAX_KILLS, MAX_PROCESSES
from krm.collector.facts import ContainerFacts, PodFacts, node_facts, pod_facts
from krm.collector.source import NoData, Target
from krm.collector.sources import agent_seen
from krm.collector.sources.agent import agent_targets
from krm.collector.sources.agent_seen import AgentPages, KillPage, ProcessPage, kills_of, processes_of
from krm.collector.sources.annotated import Reach
from krm.model.kills import CGROUP, CONTAINER_LIMIT, KERNEL_LOG, UNKNOWN, Kill, Moment
from krm.store.latest_seen import Running

TEXT = (Path(__file__).parents[3] / "docs" / "dev" / "agent-protocol.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
PROCESSES = next(one for one in EXAMPLES if '"processes": [' in one)
KILLS = next(one for one in EXAMPLES if '"kills": [' in one)
NOW = 1_800_000_001.0
UID, ID = "5f0c5e9c-6c8e-4a57-9d0e-2f6f6f3c1a11", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
Change = Optional[Callable[[Dict[str, Any]], Any]]


def pod(uid: str = UID, container_id: str = ID, former: str = "", **more: Any) -> PodFacts:
    runs = (ContainerFacts("web", 1.0, container_id, former),)
    return PodFacts("shop", "web-0", uid, "worker-1", "10.1.2.3", False, False, runs, {}, True, **more)


def processes(change: Change = None, *pods: PodFacts) -> ProcessPage:
    return processes_of(_changed(PROCESSES, change), "worker-1", pods or (pod(),), NOW)


def kills(change: Change = None, *pods: PodFacts) -> KillPage:
    return kills_of(_changed(KILLS, change), "worker-1", pods or (pod(),), NOW)


def _changed(example: str, change: Change) -> bytes:
    page = json.loads(example)
    if change is not None:
        change(page)
    return json.dumps(page).encode()


def test_the_examples_of_the_docs() -> None:
    assert processes() == ProcessPage(
        1800000000.0,
        (
            Running(
                4711, 99000050, 4690, "web", "S", 9, 67108864, 123450000000, 1799990000.5, None, None, 1, 2, 1000,
                "shop", "web-0", "web", ID, UID, is_init=True,
            ),
        ), 0, (),
    )  # fmt: skip
    limited = f"/kubepods/burstable/pod{UID}/{ID}"
    before = (Moment(1799999988.2, 250609664, 268435456, 0.31, 6442450944, 0.0),)
    kill = Kill(
        "worker-1/1799999990.2/4720", "worker-1", 1799999990.2, 1799999990.2, ID, UID, "shop", "web-0", "web", 4720,
        "worker", 260046848, CONTAINER_LIMIT, limited, 268435456, False, (KERNEL_LOG, CGROUP), before,
    )  # fmt: skip
    assert kills() == KillPage(1800000000.25, (kill,), 0, (), 1799900000.5)


def test_whose_they_are_the_snapshots_say() -> None:
    def lie(page: Dict[str, Any]) -> None:
        for row in page.get("processes") or page["kills"]:
            row.update(namespace="bank", pod="vault-0", container="vault", pod_uid="u-vault")

    for row in (processes(lie).processes[0], kills(lie).kills[0]):
        assert (row.namespace, row.pod, row.container) == ("shop", "web-0", "web"), "by its id"
    for read in (processes, kills):
        (row,) = read(lie, pod(container_id="another"))[1]
        assert (row.namespace, row.pod, row.container) == ("", "", ""), "of no pod that this node has"
        (row,) = read(None, pod(container_id="new", former=ID))[1]
        assert (row.namespace, row.pod, row.container) == ("shop", "web-0", "web"), "of the instance before"
        (row,) = read(None, pod("api-uid", "", static=UID))[1]
        assert (row.pod, row.container, row.pod_uid) == ("web-0", "web", "api-uid"), "of a static pod"


def test_a_pause_process_is_its_pods() -> None:
    def pause(page: Dict[str, Any]) -> None:
        page["processes"][0].update(container_id="sandbox", is_pause=True, container="")

    (row,) = processes(pause).processes
    assert (row.namespace, row.pod, row.container, row.is_pause) == ("shop", "web-0", "", True)


@pytest.mark.parametrize("field", ["pid", "started_ticks", "rss", "cpu_ns", "started"])
@pytest.mark.parametrize("value", [None, "7", -1, True, [], {}, 1e300, 2**70, 1.5])
def test_a_row_that_is_no_process_is_left_out_and_counted(field: str, value: Any) -> None:
    def worse(page: Dict[str, Any]) -> None:
        page["processes"].insert(0, {**page["processes"][0], "pid": 1, field: value})

    found = processes(worse)
    if field == "started" and value == 1.5:
        assert len(found.processes) == 2
    else:
        assert ([one.pid for one in found.processes], found.refused) == ([4711], 1)


@pytest.mark.parametrize(
    "change",
    [{"id": ""}, {"id": 5}, {"node": "worker-2"}, {"at": None}, {"at": NOW + 2 * 86400}, {"witnesses": None}],
)
def test_a_row_that_is_no_kill_of_this_node_is_left_out(change: Dict[str, Any]) -> None:
    found = kills(lambda page: page["kills"][0].update(change))
    assert (found.kills, found.refused) == ((), 1)


def test_what_is_not_known_stays_so() -> None:
    def less(page: Dict[str, Any]) -> None:
        page["kills"][0] = {
            "id": "x", "node": "worker-1", "at": 5.0, "after": 9.0, "witnesses": ["x", KERNEL_LOG], "scope": "all",
            "container_ended": 1, "before": [{"at": "x"}, 7, {"at": 4}],
        }  # fmt: skip

    (kill,) = kills(less).kills
    assert kill == Kill("x", "worker-1", 5.0, 5.0, scope=UNKNOWN, witnesses=(KERNEL_LOG,),
                        before=(Moment(4.0, None, None, None, None, None),))  # fmt: skip

    def bare(page: Dict[str, Any]) -> None:
        keep = ("pid", "started_ticks", "rss", "cpu_ns", "started")
        page["processes"][0] = {name: page["processes"][0][name] for name in keep}

    (process,) = processes(bare).processes
    assert (process.pid_inside, process.uid, process.pid_depth, process.name) == (None, None, 1, "")


def test_a_process_stands_once_and_texts_are_bounded() -> None:
    def long(page: Dict[str, Any]) -> None:
        page["processes"][0].update(name="x" * 10**6, command="y" * 10**6, container_id="z" * 10**6)
        page["processes"].append({**page["processes"][0], "rss": 1})
        page["missing"] = [{"what": f"w{number}", "why": "y" * 10**4} for number in range(1000)]

    found = processes(long)
    (row,) = found.processes
    assert (row.rss, found.refused) == (67108864, 1)
    assert max(map(len, map(str, row))) <= 4096
    assert len(found.missing) == agent_seen.MAX_MISSING
    assert max(len(why) for _, why in found.missing) <= 300


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"[]", "no JSON object"),
        (b'{"version": 1, "node": "worker-2", "time": 1}', "that of node 'worker-2'"),
        (b'{"version": 1, "node": "worker-1", "time": 1}', "has no (processes|kills)"),
        (b'{"version": 1, "node": "worker-1", "time": 1, "processes": {}, "kills": 5}', "has no (processes|kills)"),
        (
            b'{"version":1,"node":"worker-1","time":1,"processes":[%s0],"kills":[%s0]}'
            % (b"0," * 20000, b"0," * 1000),
            "tells of",
        ),
    ],
)
def test_a_document_of_no_use_is_no_data(body: bytes, why: str) -> None:
    for read in (processes_of, kills_of):
        with pytest.raises(NoData, match=why) as caught:
            read(body, "worker-1", [pod()], NOW)
        assert len(str(caught.value)) < 150


def test_as_many_are_read_as_an_agent_may_tell() -> None:
    assert (agent_seen.MAX_PROCESSES, agent_seen.MAX_TOLD_KILLS) == (MAX_PROCESSES, MAX_KILLS)


def test_made_up_documents_are_read_or_refused() -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    odd: List[Any] = [None, True, -1, 0, 2**63, 1e308, "", "x" * 5000, "\ud800", [], {}, [{}], [[]], {"at": 1}]
    for example, read in ((PROCESSES, processes_of), (KILLS, kills_of)):
        for _ in range(400):
            page = json.loads(example)
            row = (page.get("processes") or page["kills"])[0]
            for place in (page, row, (row.get("before") or [{}])[0]):
                if place and chance.random() < 0.6:
                    place[chance.choice(sorted(place))] = chance.choice(odd)
            try:
                found = read(json.dumps(page).encode(), "worker-1", [pod()], NOW)
            except NoData:
                continue
            assert len(found[1]) + found.refused <= 1 or found.refused >= 0


class Door:
    """Answers what it is told to, in place of the network."""

    def __init__(self) -> None:
        self.asked: List[Any] = []

    def get(self, url: str, server_name: str, timeout: float, most: int, gzip: bool) -> bytes:
        self.asked.append((url, server_name, timeout, most, gzip))
        return PROCESSES.encode()


def test_an_agent_is_asked_at_its_own_address_and_its_page_is_taken_once() -> None:
    own = pod("u-agent")._replace(namespace="krm", name="krm-agent-x", app="krm-agent", ip="10.7.7.7")
    door = Door()
    name, path = agent_seen.PROCESSES, agent_seen.PROCESSES_PATH
    pages: AgentPages[ProcessPage] = AgentPages(
        name, path, processes_of, door, lambda *_: own, lambda node: [pod()], frozenset, Reach()  # type: ignore[arg-type]
    )  # fmt: skip
    (target,) = agent_targets([own], "krm").values()
    assert pages(target, NOW) == []
    assert door.asked == [("https://10.7.7.7:10260/v1/processes", "krm-agent", 4.0, 16 * 1024 * 1024, True)]
    assert pages.came() == {"worker-1": processes()}
    assert pages.came() == {}
    with pytest.raises(NoData, match="no such pod"):
        pages(target._replace(uid="another"), NOW)
    assert target == Target("node worker-1", "worker-1", "krm", "krm-agent-x", "u-agent", "", "krm-agent")


def test_what_a_pods_status_says_of_its_containers_ends() -> None:
    times = {"startedAt": "2027-01-15T07:59:50Z", "finishedAt": "2027-01-15T08:00:00Z"}
    ended = {"reason": "OOMKilled", "exitCode": 137, "containerID": f"containerd://{ID}", **times}
    status = {
        "name": "web",
        "state": {"running": {}},
        "containerID": "containerd://new",
        "lastState": {"terminated": ended},
    }
    (found,) = pod_facts({"status": {"initContainerStatuses": [status]}}).containers
    assert (found.id, found.former) == ("new", ID)
    assert found.killed == ((ID, 1_800_000_000.0, 1_799_999_990.0, 137),)
    status["lastState"] = {"terminated": {**ended, "reason": "Error"}}
    (found,) = pod_facts({"status": {"containerStatuses": [status]}}).containers
    assert (found.former, found.killed) == (ID, ())
    status["state"] = {"terminated": {**ended, "finishedAt": "soon"}}
    (found,) = pod_facts({"status": {"containerStatuses": [status]}}).containers
    assert found.killed == ((ID, None, 1_799_999_990.0, 137),)
    mirror = {"metadata": {"annotations": {"kubernetes.io/config.mirror": "abc"}}}
    assert pod_facts(mirror).static == "abc"


@pytest.mark.parametrize(
    ("labels", "info", "why"),
    [
        ({}, {}, ""),
        ({"kubernetes.io/os": "linux", "type": "worker"}, {"operatingSystem": "linux"}, ""),
        ({"kubernetes.io/os": "windows"}, {}, "runs Windows"),
        ({"beta.kubernetes.io/os": "windows"}, {}, "runs Windows"),
        ({}, {"operatingSystem": "windows"}, "runs Windows"),
        ({"type": "virtual-kubelet", "kubernetes.io/os": "linux"}, {}, "virtual node"),
        ({"eks.amazonaws.com/compute-type": "fargate"}, {}, "Fargate"),
        ({"kubernetes.io/os": 5}, "x", ""),
    ],
)
def test_where_no_agent_can_run(labels: Dict[str, Any], info: Any, why: str) -> None:
    found = node_facts({"metadata": {"name": "n", "labels": labels}, "status": {"nodeInfo": info}}).no_agent
    assert why in found
    assert bool(why) == bool(found)
