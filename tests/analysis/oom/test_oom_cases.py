"""The case file of OOM kills: each cause, pattern and piece of advice on minutes that were written by hand."""

from __future__ import annotations

import random
from typing import Any, List, Optional, Sequence, Tuple

import pytest
from krm.analysis.finding import CRITICAL, HIGH, LOW, MEDIUM, WARNING
from krm.analysis.inputs import Inputs, Kills
from krm.analysis.oom import cases
from krm.analysis.oom.advice import bumped
from krm.analysis.oom.case import Case
from krm.analysis.oom.cases import Asked, OomEvents
from krm.model.kills import (
    ANCESTOR_LIMIT,
    CGROUP,
    CONTAINER_LIMIT,
    KERNEL_LOG,
    NODE_WIDE,
    POD_LIMIT,
    STATUS,
    UNKNOWN,
    Kill,
    Moment,
)
from paper_inputs import GAP, MEMORY, MIB, NOW, STEP, a_pod, container, inputs, owned, track

AT = NOW - 300.0
LIMIT = int(256 * MIB)
WEB = container("app", {"memory": "128Mi"}, {"memory": "256Mi"})
N1 = {"metadata": {"name": "n1"}, "status": {"allocatable": {"memory": "4Gi"}}}


def minute(values: Sequence[float], at: float = AT, node_has: float = 2048) -> Tuple[Moment, ...]:
    """Moments of 10 s that end 1 s before the kill; MiB."""
    begin = at - 1 - 10 * (len(values) - 1)
    return tuple(
        Moment(begin + 10 * place, int(value * MIB), int(value * MIB), 0.25, int(node_has * MIB), 0.01)
        for place, value in enumerate(values)
    )


def kill(at: float = AT, **more: Any) -> Kill:
    given = {
        "id": f"n1/{at:.0f}", "node": "n1", "at": at, "after": at, "container_id": "c1", "pod_uid": "uid-web-0",
        "namespace": "shop", "pod": "web-0", "container": "app", "pid": 77, "process": "java",
        "rss": int(240 * MIB), "scope": CONTAINER_LIMIT, "limited": "/kubepods/pod1/c1", "limit": LIMIT,
        "container_ended": True, "witnesses": (KERNEL_LOG, CGROUP), "before": minute([250.0] * 7, at),
    }  # fmt: skip
    return Kill(**{**given, **more})


def given(kills: Sequence[Kill], pods: Any = None, tracks: Any = None, **more: Any) -> Inputs:
    pods = [a_pod("web-0", WEB, ownerReferences=owned("StatefulSet", "web"))] if pods is None else pods
    more = {"nodes": [N1], **more}
    return inputs(pods, {(MEMORY, "container"): tracks or []}, kills=kills, window=86400.0, **more)


def ask(inputs_: Inputs, **asked: Any) -> OomEvents:
    return cases.answer(inputs_, Asked(**asked))


def one(*kills: Kill, **more: Any) -> Case:
    (case,) = ask(given(kills, **more)).rows
    return case


def test_a_kill_at_its_own_limit_with_the_minute_before_and_a_limit_that_is_enough() -> None:
    found = ask(given([kill()]))
    (case,) = found.rows
    assert (case.cause, case.limit, case.child, case.pattern, case.sureness) == (
        "own limit", LIMIT, False, "", HIGH,
    )  # fmt: skip
    assert (case.owner, case.there, case.limit_now) == ("statefulset.apps/web", True, LIMIT)
    assert (case.peak, case.rose, case.waiting, case.node_available) == (250 * MIB, 0, 0.25, 2048 * MIB)
    # The larger of 256 + 100 and 256 x 1.2.
    assert case.limit_advised == 356 * MIB
    (finding,) = found.findings
    assert (finding.rule, finding.severity, finding.about.name) == ("oom-kill", WARNING, "web-0")
    assert finding.sentence == "shop/web-0 container app was killed 5m ago, at its own limit of 256Mi"
    assert finding.would_change.startswith("a memory limit of at least 356Mi; ")
    assert {row.what: row.value for row in finding.evidence}["limit that was hit"] == LIMIT


def test_the_bump_is_the_vpas() -> None:
    assert [bumped(used * MIB) / MIB for used in (1, 100, 500, 501, 1000.5)] == [101, 200, 600, 602, 1201]


@pytest.mark.parametrize(
    ("scope", "limited", "limit", "cause"),
    [
        (CONTAINER_LIMIT, "/kubepods/pod1/c1", LIMIT, "own limit"),
        (POD_LIMIT, "/kubepods/pod1", LIMIT, "pod limit"),
        (NODE_WIDE, "", None, "node pressure"),
        (ANCESTOR_LIMIT, "/test/kubepods", LIMIT, "node pressure"),
        (ANCESTOR_LIMIT, "/kubepods/burstable", LIMIT, "node pressure"),
        (ANCESTOR_LIMIT, "/kubepods.slice/kubepods-besteffort.slice", LIMIT, "node pressure"),
        (ANCESTOR_LIMIT, "/kubelet.slice/kubelet-kubepods.slice", LIMIT, "node pressure"),
        (ANCESTOR_LIMIT, "/system.slice/containerd.service", LIMIT, "other limit"),
        (ANCESTOR_LIMIT, "/kubepods-are-not-here", LIMIT, "other limit"),
    ],
)
def test_whose_limit_it_was(scope: str, limited: str, limit: Optional[int], cause: str) -> None:
    case = one(kill(scope=scope, limited=limited, limit=limit))
    assert (case.cause, case.sureness) == (cause, HIGH)


def test_a_node_without_memory_is_told_of_the_node_too_with_who_grew() -> None:
    wide = kill(scope=NODE_WIDE, limited="", limit=None, before=minute([100.0] * 7, node_has=30))
    tracks = [
        track([100.0 * MIB] * 5 + [900.0 * MIB], "db-0", "db", "lab", end=AT),
        track([10.0 * MIB] * 6, "calm", "calm", end=AT),
        track([10.0 * MIB] * 5 + [900.0 * MIB], "far", "far", node="n2", end=AT),
        track([10.0 * MIB] * 4 + [GAP, 900.0 * MIB], "hole", "hole", end=AT),
    ]
    found = ask(given([wide], tracks=tracks))
    (case,) = found.rows
    assert [(row.pod, row.grew) for row in case.neighbours] == [("hole", 890 * MIB), ("db-0", 800 * MIB)]
    assert case.neighbours_covered == (3, 3, "neighbours")
    assert [row.rule for row in found.findings] == ["node-out-of-memory", "oom-kill"]
    assert {row.severity for row in found.findings} == {CRITICAL}
    assert "beside it grew shop/hole hole +890Mi, lab/db-0 db +800Mi" in found.findings[1].sentence
    # It used 100 of the 128 MiB that it requests: no larger request would have saved it.
    assert case.would_change.startswith("it used 100Mi of the 128Mi that it requests")
    above = one(kill(scope=NODE_WIDE, limited="", limit=None, before=minute([200.0] * 7)))
    assert above.would_change.startswith("a memory request of at least 200Mi, which it used (128Mi is requested)")
    assert (above.limit_advised, "its neighbours used" in above.doubts[-1]) == (None, True)


def test_a_child_whose_container_goes_on() -> None:
    found = ask(given([kill(container_ended=False, process="worker")]))
    assert found.rows[0].child is True
    assert "worker of it was killed and the container goes on" in found.findings[0].sentence


def growing(per_hour: float, hours: float, end: float = AT, begin: float = 50.0) -> Any:
    points = int(hours * 240)
    noise = random.Random(7)
    return track(
        [(begin + per_hour * place / 240 + noise.uniform(-1, 1)) * MIB for place in range(points)], end=end
    )


def test_a_leak_has_its_slope_with_an_interval_and_no_limit_is_named() -> None:
    found = ask(given([kill(before=())], tracks=[growing(40, 5)]))
    (case,) = found.rows
    assert case.pattern == "leak"
    assert case.leak is not None
    assert case.leak.low < 40 * MIB / 3600 < case.leak.high
    assert case.leak.high - case.leak.low < 4 * MIB / 3600
    assert case.limit_advised is None
    assert case.would_change.startswith("find what leaks ")
    assert "it leaks " in found.findings[0].sentence


@pytest.mark.parametrize(
    ("tracks", "why"),
    [
        ([], "its memory in the hours before is not known"),
        ([growing(40, 0.5)], "an hour is needed"),
        ([growing(2, 5, begin=240)], ""),  # it grows, by too little to be why
    ],
)
def test_what_is_no_leak(tracks: List[Any], why: str) -> None:
    case = one(kill(), tracks=tracks)
    assert (case.pattern, case.leak) == ("", None)
    assert why in "; ".join(case.doubts)


def test_a_spike_at_the_end_of_a_slow_growth_is_a_spike() -> None:
    case = one(kill(before=minute([90, 90, 90, 90, 120, 200, 250])), tracks=[growing(5, 4)])
    assert (case.pattern, case.rose) == ("spike", 160 * MIB)
    assert case.limit_advised == 356 * MIB


def test_a_life_begins_after_the_kill_before() -> None:
    """What the container used before is no part of this life's trend."""
    rows = ask(given([kill(AT - 1800), kill(AT)], tracks=[growing(40, 5)])).rows
    assert [row.number for row in rows] == [2, 1]
    assert (rows[0].pattern, rows[1].pattern) == ("", "leak")


def test_several_kills_of_one_container_are_a_series_and_critical() -> None:
    kills = [kill(AT - 1200 * place) for place in range(4)] + [kill(AT - 5, pod="mail-0", pod_uid="uid-mail-0")]
    found = ask(given(kills))
    assert [(row.pod, row.kills, row.interval) for row in found.series] == [
        ("web-0", 4, 1200.0), ("mail-0", 1, None),
    ]  # fmt: skip
    (finding, single) = found.findings
    assert finding.severity == CRITICAL
    assert "was killed 4 times, the last 5m ago, one each 20m" in finding.sentence
    assert single.severity == WARNING


def test_another_pod_of_the_same_name_is_another_series() -> None:
    found = ask(given([kill(), kill(AT - 9, pod_uid="uid-of-old")]))
    assert len(found.series) == 2
    # To whom is told of it, it is the same thing that is the matter.
    assert len({row.id for row in found.findings}) == len(found.findings) == 1


def test_a_pod_that_is_gone_is_still_told() -> None:
    found = ask(given([kill(), kill(AT - 60)], pods=[]))
    assert [row.there for row in found.rows] == [False, False]
    assert found.rows[0].cause == "own limit"
    assert (found.findings[0].severity, "the pod is gone" in found.findings[0].sentence) == (WARNING, True)


def test_pods_that_are_not_known_are_not_gone() -> None:
    known = given([kill()])
    state = type(known.state)({}, {}, {"pods": "may not be read"})
    found = ask(known._replace(state=state))
    assert found.rows[0].there is None
    assert "pods: may not be read" in found.worth.reasons
    assert "which is not known" in found.rows[0].would_change


@pytest.mark.parametrize(
    ("before", "pods", "cause", "sureness"),
    [
        (minute([250.0] * 7), None, "own limit", MEDIUM),
        (minute([250.0] * 7, node_has=50), None, "own limit", LOW),
        (minute([100.0] * 7, node_has=50), None, "node pressure", LOW),
        (minute([100.0] * 7), None, "unknown", LOW),
        ((), None, "unknown", LOW),
        (minute([250.0] * 7), [], "unknown", LOW),
    ],
)
def test_without_the_kernels_log_the_cause_is_inferred_or_unknown(
    before: Any, pods: Any, cause: str, sureness: str
) -> None:
    silent = kill(scope=UNKNOWN, limited="", limit=None, witnesses=(CGROUP,), before=before)
    case = one(silent, pods=pods)
    assert (case.cause, case.sureness) == (cause, sureness)
    assert any("nobody tells" in doubt for doubt in case.doubts)
    # A number rests on what is surely known.
    assert (case.limit_advised is not None) == (sureness == MEDIUM)


def test_the_status_alone_is_never_sure() -> None:
    case = one(kill(witnesses=(STATUS,), after=AT - 40))
    assert case.sureness == LOW
    assert "when it was is known within 40 s" in case.doubts
    assert case.limit_advised is None


@pytest.mark.parametrize(
    ("pod", "more", "says", "number"),
    [
        (a_pod("web-0", container("app", {}, {"memory": "1Gi"})), {}, "its limit is 1Gi by now", None),
        (a_pod("web-0", container("app", {}, {"memory": "300Mi"})), {}, "a memory limit of at least 356Mi;", 356),
        (a_pod("web-0", container("app")), {}, "it has no memory limit any more", None),
        (None, {"nodes": [{"status": {"allocatable": {"memory": "300Mi"}}}]}, "no node has that", None),
        (None, {"nodes": [N1, {"status": {"allocatable": {"memory": "x"}}}]}, "which is not known", 356),
    ],
)
def test_advice_heeds_what_is_in_force_and_what_nodes_have(pod: Any, more: Any, says: str, number: Any) -> None:
    case = one(kill(), pods=None if pod is None else [pod], **more)
    assert says in case.would_change
    assert case.limit_advised == (None if number is None else number * MIB)


def test_the_limit_of_a_pod() -> None:
    at_pod = kill(scope=POD_LIMIT, limited="/kubepods/pod1")
    # Of one container, the pod's limit is the container's.
    assert one(at_pod).limit_advised == 356 * MIB
    several = one(at_pod, pods=[a_pod("web-0", WEB, container("side"))])
    assert (several.limit_advised, several.would_change[:20]) == (None, "higher memory limits")
    whole = a_pod("web-0", WEB, container("side"), spec={"resources": {"limits": {"memory": "256Mi"}}})
    assert one(at_pod, pods=[whole]).would_change.startswith("a memory limit of the pod (spec.resources) of at ")


def test_only_those_that_are_asked_for() -> None:
    host = kill(AT - 9, namespace="", pod="", pod_uid="", container="", container_id="", process="backup")
    known = given([kill(), host, kill(AT - 20, namespace="lab", pod_uid="u2"), kill(AT - 30, node="n2")])
    assert len(ask(known).rows) == 4
    assert len(ask(known, namespace="shop").rows) == 2
    assert len(ask(known, namespace="lab", pod="web-0").rows) == 1
    assert [row.node for row in ask(known, node="n2").rows] == ["n2"]
    assert str(ask(known, pod="none")).splitlines()[0] == "no OOM kills of the last day are known here"
    assert "node n1: backup was killed" in "\n".join(row.sentence for row in ask(known).findings)


def test_kills_that_are_not_live_lower_sureness_and_are_said() -> None:
    known = given([kill()])._replace(kills=Kills((kill(),), "stale", ("the collector is away",)))
    found = ask(known)
    assert found.worth.state == "stale"
    assert found.findings[0].sureness == MEDIUM
    assert "kills are stale: there may be newer ones" in found.findings[0].doubts


def test_order_and_samples_outside_of_the_window_change_nothing() -> None:
    seed = 20261128
    print(f"seed {seed}")
    rng = random.Random(seed)
    kills = [kill(AT - 1000 * place, scope=rng.choice([CONTAINER_LIMIT, NODE_WIDE])) for place in range(6)]
    tracks = [growing(40, 5), track([100.0 * MIB] * 300 + [900.0 * MIB] * 100, "db-0", "db", end=NOW)]
    expected = ask(given(kills, tracks=tracks)).to_dict()
    early = [one._replace(times=[NOW - 90000.0, *one.times], values=[9e12, *one.values]) for one in tracks]
    for _ in range(5):
        rng.shuffle(kills)
        rng.shuffle(early)
        assert ask(given(kills, tracks=early)).to_dict() == expected


def test_one_malformed_pod_or_node_stops_nothing() -> None:
    broken: Any = {"metadata": {"uid": "uid-web-0", "name": 7}, "spec": {"containers": 5, "resources": []}}
    case = one(kill(), pods=[broken, {"metadata": None}], nodes=[{"status": []}])
    assert (case.cause, case.limit_advised is None) == ("own limit", True)


def test_it_prints_and_becomes_plain_values() -> None:
    found = ask(given([kill()], tracks=[track([1.0 * MIB] * 5, end=NOW + STEP)]))
    assert str(found).splitlines()[0].split()[:3] == ["TIME", "NAMESPACE", "POD"]
    assert found.to_dict()["rows"][0]["before"][0]["working_set"] == 250 * MIB
    assert len(found.cells(wide=True)[0]) == 17
