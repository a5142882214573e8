"""Noisy neighbours: a table of nodes, answered by hand. 20 points of 15 s."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

import pytest
from krm.analysis.finding import CRITICAL, HIGH, INFO, LOW, MEDIUM, WARNING
from krm.analysis.inputs import Inputs, Which
from krm.analysis.limits import neighbours
from krm.analysis.limits.neighbours import Asked, Neighbours
from krm.analysis.limits.suspects import correlation
from krm.model import times
from krm.model.kills import CONTAINER_LIMIT, NODE_WIDE, Kill
from paper_inputs import CPU, GAP, MEMORY, MIB, NOW, THROTTLED, a_pod, container, inputs, track

WAITING, MEMORY_WAITING = "pressure/cpu_waiting", "pressure/memory_waiting"
VICTIM = a_pod("api-0", container("app", {"cpu": "500m", "memory": "512Mi"}, {"cpu": "1"}))
NOISY = a_pod("batch-0", container("run", {"cpu": "100m", "memory": "100Mi"}), namespace="lab")
QUIET = a_pod("calm-0", container("app", {"cpu": "300m"}), namespace="lab")
ELSEWHERE = a_pod("far-0", container("run", {"cpu": "100m"}), namespace="lab", node="n2")
NODES = [{"metadata": {"name": "n1"}, "status": {"allocatable": {"cpu": "4", "memory": "8Gi"}}}]
WAITS = [0.01] * 12 + [0.3, 0.4, 0.5, 0.4, 0.4, 0.01, 0.01, 0.01]  # five points, 0.4 in the mean
BUSY = [200.0] * 12 + [3000.0, 3100.0, 3200.0, 3100.0, 3100.0, 200.0, 200.0, 200.0]


def on_node(node: str, values: Sequence[float]) -> Any:
    return track(values, "", "", "", node, "")


def given(
    waits: Sequence[float] = WAITS,
    busy: Sequence[float] = BUSY,
    used: Sequence[float] = (400.0,) * 20,
    node: Optional[Sequence[float]] = (3900.0,) * 20,
    throttled: Optional[Sequence[float]] = (0.0,) * 20,
    pods: Sequence[Dict[str, Any]] = (VICTIM, NOISY, QUIET, ELSEWHERE),
    **more: Any,
) -> Inputs:
    tracks: Dict[Which, List[Any]] = {
        (WAITING, "container"): [track(waits, "api-0")],
        (CPU, "container"): [
            track(used, "api-0"), track(busy, "batch-0", "run", "lab"), track([290] * 20, "calm-0", "app", "lab"),
            track(busy, "far-0", "run", "lab", "n2"),
        ],
    }  # fmt: skip
    if node is not None:
        tracks[CPU, "node"] = [on_node("n1", node)]
    if throttled is not None:
        tracks[THROTTLED, "container"] = [track(throttled, "api-0")]
    tracks.update(more.pop("tracks", {}))
    return inputs(pods, tracks, nodes=NODES, **more)


def ask(one: Inputs, namespace: Optional[str] = None, node: str = "") -> Neighbours:
    return neighbours.answer(one, Asked(namespace, node, 300.0))


def test_who_took_cpu_from_whom() -> None:
    found = ask(given())
    (row,) = found.rows
    assert (row.node, row.resource, row.harm) == ("n1", "cpu", "waits")
    assert (row.namespace, row.pod, row.container) == ("shop", "api-0", "app")
    assert (row.by_namespace, row.by_pod, row.by_container) == ("lab", "batch-0", "run")
    assert row.waited == pytest.approx(0.4)
    assert (row.share, row.longest) == (5 / 20, 75.0)
    assert (row.used, row.requested) == (400, 500)
    assert (row.took, row.growth) == (3000, 3100 - 200)  # above its 100m; against the calm points
    assert row.coincides == pytest.approx(0.989, abs=0.01)
    assert row.sureness == HIGH
    (finding,) = found.findings
    assert (finding.rule, finding.severity, finding.sureness) == ("noisy-neighbour", WARNING, HIGH)
    assert finding.sentence == (
        "shop/api-0 container app waited for cpu 40% of 75s while it used 400m of the 500m that it requests on "
        "node n1: lab/batch-0 container run used 3000m more than it requests"
    )
    evidence = {one.what: one.value for one in finding.evidence}
    assert evidence["used of the node's allocatable"] == pytest.approx(3900 / 4000)
    assert evidence["growth of lab/batch-0/run"] == 2900
    assert found.cells()[1] == [
        "n1", "cpu", "shop/api-0/app", "waits 40%", "25%", "lab/batch-0/run", "3000m", "high",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "why",
    [
        "throttled",
        "near its limit",
        "above its request",
        "two points",
        "no pressure",
        "no request",
        "its use is not known",
    ],
)
def test_who_is_no_victim(why: str) -> None:
    bare = a_pod("api-0", container("app", None, {"cpu": "1"}))
    one = {
        "throttled": given(throttled=[0.0] * 12 + [0.5] * 8),
        "near its limit": given(
            used=[400.0] * 12 + [950.0] * 8, throttled=None,
            pods=[a_pod("api-0", container("app", {"cpu": "1"}, {"cpu": "1"})), NOISY]),
        "above its request": given(used=[600.0] * 20),
        "two points": given(waits=[0.01] * 18 + [0.5, 0.5]),
        "no pressure": given(waits=[0.09] * 20),
        "no request": given(pods=[bare, NOISY]),
        "its use is not known": given(used=[GAP] * 20),
    }[why]  # fmt: skip
    assert ask(one).rows == ()
    assert ask(one).findings == ()


def test_sureness_is_low_where_there_is_only_correlation() -> None:
    (row,) = ask(given(node=[1500.0] * 20)).rows  # the node had room
    assert (row.by_pod, row.sureness) == ("batch-0", LOW)
    (finding,) = ask(given(node=[1500.0] * 20)).findings
    assert "all that is known" in finding.doubts[0]
    (row,) = ask(given(node=None)).rows  # how full it was is not known
    assert row.sureness == LOW
    (row,) = ask(given(busy=[3000.0] * 20)).rows  # full, but it did not grow
    assert (row.by_pod, row.sureness) == ("batch-0", MEDIUM)


def test_a_victim_without_a_suspect_is_told_with_low_sureness() -> None:
    found = ask(given(busy=[90.0] * 20))
    (row,) = found.rows
    assert (row.by_pod, row.took, row.sureness) == ("", None, LOW)
    assert (found.findings[0].severity, found.findings[0].sureness) == (INFO, LOW)
    assert "nobody there is known" in found.findings[0].sentence
    # Neither full nor together: nobody is accused.
    assert ask(given(busy=[3000.0] * 20, node=[100.0] * 20)).rows[0].by_pod == ""


def test_memory_waiting_below_its_own_limit() -> None:
    grows = [100.0 * MIB] * 12 + [3000.0 * MIB] * 8
    tracks = {
        (MEMORY_WAITING, "container"): [track([0.0] * 12 + [0.2] * 8, "api-0")],
        (MEMORY, "container"): [track([400 * MIB] * 20, "api-0"), track(grows, "batch-0", "run", "lab")],
        (MEMORY, "node"): [on_node("n1", [7900 * MIB] * 20)],
    }
    (row,) = ask(inputs([VICTIM, NOISY], tracks, nodes=NODES)).rows
    assert (row.resource, row.by_pod, row.took, row.growth) == ("memory", "batch-0", 2900 * MIB, 2900 * MIB)
    assert row.sureness == HIGH
    limited = a_pod("api-0", container("app", {"memory": "420Mi"}, {"memory": "420Mi"}))
    assert ask(inputs([limited, NOISY], tracks, nodes=NODES)).rows == ()


def evicted(age: float = 30.0, low: str = "memory") -> Dict[str, Any]:
    gone = {
        "type": "DisruptionTarget",
        "reason": "TerminationByKubelet",
        "lastTransitionTime": times.write(NOW - age),
    }
    message = f"The node was low on resource: {low}. Threshold quantity: 100Mi, available: 50Mi."
    status = {"phase": "Failed", "reason": "Evicted", "message": message, "conditions": [gone]}
    return a_pod("api-0", container("app", {"memory": "512Mi"}), status=status)


def memory_of(used: float, by: Sequence[float]) -> Dict[Which, List[Any]]:
    return {
        (MEMORY, "container"): [
            track([used * MIB] * 20, "api-0"),
            track([one * MIB for one in by], "batch-0", "run", "lab"),
        ]
    }


def test_an_eviction_of_who_was_within_its_request() -> None:
    grown = memory_of(400, [100] * 12 + [4000] * 8)
    found = ask(inputs([evicted(), NOISY], grown, nodes=NODES))
    (row,) = found.rows
    assert (row.harm, row.pod, row.container, row.at) == ("evicted", "api-0", "", NOW - 30)
    assert (row.by_pod, row.took, row.sureness) == ("batch-0", 3900 * MIB, HIGH)
    assert (found.findings[0].severity, found.findings[0].sureness) == (CRITICAL, HIGH)
    # How full the node was is not measured: that is not said to be 100 %.
    assert {one.what: one.value for one in found.findings[0].evidence}["used of the node's allocatable"] is None
    flat = ask(inputs([evicted(), NOISY], memory_of(400, [4000] * 20), nodes=NODES))
    assert flat.rows[0].sureness == MEDIUM
    assert ask(inputs([evicted(), NOISY], memory_of(600, [4000] * 20), nodes=NODES)).rows == ()
    assert ask(inputs([evicted(400), NOISY], grown, nodes=NODES)).rows == ()
    assert ask(inputs([evicted(low="ephemeral-storage"), NOISY], grown, nodes=NODES)).rows == ()


def test_a_node_wide_kill_and_one_by_its_own_limit() -> None:
    killed = Kill("k1", "n1", NOW - 20, NOW - 20, "c", "uid-api-0", "shop", "api-0", "app", scope=NODE_WIDE)
    grown = memory_of(400, [100] * 12 + [4000] * 8)
    (row,) = ask(inputs([VICTIM, NOISY], grown, nodes=NODES, kills=[killed])).rows
    assert (row.harm, row.container, row.by_pod, row.sureness) == ("killed", "app", "batch-0", HIGH)
    own = killed._replace(scope=CONTAINER_LIMIT)
    assert ask(inputs([VICTIM, NOISY], grown, nodes=NODES, kills=[own])).rows == ()
    (finding,) = ask(inputs([NOISY], grown, nodes=NODES, kills=[killed])).findings  # the pod is gone
    assert finding.sureness == LOW
    assert "whether it used more than it requests itself is not known" in finding.doubts


def test_where_no_pressure_is_measured_that_is_said() -> None:
    found = ask(given(tracks={(WAITING, "container"): []}))
    assert found.rows == ()
    lacking = [reason for reason in found.worth.reasons if "without pressure (PSI) of cpu" in reason]
    assert len(lacking) == 1
    assert "n1, n2" in lacking[0]
    assert not any("PSI) of cpu" in reason and "n1" in reason for reason in ask(given()).worth.reasons)
    assert any("no such node" in reason for reason in ask(given(), node="n9").worth.reasons)


def test_a_namespace_is_the_victims_and_a_node_is_one() -> None:
    assert len(ask(given(), namespace="shop").rows) == 1
    assert ask(given(), namespace="lab").rows == ()
    assert len(ask(given(), node="n1").rows) == 1
    assert ask(given(), node="n2").rows == ()


def test_history_that_does_not_cover_the_window() -> None:
    found = ask(given(since=NOW - 200))
    assert (found.rows[0].share, found.rows[0].longest, found.rows[0].sureness) == (None, None, MEDIUM)
    assert any(reason.startswith("history since") for reason in found.worth.reasons)


def test_correlation() -> None:
    line = {float(at): float(at) for at in range(10)}
    assert correlation(line, {at: -value for at, value in line.items()}) == pytest.approx(-1)
    assert correlation(line, dict.fromkeys(line, 3.0)) is None
    assert correlation(dict(list(line.items())[:7]), line) is None
