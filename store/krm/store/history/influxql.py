"""InfluxQL: what krm asks an InfluxDB, and how its answers are read. Pure.

Nothing that a caller says reaches a statement but through `quoted`, which makes a string of it, or
`named`, which makes an identifier.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence

from krm.store.history.asked import NoHistory, Query
from krm.store.history.lines import SUBJECT_TAGS, TYPES, tagged

_BY = tuple(SUBJECT_TAGS)


class Rows(NamedTuple):
    """One series of an answer."""

    tags: Dict[str, str]
    columns: List[str]
    values: List[List[Any]]


def quoted(value: str) -> str:
    """A string literal that means this value, whatever it holds."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


def named(name: str) -> str:
    """An identifier, the same."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def totals(query: Query) -> str:
    """Sums, and the first and the last moment: three statements, one answer."""
    where = _where(query)
    sums = 'SUM("sum") AS "sum", SUM("seconds") AS "seconds", MAX("value") AS "most", COUNT("value") AS "samples"'
    return "; ".join((_select(sums, query.metric, where), *_ends(query.metric, where)))


def points(query: Query) -> str:
    """The points as they were written."""
    return _select('"value", "seconds"', query.metric, _where(query))


def newest(metrics: Iterable[str], since: float, now: float) -> str:
    """The last value of each series of each metric: a statement a metric."""
    moment = f"time > {_ms(since)}ms AND time <= {_ms(now)}ms"
    return "; ".join(_select('LAST("value") AS "last"', metric, moment) for metric in metrics)


def create(database: str) -> str:
    """It is no error where there is one."""
    return f"CREATE DATABASE {named(database)}"


def read(answer: Any, statements: int) -> List[List[Rows]]:
    """Series, a list a statement. Raises NoHistory for an error in it, and for what is no answer.

    Of a database that is not there, InfluxDB answers the first statement and no more: there is nothing.
    """
    try:
        if "error" in answer:
            raise NoHistory(f"InfluxDB says: {str(answer['error'])[:300]}")
        found = [list(_series(result)) for result in answer["results"]]
        return found + [[] for _ in range(statements - len(found))]
    except (KeyError, TypeError, AttributeError):
        raise NoHistory("an answer that is none of an InfluxDB: is it one?") from None


def _series(result: Dict[str, Any]) -> Iterator[Rows]:
    error = result.get("error")
    if error and not any(word in str(error) for word in ("database not found", "not executed")):
        raise NoHistory(f"InfluxDB says: {str(error)[:300]}")
    if result.get("partial"):
        raise NoHistory("InfluxDB gives a part of the answer alone: raise max-row-limit, or ask for less")
    for one in result.get("series") or ():
        yield Rows(one.get("tags") or {}, list(one["columns"]), list(one["values"]))


def _ends(metric: str, where: str) -> Sequence[str]:
    return [_select(f'{which}("sum") AS "end"', metric, where) for which in ("FIRST", "LAST")]


def _select(what: str, metric: str, where: str) -> str:
    by = ", ".join(named(tag) for tag in _BY)
    return f"SELECT {what} FROM {named(metric)} WHERE {where} GROUP BY {by}"  # noqa: S608 (quoted, each part)


def _where(query: Query) -> str:
    """A sample at T is of the time before T: so the begin is exclusive here, and the end inclusive."""
    parts = [f"{named('type')} = {quoted(TYPES[query.level])}"]
    parts += [
        f"{named(tag)} = {quoted(tagged(value))}"
        for tag, value in (
            ("namespace_name", query.namespace), ("pod_name", query.pod),
            ("container_name", query.container), ("nodename", query.node),
        )
        if value
    ]  # fmt: skip
    among = _among(query.allowed)
    if among:
        parts.append(among)
    return " AND ".join([*parts, f"time > {_ms(query.begin)}ms", f"time <= {_ms(query.end)}ms"])


def _among(allowed: Optional[Sequence[str]]) -> str:
    if allowed is None:
        return ""
    tests = [f"{named('namespace_name')} = {quoted(tagged(name))}" for name in allowed]
    return f"({' OR '.join(tests)})"


def _ms(at: float) -> int:
    return round(at * 1000)
