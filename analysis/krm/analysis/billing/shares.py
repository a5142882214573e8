"""Whole numbers shared out so that the parts are exactly the whole. Pure."""

from __future__ import annotations

from typing import Dict, Hashable, List, Mapping, Tuple, TypeVar

T = TypeVar("T", bound=Hashable)


def share_out(whole: int, weights: Mapping[T, int]) -> Dict[T, int]:
    """`whole` in proportion to the weights, all from 0 on and one of them above it, by largest remainder.

    Of equal remainders the smaller key comes first, so that the order of the weights does not matter.
    """
    total = sum(weights.values())
    parts = {key: whole * weight // total for key, weight in weights.items()}
    left = whole - sum(parts.values())
    remainders: List[Tuple[int, T]] = [(-(whole * weight % total), key) for key, weight in weights.items()]
    for _, key in sorted(remainders, key=lambda one: (one[0], str(one[1])))[:left]:
        parts[key] += 1
    return parts


def rounded(whole: int, unit: int) -> int:
    """`whole` in units, half to even."""
    count, rest = divmod(whole, unit)
    twice = 2 * rest
    return count + (1 if twice > unit or (twice == unit and count % 2) else 0)
