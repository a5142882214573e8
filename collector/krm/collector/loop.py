"""The collector's loop: asks all targets, each in its own rhythm, and tells Redis and the history what came."""

from __future__ import annotations

import gc
import logging
import threading
import time
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional

from krm.collector.configured import Configured
from krm.collector.newest import Newest
from krm.collector.picture import Picture
from krm.collector.schedule import Job, Name, Outcome, Schedule
from krm.collector.seeing import Seeing, Told
from krm.collector.streamed import Streamed
from krm.collector.world import World
from krm.model.measures import Sample
from krm.model.rates import Rates
from krm.store.errors import Fenced, StoreError
from krm.store.history.asked import STEP, Recorder
from krm.store.latest import SNAPSHOT, CollectorState
from krm.store.latest_writer import LatestWriter, Turn

# Seconds between two turns: what came is in Redis within this.
TURN = 1.0

# Objects made before Python looks for cycles, and how seldom it looks at the older ones: a turn over 5,000 pods
# makes 100,000 values that hold none, and the search took a third of the slowest turns (bench/collect.py).
CYCLES = (100_000, 50, 1000)

log = logging.getLogger("krm")


def ease_garbage_collection() -> None:
    """Of this process, for the collector is all that it does."""
    gc.set_threshold(*CYCLES)


class Endpoint(NamedTuple):
    """Where the history is served."""

    address: str  # https://HOST:PORT, '' = nowhere
    certificate: str  # SHA-256, hex


class Collector:
    """One cluster's. Only the holder of the lease asks, writes and records."""

    def __init__(
        self,
        world: World,
        jobs: Callable[[World], Dict[Name, Job]],
        writer: LatestWriter,
        recorder: Optional[Recorder],
        endpoint: Endpoint,
        every: float,
        stop: threading.Event,
        pods_too: bool = False,
        streamed: Optional[Streamed] = None,
        seeing: Optional[Seeing] = None,
        configured: Optional[Configured] = None,
    ) -> None:
        """`jobs`: whom to ask in this world. `every`: seconds between two answers of the quickest source.

        `pods_too`: what containers come to is recorded of their pods as well, for readers that do not add up.
        """
        self._pods_too = pods_too
        self._world, self._jobs, self._writer, self._recorder = world, jobs, writer, recorder
        self._endpoint, self._every, self._stop = endpoint, every, stop
        self._streamed, self._seeing = streamed, seeing
        self._configured = configured or Configured(None)
        self._seen: Optional[Told] = None
        self._newest = Newest()
        self._picture = Picture(world, self._newest)
        self._rates: Dict[str, Rates] = {}
        self._schedule = Schedule()
        self._stood = 0.0  # when what stands was recorded last, Unix seconds
        self._problem = ""
        self._samples = 0
        self._seconds: Optional[float] = None  # of the newest turn

    def run(self) -> None:
        """Until stopped; then the lease is given back."""
        self._world.start()
        try:
            while not self._stop.wait(TURN):
                began = time.monotonic()
                try:
                    self._turn(time.time())
                    self._tell("")
                except StoreError as error:
                    self._tell(str(error))
                self._seconds = time.monotonic() - began
        finally:
            self._schedule.close()
            try:
                self._writer.give_up()
            except StoreError as error:
                log.warning("the lease was not given back, another collector waits for its end: %s", error)
            self._writer.close()

    def figures(self) -> Mapping[str, Optional[float]]:
        """For /metrics."""
        return {
            "krm_collector_targets": float(len(self._newest.answers)),
            "krm_collector_silent_targets": float(self._newest.silent),
            "krm_collector_samples_total": float(self._samples),
            "krm_collector_turn_seconds": self._seconds,
            "krm_collector_oom_kills": None if self._seeing is None else float(self._seeing.kills),
        }

    def _turn(self, now: float) -> None:
        if not self._writer.take():
            self._schedule.want({})
            self._schedule.drain()
            self._rates.clear()  # another one counts on: what it counts is not to be counted once more
            if self._seeing is not None:
                self._seeing.forget()
            return
        if self._seeing is not None:
            self._seeing.begin(now)
        jobs = self._jobs(self._world)
        self._schedule.want(jobs)
        outcomes = self._configured.take(self._schedule.drain())
        if self._seeing is not None:
            outcomes = self._seeing.take(outcomes, now)
        fresh = self._newest.take(self._rated(outcomes, now))
        self._newest.keep(jobs, now)
        changed = self._picture.update(now)
        if self._seeing is not None:
            self._seen = self._seeing.turn(jobs, changed, now)
        fenced = False
        try:
            self._writer.write(self._told()._replace(kubelets=self._configured.told(jobs)))
        except Fenced:
            fenced = True  # it slept, and what it would record now another one has recorded
            log.warning("another collector has taken over: this one stands by")
        finally:
            if not fenced:  # a Redis that is away does not end the history
                self._record(fresh, now)
                if self._streamed is not None:
                    self._streamed.turn(now)

    def _rated(self, outcomes: List[Outcome], now: float) -> List[Outcome]:
        """With the rates of their counters, by source: two sources count from moments of their own."""
        rated = []
        for outcome in outcomes:
            source = outcome.job.source.name
            if source not in self._rates:
                self._rates[source] = Rates()
            rated.append(outcome._replace(samples=self._rates[source].take(outcome.samples, now)))
        return rated

    def _record(self, fresh: List[Sample], now: float) -> None:
        self._samples += len(fresh)
        if self._recorder is None:
            return
        samples = self._picture.recorded(fresh)
        if now - self._stood >= STEP or now < self._stood:
            window = min(now - self._stood, STEP) if self._stood else 0.0
            samples += self._picture.standing(now, window)
            if self._pods_too:
                samples += self._picture.pods(now, window)
            self._stood = now
        self._recorder.record(samples, now)

    def _told(self) -> Turn:
        picture = self._picture
        nodes = {name: view.measured for name, view in picture.nodes.items()}
        problems = {SNAPSHOT + name: problem for name, problem in self._world.problems().items()}
        state = CollectorState(
            address=self._endpoint.address,
            certificate=self._endpoint.certificate,
            every=self._every,
            silences=self._newest.silences(),
            sources={**self._newest.sources(), **problems},
            history=tuple(self._recorder.health()) if self._recorder is not None else ("no history is kept",),
            nodes=picture.covers,
            agents=None if self._seen is None else self._seen.agents,
        )
        packed = {space: dict(pods) for space, pods in picture.packed.items()}
        turn = Turn(packed, picture.namespaces, {**nodes, "": picture.cluster}, state)
        if self._seen is None:
            return turn
        return turn._replace(processes=self._seen.processes, kills=self._seen.kills)

    def _tell(self, problem: str) -> None:
        """A line where something begins or ends, not each turn."""
        if problem != self._problem:
            if problem:
                log.warning("%s", problem)
            else:
                log.info("it goes on")
            self._problem = problem
