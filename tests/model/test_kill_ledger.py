"""One event a kill: the laws of the ledger, against a naive twin and over random kills and their witnesses."""

from __future__ import annotations

import random
import time
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from krm.model import kill_ledger
from krm.model.kill_ledger import SLACK, Ledger
from krm.model.kills import (
    ANCESTOR_LIMIT,
    CGROUP,
    CONTAINER_LIMIT,
    CRI,
    DOCKER,
    KERNEL_LOG,
    KUBELET,
    NODE_WIDE,
    STATUS,
    Evidence,
    Kill,
    Moment,
)

NOW = 2_000_000.0
A, B = "a" * 64, "b" * 64
TURN = 10.0


def log(at: float, pid: int, container: str = A, **more: object) -> Evidence:
    cgroup = f"/kubepods/pod1/{container}" if container else ""
    said = Evidence(KERNEL_LOG, "n1", at, at, container_id=container, cgroup=cgroup, pid=pid, process="eater")
    return said._replace(key=f"boot.{pid}", **more)


def counter(at: float, kills: int = 1, container: str = A, after: Optional[float] = None) -> Evidence:
    return Evidence(CGROUP, "n1", at, at - TURN if after is None else after, kills, container_id=container)


def ended(witness: str, at: float, container: str = A, after: Optional[float] = None) -> Evidence:
    return Evidence(witness, "n1", at, at if after is None else after, container_id=container, container_ended=True)


def kills(*told: Evidence) -> Tuple[Kill, ...]:
    return Ledger().add(told, NOW).kills


# What a person is told


def test_a_kill_that_all_witnesses_saw_is_one() -> None:
    at = NOW - 100
    (kill,) = kills(
        log(at, 7, scope=CONTAINER_LIMIT, limited="/kubepods/pod1/a", limit=64 << 20, rss=60 << 20),
        counter(at + 4),
        Evidence(KUBELET, "n1", at + 20, at - 10, container_id=A),
        ended(CRI, at + 0.2),
        ended(DOCKER, at + 0.2),
        ended(STATUS, at - 0.5)._replace(namespace="shop", pod="web-0", container="web"),
    )
    assert kill.witnesses == (KERNEL_LOG, CGROUP, KUBELET, STATUS, CRI, DOCKER)
    assert (kill.at, kill.pid, kill.process, kill.scope, kill.limit) == (at, 7, "eater", CONTAINER_LIMIT, 64 << 20)
    assert (kill.namespace, kill.pod, kill.container, kill.container_ended) == ("shop", "web-0", "web", True)


def test_a_childs_kill_did_not_end_the_container_that_a_status_says_ended_of_it_later() -> None:
    """containerd says OOMKilled of a container in which a child was killed, whenever it ends."""
    child = NOW - 5000
    (kill,) = kills(log(child, 7), counter(child + 4), ended(STATUS, NOW - 60, after=NOW - 9000))
    assert kill.container_ended is None
    assert STATUS in kill.witnesses
    (kill,) = kills(counter(child + 4), ended(STATUS, NOW - 60, after=NOW - 9000))
    assert kill.container_ended is None


@pytest.mark.parametrize("seen", [log(NOW - 5000, 7), counter(NOW - 5000)])
def test_a_container_that_was_ended_by_sigkill_long_after_its_child_was_is_no_second_kill(seen: Evidence) -> None:
    """A runtime says OOMKilled then, too. Were there a second kill, the node's counter had seen it."""
    (kill,) = kills(seen, ended(STATUS, NOW - 60))
    assert kill.container_ended is None
    of_node = Evidence(CGROUP, "n1", NOW - 55, NOW - 65)
    assert [kill.container_ended for kill in kills(seen, ended(STATUS, NOW - 60), of_node)] == [None, True]


def test_where_no_kill_can_be_missed_a_container_that_ended_of_none_was_not_killed() -> None:
    """Version 1 tells all containers below a limit that it was hit: containerd says OOMKilled of each that ends."""
    watched = Ledger(watched=NOW - 1000)
    innocent = ended(STATUS, NOW - 60, B, after=NOW - 900)
    of_parent = log(NOW - 500, 7, scope=ANCESTOR_LIMIT, limited="/kubepods")
    assert [kill.container_id for kill in watched.add([innocent, of_parent], NOW).kills] == [A]
    # Of a child's that was before nobody knows.
    before = innocent._replace(after=NOW - 2000, container_ended=None)
    assert len(watched.add([before, of_parent], NOW).kills) == 2
    assert len(Ledger().add([innocent, of_parent], NOW).kills) == 2


def test_the_counters_of_a_container_its_pod_and_the_node_count_the_same() -> None:
    own = counter(NOW - 45)._replace(pod_uid="p1")
    of_pod = Evidence(CGROUP, "n1", NOW - 45, NOW - 55, 2, pod_uid="p1", cgroup="/kubepods/podp1")
    of_node = Evidence(CGROUP, "n1", NOW - 44, NOW - 54, 4)
    found = kills(own, of_pod, of_node, log(NOW - 50, 7, "", cgroup="/system.slice/db.service"))
    assert sorted((kill.container_id, kill.pod_uid, kill.pid or 0) for kill in found) == [
        ("", "", 0), ("", "", 7), ("", "p1", 0), (A, "p1", 0),
    ]  # fmt: skip


def test_a_child_and_then_the_container_are_two() -> None:
    first, second = kills(log(NOW - 50, 7), log(NOW - 45, 8), counter(NOW - 41, 2), ended(STATUS, NOW - 44.9))
    assert (first.pid, first.container_ended) == (7, None)
    assert (second.pid, second.container_ended) == (8, True)


def test_what_a_turn_later_says_that_the_container_goes_on_holds_until_a_status_says_otherwise() -> None:
    goes_on = counter(NOW - 40)._replace(container_ended=False)
    ledger = Ledger().add([counter(NOW - 40)], NOW).add([goes_on], NOW)
    assert [kill.container_ended for kill in ledger.kills] == [False]
    assert [kill.container_ended for kill in ledger.add([ended(STATUS, NOW - 39)], NOW).kills] == [True]


def test_a_kill_under_an_ancestors_limit_is_of_the_container_that_lost_the_process() -> None:
    (kill,) = kills(log(NOW - 50, 7, scope=ANCESTOR_LIMIT, limited="/kubepods"), counter(NOW - 45))
    assert (kill.scope, kill.limited, kill.container_id) == (ANCESTOR_LIMIT, "/kubepods", A)


def test_a_host_process_has_no_container_and_is_no_containers_kill() -> None:
    host = log(NOW - 50, 7, "", cgroup="/system.slice/db.service", scope=NODE_WIDE)
    of_node = Evidence(CGROUP, "n1", NOW - 45, NOW - 55)
    assert [(kill.container_id, kill.witnesses) for kill in kills(host, of_node)] == [("", (KERNEL_LOG, CGROUP))]
    assert len(kills(host, counter(NOW - 45), ended(STATUS, NOW - 50))) == 2


def test_a_pods_counter_tells_of_a_container_that_is_gone() -> None:
    """Version 2: what a pod's counter has over its containers' is of one that vanished."""
    of_pod = Evidence(CGROUP, "n1", NOW - 45, NOW - 55, pod_uid="p1", cgroup="/kubepods/podp1")
    (kill,) = kills(of_pod, ended(STATUS, NOW - 50)._replace(pod_uid="p1"))
    assert (kill.container_id, kill.container_ended) == (A, True)


def test_a_line_of_the_log_without_a_cgroup_leaves_the_known_ones_to_their_containers() -> None:
    """A kernel that has much to tell leaves out where the process was."""
    found = kills(log(NOW - 50, 7, ""), log(NOW - 49, 8, A), counter(NOW - 45), counter(NOW - 45, 1, B))
    assert [(kill.pid, kill.container_id) for kill in found] == [(7, B), (8, A)]


def test_what_is_paired_is_the_nearest() -> None:
    """The log lost the first: the second is not put at its time."""
    found = kills(log(NOW - 48, 8), counter(NOW - 50), counter(NOW - 40))
    assert [(kill.after, kill.pid) for kill in found] == [(NOW - 60, None), (NOW - 48, 8)]
    # One step brings the next.
    found = kills(log(NOW - 49, 8), log(NOW - 39, 9), counter(NOW - 50), counter(NOW - 40), counter(NOW - 30))
    assert [(kill.after, kill.pid) for kill in found] == [(NOW - 60, None), (NOW - 49, 8), (NOW - 39, 9)]


def test_an_agents_kills_are_each_one_and_its_newest_word_holds() -> None:
    agent = Ledger().add([log(NOW - 50, 7), log(NOW - 49.5, 8)], NOW)
    ledger = Ledger().add([ended(STATUS, NOW - 49)], NOW).tell(agent.kills, NOW)
    assert [kill.witnesses for kill in ledger.kills] == [(KERNEL_LOG,), (KERNEL_LOG, STATUS)]
    more = ledger.tell(agent.add([counter(NOW - 45, 2)], NOW).kills, NOW)
    assert [kill.witnesses for kill in more.kills] == [(KERNEL_LOG, CGROUP), (KERNEL_LOG, CGROUP, STATUS)]
    assert [kill.id for kill in more.kills] == [kill.id for kill in ledger.kills]
    known = [kill._replace(witnesses=(KERNEL_LOG,)) for kill in agent.kills]
    assert more.tell(known, NOW).kills == ledger.kills


@pytest.mark.parametrize("first", [[log(NOW - 50, 7), counter(NOW - 45)], [counter(NOW - 45)]])
@pytest.mark.parametrize("again", [[ended(CRI, NOW - 49, after=NOW - 900)], [log(NOW - 50, 7)]])
def test_an_agent_that_begins_anew_tells_of_no_other_kill(
    first: Sequence[Evidence], again: Sequence[Evidence]
) -> None:
    """It lost what its counters said. The runtime still knows the container that ended, and the log the process."""
    before = (Moment(NOW - 60, 1, 2, 0.5, 3, None),)
    ledger = Ledger().tell(Ledger().add([one._replace(before=before) for one in first], NOW).kills, NOW)
    ledger = ledger.add([ended(STATUS, NOW - 48)], NOW)
    (kill,) = ledger.kills
    restarted = ledger.tell([], NOW).tell(Ledger().add(again, NOW).kills, NOW)
    (same,) = restarted.kills
    assert (same.id, same.container_id, same.container_ended) == (kill.id, A, True)
    assert same.before == before
    # Another one of its is another kill; and of a page that was cut nothing is known of what it lacks.
    (more,) = Ledger().add([log(NOW - 30, 8)], NOW).kills
    assert len(restarted.tell([*Ledger().add(again, NOW).kills, more], NOW).kills) == 2
    close = Ledger().add([log(NOW - 49, 8)], NOW).kills
    assert len(Ledger().tell(Ledger().add(first, NOW).kills, NOW).tell(close, NOW, whole=False).kills) == 2


def test_a_kill_by_another_kernel_is_told_beside_an_agent_that_missed_none() -> None:
    """Kata: the pod's own machine killed, and the node's counters say nothing of it."""
    ledger = Ledger().add([ended(STATUS, NOW - 100)._replace(elsewhere=True), ended(STATUS, NOW - 90, B)], NOW)
    found = ledger.seen_by_agent(NOW - 1000, NOW)
    assert [kill.container_id for kill in found.kills] == [A]
    assert found.seen_by_agent(NOW - 1000, NOW + 4) is found
    own = Ledger(watched=NOW - 1000).add(
        [ended(CRI, NOW - 100)._replace(elsewhere=True), ended(CRI, NOW - 90, B)], NOW
    )
    assert [kill.container_id for kill in own.kills] == [A]


def test_an_id_stays_whoever_tells_of_the_kill_later() -> None:
    ledger = Ledger()
    for told in (ended(STATUS, NOW - 49), counter(NOW - 45), log(NOW - 50, 7)):
        ledger = ledger.add([told], NOW)
        (kill,) = ledger.kills
        assert kill.id == f"n1/status/{A[:12]}/{NOW - 49:.3f}"
    # An agent that begins anew reads the log again, and names it by boot and number.
    assert kills(log(NOW - 50, 7))[0].id == "n1/boot.7"


def test_the_minute_before_is_kept() -> None:
    moments = (Moment(NOW - 60, 1, 2, 0.5, 3, None),)
    (kill,) = kills(log(NOW - 50, 7), counter(NOW - 45)._replace(before=moments))
    assert kill.before == moments


# Bounds


def test_the_oldest_are_dropped_counted_and_do_not_come_back() -> None:
    told = [log(NOW - 10 * i, i) for i in range(1, kill_ledger.MOST + 6)]
    ledger = Ledger().add(told, NOW)
    assert (len(ledger.kills), ledger.dropped) == (kill_ledger.MOST, 5)
    assert ledger.add(told, NOW) is ledger


def test_a_day_is_kept() -> None:
    ledger = Ledger().add([log(NOW - 50, 7), counter(NOW - 45)], NOW)
    later = ledger.add([], NOW + kill_ledger.KEEP)
    assert (later.kills, later.dropped, dict(later.marks)) == ((), 0, {})
    assert later.add([log(NOW - 50, 7)], NOW + kill_ledger.KEEP) is later


def test_a_counter_that_lies_fills_no_memory() -> None:
    ledger = Ledger().add([counter(NOW - 45, 10**12), counter(NOW - 45, -3, B), counter(NOW - 45, 0, B)], NOW)
    assert (len(ledger.kills), ledger.dropped) == (kill_ledger.MOST, 10**12 - kill_ledger.MOST)
    assert Ledger().add([log(NOW + 3600, 7)], NOW).kills == ()


@pytest.mark.parametrize("logged", [0, 500, 1000])
def test_a_storm_is_worked_out_at_once(logged: int) -> None:
    told = [log(NOW - 50 + i / 1000, i) for i in range(logged)] + [counter(NOW - 45, 1000)]
    begun = time.process_time()
    assert len(kills(*told)) == 1000
    assert time.process_time() - begun < 2.0, "a turn may cost 50 ms, but not in a storm of kills"


# Laws

_times = st.integers(0, 60).map(lambda tick: NOW - 100 + tick)
_logs = st.lists(_times, max_size=6).map(lambda ats: [log(at, pid) for pid, at in enumerate(ats)])
_counters = st.lists(st.integers(0, 3), max_size=7).map(
    lambda rises: [counter(NOW - 95 + TURN * i, rise) for i, rise in enumerate(rises) if rise]
)
_kubelets = st.lists(st.integers(0, 2), max_size=4).map(
    lambda rises: [
        Evidence(KUBELET, "n1", NOW - 90 + 20 * i, NOW - 110 + 20 * i, n, A) for i, n in enumerate(rises) if n
    ]
)
_ends = st.lists(
    st.tuples(st.sampled_from([STATUS, CRI, DOCKER]), _times), max_size=3, unique_by=lambda one: one[0]
).map(lambda ends: [ended(witness, at) for witness, at in ends])


def fewest(logs: Sequence[Evidence], counters: Sequence[Evidence]) -> int:
    """The twin: marks of both less the most pairs that there can be, by trying all."""
    tokens = [one for one in counters for _ in range(one.kills)]
    of: Dict[int, int] = {}

    def place(i: int, tried: List[int]) -> bool:
        for j, token in enumerate(tokens):
            if token.after - SLACK <= logs[i].at <= token.at + SLACK and j not in tried:
                tried.append(j)
                if j not in of or place(of[j], tried):
                    of[j] = i
                    return True
        return False

    return len(tokens) + len(logs) - sum(place(i, []) for i in range(len(logs)))


@settings(max_examples=400, deadline=None)
@given(_logs, _counters)
def test_as_many_are_one_as_can_be(logs: List[Evidence], counters: List[Evidence]) -> None:
    found = kills(*logs, *counters)
    assert len(found) == fewest(logs, counters)
    assert sorted(kill.pid for kill in found if kill.pid is not None) == [one.pid for one in logs]


@settings(max_examples=300, deadline=None)
@given(_logs, _counters, _kubelets, _ends, st.randoms(use_true_random=False))
def test_neither_order_nor_telling_twice_changes_anything(
    logs: List[Evidence],
    counters: List[Evidence],
    kubelets: List[Evidence],
    ends: List[Evidence],
    dice: random.Random,
) -> None:
    told = [*logs, *counters, *kubelets, *ends]
    whole = Ledger().add(told, NOW)
    assert whole.add(told, NOW) is whole
    dice.shuffle(told)
    ledger = Ledger()
    for one in [*told, *told[:3]]:
        ledger = ledger.add([one], NOW)
        ids = [kill.id for kill in ledger.kills]
        assert len(set(ids)) == len(ids)
    assert [kill._replace(id="") for kill in ledger.kills] == [kill._replace(id="") for kill in whole.kills]
    for witness, of in ((KERNEL_LOG, logs), (CGROUP, counters), (KUBELET, kubelets)):
        assert sum(witness in kill.witnesses for kill in whole.kills) == sum(one.kills for one in of)


class Truth(NamedTuple):
    at: float
    container: str


_truth = st.lists(st.builds(Truth, st.floats(NOW - 95, NOW - 5), st.sampled_from([A, B])), min_size=1, max_size=12)


@settings(max_examples=400, deadline=None)
@given(_truth, st.randoms(use_true_random=False), st.floats(-0.5, 0.5))
def test_what_a_counter_saw_whole_is_counted_whole(truth: List[Truth], dice: random.Random, skew: float) -> None:
    """The counters see each kill; log, kubelet and statuses see some of them, the kubelet's by another clock."""
    told = []
    for container in (A, B):
        own = sorted(one.at for one in truth if one.container == container)
        for witness, turn, offset, seen in ((CGROUP, TURN, 0.0, own), (KUBELET, 15.0, skew, own[::2])):
            for i in range(int(100 / turn) + 1):
                end = NOW - 95 + turn * i
                n = sum(end - turn < at <= end for at in seen)
                told.append(Evidence(witness, "n1", end + offset, end + offset - turn, n, container_id=container))
        last = own[-1:] if dice.random() < 0.5 else []
        told += [ended(STATUS, at + 0.5, container) for at in last]
    if dice.random() < 0.5:
        told += [log(one.at, i, one.container) for i, one in enumerate(truth) if dice.random() < 0.6]
    else:  # an agent that reads the log does not tell of the node's count
        for end in (NOW - 93 + TURN * i for i in range(11)):
            n = sum(end - TURN < one.at <= end for one in truth)
            told.append(Evidence(CGROUP, "n1", end, end - TURN, n))
    dice.shuffle(told)
    found = kills(*told)
    for container in (A, B):
        assert sum(kill.container_id == container for kill in found) == sum(o.container == container for o in truth)
    assert len(found) == len(truth)
    assert all(CGROUP in kill.witnesses for kill in found)
