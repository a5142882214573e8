"""The streamer's loop: each row of its transition table, on the simulator's wire and a real Redis.

The test is the aggregator: it writes the head, and reads what is handed over.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import pytest
from krm.cluster.credentials import connect as connect_cluster
from krm.cluster.errors import Forbidden, Unreachable
from krm.model.canonical import Canonicaliser
from krm.model.head import encode
from krm.model.kinds import Kind, Resource
from krm.model.messages import BOOKMARK, Batch, End, Message, StreamerReport, unpack
from krm.simulator.kubeconfig import write_kubeconfig
from krm.simulator.server import Server as Simulator
from krm.simulator.world import World
from krm.store.connect import Clock, connect
from krm.store.errors import Unavailable
from krm.store.keys import Keys
from krm.store.streams import Appender, Consumer
from krm.streamer import loop as loops
from krm.streamer.loop import Options, Streamer
from redis_servers import Server, one, until

NAMESPACES = Resource(Kind("namespaces", ""), "v1", "Namespace", False)
CANON = Canonicaliser(NAMESPACES).canon


class Bench:
    """A world, a streamer of its namespaces, and the head that the test writes."""

    def __init__(self, redis: Server, simulator: Simulator, folder: Path) -> None:
        self.world, self.simulator = simulator.world, simulator
        write_kubeconfig(folder / "config", simulator.url)
        self.database, self.keys = connect(redis.url, name="test"), Keys("paper", "namespaces")
        self.link, self.stop = self.database.link(), threading.Event()
        self.appender = Appender(self.database, self.keys)
        cluster = connect_cluster(str(folder / "config"), None, False, "streamer")
        clock = Clock(self.database, self.keys.head)
        self.streamer = Streamer(cluster, self.appender, self.keys, clock, Options(), self.stop)
        self._consumer, self._cursor = Consumer(self.database, self.keys), ""
        self.messages: List[Message] = []
        self.thread = threading.Thread(target=self.streamer.run, daemon=True)

    def head(self, **values: Any) -> None:
        stored = [part for pair in encode({"incarnation": "n1", "canon": CANON, **values}).items() for part in pair]
        self.link.call("HSET", self.keys.head, *stored)

    def create(self, name: str) -> int:
        """The revision of its creation."""
        self.world.create("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        return self.world.revision

    def read(self) -> List[Message]:
        """All that was handed over so far."""
        for entry in self._consumer.read(self._cursor, "0-0", 0):
            self._cursor = entry.id
            self.messages.append(unpack(entry.raw))
        return self.messages

    def of(self, wanted: Any) -> List[Any]:
        return [message for message in self.read() if isinstance(message, wanted)]

    def session(self, number: int = 0) -> str:
        """The name of the n-th session, once it was begun."""
        return str(
            until(f"session {number}", lambda: list(dict.fromkeys(b.session for b in self.of(Batch)))[number:])[0]
        )

    def names(self, session: str) -> List[str]:
        """Keys of a session's events, in order; its batches must be numbered without gaps."""
        batches = [batch for batch in self.of(Batch) if batch.session == session]
        assert [batch.seq for batch in batches] == list(range(len(batches)))
        return [item.key for batch in batches for item in batch.items if item.type != BOOKMARK]

    def ends(self) -> List[Tuple[str, str]]:
        return [(end.session, end.cause) for end in self.of(End)]


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with one(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def bench(redis: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    for name, value in (("HEAD_EVERY", 0.05), ("REPORT_EVERY", 0.1), ("ACCEPT_WITHIN", 0.5), ("RETRY", 0.05)):
        monkeypatch.setattr(loops, name, value)
    monkeypatch.setattr("krm.cluster.backoff.FIRST", 0.02)
    monkeypatch.setattr("krm.cluster.backoff.CAP", 0.1)
    redis.ask("FLUSHALL")
    with Simulator(World(seed=1)) as simulator:
        made = Bench(redis, simulator, tmp_path)
        made.thread.start()
        yield made
        made.stop.set()
        made.thread.join(10)
        assert not made.thread.is_alive()


def watches(bench: Bench) -> int:
    return sum(
        count
        for (_, path), count in bench.simulator.requests.items()
        if "namespaces" in path and "kube-system" not in path
    )


def start(bench: Bench, **more: Any) -> str:
    """A session from now, accepted; its name."""
    bench.head(rv=str(bench.world.revision), **more)
    session = bench.session()
    bench.head(session=session, events_id=bench._cursor)
    until("it knows that it was accepted", lambda: bench.streamer._accepted)
    return session


def test_nothing_is_asked_or_said_before_there_is_a_version_to_start_from(bench: Bench) -> None:
    time.sleep(0.15)  # three looks at a head that is not there
    assert bench.read() == []
    bench.head(next="n1", incarnation="")
    until("it reports to the aggregator that is there", lambda: bench.of(StreamerReport))
    bench.head(rv=str(bench.world.revision))  # a rebuild goes on: next is set still
    seen = len(bench.of(StreamerReport))
    until("it looked again", lambda: len(bench.of(StreamerReport)) > seen + 1)
    assert watches(bench) == 0
    assert bench.of(Batch) == []


def test_a_session_begins_empty_at_the_heads_version_and_hands_on_every_event_in_order(bench: Bench) -> None:
    rv = str(bench.world.revision)
    session = start(bench)
    for number in range(5):
        bench.create(f"n{number}")
    until("five events", lambda: len(bench.names(session)) == 5)
    first = bench.of(Batch)[0]
    assert (first.seq, first.items, first.from_rv, first.incarnation, first.canon) == (0, (), rv, "n1", CANON)
    assert bench.names(session) == [f"/n{number}" for number in range(5)]
    assert bench.ends() == []


def test_a_watch_that_is_closed_or_cut_in_a_line_goes_on_within_the_session_and_misses_nothing(
    bench: Bench,
) -> None:
    session = start(bench)
    bench.create("a")
    until("the first", lambda: bench.names(session) == ["/a"])
    bench.world.faults.count("cut", "namespaces")
    bench.create("b")
    bench.create("c")
    until("all", lambda: bench.names(session) == ["/a", "/b", "/c"])
    assert bench.ends() == []


def test_a_410_ends_the_session_and_the_next_starts_where_the_head_is_then(bench: Bench) -> None:
    session = start(bench)
    bench.world.faults.last("watch_410", "namespaces")
    until("told", lambda: (session, "expired") in bench.ends())
    bench.world.faults.heal()
    rv = bench.create("later")
    bench.head(rv=str(rv))

    def there() -> bool:
        found: bool = bench.of(Batch)[-1].from_rv == str(rv)
        bench.head(events_id=bench._cursor)  # one that began just before is not accepted, and gives up
        return found

    until("a session from there", there)


def test_a_line_that_cannot_be_read_ends_the_session_and_its_content_is_never_told(bench: Bench) -> None:
    session = start(bench)
    bench.world.faults.count("garbage", "namespaces")
    bench.create("a")
    until("told", lambda: (session, "unparsable") in bench.ends())
    (bad,) = [bad for report in bench.of(StreamerReport) for bad in report.bad][:1]
    assert bad.length > 0
    assert bench.names(session) == []


def test_another_incarnation_ends_the_session_and_begins_one_of_that(bench: Bench) -> None:
    session = start(bench)
    bench.head(incarnation="n2", session="")
    until("ended", lambda: (session, "incarnation") in bench.ends())
    until("begun", lambda: bench.of(Batch)[-1].incarnation == "n2")


def test_a_session_that_was_accepted_and_is_no_longer_ends(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    session = start(bench)
    monkeypatch.setattr(loops, "ACCEPT_WITHIN", 1e9)  # at once, not as one that was never accepted
    bench.head(session="")
    until("ended", lambda: (session, "incarnation") in bench.ends())
    assert bench.session(1) != session


def test_a_session_that_is_read_and_not_accepted_gives_up(bench: Bench) -> None:
    bench.head(rv=str(bench.world.revision))
    session = bench.session()
    bench.head(events_id=bench._cursor)
    until("given up", lambda: (session, "incarnation") in bench.ends())


def test_an_emptied_redis_ends_the_session_and_nothing_piles_up_where_nobody_reads(
    bench: Bench, redis: Server
) -> None:
    start(bench)
    redis.ask("FLUSHALL")
    until("ended", lambda: bench.streamer._session is None)
    length = bench.link.call("XLEN", bench.keys.events)
    time.sleep(0.5)  # five reports' time; the one that was on its way when the session ended may come yet
    assert bench.link.call("XLEN", bench.keys.events) <= length + 1
    bench._cursor = ""
    bench.head(incarnation="n3", rv=str(bench.world.revision))
    until("begun anew", lambda: [b for b in bench.of(Batch) if b.incarnation == "n3"])


def test_reports_to_an_aggregator_that_is_dead_end_some_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "REPORTS_UNREAD", 5)
    monkeypatch.setattr(loops, "REPORT_EVERY", 0.01)
    bench.head(next="n1")
    until("five", lambda: len(bench.of(StreamerReport)) == 5)
    time.sleep(0.2)
    assert len(bench.of(StreamerReport)) == 5
    bench.head(events_id=bench._cursor)
    until("it goes on", lambda: len(bench.of(StreamerReport)) > 5)


def test_the_socket_is_left_unread_while_too_much_of_it_waits_in_redis(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = start(bench)
    bench.create("first")
    until("the first event", lambda: bench.names(session) == ["/first"])
    found, full = [], bench.streamer._full
    monkeypatch.setattr(bench.streamer, "_full", lambda: found.append(full()) or found[-1])
    monkeypatch.setattr(loops, "UNREAD_MOST", 1)
    until("it found the stream full", lambda: found and found[-1])
    for number in range(3):
        bench.create(f"later-{number}")
    reports = len(bench.of(StreamerReport))
    until("it went on for a while", lambda: len(bench.of(StreamerReport)) > reports + 3)
    assert bench.names(session) == ["/first"]
    monkeypatch.setattr(loops, "UNREAD_MOST", 1 << 20)
    until("all came, in their session", lambda: len(bench.names(session)) == 4)


def test_a_429_with_retry_after_is_waited_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: List[float] = []
    real_wait = bench.stop.wait

    def wait(seconds: Optional[float] = None) -> bool:
        waits.append(seconds or 0.0)
        return real_wait(min(seconds or 0.0, 0.05))

    monkeypatch.setattr(bench.stop, "wait", wait)
    bench.world.faults.last("http_429", value=7.0)
    bench.head(rv=str(bench.world.revision))
    until("it waits as it was told", lambda: 7.0 in waits)
    bench.world.faults.last("http_429", value=86_400.0)
    until("not for a day", lambda: 300.0 in waits)
    assert max(waits) <= 300.0
    bench.world.faults.heal()
    bench.session()


def test_what_is_forbidden_is_told_until_a_watch_opens_also_by_a_new_process(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> Any:
        raise errors[0]

    def newest() -> str:
        return str(bench.of(StreamerReport)[-1].error)

    errors: List[Exception] = [Unreachable("away")]
    monkeypatch.setattr(loops, "Watch", refused)
    bench.head(next="n1", incarnation="", watch_error="Forbidden")
    until("a report before any answer", lambda: bench.of(StreamerReport))
    assert newest() == "Forbidden"
    bench.head(next="", rv=str(bench.world.revision))
    until("it was away", lambda: newest() == "Unreachable")
    errors[0] = Forbidden("no")
    until("it is forbidden", lambda: newest() == "Forbidden")
    errors[0] = Unreachable("away")
    ends = len(bench.ends())
    until("it failed again", lambda: len(bench.ends()) > ends + 3)
    assert newest() == "Forbidden"
    monkeypatch.undo()
    until("a watch is open", lambda: newest() == "")


def test_another_canonical_form_is_never_streamed_into_the_snapshot(bench: Bench) -> None:
    bench.head(canon="other v1", rv=str(bench.world.revision))
    until("it reports", lambda: len(bench.of(StreamerReport)) > 2)
    assert bench.of(Batch) == []


def test_batches_wait_for_a_redis_that_is_away_and_come_once_each(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, right = start(bench), bench.appender.append_event
    lost = [Unavailable("not applied"), Unavailable("not applied")]

    def append(message: Message, minid: str) -> Any:
        if lost and isinstance(message, Batch):
            raise lost.pop()
        return right(message, minid)

    monkeypatch.setattr(bench.appender, "append_event", append)
    bench.create("a")
    bench.create("b")
    until("both", lambda: bench.names(session) == ["/a", "/b"])
    assert not lost


def test_a_kind_that_vanishes_is_told_and_streamed_again_when_it_returns(
    redis: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("krm.cluster.backoff.FIRST", 0.02)
    monkeypatch.setattr("krm.cluster.backoff.CAP", 0.1)
    monkeypatch.setattr(loops, "HEAD_EVERY", 0.05)
    redis.ask("FLUSHALL")
    with Simulator(World(seed=1)) as simulator:
        simulator.world.add_kind("widgets.example.com")
        bench = Bench(redis, simulator, tmp_path)
        bench.keys = bench.streamer._keys = bench._consumer._keys = Keys("paper", "widgets.example.com")
        bench.appender._keys = bench.keys
        bench._consumer = Consumer(bench.database, bench.keys)
        bench.head(rv=str(simulator.world.revision), canon="")
        bench.thread.start()
        first = bench.session()
        simulator.world.remove_kind("widgets.example.com")
        until("told", lambda: [r for r in bench.of(StreamerReport) if r.error == "NotFound"])
        simulator.world.add_kind("widgets.example.com")
        bench.head(rv=str(simulator.world.revision), canon="")
        assert bench.session(1) != first
        until("healthy", lambda: bench.of(StreamerReport)[-1].error == "")
        bench.stop.set()
        bench.thread.join(10)
        assert not bench.thread.is_alive()


def test_told_to_stop_it_says_so_within_the_time_to_drain(bench: Bench) -> None:
    session = start(bench)
    began = time.monotonic()
    bench.stop.set()
    bench.thread.join(5)
    assert not bench.thread.is_alive()
    assert time.monotonic() - began < 5
    assert bench.ends()[-1] == (session, "shutdown")


def figures(bench: Bench) -> Dict[str, Any]:
    return dict(bench.streamer.figures())


def test_figures_are_unknown_before_a_watch_and_counted_after(bench: Bench) -> None:
    assert figures(bench)["krm_stream_age_seconds"] is None
    session = start(bench)
    bench.create("a")
    until("one", lambda: bench.names(session) == ["/a"])
    assert figures(bench)["krm_stream_sessions_total"] == 1
    assert figures(bench)["krm_stream_age_seconds"] >= 0
