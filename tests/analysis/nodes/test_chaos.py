"""Nodes and evictions when something fails: what must be absent, less sure, unchanged (docs/findings.md)."""

from __future__ import annotations

import math
import random
from typing import Any, Dict, Optional

import pytest
from krm.analysis.inputs import Inputs, Track
from krm.analysis.nodes import evictions, pressure
from krm.analysis.nodes.evictions import Evictions
from krm.analysis.nodes.predicting import Eviction
from krm.analysis.nodes.pressure import NodePressure, NodeRow
from krm.model.kubelets import KubeletConfig
from krm.model.trust import STALE
from paper_findings import NOW, found
from paper_kubelets import GI, cluster, node, past, pod, reads_node, reads_pod

RATE = GI / 600
LAST = 60 * GI
CONFIG = KubeletConfig({"memory.available": "100Mi"}, pressure_transition="5m0s")
PAST = past("n1", "memory/working_set", LAST, RATE)


def paper(**changes: Any) -> Inputs:
    made: Dict[str, Any] = {
        "nodes": [node("n1"), node("n2")],
        "pods": [pod("hungry", "n1", "1Gi"), pod("calm", "n1", "40Gi"), pod("other", "n2", "1Gi")],
        "readings": [reads_node("n1", LAST), reads_node("n2", 5 * GI), reads_pod("hungry", "n1", 30 * GI),
                     reads_pod("calm", "n1", 25 * GI), reads_pod("other", "n2", GI)],
        "tracks": [PAST],
        "kubelets": {"n1": CONFIG, "n2": CONFIG},
    }  # fmt: skip
    return cluster(**{**made, **changes})


def nodes_of(inputs: Inputs) -> NodePressure:
    return pressure.answer(inputs, pressure.Asked())


def row(inputs: Inputs, name: str = "n1") -> Optional[NodeRow]:
    return next((one for one in nodes_of(inputs).rows if one.node == name), None)


def coming(inputs: Inputs, name: str = "n1") -> Eviction:
    answered: Evictions = evictions.answer(inputs, evictions.Asked(node=name))
    (one,) = answered.rows
    return one


WHOLE = coming(paper())
OTHER = row(paper(), "n2")


def test_all_is_well() -> None:
    assert (WHOLE.state, WHOLE.sureness) == ("nearing", "high")
    assert WHOLE.first is not None
    assert WHOLE.first.pod == "hungry"


def test_a_node_that_is_gone_is_in_nothing_and_others_stay() -> None:
    inputs = paper(nodes=[node("n2")])
    assert row(inputs) is None
    assert row(inputs, "n2") == OTHER
    assert not [one for one in nodes_of(inputs).findings if one.about.name == "n1"]


def test_of_a_kubelet_that_is_away_nothing_is_foretold() -> None:
    away = paper(nodes=[node("n1", "Unknown"), node("n2")], readings=paper().newest.readings["node"][1:])
    one = row(away)
    assert one is not None
    assert (one.pressure, one.nearest) == (None, None)
    memory = one.resource("memory")
    assert memory is not None
    assert (memory.requested, memory.used) == (41 * GI, None)
    assert coming(away).sureness == "low"
    assert not found(nodes_of(away), "node-eviction")
    assert found(nodes_of(away), "node-not-ready")
    assert nodes_of(paper()).rows[1].resources == nodes_of(away).rows[1].resources


@pytest.mark.parametrize("age", [None, 181.0, 3600.0])
def test_without_a_fresh_measurement_what_is_used_is_not_known(age: Optional[float]) -> None:
    readings = [] if age is None else [
        reads_node("n1", LAST, at=NOW - age), reads_pod("hungry", "n1", 30 * GI, at=NOW - age),
    ]  # fmt: skip
    inputs = paper(readings=readings)
    one = row(inputs)
    assert one is not None
    assert one.parts["used"] is None
    assert one.pressure == pytest.approx(100 * 41 / 60)
    assert any("at least" in doubt for doubt in one.doubts)
    eviction = coming(inputs)
    assert (eviction.state, eviction.at, eviction.sureness) == ("unknown", None, "low")
    assert all(each.place is None for each in eviction.victims)
    assert not found(nodes_of(inputs), "node-eviction")


def test_half_of_the_points_away_is_less_sure_and_the_same_date() -> None:
    draw = random.Random(5)
    which, track = past("n1", "memory/working_set", LAST, RATE)
    values = [value if draw.random() < 0.5 else math.nan for value in track.values]
    one = coming(paper(tracks=[(which, Track(track.subject, track.times, values))]))
    assert one.sureness == "medium"
    assert any("points are there" in doubt for doubt in one.doubts)
    assert one.left == pytest.approx(WHOLE.left, abs=1.0)


def test_without_a_history_there_is_no_date_and_the_order_stays() -> None:
    one = coming(paper(tracks=[], lacks=["no history is kept"]))
    assert (one.state, one.at) == ("steady", None)
    assert any("no history" in doubt for doubt in one.doubts)
    assert one.victims == WHOLE.victims
    full = coming(paper(tracks=[], readings=[reads_node("n1", 64 * GI)]))
    assert full.state == "met"


@pytest.mark.parametrize("at", [NOW + 90, NOW + 7200])
def test_a_clock_that_is_ahead_is_less_sure(at: float) -> None:
    """Of the node's, or where krm's own went back."""
    inputs = paper(readings=[reads_node("n1", LAST, at=at), reads_pod("hungry", "n1", 30 * GI, at=at),
                             reads_pod("calm", "n1", 25 * GI, at=at)])  # fmt: skip
    one = coming(inputs)
    assert one.sureness == "low"
    assert any("ahead" in doubt for doubt in one.doubts)
    assert one.available == WHOLE.available
    assert one.victims == WHOLE.victims


@pytest.mark.parametrize("minutes", [1, 10])
def test_what_grew_before_a_restart_foretells_nothing(minutes: int) -> None:
    which, track = past("n1", "memory/working_set", LAST, RATE)
    since = NOW - 60 * minutes
    values = [
        value if at < since else 20 * GI + (at - since) * RATE for at, value in zip(track.times, track.values)
    ]
    now_used = 20 * GI + 60 * minutes * RATE
    inputs = paper(
        tracks=[(which, Track(track.subject, track.times, values))],
        readings=[reads_node("n1", now_used), reads_pod("hungry", "n1", GI), reads_pod("calm", "n1", GI)],
    )
    one = coming(inputs)
    if minutes == 1:
        assert one.at is None
    else:
        # 44 GiB at 1 GiB in ten minutes are further than five times what was seen since.
        assert one.at is None
        assert one.per_second == pytest.approx(-RATE, rel=0.05)


def test_stale_objects_make_what_rests_on_them_less_sure() -> None:
    inputs = paper(nodes=[node("n1", pressure=["DiskPressure"]), node("n2")], states={"nodes": STALE})
    answered = nodes_of(inputs)
    assert answered.worth.state == STALE
    assert [one.sureness for one in found(answered, "node-pressure")] == ["low"]
    assert [one.sureness for one in found(answered, "node-eviction")] == ["low"]


def test_kubelets_that_do_not_tell_their_settings_are_less_sure_and_rank_the_same() -> None:
    answered = evictions.answer(paper(kubelets={}), evictions.Asked(node="n1"))
    one = next(each for each in answered.rows if each.signal == "memory.available")
    assert (one.own, one.sureness) == (False, "medium")
    assert one.victims == WHOLE.victims
    assert one.left == pytest.approx(WHOLE.left, abs=1.0)


def test_one_malformed_pod_makes_its_node_unknown_and_no_other() -> None:
    spoilt = pod("spoilt", "n1")
    spoilt["spec"]["containers"][0]["resources"]["requests"] = {"memory": "much"}
    inputs = paper(pods=[*paper().state.objects("pods"), spoilt, {"spec": {"nodeName": "n1"}}])
    one = row(inputs)
    assert one is not None
    memory = one.resource("memory")
    assert memory is not None
    assert memory.requested is None
    assert row(inputs, "n2") == OTHER
