"""The history: 5,000 pods over 24 simulated hours, recorded each 15 s as the collector does; then read.

Floors: CPU and memory at most 1.3 bytes a sample; 24 h of one namespace in 0.3 s; the full default set at
most 1.5 GB a day; the process under 300 MiB. Values have the shape of real ones: six pods in ten idle at
some millicores, three at tens to hundreds, one at up to two cores, each a level that wanders by a day's
wave and a random walk under noise of 8 %; memory in pages of 4 KiB, of most pods now and then, of the
others nearly each time. Sample times jitter, and one pod in fifty ends and begins anew each hour.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import sqlite3
import statistics
import tempfile
import time
from math import sin, tau
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import psutil
from krm.model.measures import Sample, Subject
from krm.store.history.asked import HOUR, STEP, Query
from krm.store.history.local import LocalHistory
from krm.store.history.sqlite import readonly
from rig import Row

PODS, NAMESPACES = 5_000, 20
DAY = 24  # hours
FULL_HOURS = 1.2  # of the full set: an hour that is put together, and one that goes on
FULL_SERIES = 11  # a pod
START = 1_700_006_400.0
SEED = 20
MiB = 2**20
_NOISE = 1 << 14


class Load:
    """What the pods measure. A value costs a multiplication: the noise is drawn beforehand."""

    def __init__(self, pods: int) -> None:
        draw = self.draw = random.Random(SEED)
        self.noise = [draw.gauss(0, 1) for _ in range(_NOISE)]
        self.base = [_base(draw) for _ in range(pods)]
        self.walk = [1.0] * pods
        self.pages = [draw.randrange(5_000, 130_000) for _ in range(pods)]
        self.quiet = [draw.random() < 0.6 for _ in range(pods)]
        self.start = [draw.random() * tau for _ in range(64)]
        self.ids = [draw.getrandbits(128) for _ in range(pods)]
        self.lag = [draw.random() * 10 for _ in range(pods)]

    def subjects(self) -> Tuple[List[Subject], List[Subject]]:
        """Of pods, and of the one container of each."""
        pods = [self._subject(pod) for pod in range(len(self.ids))]
        return pods, [pod._replace(container="app") for pod in pods]

    def _subject(self, pod: int) -> Subject:
        uid = f"{self.ids[pod]:032x}"
        name = f"service-{pod % 250:03d}-{uid[:9]}-{uid[9:14]}"
        uid = f"{uid[:8]}-{uid[8:12]}-{uid[12:16]}-{uid[16:20]}-{uid[20:]}"
        return Subject(f"team-{pod * NAMESPACES // PODS:02d}", name, uid, "", f"node-{pod // 50:03d}")

    def renewed(self) -> Tuple[List[Subject], List[Subject]]:
        """One pod in fifty ends, another begins."""
        for pod in self.draw.sample(range(len(self.ids)), len(self.ids) // 50):
            self.ids[pod] = self.draw.getrandbits(128)
        return self.subjects()

    def tick(self, number: int) -> Tuple[List[float], List[float]]:
        """CPU in millicores and memory in bytes, a pod each."""
        noise, mask = self.noise, _NOISE - 1
        offset = self.draw.randrange(_NOISE)
        wave = [1 + 0.3 * sin(number * tau / 5760 + one) for one in self.start]
        cpu, memory = [], []
        for pod, base in enumerate(self.base):
            place = offset + pod * 2
            first, second = noise[place & mask], noise[(place + 1) & mask]
            walk = self.walk[pod] = self.walk[pod] * 0.98 + 0.02 + 0.02 * first
            cpu.append(abs(base * wave[pod & 63] * walk * (1 + 0.08 * second)))
            if not self.quiet[pod]:
                self.pages[pod] = abs(self.pages[pod] + int(first * 60))
            elif second > 1.3:  # one time in ten
                self.pages[pod] = abs(self.pages[pod] + int(first * 6))
            memory.append(self.pages[pod] * 4096.0)
        return cpu, memory


def _base(draw: random.Random) -> float:
    kind = draw.random()
    if kind < 0.6:
        return 0.3 + draw.random() * 5
    return 20 + draw.random() * 200 if kind < 0.9 else 300 + draw.random() * 1700


Turn = Callable[[Load, List[Subject], List[Subject], float, List[float], List[float]], List[Sample]]


def two_series(
    load: Load, pods: List[Subject], _: List[Subject], now: float, cpu: List[float], memory: List[float]
) -> List[Sample]:
    """CPU and memory of each pod."""
    return [
        Sample(pod, now - lag, {"cpu/usage_rate": one, "memory/working_set": other}, "kubelet/resource", STEP)
        for pod, lag, one, other in zip(pods, load.lag, cpu, memory)
    ]


def full_set(
    load: Load, pods: List[Subject], containers: List[Subject], now: float, cpu: List[float], memory: List[float]
) -> List[Sample]:
    """The default set: per container CPU, throttling, working set, rss and cache; per pod CPU, memory,
    network and filesystem."""
    found = []
    for place, (pod, container, lag) in enumerate(zip(pods, containers, load.lag)):
        one, other = cpu[place], memory[place]
        busy = one > 300
        traffic = one * 850.0
        found.append(
            Sample(
                container,
                now - lag,
                {
                    "cpu/usage_rate": one,
                    "cpu/throttled_share": (one % 7) / 20 if busy else 0.0,
                    "cpu/throttled_time_rate": (one % 5) / 30 if busy else 0.0,
                    "memory/working_set": other,
                    "memory/rss": other * 0.6,
                    "memory/cache": other * 0.4 + (place & 1) * 4096,
                },
                "kubelet/cadvisor",
                STEP,
            )
        )
        found.append(
            Sample(
                pod,
                now - lag,
                {
                    "cpu/usage_rate": one,
                    "memory/working_set": other,
                    "network/rx_rate": traffic,
                    "network/tx_rate": traffic * 0.37 + one,
                    "ephemeral_storage/usage": 4096.0 * (place * 97 + int(now / 600) * (place & 7)),
                },
                "kubelet/summary",
                STEP,
            )
        )
    return found


class Found:
    """What one run came to."""

    def __init__(self) -> None:
        self.samples = 0
        self.turns: List[float] = []  # CPU seconds of a turn without a flush
        self.flushes: List[float] = []  # and with one
        self.points = self.sums = 0  # bytes
        self.rss = 0
        self.read = 0.0  # CPU seconds for both metrics of one namespace

    @property
    def bytes_a_sample(self) -> float:
        return (self.points + self.sums) / self.samples


def rows() -> List[Row]:
    """A day of one namespace, and all pods for somewhat more than an hour; with `KRM_BENCH_HOURS=24` all of it."""
    hours = float(os.environ.get("KRM_BENCH_HOURS", "0"))
    day = run(two_series, PODS if hours else PODS // NAMESPACES, hours or DAY)
    full = run(full_set, PODS, hours or FULL_HOURS)
    as_rows = _read_as_rows()
    gigabytes = full.bytes_a_sample * PODS * FULL_SERIES * DAY * HOUR / STEP / 1e9
    return [
        Row("history: CPU and memory of pods over a day, bytes a sample", f"{day.bytes_a_sample:.2f}",
            f"points {day.points / day.samples:.2f}, hourly sums {day.sums / day.samples:.2f}; rows in SQLite 15.3",
            "<= 1.3", day.bytes_a_sample <= 1.3),
        Row("history: 24 h of one namespace (250 pods, 2 metrics) read, CPU s", f"{day.read:.2f}",
            f"as rows in SQLite {as_rows:.2f}: {as_rows / day.read:.1f} times",
            "<= 0.3 where rows take 1.4: 4.7 times", as_rows / day.read >= 1.4 / 0.3),
        Row("history: the full set of 5,000 pods (55,000 series), GB a day", f"{gigabytes:.2f}",
            f"{full.bytes_a_sample:.2f} bytes a sample", "<= 1.5", gigabytes <= 1.5),
        Row("history: the full set, MiB of the process", f"{full.rss / MiB:.0f}", "", "< 300",
            full.rss < 300 * MiB),
        Row("history: the full set, a turn and a flush (each minute), CPU s",
            f"{statistics.median(full.turns):.2f}, {statistics.median(full.flushes):.2f}",
            f"the longest flush {max(full.flushes):.2f}", "", None),
    ]  # fmt: skip


def run(turn: Turn, pods: int, hours: float) -> Found:
    """In a process of its own, whose memory is told without what else a benchmark holds."""
    receiver, sender = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_run, args=(sender, turn, pods, hours))
    process.start()
    sender.close()
    found: Found = receiver.recv()
    process.join()
    return found


def _run(sender: Any, turn: Turn, pods: int, hours: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sender.send(_recorded(str(Path(folder) / "history.db"), turn, pods, hours))


def _recorded(path: str, turn: Turn, count: int, hours: float) -> Found:
    found, load, process = Found(), Load(count), psutil.Process()
    history = LocalHistory(path)
    flushes = _counted(history)
    pods, containers = load.subjects()
    for number in range(int(hours * HOUR // STEP)):
        now = START + (number + 1) * STEP
        if number % int(HOUR // STEP) == 0 and number:
            pods, containers = load.renewed()
        samples = turn(load, pods, containers, now, *load.tick(number))
        found.samples += sum(len(sample.values) for sample in samples)
        before, began = flushes[0], time.process_time()
        history.record(samples, now)
        (found.flushes if flushes[0] != before else found.turns).append(time.process_time() - began)
        found.rss = max(found.rss, process.memory_info().rss)
    end = START + hours * HOUR
    for _ in range(30):  # its last hour is put together too
        end += 60
        history.record((), end)
    found.points, found.sums = _sizes(path)
    found.read = statistics.median(_read(history, hours) for _ in range(3))
    history.close()
    return found


def _read_as_rows() -> float:
    """CPU seconds for as many points as `_read` reads, each a row of its own; of two hours, and so twelve times."""
    connection = sqlite3.connect(":memory:")
    columns = "series integer, step integer, value integer, primary key (series, step)"
    connection.execute(f"create table points ({columns}) without rowid")
    series = 2 * PODS // NAMESPACES
    connection.executemany(
        "insert into points values (?, ?, ?)",
        ((one, step, one * 977 + step) for one in range(series) for step in range(480)),
    )
    began = time.process_time()
    found: Dict[int, Tuple[List[float], List[float]]] = {}
    for one, step, value in connection.execute("select series, step, value from points order by series, step"):
        times, values = found.setdefault(one, ([], []))
        times.append(step * STEP)
        values.append(value / 10)
    return (time.process_time() - began) * DAY / 2


def _sizes(path: str) -> Tuple[int, int]:
    connection = readonly(path)
    try:
        return tuple(  # type: ignore[return-value]
            connection.execute(f"select sum(length(blob)) from {table}").fetchone()[0]
            for table in ("points", "sums")
        )
    finally:
        connection.close()


def _counted(history: LocalHistory) -> List[int]:
    """How often it flushed."""
    count, flush = [0], history.flush

    def counted() -> bool:
        count[0] += 1
        return flush()

    history.flush = counted  # type: ignore[method-assign]
    return count


def _read(history: LocalHistory, hours: float) -> float:
    """CPU seconds for two metrics of all pods of one namespace, over all that was run."""
    began = time.process_time()
    points = 0
    for metric in ("cpu/usage_rate", "memory/working_set"):
        query = Query(metric, "pod", START, START + hours * HOUR + 1, namespace="team-00")
        points += sum(len(one.values) for one in history.range(query).series)
    took = time.process_time() - began
    if points < 0.9 * 2 * hours * 240 * PODS / NAMESPACES:
        raise RuntimeError(f"{points} points are not what was recorded")
    return took
