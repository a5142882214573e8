"""One list: its messages, and when it is given up."""

from __future__ import annotations

import threading
from typing import List, Optional, Tuple

import pytest
from krm.cluster.errors import Expired
from krm.model.head import Head
from krm.model.messages import FULL, MAX_ENTRIES, MAX_MESSAGE, Bad, Item, ListEnd, Message, Page, pack, unpack
from krm.model.pages import PageBody
from krm.store.errors import OutOfMemory, Unavailable
from krm.store.streams import Appended, Unread
from krm.verifier import rounds
from krm.verifier.rounds import (
    OBJECTS_MOST,
    UNREAD_BYTES,
    UNREAD_PAGES,
    Abandoned,
    Plan,
    Round,
    cut,
    never_expired,
)

PLAN = Plan("n", "want", FULL, True, "cache", "7", 1.0, "c", "u")


class Stream:
    """The store's appender, as far as a list sees it."""

    def __init__(self, unread: int = 0, incarnation: str = "n", trouble: Tuple[Exception, ...] = ()) -> None:
        self.messages: List[Message] = []
        self._unread, self._incarnation, self._trouble = unread, incarnation, list(trouble)

    def append_list(self, message: Message, minid: str) -> Appended:
        if self._trouble:
            raise self._trouble.pop(0)
        self.messages.append(message)
        return Appended("1-0", 1)

    def unread(self, stream: str, cursor: str) -> Unread:
        return Unread(self._unread, 0)

    def read_head(self) -> Optional[Head]:
        return Head(incarnation=self._incarnation, rv="7")


def body(count: int, rv: str = "9", token: str = "", remaining: Optional[int] = None, size: int = 10) -> PageBody:
    items = [Item("A", f"shop/p{n}", "8", "u", body=b"x" * size) for n in range(count)]
    return PageBody(rv, token, remaining, items, [])


def handed(stream: Stream, *bodies: PageBody) -> Round:
    one = Round(stream, PLAN, threading.Event())  # type: ignore[arg-type]
    one.run(bodies)
    return one


def test_an_empty_list_is_a_page_and_an_end() -> None:
    stream = Stream()
    handed(stream, body(0))
    page, end = stream.messages
    assert isinstance(page, Page)
    assert isinstance(end, ListEnd)
    assert (page.page, page.rv, page.items, end.pages, end.objects) == (0, "9", (), 1, 0)


def test_pages_are_numbered_over_all_of_the_list_and_the_end_counts_them() -> None:
    stream = Stream()
    one = handed(stream, body(700), body(3))
    pages = [message for message in stream.messages if isinstance(message, Page)]
    assert [(page.page, len(page.items)) for page in pages] == [(0, 500), (1, 200), (2, 3)]
    end = stream.messages[-1]
    assert isinstance(end, ListEnd)
    assert (end.pages, end.objects) == (3, 703)
    assert len(one.kept) == 703
    assert all(not item.body for item in one.kept)


def test_large_objects_are_cut_into_messages_that_fit() -> None:
    runs = list(cut(body(40, size=1_000_000).items))
    assert sum(map(len, runs)) == 40
    for run in runs:
        assert (
            len(pack(Page("n", "l", "", FULL, True, "cache", 0, "9", "7", 1.0, "c", "u", tuple(run))))
            < MAX_MESSAGE / 4
        )


def test_more_objects_than_krm_keeps_are_counted_and_not_handed_over() -> None:
    stream = Stream()
    handed(stream, body(500, remaining=OBJECTS_MOST))
    (end,) = stream.messages
    assert isinstance(end, ListEnd)
    assert end.truncated
    assert end.objects == OBJECTS_MOST + 500


@pytest.mark.parametrize("refused", [501, MAX_ENTRIES, MAX_ENTRIES + 1, MAX_ENTRIES + 500])
def test_every_refused_object_is_named_or_the_end_says_that_some_are_not(refused: int) -> None:
    stream = Stream()
    bad = [Bad("TooLarge", 1, "d", f"a/{number}", "9", 1.0) for number in range(refused)]
    handed(stream, body(0)._replace(bad=bad))
    end = stream.messages[-1]
    assert isinstance(end, ListEnd)
    assert unpack(pack(end)) == end
    if refused <= MAX_ENTRIES:
        assert list(end.bad) == bad
    else:
        assert list(end.bad[:-1]) == bad[: MAX_ENTRIES - 1]
        assert (end.bad[-1].key, end.bad[-1].error.split()[0]) == ("", str(refused - MAX_ENTRIES + 1))


def test_a_list_for_a_snapshot_that_is_gone_is_given_up() -> None:
    with pytest.raises(Abandoned, match="another one"):
        handed(Stream(incarnation="other"), body(1), body(1))


def test_a_list_nobody_reads_is_given_up_when_told_to_stop() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Abandoned):
        Round(Stream(unread=UNREAD_PAGES), PLAN, stop).run([body(1)])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("unread", "size", "waits"),
    [(UNREAD_PAGES - 1, UNREAD_BYTES - 1, False), (UNREAD_PAGES, 0, True), (0, UNREAD_BYTES, True)],
)
def test_no_page_is_handed_over_where_too_much_is_unread(
    unread: int, size: int, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "UNREAD_WAIT", 0.05)
    monkeypatch.setattr(rounds, "RETRY", 0.01)
    stream = Stream()
    monkeypatch.setattr(stream, "unread", lambda name, cursor: Unread(unread, size))
    if not waits:
        handed(stream, body(1))
        assert len(stream.messages) == 2
        return
    with pytest.raises(Abandoned, match="did not take"):
        handed(stream, body(1))
    assert stream.messages == []


def test_a_page_is_sent_again_until_redis_has_it() -> None:
    stream = Stream(trouble=(Unavailable("away"), OutOfMemory("full")))
    handed(stream, body(1))
    assert len(stream.messages) == 2


def test_pages_read_at_two_versions_are_no_list() -> None:
    def pages() -> List[PageBody]:
        raise Expired("410 on continue")

    with pytest.raises(Abandoned, match="410"):
        handed(Stream(), *never_expired(iter_failing(pages)))


def iter_failing(make: object) -> object:
    yield body(1)
    make()  # type: ignore[operator]
