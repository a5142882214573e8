"""What a simulated container uses: loads, and the counters that follow from them. Pure, no clock.

Everything is a function of (life, moment): a counter is the integral of rates that are constant between two
steps, times a wave whose mean is 1. Moments are integer milliseconds since the epoch, as a kubelet's pages
print them, so that a steady load of whole millicores gives exactly constant rates.
"""

from __future__ import annotations

import math
from operator import add
from typing import Iterable, List, NamedTuple, Optional, Tuple

MIB = 1024 * 1024
EPOCHS = 100  # of a life, kept beyond those that it was made with: a container may restart for ever
PERIODS = 10.0  # CPU quota periods a second: the kubelet's default is one of 100 ms

# The counters of a life, in the order of their vectors; the units are those of Load's fields.
CPU, SYSTEM, FAULTS, MAJOR, RX, TX, RX_ERRORS, TX_ERRORS, READS, WRITES = range(10)
PERIOD, THROTTLED, THROTTLED_TIME, LOGS, OOM = range(10, 15)
PRESSURES = range(15, 21)  # as Pressure's fields
COUNTERS = 21
Vector = Tuple[float, ...]
NOTHING: Vector = (0.0,) * COUNTERS


class Pressure(NamedTuple):
    """Shares of time, 0..1: in which some task waited, and in which all of them stood still."""

    cpu_waiting: float = 0.0
    cpu_stalled: float = 0.0
    memory_waiting: float = 0.0
    memory_stalled: float = 0.0
    io_waiting: float = 0.0
    io_stalled: float = 0.0


class Wave(NamedTuple):
    """How rates move around their mean: `share` of them comes and goes, the rest is steady.

    duty: 0 = as a sine; else all of the share comes in that part of each period (bursts).
    """

    period: float  # seconds
    share: float = 1.0  # 0..1
    duty: float = 0.0  # 0..1
    begin: float = 0.0  # Unix seconds, of any one period

    def factor(self, moment: int) -> float:
        """What rates are multiplied with at a moment."""
        turn = (moment / 1000.0 - self.begin) / self.period % 1.0
        if self.duty:
            return 1.0 - self.share + (self.share / self.duty if turn < self.duty else 0.0)
        return 1.0 + self.share * math.sin(2.0 * math.pi * turn)

    def passed(self, begin: int, end: int) -> float:
        """The factor's integral from one moment to another, in milliseconds."""
        steady = (end - begin) * (1.0 - self.share)
        return steady + self.share * (self._whole(end) - self._whole(begin))

    def _whole(self, moment: int) -> float:
        turns, turn = divmod((moment / 1000.0 - self.begin) / self.period, 1.0)
        if self.duty:
            done = turns + min(1.0, turn / self.duty)
        else:
            done = turns + turn + (1.0 - math.cos(2.0 * math.pi * turn)) / (2.0 * math.pi)
        return done * self.period * 1000.0


class Load(NamedTuple):
    """What a container does until its next step. What is a second is a rate, the rest an amount."""

    cpu: float = 100.0  # millicores
    memory: float = 64.0 * MIB  # bytes, the working set
    rss: Optional[float] = None  # bytes; None: three quarters of memory
    cache: Optional[float] = None  # bytes; None: half of memory. What rss + cache have beyond memory is inactive
    swap: float = 0.0  # bytes
    leak: float = 0.0  # bytes of memory and rss more a second, counted from the container's start
    leaked: float = math.inf  # bytes, where the leak ends
    kernel: float = 0.25  # share of the CPU time spent in the kernel
    throttled: float = 0.0  # share of the quota's periods
    throttled_time: float = 0.0  # seconds a second, over all threads
    faults: float = 0.0  # page faults a second
    major_faults: float = 0.0  # a second
    rx: float = 0.0  # bytes a second; network counters are the pod's and go on over a restart
    tx: float = 0.0
    rx_errors: float = 0.0  # a second
    tx_errors: float = 0.0
    reads: float = 0.0  # bytes a second from disk
    writes: float = 0.0
    rootfs: float = 0.0  # bytes of the writable layer
    logs: float = 0.0  # bytes a second of log
    oom_kills: float = 0.0  # a second, of its children
    processes: int = 1
    threads: int = 8
    pressure: Pressure = Pressure()
    wave: Optional[Wave] = None  # moves every rate but the quota's periods and oom_kills

    def rates(self) -> Vector:
        """What each counter grows by in a millisecond. CPU in nanoseconds, throttled time in seconds."""
        cpu = self.cpu * 1000.0  # a millicore for a millisecond is a microsecond
        return (
            cpu, cpu * self.kernel, self.faults / 1e3, self.major_faults / 1e3,
            self.rx / 1e3, self.tx / 1e3, self.rx_errors / 1e3, self.tx_errors / 1e3,
            self.reads / 1e3, self.writes / 1e3,
            PERIODS / 1e3, self.throttled * PERIODS / 1e3, self.throttled_time / 1e3,
            self.logs / 1e3, self.oom_kills / 1e3,
            *(share / 1e3 for share in self.pressure),
        )  # fmt: skip

    def amounts(self, age: int) -> Amounts:
        """The amounts of memory when the container is `age` milliseconds old."""
        more = min(self.leaked, self.leak * age / 1e3)
        memory = self.memory + more
        rss = (0.75 * self.memory if self.rss is None else self.rss) + more
        cache = 0.5 * self.memory if self.cache is None else self.cache
        return Amounts(int(memory), int(rss), int(cache), int(max(memory, rss + cache)), int(self.swap))


class Amounts(NamedTuple):
    """Bytes."""

    memory: int  # the working set
    rss: int
    cache: int
    usage: int
    swap: int

    @property
    def inactive(self) -> int:
        """File pages that the working set leaves out."""
        return self.usage - self.memory


class Epoch(NamedTuple):
    """A stretch in which nothing changes but the time."""

    at: int
    load: Load
    rates: Vector
    before: Vector  # the counters of this run when the epoch began
    earlier: Vector  # those of the runs before it
    run: int  # 0 is the first; one more with each restart
    started: int  # when this run began
    steady: Optional[Amounts]  # None: they move with the age


class Spot(NamedTuple):
    """One life at one moment."""

    epoch: Epoch
    moment: int
    passed: float  # milliseconds of the epoch, weighed by its wave

    def counted(self, counter: int) -> float:
        """A counter since the container's start."""
        passed = self.moment - self.epoch.at if counter in (PERIOD, OOM) else self.passed
        return self.epoch.before[counter] + self.epoch.rates[counter] * passed

    def whole(self, counter: int) -> float:
        """The same since the pod's start: what the pod's own cgroup counts on over restarts."""
        return self.epoch.earlier[counter] + self.counted(counter)

    def counts(self) -> List[float]:
        """All of them since the container's start."""
        passed, epoch = self.passed, self.epoch
        found = [before + rate * passed for before, rate in zip(epoch.before, epoch.rates)]
        if epoch.load.wave:
            found[PERIOD], found[OOM] = self.counted(PERIOD), self.counted(OOM)
        return found

    def wholes(self) -> List[float]:
        """All of them since the pod's start."""
        return list(map(add, self.epoch.earlier, self.counts()))

    @property
    def rate(self) -> float:
        """Millicores at this moment."""
        wave = self.epoch.load.wave
        return self.epoch.load.cpu * (wave.factor(self.moment) if wave else 1.0)

    def amounts(self) -> Amounts:
        return self.epoch.steady or self.epoch.load.amounts(self.moment - self.epoch.started)


class Life:
    """A container from its start: steps change its load, restarts begin its counters again at 0.

    start, and the moments of steps and restarts: Unix seconds. What is told at once here is kept for ever; of
    what comes later the newest EPOCHS, and before them the container is as it was at the oldest one's begin.
    """

    def __init__(
        self,
        start: float,
        load: Load,
        restarts: Iterable[float] = (),
        steps: Iterable[Tuple[float, Load]] = (),
    ) -> None:
        self.start = to_ms(start)
        self._epochs = [_epoch(self.start, load, NOTHING, NOTHING, 0, self.start)]
        turns: List[Tuple[float, Optional[Load]]] = [(at, None) for at in restarts]
        for at, changed in sorted([*turns, *steps], key=lambda turn: turn[0]):
            self._write(max(to_ms(at), self.start), changed)
        self._kept = len(self._epochs) + EPOCHS

    def step(self, at: float, load: Load) -> None:
        """From `at` on it does this, until the next step."""
        self._insert(at, load)

    def restart(self, at: float) -> None:
        """The container is another one from `at` on, with the same load."""
        self._insert(at, None)

    def at(self, moment: int) -> Spot:
        """Before the start it is as at the start."""
        epochs = self._epochs
        index = len(epochs) - 1
        while index and epochs[index].at > moment:
            index -= 1
        epoch = epochs[index]
        moment = max(moment, epoch.at)
        return Spot(epoch, moment, _passed(epoch, moment))

    def _insert(self, at: float, load: Optional[Load]) -> None:
        """None: a restart. What is told already of later moments comes after it."""
        moment, epochs = max(to_ms(at), self._epochs[0].at), self._epochs
        later: List[Tuple[int, Optional[Load]]] = []
        while len(epochs) > 1 and epochs[-1].at > moment:
            last = epochs.pop()
            later.append((last.at, last.load if last.run == epochs[-1].run else None))
        self._write(moment, load)
        for when, changed in reversed(later):
            self._write(when, changed)
        del epochs[: -self._kept]

    def _write(self, moment: int, load: Optional[Load]) -> None:
        last = self._epochs[-1]
        spot = Spot(last, moment, _passed(last, moment))
        if load is None:
            earlier = tuple(spot.wholes())
            self._epochs.append(_epoch(moment, last.load, NOTHING, earlier, last.run + 1, moment))
        else:
            counts = tuple(spot.counts())
            self._epochs.append(_epoch(moment, load, counts, last.earlier, last.run, last.started))


def _epoch(at: int, load: Load, before: Vector, earlier: Vector, run: int, started: int) -> Epoch:
    return Epoch(at, load, load.rates(), before, earlier, run, started, None if load.leak else load.amounts(0))


def _passed(epoch: Epoch, moment: int) -> float:
    wave = epoch.load.wave
    return wave.passed(epoch.at, moment) if wave else float(moment - epoch.at)


def to_ms(seconds: float) -> int:
    """Unix seconds as milliseconds."""
    return round(seconds * 1000.0)
