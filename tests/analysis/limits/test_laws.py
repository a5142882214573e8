"""Laws of breaches, neighbours and efficiency: what must not matter does not, over random clusters."""

from __future__ import annotations

import math
import random
from typing import Any, Dict, List, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from krm.analysis.inputs import History, Inputs, Newest, Track, Which
from krm.analysis.limits import breaches, neighbours
from krm.analysis.limits.efficiency import efficiency, used_now, used_over
from krm.analysis.limits.pods import holders
from krm.model.trust import LIVE
from paper_inputs import CPU, MEMORY, MIB, NOW, STEP, THROTTLED, a_pod, container, inputs, now_of, track

CONTAINER_SERIES = (CPU, MEMORY, THROTTLED, "pressure/cpu_waiting", "pressure/memory_waiting", "memory/limit")
NODES = [
    {"metadata": {"name": name}, "status": {"allocatable": {"cpu": "2", "memory": "4Gi"}}} for name in ("n1", "n2")
]


def value_of(draw: random.Random, metric: str) -> float:
    if draw.random() < 0.1:
        return math.nan
    if metric == CPU:
        return draw.choice((50.0, 100.0, 450.0, 500.0, 1500.0)) + draw.random()
    if metric in (MEMORY, "memory/limit"):
        return float(draw.choice((64, 128, 190, 200, 256))) * MIB
    return draw.choice((0.0, 0.04, 0.3, draw.random()))


def a_cluster(draw: random.Random) -> Inputs:
    pods, newest = [], []
    tracks: Dict[Which, List[Track]] = {}
    for number in range(draw.randrange(1, 7)):
        name, node = f"p{number}", draw.choice(("n1", "n2"))
        sizes: List[Any] = [None, {"cpu": "100m", "memory": "128Mi"}, {"cpu": "500m", "memory": "200Mi"}]
        names = ["app", "side"][: draw.randrange(1, 3)]
        containers = [container(one, draw.choice(sizes), draw.choice(sizes)) for one in names]
        whole = (
            {"resources": {"requests": {"cpu": "1"}, "limits": {"memory": "300Mi"}}} if draw.random() < 0.3 else {}
        )
        pods.append(a_pod(name, *containers, node=node, spec=whole, age=draw.choice((60.0, 200.0, 3600.0))))
        for one in names:
            if draw.random() < 0.8:
                newest.append(now_of(name, one, node=node, cpu=value_of(draw, CPU), memory=value_of(draw, MEMORY)))
            for metric in CONTAINER_SERIES:
                if draw.random() < 0.8:
                    values = [value_of(draw, metric) for _ in range(20)]
                    tracks.setdefault((metric, "container"), []).append(track(values, name, one, node=node))
    for name in ("n1", "n2"):
        values = [draw.choice((500.0, 1900.0)) for _ in range(20)]
        tracks.setdefault((CPU, "node"), []).append(track(values, "", "", "", name, ""))
    return inputs(pods, tracks, newest, nodes=NODES, since=draw.choice((NOW - 1000, NOW - 150)))


def answers(given_: Inputs) -> Tuple[Any, ...]:
    """All but what they are worth: that tells of the newest point that anybody has."""
    held = holders(given_.state, None)
    found = breaches.answer(given_, breaches.Asked(None, 0.9, 300.0))
    harmed = neighbours.answer(given_, neighbours.Asked(None, "", 300.0))
    return (
        found.rows, found.findings, harmed.rows, harmed.findings,
        efficiency(held, used_now(given_.newest)), efficiency(held, used_over(given_.history, held)),
    )  # fmt: skip


def with_tracks(given_: Inputs, change: Any) -> Inputs:
    old = given_.history
    which = [(CPU, "node"), *((metric, "container") for metric in CONTAINER_SERIES)]
    tracks = {one: change(list(old.tracks(*one))) for one in which}
    return given_._replace(history=History(old.begin, old.end, tracks, since=old.since))


def shuffled(draw: random.Random, given_: Inputs) -> Inputs:
    def mixed(rows: Any) -> List[Any]:
        return draw.sample(list(rows), len(rows))

    for kind, rows in given_.state.kinds.items():
        given_.state.kinds[kind] = mixed(rows)  # type: ignore[index]
    newest = Newest({level: mixed(rows) for level, rows in given_.newest.readings.items()}, LIVE)
    return with_tracks(given_, mixed)._replace(newest=newest)


def in_pieces(draw: random.Random, tracks: List[Track]) -> List[Track]:
    """Each in up to three, some points twice: a batch that was sent again."""
    found = []
    for one in tracks:
        first, second = sorted(draw.randrange(21) for _ in range(2))
        for begin, end in ((0, first), (max(0, first - 2), second), (second, 20)):
            found.append(Track(one.subject, list(one.times)[begin:end], list(one.values)[begin:end]))
    return draw.sample(found, len(found))


def with_others_outside(draw: random.Random, tracks: List[Track]) -> List[Track]:
    found = []
    for one in tracks:
        before, after = draw.randrange(5), draw.randrange(5)
        times = [NOW - 300 - STEP * number for number in range(before, -1, -1)]
        later = [NOW + STEP * (number + 1) for number in range(after)]
        odd = [9e12 for _ in (*times, *later)]
        found.append(Track(
            one.subject, [*times, *one.times, *later], [*odd[: len(times)], *one.values, *odd[len(times):]]
        ))  # fmt: skip
    return found


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_neither_order_nor_batches_nor_what_is_outside_the_window_matters(seed: int) -> None:
    given_ = a_cluster(random.Random(seed))
    wanted = answers(given_)
    draw = random.Random(seed + 1)
    assert answers(shuffled(draw, given_)) == wanted
    assert answers(with_tracks(given_, lambda tracks: in_pieces(draw, tracks))) == wanted
    assert answers(with_tracks(given_, lambda tracks: with_others_outside(draw, tracks))) == wanted


def test_random_clusters_have_something_to_find() -> None:
    """Laws over empty answers would hold anyway."""
    found = [answers(a_cluster(random.Random(seed))) for seed in range(60)]
    assert sum(bool(one[0]) for one in found) > 40
    assert sum(bool(one[2]) for one in found) > 10
    assert {row.state for one in found for row in one[0]} == {"approaching", "at", "above"}


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_each_finding_has_numbers_sureness_and_what_would_change_it(seed: int) -> None:
    given_ = a_cluster(random.Random(seed))
    for one in (*answers(given_)[1], *answers(given_)[3]):
        assert one.evidence
        assert all(row.unit and row.source for row in one.evidence)
        assert all(row.value is None or math.isfinite(row.value) for row in one.evidence)
        assert one.would_change
        assert one.sureness == "high" or one.doubts


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_what_is_wasted_is_never_below_0_nor_above_what_is_requested(seed: int) -> None:
    given_ = a_cluster(random.Random(seed))
    held = holders(given_.state, None)
    rows = efficiency(held, used_now(given_.newest))
    for row in rows:
        assert (row.requested is None) == (row.used is None) == (row.wasted is None)
        assert row.wasted is None or row.requested is None or 0 <= row.wasted <= row.requested
    for resource in ("cpu", "memory"):
        (whole,) = [row for row in rows if row.level == "cluster" and row.resource == resource]
        for level in ("pod", "workload", "namespace", "node"):
            parts = [row for row in rows if row.level == level and row.resource == resource]
            assert sum(row.wasted or 0.0 for row in parts) == pytest.approx(whole.wasted or 0.0)
            assert sum(row.covers.of for row in parts) == whole.covers.of
