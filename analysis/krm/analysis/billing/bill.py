"""A month's bill: lines that add up to what the cluster cost, to the smallest unit of the currency. Pure."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, Callable, ClassVar, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from krm.analysis.answer import Answer, Column
from krm.analysis.billing.hours import CORE_HOUR, GIB_HOUR, GPU_MB_HOUR, Digest, Hour, PodHour
from krm.analysis.billing.ledger import APART, DIGITS, MAX, Group, Ledger
from krm.analysis.billing.months import HOUR, Month
from krm.analysis.billing.prices import Prices
from krm.analysis.billing.shares import rounded, share_out
from krm.analysis.worth import Worth
from krm.model import times
from krm.model.trust import LIVE

FORMAT = 1
USE, IDLE, STORAGE, GAP = "use", "idle", "storage", "gap"
NAMESPACE, POD, LABEL = "namespace", "pod", "label:"
NO_LABEL = "(none)"
_SHOWN = 20  # names that one line of a gap lists


class Options(NamedTuple):
    """How it is made. All of it is part of the bill."""

    by: str = NAMESPACE  # namespace, pod, or label:KEY
    charge: str = MAX  # of ledger.CHARGES
    idle: str = APART  # of ledger.IDLES
    cost_centre: str = ""  # key of the namespaces' label that names it; '' = none


class Labels(NamedTuple):
    """As they were when the bill was made: the past of labels is not kept."""

    nodes: Mapping[str, Mapping[str, str]]
    namespaces: Mapping[str, Mapping[str, str]]
    pods: Mapping[str, str]  # NAMESPACE/NAME/UID -> the value of label:KEY, of those that have it


@dataclass(frozen=True)
class Line:
    """One line. Amounts are what is charged for; None = not known."""

    kind: str  # use, idle, storage, gap
    namespace: str  # '' = of several, or of none
    name: str  # of the group: a namespace, NAMESPACE/POD, a label's value; of a gap what is missing
    cost_centre: str
    core_seconds: Optional[Decimal]
    gib_seconds: Optional[Decimal]
    gpu_mb_hours: Optional[Decimal]
    storage_gib_hours: Optional[Decimal]
    cost: Optional[Decimal]  # in the bill's currency; None = a gap
    note: str = ""


def _amount(value: Optional[Decimal]) -> str:
    return "-" if value is None else str(value)


@dataclass(frozen=True)
class Bill(Answer):
    """A month. Its costs add up to `total`."""

    COLUMNS: ClassVar[Tuple[Column, ...]] = (
        Column("LINE", lambda row: row.kind),
        Column("FOR", lambda row: row.name or "-"),
        Column("COST-CENTRE", lambda row: row.cost_centre or "-", wide=True),
        Column("CORE-SECONDS", lambda row: _amount(row.core_seconds)),
        Column("GIB-SECONDS", lambda row: _amount(row.gib_seconds)),
        Column("GPU-MB-HOURS", lambda row: _amount(row.gpu_mb_hours), wide=True),
        Column("STORAGE-GIB-HOURS", lambda row: _amount(row.storage_gib_hours), wide=True),
        Column("COST", lambda row: _amount(row.cost)),
        Column("NOTE", lambda row: row.note or "-"),
    )

    rows: Tuple[Line, ...]
    cluster: str
    month: Month
    currency: str
    total: Decimal  # what all nodes and all storage cost
    hours: int  # that are known in whole or in part, of month.hours
    options: Options
    notes: Tuple[str, ...]  # sentences
    history_digest: str  # SHA-256 of the hours that it is made of
    prices_digest: str  # SHA-256 of the file of prices


def derive(
    cluster: str,
    month: Month,
    hours: Iterable[Hour],
    prices: Prices,
    labels: Labels,
    options: Options,
    worth: Worth,
    until: Optional[int] = None,
) -> Bill:
    """The same bytes (`document`) of the same hours, prices, labels and options, whenever and in whatever order.

    until: Unix seconds up to which the month has come; None = it has ended.
    """
    ledger = Ledger(prices, labels.nodes, grouping(options.by, labels), options.charge, options.idle)
    end = month.end if until is None else max(month.begin, min(month.end, until))
    digest, known, measured = Digest(), 0, 0
    for hour in hours:  # one after another: a month of 5,000 pods would not fit
        if month.begin <= hour.begin < month.end:
            ledger.add(hour)
            digest.add(hour)
            known += hour.covered > 0
            measured += min(hour.covered, HOUR)
    unit = 10 ** (DIGITS - prices.decimals)
    total = rounded(ledger.assets, unit)
    lines = _lines(ledger, labels, options)
    costs = {place: cost for place, (_, cost) in enumerate(lines)}
    cents = share_out(total, costs) if ledger.assets else dict.fromkeys(costs, 0)
    money = [Decimal(cents[place]).scaleb(-prices.decimals) for place in range(len(lines))]
    rows = [_priced(line, cost) for (line, _), cost in zip(lines, money)]
    rows += _gaps(ledger, end - month.begin - measured)
    return Bill(
        worth=worth,
        findings=(),
        rows=tuple(rows),
        cluster=cluster,
        month=month,
        currency=prices.currency,
        total=Decimal(total).scaleb(-prices.decimals),
        hours=known,
        options=options,
        notes=_notes(ledger, month, end),
        history_digest=digest.hex(),
        prices_digest=prices.digest,
    )


def grouping(by: str, labels: Labels) -> Callable[[PodHour], Group]:
    """Which line a pod belongs to. Raises ValueError."""
    if by == NAMESPACE:
        return lambda pod: Group(pod.namespace, pod.namespace)
    if by == POD:
        return lambda pod: Group(pod.namespace, f"{pod.namespace}/{pod.pod}")
    key = by[len(LABEL) :]
    if not by.startswith(LABEL) or not key:
        raise ValueError(f"by={by!r}: one of {NAMESPACE}, {POD}, {LABEL}KEY is meant")

    def of_label(pod: PodHour) -> Group:
        own = labels.pods.get(f"{pod.namespace}/{pod.pod}/{pod.uid}")
        return Group("", own or labels.namespaces.get(pod.namespace, {}).get(key) or NO_LABEL)

    return of_label


def document(bill: Bill) -> bytes:
    """The canonical bytes of a bill: JSON, keys sorted, money as texts. Neither its age nor when it was made."""
    plain = {
        "format": FORMAT,
        "cluster": bill.cluster,
        "month": bill.month._asdict(),
        "currency": bill.currency,
        "total": str(bill.total),
        "hours": bill.hours,
        "options": bill.options._asdict(),
        "notes": list(bill.notes),
        "inputs": {"history": bill.history_digest, "prices": bill.prices_digest},
        "lines": [_texts(asdict(row)) for row in bill.rows],
    }
    return json.dumps(plain, sort_keys=True, indent=1, ensure_ascii=False).encode() + b"\n"


def opened(text: str) -> Bill:
    """A canonical text as a bill again. What it was worth when it was made is not in it. Raises ValueError."""
    told = json.loads(text)
    worth = Worth(LIVE, (), None, None, None, None, 0.0)
    rows = tuple(_line(row) for row in told["lines"])
    inputs = told["inputs"]
    return Bill(
        worth, (), rows, told["cluster"], Month(**told["month"]), told["currency"], Decimal(told["total"]),
        told["hours"], Options(**told["options"]), tuple(told["notes"]), inputs["history"], inputs["prices"],
    )  # fmt: skip


def _line(row: Dict[str, Any]) -> Line:
    money = ("core_seconds", "gib_seconds", "gpu_mb_hours", "storage_gib_hours", "cost")
    known = {name: Decimal(row[name]) for name in money if row[name] is not None}
    return Line(**{**row, **known})


def _texts(row: Dict[str, Any]) -> Dict[str, Any]:
    return {name: str(value) if isinstance(value, Decimal) else value for name, value in row.items()}


def _lines(ledger: Ledger, labels: Labels, options: Options) -> List[Tuple[Line, int]]:
    """Each with its cost in 1e-12 of the currency, in order of kind and name."""

    def centre(namespace: str) -> str:
        return labels.namespaces.get(namespace, {}).get(options.cost_centre, "") if options.cost_centre else ""

    found = [
        (_used(USE, group.namespace, group.name, centre(group.namespace), sums), sums[3])
        for group, sums in sorted(ledger.groups.items())
    ]
    if any(ledger.idle):
        found.append((_used(IDLE, "", "", "", ledger.idle), ledger.idle[3]))
    for namespace, (held, cost) in sorted(ledger.storage.items()):
        gib = _decimal(held, GIB_HOUR)
        line = Line(STORAGE, namespace, namespace, centre(namespace), None, None, None, gib, None)
        found.append((line, cost))
    return found


def _used(kind: str, namespace: str, name: str, centre: str, sums: List[int]) -> Line:
    cores, gib, gpu, _ = sums
    amounts = (_decimal(cores, CORE_HOUR // HOUR), _decimal(gib, GIB_HOUR // HOUR), _decimal(gpu, GPU_MB_HOUR))
    return Line(kind, namespace, name, centre, *amounts, None, None)


def _decimal(amount: int, unit: int) -> Decimal:
    """To a millionth."""
    return Decimal(rounded(amount * 10**6, unit)).scaleb(-6)


def _priced(line: Line, cost: Decimal) -> Line:
    return Line(**{**vars(line), "cost": cost})


def _gaps(ledger: Ledger, missing: int) -> List[Line]:
    """What the bill lacks, a line each, without a cost. missing: seconds that were not measured."""
    found = []
    if missing:
        found.append(_gap("history", f"{missing} s were not measured"))
    lost = sorted(ledger.lost)
    found += [_gap("history", note) for note in lost[:_SHOWN]]
    if lost[_SHOWN:]:
        found.append(_gap("history", f"{len(lost) - _SHOWN} more parts of it are lost"))
    for (price, where), count in sorted(ledger.unpriced.items()):
        found.append(_gap(f"{price} {where}", f"no price holds for {count} hours of it"))
    names = [group.name for group in sorted(ledger.unplaced)]
    if names:
        count = sum(ledger.unplaced.values())
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        shown = ", ".join(dict.fromkeys(names[:_SHOWN])) + more
        found.append(_gap("node", f"{count} pod-hours are of nodes whose capacity is not known: {shown}"))
    if ledger.unknown:
        found.append(_gap("pods", f"of {ledger.unknown} pod-hours what is charged for is not known"))
    return found


def _gap(name: str, note: str) -> Line:
    return Line(GAP, "", name, "", None, None, None, None, None, note)


def _notes(ledger: Ledger, month: Month, end: int) -> Tuple[str, ...]:
    found = [month.notes] if month.notes else []
    if end < month.end:
        found.append(f"the month goes on: the bill is of its time up to {times.write(float(end))}")
    if ledger.guessed:
        found.append(f"of {ledger.guessed} pod-hours only one of request and usage is known, and was taken")
    if ledger.short:
        found.append(
            f"in {ledger.short} node-hours pods are charged for more than the node has: they share its cost"
        )
    return tuple(found)
