"""Rows of an answer about a namespace: pods and their containers, sums, LimitRanges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, List, Optional, Sequence, Tuple

from krm.analysis.answer import Answer, Column
from krm.analysis.limits.efficiency import Efficiency
from krm.analysis.limits.words import UNKNOWN, amount, share
from krm.analysis.quota.rows import Quotas, ResourceUse
from krm.model.layout import Columns
from krm.model.measures import Covers
from krm.model.safetext import safe

NONE = "-"


@dataclass(frozen=True)
class Amount:
    """One resource of a container, a pod or the namespace. CPU in millicores, memory in bytes, else a count."""

    resource: str  # cpu, memory, ephemeral-storage, an extended one
    request: Optional[float]  # in force; 0 = none; None = it could not be read
    limit: Optional[float]  # in force; None = there is none, or it could not be read
    used: Optional[float]  # now; None = not measured
    share: Optional[float]  # used / request; None where one is not known, or nothing is requested
    covers: Optional[Covers]  # containers whose use is in `used`, of those that run; None = not measured by krm


@dataclass(frozen=True)
class ContainerUse:
    """One container."""

    name: str
    is_init: bool  # sidecars too
    restartable: bool  # a sidecar
    runs: bool
    cpu: Amount
    memory: Amount
    others: Tuple[Amount, ...]  # that it asks for
    at: Optional[float]  # Unix seconds by the source's clock: of what is used
    source: str


@dataclass(frozen=True)
class PodUse:
    """One pod that has not ended. Its requests are what the scheduler reserves."""

    namespace: str
    name: str
    owner: str  # deployment.apps/web; pod/NAME = its own
    node: str  # '' = not bound
    status: str  # as kubectl prints it
    ready: int  # containers
    of: int
    restarts: int
    cpu: Amount
    memory: Amount
    others: Tuple[Amount, ...]  # that it asks for
    containers: Tuple[ContainerUse, ...]


@dataclass(frozen=True)
class Sums:
    """Of the whole namespace."""

    pods: int  # that have not ended
    ended: int
    cpu: Amount  # the limit: of those that have one, together
    memory: Amount
    others: Tuple[Amount, ...]
    unlimited: Tuple[Tuple[str, int], ...]  # (cpu, n): n containers have no limit of it


@dataclass(frozen=True)
class Limits:
    """One resource of one entry of a LimitRange. Texts are quantities as they are written; None = not set."""

    name: str
    of: str  # Container, Pod, PersistentVolumeClaim
    resource: str
    least: Optional[str]
    most: Optional[str]
    default_limit: Optional[str]
    default_request: Optional[str]
    most_ratio: Optional[str]  # limit / request


def _cell(one: Amount) -> str:
    """used/request/limit."""
    limit = NONE if one.limit is None else amount(one.resource, one.limit)
    return f"{_used(one)}/{amount(one.resource, one.request) if one.request != 0 else NONE}/{limit}"


def _used(one: Amount) -> str:
    whole = one.covers is None or one.covers.whole
    return NONE if one.used is None else amount(one.resource, one.used) + ("" if whole else "+")


def _share(one: Amount) -> str:
    return NONE if one.share is None else share(one.share)


@dataclass(frozen=True)
class NamespaceResources(Answer):
    """An answer. Behind what is used a + says that not all containers are measured."""

    NOTHING: ClassVar[str] = "no pods are here that have not ended"
    COLUMNS: ClassVar[Tuple[Column, ...]] = (
        Column("POD", lambda row: row.name),
        Column("READY", lambda row: f"{row.ready}/{row.of}"),
        Column("STATUS", lambda row: row.status),
        Column("CPU USED/REQ/LIM", lambda row: _cell(row.cpu)),
        Column("USED%", lambda row: _share(row.cpu)),
        Column("MEMORY USED/REQ/LIM", lambda row: _cell(row.memory)),
        Column("USED%", lambda row: _share(row.memory)),
        Column("RESTARTS", lambda row: str(row.restarts), True),
        Column("NODE", lambda row: row.node or NONE, True),
        Column("OWNER", lambda row: row.owner, True),
    )

    rows: Tuple[PodUse, ...]  # () too where pods were not asked for
    namespace: str
    exists: Optional[bool]  # None = namespaces are not known
    sums: Sums
    efficiency: Tuple[Efficiency, ...]  # of workloads and of the namespace, each for CPU and memory
    quotas: Optional[Tuple[ResourceUse, ...]]  # None = not asked for, or not known
    limit_ranges: Optional[Tuple[Limits, ...]]  # the same
    troubles: Tuple[str, ...]  # what could not be read of pods, a sentence each

    def __str__(self) -> str:
        """The sums, the pods, the quotas and LimitRanges, then what every answer says at its end."""
        lines = [self._head(), *self._of_sums(), ""]
        lines += [super().__str__()] if self.rows or not self.sums.pods else self.told()
        for title, table in (("Quotas", self._quota_cells()), ("LimitRanges", self._limit_cells())):
            if table:
                lines += ["", f"{title}:", *Columns().lines(table)]
        return "\n".join(lines + [safe(one) for one in self.troubles])

    def _head(self) -> str:
        missing = "" if self.exists is not False else " (there is no such namespace)"
        ended = f", and {self.sums.ended} that ended" if self.sums.ended else ""
        return safe(f"Namespace {self.namespace}{missing}: {self.sums.pods} pods{ended}")

    def _of_sums(self) -> List[str]:
        table = [["", "USED", "REQUESTED", "LIMITS", "USED%", "WITHOUT-LIMIT"]]
        unlimited = dict(self.sums.unlimited)
        for one in (self.sums.cpu, self.sums.memory, *self.sums.others) if self.sums.pods else ():
            limit = NONE if one.limit is None else amount(one.resource, one.limit)
            requested = amount(one.resource, one.request)
            without = f"{unlimited[one.resource]} containers" if one.resource in unlimited else NONE
            table.append([one.resource, _used(one), requested, limit, share(one.share), without])
        return [line.replace(UNKNOWN, NONE) for line in Columns().lines(table)] if len(table) > 1 else []

    def _quota_cells(self) -> Sequence[Sequence[str]]:
        shown = [
            column for column in Quotas.COLUMNS if column.heading in ("QUOTA", "RESOURCE", "USED", "HARD", "USED%")
        ]
        rows = [[column.cell(row) for column in shown] for row in self.quotas or ()]
        return [[column.heading for column in shown], *rows] if rows else []

    def _limit_cells(self) -> Sequence[Sequence[str]]:
        names = ("least", "most", "default_request", "default_limit", "most_ratio")
        rows = [
            [one.name, one.of, one.resource, *(getattr(one, name) or NONE for name in names)]
            for one in self.limit_ranges or ()
        ]
        heads = ["NAME", "OF", "RESOURCE", "MIN", "MAX", "DEFAULT-REQUEST", "DEFAULT-LIMIT", "RATIO"]
        return [heads, *rows] if rows else []
