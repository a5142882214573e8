"""Going on from the file after a restart: where each series stood, and what its open hour and parts hold."""

from __future__ import annotations

from typing import Callable

from krm.store.history import sums
from krm.store.history.blobs import POINTS, SUMS, Damaged
from krm.store.history.giving import marked
from krm.store.history.live import EMPTY, Live
from krm.store.history.reading import opened
from krm.store.history.sqlite import File
from krm.store.history.steps import HOUR_PARTS, PART_STEPS, WHOLE, hour_at, part_number
from krm.store.history.sums import LAST, TAIL

Aside = Callable[[str, str, int, int, str], None]


def resume(file: File, live: Live, now: float, aside: Aside) -> None:
    """Fills a live window that knows what time it is. Raises sqlite3.Error.

    The hour before the open ones is looked at too: from where its counters stood they count on.
    """
    first = live.oldest_hour - 1
    for row in file.sums(None, first, hour_at(now) + 1):
        try:
            blob = opened(SUMS, row.namespace, row.hour, row.blob)
            for level, metric in blob.sections:
                rows = blob.rows(level, metric)
                for line in sums.lines(blob, rows) if rows is not None else ():
                    track = live.goes_on(line.subject, metric, line.tally[LAST], line.tally[TAIL])
                    if track is not None and row.hour >= live.oldest_hour:
                        live.hours.setdefault(row.hour, {}).setdefault(row.namespace, {})[track] = line.tally
        except Damaged as error:
            aside("sums", row.namespace, row.hour, 0, str(error))
    _points(file, live, now, aside)


def _points(file: File, live: Live, now: float, aside: Aside) -> None:
    for row in file.points(None, live.oldest_part // HOUR_PARTS, hour_at(now) + 1):
        part = part_number(row.hour, row.part)
        if row.part == WHOLE or part < live.oldest_part:
            continue
        try:
            blob = opened(POINTS, row.namespace, row.hour, row.blob)
            for level, metric in blob.sections:
                rows = blob.rows(level, metric)
                if rows is None:
                    continue
                numbers = marked(rows.numbers, rows.marks)
                for index, subject in enumerate(rows.subjects):
                    track = live.goes_on(subject, metric, sums.NEVER, 0.0)
                    if track is not None:
                        kept = numbers[index * rows.width : (index + 1) * rows.width]
                        kept.extend(EMPTY[: PART_STEPS - len(kept)])
                        live.parts.setdefault(part, {}).setdefault(row.namespace, {})[track] = kept
            live.newest_step = max(live.newest_step, blob.first + blob.width - 1)
        except Damaged as error:
            aside("points", row.namespace, row.hour, row.part, str(error))
