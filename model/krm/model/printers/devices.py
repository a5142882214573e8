"""The columns of resource.k8s.io: devices, and claims on them."""

from __future__ import annotations

from typing import Dict, List, Optional

from krm.model import times
from krm.model.cells import NONE, PLAIN, Cell, Object, Printer, age, layout, name_of, parts, since
from krm.model.reading import integer, mapping, rows, text


def _claim(obj: Object, now: float) -> List[Cell]:
    _, status = parts(obj)
    deleted = mapping(obj.get("metadata")).get("deletionTimestamp") is not None
    states = ["deleted"] if deleted else []
    if isinstance(status.get("allocation"), dict):
        states += ["allocated", "reserved"] if rows(status.get("reservedFor")) else ["allocated"]
    elif not deleted:
        states.append("pending")
    return [name_of(obj), ",".join(states), age(obj, now)]


def _slice(obj: Object, now: float) -> List[Cell]:
    spec, _ = parts(obj)
    pool = text(mapping(spec.get("pool")).get("name"))
    return [name_of(obj), text(spec.get("nodeName")), text(spec.get("driver")), pool, age(obj, now)]


def _taint_rule(obj: Object, now: float) -> List[Cell]:
    spec, _ = parts(obj)
    taint = mapping(spec.get("taint"))
    facts = [text(taint.get(name)) for name in ("key", "value", "effect")]
    added = taint.get("timeAdded")
    return [name_of(obj), *facts, "" if added is None else since(times.known(added), now), age(obj, now)]


_DEVICES = ("totalDevices", "availableDevices", "allocatedDevices", "unavailableDevices")


def _pool_status(obj: Object, now: float) -> List[Cell]:
    spec, status = parts(obj)
    pools, count = rows(status.get("pools")), integer(status.get("poolCount"))
    ended = _ended(status)
    state = text((ended or {}).get("type")) or "Pending"
    sums = ["-"] * (len(_DEVICES) + 1)
    if "status" in obj and state != "Failed":
        errors = [pool for pool in pools if pool.get("validationError") is not None]
        sums = [str(sum([integer(pool.get(name)) for pool in pools])) for name in _DEVICES] + [str(len(errors))]
    completed = NONE
    if ended is not None and state == "Complete":
        completed = since(times.known(ended.get("lastTransitionTime")), now)
        state = "Complete (%d/%d pools)" % (len(pools), count) if count > len(pools) else state
    return [name_of(obj), text(spec.get("driver")), *sums, count, state, completed]


def _ended(status: Object) -> Optional[Object]:
    """The condition that ended it."""
    for one in rows(status.get("conditions")):
        if one.get("type") in ("Complete", "Failed") and one.get("status") == "True":
            return one
    return None


PRINTERS: Dict[str, Printer] = {
    "deviceclasses.resource.k8s.io": PLAIN,
    "devicetaintrules.resource.k8s.io": Printer(layout("Name|Key|Value|Effect|TimeAdded|Age"), _taint_rule),
    "resourceclaims.resource.k8s.io": Printer(layout("Name|State|Age"), _claim),
    "resourceclaimtemplates.resource.k8s.io": PLAIN,
    "resourcepoolstatusrequests.resource.k8s.io": Printer(
        layout("Name|Driver|Total|Available|Allocated|Unavailable|Errors|Pools:integer|Status|Completed"),
        _pool_status,
    ),
    "resourceslices.resource.k8s.io": Printer(layout("Name|Node|Driver|Pool|Age"), _slice),
}
