"""From what the metrics ask for to what may be done: stabilisation, rates, least and most replicas. Pure.

As kube-controller-manager 1.36 does it, with the memory that it has of each HPA: what was asked for lately, and by
how much it scaled. Without spec.behavior: the most that was asked for within the flag's window, at most
max(4, 2 x replicas). With it: the least of the up window and the most of the down window, then the policies.
"""

from __future__ import annotations

from math import ceil
from typing import Any, List, NamedTuple, Sequence, Tuple

from krm.analysis.hpa.spec import DISABLED, MIN, Rules, Settings, Spec

_FACTOR, _MINIMUM = 2.0, 4.0  # scaleUpLimitFactor, scaleUpLimitMinimum


class Asked(NamedTuple):
    """What the metrics asked for at one time, before anything was done to it."""

    replicas: int
    at: float  # Unix seconds


class Change(NamedTuple):
    """One scaling; by how many replicas, 0 or more."""

    by: int
    at: float  # Unix seconds
    outdated: bool = False  # no policy's period reaches it any more: its place is taken by the next


class Memory(NamedTuple):
    """What the controller remembers of one HPA. It is lost when the controller starts anew."""

    asked: Tuple[Asked, ...] = ()
    ups: Tuple[Change, ...] = ()
    downs: Tuple[Change, ...] = ()

    def begun(self, replicas: int, now: float) -> Memory:
        """With what it has seen first."""
        return self if self.asked else self._replace(asked=(Asked(replicas, now),))


class Normal(NamedTuple):
    """What may be done."""

    replicas: int
    stabilized: int
    able: Tuple[str, str]  # reason and message of the condition AbleToScale
    limited: Tuple[bool, str, str]  # status, reason and message of ScalingLimited
    memory: Memory
    steps: Tuple[str, ...]


_READY = ("ReadyForNewScale", "recommended size matches current size")
_FREE = (False, "DesiredWithinRange", "the desired count is within the acceptable range")
_TOO_MANY = ("TooManyReplicas", "the desired replica count is more than the maximum replica count")
_TOO_FEW = ("TooFewReplicas", "the desired replica count is less than the minimum replica count")
_UP_LIMIT = ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
_DOWN_LIMIT = ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate")
_WAS_HIGHER = "recent recommendations were higher than current one, applying the highest recent recommendation"
_WAS_LOWER = "recent recommendations were lower than current one, applying the lowest recent recommendation"


def normalize(spec: Spec, memory: Memory, current: int, desired: int, now: float, by: Settings) -> Normal:
    """current: the target's replicas. desired: what the metrics ask for."""
    if spec.up is None or spec.down is None:
        return _without_behavior(spec, memory, current, desired, now, by)
    return _with_behavior(spec, spec.up, spec.down, memory, current, desired, now, by)


def remembered(spec: Spec, memory: Memory, before: int, after: int, now: float) -> Memory:
    """After a scaling. Without spec.behavior nothing is remembered."""
    if spec.up is None or spec.down is None:
        return memory
    if after > before:
        return memory._replace(ups=_stored(memory.ups, spec.up, after - before, now))
    return memory._replace(downs=_stored(memory.downs, spec.down, before - after, now))


def _stored(changes: Sequence[Change], rules: Rules, by: int, now: float) -> Tuple[Change, ...]:
    longest = max((one.period for one in rules.policies), default=0.0)
    marked = [one._replace(outdated=one.outdated or one.at < now - longest) for one in changes]
    return _put(marked, [one.outdated for one in marked], Change(by, now))


def _put(held: Sequence[Any], old: Sequence[bool], new: Any) -> Tuple[Any, ...]:
    """In the place of the last old one, else at the end."""
    found = list(held)
    places = [place for place, is_old in enumerate(old) if is_old]
    if places:
        found[places[-1]] = new
    else:
        found.append(new)
    return tuple(found)


# Without spec.behavior -------------------------------------------------------------------------


def _without_behavior(spec: Spec, memory: Memory, current: int, desired: int, now: float, by: Settings) -> Normal:
    cutoff = now - by.down_window
    old = [one.at < cutoff for one in memory.asked]
    stabilized = max([desired, *(one.replicas for one, is_old in zip(memory.asked, old) if not is_old)])
    memory = memory._replace(asked=_put(memory.asked, old, Asked(desired, now)))
    steps: List[str] = []
    able = _READY
    if stabilized != desired:
        able = ("ScaleDownStabilized", _WAS_HIGHER)
        steps.append(
            f"{stabilized} was asked for within the last {by.down_window:g} s: {stabilized} instead of {desired}"
        )
    fastest = int(max(_FACTOR * current, _MINIMUM))
    most, too_many = (fastest, _UP_LIMIT) if spec.most > fastest else (spec.most, _TOO_MANY)
    if stabilized < spec.least:
        replicas, limited = spec.least, _is(_TOO_FEW)
    elif stabilized > most:
        replicas, limited = most, _is(too_many)
    else:
        replicas, limited = stabilized, _FREE
    if limited[0]:
        steps.append(_limit_told(limited[1], replicas, stabilized, spec, f"at most {fastest} from {current}"))
    return Normal(replicas, stabilized, able, limited, memory, tuple(steps))


def _is(limit: Tuple[str, str]) -> Tuple[bool, str, str]:
    return True, limit[0], limit[1]


def _limit_told(reason: str, replicas: int, wanted: int, spec: Spec, rate: str) -> str:
    why = {
        _TOO_MANY[0]: f"maxReplicas is {spec.most}",
        _TOO_FEW[0]: f"minReplicas is {spec.least}",
    }.get(reason, f"the rate of change allows {rate}")
    return f"{reason}: {why}: {replicas} instead of {wanted}"


# With spec.behavior ----------------------------------------------------------------------------


def _with_behavior(
    spec: Spec, up: Rules, down: Rules, memory: Memory, current: int, desired: int, now: float, by: Settings
) -> Normal:
    up_window, down_window = up.window or 0.0, by.down_window if down.window is None else down.window
    up_cutoff, down_cutoff = now - up_window, now - down_window
    lowest = min([desired, *(one.replicas for one in memory.asked if one.at > up_cutoff)])
    highest = max([desired, *(one.replicas for one in memory.asked if one.at > down_cutoff)])
    stabilized = min(max(current, lowest), highest)
    old = [one.at < up_cutoff and one.at < down_cutoff for one in memory.asked]
    memory = memory._replace(asked=_put(memory.asked, old, Asked(desired, now)))
    steps: List[str] = []
    able = _READY
    if stabilized != desired:
        rises = desired >= current
        able = ("ScaleUpStabilized", _WAS_LOWER) if rises else ("ScaleDownStabilized", _WAS_HIGHER)
        window = up_window if rises else down_window
        steps.append(f"the last {window:g} s ask for {stabilized}: {stabilized} instead of {desired}")
    replicas, limited, rate = _rated(spec, up, down, memory, current, stabilized, now)
    if limited[0]:
        steps.append(_limit_told(limited[1], replicas, stabilized, spec, rate))
    return Normal(replicas, stabilized, able, limited, memory, tuple(steps))


def _rated(
    spec: Spec, up: Rules, down: Rules, memory: Memory, current: int, wanted: int, now: float
) -> Tuple[int, Tuple[bool, str, str], str]:
    """Replicas, the condition ScalingLimited, and what the policies allow in words."""
    if wanted > current:
        limit = max(current, _limit(up, memory, current, now, 1))
        most, told = (limit, _UP_LIMIT) if spec.most > limit else (spec.most, _TOO_MANY)
        if wanted > most:
            return most, _is(told), f"at most {limit}"
    elif wanted < current:
        limit = min(current, _limit(down, memory, current, now, -1))
        least, told = (limit, _DOWN_LIMIT) if spec.least < limit else (spec.least, _TOO_FEW)
        if wanted < least:
            return least, _is(told), f"at least {limit}"
    return wanted, _FREE, ""


def _limit(rules: Rules, memory: Memory, current: int, now: float, sign: int) -> int:
    """The most (sign 1) or the least (-1) replicas that the policies allow."""
    if rules.select == DISABLED:
        return current
    limits = []
    for policy in rules.policies:
        cutoff = now - policy.period
        added = sum(one.by for one in memory.ups if one.at > cutoff)
        removed = sum(one.by for one in memory.downs if one.at > cutoff)
        start = current - added + removed
        if policy.type == "Pods":
            limits.append(start + sign * policy.value)
        elif sign > 0:
            limits.append(ceil(start * (1 + policy.value / 100)))
        else:
            limits.append(int(start * (1 - policy.value / 100)))
    if not limits:
        return current
    widest, narrowest = (max, min) if sign > 0 else (min, max)
    return narrowest(limits) if rules.select == MIN else widest(limits)
