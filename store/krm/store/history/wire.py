"""The history's questions and answers as bytes: msgpack, versioned, capped. Pure.

POST /v1/range and /v1/totals take a packed Query; 200 answers a packed Ranged or Totalled, any other code a
sentence as text.
"""

from __future__ import annotations

import math
import sys
from array import array
from typing import Any, List, Optional, Tuple

import msgpack
from krm.model.measures import LEVELS, Covers, Subject
from krm.model.metrics import TABLE
from krm.store.history.asked import Extent, NoHistory, Query, Ranged, Series, Total, Totalled

FORMAT = 1
MAX_QUERY = 64 * 1024  # bytes; a caller that may see 200 namespaces names them all
MAX_ANSWER = 256 * 1024 * 1024  # bytes: 24 h of 2,000 pods' series are 92 MB
RANGE, TOTALS = "/v1/range", "/v1/totals"
BACKUP = "/v1/backup"


class BadQuery(ValueError):
    """Bytes that ask for nothing that can be answered; the text is a sentence."""


def pack_query(query: Query) -> bytes:
    """The body of a question."""
    packed: bytes = msgpack.packb([FORMAT, *query])
    return packed


def unpack_query(packed: bytes) -> Query:
    """Raises BadQuery."""
    try:
        parts = msgpack.unpackb(packed, max_str_len=1024, max_array_len=4096)
        form, metric, level, begin, end, namespace, pod, container, node, allowed = parts
        texts = (metric, level, namespace, pod, container, node, *(allowed or ()))
        if form != FORMAT or not all(isinstance(text, str) for text in texts):
            raise BadQuery("a question of another form: krm's versions differ")
        query = Query(
            metric, level, float(begin), float(end), namespace, pod, container, node,
            None if allowed is None else tuple(allowed),
        )  # fmt: skip
    except BadQuery:
        raise
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise BadQuery(f"a question that is none of krm's ({type(error).__name__})") from None
    check(query)
    return query


def check(query: Query) -> None:
    """Raises BadQuery for what no history can answer."""
    if query.metric not in TABLE:
        raise BadQuery(f"{query.metric[:60]!r} is no metric: docs/metrics.md has them all")
    if query.level not in LEVELS:
        raise BadQuery(f"{query.level[:20]!r} is no level: {', '.join(LEVELS)}")
    if query.level not in TABLE[query.metric].levels:
        levels = ", ".join(TABLE[query.metric].levels)
        raise BadQuery(f"{query.metric} is not measured of a {query.level}, but of: {levels}")
    if not (math.isfinite(query.begin) and math.isfinite(query.end) and query.begin < query.end):
        raise BadQuery("the time asked for ends before it begins")


def pack_ranged(answer: Ranged) -> bytes:
    """Points as little-endian doubles: a gap is NaN."""
    rows = [[list(one.subject), _doubles(one.times), _doubles(one.values)] for one in answer.series]
    packed: bytes = msgpack.packb([FORMAT, _extent_out(answer.extent), rows])
    return packed


def unpack_ranged(packed: bytes) -> Ranged:
    """Raises NoHistory."""
    extent, rows = _answer(packed)
    series = [Series(Subject(*subject), _array(times), _array(values)) for subject, times, values in rows]
    return Ranged(series, extent)


def pack_totalled(answer: Totalled) -> bytes:
    """A row a total."""
    rows = [[list(one.subject), *one[1:]] for one in answer.totals]
    packed: bytes = msgpack.packb([FORMAT, _extent_out(answer.extent), rows])
    return packed


def unpack_totalled(packed: bytes) -> Totalled:
    """Raises NoHistory."""
    extent, rows = _answer(packed)
    return Totalled([Total(Subject(*row[0]), *row[1:]) for row in rows], extent)


def _answer(packed: bytes) -> Tuple[Extent, List[Any]]:
    try:
        form, extent, rows = msgpack.unpackb(packed, max_array_len=10_000_000, max_bin_len=MAX_ANSWER)
        if form != FORMAT:
            raise ValueError("another form")
        begin, end, oldest, as_of, notes, covers = extent
        return Extent(begin, end, oldest, as_of, tuple(notes), _covers(covers)), rows
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise NoHistory(f"the collector's answer is not krm's ({type(error).__name__}): versions differ") from None


def _extent_out(extent: Extent) -> List[Any]:
    return [*extent[:4], list(extent.notes), extent.covers and list(extent.covers)]


def _covers(found: Any) -> Optional[Covers]:
    return None if found is None else Covers(*found)


def _doubles(values: Any) -> bytes:
    packed: bytes = _little(array("d", values)).tobytes()
    return packed


def _array(packed: bytes) -> Any:
    made = array("d")
    made.frombytes(packed)
    return _little(made)


def _little(made: Any) -> Any:
    if sys.byteorder == "big":
        made = array("d", made)
        made.byteswap()
    return made
