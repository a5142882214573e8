"""The whole way: events a second end to end, the delay to a reader, publishing, reading, memory."""

from __future__ import annotations

import multiprocessing
import statistics
import time
import uuid
from contextlib import contextmanager
from typing import Dict, Iterator, List, NamedTuple, Tuple

import psutil
from krm.aggregator.edition import compose
from krm.aggregator.heads import head_of
from krm.aggregator.state import Applied, State
from krm.aggregator.state import Row as Held
from krm.model import records
from krm.model.messages import MODIFIED, Item
from krm.model.records import Envelope, object_digest
from krm.simulator.world import World
from krm.store.connect import connect
from krm.store.follow import Follower
from krm.store.keys import Keys
from krm.store.publish import Writer
from krm.store.read import Reader, Token
from krm.store.transactions import Publication
from rig import CLUSTER, Row, cpu, pipeline, redis_server, simulated, until

EVENTS = 60_000
RATE, RATE_SECONDS = 1_000, 10
BODY = b'{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":"' + b"x" * 4_900 + b'"}'


def throughput() -> List[Row]:
    """Events a second of one kind, with redaction on, at two sizes of batch."""
    found = []
    for batch, wanted in ((100, 12_000), (1, None)):
        prelude = f"import krm.streamer.session as session; session.BATCH = {batch}" if batch != 100 else ""
        with redis_server() as (url, redis), simulated(5_000) as (world, kubeconfig), pipeline(
            url, kubeconfig, prelude=prelude
        ) as stages:
            stages.wait_live("pods")
            count = EVENTS if batch == 100 else EVENTS // 6
            processes = {**stages.processes, "redis": redis, "simulator": psutil.Process()}
            before = {name: cpu(process) for name, process in processes.items()}
            began = time.monotonic()
            for _ in range(count // 1_000):
                world.burst("pods", 1_000)
            until(lambda: int(stages.head("pods").rv) >= world.revision, "the burst is published")  # type: ignore[union-attr]
            took = time.monotonic() - began
            each = {name: (cpu(process) - before[name]) / count * 1e6 for name, process in processes.items()}
        shares = ", ".join(f"{name} {value:.0f}" for name, value in each.items() if value >= 1)
        found.append(
            Row(
                f"events/s end to end, one kind, batch {batch}",
                f"{count / took:,.0f}",
                f"CPU us an event: {shares}",
                f">= {wanted:,} (goal 20,000)" if wanted else "",
                count / took >= wanted if wanted else None,
            )
        )
    return found


def _read_on(url: str, token: str, seconds: float, out: multiprocessing.Queue[Dict[int, float]]) -> None:
    """A reader process: when each resourceVersion reached it."""
    follower = Follower(connect(url, name="krm-bench-reader"), Keys(CLUSTER, "pods"), Token.parse(token))
    seen: Dict[int, float] = {}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for step in follower.turn(0.5):
            now = time.time()
            for change in step.entry.changes:
                seen[int(records.unpack_envelope(change.envelope).rv)] = now
    out.put(seen)


def delay() -> List[Row]:
    """From the commit at the API server to a reader's line, at a steady rate."""
    with redis_server() as (url, _), simulated(5_000) as (world, kubeconfig), pipeline(url, kubeconfig) as stages:
        head = stages.wait_live("pods")
        out: multiprocessing.Queue[Dict[int, float]] = multiprocessing.get_context("spawn").Queue()
        arguments = (url, f"{head.incarnation}:{head.version}", RATE_SECONDS + 5.0, out)
        reader = multiprocessing.get_context("spawn").Process(target=_read_on, args=arguments)
        reader.start()
        time.sleep(2.0)  # the reader imports and connects; no event is made before
        committed = _steady(world)
        seen = out.get(timeout=60)
        reader.join()
    delays = sorted(seen[rv] - at for rv, at in committed.items() if rv in seen)
    p50, p99 = (delays[int(share * (len(delays) - 1))] * 1000 for share in (0.5, 0.99))
    return [
        Row(
            f"commit to reader at {RATE:,} events/s, ms",
            f"p50 {p50:.1f}, p99 {p99:.1f}",
            f"{len(delays):,} of {len(committed):,} events seen",
            "p99 <= 100",
            p99 <= 100 and len(delays) == len(committed),
        )
    ]


def _steady(world: World) -> Dict[int, float]:
    """RATE events a second in portions of a hundredth of a second; resourceVersion -> time of commit."""
    committed: Dict[int, float] = {}
    world.burst("pods", 1)  # the first one prepares the templates, for a second
    portion, began = RATE // 100, time.monotonic()
    for number in range(RATE_SECONDS * 100):
        while time.monotonic() < began + number / 100:
            time.sleep(0.001)
        last = world.burst("pods", portion)
        now = time.time()
        committed.update((rv, now) for rv in range(last - portion + 1, last + 1))
    return committed


def publishing() -> List[Row]:
    """One publish of 100 changes, and reads, on a snapshot of 5,000 and of 50,000 objects, in turns."""
    with _stored(5_000) as small, _stored(50_000) as large:
        turns = [(_one(small, version), _one(large, version)) for version in range(2, 302)]
        reads = [_reads(small.reader), _reads(large.reader)]
    few, many = (statistics.median(column) for column in zip(*turns))
    return [
        Row(
            "publishing 100 changes, ms at 5,000 and 50,000 objects",
            f"{few * 1e3:.2f}; {many * 1e3:.2f}",
            f"{many / few:.2f} times",
            "<= 1.4 times",
            many / few <= 1.4,
        ),
        Row(
            "snapshot read, ms at 5,000 and 50,000 objects: one namespace of 20; all",
            "; ".join(f"{reads[0][n] * 1e3:.1f}, {reads[1][n] * 1e3:.1f}" for n in (0, 1)),
            "digests checked",
            "",
            None,
        ),
    ]


def _reads(reader: Reader) -> Tuple[float, float]:
    """Seconds for one namespace and for all."""
    return _timed(lambda: reader.snapshot("ns-3"), 9), _timed(reader.snapshot, 3)


class _Stored(NamedTuple):
    """A snapshot of the names in a Redis of its own, with the hand that writes it."""

    writer: Writer
    state: State
    names: List[str]
    reader: Reader


@contextmanager
def _stored(count: int) -> Iterator[_Stored]:
    with redis_server() as (url, _):
        keys, database = Keys(CLUSTER, "pods"), connect(url, name="krm-bench")
        writer = Writer(database, keys, str(uuid.uuid4()))
        state = State(str(uuid.uuid4()))
        writer.take_over(None, {"next": state.incarnation})
        names = [f"ns-{n % 20}/pod-{n}" for n in range(count)]
        for start in range(0, count, 500):
            writer.build(state.incarnation, _held(state, names[start : start + 500], "10"), _touched(state), {})
        state.frontier = 10
        writer.switch({**head_of(state), "oldest": 1}, "")
        yield _Stored(writer, state, names, Reader(database, keys))


def _timed(work: object, runs: int) -> float:
    found = []
    for _ in range(runs):
        began = time.perf_counter()
        work()  # type: ignore[operator]
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def _held(state: State, names: List[str], rv: str) -> Dict[str, bytes]:
    digest = object_digest(BODY)
    for name in names:
        state.put(name, Held(rv, "uid", digest))
    packed = records.pack_envelope(Envelope(rv, "uid", digest, 1.0, b"", (), BODY))
    return dict.fromkeys(names, packed)


def _touched(state: State) -> Dict[str, records.IndexEntry | None]:
    touched = {namespace: state.index.get(namespace) for namespace in state.touched}
    state.touched.clear()
    return touched


def _one(stored: _Stored, version: int) -> float:
    """Seconds. As the aggregator does it: what stands is read, the version composed and committed."""
    writer, state, names, _ = stored
    rv, digest = str(10 + version), object_digest(BODY)
    picked = [names[(version * 7_919 + n * 104_729) % len(names)] for n in range(100)]
    held = Held(rv, "uid", digest)
    began = time.perf_counter()
    changes = [
        Applied(Item(MODIFIED, name, rv, "uid", digest, b"", (), BODY, 1.0), state.put(name, held))
        for name in picked
    ]
    standing = writer.previous(state.incarnation, picked)
    made = compose(changes, standing, rv, 2.0, False, True)
    writer.publish(
        Publication(
            state.incarnation,
            version,
            made.puts,
            made.deletes,
            _touched(state),
            made.entry,
            made.past,
            head_of(state),
        )
    )
    return time.perf_counter() - began


def memory() -> List[Row]:
    """Aggregator and Redis together, against the canonical bytes that they hold."""
    found = []
    for count in (5_000, 50_000):
        with redis_server() as (url, redis), simulated(count) as (world, kubeconfig):
            empty = redis.memory_info().rss
            with pipeline(url, kubeconfig) as stages:
                stages.wait_live("pods")
                world.burst("pods", 5_000)
                until(lambda: int(stages.head("pods").rv) >= world.revision, "the burst is published")  # type: ignore[union-attr]
                # Consumed entries go with the next report (2 s), freed pages by the allocator's decay (10 s).
                time.sleep(15.0)
                aggregator, server = (p.memory_info().rss for p in (stages.processes["aggregator"], redis))
                canonical = _canonical_bytes(url)
        ratio = (aggregator + server) / canonical
        found.append(
            Row(
                f"memory of aggregator + Redis at {count:,} pods, MiB",
                f"{aggregator / 2**20:.0f} + {server / 2**20:.0f}",
                f"canonical bytes {canonical / 2**20:.0f}: {ratio:.2f} times (an empty Redis: {empty / 2**20:.0f})",
                "<= 2.5 times",
                ratio <= 2.5,
            )
        )
    return found


def _canonical_bytes(url: str) -> int:
    snapshot = Reader(connect(url, name="krm-bench"), Keys(CLUSTER, "pods")).snapshot()
    assert snapshot is not None
    return sum(len(envelope.body) for envelope in snapshot.objects.values())
