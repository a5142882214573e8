"""Real InfluxDB and VictoriaMetrics: they give back what the file gives, over restarts of either side."""

from __future__ import annotations

import pickle
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Tuple

import metric_servers
import pytest
from krm.model.measures import Sample, Subject
from krm.store.history.asked import HOUR, NoHistory, Query, Total
from krm.store.history.external import ExternalHistory
from krm.store.history.influx import Influx
from krm.store.history.local import LocalHistory
from krm.store.history.place import parse_place
from krm.store.history.sending import NotNow
from krm.store.history.victoria import Victoria
from redis_servers import until

HOSTILE = ["a b,c=d", "it's", "\\", 'x"} or {__name__=~".+"', "' OR \"type\" = 'pod", ".*|.+", "l\nm", "100%", "ü☃"]
METRICS = ("cpu/usage_rate", "memory/working_set", "network/rx", "gpu/usage", "cpu/throttled_share")
EVERY = 5.0  # seconds between two turns


class Side(NamedTuple):
    """One kind of store."""

    server: metric_servers.Server
    url: str
    open: Callable[[Path], ExternalHistory]


def side_of(kind: str, server: metric_servers.Server) -> Side:
    if kind == "influx":
        url = f"influxdb://127.0.0.1:{server.port}/k8s"
        return Side(server, url, lambda folder: ExternalHistory(Influx(parse_place(url), 5.0), folder, pause=0.05))
    url = f"victoriametrics://127.0.0.1:{server.port}"
    return Side(server, url, lambda folder: ExternalHistory(Victoria(parse_place(url), 5.0), folder, pause=0.05))


@pytest.fixture(params=["influx", "victoria"])
def side(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Side]:
    folder = tmp_path / "server"
    folder.mkdir()
    if request.param == "influx":
        with metric_servers.influx(folder) as server:
            yield side_of("influx", server)
    else:
        with metric_servers.victoria(folder, "-dedup.minScrapeInterval=1ms") as server:
            yield side_of("victoria", server)


def begin_of_test() -> float:
    """An hour's begin, some hours ago: VictoriaMetrics keeps no older points than it is told to."""
    return (time.time() // HOUR - 4) * HOUR


class Load:
    """Pods on two nodes: random values, gaps, restarts, slow sources, pods of seconds. Turns from `begin` on."""

    def __init__(self, seed: int, begin: float) -> None:
        print(f"seed {seed}")
        self.random, self.begin = random.Random(seed), begin
        pods = [Subject(f"ns-{n % 3}", f"web-{n}", f"uid-{n}", "", f"node-{n % 2}") for n in range(6)]
        self.subjects = pods + [pod._replace(container="app") for pod in pods]
        self.subjects += [Subject(namespace=f"ns-{n}") for n in range(3)] + [Subject(node="node-0"), Subject()]
        self.counters: Dict[Subject, Tuple[float, float]] = {}
        self.silent_until: Dict[Subject, float] = {}

    def turns(self, begin: float, end: float) -> Iterator[Tuple[List[Sample], float]]:
        now = begin
        while now < end:
            now += EVERY
            yield [one for subject in self.subjects for one in self.samples(subject, now)], now

    def samples(self, subject: Subject, now: float) -> List[Sample]:
        chance = self.random
        if chance.random() < 0.002:
            self.silent_until[subject] = now + chance.uniform(20, 400)
        if now < self.silent_until.get(subject, 0.0) or chance.random() < 0.3:
            return []
        at = round(now - chance.uniform(0.1, 3.0), 3)
        started, rx = self.counters.get(subject, (self.begin - 1e5, 1e9))
        if chance.random() < 0.005:
            started, rx = at - chance.uniform(0.5, 2.0), 0.0
        rx += chance.randrange(0, 10**7)
        self.counters[subject] = (started, rx)
        values = {
            "cpu/usage_rate": chance.randrange(0, 40000) / 10,
            "memory/working_set": chance.randrange(0, 1 << 20) * 1024.0,
            "network/rx": float(rx // 1024 * 1024),
            "cpu/throttled_share": chance.randrange(0, 1000) / 1000,
        }
        found = [Sample(subject, at, values, "kubelet/resource", chance.choice((5.0, 10.0, 15.0)), started)]
        if chance.random() < 0.1:  # a slow source that does not name the node of a pod
            node = "" if subject.namespace else subject.node
            slow = subject._replace(node=node)
            found.append(Sample(slow, at - 0.5, {"gpu/usage": float(chance.randrange(16000))}, "dcgm", 60.0))
        return found


def totals(history: Any, metric: str, level: str, begin: float, end: float, **more: Any) -> Dict[Any, Total]:
    found = history.totals(Query(metric, level, begin, end, **more)).totals
    return {(one.subject._replace(node="") if one.subject.namespace else one.subject): one for one in found}


def same(file: Dict[Any, Total], store: Dict[Any, Total], step: float, hours: int) -> None:
    """To what the file rounds to: a tenth of (step x second) of each hour's sum, a millisecond of its time."""
    assert store.keys() == file.keys()
    for subject, one in file.items():
        other = store[subject]
        assert other.sum == pytest.approx(one.sum, rel=1e-9, abs=hours * 0.1 * step), subject
        assert other.covered == pytest.approx(one.covered, abs=0.001 * hours), subject
        assert other.last == pytest.approx(one.last, abs=0.0015)


Turns = List[Tuple[List[Sample], float]]


def settled(server: metric_servers.Server, history: ExternalHistory, folder: Path, turns: Turns) -> None:
    """Ends the thread; all is with the store then, and seen: reads need no thread."""
    history.close(30)
    assert list(folder.glob("spool-*/*.gz")) == []
    assert history.health() == []
    server.flush()
    newest = max(
        (one for samples, _ in turns for one in samples if METRICS[0] in one.values), key=lambda one: one.at
    )
    query = Query(METRICS[0], newest.subject.level, newest.at - HOUR, newest.at + 1)
    until("it is seen", lambda: (history.totals(query).extent.as_of or 0) >= newest.at - 0.001, 30)
    # VictoriaMetrics remembers for some seconds that a question found nothing.
    until("it is found", lambda: list(history._store.newest(newest.at - HOUR, newest.at + 1)), 30)


def record_all(histories: List[Any], turns: Turns) -> None:
    for samples, now in turns:
        for one in histories:
            if isinstance(one, ExternalHistory):
                until("there is room", lambda one=one: one._sender._turns.qsize() < 10)  # type: ignore[misc]
            one.record(samples, now)


@pytest.mark.slow
def test_the_same_sums_as_the_file_over_a_restart_while_data_is_buffered(side: Side, tmp_path: Path) -> None:
    begin = begin_of_test()
    load = Load(random.randrange(10**6), begin)
    file, store = LocalHistory(str(tmp_path / "history.db")), side.open(tmp_path)
    turns = list(load.turns(begin - 300, begin + 1.2 * HOUR))
    third = len(turns) // 3
    record_all([file, store], turns[:third])
    side.server.stop()
    record_all([file, store], turns[third : third + 110])
    until("it is told", lambda: any("batches wait" in one for one in store.health()))
    assert len(list(tmp_path.glob("spool-*/*.gz"))) > 50
    side.server.start()
    record_all([file, store], turns[third + 110 :])
    settled(side.server, store, tmp_path, turns)
    for metric in METRICS:
        step = {"memory/working_set": 1024.0, "network/rx": 1024.0, "gpu/usage": 1.0}.get(metric, 0.1)
        for level in ("container", "pod", "namespace", "node", "cluster"):
            found = totals(file, metric, level, begin, begin + 2 * HOUR)
            same(found, totals(store, metric, level, begin, begin + 2 * HOUR), step, 2)
            one_hour = totals(file, metric, level, begin, begin + HOUR)
            same(one_hour, totals(store, metric, level, begin, begin + HOUR), step, 1)
        assert found
    of_one = totals(store, "cpu/usage_rate", "pod", begin, begin + HOUR, namespace="ns-1", pod="web-1")
    assert [subject.pod for subject in of_one] == ["web-1"]
    few = totals(store, "cpu/usage_rate", "pod", begin, begin + HOUR, allowed=("ns-0", "nobody"))
    assert {subject.namespace for subject in few} == {"ns-0"}
    assert totals(store, "cpu/usage_rate", "pod", begin, begin + HOUR, allowed=()) == {}
    assert totals(store, "cpu/usage_rate", "node", begin, begin + HOUR, allowed=("ns-0",)) == {}
    ranged = Query("cpu/usage_rate", "pod", begin, begin + HOUR, namespace="ns-0")
    ours, theirs = store.range(ranged).series, file.range(ranged).series
    assert [one.subject for one in ours] == [one.subject for one in theirs]
    for one, other in zip(ours, theirs):
        assert list(one.times) == list(other.times)
        # But for the first steps of an hour: there the store knows only a share of a window.
        assert list(one.values)[4:] == pytest.approx(list(other.values)[4:], abs=0.2, nan_ok=True)
    file.close()


def test_a_collector_that_starts_again_goes_on_where_the_store_has_its_series(side: Side, tmp_path: Path) -> None:
    begin = begin_of_test()
    load = Load(random.randrange(10**6), begin)
    turns = list(load.turns(begin - 60, begin + 900))
    file, store = LocalHistory(str(tmp_path / "history.db")), side.open(tmp_path)
    record_all([file, store], turns[:100])
    settled(side.server, store, tmp_path, turns[:100])
    seen = side.open(tmp_path)
    # Some turns are repeated, as a standby that takes over does: they count once.
    record_all([seen], turns[95:100])
    record_all([file, seen], turns[100:])
    settled(side.server, seen, tmp_path, turns)
    for metric, step in (("cpu/usage_rate", 0.1), ("network/rx", 1024.0), ("memory/working_set", 1024.0)):
        found = totals(file, metric, "pod", begin, begin + HOUR)
        assert found
        same(found, totals(seen, metric, "pod", begin, begin + HOUR), step, 1)
    file.close()


def test_a_batch_whose_answer_was_lost_counts_once(side: Side, tmp_path: Path) -> None:
    begin = begin_of_test()
    store = side.open(tmp_path)
    sent = store._store.send
    lost = [True, False, True, False, False]

    def forgetful(batch: bytes) -> None:
        sent(batch)
        if lost.pop(0):
            raise NotNow("the answer was lost")

    store._sender._outlet.send = forgetful  # type: ignore[method-assign]
    for turn in range(1, 4):
        at = begin + 10.0 * turn
        store.record([Sample(Subject("shop", "web-0", "u"), at, {"cpu/usage_rate": 100.0}, "agent", 10.0)], at)
    query = Query("cpu/usage_rate", "pod", begin, begin + 60)
    until("all is sent", lambda: not lost and not list(tmp_path.glob("spool-*/*.gz")))
    side.server.flush()
    until("all is there", lambda: [one.last for one in store.totals(query).totals] == [begin + 30])
    total = store.totals(query).totals[0]
    assert (total.sum, total.covered, total.samples, total.maximum) == (3000.0, 30.0, 3, 100.0)
    store.close()


def test_no_name_gets_out_of_a_query(side: Side, tmp_path: Path) -> None:
    begin = begin_of_test()
    store = side.open(tmp_path)
    for number, name in enumerate(HOSTILE):
        subject = Subject(name, name, f"u{number}", name, name, name)
        store.record([Sample(subject, begin + 10, {"cpu/usage_rate": 100.0 + number}, "agent", 10.0)], begin + 10)
    everything = Query("cpu/usage_rate", "container", begin, begin + 60)
    store.close(30)
    side.server.flush()
    until("all are there", lambda: len(store.totals(everything).totals) == len(HOSTILE))
    for number, name in enumerate(HOSTILE):
        for query in (
            everything._replace(pod=name),
            everything._replace(namespace=name),
            everything._replace(container=name),
            everything._replace(node=name),
            everything._replace(allowed=(name,)),
        ):
            assert [one.maximum for one in store.totals(query).totals] == [100.0 + number], (query, name)
            assert [one.subject.pod for one in store.range(query).series] == [name]
    with pytest.raises(NoHistory, match="there is no metric"):
        store.totals(everything._replace(metric='x"; DROP DATABASE k8s; --'))


def test_what_no_store_answers_is_no_history(side: Side, tmp_path: Path) -> None:
    store = side.open(tmp_path)
    query = Query("cpu/usage_rate", "pod", begin_of_test(), time.time())
    empty = store.totals(query)
    assert (empty.totals, empty.extent.oldest, empty.extent.as_of) == ([], None, None)
    assert store.range(query).series == []
    side.server.stop()
    for ask in (store.totals, store.range):
        with pytest.raises(NoHistory, match="it does not answer"):
            ask(query)
    store.close()


CHILD = """
import pickle, sys
from pathlib import Path
from krm.store.history.chosen import history_of
history = history_of(sys.argv[1], Path(sys.argv[2]))
for samples, now in pickle.load(open(sys.argv[3], "rb")):
    while history._sender._turns.qsize() > 8:
        pass
    history.record(samples, now)
    print(now, flush=True)
import time
time.sleep(60)
"""


def test_what_a_killed_collector_left_arrives_with_the_next_one(side: Side, tmp_path: Path) -> None:
    begin = begin_of_test()
    turns = list(Load(random.randrange(10**6), begin).turns(begin, begin + 400))
    (tmp_path / "turns").write_bytes(pickle.dumps(turns))
    side.server.stop()
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, side.url, str(tmp_path), str(tmp_path / "turns")], stdout=subprocess.PIPE
    )
    try:
        until("all turns wait", lambda: len(list(tmp_path.glob("spool-*/*.gz"))) == len(turns), 60)
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()
    side.server.start()
    file, store = LocalHistory(str(tmp_path / "history.db")), side.open(tmp_path)
    record_all([file], turns)
    settled(side.server, store, tmp_path, turns)
    for metric, step in (("cpu/usage_rate", 0.1), ("network/rx", 1024.0), ("memory/working_set", 1024.0)):
        found = totals(file, metric, "pod", begin, begin + HOUR)
        assert found
        same(found, totals(store, metric, "pod", begin, begin + HOUR), step, 1)
    file.close()
