"""Measurements as DataFrames of pandas or polars: what is not known is null."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

from krm.client.frames import builder
from krm.client.usage import Used
from krm.model.frames import NUMBER, TEXT, TIME, WHOLE, Types, moment
from krm.store.history.asked import Series, Total

_SUBJECT: Types = dict.fromkeys(("namespace", "pod", "container", "node", "resource_id"), TEXT)
_TEXTS = ("level", "namespace", "name", "container", "node")
_NUMBERS = (
    "cpu", "memory", "cpu_request", "cpu_limit", "memory_request", "memory_limit",
    "cpu_allocatable", "memory_allocatable",
)  # fmt: skip
_USED: Types = {
    **dict.fromkeys(_TEXTS, TEXT),
    **dict.fromkeys(_NUMBERS, NUMBER),
    "at": TIME,
    "window": NUMBER,
    "source": TEXT,
    "covers": TEXT,
}


def usage_frame(rows: Sequence[Used], package: str = "") -> Any:
    """A row a subject; of a window three columns a metric. Raises NeedsPackage."""
    metrics = sorted({metric for row in rows for metric in row.spans})
    types = dict(_USED)
    for metric in metrics:
        types.update({f"{metric}_{what}": NUMBER for what in ("average", "p95", "maximum")})
    found: List[Dict[str, Any]] = []
    for row in rows:
        one = {name: getattr(row, name) for name in _USED}
        for metric in metrics:
            span = row.spans.get(metric)
            for what in ("average", "p95", "maximum"):
                one[f"{metric}_{what}"] = None if span is None else getattr(span, what)
        found.append(_timed(one, ("at",)))
    return builder(package)(found, types)


def points_frame(series: Sequence[Series], package: str = "") -> Any:
    """A row a point; a gap is null. Raises NeedsPackage."""
    types: Types = {"time": TIME, "value": NUMBER, **_SUBJECT}
    rows = [
        _timed({"time": at, "value": None if value != value else value, **_named(one)}, ("time",))
        for one in series
        for at, value in zip(one.times, one.values)
    ]
    return builder(package)(rows, types)


def totals_frame(totals: Sequence[Total], package: str = "") -> Any:
    """A row a subject. Raises NeedsPackage."""
    types: Types = {**_SUBJECT, **dict.fromkeys(("sum", "covered", "maximum"), NUMBER)}
    types.update({"samples": WHOLE, "first": TIME, "last": TIME})
    names = ("sum", "covered", "maximum", "samples", "first", "last")
    rows = [
        _timed({**_named(one), **{name: getattr(one, name) for name in names}}, ("first", "last")) for one in totals
    ]
    return builder(package)(rows, types)


def _named(one: Any) -> Dict[str, Any]:
    return {name: getattr(one.subject, name) for name in _SUBJECT}


def _timed(row: Dict[str, Any], names: Sequence[str]) -> Dict[str, Any]:
    for name in names:
        row[name] = moment(row[name])
    return row
