"""Going on from the file: where each series stood, and what an hour and its parts hold already.

So it is after a restart, and where the clock was put back into hours that the file knows: what is taken
again changes nothing, and nothing that is there is written over.
"""

from __future__ import annotations

from typing import List, Union

from krm.store.history import sums
from krm.store.history.blobs import POINTS, SUMS, Damaged, Packed, decode
from krm.store.history.giving import marked
from krm.store.history.live import EMPTY, Live
from krm.store.history.sqlite import File, Finding, PointsRow, SumsRow
from krm.store.history.steps import HOUR_PARTS, PART_STEPS, WHOLE, hour_of, part_number
from krm.store.history.sums import LAST, TAIL


def opened(row: Union[PointsRow, SumsRow]) -> Packed:
    """A blob that is what its key says. Raises Damaged."""
    if row.blob is None:
        raise Damaged("a page of the file is damaged")
    blob = decode(row.blob)
    kind = POINTS if isinstance(row, PointsRow) else SUMS
    hour = hour_of(blob.first) if blob.kind == POINTS else blob.first
    if (blob.kind, blob.namespace, hour) != (kind, row.namespace, row.hour):
        raise Damaged("it stands at the key of another one")
    return blob


def finding(row: Union[PointsRow, SumsRow], why: Damaged) -> Finding:
    """What is wrong with a row."""
    if isinstance(row, PointsRow):
        return Finding("points", row.namespace, row.hour, row.part, str(why))
    return Finding("sums", row.namespace, row.hour, 0, str(why))


def resume(file: File, live: Live, first: int, last: int) -> List[Finding]:
    """Takes hours `first` to `last` into a live window that knows what time it is. Raises sqlite3.Error.

    Of hours that are closed, only from where counters stood they count on. Answers what is damaged.
    """
    found: List[Finding] = []
    for row in file.sums(None, first, last):
        try:
            _sums(opened(row), live)
        except Damaged as error:
            found.append(finding(row, error))
    for points in file.points(None, max(first, live.oldest_part // HOUR_PARTS), last):
        part = part_number(points.hour, points.part)
        if points.part == WHOLE or part < live.oldest_part:
            continue
        try:
            _points(opened(points), live, part)
        except Damaged as error:
            found.append(finding(points, error))
    return found


def _sums(blob: Packed, live: Live) -> None:
    sections = [blob.rows(level, metric) for level, metric in blob.sections]  # all, before any is taken
    for rows in sections:
        if rows is None:
            continue
        for line in sums.lines(blob, rows):
            # The newest sample again must not be a newer one, whichever way its time was rounded.
            track = live.goes_on(line.subject, rows.metric, line.tally[LAST] + sums.ROUNDED, line.tally[TAIL])
            if track is not None and blob.first >= live.oldest_hour:
                live.hours.setdefault(blob.first, {}).setdefault(blob.namespace, {})[track] = line.tally


def _points(blob: Packed, live: Live, part: int) -> None:
    sections = [blob.rows(level, metric) for level, metric in blob.sections]
    for rows in sections:
        if rows is None:
            continue
        numbers = marked(rows.numbers, rows.marks)
        for index, subject in enumerate(rows.subjects):
            track = live.goes_on(subject, rows.metric, sums.NEVER, 0.0)
            if track is not None:
                kept = numbers[index * rows.width : (index + 1) * rows.width]
                kept.extend(EMPTY[: PART_STEPS - len(kept)])
                live.parts.setdefault(part, {}).setdefault(blob.namespace, {})[track] = kept
    live.newest_step = max(live.newest_step, blob.first + blob.width - 1)
