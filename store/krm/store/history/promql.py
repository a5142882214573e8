"""PromQL and MetricsQL: what krm asks a VictoriaMetrics, and how its answers are read. Pure.

A field FIELD of the measurement METRIC is the series METRIC_FIELD there. Nothing that a caller says
reaches a query but through `quoted`.
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence, Tuple

from krm.store.history.asked import NoHistory, Query
from krm.store.history.lines import SUBJECT_TAGS, TYPES, tagged

_BY = ", ".join(SUBJECT_TAGS)


class Found(NamedTuple):
    """One series of an export."""

    field: str
    tags: Dict[str, str]
    times: List[float]  # Unix seconds
    values: List[float]


def quoted(value: str) -> str:
    """A string literal that means this value, whatever it holds."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def selector(query: Query, *fields: str) -> str:
    """The series of these fields."""
    names = [quoted(f"{query.metric}_{field}") for field in fields]
    if len(names) == 1:
        parts = [f"__name__={names[0]}"]
    else:
        parts = [f"__name__=~{_any_of([f'{query.metric}_{field}' for field in fields])}"]
    parts.append(f"type={quoted(TYPES[query.level])}")
    parts += [
        f"{tag}={quoted(tagged(value))}"
        for tag, value in (
            ("namespace_name", query.namespace), ("pod_name", query.pod),
            ("container_name", query.container), ("nodename", query.node),
        )
        if value
    ]  # fmt: skip
    if query.allowed is not None:
        parts.append(f"namespace_name=~{_any_of([tagged(name) for name in query.allowed])}")
    return "{" + ",".join(parts) + "}"


def every(metric: str, field: str) -> str:
    """The series of a field, of all levels."""
    return "{__name__=" + quoted(f"{metric}_{field}") + "}"


def rolled(rollup: str, selected: str, seconds: float) -> str:
    """One value a series: over the last `seconds`, their begin exclusive."""
    return f"{rollup}({selected}[{round(seconds * 1000)}ms])"


def over_time(aggregate: str, rollup: str, selected: str, seconds: float) -> str:
    """One value a subject: `aggregate` of those of its sources."""
    return f"{aggregate} by ({_BY}) ({rolled(rollup, selected, seconds)})"


def read_vector(body: bytes) -> Iterator[Tuple[Dict[str, str], float]]:
    """(tags, value) of an instant answer. Raises NoHistory."""
    try:
        answer = json.loads(body)
        if answer["status"] != "success":
            raise NoHistory(f"VictoriaMetrics says: {str(answer.get('error'))[:300]}")
        if answer.get("isPartial"):
            raise NoHistory("VictoriaMetrics gives a part of the answer alone: one of its nodes is away")
        for one in answer["data"]["result"]:
            tags = dict(one["metric"])
            tags.pop("__name__", None)  # which some functions keep
            yield tags, float(one["value"][1])
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        raise NoHistory("an answer that is none of a VictoriaMetrics: is it one?") from None


def read_export(body: bytes, metric: str) -> Iterator[Found]:
    """The series of an export: a line each. Raises NoHistory."""
    try:
        for text in body.splitlines():
            if text:
                one: Any = json.loads(text)
                tags = dict(one["metric"])
                field = tags.pop("__name__")[len(metric) + 1 :]
                yield Found(field, tags, [ms / 1000 for ms in one["timestamps"]], one["values"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise NoHistory("an export that is none of a VictoriaMetrics: is it one?") from None


def _any_of(values: Sequence[str]) -> str:
    return quoted("|".join(re.escape(value) for value in values))
