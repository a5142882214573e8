"""The aggregator's loop against a real Redis: each row of its transition table, and what it forgets."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, Iterator, List, Tuple

import pytest
from krm.aggregator import edition, inspection, lists
from krm.aggregator import loop as loops
from krm.aggregator import publisher as publishers
from krm.aggregator.loop import Aggregator
from krm.model.head import Head
from krm.model.messages import (
    ADDED,
    BOOKMARK,
    FULL,
    META,
    MODIFIED,
    Bad,
    Batch,
    Item,
    ListEnd,
    Message,
    Page,
    Probe,
    StreamerReport,
    VerifierReport,
)
from krm.model.records import object_digest
from krm.model.trust import judge
from krm.store.connect import Clock, connect
from krm.store.errors import Corrupt, Denied, OutOfMemory, Unavailable
from krm.store.keys import Keys, meta_key
from krm.store.read import Reader, change_rows
from krm.store.streams import Appender
from redis_servers import Server, one, until

CANON, UID = "canon v1", "cluster-uid"


def item(name: str, rv: int, type_: str = ADDED, size: int = 0) -> Item:
    body = b'{"metadata":{"name":"%s","resourceVersion":"%d"}%s}' % (name.encode(), rv, b" " * size)
    return Item(type_, f"web/{name}", str(rv), f"uid-{name}", object_digest(body), b"", (), body, 1.0)


class Bench:
    """One aggregator whose turns the test takes, and the other stages' words to it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.database, self.keys = connect(server.url, name="test"), Keys("paper", "pods")
        self.stop = threading.Event()
        self.appender, self.reader = Appender(self.database, self.keys), Reader(self.database, self.keys)
        self.clock = Clock(self.database, self.keys.head)
        self.loop = self.another()
        self._lists = 0
        self.threads: List[threading.Thread] = []

    def another(self) -> Aggregator:
        return Aggregator(self.database, self.keys, True, self.clock, self.stop)

    def load(self) -> None:
        head = self.loop._take_over()
        assert head is not None
        self.loop._load(head)

    def head(self) -> Head:
        head = self.appender.read_head()
        assert head is not None
        return head

    def lists(self, rv: int, *items: Item, mode: str = FULL, t0: float = 0.0, bad: Tuple[Bad, ...] = ()) -> None:
        """A whole list, as the verifier would hand it over now."""
        head = self.head()
        self._lists += 1
        name, incarnation = f"list-{self._lists}", head.next or head.incarnation
        first = Page(
            incarnation, name, head.want, mode, True, "cache", 0, str(rv), "0" if head.next else head.rv,
            t0 or self.clock.now(), CANON, UID, (),
        )  # fmt: skip
        pages = [items[start : start + 500] for start in range(0, len(items), 500)] or [()]
        self.tell(*[first._replace(page=number, items=rows) for number, rows in enumerate(pages)])
        self.tell(ListEnd(incarnation, name, len(pages), len(items), False, bad))

    def events(self, seq: int, *items: Item, session: str = "s") -> None:
        head = self.head()
        self.appender.append_event(Batch(head.incarnation, session, seq, head.rv, CANON, UID, items), "")

    def tell(self, *messages: Message) -> None:
        for message in messages:
            self.appender.append_list(message, "")

    def held(self) -> List[Tuple[str, str]]:
        """(key, rv) of what readers see; whatever is torn raises."""
        data = self.reader.snapshot()
        return sorted((key, one.rv) for key, one in data.objects.items()) if data else []

    def ready(self) -> None:
        """First list merged, a session accepted."""
        self.load()
        self.lists(10, item("a", 5))
        self.loop.turn()
        self.events(0)
        self.loop.turn()

    def run(self, loop: Aggregator) -> threading.Thread:
        thread = threading.Thread(target=loop.run, daemon=True)
        thread.start()
        self.threads.append(thread)
        return thread


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with one(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def bench(server: Server) -> Iterator[Bench]:
    server.ask("FLUSHALL")
    server.ask("CONFIG", "SET", "maxmemory", "0")
    made = Bench(server)
    yield made
    made.stop.set()
    for thread in made.threads:
        thread.join(10)
        assert not thread.is_alive()


# The table ---------------------------------------------------------------------------------------


def test_a_first_start_asks_for_a_full_list_and_is_readable_once_it_is_whole(bench: Bench) -> None:
    bench.load()
    first = bench.head()
    assert (first.incarnation, first.rv, bool(first.next), bool(first.want)) == ("", "", True, True)
    bench.lists(10, item("a", 5), item("b", 7))
    bench.loop.turn()
    head = bench.head()
    assert (head.incarnation, head.next, head.rv, head.want) == (first.next, "", "10", "")
    assert bench.held() == [("web/a", "5"), ("web/b", "7")]


def test_a_clean_end_frees_the_fence_and_the_next_one_resumes_at_once(bench: Bench) -> None:
    bench.ready()
    bench.events(1, item("b", 12))
    bench.loop.turn()
    before = bench.head()
    bench.stop.set()
    bench.loop._writer.release()
    assert bench.head().fence == ""
    bench.stop.clear()
    bench.loop = bench.another()
    began = time.monotonic()
    bench.load()
    assert time.monotonic() - began < loops.TAKE_OVER_AFTER / 2
    after = bench.head()
    assert (after.incarnation, after.version, after.rv, after.session, after.seq) == (
        before.incarnation, before.version, "12", "s", 1
    )  # fmt: skip


def test_a_second_aggregator_waits_while_the_first_beats_and_follows_when_it_falls_silent(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "TAKE_OVER_AFTER", 1.2)
    bench.ready()
    fence, second = bench.head().fence, bench.another()
    bench.run(second)
    for _ in range(6):  # 1.5 s of beats
        bench.loop.turn()
    assert bench.head().fence == fence
    until("the second one took over", lambda: bench.head().fence not in ("", fence))
    bench.events(1, item("b", 12))
    with pytest.raises(loops.Surprise):
        bench.loop._publisher.keep_alive(bench.loop._state, at_once=True)
    until("the second one merges", lambda: bench.held() == [("web/a", "5"), ("web/b", "12")])


def test_an_emptied_redis_is_built_anew_under_another_incarnation(bench: Bench) -> None:
    bench.ready()
    old = bench.head().incarnation
    thread = bench.run(bench.loop)
    bench.server.ask("FLUSHALL")
    head = until(
        "it asks for a list again", lambda: (lambda h: h if h and h.want else None)(bench.appender.read_head())
    )
    assert head.incarnation == ""
    assert judge(head, bench.clock.now()).state == "warming"
    bench.lists(20, item("z", 15))
    until("readable again", lambda: bench.held() == [("web/z", "15")])
    assert bench.head().incarnation not in ("", old)
    bench.stop.set()
    thread.join(5)
    assert not thread.is_alive()
    assert bench.head().fence == ""


@pytest.mark.parametrize("harm", ["an object is gone", "the head counts another", "a newer change", "half built"])
def test_what_does_not_fit_together_is_never_resumed(bench: Bench, harm: str) -> None:
    bench.ready()
    bench.events(1, item("a", 12, MODIFIED))
    bench.loop.turn()
    head, link, keys = bench.head(), bench.database.link(), bench.keys
    bench.loop._writer.release()
    link.call(*{
        "an object is gone": ("HDEL", keys.objects(head.incarnation, "web"), "a"),
        "the head counts another": ("HSET", keys.head, "count", "2"),
        "a newer change": ("XADD", keys.changes, f"{head.version + 1}-0", "c", "x"),
        "half built": ("HSET", keys.head, "next", "half"),
    }[harm])  # fmt: skip
    bench.loop = bench.another()
    bench.load()
    after = bench.head()
    assert after.next not in ("", "half")
    assert after.want
    assert judge(after, bench.clock.now()).state == "stale"
    bench.lists(20, item("b", 15))
    bench.loop.turn()
    assert bench.held() == [("web/b", "15")]


def test_a_key_of_another_type_is_built_anew_and_not_stumbled_over_for_ever(bench: Bench) -> None:
    bench.ready()
    bench.loop._writer.release()
    link = bench.database.link()
    link.call("DEL", bench.keys.changes)
    link.call("SET", bench.keys.changes, "a stranger's")
    bench.loop = bench.another()
    bench.load()
    bench.lists(20, item("b", 15))
    bench.loop.turn()
    bench.events(0, session="t")
    bench.events(1, item("c", 22), session="t")
    bench.loop.turn()
    assert bench.held() == [("web/b", "15"), ("web/c", "22")]


def test_an_entry_that_is_no_message_is_passed_over(bench: Bench) -> None:
    bench.ready()
    bench.events(1, item("b", 12))
    bench.database.link().call("XADD", bench.keys.lists, "*", "m", b"rubbish")
    bench.loop.turn()
    assert bench.held() == [("web/a", "5"), ("web/b", "12")]
    assert [bad[0] for bad in bench.head().bad] == [RUBBISH % "lists"]


RUBBISH = "an entry of %s cannot be read: not msgpack within the caps: ExtraData"


def test_a_batch_that_cannot_be_read_breaks_the_session_and_a_list_leads_beyond_it(bench: Bench) -> None:
    bench.ready()
    for _ in range(3):
        bench.database.link().call("XADD", bench.keys.events, "*", "m", b"rubbish")
    bench.loop.turn()
    bench.loop._publisher.keep_alive(bench.loop._state, at_once=True)
    head = bench.head()
    assert (head.session, head.gaps, head.gap_open, bool(head.want)) == ("", 1, True, True)
    assert [bad[0] for bad in head.bad] == [RUBBISH % "events"]  # once, however often
    bench.lists(20, item("a", 5), item("b", 15))
    bench.loop.turn()
    bench.loop._publisher.keep_alive(bench.loop._state, at_once=True)
    assert bench.held() == [("web/a", "5"), ("web/b", "15")]
    assert (bench.head().gap_open, bench.head().want) == (False, "")


def test_a_page_that_cannot_be_read_gives_its_list_up_and_not_the_one_that_waits(bench: Bench) -> None:
    bench.ready()
    head = bench.head()
    page = Page(
        head.incarnation,
        "l",
        "",
        META,
        False,
        "cache",
        0,
        "10",
        "10",
        bench.clock.now(),
        CANON,
        UID,
        (item("a", 5),),
    )
    bench.tell(page)
    bench.database.link().call("XADD", bench.keys.lists, "*", "m", b"rubbish")
    bench.tell(ListEnd(head.incarnation, "l", 1, 1))
    bench.loop.turn()
    assert bench.head().verified_at == head.verified_at
    bench.lists(20, item("a", 5), item("b", 15), mode=META)
    bench.loop.turn()  # waits for F
    bench.database.link().call("XADD", bench.keys.lists, "*", "m", b"rubbish")
    bench.events(1, item("b", 15), Item(BOOKMARK, "", "20"))
    bench.loop.turn()
    bench.loop._publisher.keep_alive(bench.loop._state, at_once=True)
    assert bench.head().verified_rv == "20"


@pytest.mark.parametrize("building", [False, True])
def test_an_entry_that_the_merge_fails_on_is_passed_over_told_and_all_built_anew(
    bench: Bench, building: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.load() if building else bench.ready()
    head = bench.head()
    poison = Page(
        head.next or head.incarnation, "l", head.want, FULL, False, "cache", 0, "11", "abc", 1.0, CANON, UID,
        (item("a", 5),),
    )  # fmt: skip
    if building:

        def fail(*_: Any) -> None:
            raise KeyError("a bug")

        with monkeypatch.context() as patched:
            patched.setattr(lists, "_take_item", fail)
            bench.tell(poison)
            bench.loop.turn()
    else:
        bench.tell(poison)
        bench.loop.turn()
    bench.loop._publisher.keep_alive(bench.loop._state, at_once=True)
    after = bench.head()
    what = "an entry of lists cannot be merged: " + ("KeyError" if building else "MalformedVersion")
    assert [bad[0] for bad in after.bad] == [what]
    assert after.want
    assert (after.next == head.next) is building  # a list that fails while it is built is not asked for at once
    assert after.rebuilt == ("first start" if building else what)
    bench.lists(20, item("b", 15))
    bench.loop.turn()
    assert bench.held() == [("web/b", "15")]
    assert bench.head().bad  # it was built anew, and what was wrong is still told


@pytest.mark.parametrize("lost", ["index", "objects"])
def test_keys_that_vanish_under_a_running_kind_are_noticed_and_built_anew(bench: Bench, lost: str) -> None:
    bench.run(bench.loop)
    until("it asks", lambda: (lambda head: head and head.want)(bench.appender.read_head()))
    bench.lists(10, item("a", 5))
    until("the first list", lambda: bench.held() == [("web/a", "5")])
    head, keys = bench.head(), bench.keys
    gone = keys.index(head.incarnation) if lost == "index" else keys.objects(head.incarnation, "web")
    bench.database.link().call("DEL", gone)
    with pytest.raises(Corrupt):
        bench.held()
    until("it asks for a list again", lambda: bench.head().next and bench.head().want)
    assert judge(bench.head(), bench.clock.now()).state == "stale"
    bench.lists(20, item("b", 15))
    until("it is whole again", lambda: bench.head().incarnation != head.incarnation)
    assert bench.held() == [("web/b", "15")]


def test_a_change_of_what_is_gone_in_redis_is_not_published_over_the_hole(bench: Bench) -> None:
    bench.ready()
    bench.database.link().call("DEL", bench.keys.objects(bench.head().incarnation, "web"))
    bench.events(1, item("a", 12, MODIFIED))
    with pytest.raises(Corrupt):
        bench.loop.turn()


def test_a_policy_that_begins_to_evict_is_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(inspection, "POLICY_EVERY", 0.0)
    bench.ready()
    assert "maxmemory-policy" not in caplog.text
    bench.server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        bench.loop.turn()
    finally:
        bench.server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert "maxmemory-policy was changed to allkeys-lru" in caplog.text


# What is forgotten -------------------------------------------------------------------------------

BREAKS: List[Tuple[str, Callable[[Aggregator], Tuple[Any, str]]]] = [
    ("reading what stands", lambda loop: (loop._writer, "previous")),
    ("sending the version", lambda loop: (loop._writer, "publish")),
    ("saving the head", lambda loop: (loop._writer, "write_head")),
]


@pytest.mark.parametrize("error", [Unavailable("away"), Corrupt("rot"), Denied("no"), loops.Surprise("other")])
@pytest.mark.parametrize("where", [row[1] for row in BREAKS], ids=[row[0] for row in BREAKS])
def test_whatever_fails_in_a_turn_no_event_is_lost_and_nothing_is_told_twice(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, where: Any, error: Exception
) -> None:
    monkeypatch.setattr(loops, "RETRY", 0.05)
    monkeypatch.setattr(publishers, "RETRY", 0.05)
    bench.run(bench.loop)
    until("it asks", lambda: (lambda head: head and head.want)(bench.appender.read_head()))
    bench.lists(10, item("a", 5))
    until("the first list", lambda: bench.held() == [("web/a", "5")])
    bench.events(0)
    owner, method = where(bench.loop)
    right, failed = getattr(owner, method), []

    def once(*args: Any, **more: Any) -> Any:
        if not failed and (method != "write_head" or bench.loop._state.seq >= 2):
            failed.append(1)
            raise error
        return right(*args, **more)

    monkeypatch.setattr(owner, method, once)
    bench.events(1, item("b", 12), item("a", 13, MODIFIED))
    bench.events(2, item("c", 14))
    until("it failed", lambda: failed)
    until("all three changes", lambda: bench.held() == [("web/a", "13"), ("web/b", "12"), ("web/c", "14")])
    head = until("saved", lambda: (lambda h: h if h.seq == 2 else None)(bench.head()))
    assert (head.rv, head.gaps, head.session) == ("14", 0, "s")
    rows = bench.database.link().call("XRANGE", bench.keys.changes, "-", "+")
    assert [row[0] for row in rows] == [b"%d-0" % v for v in range(2, head.version + 1)]


@pytest.mark.parametrize("method", ["build", "switch"])
def test_a_snapshot_half_built_when_redis_went_away_is_begun_anew(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(loops, "RETRY", 0.05)
    bench.load()
    first = bench.head().next

    def away(*_: Any, **__: Any) -> Any:
        raise Unavailable("away")

    monkeypatch.setattr(bench.loop._writer, method, away)
    bench.lists(10, item("a", 5))
    with pytest.raises(Unavailable):
        bench.loop.turn()
    bench.load()
    head = bench.head()
    assert head.next not in ("", first)
    assert head.incarnation == ""
    bench.loop.turn()  # the former list's pages are of another incarnation
    assert bench.held() == []
    bench.lists(11, item("b", 6))
    bench.loop.turn()
    assert bench.held() == [("web/b", "6")]


def test_attempts_to_take_over_while_redis_is_away_do_not_make_its_own_fence_a_strangers(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.ready()
    held = bench.head().fence
    with monkeypatch.context() as patched:

        def away(self: Any) -> Any:
            raise Unavailable("away")

        patched.setattr("krm.store.publish.Writer.read_head", away)
        for _ in range(3):
            with pytest.raises(Unavailable):
                bench.loop._take_over()
    began = time.monotonic()
    bench.load()
    assert time.monotonic() - began < loops.TAKE_OVER_AFTER / 2
    assert bench.head().fence != held


def test_the_head_says_when_the_past_begins_and_a_successor_keeps_it(bench: Bench) -> None:
    began = bench.clock.now()
    bench.ready()
    head = bench.head()
    assert head.oldest_at is not None
    assert began <= head.oldest_at <= bench.clock.now()
    bench.events(1, item("a", 20, MODIFIED))
    bench.loop.turn()
    bench.loop._writer.release()
    bench.loop = bench.another()
    bench.load()
    assert (bench.head().oldest, bench.head().oldest_at) == (head.oldest, head.oldest_at)


@pytest.mark.parametrize("refused", [3, 700])
def test_refused_objects_are_no_drift_however_many_and_after_a_restart_neither(bench: Bench, refused: int) -> None:
    bench.load()
    bad = tuple(Bad("TooLarge", 1, "d", f"web/bad-{number}", "6", 1.0) for number in range(refused))
    bench.lists(10, item("a", 5), bad=bad)
    bench.loop.turn()
    listed = [item("a", 5), *[item(f"bad-{number}", 6)._replace(body=b"", digest=b"") for number in range(refused)]]
    for restart in (False, True):
        if restart:
            bench.loop._writer.release()
            bench.loop = bench.another()
            bench.load()
        began = bench.clock.now()
        bench.lists(10, *listed, mode=META)
        bench.loop.turn()
        bench.loop._publisher.keep_alive(bench.loop._state, at_once=True)
        after = bench.head()
        assert (after.drift, after.want, bench.held()) == ({}, "", [("web/a", "5")])
        assert (after.verified_at or 0.0) >= began
    bench.events(0)
    bench.events(1, Item(BOOKMARK, "", "11"))
    bench.lists(11, *listed, item("lost", 11)._replace(body=b"", digest=b""), mode=META)
    bench.loop.turn()
    bench.loop._publisher.keep_alive(bench.loop._state, at_once=True)
    assert bench.head().drift == {"missed_add": 1}  # what is really lost is found


# Room --------------------------------------------------------------------------------------------


def test_a_full_redis_is_given_room_by_any_write_not_by_versions_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishers, "RETRY", 0.01)
    bench.ready()
    for number in range(8):
        bench.events(number + 1, item("a", 20 + number, MODIFIED))
        bench.loop.turn()
    rows = bench.database.link().call("XRANGE", bench.keys.changes, "-", "+")
    published = {version: entry.at for version, entry in change_rows(rows)}
    assert len(published) == 8
    right = bench.loop._writer.write_head

    def full(*args: Any, **more: Any) -> None:
        if bench.database.link().call("XLEN", bench.keys.changes) > 2:
            raise OutOfMemory("full")
        right(*args, **more)

    monkeypatch.setattr(bench.loop._writer, "write_head", full)
    bench.loop._publisher.keep_alive(bench.loop._state, at_once=True)
    head = bench.head()
    first = bench.database.link().call("XRANGE", bench.keys.changes, "-", "+")[0][0]
    assert head.oldest + 1 == int(first.partition(b"-")[0])
    assert head.oldest_at == published[head.oldest]


def test_large_objects_make_more_versions_and_what_fits_in_none_is_listed_anew(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "VERSION_BYTES", 4_000)
    monkeypatch.setattr(publishers, "ENTRY_MOST", 20_000)
    bench.ready()
    version = bench.head().version
    for seq in (1, 2, 3):
        bench.events(seq, item(f"big-{seq}", 20 + seq, size=5_000))
    bench.loop.turn()
    assert bench.head().version == version + 3
    bench.events(4, *[item(f"huge-{n}", 30 + n, size=9_000) for n in range(3)])
    bench.loop.turn()
    head = bench.head()
    assert (head.version, head.rv) == (version + 3, "23")
    assert head.next
    assert head.want


def test_a_list_of_which_all_differs_is_not_held_in_memory_but_built_aside(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.ready()
    monkeypatch.setattr(lists, "REPAIR_BYTES", 10_000)
    bench.lists(50, item("a", 5), *[item(f"b{n}", 40, size=4_000) for n in range(10)])
    page, end = [
        entry.raw
        for entry in bench.loop._consumer.read("9999999999999-0", bench.loop._publisher.cursors["lists"], 0)
    ]
    bench.loop._perform(loops.merge(bench.loop._state, loops.unpack(page), 0.0))
    listing = bench.loop._state.listing
    assert listing is not None
    assert len(listing.differing) == 10
    assert sum(len(one.body) for one in listing.differing) < 15_000
    bench.loop._perform(loops.merge(bench.loop._state, loops.unpack(end), 0.0))
    bench.loop._perform(loops.settle(bench.loop._state, 1e9))
    assert bench.head().next
    assert bench.held() == [("web/a", "5")]


def test_after_a_repair_no_watch_by_version_starts_where_it_cannot_be_told_of(bench: Bench) -> None:
    bench.ready()
    bench.events(1, Item(BOOKMARK, "", "30"))
    bench.loop.turn()
    bench.lists(20, item("a", 5), item("b", 15))
    bench.loop.turn()
    head = bench.head()
    assert bench.held() == [("web/a", "5"), ("web/b", "15")]
    assert (head.rv, head.watch_from) == ("30", "30")


def test_a_head_of_another_format_is_replaced_and_not_stumbled_over_for_ever(bench: Bench) -> None:
    bench.ready()
    bench.database.link().call("HSET", bench.keys.head, "bad", '[["of", "another", "format"]]')
    bench.loop = bench.another()
    bench.load()
    assert bench.head().want


def test_the_kind_goes_on_while_the_directory_cannot_be_written(bench: Bench) -> None:
    bench.ready()
    link = bench.database.link()
    link.call("DEL", meta_key("paper"))
    link.call("SET", meta_key("paper"), "a stranger's")
    bench.loop._announce_at = 0.0
    bench.events(1, item("b", 12))
    bench.loop.turn()
    assert bench.held() == [("web/a", "5"), ("web/b", "12")]
    link.call("DEL", meta_key("paper"))
    bench.loop._announce_at = 0.0
    bench.loop.turn()
    assert link.call("EXISTS", meta_key("paper")) == 1


def kept_keys(bench: Bench, incarnation: str) -> int:
    keys = bench.keys
    return int(bench.database.link().call("EXISTS", keys.index(incarnation), keys.objects(incarnation, "web")))


def test_what_was_replaced_stays_for_its_minute_and_then_goes(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.ready()
    old, minute = bench.head().incarnation, loops.GARBAGE_AFTER
    bench.loop._rebuild("a test")
    bench.lists(20, item("b", 15))
    bench.loop.turn()
    bench.loop.turn()
    assert minute == 60.0
    assert (kept_keys(bench, old), kept_keys(bench, bench.head().incarnation)) == (2, 2)
    (due,) = bench.loop._garbage.values()
    assert due - time.monotonic() > minute - 10.0
    bench.loop._garbage[old] = time.monotonic()
    bench.loop.turn()
    assert (kept_keys(bench, old), kept_keys(bench, bench.head().incarnation)) == (0, 2)
    assert bench.database.link().call("SMEMBERS", bench.keys.garbage) == []


def test_a_successor_removes_what_its_predecessor_left_and_not_before_its_minute(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.ready()
    old = bench.head().incarnation
    bench.loop._rebuild("a test")
    bench.lists(20, item("b", 15))
    bench.loop.turn()
    bench.loop._writer.release()
    bench.loop = bench.another()
    bench.load()
    bench.loop.turn()
    assert kept_keys(bench, old) == 2
    assert bench.loop._garbage[old] - time.monotonic() > loops.GARBAGE_AFTER - 10.0
    bench.loop._garbage[old] = time.monotonic()
    bench.loop.turn()
    assert kept_keys(bench, old) == 0


def test_budgets_hold_over_a_restart(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edition, "CHANGES_LEAST", 20_000)
    bench.ready()
    for number in range(4):
        bench.events(number + 1, item("a", 20 + number, MODIFIED, size=4_000))
        bench.loop.turn()
    head = bench.head()
    assert (head.oldest, head.version) == (1, 5)
    bench.loop._writer.release()
    bench.loop = bench.another()
    bench.load()
    bench.events(5, item("a", 30, MODIFIED, size=9_000))
    bench.loop.turn()
    # All that stood there counts as one entry: it has to go for the new one.
    head = bench.head()
    assert (head.oldest, head.version) == (5, 6)
    rows = bench.database.link().call("XRANGE", bench.keys.changes, "-", "+")
    assert [row[0] for row in rows] == [b"6-0"]


def test_the_budget_grows_with_what_is_kept(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edition, "CHANGES_LEAST", 1_000)
    monkeypatch.setattr(edition, "CHANGES_SHARE", 1.0)
    bench.ready()
    for number in range(5):  # each change is kept as long as the objects of all are
        bench.events(number + 1, item(f"b{number}", 20 + number, size=4_000))
        bench.loop.turn()
    assert len(bench.database.link().call("XRANGE", bench.keys.changes, "-", "+")) >= 4


# Freshness ---------------------------------------------------------------------------------------


def test_a_waiting_list_is_compared_as_it_completes_and_when_the_watch_is_there_not_each_turn(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.ready()
    compared = []
    right = lists.differences
    monkeypatch.setattr(lists, "differences", lambda *args: compared.append(1) or right(*args))
    bench.lists(20, item("a", 5), item("b", 15), mode=META)
    for seq in range(1, 6):
        bench.events(seq, Item(BOOKMARK, "", str(10 + seq)))
        bench.loop.turn()
    assert len(compared) == 1
    bench.events(6, item("b", 15, ADDED)._replace(rv="16"), Item(BOOKMARK, "", "20"))
    bench.loop.turn()
    assert len(compared) == 2


def proven(bench: Bench, at: float) -> None:
    """A probe sent and a watch seen at `at`."""
    head = bench.head()
    bench.tell(VerifierReport("", at, "", False, Probe(head.rv, head.rv, at)))
    bench.appender.append_event(StreamerReport(head.incarnation, "s", at, at, at, ""), "")
    bench.loop.turn()
    bench.loop._publisher.keep_alive(bench.loop._state, at_once=True)


def test_after_the_clock_went_back_old_proofs_do_not_stand_for_as_long(bench: Bench) -> None:
    bench.ready()
    now = bench.clock.now()
    proven(bench, now)
    assert judge(bench.head(), now).state == "live"
    # An hour back: what was proven then lies in the future now.
    bench.clock._offset -= 3600.0
    bench.loop._publisher.keep_alive(bench.loop._state, at_once=True)
    assert judge(bench.head(), now - 3600.0).state == "stale"
    bench.loop.turn()
    bench.loop._publisher.keep_alive(bench.loop._state, at_once=True)
    head = bench.head()
    assert (head.current_as_of, head.probed_at, head.verified_at) == (None, None, None)
    proven(bench, now - 3599.5)
    bench.lists(10, item("a", 5), t0=now - 3599.0)  # a quiet kind: the same V as before
    bench.loop.turn()
    bench.loop._publisher.keep_alive(bench.loop._state, at_once=True)
    head = bench.head()
    assert judge(head, now - 3598.0).state == "live"
    assert head.verified_at == now - 3599.0


def test_a_dead_aggregator_is_not_alive_because_the_clock_went_back(bench: Bench) -> None:
    bench.ready()
    now = bench.clock.now()
    proven(bench, now)
    trust = judge(bench.head(), now - 3600.0)
    assert trust.state == "stale"
    assert trust.clock_suspect


def test_a_head_is_judged_by_the_time_it_was_read_however_long_the_objects_took(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.ready()
    hashes = bench.reader._hashes
    beaten: List[float] = []

    def slowly(*args: Any) -> Any:
        found = hashes(*args)
        until("time passes", lambda: bench.clock.now() - began > 1.3)
        proven(bench, bench.clock.now())
        beaten.append(bench.head().beat or 0.0)
        return found

    monkeypatch.setattr(bench.reader, "_hashes", slowly)
    began = bench.clock.now()
    data = bench.reader.snapshot()
    assert data is not None
    assert beaten
    assert data.time >= beaten[0]
    trust = judge(data.head, data.time)
    assert (trust.state, trust.clock_suspect) == ("live", False)
