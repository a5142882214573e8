"""What krr's strategies `simple` and `simple_limit` advise, reproduced with their default settings. Pure.

simple: CPU request = the largest of the pods' 95th percentiles, no CPU limit. simple_limit: CPU request = the
66th, limit = the 96th of all pods' points together. Memory request = limit = the largest value with a buffer of
15 %. At least 100 points over all pods, or no advice; none of a resource that an HPA scales on. Rounded up to 1m
and 1 MiB, not below 10m and 100 MiB. Source: robusta-dev/krr at d6baa743; tests/oracles/krr.json holds what it
answers itself.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Optional, Sequence

from krm.analysis.stats import linear

LEAST_POINTS = 100
_BUFFER = 1.15  # of memory
_CPU_STEP, _MEMORY_STEP = 1, 1024 * 1024  # millicores, bytes
_MIN_CPU, _MIN_MEMORY = 10, 100 * 1024 * 1024
NOT_ENOUGH, HPA = "Not enough data", "HPA detected"  # its words


class Part(NamedTuple):
    """Of one resource, in millicores or bytes. None = no advice, or no limit."""

    request: Optional[int]
    limit: Optional[int]
    info: Optional[str] = None  # why there is none


def cpu(pods: Sequence[Sequence[float]], limited: bool, scaled: bool) -> Part:
    """pods: each pod's values in millicores, smallest first. limited: as simple_limit. scaled: an HPA holds it."""
    refused = _refused(pods, scaled)
    if refused:
        return refused
    if not limited:
        return Part(_up(max(linear(one, 0.95) for one in pods if one), _CPU_STEP, _MIN_CPU), None)
    pooled = sorted(value for one in pods for value in one)
    request, limit = (linear(pooled, share) for share in (0.66, 0.96))
    return Part(_up(request, _CPU_STEP, _MIN_CPU), _up(limit, _CPU_STEP, _MIN_CPU))


def memory(pods: Sequence[Sequence[float]], scaled: bool) -> Part:
    """The same of bytes."""
    refused = _refused(pods, scaled)
    if refused:
        return refused
    found = _up(max(one[-1] for one in pods if one) * _BUFFER, _MEMORY_STEP, _MIN_MEMORY)
    return Part(found, found)


def _refused(pods: Sequence[Sequence[float]], scaled: bool) -> Optional[Part]:
    if sum(map(len, pods)) < LEAST_POINTS:
        return Part(None, None, NOT_ENOUGH)
    return Part(None, None, HPA) if scaled else None


def _up(value: float, step: int, least: int) -> int:
    return max(math.ceil(value / step) * step, least)
