"""What advice would have come to: an hour after another is lived through under what was advised before it.

The loop is closed: a strategy sees what it would have seen, usage below its own limits and the kills that these
caused. Advice is taken over in place, without a restart: at midnight, and at the hour after a kill. In a step
whose demand for memory is above the limit the container is killed, once (a crash loop waits 5 minutes), and what
leaked is gone. Cost is OpenCost's: max(request, usage), at its default prices. Nothing here may change once rules
were tuned on it.
"""

from __future__ import annotations

from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from advice_traces import DAY, DAYS, HOUR, MIB, PODS, START, STEP, WARM, Demand, Workload

CPU_PRICE, MEMORY_PRICE = 0.031611, 0.004237  # dollars for a core and for a GiB an hour: OpenCost's defaults


class Settings(NamedTuple):
    """Of the one container, millicores and bytes; None = no limit."""

    cpu_request: float
    memory_request: float
    cpu_limit: Optional[float]
    memory_limit: Optional[float]


class Seen(NamedTuple):
    """What one pod showed, up to the midnight of the advice."""

    times: List[float]  # Unix seconds, the end of each step
    cpu: List[float]
    memory: List[float]
    kills: List[Tuple[float, float]]  # Unix seconds, and the limit that was hit


Strategy = Callable[[Sequence[Seen], Settings], Optional[Settings]]


class Score(NamedTuple):
    """Of the days after the warm-up."""

    kills: int = 0
    dollars: float = 0.0
    throttled: float = 0.0  # minutes, of all pods: demand for CPU above the limit
    above_cpu: float = 0.0  # minutes with more CPU than requested
    above_memory: float = 0.0  # minutes with more memory than requested: first to go under pressure

    def plus(self, other: Score) -> Score:
        """The sum."""
        return Score(
            self.kills + other.kills,
            self.dollars + other.dollars,
            self.throttled + other.throttled,
            self.above_cpu + other.above_cpu,
            self.above_memory + other.above_memory,
        )


def owners(workload: Workload) -> Settings:
    """What stands at first: twice the mean CPU and twice the most memory of the warm-up, a guess."""
    first = DAY * WARM
    cpu = max(sum(pod.cpu[:first]) / first for pod in workload.pods)
    memory = max(max(pod.memory[:first]) + pod.leak * first for pod in workload.pods)
    return Settings(2 * cpu, 2 * memory, None, 2 * memory)


def lived(workload: Workload, strategy: Strategy) -> Score:
    """All days of one workload."""
    seen = [Seen([], [], [], []) for _ in range(PODS)]
    leaked = [0.0] * PODS
    settings, score = owners(workload), Score()
    killed = 0
    for begin in range(0, DAYS * DAY, HOUR):
        if begin >= WARM * DAY and (begin % DAY == 0 or killed):
            settings = strategy(seen, settings) or settings
        found = Score()
        for place, demand in enumerate(workload.pods):
            found = found.plus(_hour(workload, demand, begin, settings, seen[place], leaked, place))
        killed = found.kills
        if begin >= WARM * DAY:
            score = score.plus(found)
    return score


def _hour(
    workload: Workload, demand: Demand, begin: int, settings: Settings, seen: Seen, leaked: List[float], place: int
) -> Score:
    kills, dollars, throttled, above_cpu, above_memory = 0, 0.0, 0, 0, 0
    cores = CPU_PRICE / 1000 * STEP / 3600
    bytes_ = MEMORY_PRICE / (1024 * MIB) * STEP / 3600
    for at in range(begin, begin + HOUR):
        leaked[place] = 0.0 if at in workload.restarts else leaked[place] + demand.leak
        cpu, memory = demand.cpu[at], demand.memory[at] + leaked[place]
        now = START + (at + 1) * STEP
        if settings.cpu_limit is not None and cpu > settings.cpu_limit:
            throttled, cpu = throttled + 1, settings.cpu_limit
        if settings.memory_limit is not None and memory > settings.memory_limit:
            kills, memory, leaked[place] = kills + 1, settings.memory_limit, 0.0
            seen.kills.append((now, settings.memory_limit))
        dollars += max(cpu, settings.cpu_request) * cores + max(memory, settings.memory_request) * bytes_
        above_cpu += cpu > settings.cpu_request
        above_memory += memory > settings.memory_request
        seen.times.append(now)
        seen.cpu.append(cpu)
        seen.memory.append(memory)
    minutes = STEP / 60
    return Score(kills, dollars, throttled * minutes, above_cpu * minutes, above_memory * minutes)


def scores(workloads: Sequence[Workload], strategies: Dict[str, Strategy]) -> Dict[str, Dict[str, Score]]:
    """strategy -> shape -> its sum; the shape '' is all of them."""
    table: Dict[str, Dict[str, Score]] = {}
    for name, strategy in strategies.items():
        by_shape = table.setdefault(name, {})
        for workload in workloads:
            found = lived(workload, strategy)
            for shape in ("", workload.name.rsplit("-", 1)[0]):
                by_shape[shape] = by_shape.get(shape, Score()).plus(found)
    return table
