"""The columns of pods."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

from krm.model.cells import NONE, Cell, Object, Printer, age, layout, name_of, parts, since
from krm.model.podstatus import pod_status
from krm.model.reading import rows, text


def _pod(obj: Object, now: float) -> List[Cell]:
    spec, status = parts(obj)
    state = pod_status(obj)
    restarts = str(state.restarts)
    if state.restarts and state.restarted_at is not None:
        restarts = "%d (%s ago)" % (state.restarts, since(state.restarted_at, now))
    gates = _gates(spec, status)
    return [
        name_of(obj),
        "%d/%d" % (state.ready, state.containers),
        state.status,
        restarts,
        age(obj, now),
        _pod_ip(status) or NONE,
        text(spec.get("nodeName")) or NONE,
        text(status.get("nominatedNodeName")) or NONE,
        "%d/%d" % gates if gates else NONE,
    ]


def _pod_ip(status: Object) -> str:
    ips = rows(status.get("podIPs"))
    return text(ips[0].get("ip")) if ips else text(status.get("podIP"))


def _gates(spec: Object, status: Object) -> Optional[Tuple[int, int]]:
    gates = rows(spec.get("readinessGates"))
    if not gates:
        return None
    first: Dict[Any, Any] = {}
    for condition in rows(status.get("conditions")):
        first.setdefault(condition.get("type"), condition.get("status"))
    return sum([first.get(gate.get("conditionType")) == "True" for gate in gates]), len(gates)


def _typed_pod(obj: Object) -> Dict[str, Any]:
    spec, status = parts(obj)
    state = pod_status(obj)
    return {
        "ready": state.ready,
        "containers": state.containers,
        "status": state.status,
        "phase": text(status.get("phase")),
        "restarts": state.restarts,
        "restarted_at": state.restarted_at,
        "ip": _pod_ip(status) or None,
        "node": text(spec.get("nodeName")) or None,
        "nominated_node": text(status.get("nominatedNodeName")) or None,
    }


PRINTERS: Dict[str, Printer] = {
    "pods": Printer(
        layout("Name|Ready|Status|Restarts|Age|*IP|*Node|*Nominated Node|*Readiness Gates"), _pod, _typed_pod
    ),
}
