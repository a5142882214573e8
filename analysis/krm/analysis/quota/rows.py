"""Rows of an answer about quotas: a resource of a quota, a quota and whom it selects, a resource of the cluster."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, List, Optional, Sequence, Tuple

from krm.analysis.answer import Answer, Column
from krm.model.measures import Covers
from krm.model.quantities import BINARY, DECIMAL, Quantity, write
from krm.model.times import write as write_time

_CORES = frozenset({"cpu", "requests.cpu", "limits.cpu"})
_BYTES = ("memory", "storage")
UNKNOWN = "-"


def unit_of(resource: str) -> str:
    """Of krm.model.metrics, in which quota/used tells of it: millicores, bytes or count."""
    if resource in _CORES:
        return "millicores"
    return "bytes" if resource.endswith(_BYTES) or "hugepages-" in resource else "count"


def measured(value: float, resource: str, form: str) -> Quantity:
    """A point of quota/used, as a quantity in the form of the quota's own. History keeps it to .001 of its unit."""
    scale = 1000 if resource in _CORES else 1
    exact = Fraction(round(value * 1000), 1000 * scale)
    return Quantity(exact, DECIMAL if exact.denominator != 1 and form == BINARY else form)


def number(quantity: Quantity, resource: str) -> float:
    """The other way round: in the unit of `unit_of`."""
    return float(quantity.value * (1000 if resource in _CORES else 1))


def moment(at: Optional[float]) -> str:
    """`2026-12-01T10:00Z`, to the minute; `-` without a basis."""
    return "-" if at is None else write_time(at // 60 * 60)[:16] + "Z"


def percent(share: Optional[float]) -> str:
    """`83%`, rounded down: 99.9 % is not all of it."""
    return UNKNOWN if share is None else f"{int(share * 100 + 1e-9)}%"


@dataclass(frozen=True)
class ResourceUse:
    """One resource of one ResourceQuota. Texts are quantities in the quota's own form; None = not known."""

    namespace: str
    quota: str
    resource: str
    hard: Optional[str]
    used: Optional[str]  # as the quota controller has counted it
    free: Optional[str]  # below 0 where more is used than is allowed
    share: Optional[float]  # used / hard; None too where hard is 0
    above: Optional[float]  # the highest threshold that is passed, with hysteresis, as a share
    above_since: Optional[float]  # Unix seconds; the begin of the window, where it was passed before
    p99: Optional[str]  # of used, over the points of the window
    unused: Optional[str]  # hard less p99
    per_day: Optional[float]  # trend of used, in the unit of krm.model.metrics a day
    full_at: Optional[float]  # Unix seconds; None = no basis for a date
    full_earliest: Optional[float]  # its 90 % interval
    full_latest: Optional[float]
    covers: Optional[Covers]  # points of the window that are there
    scopes: Tuple[str, ...]  # of its quota, a sentence each; () = everything of the namespace
    pods: Optional[int]  # that its quota counts now; None = not known, or it is not about pods
    pods_of: Optional[int]  # pods of the namespace that quotas count at all


@dataclass(frozen=True)
class QuotaScope:
    """What one ResourceQuota selects."""

    namespace: str
    quota: str
    scopes: Tuple[str, ...]  # a sentence each; () = everything of the namespace
    pods: Optional[Tuple[str, ...]]  # names of the pods that count now; None = not known, or it is not about pods
    of: Optional[int]  # pods of the namespace that quotas count at all


@dataclass(frozen=True)
class ClusterSum:
    """What all quotas allow of one resource, beside what the nodes have."""

    resource: str  # requests.cpu, limits.memory, pods
    hard: str
    allocatable: str
    share: Optional[float]  # hard / allocatable; None = nothing is allocatable
    namespaces: Covers  # namespaces that a quota bounds in it, of all; the others are not in the sum


def _pods(row: ResourceUse) -> str:
    return UNKNOWN if row.pods is None else f"{row.pods} of {row.pods_of}"


@dataclass(frozen=True)
class Quotas(Answer):
    """An answer."""

    NOTHING: ClassVar[str] = "there is no ResourceQuota here"
    COLUMNS: ClassVar[Tuple[Column, ...]] = (
        Column("NAMESPACE", lambda row: row.namespace),
        Column("QUOTA", lambda row: row.quota),
        Column("RESOURCE", lambda row: row.resource),
        Column("USED", lambda row: row.used or UNKNOWN),
        Column("HARD", lambda row: row.hard or UNKNOWN),
        Column("USED%", lambda row: percent(row.share)),
        Column("UNUSED", lambda row: row.unused or UNKNOWN),
        Column("FULL-AT", lambda row: moment(row.full_at)),
        Column("90%-FROM", lambda row: moment(row.full_earliest), True),
        Column("90%-TO", lambda row: moment(row.full_latest), True),
        Column("P99", lambda row: row.p99 or UNKNOWN, True),
        Column("POINTS", lambda row: UNKNOWN if row.covers is None else str(row.covers), True),
        Column("PODS", _pods, True),
        Column("SCOPES", lambda row: "; ".join(row.scopes) or "-", True),
    )

    rows: Tuple[ResourceUse, ...]
    quotas: Tuple[QuotaScope, ...]
    without: Optional[Tuple[str, ...]]  # namespaces that no ResourceQuota bounds; None = not known
    cluster: Optional[Tuple[ClusterSum, ...]]  # of all namespaces; None = not known, or one namespace was asked for


def text_of(quantity: Optional[Quantity]) -> Optional[str]:
    """Canonical; None where it is not known."""
    return None if quantity is None else write(quantity)


def joined(names: Sequence[str], most: int = 8) -> str:
    """`a, b, c and 4 more`."""
    shown: List[str] = list(names[:most])
    return ", ".join(shown) + (f" and {len(names) - most} more" if len(names) > most else "")
