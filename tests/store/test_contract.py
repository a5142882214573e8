"""What every Redis owes krm: held against one server, Redis Cluster, Sentinel and fakeredis alike."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Callable, Dict, Optional, Tuple

import pytest
from kind_pen import Pen, envelope
from krm.model.messages import End, StreamerReport, unpack
from krm.model.records import unpack_envelope
from krm.store.connect import Clock, Database
from krm.store.errors import Expired, Fenced, Surprise
from krm.store.follow import Follower
from krm.store.keys import Keys
from krm.store.past import History
from krm.store.publish import Writer
from krm.store.read import Reader, Token
from krm.store.streams import EVENTS, LISTS, Appender, Consumer

NAMES = ["a/x", "a/y", "b/x", "/cluster-scoped"]


def pen_on(database: Database, keys: Keys, fence: str = "ME") -> Pen:
    return Pen(Writer(database, keys, fence))


def test_a_reader_finds_what_was_built_and_published(database: Database, keys: Keys) -> None:
    pen, reader = pen_on(database, keys), Reader(database, keys)
    assert reader.snapshot() is None
    pen.begin(NAMES)
    pen.publish(("a/x", True), ("a/z", True), ("b/x", False))
    found = reader.snapshot()
    assert found is not None
    assert found.objects == pen.objects
    assert found.token == Token(pen.incarnation, 2)
    assert found.corrupt == ()
    assert abs(found.time - time.time()) < 60


def test_one_namespace_and_one_object(database: Database, keys: Keys) -> None:
    pen, reader = pen_on(database, keys), Reader(database, keys)
    pen.begin(NAMES)
    found = reader.snapshot("a")
    assert found is not None
    assert set(found.objects) == {"a/x", "a/y"}
    scoped = reader.snapshot("")
    assert scoped is not None
    assert set(scoped.objects) == {"/cluster-scoped"}
    empty = reader.snapshot("nobody")
    assert empty is not None
    assert empty.objects == {}
    assert reader.get("a", "x")[1] == pen.objects["a/x"]
    assert reader.get("a", "nobody")[1] is None


def test_a_namespace_that_empties_leaves_the_index(database: Database, keys: Keys) -> None:
    pen = pen_on(database, keys)
    pen.begin(NAMES)
    pen.publish(("b/x", False))
    assert set(pen.writer.load_index(pen.incarnation)) == {"", "a"}
    found = Reader(database, keys).snapshot("b")
    assert found is not None
    assert found.objects == {}


def test_the_fence_stops_the_one_before(database: Database, keys: Keys) -> None:
    first, second = pen_on(database, keys, "FIRST"), Writer(database, keys, "SECOND")
    first.begin(NAMES)
    seen = second.read_head()
    assert second.take_over(seen, {"beat": 2.0})
    with pytest.raises(Fenced):
        first.publish(("a/x", True))
    with pytest.raises(Fenced):
        first.writer.write_head({"beat": 9.0})
    found = Reader(database, keys).snapshot()
    assert found is not None
    assert found.token.version == 1
    assert found.head.beat == 2.0


def test_take_over_yields_to_whoever_moved_first(database: Database, keys: Keys) -> None:
    first, second = Writer(database, keys, "FIRST"), Writer(database, keys, "SECOND")
    assert first.take_over(None, {"beat": 1.0})
    assert not second.take_over(None, {"beat": 2.0})
    seen = second.read_head()
    first.write_head({"beat": 3.0})
    assert not second.take_over(seen, {})
    first.release()
    assert second.take_over(second.read_head(), {})


def test_resume_finds_the_rows_it_left(database: Database, keys: Keys) -> None:
    pen = pen_on(database, keys)
    pen.begin(NAMES)
    pen.publish(("a/x", True))
    assert dict(pen.writer.load_rows(pen.incarnation)) == pen.objects
    assert pen.writer.newest_change() == 2
    assert pen.writer.previous(pen.incarnation, ["a/x", "b/none"])["b/none"] == b""
    assert unpack_envelope(pen.writer.previous(pen.incarnation, ["a/x"])["a/x"]) == pen.objects["a/x"]


def test_garbage_goes_and_the_readable_stays(database: Database, keys: Keys) -> None:
    pen = pen_on(database, keys)
    pen.begin([f"ns{number}/x" for number in range(120)])
    old = pen.incarnation
    pen.rebuild(NAMES)
    assert pen.writer.garbage() == [old]
    with pytest.raises(ValueError, match="in use"):
        pen.writer.collect_garbage(pen.incarnation)
    pen.writer.collect_garbage(old)
    assert pen.writer.garbage() == []
    link = database.link(keys.head)
    assert link.call("EXISTS", keys.index(old), keys.objects(old, "ns7")) == 0
    found = Reader(database, keys).snapshot()
    assert found is not None
    assert found.objects == pen.objects


def test_a_follower_gets_every_version_once(database: Database, keys: Keys) -> None:
    pen = pen_on(database, keys)
    pen.begin(NAMES)
    follower = Follower(database, keys, Token(pen.incarnation, 1))
    assert follower.turn(block=0.05) == []
    for _ in range(250):
        pen.publish(("a/x", True))
    versions = []
    while len(versions) < 250:
        steps = follower.turn()
        assert steps
        versions += [step.version for step in steps]
    assert versions == list(range(2, 252))
    assert str(follower.token) == f"{pen.incarnation}:251"
    assert follower.head is not None


def test_a_follower_is_told_of_trimming_and_rebuilds(database: Database, keys: Keys) -> None:
    pen = pen_on(database, keys)
    pen.begin(NAMES)
    token = Token(pen.incarnation, 1)
    for _ in range(5):
        pen.publish(("a/x", True))
    pen.writer.trim(changes_to=4, past_to=None)
    with pytest.raises(Expired) as told:
        Follower(database, keys, token).turn(block=0)
    assert told.value.oldest == 3
    pen.writer.trim(changes_to=7, past_to=None)
    follower = Follower(database, keys, token)
    assert follower.turn(block=0) == []
    with pytest.raises(Expired):  # nothing stands in the stream: only head tells
        follower.turn(block=0.01)
    follower = Follower(database, keys, Token(pen.incarnation, 6))
    assert follower.turn(block=0) == []
    pen.rebuild(NAMES)
    with pytest.raises(Expired):
        follower.turn(block=0)


def test_a_rebuilt_stream_with_the_same_ids_is_not_mistaken(database: Database, keys: Keys) -> None:
    pen = pen_on(database, keys)
    pen.begin(NAMES)
    for _ in range(3):
        pen.publish(("a/x", True))
    follower = Follower(database, keys, Token(pen.incarnation, 2))
    database.link(keys.head).call("UNLINK", keys.head, keys.changes, keys.past)  # Redis was emptied
    fresh = pen_on(database, keys, "OTHER")
    fresh.begin(NAMES)
    for _ in range(3):
        fresh.publish(("a/x", True))
    with pytest.raises(Expired):
        follower.turn(block=0)


def test_the_past_is_what_stood_there(database: Database, keys: Keys) -> None:
    pen = pen_on(database, keys)
    pen.begin(NAMES)
    pen.publish(("a/x", True), ("b/x", False))
    pen.publish(("b/x", True), ("c/new", True))
    pen.publish(("c/new", False), ("a/y", True), ("a/y", True))
    history = History(database, keys)
    for version, objects in pen.versions.items():
        assert history.at(Token("", version)).objects == objects, version
    assert history.at_time(1001.5).token.version == 2
    assert history.at_time(1003.0).token.version == 4
    with pytest.raises(Expired):
        history.at_time(1000.5)
    with pytest.raises(Expired):
        history.at(Token("", 5))
    with pytest.raises(Expired):
        history.at(Token("another", 2))
    with pytest.raises(ValueError, match="future"):
        history.at_time(time.time() + 3600)


def test_a_quiet_kind_has_a_past_from_its_snapshot_on(database: Database, keys: Keys) -> None:
    pen = pen_on(database, keys)
    pen.begin(NAMES, oldest_at=999.0)
    history = History(database, keys)
    assert history.at_time(1500.0).objects == pen.versions[1]  # nothing was published since
    with pytest.raises(
        Expired, match=r"pods of test-\d+: .* the oldest is 1, published 1970-01-01T00:16:39Z, \d+ s"
    ):
        history.at_time(998.0)
    pen.publish(("a/x", True))  # at 1001
    assert history.version_at(1000.5).version == 1
    assert history.version_at(1001.0).version == 2
    pen.writer.publish(replace(pen.publication(("a/x", True)), trim_changes_to=3))
    with pytest.raises(Expired):
        history.version_at(1000.5)  # the head's `oldest` is not where `changes` begins


def test_a_kind_without_a_past_says_that(database: Database, keys: Keys) -> None:
    pen = pen_on(database, keys)
    pen.begin(NAMES, oldest_at=999.0, uncached=True)
    pen.writer.publish(pen.publication(("a/x", True), past=False))
    history = History(database, keys)
    for read in (lambda: history.diff(Token("", 1), Token("", 2)), lambda: history.at_time(900.0)):
        with pytest.raises(Expired, match=r"have no past \(docs/known-issues.md\)"):
            read()
    assert history.at(Token("", 2)).token.version == 2


def test_diff_is_net_and_has_two_directions(database: Database, keys: Keys) -> None:
    pen = pen_on(database, keys)
    pen.begin(NAMES)
    pen.publish(("a/x", True), ("c/passing", True))
    pen.publish(("c/passing", False), ("b/x", False), ("d/new", True))
    history = History(database, keys)
    forth = history.diff(Token("", 1), Token("", 3))
    one, three = pen.versions[1], pen.versions[3]
    assert {key: tuple(pair) for key, pair in forth.items()} == {
        key: (one.get(key), three.get(key)) for key in ("a/x", "b/x", "d/new")
    }
    back = history.diff(Token("", 3), Token("", 1))
    assert {key: (pair.after, pair.before) for key, pair in back.items()} == {k: tuple(p) for k, p in forth.items()}


def test_expired_names_the_oldest_version_kept(database: Database, keys: Keys) -> None:
    pen = pen_on(database, keys)
    pen.begin(NAMES)
    for _ in range(6):
        pen.publish(("a/x", True))
    pen.writer.publish(replace(pen.publication(("a/y", True)), trim_past_to=5))
    history = History(database, keys)
    assert history.at(Token("", 4)).objects == pen.versions[4]
    with pytest.raises(Expired, match="oldest is 4") as told:
        history.at(Token("", 3))
    assert told.value.oldest == 4


def test_verified_only_goes_back_to_the_last_list(database: Database, keys: Keys) -> None:
    pen = pen_on(database, keys)
    pen.begin(NAMES)  # rv 1..4
    pen.publish(("a/x", True))  # rv 5
    pen.publish(("a/y", True), ("b/x", False), ("c/new", True), ("a/y", True))  # rv 6..9
    pen.publish(("a/x", False))  # rv 10
    history = History(database, keys)
    pen.writer.write_head({"verified_rv": "6"})
    found = history.verified_only().objects
    assert {key: row.rv for key, row in found.items()} == {
        "a/x": "5",
        "a/y": "6",
        "b/x": "3",
        "/cluster-scoped": "4",
    }
    pen.writer.write_head({"verified_rv": "10"})
    assert history.verified_only().objects == pen.objects
    pen.writer.write_head({"verified_rv": "4"})
    with pytest.raises(Expired):
        history.verified_only()  # what F was at version 1 nobody wrote down
    pen.writer.write_head({"oldest_rv": "4"})
    assert history.verified_only().objects == pen.versions[1]
    pen.writer.write_head({"verified_rv": "opaque"})
    with pytest.raises(Expired, match="no resourceVersion"):
        history.verified_only()


def test_streams_keep_what_is_unread(database: Database, keys: Keys) -> None:
    stage, consumer = Appender(database, keys), Consumer(database, keys)
    assert consumer.read("", "", block=0) == []
    sent = [stage.append_event(End("n", str(number), "shutdown"), "") for number in range(3)]
    page = stage.append_list(StreamerReport("n", "s", 1.0, 0.0, 0.0, ""), "")
    read = consumer.read("", "", block=0)
    assert [(entry.stream, entry.id) for entry in read] == [
        *((EVENTS, row.id) for row in sent),
        (LISTS, page.id),
    ]
    assert unpack(read[0].raw) == End("n", "0", "shutdown")
    assert stage.unread(EVENTS, sent[0].id) == (2, sent[1].size + sent[2].size)
    assert stage.unread(EVENTS, sent[1].id).entries == 1
    for number in range(300):  # trimming drops whole nodes of the stream, never an unread entry
        stage.append_event(End("n", str(number), "shutdown"), sent[2].id)
    assert len(consumer.read(sent[2].id, page.id, block=0, count=1000)) == 300
    assert consumer.proven(EVENTS, sent[2].id)
    assert not consumer.proven(EVENTS, "1-1")
    waited = time.monotonic()
    assert consumer.read("99999999999999-0", page.id, block=0.05) == []
    assert time.monotonic() - waited >= 0.04


def test_what_is_consumed_leaves_the_streams(database: Database, keys: Keys) -> None:
    stage, cursor = Appender(database, keys), {EVENTS: "", LISTS: ""}
    for number in range(500):
        sent = stage.append_event(End("n", str(number), "shutdown"), cursor[EVENTS])
        page = stage.append_list(StreamerReport("n", "s", 1.0, 0.0, 0.0, ""), cursor[LISTS])
        cursor = {EVENTS: sent.id, LISTS: page.id}
    link = database.link(keys.head)
    # Whole nodes of the stream alone are dropped: at most 100 entries each, by Redis' default.
    for key, last in ((keys.events, cursor[EVENTS]), (keys.lists, cursor[LISTS])):
        assert 1 <= link.call("XLEN", key) <= 250
        assert link.call("XREVRANGE", key, "+", "-", "COUNT", 1)[0][0].decode() == last


def test_a_stage_that_is_begun_anew_knows_what_the_one_before_left_unread(database: Database, keys: Keys) -> None:
    before = Appender(database, keys)
    sent = [before.append_event(End("n", str(number), "shutdown"), "") for number in range(50)]
    page = before.append_list(StreamerReport("n", "s", 1.0, 0.0, 0.0, ""), "")
    after = Appender(database, keys)
    assert after.unread(EVENTS, sent[9].id) == before.unread(EVENTS, sent[9].id)
    assert after.unread(EVENTS, sent[9].id).entries == 40
    one = after.append_event(End("n", "50", "shutdown"), sent[9].id)
    assert after.unread(EVENTS, sent[9].id).entries == 41
    assert after.unread(EVENTS, sent[49].id) == (1, one.size)
    assert after.unread(LISTS, "") == (1, page.size)
    only_appends = Appender(database, keys)
    only_appends.append_list(StreamerReport("n", "s", 2.0, 0.0, 0.0, ""), "")
    assert only_appends.unread(LISTS, "").entries == 2


def test_a_stranger_s_entry_is_handed_on_as_no_message(database: Database, keys: Keys) -> None:
    database.link(keys.events).call("XADD", keys.events, "*", "other", "field", "m", "x")
    assert Consumer(database, keys).read("", "", block=0)[0].raw == b""


def test_the_clock_is_redis_time(database: Database, keys: Keys) -> None:
    clock = Clock(database, keys.head)
    assert abs(clock.now() - time.time()) < 0.1
    assert clock.measured_ago() < 5


def test_an_error_inside_an_executed_multi_is_a_surprise(database: Database, keys: Keys) -> None:
    pen = pen_on(database, keys)
    pen.begin(NAMES)
    database.link(keys.head).call("XADD", keys.changes, "99-0", "c", "poison")
    with pytest.raises(Surprise):
        pen.publish(("a/x", True))
    assert pen.writer.known is None
    with pytest.raises(Fenced):
        pen.writer.write_head({"beat": 1.0})


def test_head_changed_by_a_stranger_is_a_surprise(database: Database, keys: Keys) -> None:
    pen = pen_on(database, keys)
    pen.begin(NAMES)
    database.link(keys.head).call("HSET", keys.head, "version", "7")
    with pytest.raises(Surprise):
        pen.publish(("a/x", True))
    pen.begin(NAMES)
    database.link(keys.head).call("DEL", keys.head)
    with pytest.raises(Surprise):
        pen.writer.write_head({"beat": 1.0})


def test_a_head_that_cannot_be_read_is_replaced_whole(database: Database, keys: Keys) -> None:
    database.link(keys.head).call("HSET", keys.head, "version", "seven", "fence", "OLD")
    writer = Writer(database, keys, "ME")
    assert writer.take_over(None, {"beat": 1.0})
    head = writer.read_head()
    assert head is not None
    assert (head.fence, head.version) == ("ME", 0)


def test_corrupt_objects_are_named_and_not_served(database: Database, keys: Keys) -> None:
    pen = pen_on(database, keys)
    pen.begin(NAMES)
    link, where = database.link(keys.head), keys.objects(pen.incarnation, "a")
    raw = bytearray(link.call("HGET", where, "x"))
    raw[-3] ^= 1  # a bit of the body
    link.call("HSET", where, "x", bytes(raw), "y", b"no envelope")
    found = Reader(database, keys).snapshot()
    assert found is not None
    assert found.corrupt == ("a/x", "a/y")
    assert set(found.objects) == {"b/x", "/cluster-scoped"}


def test_a_lost_object_is_found_by_the_set_s_digest(database: Database, keys: Keys) -> None:
    from krm.store.errors import Corrupt

    pen, reader = pen_on(database, keys), Reader(database, keys)
    pen.begin(NAMES)
    database.link(keys.head).call("HDEL", keys.objects(pen.incarnation, "a"), "x")
    with pytest.raises(Corrupt) as told:
        reader.snapshot()
    assert told.value.keys == ("a/",)
    with pytest.raises(Corrupt):
        reader.snapshot("a")
    with pytest.raises(Corrupt):
        list(pen.writer.load_rows(pen.incarnation))
    database.link(keys.head).call("HSET", keys.objects(pen.incarnation, "a"), "x", _older())
    with pytest.raises(Corrupt):
        reader.snapshot()


LOST: Dict[str, Callable[[Keys, Pen], Optional[Tuple[str, ...]]]] = {
    "the whole index": lambda keys, pen: ("DEL", keys.index(pen.incarnation)),
    "an entry of the index": lambda keys, pen: ("HDEL", keys.index(pen.incarnation), "a"),
    "an entry of the index and its objects": lambda keys, pen: None,
    "the objects of a namespace": lambda keys, pen: ("DEL", keys.objects(pen.incarnation, "a")),
}


@pytest.mark.parametrize("lost", LOST)
def test_keys_that_redis_lost_are_told_and_are_no_empty_answer(database: Database, keys: Keys, lost: str) -> None:
    from krm.store.errors import Corrupt

    pen, reader, link = pen_on(database, keys), Reader(database, keys), database.link(keys.head)
    pen.begin(NAMES)
    pen.publish(("a/x", True))
    before = pen.writer.known
    command = LOST[lost](keys, pen)
    if command:
        link.call(*command)
    else:
        link.call("HDEL", keys.index(pen.incarnation), "a")
        link.call("DEL", keys.objects(pen.incarnation, "a"))
    for read in (
        reader.snapshot,
        lambda: reader.snapshot("a"),
        lambda: History(database, keys).at(Token(pen.incarnation, before.version if before else 0)),
    ):
        with pytest.raises(Corrupt):
            read()
    if "objects" in lost:
        with pytest.raises(Corrupt):
            reader.get("a", "x")
    else:
        with pytest.raises(Corrupt):
            reader.get("a", "nobody")  # nor is it known of an object that it is not there
        with pytest.raises(Corrupt):
            reader.snapshot("nobody")


def _older() -> bytes:
    from krm.model.records import pack_envelope

    return pack_envelope(envelope("a/x", 0))
