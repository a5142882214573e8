"""A session: one process's unbroken chain of watch connections, as numbered batches. Pure.

Each connection resumes at the last resourceVersion whose batch Redis acknowledged. Batch 0 is sent
empty, before any event: the aggregator accepts the session with it, and then holds F to it.
"""

from __future__ import annotations

from typing import Iterator, List, NamedTuple, Optional, Sequence

from krm.model.canonical import Bookmark, Canonicaliser, Status
from krm.model.messages import Bad, Batch, Item
from krm.model.refusals import UnparsableLine

# Events of one batch: enough to share a round trip, few enough that a batch of 10 KB pods is 1 MB.
BATCH = 100
# Bytes of one batch's objects: a hundred of 1.5 MiB would pass the cap on messages, be skipped as unreadable,
# and come again with the next session, without end.
BATCH_BYTES = 8 * 1024 * 1024


class Read(NamedTuple):
    """What lines say: items up to the first line that ends the session."""

    items: List[Item]
    status: Optional[Status] = None
    bad: Optional[Bad] = None


def read_lines(canonicaliser: Canonicaliser, lines: Sequence[bytes], received_at: float) -> Read:
    """Items of the lines, in order; of an ERROR or an unparsable line no more than what it was."""
    items: List[Item] = []
    for line in lines:
        try:
            event = canonicaliser.event(line, received_at)
        except UnparsableLine as error:
            return Read(items, bad=error.bad)
        if isinstance(event, Status):
            return Read(items, status=event)
        items.append(event.item(received_at) if isinstance(event, Bookmark) else event)
    return Read(items)


class Session:
    """The numbers of one session. `rv` is where its next connection resumes."""

    def __init__(self, name: str, incarnation: str, from_rv: str, canon: str, cluster_uid: str) -> None:
        self.name, self.incarnation, self.rv = name, incarnation, from_rv
        self._from_rv, self._canon, self._cluster_uid = from_rv, canon, cluster_uid
        self._seq = 0

    def batch(self, items: Sequence[Item]) -> Batch:
        """The next batch, to be sent with these bytes until Redis acknowledges it."""
        return Batch(
            self.incarnation, self.name, self._seq, self._from_rv, self._canon, self._cluster_uid, tuple(items)
        )

    def acknowledged(self, batch: Batch) -> None:
        """Redis has the batch: the next one follows, and a reconnect resumes behind it."""
        self._seq = batch.seq + 1
        if batch.items:
            self.rv = batch.items[-1].rv


def split(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Runs of at most BATCH items and about BATCH_BYTES bytes; a larger item goes alone."""
    start = size = 0
    for position, item in enumerate(items):
        size += len(item.body)
        if position > start and (position - start >= BATCH or size > BATCH_BYTES):
            yield items[start:position]
            start, size = position, len(item.body)
    if items:
        yield items[start:]
