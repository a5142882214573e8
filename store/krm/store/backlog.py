"""The newest changes with what stood before them: for a reader that serves others and begins in their midst.

A reader that has just read a snapshot knows nothing of how it came about, and would have to send away whoever
followed another reader until then. `changes` and `past` together tell it, as far back as both are kept.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List, NamedTuple, Optional, Tuple

from krm.model.records import ChangeEntry, Envelope, object_digest, pack_envelope
from krm.store.keys import Keys
from krm.store.past import Before, put_back
from krm.store.read import Reader, SnapshotData, change_rows, past_rows
from krm.store.streams import decoded_head
from krm.store.transactions import stream_id

# Versions a read: as many as a follower takes at once, for the same reason.
_COUNT = 100
_NOTHING = object_digest(b"")

Row = Tuple[int, ChangeEntry]


class Backlog(NamedTuple):
    """`entries` on top of `start` give the snapshot that was asked about."""

    start: SnapshotData  # its head says its version and resourceVersion, and is of the newest otherwise
    entries: List[Row]  # one a version, oldest first


def backlog(reader: Reader, keys: Keys, data: SnapshotData, budget: int) -> Optional[Backlog]:
    """How `data` came about, at most `budget` bytes of objects; None where nothing of that is kept.

    It begins with a repair, the newest, at the latest: older events cannot be told over that. Several at one
    resourceVersion are one. A repair is told whatever else is gone, for who read at its resourceVersion may have
    read before it; where its past is gone, what it replaced has no bytes. Raises Corrupt, Unavailable.
    """
    entries: List[Row] = []
    before: Before = []
    version, rv, room = data.token.version, "", budget
    repaired = ""  # resourceVersion of the repairs that it begins with
    while not rv:
        older, past = _page(reader, keys, data, version)
        for number, entry in older:
            room -= sum(len(change.envelope) for change in entry.changes)
            replaced = past.get(number)
            if replaced is None and entry.repair:
                replaced = _without_bytes(entry)
            later = repaired and not (entry.repair and entry.rv == repaired)
            if later or replaced is None or (room < 0 and not entry.repair):
                rv = entry.rv
                break
            repaired = entry.rv if entry.repair else ""
            entries.append((number, entry))
            before.append((number, replaced))
            version = number - 1
        if not older:
            break
    rv = rv or (data.head.oldest_rv if data.head.oldest == version else "") or repaired
    if entries and not rv:  # trimmed since: the oldest entry says where it led, if not where it came from
        version, entry = entries.pop()
        rv = entry.rv
        before.pop()
    if not entries:
        return None
    return Backlog(_start(data, version, rv, before), entries[::-1])


def _without_bytes(entry: ChangeEntry) -> Dict[str, bytes]:
    """What stood before, as far as the entry itself says it: selectors need no more."""
    return {
        one.key: pack_envelope(
            Envelope(
                one.previous_rv, one.previous_uid, _NOTHING, 0.0, one.previous_labels, one.previous_fields, b""
            )
        )
        if one.previous_rv
        else b""
        for one in reversed(entry.changes)  # of a key that stands twice what stood before the first
    }


def _page(
    reader: Reader, keys: Keys, data: SnapshotData, version: int
) -> Tuple[List[Row], Dict[int, Dict[str, bytes]]]:
    """Versions from `version` downwards without a hole, and what those replaced, as far as that is kept."""
    newest = stream_id(version)
    flat, changes, past = reader.transaction(
        [
            ("HGETALL", keys.head),
            ("XREVRANGE", keys.changes, newest, "-", "COUNT", _COUNT),
            ("XREVRANGE", keys.past, newest, "-", "COUNT", _COUNT),
        ]
    )
    head = decoded_head(flat)
    if head is None or head.incarnation != data.token.incarnation:
        return [], {}
    rows = [row for place, row in enumerate(change_rows(changes)) if row[0] == version - place]
    return rows, dict(past_rows(past))


def _start(data: SnapshotData, version: int, rv: str, before: Before) -> SnapshotData:
    objects, corrupt = dict(data.objects), set(data.corrupt)
    for _, replaced in before:  # newest first
        for key, raw in replaced.items():
            put_back(objects, corrupt, key, raw)
    head = replace(data.head, version=version, rv=rv)
    token = data.token._replace(version=version)
    return SnapshotData(token, head, data.time, objects, tuple(sorted(corrupt)))
