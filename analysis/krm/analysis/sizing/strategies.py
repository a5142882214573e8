"""Each strategy's advice for one container of a workload, from what its pods used. Pure."""

from __future__ import annotations

from bisect import bisect_right
from typing import List, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.sizing import krr, own, vpa
from krm.analysis.sizing.past import Used
from krm.model.amounts import CPU, MEMORY

KRM, VPA, KRR, KRR_LIMIT = STRATEGIES = ("krm", "vpa", "krr", "krr-limit")
_EACH = 4  # points: the recommender takes a sample a minute, the history has one each 15 s


class Part(NamedTuple):
    """Of one resource, in millicores or bytes."""

    request: Optional[float]  # None = no advice
    limit: Optional[float]  # None = none, or no advice
    why: str  # what the number is made of; why there is none
    doubts: Tuple[str, ...] = ()


def advise(strategy: str, target: str, resource: str, pods: Sequence[Used], containers: int, ratio: float) -> Part:
    """containers: of the pod, whose floors VPA shares. ratio: of limit to request as they are set, which VPA keeps;
    0 = there is no limit."""
    if strategy == VPA:
        return _vpa(resource, pods, containers, ratio)
    if strategy == KRM:
        return _own_cpu(target, pods) if resource == CPU else _own_memory(target, pods)
    return _krr(strategy == KRR_LIMIT, resource, pods)


def memory_before(
    strategy: str, target: str, pods: Sequence[Used], until: float, containers: int
) -> Optional[float]:
    """The limit that would have been advised at `until`, by what was known then; None = none."""
    known = [_cut(one, until) for one in pods]
    return advise(strategy, target, MEMORY, [one for one in known if one is not None], containers, 1.0).limit


def _cut(one: Used, until: float) -> Optional[Used]:
    count = bisect_right(one.peaks.ends, until)
    memory = one.memory.until(until)
    if not count and not len(memory.times):
        return None
    peaks = one.peaks._replace(ends=one.peaks.ends[:count], values=one.peaks.values[:count])
    return one._replace(memory=memory, peaks=peaks, kills=tuple(kill for kill in one.kills if kill[0] <= until))


def _own_cpu(target: str, pods: Sequence[Used]) -> Part:
    rule = own.RULES[target]
    found = own.cpu([one.pod_past() for one in pods], target)
    if found is None:
        return Part(None, None, "no CPU was measured")
    where = "hours of the last week" if found.of_week else "points of the last day"
    margin = f" with {rule.cpu_margin - 1:.0%} more" if rule.cpu_margin != 1 else ""
    used = f"P{rule.cpu_share * 100:.0f} of the {where}, {found.usage:.0f}m{margin}"
    return Part(found.request, None, f"{used}; no limit: throttling saves nothing")


def _own_memory(target: str, pods: Sequence[Used]) -> Part:
    rule = own.RULES[target]
    found = own.memory([one.pod_past() for one in pods], target)
    if found is None:
        return Part(None, None, "no memory was measured")
    why = f"peak of the week {found.peak / own.MIB:.0f}Mi"
    why += f", request x{rule.memory_request:g}, limit x{rule.memory_limit:g}"
    doubts: List[str] = []
    if found.trend is not None:
        a_day = found.trend.per_second * own.HORIZON / own.MIB
        why += f", after {a_day:.0f}Mi more in a day"
        doubts.append(
            f"it grows by {a_day:.0f}Mi a day: where that is a leak, a limit puts the kill off and mends nothing"
        )
    if found.killed_at:
        why += f", or x{rule.after_kill:g} of the {found.killed_at / own.MIB:.0f}Mi that it was killed at"
        doubts.append("it was killed for want of memory: how much it would have taken is not known")
    return Part(found.request, found.limit, why, tuple(doubts))


def _krr(limited: bool, resource: str, pods: Sequence[Used]) -> Part:
    if resource == CPU:
        cpu = krr.cpu([one.ordered for one in pods if one.ordered], limited, False)
        shares = "P66 and P96 of all points" if limited else "the largest P95 of a pod"
        return Part(cpu.request, cpu.limit, cpu.info or f"{shares}, as krr has it")
    # Of memory the largest alone counts; how many there are is counted besides.
    points = sum(len(one.memory.values) for one in pods)
    if points < krr.LEAST_POINTS:
        return Part(None, None, krr.NOT_ENOUGH)
    memory = krr.memory([sorted(one.memory.values) for one in pods if len(one.memory.values)], False)
    return Part(memory.request, memory.limit, memory.info or "the largest value and 15 %, as krr has it")


def _vpa(resource: str, pods: Sequence[Used], containers: int, ratio: float) -> Part:
    state = vpa.state_of([_fed(one) for one in pods])
    if not state.samples and not any(len(one.memory.values) for one in pods):
        return Part(None, None, "nothing but OOM kills: the recommender has no advice then either")
    advice = state.advice(containers)
    bounds = advice.cpu if resource == CPU else advice.memory
    limit = int(bounds.target * ratio) if ratio else None
    unit, scale = ("m", 1) if resource == CPU else ("Mi", own.MIB)
    why = f"the recommender's target; bounds {bounds.lower / scale:.0f}{unit} to {bounds.upper / scale:.0f}{unit}"
    return Part(bounds.target, limit, why + ("; limit in the ratio that is set" if ratio else ""))


def _fed(one: Used) -> vpa.Pod:
    """A sample a minute, each with both where both are there."""
    memory = dict(zip(one.memory.times, one.memory.values))
    cpu = dict(zip(one.cpu.times, one.cpu.values))
    times = sorted(set(memory) | set(cpu))
    minutes = [at for at in times if at // 15 % _EACH == 0]
    samples = [vpa.Sample(at, cpu.get(at), memory.get(at)) for at in minutes]
    return samples, [vpa.Oom(at, limit) for at, limit in one.kills]
