"""The minute before a kill."""

from typing import Any, Dict

import pytest
from krm.agent.oom.before import KEPT, Before
from krm.agent.seen import CONTAINER, POD, Cgroup, Place
from krm.model.kills import MOST_BEFORE, Moment

A, B = "a" * 64, "b" * 64


def container(at: float, id_: str = A, **figures: Any) -> Cgroup:
    return Cgroup(Place(CONTAINER, f"/kubepods/podx/{id_}", container_id=id_), at, None, figures)


def test_memory_of_the_container_and_the_node_and_the_share_of_time_that_each_waited() -> None:
    before = Before()
    for at, waited in ((100.0, 0), (110.0, 2_500_000), (120.0, 12_500_000)):
        figures: Dict[str, Any] = {"memory_working_set": int(at), "memory_usage": 200, "memory_waiting_us": waited}
        before.turn([container(at, **figures)], {"memory_available": 7, "memory_waiting_us": waited // 10}, at)
    assert before.of(A, 121) == (
        Moment(100, 100, 200, None, 7, None),
        Moment(110, 110, 200, 0.25, 7, 0.025),
        Moment(120, 120, 200, 1.0, 7, 0.1),
    )


def test_what_came_after_the_kill_or_long_before_is_left_out() -> None:
    before = Before()
    for at in range(100, 200, 10):
        before.turn([container(float(at), memory_usage=at)], {}, float(at))
    assert [moment.at for moment in before.of(A, 175)] == [120, 130, 140, 150, 160, 170]


def test_where_nothing_is_known_of_the_container_the_node_says_what_it_can() -> None:
    before = Before()
    before.turn([], {"memory_available": 7}, 100.0)
    assert before.of(B, 101) == before.of("", 101) == (Moment(100, None, None, None, 7, None),)


@pytest.mark.parametrize("figures", [{}, {"memory_waiting_us": "unlimited"}, {"memory_waiting_us": 5}])
def test_pressure_that_is_not_kept_or_began_anew_is_unknown(figures: Any) -> None:
    before = Before()
    before.turn([container(100.0, memory_waiting_us=9)], {}, 100.0)
    before.turn([container(110.0, **figures)], {}, 110.0)
    assert [moment.waiting for moment in before.of(A, 111)] == [None, None]


def test_it_stays_small() -> None:
    before = Before()
    for number in range(1000):
        at = 100.0 + number / 10
        cgroups = [container(at, f"{number % 7}" * 64), container(at, A)]
        before.turn([*cgroups, Cgroup(Place(POD, "/kubepods/podx"), at, None, {})], {}, at)
    assert len(before.of(A, 1000)) == 0
    assert len(before.of(A, 200)) == MOST_BEFORE
    before.turn([], {}, 200 + KEPT + 1)
    assert list(before._moments) == [""]
    assert not before._waited
