"""When each target is asked, by whom, and what came of it: a slow target delays no other.

Each (source, target) has its own interval and a place in it by chance, so that a thousand kubelets are not
asked in one moment. It is asked again only after its former answer. Targets that failed go to a lane of
their own with few workers and a pause that doubles: a zone that went away holds up none that is there.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Collection, Dict, List, Mapping, NamedTuple, Optional, Tuple

from krm.collector.source import NoData, Source, Target
from krm.model.measures import Sample

# Asked at once: an answer costs a few ms of one core, and waits for the network longer than that.
WORKERS, SLOW_WORKERS = 16, 4
# Seconds between two tries of a target that fails: its interval, doubled up to this.
SLOWEST = 60.0
# No counter and no gauge is so large: those of a kernel and of a kubelet have 64 bits.
TOO_MUCH = 2.0**64
# Seconds that the scheduler rests at most before it looks for due targets again.
LOOK_EVERY = 0.1

log = logging.getLogger("krm")
Name = Tuple[str, str]  # (source, target)


class Job(NamedTuple):
    """One target of one source."""

    source: Source
    target: Target
    every: float  # seconds

    @property
    def name(self) -> Name:
        return (self.source.name, self.target.name)


class Outcome(NamedTuple):
    """One answer, or why there is none."""

    job: Job
    at: float  # Unix seconds of its end
    samples: List[Sample]
    reason: str  # '' = it answered


class _Plan:
    def __init__(self, job: Job, due: float) -> None:
        self.job, self.due = job, due  # due: monotonic seconds
        self.running = self.placed = False  # placed: its place within the interval is drawn
        self.failures = 0


class Schedule:
    """Asks; `drain` gives what came. Threads of its own, ended by `close`."""

    def __init__(self, workers: int = WORKERS, slow_workers: int = SLOW_WORKERS) -> None:
        self._fast = ThreadPoolExecutor(workers, thread_name_prefix="ask")
        self._slow = ThreadPoolExecutor(slow_workers, thread_name_prefix="ask-slow")
        self._plans: Dict[Name, _Plan] = {}
        self._came: List[Outcome] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="schedule", daemon=True)
        self._thread.start()

    def want(self, jobs: Mapping[Name, Job]) -> None:
        """These are asked from now on, others no more. A new one is asked at once, within its interval by chance
        from then on."""
        now = time.monotonic()
        with self._lock:
            for name in [name for name in self._plans if name not in jobs]:
                del self._plans[name]
            for name, job in jobs.items():
                plan = self._plans.get(name)
                if plan is None or plan.job.target != job.target:
                    self._plans[name] = _Plan(job, now)
                else:
                    plan.job = job

    def drain(self) -> List[Outcome]:
        """What came since the last call, in its order; of targets that are wanted no more, too."""
        with self._lock:
            came, self._came = self._came, []
            return came

    def close(self) -> None:
        """No target is asked any more; open requests end by their own deadlines."""
        self._stop.set()
        self._thread.join(2.0)
        for pool in (self._fast, self._slow):
            pool.shutdown(wait=False)

    def _run(self) -> None:
        while not self._stop.wait(LOOK_EVERY):
            now = time.monotonic()
            with self._lock:
                due = [plan for plan in self._plans.values() if not plan.running and plan.due <= now]
                for plan in due:
                    plan.running = True
            for plan in sorted(due, key=lambda plan: plan.due):
                pool = self._slow if plan.failures else self._fast
                try:
                    pool.submit(self._ask, plan)
                except RuntimeError:  # closed meanwhile
                    return

    def _ask(self, plan: _Plan) -> None:
        if self._stop.is_set():
            return
        began = time.monotonic()
        outcome = ask(plan.job)
        with self._lock:
            plan.running = False
            plan.failures = plan.failures + 1 if outcome.reason else 0
            wait = pause(plan.job.every, plan.failures)
            plan.due = began + (wait if plan.placed else wait * random.random())
            plan.placed = True
            self._came.append(outcome)


def ask(job: Job, clock: Callable[[], float] = time.time) -> Outcome:
    """One read; whatever goes wrong is a sentence."""
    try:
        samples = _sound(job.source(job.target, clock()))
        return Outcome(job, clock(), samples, "")
    except NoData as error:
        return Outcome(job, clock(), [], str(error))
    except Exception as error:  # one target's trouble must stop no other; its text may hold a secret
        log.exception("%s of %s", *job.name)
        return Outcome(job, clock(), [], f"krm failed to read it ({type(error).__name__}): its log says why")


def _sound(samples: List[Sample]) -> List[Sample]:
    """Without numbers that can be none: one of them would spoil each sum that it is in, or stop the loop."""
    if all(_is_sound(one.values.values()) for one in samples):
        return samples
    return [
        one._replace(values={name: value for name, value in one.values.items() if _is_sound([value])})
        for one in samples
    ]


def _is_sound(values: Collection[float]) -> bool:
    # A NaN is in the sum, wherever it stands; which of many numbers is the largest, it may hide.
    return sum(values) < TOO_MUCH and max(values, default=0.0) < TOO_MUCH and min(values, default=0.0) > -TOO_MUCH


def pause(every: float, failures: int, chance: Optional[float] = None) -> float:
    """Seconds from one start to the next: the interval, a tenth by chance; doubled a failure beyond the first."""
    spread = random.random() if chance is None else chance
    stretched = min(max(SLOWEST, every), every * 2 ** min(max(0, failures - 1), 8))
    return float(stretched * (0.9 + 0.1 * spread))
