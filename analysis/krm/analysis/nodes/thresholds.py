"""By what a kubelet evicts: its thresholds as it says them itself, else the documented defaults. Pure.

Read as the kubelet reads its KubeletConfiguration (tests/oracles/eviction.json is what it makes of it): setting one
signal of evictionHard leaves no other; `0%` and `100%` switch a signal off; a percentage is of the capacity, and is
held in 32 bits; a soft threshold needs a grace period. Where all pods are limited together (enforceNodeAllocatable)
the hard threshold of memory.available is one of allocatableMemory.available too. containerfs is nodefs or imagefs
once more and is left out.
"""

from __future__ import annotations

import struct
from fractions import Fraction
from math import ceil
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.model.durations import parse_duration
from krm.model.kubelets import KubeletConfig, NodeKubelet
from krm.model.quantities import BadQuantity, parse

MEMORY, ALL_PODS = "memory.available", "allocatableMemory.available"
NODEFS, NODEFS_INODES = "nodefs.available", "nodefs.inodesFree"
IMAGEFS, IMAGEFS_INODES = "imagefs.available", "imagefs.inodesFree"
PIDS = "pid.available"
SIGNALS = (MEMORY, ALL_PODS, NODEFS, NODEFS_INODES, IMAGEFS, IMAGEFS_INODES, PIDS)
_KNOWN = frozenset({*SIGNALS, "containerfs.available", "containerfs.inodesFree"})
# Kubernetes 1.36, DefaultEvictionHard on Linux.
DEFAULT_HARD: Dict[str, str] = {
    MEMORY: "100Mi",
    NODEFS: "10%",
    NODEFS_INODES: "5%",
    IMAGEFS: "15%",
    IMAGEFS_INODES: "5%",
}
TRANSITION = 300.0  # seconds; the default of evictionPressureTransitionPeriod
DEFAULTS = KubeletConfig(DEFAULT_HARD, pressure_transition="5m0s", enforced=("pods",))
# What each signal counts: bytes or a count; and the condition that it sets.
UNITS = {MEMORY: "bytes", ALL_PODS: "bytes", NODEFS: "bytes", IMAGEFS: "bytes"}
CONDITIONS = {MEMORY: "MemoryPressure", ALL_PODS: "MemoryPressure", PIDS: "PIDPressure"}


class BadThreshold(ValueError):
    """A setting with which a kubelet does not start; the text says why."""


class Amount(NamedTuple):
    """So much, or so much of the capacity."""

    quantity: Optional[Fraction]  # bytes or a count
    share: float = 0.0  # 0..1, where there is no quantity

    def of(self, capacity: Optional[float]) -> Optional[int]:
        """Bytes or a count, as the kubelet cuts it; None = a share of what is not known."""
        if self.quantity is not None:
            return ceil(self.quantity)
        return None if capacity is None else int(float(int(capacity)) * self.share)


class Threshold(NamedTuple):
    """The signal must not be below it for `grace` seconds."""

    signal: str
    amount: Amount
    grace: float = 0.0  # 0 = hard: at once
    reclaim: Optional[Amount] = None  # once it evicts, it goes on until so much more is free

    @property
    def hard(self) -> bool:
        return self.grace == 0


class Thresholds(NamedTuple):
    """Of one kubelet."""

    rows: Tuple[Threshold, ...]
    own: bool  # the kubelet's own; False = the documented defaults
    why: str  # a sentence: why not its own, or what of it could not be read; ''
    transition: float = TRANSITION  # seconds that a pressure condition lasts at least
    max_pods: Optional[int] = None  # None = not known


def thresholds_of(kubelet: Optional[NodeKubelet]) -> Thresholds:
    """`kubelet`: None = it was not asked."""
    if kubelet is None or kubelet.config is None:
        why = "its kubelet was not asked" if kubelet is None else kubelet.why or "its kubelet has not answered yet"
        return Thresholds(tuple(rows_of(DEFAULTS)), False, f"the documented defaults are taken: {why}")
    config = kubelet.config
    try:
        transition = parse_duration(config.pressure_transition) if config.pressure_transition else TRANSITION
        rows = tuple(rows_of(config))
    except ValueError as error:  # BadThreshold too
        return Thresholds(
            tuple(rows_of(DEFAULTS)), False, f"the documented defaults are taken: its /configz says {error}"
        )
    return Thresholds(rows, True, "", transition, config.max_pods)


def rows_of(config: KubeletConfig) -> List[Threshold]:
    """All of it, by signal, hard ones first. Raises BadThreshold, as a kubelet would not start."""
    reclaims = {name: _amount(name, text, reclaim=True) for name, text in _valid(config.minimum_reclaim)}
    rows: List[Threshold] = []
    for name, text in _valid(config.hard):
        amount = _amount(name, text)
        if amount is not None:
            rows.append(Threshold(name, amount, 0.0, reclaims.get(name)))
    graces = {name: _grace(name, text) for name, text in _valid(config.soft_grace)}
    for name, text in _valid(config.soft):
        amount = _amount(name, text)
        if amount is None:
            continue
        if name not in graces:
            raise BadThreshold(f"{name}: a soft threshold without a grace period")
        rows.append(Threshold(name, amount, graces[name], reclaims.get(name)))
    if "pods" in config.enforced:
        rows += [one._replace(signal=ALL_PODS) for one in rows if one.signal == MEMORY and one.hard]
    return sorted(
        rows, key=lambda row: (SIGNALS.index(row.signal), row.grace) if row.signal in SIGNALS else (99, 0)
    )


def _valid(told: Mapping[str, str]) -> Sequence[Tuple[str, str]]:
    for name in told:
        if name not in _KNOWN:
            raise BadThreshold(f"{name!r} is no eviction signal")
    return sorted(told.items())


def _amount(name: str, text: str, reclaim: bool = False) -> Optional[Amount]:
    """None: switched off."""
    if text.endswith("%"):
        if text in ("0%", "100%") and not reclaim:
            return None
        try:
            share = _in_32_bits(_in_32_bits(float(text.rstrip("%"))) / 100)
        except (ValueError, OverflowError):
            raise BadThreshold(f"{name}: {text!r} is no percentage") from None
        if not 0 <= share <= 1 or (reclaim and share == 0):
            raise BadThreshold(f"{name}: {text!r} is no share of it")
        return Amount(None, share)
    try:
        quantity = parse(text)
    except BadQuantity as error:
        raise BadThreshold(f"{name}: {error}") from None
    if quantity < 0 or (quantity == 0 and not reclaim):
        raise BadThreshold(f"{name}: {text!r} is not above 0")
    return Amount(quantity)


def _in_32_bits(value: float) -> float:
    single: float = struct.unpack("f", struct.pack("f", value))[0]
    return single


def _grace(name: str, text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise BadThreshold(f"{name}: {error}") from None
