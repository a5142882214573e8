"""Quotas: what is used of them, since when too much, when they are used up, what of them nobody needs.

What a quota holds is what its controller has counted (status), exact. The past is quota/used of the history, whose
shares are taken of what is allowed now: a quota that was raised is no longer near its end, whatever it was.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from krm.analysis import trend
from krm.analysis.finding import Finding
from krm.analysis.inputs import Body, Inputs, Needs, of_namespace
from krm.analysis.quota import findings
from krm.analysis.quota.hysteresis import above_since
from krm.analysis.quota.overcommit import bounded, cluster_sums, quantity
from krm.analysis.quota.rows import Quotas, QuotaScope, ResourceUse, measured, number, text_of
from krm.analysis.quota.scopes import Scope, counted, scopes_of, selects
from krm.analysis.quota.staircase import used_up
from krm.analysis.stats import known, nearest_rank
from krm.analysis.worth import worth_of
from krm.model.measures import NAMESPACE, Covers, Subject
from krm.model.quantities import Quantity, subtract
from krm.model.reading import mapping, text

USED = "quota/used"
STEP = 15.0  # seconds between two points of the history
DETAIL = 86400.0  # seconds for which points are kept; what is asked beyond it is of whole hours
HOUR = 3600.0
Points = List[Tuple[float, float]]


class Asked(NamedTuple):
    """Which rows are wanted."""

    namespace: Optional[str] = None  # None = all
    window: float = DETAIL  # seconds
    thresholds: Tuple[float, ...] = (0.80, 0.95)  # shares of hard, lowest first


def needs(asked: Asked) -> Needs:
    """What it is made of."""
    long = asked.window > DETAIL
    return Needs(
        ("resourcequotas",),
        ("namespaces", "pods", *(("nodes",) if asked.namespace is None else ())),
        points=((USED, NAMESPACE),),
        window=min(asked.window, DETAIL),
        hours=((USED, NAMESPACE),) if long else (),
        hours_back=asked.window if long else 0.0,
        namespace=asked.namespace,
    )


def answer(inputs: Inputs, asked: Asked) -> Quotas:
    """Pure. Raises NotKnown without the quotas."""
    quotas = sorted(of_namespace(inputs.state.objects("resourcequotas"), asked.namespace), key=_place)
    past, pods = _Past(inputs, asked), _pods(inputs, asked.namespace)
    rows: List[ResourceUse] = []
    selected: List[QuotaScope] = []
    found: List[Finding] = []
    for quota in quotas:
        scopes = scopes_of(quota)
        told = _selected(quota, scopes, pods)
        selected.append(told)
        for resource in _resources(quota):
            row = _row(quota, resource, told, past, asked)
            rows.append(row)
            found += findings.of_row(row, asked, inputs)
    without = _without(inputs, asked, quotas)
    cluster = _cluster(inputs, asked, quotas)
    found += findings.of_namespaces(without, _spaces(inputs), asked, inputs)
    found += findings.of_cluster(cluster or (), inputs)
    return Quotas(worth_of(inputs, needs(asked)), tuple(found), tuple(rows), tuple(selected), without, cluster)


class _Past:
    """Points of quota/used by subject, of the window alone."""

    def __init__(self, inputs: Inputs, asked: Asked) -> None:
        self._history, self._by_hour = inputs.history, asked.window > DETAIL
        self.begin, self.end = inputs.now - asked.window, inputs.now
        hours = inputs.history.hours(USED, NAMESPACE) if self._by_hour else ()
        self._hours = {(one.subject.namespace, one.subject.resource_id): one for one in hours}

    def points(self, namespace: str, quota: str, resource: str) -> Tuple[Points, int]:
        """(Unix seconds, used) oldest first, and how many points of the window there are; hours beyond a day."""
        name = f"{quota}/{resource}"
        if self._by_hour:
            found = self._hours.get((namespace, name))
            pairs = [] if found is None else zip(found.ends, found.maxima)
        else:
            track = self._history.track(USED, NAMESPACE, Subject(namespace, resource_id=name))
            pairs = [] if track is None else zip(track.times, track.values)
        points = sorted((at, value) for at, value in pairs if self.begin < at <= self.end and value == value)
        return points, len(points)

    @property
    def of(self) -> int:
        """Points that the window has."""
        return int((self.end - self.begin) // (HOUR if self._by_hour else STEP))


def _row(quota: Body, resource: str, selected: QuotaScope, past: _Past, asked: Asked) -> ResourceUse:
    namespace, name = _place(quota)
    hard, used = _amount(quota, "hard", resource), _amount(quota, "used", resource)
    points, count = past.points(namespace, name, resource)
    share = float(used.value / hard.value) if used is not None and hard is not None and hard.value else None
    above, since = _above(points, hard, used, resource, past.end, asked.thresholds)
    p99 = unused = None
    # In less than most of a day the peak has not been yet: what is unused is not known.
    long_enough = bool(past.of) and (past.end - past.begin) * count / past.of >= findings.UNUSED_AFTER
    if points and hard is not None and long_enough:
        p99 = measured(nearest_rank(known(value for _, value in points), 0.99), resource, hard.form)
        unused = subtract(hard, p99)
    per_day, full = _trend(points, hard, used, resource, past.end)
    return ResourceUse(
        namespace, name, resource, text_of(hard), text_of(used),
        None if hard is None or used is None else text_of(subtract(hard, used)),
        share, above, since, text_of(p99), text_of(unused), per_day,
        None if full is None else full.at, None if full is None else full.earliest,
        None if full is None else full.latest, Covers(count, past.of, "points") if past.of else None,
        selected.scopes, None if selected.pods is None else len(selected.pods), selected.of,
    )  # fmt: skip


def _above(
    points: Points, hard: Optional[Quantity], used: Optional[Quantity], resource: str, now: float,
    thresholds: Sequence[float],
) -> Tuple[Optional[float], Optional[float]]:  # fmt: skip
    """The highest threshold that is passed and since when: the past's points, then what is counted now."""
    if hard is None or used is None:
        return None, None
    allowed = number(hard, resource)
    if not allowed:  # nothing may be used; what is, is above every threshold
        return (max(thresholds), now) if used.value > 0 else (None, None)
    shares = [(at, value / allowed) for at, value in points]
    shares.append((now, float(used.value / hard.value)))
    for threshold in sorted(thresholds, reverse=True):
        since = above_since(shares, threshold)
        if since is not None:
            return threshold, since
    return None, None


def _trend(
    points: Points, hard: Optional[Quantity], used: Optional[Quantity], resource: str, now: float
) -> Tuple[Optional[float], Optional[trend.Crossing]]:
    if hard is None or not points:
        return None, None
    times, values = [at for at, _ in points], [value for _, value in points]
    if len(points) >= 8 and min(values) == max(values):
        return 0.0, None  # nearly always
    slope = trend.slope(times, values)
    full = None if used is None else used_up(points, number(hard, resource), number(used, resource), now)
    return None if slope is None else slope.per_second * DETAIL, full


def _resources(quota: Body) -> List[str]:
    spec, status = mapping(quota.get("spec")), mapping(quota.get("status"))
    return sorted({*mapping(spec.get("hard")), *mapping(status.get("hard")), *mapping(status.get("used"))})


def _amount(quota: Body, field: str, resource: str) -> Optional[Quantity]:
    """Of the status, by which admission goes; what is allowed is the spec's where there is no status yet."""
    status = mapping(mapping(quota.get("status")).get(field))
    if resource in status:
        return quantity(status[resource])
    return quantity(mapping(mapping(quota.get("spec")).get("hard")).get(resource)) if field == "hard" else None


def _selected(quota: Body, scopes: Tuple[Scope, ...], pods: Optional[Dict[str, List[Body]]]) -> QuotaScope:
    namespace, name = _place(quota)
    told = tuple(map(str, scopes))
    if pods is None:
        return QuotaScope(namespace, name, told, None, None)
    here = pods.get(namespace, [])
    answers = [(text(mapping(pod.get("metadata")).get("name")), selects(scopes, pod)) for pod in here]
    if any(chosen is None for _, chosen in answers):
        return QuotaScope(namespace, name, told, None, len(here))
    return QuotaScope(namespace, name, told, tuple(sorted(pod for pod, chosen in answers if chosen)), len(here))


def _pods(inputs: Inputs, namespace: Optional[str]) -> Optional[Dict[str, List[Body]]]:
    """Those that quotas count, by namespace; None = not known."""
    bodies = inputs.state.maybe("pods")
    if bodies is None:
        return None
    found: Dict[str, List[Body]] = {}
    for pod in of_namespace(bodies, namespace):
        if counted(dict(pod), inputs.now):
            found.setdefault(text(mapping(pod.get("metadata")).get("namespace")), []).append(pod)
    return found


def _without(inputs: Inputs, asked: Asked, quotas: Sequence[Body]) -> Optional[Tuple[str, ...]]:
    spaces = _spaces(inputs)
    if spaces is None:
        return None
    some = bounded(quotas)
    return tuple(name for name in spaces if name not in some and asked.namespace in (None, name))


def _spaces(inputs: Inputs) -> Optional[List[str]]:
    bodies = inputs.state.maybe("namespaces")
    return None if bodies is None else sorted(text(mapping(one.get("metadata")).get("name")) for one in bodies)


def _cluster(inputs: Inputs, asked: Asked, quotas: Sequence[Body]) -> Any:
    nodes, spaces = inputs.state.maybe("nodes"), _spaces(inputs)
    if asked.namespace is not None or nodes is None:
        return None
    return cluster_sums(quotas, nodes, None if spaces is None else len(spaces))


def _place(quota: Body) -> Tuple[str, str]:
    metadata = mapping(quota.get("metadata"))
    return text(metadata.get("namespace")), text(metadata.get("name"))
