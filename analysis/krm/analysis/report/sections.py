"""A report as headings, sentences and tables: what text, Markdown and HTML are all written from. Pure."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.finding import SEVERITIES, WARNING
from krm.analysis.limits import words
from krm.analysis.oom.case import Case
from krm.analysis.quota.rows import ResourceUse, moment, percent
from krm.analysis.report.rows import NamespaceReport, Together
from krm.model import times
from krm.model.trust import LIVE

MOST_ROWS = 50  # of a table; how many more there are is told
_UNKNOWN = "-"


class Section(NamedTuple):
    """One part of the page."""

    title: str
    sentences: Tuple[str, ...] = ()
    rows: Tuple[Tuple[str, ...], ...] = ()  # the first one are headings


def trust_of(report: NamespaceReport) -> str:
    """How fresh and how verified it is, in one sentence."""
    worth = report.worth
    if worth.state != LIVE:
        return f"This report is {worth.state}: {'; '.join(worth.reasons) or 'why is not known'}."
    parts = ["Live"]
    if worth.as_of is not None:
        parts.append(f"nothing older than {times.age(worth.now - worth.as_of)} is missing")
    if worth.verified_at is not None:
        parts.append(f"verified by a list {times.age(worth.now - worth.verified_at)} ago")
    if worth.measured_at is not None:
        parts.append(f"measured {times.age(max(0.0, worth.now - worth.measured_at))} ago")
    since = (
        "no history" if worth.history_since is None else f"history since {times.write(worth.history_since // 1)}"
    )
    return f"{'; '.join([*parts, since])}."


def sections(report: NamespaceReport) -> List[Section]:
    """In the order of the page; the charts come after the first."""
    found = [
        Section("Trust", (trust_of(report),)),
        _findings(report),
        Section("Pods", (_pods(report),)),
        Section("Use", (), (_USE, *(_use(one) for one in report.totals))),
        Section("Workloads", () if report.rows else (report.NOTHING,), _cells(report.cells())),
        _breaches(report),
        _quotas(report.quotas),
        _kills(report.kills),
        _waiting(report),
        Section("What is lacking", report.lacks),
    ]
    return [one._replace(**_cut(one)) for one in found]


def _cut(section: Section) -> Dict[str, Any]:
    left = len(section.rows) - 1 - MOST_ROWS
    if left <= 0:
        return {}
    more = f"{left} more rows are in -o json."
    return {"rows": section.rows[: MOST_ROWS + 1], "sentences": (*section.sentences, more)}


def _cells(cells: Sequence[Sequence[str]]) -> Tuple[Tuple[str, ...], ...]:
    return tuple(tuple(row) for row in cells)


def _findings(report: NamespaceReport) -> Section:
    """From warnings on: what is merely worth knowing stands in the tables below."""
    shown = report.found(WARNING)
    rest = len(report.findings) - len(shown)
    said = () if shown else ("Nothing has to be done, as far as this report looks.",)
    if rest:
        said = (*said, f"{rest} findings of severity info are in -o json.")
    ordered = sorted(shown, key=lambda one: (-SEVERITIES.index(one.severity), one.id))
    rows = [(one.severity, one.sentence, one.sureness) for one in ordered]
    return Section("Findings", said, (("SEVERITY", "WHAT", "SURENESS"), *rows) if rows else ())


def _pods(report: NamespaceReport) -> str:
    return ", ".join(f"{count} {status}" for status, count in report.statuses) or "None."


_USE = (
    "RESOURCE",
    "NOW",
    "MEAN",
    "PEAK",
    "REQUESTED",
    "USED/REQUESTED",
    "WASTED",
    "LIMITS",
    "WITHOUT LIMIT",
    "KNOWN",
)


def _use(one: Together) -> Tuple[str, ...]:
    amounts = [words.amount(one.resource, value) for value in (one.now, one.mean, one.peak, one.requested)]
    wasted, limit = words.amount(one.resource, one.wasted), words.amount(one.resource, one.limit)
    return (one.resource, *amounts, words.share(one.share), wasted, limit, str(one.unlimited), str(one.covers))


def _breaches(report: NamespaceReport) -> Section:
    if not report.breaches:
        return Section("Limits and requests", ("As of now no container is near a limit, or above a request.",))
    rows = tuple(
        (
            one.pod, one.container or _UNKNOWN, one.resource, f"{one.state} {one.against}",
            words.amount(one.resource, one.now), words.amount(one.resource, one.allowed),
        )
        for one in report.breaches
    )  # fmt: skip
    return Section("Limits and requests", (), (("POD", "CONTAINER", "RESOURCE", "STATE", "NOW", "ALLOWED"), *rows))


def _quotas(quotas: Optional[Tuple[ResourceUse, ...]]) -> Section:
    if quotas is None:
        return Section("Quotas", ("Quotas are not known.",))
    if not quotas:
        return Section("Quotas", ("This namespace has no ResourceQuota.",))
    rows = tuple(
        (
            one.quota, one.resource, one.used or _UNKNOWN, one.hard or _UNKNOWN,
            _UNKNOWN if one.share is None else percent(one.share), one.unused or _UNKNOWN, moment(one.full_at),
        )
        for one in quotas
    )  # fmt: skip
    return Section("Quotas", (), (("QUOTA", "RESOURCE", "USED", "HARD", "USED%", "UNUSED", "FULL-AT"), *rows))


def _kills(kills: Optional[Tuple[Case, ...]]) -> Section:
    if kills is None:
        return Section("OOM kills", ("Whether anybody was killed for want of memory is not known.",))
    if not kills:
        return Section("OOM kills", ("None is known of in this window.",))
    rows = tuple(
        (times.write(one.at // 1), one.pod, one.container or _UNKNOWN, one.process or _UNKNOWN, one.cause)
        for one in kills
    )
    return Section("OOM kills", (), (("AT", "POD", "CONTAINER", "PROCESS", "CAUSE"), *rows))


def _waiting(report: NamespaceReport) -> Section:
    if not report.waiting:
        return Section("Pending pods", ("No pod waits for a node.",))
    rows = tuple(
        (one.pod, times.age(one.waits), one.said or "the scheduler has said nothing yet") for one in report.waiting
    )
    return Section(
        "Pending pods", ("`krm pending` tells what would place them.",), (("POD", "WAITS", "WHY"), *rows)
    )


def value_of(resource: str, value: float) -> str:
    """As a chart's axis has it."""
    return f"{value:g}" if resource == "pods" else words.amount(resource, value)
