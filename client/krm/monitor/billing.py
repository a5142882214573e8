"""Bills of a month: reads its hours from the history, and closes, corrects and proves months."""

from __future__ import annotations

import json
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Tuple

from krm.analysis.billing.bill import LABEL, Bill, Labels, Options, derive, document, grouping
from krm.analysis.billing.hours import Amounts, ClaimHour, Hour, NodeHour, PodHour
from krm.analysis.billing.ledger import CHARGES, IDLES
from krm.analysis.billing.months import HOUR, Month, month_of
from krm.analysis.billing.prices import MAX_BYTES, Prices, read_prices
from krm.analysis.inputs import History, Inputs, Needs, State
from krm.analysis.worth import Worth, worth_of
from krm.client.client import Client
from krm.client.errors import BadRequest, KrmError
from krm.model import times
from krm.model.trust import Trust
from krm.monitor.arguments import one_of
from krm.store.bills import Bills, Closed
from krm.store.history.asked import Query

# metric of a pod or node -> field of Amounts, and what one of the history's sums is in it.
_NODES = {"cpu/node_capacity": ("cpu", 1000), "memory/node_capacity": ("memory", 1), "gpu/limit": ("gpu", 1000)}
_REQUESTED = {"cpu/request": ("cpu", 1000), "memory/request": ("memory", 1)}
_USED = {"cpu/usage_rate": ("cpu", 1000), "memory/working_set": ("memory", 1), "gpu/usage": ("gpu", 1000)}
_KINDS = ("nodes", "namespaces", "pods")
# Asked by the hour only on days that have any, with the level that tells so.
_RARE = {"gpu/limit": "node", "gpu/usage": "node", "storage/claimed": "namespace"}
DAY = 24 * HOUR


def read_file(path: str, most: int = MAX_BYTES) -> bytes:
    """Raises BadRequest."""
    try:
        with open(path, "rb") as file:
            text = file.read(most + 1)
    except OSError as error:
        raise BadRequest(f"{path} cannot be read: {error.strerror}") from None
    if len(text) > most:
        raise BadRequest(f"{path} has more than {most} bytes")
    return text


class Made(NamedTuple):
    """A bill, and what it was made of."""

    bill: Bill
    prices: bytes
    labels: Labels


class NotTheSame(KrmError):
    """A closed month is not what is derived from its inputs now; the text says what differs."""


def options_of(by: str, charge: str, idle: str, cost_centre: str) -> Options:
    """Raises BadRequest."""
    one_of(charge, CHARGES, "charge")
    one_of(idle, IDLES, "idle")
    try:
        grouping(by, Labels({}, {}, {}))
    except ValueError as error:
        raise BadRequest(str(error)) from None
    return Options(by, charge, idle, cost_centre)


def make(client: Client, month: str, zone: str, prices: bytes, options: Options) -> Made:
    """Of what is known now. Raises BadRequest (month, zone, prices), KrmError."""
    wanted, priced = _asked(month, zone, prices)
    now = client.measurements.now()
    if wanted.begin >= now:
        raise BadRequest(f"month={month!r} has not begun")
    labels, worth = _labels(client, options, now)
    hours, until = read_hours(client, wanted, now), int(now // HOUR * HOUR)
    bill = derive(client.cluster, wanted, hours, priced, labels, options, worth, until)
    return Made(bill, prices, labels)


def close(client: Client, made: Made, bills: Bills, reason: str = "") -> Tuple[Closed, bool]:
    """Keeps the bill as the month's next version, and whether it is new: the same bill again is no version.

    reason: of a correction; needed where a version is there. Raises BadRequest, NoBill.
    """
    bill, now = made.bill, client.measurements.now()
    if bill.month.end > now:
        raise BadRequest(f"{bill.month.name} has not ended: it can be closed from {times.write(bill.month.end)} on")
    text = document(bill).decode()
    there = bills.versions(bill.cluster, bill.month.name)
    if there:
        newest = bills.read(bill.cluster, bill.month.name)
        if newest.bill == text:
            return newest, False
        if not reason:
            raise BadRequest(
                f"{bill.month.name} is closed as version {newest.version}, and what is derived now differs:"
                " --correct REASON makes it the next version"
            )
    closed = Closed(
        bill.cluster, bill.month.name, (there[-1] if there else 0) + 1, times.write(float(int(now))), reason, text,
        made.prices.decode(), made.labels._asdict(),
    )  # fmt: skip
    bills.write(closed)
    return closed, True


def prove(client: Client, closed: Closed) -> None:
    """Derives a closed month again from the history, its prices and labels. Raises NotTheSame, KrmError."""
    told = json.loads(closed.bill)
    month, options = Month(**told["month"]), Options(**told["options"])
    labels = Labels(closed.labels["nodes"], closed.labels["namespaces"], closed.labels["pods"])
    now = client.measurements.now()
    hours = read_hours(client, month, now)
    worth = worth_of(_inputs(client, now, {}), Needs(()))
    priced = _prices(closed.prices.encode())
    again = derive(closed.cluster, month, hours, priced, labels, options, worth)
    if document(again).decode() == closed.bill:
        return
    differ = [
        f"{what} had the digest {told['inputs'][what]}, and has {digest} now"
        for what, digest in (("history", again.history_digest), ("prices", again.prices_digest))
        if told["inputs"][what] != digest
    ]
    why = "; ".join(differ) or "its inputs are the same: this krm computes it another way"
    raise NotTheSame(f"{closed.month} version {closed.version} is not what is derived now: {why}")


def read_hours(client: Client, month: Month, now: float) -> Iterator[Hour]:
    """Every whole hour that has ended, of days in which anything was measured. Raises NoMeasurements, KrmError."""
    last = int(min(month.end, now // HOUR * HOUR))
    for day in range(month.begin, last, DAY):
        end = min(day + DAY, last)
        if _any(client, "pods/count", "cluster", day, end):
            rare = {name for name, level in _RARE.items() if _any(client, name, level, day, end)}
            for begin in range(day, end, HOUR):
                yield _hour(client, begin, rare)


def _any(client: Client, metric: str, level: str, begin: int, end: int) -> bool:
    return bool(client.measurements.totals(Query(metric, level, begin, end)).totals)


def _hour(client: Client, begin: int, rare: set[str]) -> Hour:
    def asked(metric: str, level: str) -> List[Any]:
        if metric in _RARE and metric not in rare:
            return []
        found = client.measurements.totals(Query(metric, level, begin, begin + HOUR))
        notes.update(dict.fromkeys(found.extent.notes))
        return found.totals

    notes: Dict[str, None] = {}
    covered = sum(one.covered for one in asked("pods/count", "cluster"))
    nodes: Dict[str, Dict[str, int]] = {}
    for metric, (field, scale) in _NODES.items():
        for one in asked(metric, "node"):
            if not one.subject.resource_id:
                nodes.setdefault(one.subject.node, {})[field] = round(one.sum * scale)
    pods: Dict[Tuple[str, str, str, str], Tuple[Dict[str, int], Dict[str, int]]] = {}
    for place, metrics in enumerate((_REQUESTED, _USED)):
        for metric, (field, scale) in metrics.items():
            for one in asked(metric, "pod"):
                subject = one.subject
                if subject.node and not subject.resource_id:  # what waits for a node holds nothing
                    key = (subject.namespace, subject.pod, subject.uid, subject.node)
                    pods.setdefault(key, ({}, {}))[place][field] = round(one.sum * scale)
    claims = []
    for one in asked("storage/claimed", "namespace"):
        storage_class, _, name = one.subject.resource_id.partition("/")
        claims.append(ClaimHour(one.subject.namespace, name, storage_class, round(one.sum)))
    return Hour(
        begin,
        min(HOUR, round(covered)),
        tuple(sorted(NodeHour(name, Amounts(**found)) for name, found in nodes.items())),
        tuple(PodHour(*key, Amounts(**told[0]), Amounts(**told[1])) for key, told in sorted(pods.items())),
        tuple(sorted(claims)),
        tuple(sorted(notes)),
    )


def _labels(client: Client, options: Options, now: float) -> Tuple[Labels, Worth]:
    """As they are now. Of kinds that cannot be read there are none, and the worth says so."""
    key = options.by[len(LABEL) :] if options.by.startswith(LABEL) else ""
    found: Dict[str, Dict[str, Mapping[str, str]]] = {}
    trust: Dict[str, Trust] = {}
    lacks: Dict[str, str] = {}
    for kind in _KINDS if key else _KINDS[:2]:
        try:
            snapshot = client.snapshot(kind, stale_ok=True)
        except KrmError as error:
            lacks[kind] = f"their labels are not known: {error}"
            continue
        trust[kind] = snapshot.trust
        found[kind] = {f"{one.key}/{one.uid}" if kind == "pods" else one.name: dict(one.labels) for one in snapshot}
    pods = {name: labels[key] for name, labels in found.get("pods", {}).items() if labels.get(key)}
    inputs = _inputs(client, now, lacks)
    inputs.state.trust = trust
    return Labels(found.get("nodes", {}), found.get("namespaces", {}), pods), worth_of(inputs, Needs((), _KINDS))


def _inputs(client: Client, now: float, lacks: Dict[str, str]) -> Inputs:
    return Inputs(now, client.cluster, State({}, {}, lacks), History(now, now, {}))


def _asked(month: str, zone: str, prices: bytes) -> Tuple[Month, Prices]:
    try:
        return month_of(month, zone), _prices(prices)
    except ValueError as error:
        raise BadRequest(str(error)) from None


def _prices(prices: bytes) -> Prices:
    try:
        return read_prices(prices)
    except ValueError as error:
        raise BadRequest(f"prices: {error}") from None
