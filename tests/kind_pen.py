"""A pen: the smallest aggregator that keeps the protocol, to write a kind for tests of the store."""

from __future__ import annotations

import uuid
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

from krm.model.kinds import split_key
from krm.model.messages import ADDED, DELETED, MODIFIED
from krm.model.records import (
    Change,
    ChangeEntry,
    Envelope,
    IndexEntry,
    add_digest,
    drop_digest,
    member_digest,
    object_digest,
    pack_change_entry,
    pack_envelope,
    pack_past,
)
from krm.store.publish import Writer
from krm.store.transactions import Publication


def envelope(key: str, rv: int, size: int = 40) -> Envelope:
    """An object whose body names key and rv."""
    body = (b'{"key":"%s","rv":"%d"}' % (key.encode(), rv)).ljust(size)
    return Envelope(str(rv), f"uid-{key}", object_digest(body), 1.0, b"", (), body)


class Pen:
    """Writes objects with ever growing rvs; `objects` is what a reader must find."""

    def __init__(self, writer: Writer, size: int = 40, at: float = 1000.0) -> None:
        self.writer = writer
        self.size = size
        self.at = at  # of the next entry; grows by one second a version
        self.rv = 0
        self.incarnation = ""
        self.objects: Dict[str, Envelope] = {}
        self.shares: Dict[str, IndexEntry] = {}
        self.versions: Dict[int, Dict[str, Envelope]] = {}  # what stood at each version

    def begin(self, keys: Sequence[str] = (), chunk: int = 500, **head: Any) -> None:
        """Takes over and builds a first snapshot of `keys`."""
        seen = self.writer.read_head()
        assert self.writer.take_over(seen, {"beat": 1.0})
        self.rebuild(keys, chunk, **head)

    def rebuild(self, keys: Sequence[str] = (), chunk: int = 500, **head: Any) -> None:
        known = self.writer.known
        assert known is not None
        old, self.incarnation = known.incarnation, uuid.uuid4().hex
        self.objects, self.shares = {}, {}
        self.writer.write_head({"next": self.incarnation}, garbage_add=[known.next] if known.next else [])
        for start in range(0, len(keys), chunk):
            rows = {key: self._next(key) for key in keys[start : start + chunk]}
            touched = self._count(rows)
            packed = {key: pack_envelope(row) for key, row in rows.items() if row}
            self.writer.build(self.incarnation, packed, {space: self.shares[space] for space in touched}, {})
        self.writer.switch({"rv": str(self.rv), "oldest": known.version + 1, **self._sums(), **head}, old)
        self._remember()

    def publication(self, *changes: Tuple[str, bool], past: bool = True, **head: Any) -> Publication:
        """One version of (key, keep) pairs: keep False deletes. The pen counts it as published."""
        known = self.writer.known
        assert known is not None
        before = {key: self.objects.get(key) for key, _ in changes}
        rows: Dict[str, Optional[Envelope]] = {}
        listed: List[Change] = []
        for key, keep in changes:
            row = self._next(key)
            old = rows.get(key, self.objects.get(key))
            kind = DELETED if not keep else MODIFIED if old else ADDED
            last = row if keep or old is None else old._replace(rv=row.rv)
            listed.append(Change(kind, key, pack_envelope(last), old.rv if old else "", "", b"", ()))
            rows[key] = row if keep else None
        touched = self._count(rows)
        self.at += 1
        entry = ChangeEntry(self.at, str(self.rv), False, 0.0, tuple(listed))
        packed_past = pack_past({key: pack_envelope(row) if row else b"" for key, row in before.items()})
        return Publication(
            known.incarnation,
            known.version + 1,
            {key: pack_envelope(row) for key, row in rows.items() if row},
            [key for key, row in rows.items() if row is None],
            {space: self.shares.get(space) for space in touched},
            pack_change_entry(entry),
            packed_past if past else b"",
            {"rv": str(self.rv), **self._sums(), **head},
        )

    def publish(self, *changes: Tuple[str, bool], **named: Any) -> None:
        self.writer.publish(self.publication(*changes, **named))
        self._remember()

    def _next(self, key: str) -> Envelope:
        self.rv += 1
        return envelope(key, self.rv, self.size)

    def _count(self, rows: Dict[str, Optional[Envelope]]) -> Set[str]:
        """Takes the rows in, and keeps count and digest of their namespaces, which it returns."""
        touched = set()
        for key, row in rows.items():
            space = split_key(key)[0]
            touched.add(space)
            share = self.shares.pop(space, IndexEntry(0, 0))
            old = self.objects.pop(key, None)
            if old:
                share = IndexEntry(
                    share.objects - 1, drop_digest(share.digest, member_digest(key, old.rv, old.digest))
                )
            if row:
                self.objects[key] = row
                share = IndexEntry(
                    share.objects + 1, add_digest(share.digest, member_digest(key, row.rv, row.digest))
                )
            if share.objects:
                self.shares[space] = share
        return touched

    def _sums(self) -> Dict[str, Any]:
        """The head's count and digest of the whole set."""
        count = digest = 0
        for share in self.shares.values():
            count, digest = count + share.objects, add_digest(digest, share.digest)
        return {"count": count, "digest": f"{digest:032x}"}

    def _remember(self) -> None:
        known = self.writer.known
        assert known is not None
        self.versions[known.version] = dict(self.objects)
