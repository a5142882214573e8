"""kubectl's own columns: what `kubectl get KIND -o wide` prints, and the same facts as values.

Built-in kinds have the API server's own columns, wide ones included (krm.model.printers, a file a group); every
other kind has NAME and AGE. Cells are text, or integers and bools where the API server sends those.
"""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

from krm.model.cells import PLAIN, Cell, Column, Object, Printer, created, name_of
from krm.model.printers import (
    admission,
    apis,
    apps,
    autoscaling,
    batch,
    certificates,
    coordination,
    core,
    devices,
    events,
    flowcontrol,
    networking,
    nodes,
    pods,
    policy,
    rbac,
    scheduling,
    services,
    storage,
    volumes,
)  # fmt: skip
from krm.model.reading import mapping, text

# Core first, then group by group.
PRINTERS: Dict[str, Printer] = {
    **core.PRINTERS,
    **pods.PRINTERS,
    **nodes.PRINTERS,
    **services.PRINTERS,
    **volumes.PRINTERS,
    **events.PRINTERS,
    **apps.PRINTERS,
    **batch.PRINTERS,
    **autoscaling.PRINTERS,
    **policy.PRINTERS,
    **scheduling.PRINTERS,
    **networking.PRINTERS,
    **rbac.PRINTERS,
    **storage.PRINTERS,
    **admission.PRINTERS,
    **certificates.PRINTERS,
    **coordination.PRINTERS,
    **flowcontrol.PRINTERS,
    **devices.PRINTERS,
    **apis.PRINTERS,
}


def printer(kind: str) -> Printer:
    """How `kind` (as str(Kind) writes it) is shown."""
    return PRINTERS.get(kind, PLAIN)


def columns(kind: str) -> Tuple[Column, ...]:
    """Its columns, in the API server's order."""
    return printer(kind).columns


def row(kind: str, obj: Object, now: float) -> List[Cell]:
    """The cells of one decoded object, one a column. `now`: epoch seconds, for ages."""
    return printer(kind).cells(obj, now)


def typed_row(kind: str, obj: Object) -> Dict[str, Any]:
    """The same facts as values: counts as int, times as epoch seconds (None = unknown), lists as lists."""
    found: Dict[str, Any] = {
        "namespace": text(mapping(obj.get("metadata")).get("namespace")),
        "name": name_of(obj),
        **printer(kind).values(obj),
    }
    found["created"] = created(obj)
    return found
