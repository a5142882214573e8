"""What a report is made of. CPU in millicores, memory in bytes, times in Unix seconds; None = not known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from krm.analysis.answer import Answer, Column
from krm.analysis.limits import words
from krm.analysis.limits.breach import Breach
from krm.analysis.oom.case import Case
from krm.analysis.quota.rows import ResourceUse
from krm.model.amounts import CPU, MEMORY
from krm.model.measures import Covers

Points = Tuple[Tuple[float, Optional[float]], ...]


@dataclass(frozen=True)
class Together:
    """One resource of the whole namespace, or of a workload."""

    resource: str  # cpu, memory
    requested: Optional[float]
    limit: Optional[float]  # of those that have one; None too where none has
    unlimited: int  # containers without one
    now: Optional[float]  # used by those that are measured
    mean: Optional[float]  # over the window; of a workload that of the containers that there are now
    peak: Optional[float]  # of the window; of a workload that of its largest container
    share: Optional[float]  # mean / requested, of those that request and are measured
    wasted: Optional[float]  # requested and not used, container by container
    nearest: Optional[float]  # largest peak / limit of one container
    covers: Covers  # those that request and are measured, of how many


@dataclass(frozen=True)
class Workload:
    """All pods of one owner."""

    name: str  # deployment.apps/web, pod/alone
    pods: int  # that have not ended
    ready: int
    restarts: int
    kills: Optional[int]  # OOM kills in the window
    cpu: Together
    memory: Together


@dataclass(frozen=True)
class Waiting:
    """A pod that has no node yet."""

    pod: str
    waits: Optional[float]  # seconds
    said: str  # the scheduler's own words; '' = it said nothing yet


@dataclass(frozen=True)
class Line:
    """One line of a chart."""

    name: str
    points: Points  # oldest first; None = a gap


@dataclass(frozen=True)
class Chart:
    """Over the window."""

    title: str
    resource: str  # cpu, memory, pods: how its values are written
    lines: Tuple[Line, ...]


def _share(row: Together) -> str:
    return words.share(row.share)


@dataclass(frozen=True)
class NamespaceReport(Answer):
    """A namespace on one page."""

    NOTHING: ClassVar[str] = "no pod is in this namespace"
    COLUMNS: ClassVar[Tuple[Column, ...]] = (
        Column("WORKLOAD", lambda row: row.name),
        Column("PODS", lambda row: f"{row.ready}/{row.pods}"),
        Column("RESTARTS", lambda row: str(row.restarts)),
        Column("OOM", lambda row: "-" if row.kills is None else str(row.kills)),
        Column("CPU", lambda row: words.amount(CPU, row.cpu.mean)),
        Column("CPU-REQ", lambda row: words.amount(CPU, row.cpu.requested)),
        Column("CPU/REQ", lambda row: _share(row.cpu)),
        Column("CPU/LIM", lambda row: words.share(row.cpu.nearest)),
        Column("MEMORY", lambda row: words.amount(MEMORY, row.memory.mean)),
        Column("MEM-REQ", lambda row: words.amount(MEMORY, row.memory.requested)),
        Column("MEM/REQ", lambda row: _share(row.memory)),
        Column("MEM/LIM", lambda row: words.share(row.memory.nearest)),
    )

    namespace: str
    window: float  # seconds
    rows: Tuple[Workload, ...]
    totals: Tuple[Together, ...]
    statuses: Tuple[Tuple[str, int], ...]  # status as kubectl names it, how many pods; ended ones too
    breaches: Tuple[Breach, ...]  # as of now
    quotas: Optional[Tuple[ResourceUse, ...]]
    kills: Optional[Tuple[Case, ...]]  # of the window, newest first; what grew before stands in `krm oom`
    waiting: Tuple[Waiting, ...]  # longest first
    charts: Tuple[Chart, ...]
    cost: Optional[float]  # never known here: prices are not in the cluster
    lacks: Tuple[str, ...]  # what is not in it, a sentence each

    def __str__(self) -> str:
        from krm.analysis.report.text import as_text

        return as_text(self)
