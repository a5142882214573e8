"""Quotas: hand-computed shares, scopes, dates, unused parts; nothing is guessed, order is nothing."""

from __future__ import annotations

import math
import random
from typing import Any, Dict, List, Optional

import pytest
from krm.analysis.inputs import HourTrack, NotKnown, Which
from krm.analysis.quota.hysteresis import above_since
from krm.analysis.quota.usage import Asked, answer, needs
from paper_findings import DAY, GIB, NOW, STEP, found, inputs, named, of_quota, pod, quota, series

USED: Which = ("quota/used", "namespace")


def _one(hard: str, used: Optional[str], resource: str = "requests.cpu", past: Any = (), **asked: Any) -> Any:
    """The only row of the only quota. past: values of quota/used, the last one now."""
    told = quota("q", {resource: hard}, None if used is None else {resource: used})
    tracks = {USED: [series(of_quota("q", resource), past)]} if len(past) else {}
    return answer(inputs({"resourcequotas": [told]}, tracks), Asked(**asked))


@pytest.mark.parametrize(
    ("resource", "hard", "used", "share", "free"),
    [
        ("requests.cpu", "4", "3500m", 0.875, "500m"),
        ("requests.cpu", "4", "1", 0.25, "3"),
        ("limits.memory", "10Gi", "2560Mi", 0.25, "7680Mi"),
        ("requests.memory", "1G", "500M", 0.5, "500M"),
        ("pods", "10", "3", 0.3, "7"),
        ("requests.storage", "1Ti", "1536Gi", 1.5, "-512Gi"),
        ("count/deployments.apps", "3", "3", 1.0, "0"),
        ("requests.nvidia.com/gpu", "8", "6", 0.75, "2"),
        ("persistentvolumeclaims", "0", "0", None, "0"),
        ("requests.cpu", "1", "333m", 0.333, "667m"),
        ("services.loadbalancers", "5", None, None, None),
    ],
)
def test_used_of_hard_in_their_own_form(
    resource: str, hard: str, used: Optional[str], share: Optional[float], free: Optional[str]
) -> None:
    row = _one(hard, used, resource).rows[0]
    assert (row.hard, row.used, row.free) == (hard, used, free)
    assert row.share == (None if share is None else pytest.approx(share))


def test_what_is_not_counted_yet_is_unknown_and_told() -> None:
    made = _one("4", None)
    assert made.rows[0].used is None
    assert [one.severity for one in found(made, "quota-not-counted")] == ["warning"]
    half = quota("q", {"requests.cpu": "1", "typo.cpu": "1"}, {"requests.cpu": "0"})
    made = answer(inputs({"resourcequotas": [half]}), Asked())
    assert [one.about.part for one in found(made, "quota-not-counted")] == ["typo.cpu"]


def test_one_malformed_quota_does_not_stop_the_rest() -> None:
    bad: List[Any] = [
        {"metadata": "x", "spec": 3, "status": []},
        quota("worse", {"pods": "many"}, {"pods": 7}),
        {"metadata": {"name": "n", "namespace": "shop"}, "spec": {"hard": {"cpu": {}}, "scopes": "Terminating"}},
    ]
    made = answer(inputs({"resourcequotas": [*bad, quota("q", {"pods": "4"}, {"pods": "1"})]}), Asked())
    shares = {(row.quota, row.resource): row.share for row in made.rows}
    assert shares == {("q", "pods"): 0.25, ("worse", "pods"): None, ("n", "cpu"): None}


@pytest.mark.parametrize(
    ("used", "severity", "above"),
    [("79", None, None), ("80", "warning", 0.8), ("94", "warning", 0.8), ("95", "critical", 0.95),
     ("130", "critical", 0.95)],
)  # fmt: skip
def test_thresholds_are_of_the_use_now(used: str, severity: Optional[str], above: Optional[float]) -> None:
    made = _one("100", used, "pods")
    assert [one.severity for one in found(made, "quota-threshold")] == ([severity] if severity else [])
    assert made.rows[0].above == above


# Shares oldest first, threshold .8, margin .02 -> place of the point since when it is passed.
@pytest.mark.parametrize(
    ("shares", "since"),
    [
        ([0.7, 0.79], None),
        ([0.7, 0.8, 0.79, 0.78], 1),
        ([0.7, 0.8, 0.7799, 0.79], None),
        ([0.9, 0.7, 0.85, 0.79], 2),
        ([0.79, 0.79], None),
        ([], None),
        ([0.8], 0),
    ],
)
def test_a_threshold_holds_until_the_use_is_clearly_below_it(shares: List[float], since: Optional[int]) -> None:
    assert above_since(list(enumerate(shares)), 0.8, 0.02) == since


def test_an_alert_does_not_flap_around_its_threshold() -> None:
    """79 and 80 by turns are one alert; the doubt says why it is still told."""
    made = _one("100", "79", "pods", [80.0, 79.0] * 50)
    one = found(made, "quota-threshold")[0]
    assert "until it is below 78%" in one.doubts[0]
    assert made.rows[0].above_since == NOW - 99 * STEP
    assert not found(_one("100", "77", "pods", [80.0, 79.0] * 50), "quota-threshold")


def test_a_quota_that_was_raised_is_measured_by_what_it_allows_now() -> None:
    assert not found(_one("200", "96", "pods", [96.0] * 100), "quota-threshold")


def test_nothing_allowed_and_something_used_is_critical() -> None:
    made = _one("0", "2", "pods")
    assert [one.severity for one in found(made, "quota-threshold")] == ["critical"]
    assert "2 are used where none may be" in made.findings[0].sentence


def test_the_date_of_exhaustion_of_an_exact_line() -> None:
    """240 points: 10 more pods an hour, 40 now, 60 may be: in two hours."""
    past = [40.0 - 10.0 / 240 * back for back in range(239, -1, -1)]
    made = _one("60", "40", "pods", past, window=3600.0)
    row = made.rows[0]
    assert row.full_at == pytest.approx(NOW + 7200, abs=30)
    assert row.full_earliest <= row.full_at <= row.full_latest
    assert row.per_day == pytest.approx(240, rel=0.01)
    one = found(made, "quota-exhaustion")[0]
    assert (one.severity, one.sureness) == ("warning", "high")
    assert "is used up in 120m" in one.sentence


@pytest.mark.parametrize("past", [[], [5.0] * 3, [5.0] * 200, list(range(200, 0, -1)), [math.nan] * 200])
def test_no_basis_is_no_date(past: List[float]) -> None:
    row = _one("1000", "5", "pods", past, window=3600.0).rows[0]
    assert (row.full_at, row.full_earliest, row.full_latest) == (None, None, None)


def test_what_was_not_used_for_99_of_100_points() -> None:
    """99 points of 100 at 2 cores, one at 3: P99 by nearest rank is 2, so 8 of 10 cores are not needed."""
    past = ([2000.0] * 99 + [3000.0]) * 57 + [2000.0] * 60
    made = _one("10", "2", "requests.cpu", past)
    row = made.rows[0]
    assert (row.p99, row.unused) == ("2", "8")
    one = found(made, "quota-unused")[0]
    assert (one.severity, one.sureness) == ("info", "medium")
    assert "a week's pattern" in one.doubts[0]
    memory = _one("8Gi", "1Gi", "requests.memory", [float(GIB)] * 5760).rows[0]
    assert (memory.p99, memory.unused) == ("1Gi", "7Gi")


def test_the_99th_percentile_is_no_lower_one() -> None:
    """Two points of a hundred are above what 98 of them need: they are within 99 %."""
    row = _one("10", "2", past=([2000.0] * 98 + [3000.0] * 2) * 57).rows[0]
    assert (row.p99, row.unused) == ("3", "7")


def test_nothing_is_called_unused_on_half_a_day_or_while_it_is_used() -> None:
    assert not found(_one("10", "2", past=[2000.0] * 2880), "quota-unused")
    assert not found(_one("10", "9", past=[2000.0] * 5760), "quota-unused")
    assert not found(_one("10", "5", past=[5000.0] * 5760), "quota-unused")


def test_beyond_a_day_maxima_of_hours_are_looked_at() -> None:
    asked = Asked(window=7 * DAY)
    assert needs(asked).hours_back == 7 * DAY
    ends = [NOW - 3600.0 * back for back in range(167, -1, -1)]
    hours = HourTrack(of_quota("q", "pods"), ends, [1.0] * 168, [2.0] * 168, [3600.0] * 168)
    made = answer(
        inputs({"resourcequotas": [quota("q", {"pods": "10"}, {"pods": "1"})]}, hours={USED: [hours]}), asked
    )
    assert (made.rows[0].p99, str(made.rows[0].covers)) == ("2", "168 of 168 points")
    assert found(made, "quota-unused")[0].sureness == "high"


def _classed(operator: str, *values: str) -> Dict[str, Any]:
    return {"scopeSelector": {"matchExpressions": [
        {"scopeName": "PriorityClass", "operator": operator, "values": list(values)}]}}  # fmt: skip


ASKS = {"cpu": "100m"}
PODS = [
    pod("plain", requests=ASKS),
    pod("best"),
    pod("batch", requests=ASKS, activeDeadlineSeconds=600),
    pod("high", requests=ASKS, priorityClassName="high"),
    pod("low", limits={"memory": "1Gi"}, priorityClassName="low"),
    pod("near", requests=ASKS, affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"namespaces": ["other"], "topologyKey": "zone"}]}}),
    {**pod("ended", requests=ASKS), "status": {"phase": "Succeeded"}},
    {**pod("stuck"), "metadata": {"name": "stuck", "namespace": "shop",
                                  "deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30}},
    pod("elsewhere", "other"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "selected"),
    [
        ({}, "batch best high low near plain"),
        ({"scopes": ["Terminating"]}, "batch"),
        ({"scopes": ["NotTerminating"]}, "best high low near plain"),
        ({"scopes": ["BestEffort"]}, "best"),
        ({"scopes": ["NotBestEffort"]}, "batch high low near plain"),
        ({"scopes": ["NotBestEffort", "NotTerminating"]}, "high low near plain"),
        ({"scopes": ["CrossNamespacePodAffinity"]}, "near"),
        ({"scopes": ["PriorityClass"]}, "high low"),
        (_classed("In", "high"), "high"),
        (_classed("NotIn", "high"), "batch best low near plain"),
        (_classed("Exists"), "high low"),
        (_classed("DoesNotExist"), "batch best near plain"),
        ({"scopes": ["VolumeAttributesClass"]}, None),
        ({"scopes": ["OfTheFuture"]}, None),
    ],
)
def test_which_pods_a_scope_selects(spec: Dict[str, Any], selected: Optional[str]) -> None:
    made = answer(
        inputs({"resourcequotas": [quota("q", {"pods": "9"}, {"pods": "1"}, **spec)], "pods": PODS}), Asked()
    )
    told = made.quotas[0]
    assert told.pods == (None if selected is None else tuple(selected.split()))
    assert (told.of, made.rows[0].pods_of) == (6, 6)
    assert bool(told.scopes) == bool(spec)


def test_pods_that_are_not_known_are_not_zero() -> None:
    made = answer(
        inputs({"resourcequotas": [quota("q", {"pods": "9"}, {"pods": "1"})]}, lacks={"pods": "no"}), Asked()
    )
    assert (made.quotas[0].pods, made.rows[0].pods, made.without, made.cluster) == (None, None, None, None)
    assert "pods: no" in made.worth.reasons
    with pytest.raises(NotKnown):
        answer(inputs({"pods": []}), Asked())


def test_namespaces_without_a_quota_are_one_finding() -> None:
    spaces = [named(name) for name in ("shop", "a", "b", "kube-system")]
    made = answer(
        inputs({"resourcequotas": [quota("q", {"pods": "9"}, {"pods": "1"})], "namespaces": spaces}), Asked()
    )
    assert made.without == ("a", "b", "kube-system")
    assert [one.sentence for one in found(made, "namespace-without-quota")] == [
        "2 of 4 namespaces have no ResourceQuota: a, b"
    ]
    one = answer(inputs({"resourcequotas": [], "namespaces": spaces}), Asked("a"))
    assert [about.about.name for about in found(one, "namespace-without-quota")] == ["a"]


def test_quotas_together_beside_what_nodes_have() -> None:
    """shop: the tighter of 4 and 3; data: 2 scoped and 1 scoped; 3 + 3 = 6 of 2 x 2 cores. Memory is not spoilt."""
    quotas = [
        quota("one", {"cpu": "4", "limits.cpu": "100"}, {}),
        quota("two", {"requests.cpu": "3"}, {}),
        quota("high", {"requests.cpu": "2"}, {}, "data", scopes=["PriorityClass"]),
        quota("batch", {"requests.cpu": "1", "requests.memory": "1Gi"}, {}, "data", scopes=["Terminating"]),
    ]
    nodes = [named(name, allocatable={"cpu": "2", "memory": "4Gi"}) for name in ("n1", "n2")]
    spaces = [named(name) for name in ("shop", "data", "free")]
    made = answer(inputs({"resourcequotas": quotas, "nodes": nodes, "namespaces": spaces}), Asked())
    assert made.cluster is not None
    assert [(row.resource, row.hard, row.allocatable, row.share, str(row.namespaces)) for row in made.cluster] == [
        ("limits.cpu", "100", "4", 25.0, "1 of 3 namespaces"),
        ("requests.cpu", "6", "4", 1.5, "2 of 3 namespaces"),
        ("requests.memory", "1Gi", "8Gi", 0.125, "1 of 3 namespaces"),
    ]
    assert [one.about.part for one in found(made, "quota-overcommitted")] == ["requests.cpu"]


@pytest.mark.parametrize("seed", range(5))
def test_order_batching_and_what_is_outside_the_window_are_nothing(seed: int) -> None:
    print(f"seed {seed}")
    draw = random.Random(seed)
    quotas = [
        quota(f"q{place}", {"pods": "50", "cpu": "4"}, {"pods": str(draw.randrange(60)), "cpu": "1"})
        for place in range(6)
    ]
    tracks = [
        series(of_quota(f"q{place}", "pods"), [draw.gauss(20 + at / 20, 3) for at in range(240)])
        for place in range(6)
    ]
    kinds = {"resourcequotas": quotas, "pods": PODS, "namespaces": [named("b"), named("a")], "nodes": []}
    plain = answer(inputs(kinds, {USED: tracks}), Asked(window=3600.0))
    mixed_kinds = {kind: draw.sample(rows, len(rows)) for kind, rows in kinds.items()}
    wider = []
    for track in draw.sample(tracks, len(tracks)):
        pairs = list(zip(track.times, track.values))
        pairs += [(NOW - 3600.0 - STEP * back, 1e9) for back in range(50)] + [(NOW + 15.0, 1e9)]
        draw.shuffle(pairs)
        wider.append(track._replace(times=[at for at, _ in pairs], values=[value for _, value in pairs]))
    mixed = answer(inputs(mixed_kinds, {USED: wider}), Asked(window=3600.0))
    assert mixed.rows == plain.rows
    assert mixed.findings == plain.findings
    assert mixed.quotas == plain.quotas


# Fault -> what becomes of (threshold, exhaustion, unused) of a quota at 90 % that grows.
@pytest.mark.parametrize(
    ("fault", "threshold", "exhaustion"),
    [
        ("none", "high", "high"),
        ("stale", "low", "low"),
        ("gaps", "high", "medium"),
        ("few", "high", "low"),
        ("no history", "high", None),
        ("not counted", None, None),
        ("clock an hour ahead", "high", None),
    ],
)
def test_chaos(fault: str, threshold: Optional[str], exhaustion: Optional[str]) -> None:
    past = [90.0 - 20.0 / 240 * back for back in range(239, -1, -1)]
    if fault == "gaps":
        past = [math.nan if place % 4 == 1 else value for place, value in enumerate(past)]
    if fault == "few":
        past = [math.nan if place % 3 else value for place, value in enumerate(past)]
    track = series(of_quota("q", "pods"), past, NOW + (3700.0 if fault.startswith("clock") else 0.0))
    told = quota("q", {"pods": "100"}, None if fault == "not counted" else {"pods": "90"})
    made = answer(
        inputs(
            {"resourcequotas": [told]},
            {} if fault == "no history" else {USED: [track]},
            states={"resourcequotas": "stale"} if fault == "stale" else {},
        ),
        Asked(window=3600.0),
    )
    for rule, expected in (("quota-threshold", threshold), ("quota-exhaustion", exhaustion)):
        assert [one.sureness for one in found(made, rule)] == ([expected] if expected else []), rule
    assert made.worth.state == ("stale" if fault == "stale" else "live")
