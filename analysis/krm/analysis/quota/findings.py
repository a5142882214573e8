"""What of quotas a person should know: the rules. docs/findings.md has a row for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, List, Optional, Sequence, Tuple

from krm.analysis.finding import CRITICAL, HIGH, INFO, LOW, MEDIUM, WARNING, About, Evidence, Finding
from krm.analysis.inputs import Inputs
from krm.analysis.quota.hysteresis import MARGIN
from krm.analysis.quota.overcommit import quantity
from krm.analysis.quota.rows import ClusterSum, ResourceUse, joined, number, percent, unit_of
from krm.model.times import age
from krm.model.trust import LIVE

if TYPE_CHECKING:
    from krm.analysis.quota.usage import Asked

# Seconds. A date that is nearer than this is a warning, a later one is news.
SOON = 3 * 86400.0
# Times the time that is left. Where its interval goes beyond that the date is told with little sureness.
WIDE = 5.0
# Share of hard. Where not even this was used for 99 % of the time, the quota is more than is needed.
UNUSED_BELOW = 0.5
# Seconds of history below which nothing is called unused: nights are not days.
UNUSED_AFTER = 20 * 3600.0
# Kubernetes' own: who runs a cluster puts no quota on them.
_OWN = ("kube-system", "kube-public", "kube-node-lease")


def of_row(row: ResourceUse, asked: Asked, inputs: Inputs) -> List[Finding]:
    """Of one resource of one quota."""
    if row.used is None or row.hard is None:
        return [_uncounted(row, inputs)]
    made = (_threshold(row, asked, inputs), _exhaustion(row, inputs), _unused(row, asked, inputs))
    return [one for one in made if one is not None]


def _about(row: ResourceUse) -> About:
    return About("resourcequota", row.namespace, row.quota, part=row.resource)


def _named(row: ResourceUse) -> str:
    return f"{row.resource} of quota {row.namespace}/{row.quota}"


def _counted(row: ResourceUse, inputs: Inputs) -> Tuple[Evidence, ...]:
    """What the controller has counted, and what is allowed."""
    trust = inputs.state.trust.get("resourcequotas")
    at = None if trust is None else trust.current_as_of
    unit = unit_of(row.resource)
    return tuple(
        Evidence(what, None if one is None else number(one, row.resource), unit, source, at)
        for what, one, source in (("used", quantity(row.used), "status"), ("hard", quantity(row.hard), "status"))
    )


def _sure(inputs: Inputs, doubts: Sequence[str] = (), most: str = HIGH) -> Tuple[str, Tuple[str, ...]]:
    """HIGH (or `most`) where the quotas are live."""
    trust = inputs.state.trust.get("resourcequotas")
    if trust is not None and trust.state != LIVE:
        return LOW, (f"the quotas are {trust.state}: {'; '.join(trust.reasons)}", *doubts)
    return most, tuple(doubts)


def _uncounted(row: ResourceUse, inputs: Inputs) -> Finding:
    sureness, doubts = _sure(inputs)
    what = "what is used" if row.used is None else "what is allowed"
    return Finding(
        "quota-not-counted", WARNING, _about(row),
        f"{what} of {_named(row)} is not known: the quota controller has not counted it, or wrote no quantity",
        _counted(row, inputs), sureness, doubts,
        "a resource that no controller knows (a misspelt name) is never counted, and bounds nothing",
    )  # fmt: skip


def _threshold(row: ResourceUse, asked: Asked, inputs: Inputs) -> Optional[Finding]:
    if row.above is None or row.above_since is None:
        return None
    severity = CRITICAL if row.above == max(asked.thresholds) else WARNING
    since = f"for {age(inputs.now - row.above_since)}" if row.above_since < inputs.now else "now"
    if row.share is None:
        said = f"{_named(row)}: {row.used} are used where none may be"
    elif row.share >= 1:
        said = f"{_named(row)} is used up: {row.used} of {row.hard}; whatever asks for more is refused"
    else:
        said = f"{percent(row.share)} of {_named(row)} are used: {row.used} of {row.hard}"
    doubts = []
    if row.share is not None and row.share < row.above - 1e-9:
        doubts.append(
            f"it is below {percent(row.above)} again, and told until it is below {percent(row.above - MARGIN)}"
        )
    sureness, told = _sure(inputs, doubts)
    return Finding(
        "quota-threshold", severity, _about(row), f"{said} (above {percent(row.above)} {since})",
        _counted(row, inputs), sureness, told, "a higher quota, or fewer or smaller requests",
    )  # fmt: skip


def _exhaustion(row: ResourceUse, inputs: Inputs) -> Optional[Finding]:
    if row.full_at is None or row.full_earliest is None or row.full_latest is None:
        return None
    spans = [age(at - inputs.now) for at in (row.full_at, row.full_earliest, row.full_latest)]
    sureness, doubts = _trended(row, inputs)
    if row.full_latest - inputs.now > WIDE * (row.full_at - inputs.now):
        sureness, doubts = LOW, (*doubts, "it does not grow steadily: the date may be far off")
    trended = Evidence("growth a day", row.per_day, unit_of(row.resource), "history", None, _span(row), row.covers)
    return Finding(
        "quota-exhaustion", WARNING if row.full_at - inputs.now <= SOON else INFO, _about(row),
        f"{_named(row)} is used up in {spans[0]} if it goes on so (between {spans[1]} and {spans[2]} with 90 %): "
        f"{row.used} of {row.hard} are used",
        (*_counted(row, inputs), trended), sureness, doubts, "a jump (a release, a scaling) begins the trend anew",
    )  # fmt: skip


def _unused(row: ResourceUse, asked: Asked, inputs: Inputs) -> Optional[Finding]:
    hard, p99 = quantity(row.hard), quantity(row.p99)
    if hard is None or p99 is None or not hard.value or row.covers is None:
        return None
    seen = asked.window * row.covers.known / row.covers.of if row.covers.of else 0.0
    if p99.value >= hard.value * UNUSED_BELOW or seen < UNUSED_AFTER or (row.share or 0.0) >= UNUSED_BELOW:
        return None
    sureness, doubts = _trended(row, inputs, asked.window < 7 * 86400.0)
    seldom = Evidence(
        "99th percentile",
        number(p99, row.resource),
        unit_of(row.resource),
        "history",
        None,
        asked.window,
        row.covers,
    )
    return Finding(
        "quota-unused", INFO, _about(row),
        f"{row.unused} of {_named(row)} were not used for 99 % of the last {age(asked.window)}: {row.p99} of "
        f"{row.hard} were enough",
        (*_counted(row, inputs), seldom), sureness, doubts, "a peak that this window does not hold",
    )  # fmt: skip


def _span(row: ResourceUse) -> float:
    return 0.0 if row.covers is None else row.covers.known * 15.0


def _trended(row: ResourceUse, inputs: Inputs, short: bool = False) -> Tuple[str, Tuple[str, ...]]:
    """Of what rests on the history: surer with more of it."""
    covers = row.covers
    doubts = ["a week's pattern is not seen in less than a week"] if short else []
    most = MEDIUM if short else HIGH
    if covers is None or not covers.whole:
        share = covers.known / covers.of if covers is not None and covers.of else 0.0
        doubts.append(f"{covers or 'no points'} of the window are there")
        most = LOW if share < 0.5 else MEDIUM
    return _sure(inputs, doubts, most)


def of_namespaces(
    without: Optional[Tuple[str, ...]], spaces: Optional[Sequence[str]], asked: Asked, inputs: Inputs
) -> List[Finding]:
    """One finding, however many they are."""
    people = [name for name in without or () if name not in _OWN]
    if not people or spaces is None:
        return []
    sureness, doubts = _sure(inputs)
    if asked.namespace is not None:
        about, said = About("namespace", "", asked.namespace), f"namespace {asked.namespace} has no ResourceQuota"
    else:
        about = About("cluster", part="quota")
        said = f"{len(people)} of {len(spaces)} namespaces have no ResourceQuota: {joined(people)}"
    count = Evidence("namespaces without a quota", float(len(people)), "count", "spec", inputs.now)
    return [
        Finding(
            "namespace-without-quota",
            INFO,
            about,
            said,
            (count,),
            sureness,
            doubts,
            "without one, one namespace can take all that nodes have",
        )
    ]


def of_cluster(sums: Sequence[ClusterSum], inputs: Inputs) -> List[Finding]:
    """Quotas that together promise more than there is. Limits may: they are no promise."""
    return [
        _overcommitted(one, inputs)
        for one in sums
        if one.share is not None and one.share > 1 and not one.resource.startswith("limits.")
    ]


def _overcommitted(one: ClusterSum, inputs: Inputs) -> Finding:
    sureness, doubts = _sure(inputs)
    hard, has = quantity(one.hard), quantity(one.allocatable)
    sides = (("quotas together", hard, "spec"), ("allocatable", has, "status"))
    evidence = tuple(
        Evidence(
            what,
            None if amount is None else number(amount, one.resource),
            unit_of(one.resource),
            source,
            inputs.now,
            covers=one.namespaces if source == "spec" else None,
        )
        for what, amount, source in sides
    )
    return Finding(
        "quota-overcommitted", INFO, About("cluster", part=one.resource),
        f"quotas promise {one.hard} of {one.resource} together, {percent(one.share)} of the {one.allocatable} that "
        f"nodes have ({one.namespaces} are bounded)",
        evidence, sureness, doubts, "more nodes, or smaller quotas; a namespace within its quota may find no room",
    )  # fmt: skip
