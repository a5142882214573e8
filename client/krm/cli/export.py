"""`krm export`: measurements as a Parquet file, a row a point or a row a sum.

Points are asked for in stretches, each cut in half where it is too much for one answer. The file is
written beside its name and gets it once it is whole.
"""

from __future__ import annotations

import argparse
import importlib
import os
import time
from datetime import datetime, timezone
from typing import Any, Dict, Iterator, List, Tuple

from krm.cli.opening import read_token
from krm.cli.terminal import say
from krm.client.direct import told
from krm.client.directory import Directory
from krm.client.errors import BadRequest, NeedsPackage, Unreachable
from krm.client.locate import locate
from krm.client.moments import parse_moment
from krm.model.measures import Subject
from krm.model.metrics import TABLE
from krm.store.connect import connect
from krm.store.errors import BadUrl
from krm.store.history.asked import HOUR, STEP, Extent, History, NoHistory, Query, TooMuch
from krm.store.history.chosen import reader_of
from krm.store.history.collected import Collected
from krm.store.history.remote import RemoteHistory
from krm.store.history.summing import Summing

STRETCH = 6 * HOUR  # seconds of points in one answer, to begin with
_LONGEST = 400 * 24  # sums with --every: so many hours of sums are kept
_SUBJECT = ("namespace", "pod", "uid", "container", "node", "resource_id")
Rows = Dict[str, List[Any]]


def run(args: argparse.Namespace) -> int:
    """0 once the file is there; 1 where nothing was measured in that time."""
    parquet = _arrow("pyarrow.parquet")
    query = _query(args)
    history = _history(args)
    draft = f"{args.file}.part"
    rows = 0
    try:
        schema = _schema(args)
        with parquet.ParquetWriter(draft, schema, compression="zstd") as writer:
            for part in _parts(history, query, args):
                rows += len(part["metric"])
                if part["metric"]:
                    writer.write_table(_arrow().Table.from_pydict(part, schema=schema))
        if rows:
            os.replace(draft, args.file)
    except NoHistory as error:
        raise Unreachable(str(error)) from None
    finally:
        if os.path.exists(draft):
            os.unlink(draft)
    say(f"{rows} rows written to {args.file}" if rows else "nothing was measured in that time: no file was written")
    return 0 if rows else 1


def _arrow(module: str = "pyarrow") -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise NeedsPackage("krm export needs pyarrow: pip install 'krm[parquet]'") from None


def _query(args: argparse.Namespace) -> Query:
    if args.metric not in TABLE:
        raise BadRequest(f"there is no metric {args.metric!r}: docs/metrics.md has them all")
    if args.level not in TABLE[args.metric].levels:
        raise BadRequest(
            f"{args.metric} is measured of {', '.join(TABLE[args.metric].levels)}: --level one of these"
        )
    if args.totals and args.every:
        raise BadRequest("--totals and --every exclude one another")
    now = time.time()
    begin, end = _moment(args.begin, now), _moment(args.end, now)
    if not begin < end:
        raise BadRequest("the time that is asked for ends before it begins")
    if args.every and (args.every < HOUR or (end - begin) / args.every > _LONGEST):
        raise BadRequest(f"--every is an hour or more, and goes into the asked time at most {_LONGEST} times")
    return Query(args.metric, args.level, begin, end, namespace=args.namespace)


def _moment(text: str, now: float) -> float:
    if text == "0s":
        return now
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=timezone.utc).timestamp()
    except ValueError:
        pass  # no date: what else a moment may be is told there
    found = parse_moment(text, now)
    if not isinstance(found, float):
        raise BadRequest(f"{text!r} is no time (RFC 3339), no date and no span ago (24h)")
    return found


def _history(args: argparse.Namespace) -> History:
    """--history, else what the collector of the cluster keeps."""
    if args.history:
        try:
            return reader_of(args.history)
        except BadUrl as error:
            raise BadRequest(str(error)) from None
    place = locate(args.redis, args.cluster)
    token = read_token(args.history_token_file or place.history_token_file)
    with told():
        database = connect(place.url, name="krm-export")
        cluster = Directory(database, place.cluster).cluster
    return Summing(RemoteHistory(Collected(database, cluster), token))


def _parts(history: History, query: Query, args: argparse.Namespace) -> Iterator[Rows]:
    told: List[str] = []
    if args.totals or args.every:
        begin = query.begin
        while begin < query.end:
            end = min(query.end, begin + (args.every or query.end - begin))
            found = history.totals(query._replace(begin=begin, end=end))
            _tell(found.extent, told)
            yield _of_totals(query, found)
            begin = end
        return
    stretches: List[Tuple[float, float]] = [(query.begin, query.end)]
    while stretches:
        begin, end = stretches.pop()
        try:
            if end - begin > STRETCH:
                raise TooMuch("")
            ranged = history.range(query._replace(begin=begin, end=end))
        except TooMuch:
            middle = (begin + end) / 2 // STEP * STEP
            if not begin < middle < end:
                raise
            stretches += [(middle, end), (begin, middle)]
            continue
        _tell(ranged.extent, told)
        yield _of_points(query, ranged)


def _tell(extent: Extent, told: List[str]) -> None:
    """Each note once."""
    for note in extent.notes:
        if note not in told:
            told.append(note)
            say(f"Warning: {note}")


def _of_points(query: Query, ranged: Any) -> Rows:
    rows: Rows = {name: [] for name in ("metric", "level", *_SUBJECT, "time", "value")}
    for one in ranged.series:
        known = [(at, value) for at, value in zip(one.times, one.values) if value == value]
        _name(rows, query, one.subject, len(known))
        rows["time"] += [round(at * 1000) for at, _ in known]
        rows["value"] += [value for _, value in known]
    return rows


def _of_totals(query: Query, found: Any) -> Rows:
    numbers = ("sum", "covered", "maximum", "samples")
    rows: Rows = {name: [] for name in ("metric", "level", *_SUBJECT, "begin", "end", *numbers, "first", "last")}
    for one in found.totals:
        _name(rows, query, one.subject, 1)
        rows["begin"].append(round(found.extent.begin * 1000))
        rows["end"].append(round(found.extent.end * 1000))
        for name in numbers:
            rows[name].append(getattr(one, name))
        rows["first"].append(round(one.first * 1000))
        rows["last"].append(round(one.last * 1000))
    return rows


def _name(rows: Rows, query: Query, subject: Subject, count: int) -> None:
    rows["metric"] += [query.metric] * count
    rows["level"] += [query.level] * count
    for field in _SUBJECT:
        rows[field] += [getattr(subject, field)] * count


def _schema(args: argparse.Namespace) -> Any:
    """Columns; unit and form stand in the file's metadata."""
    arrow = _arrow()
    moment, number = arrow.timestamp("ms", "UTC"), arrow.float64()
    word = arrow.dictionary(arrow.int32(), arrow.string())
    columns = [(name, word) for name in ("metric", "level", *_SUBJECT)]
    if args.totals or args.every:
        columns += [("begin", moment), ("end", moment), ("sum", number), ("covered", number), ("maximum", number)]
        columns += [("samples", arrow.int64()), ("first", moment), ("last", moment)]
    else:
        columns += [("time", moment), ("value", number)]
    row = TABLE[args.metric]
    about = {"unit": row.unit, "sum_unit": row.sum_unit, "form": row.form, "metric": row.name}
    return arrow.schema(columns, metadata=about)
