"""What is told of one container of a workload, and how it is written. Values alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

from krm.analysis.finding import Evidence
from krm.analysis.sizing.backtest import Backtest, Setting
from krm.model.quantities import written_bytes, written_nanos

MIB = 1024 * 1024


@dataclass(frozen=True)
class Recommendation:
    """CPU in millicores, memory in bytes."""

    namespace: str
    kind: str  # of the workload: deployment.apps, cronjob.batch, pod
    name: str
    container: str
    is_init: bool  # a sidecar that stands among the init containers
    pods: int  # that run
    now: Setting  # None = nothing is asked for, or there is no limit
    advised: Setting  # where there is no advice it stays as it is
    cpu_advised: bool
    memory_advised: bool
    cpu_why: str  # what the number is made of, or why there is none
    memory_why: str
    waits_for: str  # '' where there is advice on anything; else what is missing until there is
    backtest: Optional[Backtest]  # None without advice
    feasible: Optional[bool]  # None = not all could be checked, or there is nothing to check
    obstacles: Tuple[str, ...]  # why it cannot be taken over
    proven: Tuple[str, ...]
    evidence: Tuple[Evidence, ...]
    sureness: str  # of finding.SURENESS
    doubts: Tuple[str, ...]

    @property
    def place(self) -> Tuple[str, str, str, str]:
        """Rows stand in this order."""
        return (self.namespace, self.kind, self.name, self.container)


def written(field: str, value: Optional[float]) -> str:
    """250m, 64Mi; of memory MiB rounded up; '-' = none."""
    if value is None:
        return "-"
    if field.startswith("cpu"):
        return written_nanos(round(value * 10**6))
    return written_bytes(-(-int(value) // MIB) * MIB)


def amount(row: Recommendation, field: str) -> str:
    """`500m -> 120m`, `500m` where it stays."""
    now, then = (written(field, getattr(one, field)) for one in (row.now, row.advised))
    return now if now == then else f"{now} -> {then}"


def saved(row: Recommendation) -> str:
    """Core-hours and GiB-hours of the past day; below 0 = more is set aside."""
    if row.backtest is None:
        return "-"
    return f"{row.backtest.cpu_saved:+.1f}c {row.backtest.memory_saved:+.1f}Gi h"


def feasible_word(row: Recommendation) -> str:
    """yes, no, ?; - without advice."""
    if row.backtest is None:
        return "-"
    return {True: "yes", False: "no", None: "?"}[row.feasible]


def advice_word(row: Recommendation) -> str:
    """Of what there is advice; `none: 3.0 h more of history ...` says what is missing until there is."""
    if row.waits_for:
        return f"none: {row.waits_for}"
    found = (name for name, told in (("cpu", row.cpu_advised), ("memory", row.memory_advised)) if told)
    return ", ".join(found)
