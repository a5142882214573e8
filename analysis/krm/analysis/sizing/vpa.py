"""What the Vertical Pod Autoscaler's recommender 1.8.1 advises, reproduced with its default settings. Pure.

Usage is kept in histograms whose buckets grow by 5 % and whose samples lose half their weight a day: CPU each
sample, memory one peak a pod and day. The target is the 90th percentile with a margin of 15 %, the bounds are the
50th and the 95th, widened where there is little history. An OOM kill counts as a peak above what was asked for.
Source: kubernetes/autoscaler, pkg/recommender/{model,logic,util} at vertical-pod-autoscaler v1.8.1;
tests/oracles/vpa.json holds what it answers itself.
"""

from __future__ import annotations

import math
from typing import Iterable, List, NamedTuple, Optional, Sequence, Tuple

DAY = 86400.0  # seconds: half-life, interval of memory's peaks, and one of confidence
_RATIO = 1.05  # of a bucket's width to that of the one before
_WEIGHT = 0.1  # of a CPU sample; one of memory has 1
_EMPTY = 0.001 * _WEIGHT  # a bucket below it counts as empty
_MOST_HALVINGS = 100  # between the reference and a sample; beyond it the weights are scaled anew
_MARGIN = 0.15
_TARGET, _LOWER, _UPPER = 0.9, 0.5, 0.95
_MIN_CPU, _MIN_MEMORY = 25, 250 * 1024 * 1024  # millicores, bytes: of a pod, shared by its containers
_OOM_RATIO, _OOM_BUMP = 1.2, 100 * 1024 * 1024  # bytes
_MOST = 10**14  # the largest amount that it knows


class Sample(NamedTuple):
    """One reading. None = not known."""

    at: float  # Unix seconds
    cpu: Optional[float]  # millicores
    memory: Optional[float]  # bytes, working set


class Oom(NamedTuple):
    """An OOM kill of the container."""

    at: float  # Unix seconds
    request: float  # bytes of memory that it had asked for; 0 = nothing


class Bounds(NamedTuple):
    """Of one resource, in millicores or bytes."""

    target: int
    lower: int
    upper: int


class Advice(NamedTuple):
    """Of one container."""

    cpu: Bounds
    memory: Bounds


class _Histogram:
    """Exponential buckets, decaying by age."""

    def __init__(self, most: float, first: float) -> None:
        """most, first: the largest value and the first bucket's width, in cores or bytes."""
        self._first = first
        self._count = math.ceil(math.log(most * (_RATIO - 1) / first + 1) / math.log(_RATIO)) + 1
        self._weights = [0.0] * self._count
        self._total = 0.0
        self._low, self._high = self._count - 1, 0
        self._reference: Optional[float] = None  # in half-lives since the epoch

    def add(self, value: float, weight: float, at: float) -> None:
        weight *= self._decay(at)
        bucket = self._bucket(value)
        self._weights[bucket] += weight
        self._total += weight
        if self._weights[bucket] >= _EMPTY:
            self._low, self._high = min(self._low, bucket), max(self._high, bucket)

    def subtract(self, value: float, weight: float, at: float) -> None:
        weight *= self._decay(at)
        bucket = self._bucket(value)
        self._total = _less(self._total, weight)
        self._weights[bucket] = _less(self._weights[bucket], weight)
        self._narrow()

    def percentile(self, share: float) -> float:
        """The end of the bucket that it falls into; 0 where there is nothing."""
        if self._weights[self._low] < _EMPTY:
            return 0.0
        threshold, partial, bucket = share * self._total, 0.0, self._low
        while bucket < self._high:
            partial += self._weights[bucket]
            if partial >= threshold:
                break
            bucket += 1
        return self._start(min(bucket + 1, self._count - 1))

    def _bucket(self, value: float) -> int:
        if value < self._first:
            return 0
        return min(int(math.log(value * (_RATIO - 1) / self._first + 1) / math.log(_RATIO)), self._count - 1)

    def _start(self, bucket: int) -> float:
        return self._first * (math.pow(_RATIO, bucket) - 1) / (_RATIO - 1) if bucket else 0.0

    def _decay(self, at: float) -> float:
        if self._reference is None or at > (self._reference + _MOST_HALVINGS) * DAY:
            reference = math.floor(at / DAY + 0.5)
            if self._reference is not None:
                self._scale(math.ldexp(1.0, int(self._reference - reference)))
            self._reference = reference
        return float(2.0 ** ((at - self._reference * DAY) / DAY))

    def _scale(self, factor: float) -> None:
        self._weights = [weight * factor for weight in self._weights]
        self._total *= factor
        self._narrow()

    def _narrow(self) -> None:
        while self._weights[self._low] < _EMPTY and self._low < self._count - 1:
            self._low += 1
        while self._weights[self._high] < _EMPTY and self._high > 0:
            self._high -= 1


def _less(value: float, by: float) -> float:
    return value - by if value - by >= _EMPTY else 0.0


class _Pod:
    """What is remembered of one pod's container: the peak of its current day."""

    def __init__(self) -> None:
        self.last_cpu = self.last_memory = -math.inf
        self.window_end: Optional[float] = None
        self.peak = self.oom_peak = 0


class State:
    """Of one container of a workload, over all its pods."""

    def __init__(self) -> None:
        self._cpu, self._memory = _Histogram(1000.0, 0.01), _Histogram(1e12, 1e7)
        self._pods: List[_Pod] = []
        self._first = self._last = math.nan
        self.samples = 0  # of CPU

    def pod(self) -> int:
        """A further pod; what is added names it."""
        self._pods.append(_Pod())
        return len(self._pods) - 1

    def add(self, pod: int, sample: Sample) -> None:
        """In order of time a pod; what is older than the one before is left out."""
        own, at = self._pods[pod], sample.at
        if sample.cpu is not None and sample.cpu >= 0 and at > own.last_cpu:
            own.last_cpu = at
            self._cpu.add(int(sample.cpu) / 1000, _WEIGHT, at)
            self._first = at if not self._first <= at else self._first
            self._last = at if not self._last >= at else self._last
            self.samples += 1
        if sample.memory is not None and sample.memory >= 0 and at >= own.last_memory:
            self._add_memory(own, at, int(sample.memory), False)

    def oom(self, pod: int, oom: Oom) -> None:
        """An OOM kill; one that is a day older than the newest sample is left out."""
        own = self._pods[pod]
        if oom.at < own.last_memory - DAY:
            return
        used = max(int(oom.request), own.peak)
        self._add_memory(own, oom.at, max(used + _OOM_BUMP, int(used * _OOM_RATIO)), True)

    def _add_memory(self, own: _Pod, at: float, usage: int, is_oom: bool) -> None:
        own.last_memory = at
        end = at if own.window_end is None else own.window_end
        new = False
        if at < end:
            before = max(own.peak, own.oom_peak)
            if before and usage > before:
                self._memory.subtract(before, 1.0, end)
                new = True
        else:
            end += (at - end) // DAY * DAY + DAY
            own.peak = own.oom_peak = 0
            new = True
        own.window_end = end
        if new:
            self._memory.add(usage, 1.0, end)
            if is_oom:
                own.oom_peak = usage
            else:
                own.peak = usage

    @property
    def days(self) -> float:
        """Its confidence: days of history, and no more than its samples would fill at one a minute."""
        span = (self._last - self._first) / DAY if self.samples else 0.0
        return min(span, self.samples / 1440)

    def advice(self, containers: int = 1) -> Advice:
        """containers: that the pod has; the floors are shared by them."""
        share = 1.0 / containers
        cpu = [_amount(self._cpu.percentile(one) * 1000) for one in (_TARGET, _LOWER, _UPPER)]
        memory = [_amount(self._memory.percentile(one)) for one in (_TARGET, _LOWER, _UPPER)]
        return Advice(
            self._bounds(cpu, _amount(_MIN_CPU * share)), self._bounds(memory, _amount(_MIN_MEMORY * share))
        )

    def _bounds(self, found: Sequence[int], least: int) -> Bounds:
        target, lower, upper = (one + _amount(one * _MARGIN) for one in found)
        days = self.days
        lower = _amount(lower * math.pow(1 + 0.001 / days, -2)) if days else 0
        upper = _amount(upper * (1 + 1 / days)) if days else _MOST if upper else 0
        return Bounds(max(target, least), max(lower, least), max(upper, least))


def _amount(value: float) -> int:
    return int(min(max(value, 0.0), _MOST))


Pod = Tuple[Sequence[Sample], Sequence[Oom]]  # each oldest first


def state_of(pods: Iterable[Pod]) -> State:
    """A container's state after all that its pods tell."""
    state = State()
    for samples, ooms in pods:
        pod, waiting = state.pod(), list(ooms)
        for sample in samples:
            while waiting and waiting[0].at < sample.at:
                state.oom(pod, waiting.pop(0))
            state.add(pod, sample)
        for one in waiting:
            state.oom(pod, one)
    return state
