"""Charges the hours of a month, node by node, so that the parts are exactly what the node costs. Pure.

Each node's hour costs its capacity at its price. That cost is shared out to the pods that were on it by what they
are charged for, the larger of request and usage or either, and what nobody is charged for is idle: shown apart, or
shared by those who were there. Where pods are charged for more than the node has, they share its cost by what they
took.
"""

from __future__ import annotations

from collections import Counter
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

from krm.analysis.billing.hours import CORE_HOUR, GIB_HOUR, GPU_MB_HOUR, WHOSE, Amounts, Hour, PodHour
from krm.analysis.billing.prices import CPU, GPU, MEMORY, STORAGE, Prices
from krm.analysis.billing.shares import rounded, share_out

MAX, REQUEST, USAGE = CHARGES = ("max", "request", "usage")
APART, SHARED = IDLES = ("apart", "shared")
DIGITS = 12  # money is counted in 1e-12 of the currency until it is rounded once, at the end
_PRICED = ((CPU, "cpu", CORE_HOUR), (MEMORY, "memory", GIB_HOUR), (GPU, "gpu", GPU_MB_HOUR))
_NOBODY = ("", "")


class Group(NamedTuple):
    """Whom a line is for."""

    namespace: str  # '' = of several, or of none
    name: str


class Sums(NamedTuple):
    """Of one group."""

    cpu: int = 0  # micro-core-seconds
    memory: int = 0  # byte-seconds
    gpu: int = 0  # milli-MB-seconds
    cost: int = 0  # 1e-12 of the currency


class Ledger:
    """Takes one hour after another."""

    def __init__(
        self,
        prices: Prices,
        node_labels: Mapping[str, Mapping[str, str]],
        group_of: Callable[[PodHour], Group],
        charge: str = MAX,
        idle: str = APART,
    ) -> None:
        self._prices, self._labels, self._group_of = prices, node_labels, group_of
        self._charge, self._shares_idle = charge, idle == SHARED
        self.groups: Dict[Group, List[int]] = {}  # in the order of Sums
        self.storage: Dict[str, List[int]] = {}  # namespace -> [byte-seconds, cost]
        self.idle = [0, 0, 0, 0]
        self.assets = 0  # what all nodes and all storage cost, 1e-12 of the currency
        self.unpriced: Counter[Tuple[str, str]] = Counter()  # (price, node or storage class) -> hours
        self.unplaced: Counter[Group] = Counter()  # group -> hours of pods whose node's capacity is not known
        self.lost: Dict[str, None] = {}  # sentences of the history, each once
        self.guessed = 0  # hours of pods of which one of request and usage was not known
        self.unknown = 0  # hours of pods of which neither was
        self.short = 0  # hours of nodes of which pods are charged for more than there is

    def add(self, hour: Hour) -> None:
        """One hour; each once."""
        self.lost.update(dict.fromkeys(hour.notes))
        pods: Dict[str, List[Tuple[PodHour, Amounts]]] = {node.node: [] for node in hour.nodes}
        for pod in sorted(hour.pods, key=WHOSE):
            placed = pods.get(pod.node)
            if placed is None:
                self.unplaced[self._group_of(pod)] += 1
            else:
                placed.append((pod, self._charged(pod)))
        for node in hour.nodes:
            for place, (price, field, per) in enumerate(_PRICED):
                capacity = getattr(node.capacity, field)
                if capacity:
                    cost = self._cost(price, hour.begin, node.node, capacity, per)
                    self._share(pods[node.node], place, capacity, cost)
        for claim in hour.claims:
            self._store(hour.begin, claim.namespace, claim.storage_class, claim.held)

    def _charged(self, pod: PodHour) -> Amounts:
        found = []
        for requested, used in zip(pod.requested, pod.used):
            known = [amount for amount in (requested, used) if amount is not None]
            if self._charge == MAX:
                found.append(max(known) if known else None)
            else:
                found.append(requested if self._charge == REQUEST else used)
        cpu_known = sum(amounts.cpu is not None for amounts in (pod.requested, pod.used))
        self.unknown += found[0] is None
        self.guessed += self._charge == MAX and cpu_known == 1
        return Amounts(*found)

    def _cost(self, price: str, at: float, node: str, amount: int, per: int) -> Optional[int]:
        told = self._prices.of(price, at, self._labels.get(node, {}))
        if told is None:
            self.unpriced[price, node] += 1
            return None
        return rounded(amount * int(told.scaleb(DIGITS)), per)

    def _share(self, pods: List[Tuple[PodHour, Amounts]], place: int, capacity: int, cost: Optional[int]) -> None:
        weights: Dict[Tuple[str, str], int] = {}
        groups: Dict[Tuple[str, str], Group] = {}
        for pod, charged in pods:
            amount = charged[place]
            if amount:
                key = (f"{pod.namespace}/{pod.pod}", pod.uid)
                weights[key] = weights.get(key, 0) + amount
                groups[key] = self._group_of(pod)
        for key, amount in weights.items():
            self.groups.setdefault(groups[key], [0, 0, 0, 0])[place] += amount
        taken = sum(weights.values())
        idle = 0 if self._shares_idle and weights else max(0, capacity - taken)
        self.idle[place] += idle
        if cost is None:
            return
        self.assets += cost
        self.short += taken > capacity
        if idle:
            weights[_NOBODY] = idle
        for key, part in share_out(cost, weights).items():
            if key == _NOBODY:
                self.idle[3] += part
            else:
                self.groups[groups[key]][3] += part

    def _store(self, at: float, namespace: str, storage_class: str, held: int) -> None:
        row = self.storage.setdefault(namespace, [0, 0])
        row[0] += held
        told = self._prices.of(STORAGE, at, {}, storage_class)
        if told is None:
            self.unpriced[STORAGE, storage_class or "default"] += 1
            return
        cost = rounded(held * int(told.scaleb(DIGITS)), GIB_HOUR)
        row[1] += cost
        self.assets += cost
