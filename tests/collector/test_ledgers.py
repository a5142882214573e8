"""OOM kills cluster-wide: one event a kill, whoever saw it, with an agent on its node or without."""

from __future__ import annotations

from typing import List, Optional

from krm.collector.facts import PodFacts, pod_facts
from krm.collector.ledgers import Ledgers
from krm.collector.processes import LONGEST_WINDOW, STANDS_STILL
from krm.collector.sources.agent_seen import KillPage
from krm.model.kills import CGROUP, CONTAINER_LIMIT, KERNEL_LOG, KUBELET, STATUS, Kill
from krm.model.measures import Sample, Subject
from krm.store.latest_seen import GONE, NO_AGENT, READ, SILENT, ledger_of, unpack_kills

NOW = 1_800_000_000.0
AT = NOW - 30
WEB = Subject("shop", "web-0", "u1", "web", "n1")
KILL = Kill("n1/7", "n1", AT, AT, "9f86", "u1", "shop", "web-0", "web", 4720, "worker", 2**28, CONTAINER_LIMIT,
            "/kubepods", 2**28, True, (KERNEL_LOG, CGROUP))  # fmt: skip
STANDING = {"n1": (READ, "not yet"), "n2": (NO_AGENT, "it runs Windows")}


def told(ledgers: Ledgers, node: str = "n1") -> List[Kill]:
    ledgers.turn(STANDING, 9.0, NOW)
    return list(unpack_kills(node, ledgers.packed[node]).kills)


def page(*kills: Kill, since: Optional[float] = None) -> KillPage:
    return KillPage(NOW, kills, 0, (("kernel log", "it is not readable"),), since)


def counter(value: float, at: float, started: Optional[float] = 1.0, subject: Subject = WEB) -> List[Sample]:
    return [Sample(subject, at, {"oom/kills": value, "memory/rss": 1.0}, "kubelet/cadvisor", 0.0, started)]


def pod(finished: str, phase: str = "Running", node: str = "n1", code: int = 137) -> PodFacts:
    terminated = {"reason": "OOMKilled", "exitCode": code, "startedAt": STARTED, "finishedAt": finished}
    ended = {"terminated": {**terminated, "containerID": "containerd://9f86"}}
    return pod_facts(
        {
            "metadata": {"namespace": "shop", "name": "web-0", "uid": "u1"},
            "spec": {"nodeName": node},
            "status": {"phase": phase, "containerStatuses": [{"name": "web", "lastState": ended, "state": {}}]},
        }
    )


FINISHED = "2027-01-15T07:59:30Z"  # AT
STARTED = "2027-01-15T07:50:00Z"


def test_a_container_that_ended_by_itself_had_a_kill_at_some_time_and_did_not_end_by_it() -> None:
    """Runtimes say OOMKilled, too, where a child was killed: the exit code tells."""
    ledgers = Ledgers()
    ledgers.statuses([pod(FINISHED, code=0)], NOW)
    (kill,) = told(ledgers)
    assert kill.container_ended is None
    assert kill.after == AT - 570, "its start"


def test_where_an_agent_saw_no_kill_a_status_alone_tells_of_none() -> None:
    """A runtime says so of a container that ended after a kill elsewhere below one limit (version 1)."""
    ledgers = Ledgers()
    ledgers.statuses([pod(FINISHED)], NOW)
    ledgers.agent("n1", page(since=AT + 1), NOW)
    assert len(told(ledgers)) == 1, "it began to look after the container had ended"
    ledgers.agent("n1", page(since=AT - 60), NOW)
    assert told(ledgers) == []
    other = WEB._replace(container="other")
    ledgers.counters("n1", counter(0, AT, subject=other), NOW)
    ledgers.counters("n1", counter(1, NOW, subject=other), NOW)
    assert [kill.container for kill in told(ledgers)] == ["other"], "and what is told later brings it not back"


def test_agent_kubelet_and_status_are_one_event_in_any_order() -> None:
    def agent(ledgers: Ledgers) -> None:
        ledgers.agent("n1", page(KILL), NOW)

    def kubelet(ledgers: Ledgers) -> None:
        ledgers.counters("n1", counter(0, AT - 10), NOW)
        ledgers.counters("n1", counter(1, AT + 5), NOW)

    def status(ledgers: Ledgers) -> None:
        ledgers.statuses([pod(FINISHED)], NOW)

    for order in ((agent, kubelet, status), (status, kubelet, agent), (kubelet, agent, status)):
        ledgers = Ledgers()
        for tell in order * 2:
            tell(ledgers)
        (kill,) = told(ledgers)
        assert kill.witnesses == (KERNEL_LOG, CGROUP, KUBELET, STATUS)
        assert (kill.namespace, kill.pod, kill.container, kill.process) == ("shop", "web-0", "web", "worker")
        assert kill.container_ended is True
        assert kill.at == AT


def test_of_a_pod_with_a_runtime_of_its_own_the_status_is_taken_at_its_word() -> None:
    """Kata: a kernel of the pod's own did it, and the agent that misses no kill of the node's saw none."""
    for runtime, known in (("", 0), ("kata", 1)):
        ledgers = Ledgers()
        ledgers.statuses([pod(FINISHED)._replace(runtime=runtime)], NOW)
        ledgers.agent("n1", page()._replace(since=NOW - 1000), NOW)
        assert len(told(ledgers)) == known


def test_an_agent_whose_turns_hang_is_silent() -> None:
    ledgers = Ledgers()
    for seconds in range(0, 320, 4):
        ledgers.agent("n1", page(KILL), NOW + seconds)
        ledgers.turn(STANDING, 9.0, NOW + seconds)
        found = unpack_kills("n1", ledgers.packed["n1"])
        assert found.state == (READ if seconds <= LONGEST_WINDOW else SILENT)
    assert (found.why, len(found.kills)) == (STANDS_STILL, 1)


def test_without_an_agent_a_kill_says_who_saw_it() -> None:
    ledgers = Ledgers()
    ledgers.statuses([pod(FINISHED, node="n2", phase="Failed")], NOW)
    (kill,) = told(ledgers, "n2")
    assert (kill.witnesses, kill.container_id, kill.container_ended) == ((STATUS,), "9f86", True)
    state = unpack_kills("n2", ledgers.packed["n2"])
    assert (state.state, state.why) == (NO_AGENT, "it runs Windows")


def test_a_counter_counts_from_the_look_before_and_not_from_what_it_found() -> None:
    ledgers = Ledgers()
    ledgers.counters("n1", counter(5, AT - 30), NOW)
    assert told(ledgers) == [], "kills of nobody knows when"
    ledgers.counters("n1", counter(7, AT - 15), NOW)
    assert [(kill.after, kill.at, kill.witnesses) for kill in told(ledgers)] == [(AT - 30, AT - 15, (KUBELET,))] * 2
    ledgers.counters("n1", counter(1, AT - 5), NOW)
    assert len(told(ledgers)) == 2, "its kubelet was restarted"
    ledgers.counters("n1", counter(1, AT + 5, started=AT), NOW)
    assert told(ledgers)[-1][2:4] == (AT + 5, AT), "a container that began since, and was killed at once"
    ledgers.counters("n1", [], NOW)
    ledgers.counters("n1", counter(9, NOW, started=2.0), NOW)
    assert len(told(ledgers)) == 3, "an older container that is seen for the first time"


def test_two_containers_of_a_pod_at_one_moment_are_two_kills() -> None:
    ledgers = Ledgers()
    for value in (0, 1):
        both = [*counter(value, AT + value), *counter(value, AT + value, subject=WEB._replace(container="side"))]
        ledgers.counters("n1", both, NOW)
    assert sorted(kill.container for kill in told(ledgers)) == ["side", "web"]


def test_an_agent_speaks_of_its_own_node_alone() -> None:
    ledgers = Ledgers()
    ledgers.agent("n1", page(KILL), NOW)
    ledgers.agent("n2", page(KILL._replace(node="n2", at=AT + 1, after=AT + 1)), NOW)
    assert [kill.at for kill in told(ledgers)] == [AT]
    assert [kill.at for kill in told(ledgers, "n2")] == [AT + 1]


def test_what_its_agent_cannot_see_is_told_while_it_answers_and_why_it_is_silent() -> None:
    ledgers = Ledgers()
    ledgers.agent("n1", page(KILL), NOW)
    ledgers.turn(STANDING, 9.0, NOW + 5)
    state = unpack_kills("n1", ledgers.packed["n1"])
    assert (state.state, state.missing) == (READ, (("kernel log", "it is not readable"),))
    ledgers.turn({"n1": (SILENT, "it does not answer")}, 9.0, NOW + 20)
    state = unpack_kills("n1", ledgers.packed["n1"])
    assert (state.state, state.why, state.missing) == (SILENT, "it does not answer", ())
    assert len(state.kills) == 1
    ledgers.turn({}, 9.0, NOW + 30)
    assert unpack_kills("n1", ledgers.packed["n1"]).state == GONE
    ledgers.turn({}, 9.0, NOW + 25 * 3600)
    assert ledgers.packed == {}, "a day after"


def test_the_next_collector_goes_on_with_what_this_one_left() -> None:
    first, second = Ledgers(), Ledgers()
    first.counters("n1", counter(0, AT - 10), NOW)
    first.counters("n1", counter(1, AT + 5), NOW)
    first.agent("n1", page(KILL), NOW)
    left = told(first)
    second.restore("n1", ledger_of(unpack_kills("n1", first.packed["n1"])))
    second.agent("n1", page(KILL), NOW)
    second.statuses([pod(FINISHED)], NOW)
    (kill,) = told(second)
    assert kill.id == left[0].id
    assert kill.witnesses == (KERNEL_LOG, CGROUP, KUBELET, STATUS)


def test_what_did_not_change_is_not_packed_again() -> None:
    ledgers = Ledgers()
    ledgers.agent("n1", page(KILL), NOW)
    told(ledgers)
    packed = ledgers.packed["n1"]
    ledgers.agent("n1", page(KILL), NOW)
    told(ledgers)
    assert ledgers.packed["n1"] is packed
