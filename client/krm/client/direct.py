"""One pipeline read from Redis: the store's readers behind the seam of krm.client.source."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Dict, Iterator, Optional, Tuple

from krm.client import errors
from krm.client.moments import parse_place, place
from krm.client.selection import Selection
from krm.client.source import Pair, Published, Tabulated
from krm.model.cells import Printer
from krm.model.head import Head
from krm.model.records import BadRecord, Envelope, checked_envelope
from krm.store import connect as store
from krm.store import errors as store_errors
from krm.store.follow import Follower, Step
from krm.store.keys import Keys
from krm.store.read import HeadRead, Reader, SnapshotData, Token

if TYPE_CHECKING:
    from krm.store.past import History


@contextmanager
def told() -> Iterator[None]:
    """The store's errors as the client's: one tree for whoever uses the library."""
    try:
        yield
    except store_errors.Expired as error:
        raise errors.Expired(str(error)) from error
    except store_errors.Busy as error:
        raise errors.Busy(str(error)) from error
    except store_errors.Corrupt as error:
        raise errors.Damaged(str(error)) from error
    except store_errors.BadUrl as error:
        raise errors.BadRequest(str(error)) from error
    except store_errors.StoreError as error:
        raise errors.Unreachable(str(error)) from error


class RedisPipeline:
    """As krm.client.source.Pipeline. Sockets are opened when they are first needed."""

    def __init__(self, database: store.Database, keys: Keys) -> None:
        self._database, self._keys = database, keys
        self._reader = Reader(database, keys)
        self._past: Optional[History] = None

    def head(self, namespace: Optional[str] = None) -> HeadRead:  # noqa: ARG002
        with told():
            return self._reader.head()

    def get(self, namespace: str, name: str) -> Tuple[HeadRead, Optional[Envelope]]:
        with told():
            return self._reader.get(namespace, name)

    def snapshot(self, namespace: Optional[str]) -> Optional[SnapshotData]:
        with told():
            return self._reader.snapshot(self._keys.namespace or namespace)

    def table(self, namespace: Optional[str], selection: Selection) -> Tabulated:
        from krm.client.tables import tabulated

        data = self.snapshot(namespace)
        if data is None:
            head, now = self.head()
            return Tabulated(head, now, False)
        return tabulated(self.printer(namespace), data, selection)

    def printer(self, namespace: Optional[str]) -> Printer:  # noqa: ARG002
        from krm.client import printers  # the columns of all kinds, which few readers print

        if printers.is_built_in(self._keys.kind):
            return printers.printer(self._keys.kind)
        with told():
            return printers.printer(
                self._keys.kind, printers.printed_in_redis(self._database, self._keys, self._reader)
            )

    def verified(self, namespace: Optional[str]) -> Optional[SnapshotData]:  # noqa: ARG002
        with told():
            head = self._reader.head().head
            if head is None or not head.incarnation:
                return None
            return self._history().verified_only()

    def at(self, token: Token, namespace: Optional[str]) -> SnapshotData:  # noqa: ARG002
        with told():
            return self._history().at(token)

    def version_at(self, when: float, namespace: Optional[str]) -> Token:  # noqa: ARG002
        try:
            with told():
                return self._history().version_at(when)
        except ValueError as error:
            raise errors.BadRequest(str(error)) from None

    def oldest(self, namespace: Optional[str]) -> Token:  # noqa: ARG002
        with told():
            return self._history().oldest()

    def diff(self, a: Token, b: Token, namespace: Optional[str]) -> Dict[str, Pair]:
        with told():
            found = self._history().diff(a, b)
        return {key: pair for key, pair in found.items() if namespace in (None, key.partition("/")[0])}

    def follow(self, since: str, selection: Selection) -> RedisFollowed:  # noqa: ARG002
        return RedisFollowed(self._database, self._keys, since)

    def close(self) -> None:
        self._reader.close()
        if self._past is not None:
            self._past.close()

    def _history(self) -> History:
        if self._past is None:
            from krm.store.past import History  # most readers never look back

            self._past = History(self._database, self._keys)
        return self._past


class RedisFollowed:
    """As krm.client.source.Followed."""

    def __init__(self, database: store.Database, keys: Keys, since: str) -> None:
        token, self._skip = parse_place(since)
        self._keys = keys
        self._follower = Follower(database, keys, token)
        self.place = since

    @property
    def head(self) -> Optional[Head]:
        return self._follower.head

    @property
    def time(self) -> float:
        return self._follower.time

    @property
    def caught_up(self) -> bool:
        head = self._follower.head
        return head is not None and self._follower.token.version >= head.version

    def turn(self, block: float) -> Iterator[Published]:
        with told():
            steps = self._follower.turn(block)
        for step in steps:
            yield from self._changes(step)
        if not steps and not self._skip:
            self.place = str(self._follower.token)

    def close(self) -> None:
        self._follower.close()

    def _changes(self, step: Step) -> Iterator[Published]:
        """The step's changes, each with the place after it."""
        after = self._follower.token._replace(version=step.version)
        before = after._replace(version=step.version - 1)
        skip, self._skip = self._skip, 0
        entry = step.entry
        for number, change in enumerate(entry.changes, 1):
            if number <= skip:
                continue
            try:
                envelope = checked_envelope(change.envelope)
            except BadRecord as error:
                raise errors.Damaged(f"{self._keys}: {change.key} at version {step.version}: {error}") from None
            self.place = place(after, 0) if number == len(entry.changes) else place(before, number)
            yield Published(
                change.type, change.key, envelope, change.previous_rv, change.previous_labels,
                change.previous_fields, self.place, entry.at, entry.delay, entry.repair,
            )  # fmt: skip
        self.place = place(after, 0)
