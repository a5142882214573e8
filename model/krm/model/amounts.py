"""Resource lists (`{"cpu": "500m", "memory": "1Gi"}`) to exact amounts, sums and maxima. Pure.

An amount is an integer of a thousand-millionth of the resource's own unit (cores, bytes, a count): Kubernetes
rounds up to that too, so sums are exact and as its own. None is one that could not be read, and a sum that it
is part of is not known either.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil
from typing import Any, Dict, List, Mapping, Optional

from krm.model import quantities

CPU, MEMORY, STORAGE = "cpu", "memory", "ephemeral-storage"
# What a kubelet can change while a container runs, and what a pod as a whole can ask for.
RESIZABLE = frozenset({CPU, MEMORY})
_PLAIN = frozenset({CPU, MEMORY, STORAGE})
_NATIVE = "kubernetes.io/"  # a domain that Kubernetes keeps for itself
_BY_CLASS = "deviceclass.resource.kubernetes.io/"  # ... but for this: devices that are asked for by their class
MAX_TROUBLES = 8  # sentences an object: one that is spoilt all over is told of once

NANO = 10**9  # amounts in one unit: dividing by it is the one rounding
MILLI = 10**6  # amounts in a thousandth of one: millicores

Amounts = Dict[str, Optional[int]]


class Troubles:
    """What could not be read of one object, as sentences."""

    def __init__(self, what: str) -> None:
        self._what = what  # as people name it: pod shop/web-0
        self.told: List[str] = []

    def add(self, where: str, error: ValueError) -> None:
        """`where`: the part and the field."""
        sentence = f"{self._what}: {where}: {error}"
        if len(self.told) < MAX_TROUBLES and sentence not in self.told:
            self.told.append(sentence)


def read(resources: Any, troubles: Troubles, *where: str) -> Amounts:
    """A resource list; what is malformed or below zero is told, as `where: name`, and None."""
    if not isinstance(resources, dict):
        return {}
    amounts: Amounts = {}
    for name, value in resources.items():
        if name in _PLAIN or is_extended(name):
            try:
                amounts[name] = _amount(value)
            except (ValueError, TypeError):
                amounts[name] = read_one(value, troubles, *where, name)
    return amounts


def read_one(value: Any, troubles: Troubles, *where: str) -> Optional[int]:
    """One quantity of a list."""
    try:
        return _amount(value)
    except ValueError as error:
        troubles.add(": ".join(where), error)
    except TypeError:  # the cache's: an array or an object cannot be looked up
        troubles.add(": ".join(where), quantities.BadQuantity("an array or an object is no quantity"))
    return None


@lru_cache(maxsize=4096)  # a cluster writes few different ones
def _amount(text: str) -> int:
    amount = quantities.parse(text)
    if amount < 0:
        raise quantities.BadQuantity("%.40r is below zero" % text)
    return ceil(amount * NANO)


@lru_cache(maxsize=4096)
def is_extended(name: str) -> bool:
    """nvidia.com/gpu is; cpu, hugepages-2Mi and what Kubernetes names itself are not."""
    if name.startswith(_BY_CLASS):
        return True
    return "/" in name and _NATIVE not in name and not name.startswith("requests.")


def add(total: Amounts, more: Mapping[str, Optional[int]]) -> None:
    """`total` += `more`."""
    for name, amount in more.items():
        if name in total:
            held = total[name]
            total[name] = None if held is None or amount is None else held + amount
        else:
            total[name] = amount


def largest(*lists: Mapping[str, Optional[int]]) -> Amounts:
    """The larger of each."""
    most: Amounts = {}
    for one in lists:
        for name, amount in one.items():
            held = most.get(name, amount)
            if held is None or amount is None:
                most[name] = None
            else:
                most[name] = held if held >= amount else amount
    return most
