"""Amounts of resources as people write them in manifests. Pure."""

from __future__ import annotations

from typing import Optional

from krm.model.amounts import CPU

_BYTES = ("memory", "ephemeral-storage", "hugepages-")
_MI = 1 << 20
_STEPS = (("Gi", 1 << 30), ("Mi", _MI), ("Ki", 1 << 10))


def amount_text(resource: str, amount: Optional[int]) -> str:
    """1500 of cpu -> `1500m`; bytes exactly where they are whole Ki, Mi or Gi, else in bytes."""
    if amount is None:
        return "unknown"
    if resource == CPU:
        return f"{amount // 1000}" if amount % 1000 == 0 else f"{amount}m"
    if resource.startswith(_BYTES):
        for unit, size in _STEPS:
            if amount and amount % size == 0:
                return f"{amount // size}{unit}"
    return str(amount)


def written_down(resource: str, amount: int) -> int:
    """Memory and storage down to whole MiB, as people write them; less than one, and all else, as it is."""
    if resource not in ("memory", "ephemeral-storage") or amount < _MI:
        return amount
    return amount // _MI * _MI
