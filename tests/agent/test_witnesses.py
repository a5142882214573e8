"""What counters of OOM kills rose by between two turns, on version 1 and 2."""

from typing import Any, List, Optional, Tuple

import pytest
from krm.agent.cgroupfs.hierarchy import V1, V2
from krm.agent.oom.witnesses import KEPT, Counters
from krm.agent.seen import CONTAINER, OTHER, POD, QOS, Cgroup, Place
from krm.model.kills import CGROUP, Evidence

A, B, OUTER = "a" * 64, "b" * 64, "c" * 64
UID = "5f0c5e9c-6c8e-4a57-9d0e-2f6f6f3c1a11"
AT_POD = f"/kubepods/pod{UID}"
Told = Tuple[str, str, int, float, float, Optional[bool]]


def container(at: float, kills: int, id_: str = A, pids: int = 1, **more: Any) -> Cgroup:
    place = Place(CONTAINER, f"{AT_POD}/{id_}", pod_uid=UID, container_id=id_, outer=more.pop("outer", ""))
    return Cgroup(place, at, more.pop("started", None), {"oom_kills": kills, "pids": pids, **more})


def inside(at: float, kills: int) -> Cgroup:
    return Cgroup(Place(OTHER, f"{AT_POD}/{A}/sub", pod_uid=UID, container_id=A), at, None, {"oom_kills": kills})


def pod(at: float, kills: int) -> Cgroup:
    return Cgroup(Place(POD, AT_POD, pod_uid=UID), at, None, {"oom_kills": kills})


def short(found: List[Evidence]) -> List[Told]:
    assert all(one.witness == CGROUP and one.node == "n1" for one in found)
    return [
        (one.container_id[:1], one.pod_uid[:1], one.kills, one.after, one.at, one.container_ended) for one in found
    ]


def test_a_rise_is_as_many_kills_between_two_turns() -> None:
    counters = Counters("n1")
    assert counters.turn(V1, [container(100, 3)], {}, 101) == [], "when these were nobody knows"
    assert counters.turn(V1, [container(110, 3)], {}, 111) == []
    assert short(counters.turn(V1, [container(120, 5)], {}, 121)) == [("a", "5", 2, 110, 120, None)]
    # It goes on a turn later: the same evidence says so.
    assert short(counters.turn(V1, [container(130, 5)], {}, 131)) == [("a", "5", 2, 110, 120, False)]
    assert counters.turn(V1, [container(140, 5)], {}, 141) == []


def test_of_a_container_that_holds_no_process_any_more_it_is_not_said_that_it_goes_on() -> None:
    counters = Counters("n1")
    counters.turn(V1, [container(100, 0)], {}, 101)
    counters.turn(V1, [container(110, 1)], {}, 111)
    assert counters.turn(V1, [container(120, 1, pids=0)], {}, 121) == []


def test_a_container_that_began_since_counts_from_its_start() -> None:
    counters = Counters("n1")
    counters.turn(V1, [], {}, 101)
    assert short(counters.turn(V1, [container(110, 1, started=105.0)], {}, 111)) == [("a", "5", 1, 105, 110, None)]
    assert short(counters.turn(V1, [container(120, 2, B)], {}, 121)) == [("b", "5", 2, 111, 120, None)]


def test_a_container_that_the_walk_had_missed_is_no_new_one() -> None:
    counters = Counters("n1")
    counters.turn(V1, [container(100, 1)], {}, 101)
    counters.turn(V1, [], {}, 111)
    assert short(counters.turn(V1, [container(120, 2)], {}, 121)) == [("a", "5", 1, 100, 120, None)]
    assert counters.turn(V1, [container(120, 4, B, started=50.0)], {}, 121) == []


def test_a_cgroup_that_was_made_anew_counts_from_0_and_its_container_did_not_go_on() -> None:
    """docker restart keeps a container's id."""
    counters = Counters("n1")
    counters.turn(V1, [container(100, 1)], {}, 101)
    counters.turn(V1, [container(110, 3)], {}, 111)
    assert short(counters.turn(V1, [container(120, 1)], {}, 121)) == [("a", "5", 1, 110, 120, None)]


def test_version_1_adds_what_lies_below_a_container_and_asks_no_pod() -> None:
    counters = Counters("n1")
    counters.turn(V1, [pod(100, 0), container(100, 0), inside(100, 0)], {}, 101)
    found = counters.turn(V1, [pod(110, 0), container(110, 1), inside(110, 2)], {}, 111)
    assert short(found) == [("a", "5", 3, 100, 110, None)]


def test_a_cgroup_below_a_container_that_is_removed_leaves_no_kills() -> None:
    counters = Counters("n1")
    counters.turn(V1, [container(100, 2), inside(100, 3)], {}, 101)
    assert counters.turn(V1, [container(110, 2)], {}, 111) == []
    assert short(counters.turn(V1, [container(120, 2), inside(120, 1)], {}, 121)) == [("a", "5", 1, 110, 120, None)]


def test_a_container_that_becomes_a_node_or_is_none_any_more_has_no_kills_of_it() -> None:
    """Its count is that of its own processes then."""
    nested = Cgroup(Place(CONTAINER, f"{AT_POD}/{A}/{B}", pod_uid=UID, container_id=B, outer=A), 110, 1.0, {})
    counters = Counters("n1")
    own = container(100, 5, oom_kills_local=1)
    for cgroups in ([own], [own, nested], [own], [own]):
        assert counters.turn(V2, cgroups, {}, 101) == []


def test_version_2_has_what_lies_below_counted_and_pods_know_of_containers_that_are_gone() -> None:
    counters = Counters("n1")
    counters.turn(V2, [pod(100, 0), container(100, 0), container(100, 0, B)], {"oom_kills": 7}, 101)
    found = counters.turn(V2, [pod(110, 3), container(110, 1), inside(110, 1)], {"oom_kills": 10}, 111)
    assert short(found) == [
        ("", "", 3, 101, 111, None),
        ("", "5", 3, 100, 110, None),
        ("a", "5", 1, 100, 110, None),
    ]


def test_a_group_that_is_killed_counts_each_of_its_processes_once() -> None:
    """memory.oom.group: the kernel counts the one that it chose twice."""

    def class_(at: float, groups: int) -> Cgroup:
        return Cgroup(Place(QOS, "/kubepods"), at, None, {"oom_group_kills": groups})

    counters = Counters("n1")
    counters.turn(V2, [class_(100, 0), pod(100, 0), container(100, 0)], {"oom_kills": 7}, 101)
    own = container(110, 4, oom_group_kills=1)
    found = counters.turn(V2, [class_(110, 1), pod(110, 0), own], {"oom_kills": 11}, 111)
    assert short(found) == [("", "", 3, 101, 111, None), ("a", "5", 3, 100, 110, None)]
    # A kill between two reads of one turn makes the node's count fall for a turn.
    assert [one.container_id for one in counters.turn(V2, [class_(120, 2), own], {"oom_kills": 11}, 121)] == [A]
    assert [one.kills for one in counters.turn(V2, [class_(130, 2), own], {"oom_kills": 13}, 131)] == [1]


def test_version_2_leaves_the_kills_of_a_nested_node_to_its_containers() -> None:
    def node(at: float, below: int, own: int) -> Cgroup:
        return container(at, below, OUTER, oom_kills_local=own)

    counters = Counters("n1")
    counters.turn(V2, [pod(100, 0), node(100, 0, 0), container(100, 0, A, outer=OUTER)], {}, 101)
    found = counters.turn(V2, [pod(110, 3), node(110, 3, 1), container(110, 2, A, outer=OUTER)], {}, 111)
    assert short(found) == [("c", "5", 1, 100, 110, None), ("a", "5", 2, 100, 110, None)]


@pytest.mark.parametrize("version", [V1, V2])
def test_qos_classes_and_unknown_figures_say_nothing(version: str) -> None:
    counters = Counters("n1")
    for at in (100.0, 110.0):
        class_ = Cgroup(Place(QOS, "/kubepods"), at, None, {"oom_kills": int(at)})
        silent = Cgroup(Place(CONTAINER, f"{AT_POD}/{A}", container_id=A), at, None, {})
        assert counters.turn(version, [class_, silent], {}, at) == []


def test_what_is_gone_is_forgotten() -> None:
    counters = Counters("n1")
    counters.turn(V1, [container(100, 9)], {}, 100)
    counters.turn(V1, [], {}, 100 + KEPT + 1)
    assert not counters._known
