"""Faults, and what becomes of each finding: absent, less sure, or the same.

The cluster without a fault: `web` is at its memory limit (limit-breach), `over` above its CPU request
(request-exceeded), `api` waits for CPU that `batch` took (noisy-neighbour), `web` has a resize that waits (resize),
and `over` has no memory request (missing-resources).
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional

import pytest
from krm.analysis.finding import HIGH, LOW, MEDIUM
from krm.analysis.inputs import History, Inputs, Newest, State, Track
from krm.analysis.limits import breaches, neighbours
from krm.model.trust import LIVE, STALE
from paper_inputs import (
    CPU,
    GAP,
    MEMORY,
    MIB,
    NOW,
    THROTTLED,
    a_pod,
    container,
    inputs,
    now_of,
    track,
    trust,
)

PSI = "pressure/cpu_waiting"
WHICH = ((CPU, "container"), (MEMORY, "container"), (THROTTLED, "container"), (PSI, "container"), (CPU, "node"))
DEFERRED = {"type": "PodResizePending", "status": "True", "reason": "Deferred"}


def a_cluster() -> Inputs:
    both = {"cpu": "500m", "memory": "200Mi"}
    pods = [
        a_pod("web", container("app", both, both), status={"conditions": [DEFERRED]}),
        a_pod("over", container("app", {"cpu": "100m"}, {"memory": "1Gi"})),
        a_pod("api", container("app", {"cpu": "500m", "memory": "1Gi"}, {"memory": "1Gi"})),
        a_pod("batch", container("app", {"cpu": "4", "memory": "1Gi"}, {"memory": "1Gi"})),
    ]
    calm, loud = [0.0] * 10, [0.5] * 10
    used = {"web": [100.0] * 20, "over": [300.0] * 20, "api": [400.0] * 20, "batch": [4000.0] * 10 + [7000.0] * 10}
    tracks = {
        (CPU, "container"): [track(values, name) for name, values in used.items()],
        (MEMORY, "container"): [track([199 * MIB] * 20, "web")],
        (THROTTLED, "container"): [track([0.0] * 20, "web")],
        (PSI, "container"): [track(calm + loud, "api")],
        (CPU, "node"): [track([7900.0] * 20, "", "", "", "n1", "")],
    }
    newest = [now_of(name, "app", cpu=values[-1]) for name, values in used.items() if name != "web"]
    newest.append(now_of("web", "app", cpu=100, memory=199 * MIB))
    nodes = [{"metadata": {"name": "n1"}, "status": {"allocatable": {"cpu": "8", "memory": "8Gi"}}}]
    return inputs(pods, tracks, newest, nodes=nodes)


def lost(given: Inputs, change: Callable[[Track], Track]) -> Inputs:
    """Each series as `change` leaves it."""
    old = given.history
    tracks = {which: [change(one) for one in old.tracks(*which)] for which in WHICH}
    return given._replace(history=History(old.begin, old.end, tracks, since=old.since))


def without(places: range) -> Callable[[Track], Track]:
    def change(one: Track) -> Track:
        values = [GAP if place in places else value for place, value in enumerate(one.values)]
        return one._replace(values=values)

    return change


def newest(given: Inputs, at: Optional[float], state: str = LIVE) -> Inputs:
    """at: the source's time of each reading; None = there are none."""
    rows = [] if at is None else [one._replace(at=at) for one in given.newest.readings["container"]]
    return given._replace(newest=Newest({"container": rows}, state))


def evicted(given: Inputs) -> Inputs:
    """All pods, a moment ago; of what is not told when, no harm is made."""
    for pod in given.state.kinds["pods"]:
        pod["status"].update(phase="Failed", reason="Evicted", message="The node was low on resource: memory.")  # type: ignore[index]
    return newest(given, None)


def recreated(given: Inputs) -> Inputs:
    """All pods under their old names: not one of their points is of these."""
    for pod in given.state.kinds["pods"]:
        pod["metadata"]["uid"] += "-again"  # type: ignore[index]
    return newest(given, None)


def stale(given: Inputs) -> Inputs:
    state = given.state
    return given._replace(state=State(state.kinds, {**state.trust, "pods": trust(STALE, "no watch")}, state.lacks))


def no_nodes(given: Inputs) -> Inputs:
    kinds = {kind: rows for kind, rows in given.state.kinds.items() if kind != "nodes"}
    return given._replace(state=State(kinds, {"pods": trust()}, {"nodes": "krm may not list nodes"}))


def no_history(given: Inputs) -> Inputs:
    old = given.history
    return given._replace(history=History(old.begin, old.end, {}, since=None, lacks=("the collector is away",)))


def twice(given: Inputs) -> Inputs:
    old = given.history
    tracks: Dict[Any, List[Track]] = {which: [*old.tracks(*which), *old.tracks(*which)] for which in WHICH}
    return given._replace(history=History(old.begin, old.end, tracks, since=old.since))


RULES = ("limit-breach", "request-exceeded", "noisy-neighbour", "resize", "missing-resources")
SAME = (HIGH, HIGH, HIGH, HIGH, MEDIUM)  # of the last: LimitRanges are not known in this cluster
GONE = (None,) * 5
FAULTS: Dict[str, Any] = {
    "none": (lambda given: given, SAME),
    "the pods were evicted": (evicted, GONE),
    "the pods were made again under their names": (recreated, (None, None, None, HIGH, MEDIUM)),
    "the node is lost for three minutes": (
        lambda given: newest(lost(given, without(range(8, 20))), None), (LOW, LOW, None, HIGH, MEDIUM)),
    "the kubelet gave no numbers for two minutes": (
        lambda given: lost(given, without(range(8))), (MEDIUM, MEDIUM, MEDIUM, HIGH, MEDIUM)),
    "a container restarted: one point is missing": (lambda given: lost(given, without(range(9, 10))), SAME),
    "the kubelet's clock is an hour ahead": (
        lambda given: newest(given, NOW + 3600), (LOW, LOW, HIGH, HIGH, MEDIUM)),
    "the kubelet's clock is an hour behind": (
        lambda given: newest(given, NOW - 3600), (MEDIUM, MEDIUM, HIGH, HIGH, MEDIUM)),
    "the collector is away, its last values are here": (
        lambda given: newest(given, NOW - 60, STALE), (MEDIUM, MEDIUM, HIGH, HIGH, MEDIUM)),
    "the history is away": (no_history, (MEDIUM, MEDIUM, None, HIGH, MEDIUM)),
    "history and collector are away": (
        lambda given: newest(no_history(given), NOW - 60, STALE), (LOW, LOW, None, HIGH, MEDIUM)),
    "nothing is measured": (lambda given: newest(no_history(given), None), (None, None, None, HIGH, MEDIUM)),
    "the watch of pods is cut": (stale, (MEDIUM, MEDIUM, HIGH, HIGH, MEDIUM)),
    "nodes may not be read": (no_nodes, (HIGH, HIGH, LOW, HIGH, MEDIUM)),
    "each batch was sent twice": (twice, SAME),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_becomes_of_each_finding(fault: str) -> None:
    change, wanted = FAULTS[fault]
    given = change(a_cluster())
    answers = (
        breaches.answer(given, breaches.Asked(None, 0.9, 300.0)),
        neighbours.answer(given, neighbours.Asked(None, "", 300.0)),
    )
    found: Dict[str, str] = {}
    for finding in (finding for answer in answers for finding in answer.findings):
        if finding.about.name == "batch":  # who takes is above its request, of course
            continue
        assert finding.rule not in found, "the cluster has one of each"
        found[finding.rule] = finding.sureness
        assert finding.sureness == HIGH or finding.doubts
    assert tuple(found.get(rule) for rule in RULES) == wanted


def test_what_is_lacking_is_told_with_each_absent_finding() -> None:
    for fault in ("the history is away", "nothing is measured", "nodes may not be read"):
        answer = neighbours.answer(FAULTS[fault][0](a_cluster()), neighbours.Asked(None, "", 300.0))
        assert answer.worth.reasons, fault
