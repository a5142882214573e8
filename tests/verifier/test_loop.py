"""The verifier's loop and its prober: each row of the transition table, on the simulator and a real Redis.

The test is the aggregator: it writes the head, and reads what is handed over. Turns are taken by hand.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, Iterator, List, Tuple

import pytest
from krm.aggregator.loop import Aggregator
from krm.cluster.credentials import connect as connect_cluster
from krm.cluster.errors import NotFound, TooManyRequests, Unreachable
from krm.model.head import encode
from krm.model.messages import FULL, META, ListEnd, Message, Page, VerifierReport, unpack
from krm.simulator.kubeconfig import write_kubeconfig
from krm.simulator.server import Server as Simulator
from krm.simulator.world import World
from krm.store.connect import Clock, connect
from krm.store.errors import Unavailable
from krm.store.keys import Keys
from krm.store.read import Reader
from krm.store.streams import Appender, Consumer
from krm.verifier import loop as loops
from krm.verifier import prober as probers
from krm.verifier.health import Health
from krm.verifier.loop import Options, Verifier
from krm.verifier.prober import Prober
from krm.verifier.rounds import Abandoned
from redis_servers import Server, one, until


class Bench:
    """A world, a verifier of one kind of it, and the head that the test writes."""

    def __init__(self, redis: Server, simulator: Simulator, folder: Path, kind: str = "namespaces") -> None:
        self.world, self.redis = simulator.world, redis
        write_kubeconfig(folder / "config", simulator.url)
        self.folder = folder
        self.database, self.keys = connect(redis.url, name="test"), Keys("paper", kind)
        self.link, self.stop = self.database.link(), threading.Event()
        self.health, self.clock = Health(), Clock(self.database, self.keys.head)
        self.appender = Appender(self.database, self.keys)
        self.verifier = self.another(self.appender)
        cluster = connect_cluster(str(folder / "config"), None, False, "verifier")
        self.prober = Prober(
            cluster, Appender(self.database, self.keys), self.keys, self.clock, self.health, 10.0, self.stop
        )
        self._consumer, self._cursor = Consumer(self.database, self.keys), ""

    def another(self, appender: Appender) -> Verifier:
        cluster = connect_cluster(str(self.folder / "config"), None, False, "verifier")
        return Verifier(cluster, appender, self.keys, self.clock, self.health, Options(), self.stop)

    def head(self, **values: Any) -> None:
        self.link.call("HSET", self.keys.head, *[part for pair in encode(values).items() for part in pair])

    def readable(self, **more: Any) -> str:
        """A head whose snapshot is the world's state now; its version."""
        rv = str(self.world.revision)
        self.head(**{"incarnation": "n1", "next": "", "want": "", "rv": rv, **more})
        return rv

    def create(self, name: str) -> None:
        self.world.create("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def read(self) -> List[Message]:
        """What was handed over since the last call."""
        found = []
        for entry in self._consumer.read("9999999999999-0", self._cursor, 0, 1000):
            self._cursor = entry.id
            found.append(unpack(entry.raw))
        return found

    def list(self) -> Tuple[List[Page], ListEnd]:
        """The one list handed over since the last call, whole."""
        *pages, end = self.read()
        assert isinstance(end, ListEnd)
        assert [page.page for page in pages if isinstance(page, Page)] == list(range(end.pages))
        return [page for page in pages if isinstance(page, Page)], end


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with one(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(World(seed=1)) as running:
        yield running


@pytest.fixture
def bench(redis: Server, simulator: Simulator, tmp_path: Path) -> Iterator[Bench]:
    redis.ask("FLUSHALL")
    made = Bench(redis, simulator, tmp_path)
    yield made
    made.stop.set()


def test_without_a_head_nothing_is_listed_and_nothing_reported(bench: Bench) -> None:
    bench.verifier.turn()
    bench.prober.turn()
    assert bench.read() == []


def test_a_want_is_served_whole_and_once_and_again_only_when_it_still_stands_much_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.create("a")
    bench.head(next="n1", want="n1.1")
    bench.verifier.turn()
    (page,), end = bench.list()
    assert (page.incarnation, page.answers, page.mode, page.consistent, page.f0) == ("n1", "n1.1", FULL, True, "0")
    assert "/a" in [item.key for item in page.items]
    assert all(item.body for item in page.items)
    assert end.objects == len(page.items)
    bench.verifier.turn()
    assert bench.read() == []
    monkeypatch.setattr(loops, "SERVE_AGAIN", 0.0)
    bench.verifier.turn()
    assert bench.list()[0][0].answers == "n1.1"


def test_the_routine_lists_metadata_not_older_than_the_head_and_then_waits_its_interval(bench: Bench) -> None:
    rv = bench.readable()
    bench.create("later")
    bench.verifier.turn()
    (page,), _ = bench.list()
    assert (page.mode, page.answers, page.f0, page.consistent) == (META, "", rv, False)
    assert int(page.rv) >= int(rv)
    assert not any(item.body for item in page.items)
    bench.verifier.turn()
    assert bench.read() == []


def test_no_routine_while_a_snapshot_is_built_aside(bench: Bench) -> None:
    bench.readable(next="n2")
    bench.verifier.turn()
    assert bench.read() == []


def test_a_cache_that_is_behind_is_passed_by_with_a_consistent_list_at_once(bench: Bench) -> None:
    bench.world.faults.stale("namespaces")
    bench.create("later")
    rv = bench.readable()
    bench.verifier.turn()
    (page,), _ = bench.list()
    assert (page.mode, page.consistent) == (META, True)
    assert int(page.rv) >= int(rv)


def test_a_kind_that_vanishes_is_unserved_and_listed_at_once_when_it_returns(
    redis: Server, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis.ask("FLUSHALL")
    simulator.world.add_kind("widgets.example.com")
    bench = Bench(redis, simulator, tmp_path, "widgets.example.com")
    bench.readable()
    bench.verifier.turn()
    bench.list()
    simulator.world.remove_kind("widgets.example.com")
    bench.head(want="n1.2")
    with pytest.raises(NotFound) as raised:
        bench.verifier.turn()
    monkeypatch.setattr(bench.verifier, "_pause", lambda why, at_least: None)
    bench.verifier._vanished(raised.value)
    assert (bench.health.unserved, bench.health.error) == (True, "NotFound")
    bench.prober.turn()
    (report,) = bench.read()
    assert isinstance(report, VerifierReport)
    assert (report.unserved, report.error, report.probe) == (True, "NotFound", None)
    simulator.world.add_kind("widgets.example.com")
    bench.verifier.turn()
    assert bench.list()[0][0].answers == "n1.2"
    assert (bench.health.unserved, bench.health.error) == (False, "")


def test_after_redis_was_away_it_looks_again_within_half_a_second_not_after_a_backoff(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "HEAD_EVERY", 0.02)
    bench.readable()
    right, away = bench.appender.read_head, [Unavailable("away") for _ in range(8)]

    def read_head() -> Any:
        if away:
            raise away.pop()
        return right()

    monkeypatch.setattr(bench.appender, "read_head", read_head)
    thread = threading.Thread(target=bench.verifier.run, daemon=True)
    thread.start()
    until("a list", lambda: [m for m in bench.read() if isinstance(m, ListEnd)], 4)
    bench.stop.set()
    thread.join(5)
    assert not thread.is_alive()


def test_a_retry_after_of_a_day_does_not_silence_a_kind_for_a_day(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.readable()
    waits: List[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        if seconds > loops.HEAD_EVERY:
            bench.stop.set()
        return True

    class Stop:
        is_set, set = bench.stop.is_set, bench.stop.set

    Stop.wait = staticmethod(wait)  # type: ignore[attr-defined]
    bench.verifier._stop = Stop()  # type: ignore[assignment]

    def refused(*_: Any) -> Any:
        raise TooManyRequests("later", 86_400.0)

    monkeypatch.setattr(loops, "discover", refused)
    bench.verifier.run()
    assert loops.RETRY_AFTER_MOST <= max(waits) <= 300.0


def test_what_asks_for_a_full_list_may_be_another_cluster_at_the_same_address(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.readable()
    bench.verifier.turn()
    first = bench.list()[0][0].cluster_uid
    monkeypatch.setattr(loops, "cluster_uid", lambda cluster: "another")
    bench.head(want="n1.1")
    bench.verifier.turn()
    assert bench.list()[0][0].cluster_uid == "another" != first


def test_a_list_is_given_up_at_the_next_page_when_told_to_stop(bench: Bench) -> None:
    for number in range(600):
        bench.create(f"n{number}")
    bench.head(next="n1", want="n1.1")
    append = bench.appender.append_list

    def stopping(message: Message, minid: str) -> Any:
        bench.stop.set()
        return append(message, minid)

    bench.appender.append_list = stopping  # type: ignore[method-assign]
    with pytest.raises(Abandoned):
        bench.verifier.turn()
    assert not [message for message in bench.read() if isinstance(message, ListEnd)]


def test_an_audit_compares_a_routine_list_with_etcd_and_a_full_list_follows(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "AUDIT_AFTER", 0.0)
    bench.create("a")
    rv = bench.readable()
    bench.verifier._next_audit = time.monotonic()
    bench.verifier.turn()
    assert bench.list()[0][0].mode == META
    kept = bench.verifier._kept
    assert kept is not None
    kept.rows["/a"] = ("uid", "7")  # what the cache told is not what etcd holds
    kept.rows["/b"] = ("uid", "8")
    bench.verifier.turn()
    (report,) = bench.read()
    assert isinstance(report, VerifierReport)
    assert report.audit is not None
    assert (report.audit.rv, report.audit.keys, report.audit.differing) == (rv, ("/a", "/b"), 2)
    bench.verifier._next_routine = time.monotonic()
    bench.verifier.turn()
    (page,), _ = bench.list()
    assert (page.mode, page.consistent, page.answers) == (FULL, False, "")
    assert all(item.body and item.digest for item in page.items)
    bench.verifier._next_routine = time.monotonic()
    bench.verifier.turn()
    assert bench.list()[0][0].mode == META  # once, not for ever
    assert bench.verifier._next_audit > time.monotonic() + Options().audit_every / 2


# Probes and reports ------------------------------------------------------------------------------


def test_a_probe_proves_the_version_it_was_asked_at_with_the_time_it_was_sent(bench: Bench) -> None:
    rv = bench.readable()
    bench.verifier.turn()
    bench.list()
    bench.create("later")
    before = bench.clock.now()
    bench.prober.turn()
    (report,) = bench.read()
    assert isinstance(report, VerifierReport)
    assert report.probe is not None
    assert (report.probe.f0, report.probe.rv) == (rv, str(bench.world.revision))
    assert before <= report.probe.sent_at <= bench.clock.now()
    bench.prober.turn()  # not due again
    (report,) = bench.read()
    assert isinstance(report, VerifierReport)
    assert report.probe is None


def test_a_probe_that_fails_is_told_until_one_succeeds(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.readable()
    bench.verifier.turn()
    bench.list()

    def away(*_: Any) -> str:
        raise Unreachable("away")

    def told() -> Tuple[str, bool]:
        bench.prober._probed = float("-inf")
        bench.prober.turn()
        (report,) = bench.read()
        assert isinstance(report, VerifierReport)
        return report.error, report.probe is not None

    with monkeypatch.context() as patched:
        patched.setattr(probers, "freshness_probe", away)
        assert told() == ("Unreachable", False)
        bench.verifier._next_routine = time.monotonic()
        bench.verifier.turn()  # a list that succeeds proves nothing of the probe
        bench.list()
        assert told() == ("Unreachable", False)
    assert told() == ("", True)


def test_the_first_report_of_a_new_process_keeps_what_the_head_tells(bench: Bench) -> None:
    bench.readable(list_error="Forbidden")
    bench.prober.turn()
    (report,) = bench.read()
    assert isinstance(report, VerifierReport)
    assert report.error == "Forbidden"
    bench.verifier.turn()
    bench.list()
    bench.prober.turn()
    (report,) = bench.read()
    assert isinstance(report, VerifierReport)
    assert report.error == ""


def test_reports_to_an_aggregator_that_is_dead_end_some_time_and_leave_no_memory_behind(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probers, "REPORTS_UNREAD", 5)
    bench.readable()
    for _ in range(8):
        bench.prober.turn()
    assert len(bench.read()) == 5
    bench.head(lists_id=bench._cursor)
    bench.prober.turn()
    assert len(bench.read()) == 1
    assert len(bench.prober._appender._own["lists"]) == 1


def test_who_appends_and_never_asks_what_is_unread_keeps_no_memory_of_what_was_read(bench: Bench) -> None:
    cursor = ""
    for _ in range(5):
        cursor = bench.appender.append_list(VerifierReport("", 1.0, "", False), cursor).id
    assert len(bench.appender._own["lists"]) == 1
    assert bench.appender._size["lists"] == bench.appender._own["lists"][0].size


# Two of them -------------------------------------------------------------------------------------


def test_two_verifiers_bring_a_first_list_of_many_pages_to_its_end(bench: Bench) -> None:
    for number in range(1200):
        bench.create(f"n{number}")
    threads = [
        threading.Thread(target=one_of.run, daemon=True)
        for one_of in (
            Aggregator(bench.database, bench.keys, True, bench.clock, bench.stop),
            bench.verifier,
            bench.another(Appender(bench.database, bench.keys)),
        )
    ]
    for thread in threads:
        thread.start()
    reader, began = Reader(bench.database, bench.keys), time.monotonic()
    data = until("readable", reader.snapshot, 40)
    print(f"{time.monotonic() - began:.1f} s")
    assert len(data.objects) >= 1200
    bench.stop.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
