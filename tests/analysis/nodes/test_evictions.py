"""Evictions to come: when, whom first, how sure; and where there is no basis, no date."""

from __future__ import annotations

import random
from typing import Any, Dict, List, Optional

import pytest
from krm.analysis.inputs import Inputs, Track
from krm.analysis.nodes.evictions import Asked, Evictions, answer
from krm.analysis.nodes.predicting import Eviction
from krm.model.kubelets import KubeletConfig
from paper_findings import NOW, found
from paper_kubelets import GI, HOUR, MI, OWN, cluster, node, past, pod, reads_node, reads_pod

RATE = GI / 600  # bytes a second that memory grows by
LAST = 63.9 * GI - 840 * RATE  # the node's working set: a threshold of 0.1 GiB is reached in 14 minutes
EXACT = KubeletConfig({"memory.available": f"{int(0.1 * GI)}"}, pressure_transition="5m0s")


def asked(inputs: Inputs) -> Evictions:
    return answer(inputs, Asked())


def of(inputs: Inputs, signal: str = "memory.available", grace: Optional[float] = None) -> Eviction:
    rows = [one for one in asked(inputs).rows if one.signal == signal and grace in (None, one.grace)]
    assert len(rows) == 1, rows
    return rows[0]


def growing(**changes: Any) -> Inputs:
    made: Dict[str, Any] = {
        "nodes": [node("n1")],
        "pods": [pod("hungry", "n1", "1Gi"), pod("modest", "n1", "8Gi"), pod("precious", "n1", "1Gi", priority=9)],
        "readings": [reads_node("n1", LAST), reads_pod("hungry", "n1", 2 * GI), reads_pod("modest", "n1", 7 * GI),
                     reads_pod("precious", "n1", 40 * GI)],
        "tracks": [past("n1", "memory/working_set", LAST, RATE)],
        "kubelets": {"n1": EXACT},
    }  # fmt: skip
    return cluster(**{**made, **changes})


def test_a_node_that_fills_has_a_date_and_a_first_victim() -> None:
    one = of(growing())
    assert one.state == "nearing"
    assert one.left == pytest.approx(840, abs=10)
    assert one.earliest is not None
    assert one.at is not None
    assert one.latest is not None
    assert one.earliest <= one.at <= one.latest
    assert [(each.place, each.pod) for each in one.victims] == [(1, "hungry"), (2, "precious"), (3, "modest")]
    assert one.first is not None
    assert (one.first.used, one.first.request, one.first.above) == (2 * GI, GI, GI)
    assert one.first.oom_score_adj == {"app": 985}  # 1000 - 1000 x 1 / 64, cut
    assert "with a request of 2Gi of shop/hungry, shop/precious goes first" in one.would_change
    assert (one.own, one.sureness) == (True, "high")
    (finding,) = found(asked(growing()), "node-eviction")
    assert finding.severity == "critical"
    assert "shop/hungry goes first" in finding.sentence
    assert {"available", "threshold", "earliest", "latest"} <= {each.what for each in finding.evidence}


def test_what_is_below_the_threshold_evicts_now() -> None:
    full = 64 * GI - 50 * MI
    one = of(growing(readings=[reads_node("n1", full), reads_pod("hungry", "n1", GI)], tracks=[]))
    assert (one.state, one.left, one.available) == ("met", 0.0, 50 * MI)
    (finding,) = found(asked(growing(readings=[reads_node("n1", full)], tracks=[])), "node-eviction")
    assert "evicts: memory.available is 50Mi, below 102Mi" in finding.sentence


def test_a_soft_threshold_waits_for_its_grace_period() -> None:
    config = KubeletConfig(EXACT.hard, {"memory.available": "1Gi"}, {"memory.available": "10m"})
    hard, soft = (of(growing(kubelets={"n1": config}), grace=grace) for grace in (0.0, 600.0))
    assert hard.left == pytest.approx(840, abs=10)
    assert soft.left == pytest.approx(840 - 0.9 * 600 + 600, abs=15)


def test_where_a_kubelet_does_not_tell_the_documented_defaults_count_and_that_is_said() -> None:
    one = of(growing(kubelets={}))
    assert (one.own, one.threshold) == (False, 100 * MI)
    assert one.sureness == "medium"
    assert any("documented defaults" in doubt for doubt in one.doubts)


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("it does not move", {"tracks": [past("n1", "memory/working_set", LAST)]}),
        ("it shrinks", {"tracks": [past("n1", "memory/working_set", LAST, -RATE)]}),
        ("there is no history", {"tracks": [], "lacks": ["no history is kept"]}),
        ("five points", {"tracks": [past("n1", "memory/working_set", LAST, RATE, window=75)]}),
    ],
)
def test_no_trend_is_no_date(what: str, changes: Dict[str, Any]) -> None:
    one = of(growing(**changes))
    assert (one.state, one.at, one.left) == ("steady", None, None), what
    assert not found(asked(growing(**changes)), "node-eviction")


def test_a_kubelet_that_is_away_evicts_nobody_that_is_known() -> None:
    one = of(growing(nodes=[node("n1", "Unknown")], readings=[]))
    assert (one.state, one.at, one.available, one.sureness) == ("unknown", None, None, "low")
    assert "does not report" in one.doubts[0]


def test_disks_come_from_the_history_and_their_victims_from_storage() -> None:
    disk: Dict[str, Any] = {"filesystem": "/"}
    tracks = [
        past("n1", "filesystem/available", 20 * GI, -GI / 600, **disk),
        past("n1", "filesystem/limit", 100 * GI, **disk),
        past("n1", "filesystem/inodes_free", 900.0, **disk),
        past("n1", "filesystem/inodes", 10000.0, **disk),
    ]
    readings = [reads_node("n1", GI), reads_pod("hungry", "n1", GI, ephemeral_storage__usage=3 * GI),
                reads_pod("modest", "n1", GI, ephemeral_storage__usage=5 * GI),
                reads_pod("precious", "n1", GI, ephemeral_storage__usage=90 * GI)]  # fmt: skip
    config = KubeletConfig({"nodefs.available": "10%", "nodefs.inodesFree": "5%", "imagefs.available": "15%"})
    inputs = growing(tracks=tracks, readings=readings, kubelets={"n1": config})
    one = of(inputs, "nodefs.available")
    assert one.threshold == pytest.approx(10 * GI, rel=1e-6)
    assert one.left == pytest.approx(6000, rel=0.02)
    assert [each.pod for each in one.victims] == ["modest", "hungry", "precious"]
    assert any("images" in doubt for doubt in one.doubts)
    inodes = of(inputs, "nodefs.inodesFree")
    assert (inodes.available, inodes.threshold, inodes.state) == (900, 500, "steady")
    assert all(each.place is None for each in inodes.victims)  # nobody tells a pod's inodes
    missing = of(inputs, "imagefs.available")
    assert (missing.state, missing.available) == ("unknown", None)


def test_process_ids() -> None:
    tracks = [past("n1", "pids/usage", 31000.0, 1.0), past("n1", "pids/limit", 32768.0)]
    one = of(growing(tracks=tracks, kubelets={"n1": KubeletConfig({"pid.available": "1000"})}), "pid.available")
    assert (one.available, one.left) == (1768, pytest.approx(768, abs=5))


def test_all_pods_together_are_an_estimate_that_is_said_to_be_one() -> None:
    inputs = growing(kubelets={"n1": KubeletConfig({"memory.available": "100Mi"}, enforced=("pods",))})
    one = of(inputs, "allocatableMemory.available")
    assert one.available == 60 * GI + 100 * MI - 49 * GI
    assert (one.state, one.sureness) == ("steady", "low")
    partly = growing(
        kubelets={"n1": KubeletConfig({"memory.available": "100Mi"}, enforced=("pods",))},
        readings=[reads_node("n1", LAST), reads_pod("hungry", "n1", 2 * GI)],
    )
    assert of(partly, "allocatableMemory.available").available is None


def test_pods_that_are_not_measured_have_no_place() -> None:
    readings = [reads_node("n1", LAST), reads_pod("hungry", "n1", 2 * GI),
                reads_pod("precious", "n1", 3 * GI, covers="1 of 2 containers"),
                reads_pod("modest", "n1", GI, at=NOW - 900)]  # fmt: skip
    one = of(growing(readings=readings))
    assert [(each.place, each.pod, each.used) for each in one.victims] == [
        (1, "hungry", 2 * GI), (None, "modest", None), (None, "precious", None),
    ]  # fmt: skip
    assert one.sureness == "low"
    assert any("2 of 3 pods are not measured" in doubt for doubt in one.doubts)


def test_what_is_never_evicted_is_said_to_be() -> None:
    mirror = pod("static", "n1", "1Gi", annotations={"kubernetes.io/config.mirror": "x"})
    critical = pod("critical", "n1", "1Gi", priority=2_000_000_000)
    pods = [mirror, critical, pod("plain", "n1", "9Gi")]
    readings = [
        reads_node("n1", LAST),
        *(reads_pod(name, "n1", 5 * GI) for name in ("static", "critical", "plain")),
    ]
    one = of(growing(pods=pods, readings=readings))
    assert [(each.place, each.pod, bool(each.protected)) for each in one.victims] == [
        (1, "plain", False), (None, "critical", True), (None, "static", True),
    ]  # fmt: skip
    assert "only pod" in one.would_change
    assert one.sureness == "high"


def test_points_outside_of_the_window_and_the_order_are_nothing() -> None:
    which, track = past("n1", "memory/working_set", LAST, RATE)
    first = asked(growing()).rows
    before = Track(track.subject, [NOW - 2 * HOUR, *track.times, NOW + 15], [1e12, *track.values, 5.0])
    assert asked(growing(tracks=[(which, before)])).rows == first
    made: List[Any] = list(growing().newest.readings["pod"])
    random.Random(3).shuffle(made)
    assert asked(growing(readings=[reads_node("n1", LAST), *made])).rows == first


def test_rows_are_the_nearest_first_and_print() -> None:
    inputs = growing(
        nodes=[node("n1"), node("n2")],
        readings=[reads_node("n1", LAST), reads_node("n2", 10 * GI)],
        kubelets={"n1": EXACT, "n2": OWN},
    )
    rows = asked(inputs).rows
    assert [(one.node, one.state) for one in rows] == [("n1", "nearing"), ("n2", "steady")]
    lines = str(asked(inputs)).splitlines()
    assert lines[0].split() == [
        "NODE",
        "SIGNAL",
        "AVAILABLE",
        "THRESHOLD",
        "STATE",
        "IN",
        "SOONEST",
        "FIRST",
        "SURE",
    ]
    assert asked(inputs).cells(wide=True)


@pytest.mark.parametrize(
    ("used", "severity"), [(0.89, None), (0.9, "warning"), (1.0, "warning"), (1.001, "critical"), (None, None)]
)
def test_a_pod_above_its_own_limit_of_storage_is_evicted_whatever_the_node_has(
    used: Optional[float], severity: Optional[str]
) -> None:
    limited = pod("hungry", "n1", "1Gi")
    limited["spec"]["containers"][0]["resources"]["limits"] = {"ephemeral-storage": "2Gi"}
    more = {} if used is None else {"ephemeral_storage__usage": used * 2 * GI}
    inputs = growing(pods=[limited, pod("free", "n1")], tracks=[],
                     readings=[reads_node("n1", GI), reads_pod("hungry", "n1", GI, **more),
                               reads_pod("free", "n1", GI, ephemeral_storage__usage=80 * GI)])  # fmt: skip
    assert [one.severity for one in found(asked(inputs), "pod-storage-limit")] == ([severity] if severity else [])
