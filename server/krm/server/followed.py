"""Changes of /krm/v1/ since a token: as a page, waited for where there is none yet, or as server-sent events.

The newest versions stand in the replica; older ones, that Redis still holds, are read from there. A token
that no longer leads anywhere is told as Expired, never skipped.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from krm.client import errors, wire
from krm.client.direct import RedisPipeline
from krm.client.errors import KrmError
from krm.client.moments import parse_place, place
from krm.client.selection import Selection
from krm.client.snapshot import split_tokens
from krm.client.source import Published
from krm.model.head import Head
from krm.model.trust import judge
from krm.server.own import OwnApi, Target, holds, of_now, seen_by
from krm.server.past import told
from krm.server.recent import published
from krm.server.routes import EVENT_STREAM, Call
from krm.server.serving import FRESH_WITHIN
from krm.server.statuses import ApiError
from krm.server.streams import REVIEW_EVERY, Streams, Write
from krm.server.trusted import Shown
from krm.server.web import UNTAKEN, Reply, Stream, gone
from krm.store.keys import Keys
from krm.store.read import Token

# Bytes of objects in one page; one version may be larger.
PAGE = 4 * 1024 * 1024
# Seconds that a page is waited for at most, whatever is asked.
WAIT_MOST = 60.0
# Seconds after which a stream says that it is there and what its kind is worth.
BEAT = 10.0
# Milliseconds after which a browser comes again.
RETRY = 1000

# Whether the reader has gone.
Left = Callable[[], bool]


class Page(NamedTuple):
    """What came after a place."""

    seen: List[Tuple[Published, str]]  # with the type that the selection sees
    place: str  # after all of it
    caught_up: bool
    head: Optional[Head]
    now: float
    at: Optional[float]  # when the last version of it was published, seconds of the Redis clock; None = unknown
    rv: str = ""  # of that version, "" = unknown


class _Right:
    """What the caller of a stream may read, reviewed when that is due."""

    def __init__(self, api: OwnApi, call: Call, target: Target) -> None:
        self.target = target
        self._api, self._call = api, call
        self._due = time.monotonic() + REVIEW_EVERY

    @property
    def left(self) -> float:
        """Seconds until a review is due."""
        return max(0.0, self._due - time.monotonic())

    async def renew(self) -> None:
        """Raises ApiError once it is over."""
        if not self.left:
            self.target = await self._api.review(self._call, self.target)
            self._due = time.monotonic() + REVIEW_EVERY


class Followed:
    """The handler. It belongs to the event loop."""

    def __init__(self, api: OwnApi, streams: Streams) -> None:
        self._api, self._streams = api, streams

    async def changes(self, call: Call) -> Reply:
        """GET /krm/v1/changes/{kind}."""
        api = self._api
        target = await api.target(call, "watch")
        selection = api.selection(call, target)
        head, now = api.head(target.replica), api.serving.now(target.replica)
        api.judged(call, target, head, now, holds(head, target.replica))
        since = self._since(call, target)
        if EVENT_STREAM in call.request.headers.get("accept", "") and call.request.method == "GET":
            self._streams.admit(call.user)
            return self._events(call, target, selection, since)
        wait = call.number("wait", 0.0, WAIT_MOST)
        if not wait:
            page = await self._page(call, target, selection, since, 0.0)
        else:
            self._streams.admit(call.user)
            begun = time.monotonic()
            leaving = asyncio.ensure_future(gone(call.request.receive))
            try:
                with self._streams.counted(call.user, target.replica.kind):
                    page = await self._page(call, target, selection, since, wait, leaving.done)
            finally:
                leaving.cancel()
            if time.monotonic() - begun > REVIEW_EVERY:
                target = await api.review(call, target)
        first = {**api.facts(target, page.head, page.now), "token": page.place, "caught_up": page.caught_up}
        rv = page.head.verified_rv if page.head is not None else ""
        body = b"".join([wire.change_line(one, rv, type_) for one, type_ in page.seen])
        return await api.lines(call, target, first, body, len(page.seen), _shown(page))

    def _since(self, call: Call, target: Target) -> str:
        """The place to go on from; '' = nothing is kept now. Raises BadRequest, Expired."""
        text = call.query.get("since")
        if text is None:
            text = call.request.headers.get("last-event-id") or None
        if text is None:
            return str(target.replica.token)
        tokens = split_tokens(text)
        since = tokens.get(target.replica.namespace, tokens.get(""))
        if since is None:
            raise errors.Expired(f"the token names no place for {target.replica.namespace}: read a snapshot anew")
        parse_place(since)
        return since

    async def _page(
        self,
        call: Call,
        target: Target,
        selection: Selection,
        since: str,
        wait: float,
        has_left: Left = lambda: False,
    ) -> Page:
        """What came after `since`, waited for up to `wait` seconds, or until the reader has left (seen within a
        second). Raises Expired, ApiError."""
        api, replica = self._api, target.replica
        begun = time.monotonic()
        while True:
            head, now = api.head(replica), api.serving.now(replica)
            waited = time.monotonic() - begun
            ahead = self._checked(call, target, head, since, waited)
            if not ahead:
                page = await self._found(call, target, selection, since, head, now)
                if page.seen or not page.caught_up or waited >= wait or self._streams.closing or has_left():
                    return page
                since = page.place
            left = FRESH_WITHIN - waited if ahead else wait - waited
            await api.serving.bell(replica).wait(max(0.01, min(left, 1.0)))  # a head grows old without a ring

    def _checked(self, call: Call, target: Target, head: Optional[Head], since: str, waited: float) -> bool:
        """Whether the place lies ahead of what this server has read. Raises Expired: it leads nowhere."""
        replica, (token, _) = target.replica, parse_place(since)
        keys = Keys(call.cluster, replica.kind, replica.namespace)
        if not holds(head, replica):
            raise errors.Expired(f"{keys}: there is no snapshot any more; it is being built anew")
        if token.incarnation not in ("", replica.token.incarnation):
            raise errors.Expired(f"{keys}: the snapshot was rebuilt; read it anew")
        if token.version <= replica.token.version:
            return False
        if waited >= FRESH_WITHIN:
            raise errors.Expired(f"{keys}: version {token.version} is unknown: Redis went back")
        return True

    async def _found(
        self, call: Call, target: Target, selection: Selection, since: str, head: Optional[Head], now: float
    ) -> Page:
        replica, (token, skip) = target.replica, parse_place(since)
        newest = replica.token
        versions = replica.recent.after(token.version, PAGE)
        if versions is None:
            return await self._older(call, target, selection, since)
        found: List[Published] = []
        for number, version in enumerate(versions):
            found += published(newest.incarnation, version, skip if not number else 0)
        last = versions[-1].number if versions else token.version
        end = place(Token(newest.incarnation, last), 0 if versions else skip)
        entry = versions[-1].entry if versions else None
        at, rv = (entry.at, entry.rv) if entry is not None else (None, "")
        return Page(_seen(found, selection), end, last >= newest.version, head, now, at, rv)

    async def _older(self, call: Call, target: Target, selection: Selection, since: str) -> Page:
        """From Redis, which holds more than the replica."""

        def work(pipeline: RedisPipeline) -> Page:
            followed = pipeline.follow(since, selection)
            try:
                found = list(followed.turn(0))
                if not found and not followed.caught_up:
                    raise errors.Expired(f"{target.replica.kind}: changes after {since} are no longer kept")
                seen = _seen(found, selection)
                at = found[-1].at if found else None
                return Page(seen, followed.place, followed.caught_up, followed.head, followed.time, at)
            finally:
                followed.close()

        return await self._api.past.read(call.cluster, target.replica, work)

    # Server-sent events -------------------------------------------------------------------------

    def _events(self, call: Call, target: Target, selection: Selection, since: str) -> Stream:
        async def run(write: Write) -> None:
            with self._streams.counted(call.user, target.replica.kind):
                try:
                    await self._run(call, target, selection, since, write)
                except KrmError as error:
                    await write(_event("error", told(error).body()))
                except ApiError as error:
                    await write(_event("error", error.body()))

        return Stream(run, EVENT_STREAM, [("X-Accel-Buffering", "no")])

    async def _run(self, call: Call, target: Target, selection: Selection, since: str, write: Write) -> None:
        """Until the kind is no longer live, the place is lost, the right is gone, or the server stops."""
        api, replica = self._api, target.replica
        await write(b"retry: %d\n\n" % RETRY)
        right, said, beat_at = _Right(api, call, target), "", 0.0
        while not self._streams.closing:
            await right.renew()
            head, now = api.head(replica), api.serving.now(replica)
            state = judge(seen_by(right.target, head), now).state
            if state != said or time.monotonic() >= beat_at:
                facts: Dict[str, Any] = {**api.facts(right.target, head, now), "token": since}
                await write(_event("trust", wire.first_line(facts), since))
                self._streams.sent += 1
                said, beat_at = state, time.monotonic() + BEAT
            api.judged(call, right.target, head, now, holds(head, replica))
            page = await self._page(call, right.target, selection, since, min(1.0, right.left))
            since = page.place
            await self._write(page, right, write)

    async def _write(self, page: Page, right: _Right, write: Write) -> None:
        """Its changes in pieces, each once the one before is on its way; what a slow reader has no right to any
        more is not written. Raises ApiError between two events."""
        rv = page.head.verified_rv if page.head is not None else ""
        for burst in _bursts(_change(one, rv, type_) for one, type_ in page.seen):
            for at in range(0, len(burst), UNTAKEN):
                await write(burst[at : at + UNTAKEN])
            await right.renew()
        self._streams.sent += len(page.seen)


def _shown(page: Page) -> Shown:
    """What its reader holds with it: the newest state, or, where more is to come, that of its last version."""
    token = parse_place(page.place)[0]
    return of_now(token, page.head) if page.caught_up else Shown(str(token), page.at, page.rv)


def _bursts(events: Iterable[bytes]) -> Iterator[bytes]:
    """Whole events, together from UNTAKEN bytes on, each written when it is needed."""
    held, size = [], 0
    for event in events:
        held.append(event)
        size += len(event)
        if size >= UNTAKEN:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def _seen(found: List[Published], selection: Selection) -> List[Tuple[Published, str]]:
    """Those that the selection sees, as it sees them."""
    seen = []
    for one in found:
        had = (one.previous_labels, one.previous_fields) if one.previous_rv else None
        type_ = selection.transition(one.key, one.type, had, (one.envelope.labels, one.envelope.fields))
        if type_ is not None:
            seen.append((one, type_))
    return seen


def _change(one: Published, verified_rv: str, type_: str) -> bytes:
    return _event(type_, wire.change_line(one, verified_rv, type_), one.after)


def _event(name: str, line: bytes, place_after: str = "") -> bytes:
    """One event; its data is one line of JSON. `place_after`: what a reader that comes again names."""
    after = b"id: %s\n" % place_after.encode() if place_after else b""
    data = b"data: " + line.rstrip(b"\n").replace(b"\r", b" ").replace(b"\n", b" ")
    return b"%sevent: %s\n%s\n\n" % (after, name.encode(), data)
