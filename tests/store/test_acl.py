"""The Redis users of docs/rbac.md, on a real server: each does its work, and nothing beyond it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Callable, Iterator, List, Tuple

import pytest
from kind_pen import Pen
from krm.client.client import connect as open_client
from krm.model.measures import Covers
from krm.model.messages import End
from krm.store.connect import Clock, connect
from krm.store.errors import Denied
from krm.store.follow import Follower
from krm.store.keys import Keys, latest_key
from krm.store.latest import CollectorState, Pod, pack_pod
from krm.store.latest_reader import LatestReader
from krm.store.latest_writer import LatestWriter, Turn
from krm.store.meta import Announcer
from krm.store.past import History
from krm.store.publish import Writer
from krm.store.read import Reader, Token
from krm.store.streams import EVENTS, LISTS, Appender, Consumer
from redis_servers import Server, one

KEYS = Keys("demo", "pods")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "rbac.md"


def users() -> List[List[str]]:
    """The words of each line that the page tells its reader to type."""
    return [line.split() for line in re.findall(r"^ACL SETUSER .*$", PAGE.read_text(), re.MULTILINE)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with one(tmp_path_factory.mktemp("acl")) as running:
        yield running


@pytest.fixture
def url_of(server: Server) -> Callable[[str], str]:
    """Of a user; Redis is empty and has the page's users."""
    server.ask("FLUSHALL")
    for words in users():
        assert server.ask(*words) == b"+OK\r\n", words
    passwords = {words[2]: words[5][1:] for words in users()}
    return lambda user: server.url.replace("//", f"//{user}:{passwords[user]}@")


def test_each_user_does_its_work(url_of: Callable[[str], str]) -> None:
    aggregator = connect(url_of("krm-aggregator"), name="x")
    assert aggregator.warnings == ()
    Announcer(aggregator, KEYS).announce(Clock(aggregator, KEYS.head).now())
    pen = Pen(Writer(aggregator, KEYS, "ME"))
    pen.begin(["a/x", "b/y"])
    old = pen.incarnation
    pen.publish(("a/x", True), ("b/y", False))
    pen.publish(("a/x", True))
    assert len(list(pen.writer.load_rows(pen.incarnation))) == 1
    assert pen.writer.memory(KEYS.changes) > 0
    assert pen.writer.newest_change() == 3
    reading_from(url_of("krm-reader"), pen)
    measuring(url_of("krm-collector"), url_of("krm-reader"), pen)
    for user, append in (("krm-streamer", Appender.append_event), ("krm-verifier", Appender.append_list)):
        stage = connect(url_of(user), name="x")
        assert Clock(stage, KEYS.head).now() > 0
        appender = Appender(stage, KEYS)
        assert appender.read_head() is not None
        append(appender, End(pen.incarnation, "s", "stopped"), "")
        assert appender.unread(EVENTS if user == "krm-streamer" else LISTS, "").entries == 1
    consumer = Consumer(aggregator, KEYS)
    found = consumer.read("", "", block=0.01)
    assert {entry.stream for entry in found} == {EVENTS, LISTS}
    assert consumer.proven(EVENTS, found[0].id)
    pen.writer.trim(2, 2)
    pen.rebuild(["a/x"])
    pen.writer.collect_garbage(old)
    assert pen.writer.garbage() == []
    pen.writer.release()


def reading_from(url: str, pen: Pen) -> None:
    """Every sort of read that there is."""
    reader = connect(url, name="x")
    assert Reader(reader, KEYS).get("a", "x")[1] is not None
    whole = Reader(reader, KEYS).snapshot()
    assert whole is not None
    assert whole.objects == pen.objects
    assert len(History(reader, KEYS).diff(Token("", 1), Token("", 3))) == 2
    assert History(reader, KEYS).version_at(1001.5).version == 2
    assert len(Follower(reader, KEYS, Token(pen.incarnation, 1)).turn(block=0.01)) == 2
    with open_client(url) as client:
        assert client.kinds() == ["pods"]


def measuring(collector: str, reader: str, pen: Pen) -> None:
    """The collector reads snapshots and writes measurements, which readers read."""
    database = connect(collector, name="x")
    snapshot = Reader(database, KEYS).snapshot()
    assert snapshot is not None
    assert len(Follower(database, KEYS, Token(pen.incarnation, 1)).turn(block=0.01)) == 2
    writer = LatestWriter(database, "demo")
    assert writer.take()
    state = CollectorState("", "", 5.0, (), {}, (), Covers(0, 0, "nodes"))
    for pods in ({"a": {"x": pack_pod(Pod("x", "", "", (), {}))}}, {"a": {}}, {}):
        writer.write(Turn(pods, {}, {}, state))
        latest = LatestReader(connect(reader, name="x"), "demo").read()
        assert latest.collector is not None
        assert len(latest.pods.get("a", ())) == len(pods.get("a", ()))
    writer.give_up()


FORBIDDEN = [
    ("krm-streamer", ("HSET", KEYS.head, "rv", "9")),
    ("krm-streamer", ("XADD", KEYS.lists, "*", "m", "x")),
    ("krm-streamer", ("XADD", KEYS.changes, "*", "c", "x")),
    ("krm-streamer", ("HGETALL", KEYS.objects("n", "a"))),
    ("krm-verifier", ("XADD", KEYS.events, "*", "m", "x")),
    ("krm-verifier", ("HSET", KEYS.head, "rv", "9")),
    ("krm-aggregator", ("XADD", KEYS.events, "*", "m", "x")),
    ("krm-aggregator", ("HSET", Keys("other", "pods").head, "rv", "9")),
    ("krm-aggregator", ("FLUSHALL",)),
    ("krm-reader", ("HSET", KEYS.head, "rv", "9")),
    ("krm-reader", ("XADD", KEYS.changes, "*", "c", "x")),
    ("krm-reader", ("HSET", latest_key("demo", "nodes"), "n", "x")),
    ("krm-reader", ("HGETALL", latest_key("other", "nodes"))),
    ("krm-collector", ("HSET", KEYS.head, "rv", "9")),
    ("krm-collector", ("XADD", KEYS.events, "*", "m", "x")),
    ("krm-collector", ("HSET", latest_key("other", "nodes"), "n", "x")),
    ("krm-streamer", ("HGETALL", latest_key("demo", "nodes"))),
    ("krm-reader", ("XRANGE", KEYS.events, "-", "+")),
    ("krm-reader", ("HGETALL", Keys("other", "pods").head)),
    ("krm-reader", ("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")),
]


@pytest.mark.parametrize(
    ("user", "command"), FORBIDDEN, ids=[f"{u}-{c[0]}-{n}" for n, (u, c) in enumerate(FORBIDDEN)]
)
def test_and_nothing_beyond_it(url_of: Callable[[str], str], user: str, command: Tuple[str, ...]) -> None:
    with pytest.raises(Denied):
        connect(url_of(user), name="x").link(KEYS.head).call(*command)
