"""One list as it is handed over: pages of messages under one id, within what may stand unread.

A page of the API server is cut into messages of at most 8 MiB, so that one of them fits anywhere.
"""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass
from typing import Iterable, Iterator, List, Optional, Sequence, Tuple

from krm.cluster.errors import Expired
from krm.model.head import Head
from krm.model.messages import MAX_ENTRIES, Bad, Item, ListEnd, Message, Page
from krm.model.pages import PageBody
from krm.store.errors import OutOfMemory, Unavailable
from krm.store.streams import LISTS, Appender

# What the aggregator may have left unread before the next page is asked for; beyond that the list
# waits, and after a minute it is given up: it would be old news.
UNREAD_PAGES, UNREAD_BYTES, UNREAD_WAIT = 8, 32 * 1024 * 1024, 60.0
MESSAGE_ITEMS, MESSAGE_BYTES = 500, 8 * 1024 * 1024
# Objects of one kind above which nothing is merged: a count, no items.
OBJECTS_MOST = 100_000
RETRY = 0.3  # seconds between attempts while Redis is away


class Abandoned(Exception):
    """The list was given up; nothing of it will be merged."""


@dataclass(frozen=True)
class Plan:
    """Which list, and what its pages say of it."""

    incarnation: str
    answers: str
    mode: str
    consistent: bool
    source: str
    f0: str
    t0: float
    canon: str
    cluster_uid: str


def plan_of(head: Head) -> str:
    """The incarnation that a list begun now is for: the one being built, else the readable one."""
    return head.next or head.incarnation


class Round:
    """Hands one list over. Raises Abandoned, or ClusterError from the pages."""

    def __init__(self, appender: Appender, plan: Plan, stop: threading.Event) -> None:
        self._appender, self._plan, self._stop = appender, plan, stop
        self._id = str(uuid.uuid4())
        self._pages = self._objects = 0
        self.kept: List[Item] = []  # key, uid and rv of all items, for an audit
        self.rv = ""

    def run(self, bodies: Iterable[PageBody]) -> None:
        """All pages, then the end."""
        bad: List[Bad] = []
        for body in bodies:
            if self._stop.is_set():
                raise Abandoned("told to stop")
            total = self._objects + len(body.items) + (body.remaining or 0)
            if total > OBJECTS_MOST:
                self._append(self._end(total, True, bad))
                return
            self.rv = body.rv
            bad += body.bad
            for items in cut(body.items):
                self._wait_for_room()
                self._append(self._page(items))
                self._pages += 1
            self._objects += len(body.items)
            self.kept += [Item(item.type, item.key, item.rv, item.uid) for item in body.items]
            self._check_incarnation()
        self._append(self._end(self._objects, False, bad))

    def _page(self, items: Sequence[Item]) -> Page:
        plan = self._plan
        return Page(
            incarnation=plan.incarnation,
            list_id=self._id,
            answers=plan.answers,
            mode=plan.mode,
            consistent=plan.consistent,
            source=plan.source,
            page=self._pages,
            rv=self.rv,
            f0=plan.f0,
            t0=plan.t0,
            canon=plan.canon,
            cluster_uid=plan.cluster_uid,
            items=tuple(items),
        )

    def _end(self, objects: int, truncated: bool, bad: Sequence[Bad]) -> ListEnd:
        return ListEnd(self._plan.incarnation, self._id, self._pages, objects, truncated, told(bad))

    def _check_incarnation(self) -> None:
        head = self._head()
        if head is not None and plan_of(head) != self._plan.incarnation:
            raise Abandoned("the snapshot is another one now")

    def _wait_for_room(self) -> None:
        deadline = time.monotonic() + UNREAD_WAIT
        while True:
            head = self._head()
            unread = self._appender.unread(LISTS, head.lists_id if head else "")
            if unread.entries < UNREAD_PAGES and unread.size < UNREAD_BYTES:
                return
            if time.monotonic() > deadline or self._stop.wait(RETRY):
                raise Abandoned("the aggregator did not take the pages for a minute")

    def _head(self) -> Optional[Head]:
        try:
            return self._appender.read_head()
        except Unavailable:
            return None

    def _append(self, message: Message) -> None:
        """Until Redis has it: a page twice is ignored by its number."""
        head = self._head()
        cursor = head.lists_id if head else ""
        while True:
            try:
                self._appender.append_list(message, cursor)
                return
            except (Unavailable, OutOfMemory):
                if self._stop.wait(RETRY):
                    raise Abandoned("told to stop") from None


def told(bad: Sequence[Bad]) -> Tuple[Bad, ...]:
    """The refused objects, each by its key, so that their absence is known and no loss. Of more than one message
    may hold the rest is one entry without a key, by which the aggregator knows that not all are named."""
    if len(bad) <= MAX_ENTRIES:
        return tuple(bad)
    rest = len(bad) - MAX_ENTRIES + 1
    more = Bad(f"{rest} more objects were refused, which are not named", 0, "", at=bad[-1].at)
    return (*bad[: MAX_ENTRIES - 1], more)


def cut(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Runs of items that fit into one message each; at least one run, so that an empty list has a page."""
    start = size = 0
    for position, item in enumerate(items):
        size += len(item.body) + len(item.key) + 200
        if position - start >= MESSAGE_ITEMS or (size > MESSAGE_BYTES and position > start):
            yield items[start:position]
            start, size = position, len(item.body)
    yield items[start:]


def never_expired(bodies: Iterable[PageBody]) -> Iterator[PageBody]:
    """A page at another resourceVersion, or a 410 on continue, voids the list: Abandoned."""
    try:
        yield from bodies
    except Expired as error:
        raise Abandoned(str(error)) from None
