"""kubectl's own columns: what `kubectl get KIND -o wide` prints, and the same facts as values.

The kinds that krm keeps by default have the API server's columns (its printers, wide cells always computed);
every other kind has NAME and AGE. Cells are text, or integers and bools where the API server sends those.
"""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

from krm.model.cells import PLAIN, Cell, Column, Object, Printer, created, name_of
from krm.model.printers import apps, autoscaling, batch, core, events, networking, nodes, pods, services, volumes
from krm.model.reading import mapping, text

_PRINTERS: Dict[str, Printer] = {
    **core.PRINTERS,
    **pods.PRINTERS,
    **nodes.PRINTERS,
    **services.PRINTERS,
    **volumes.PRINTERS,
    **events.PRINTERS,
    **apps.PRINTERS,
    **batch.PRINTERS,
    **autoscaling.PRINTERS,
    **networking.PRINTERS,
}


def columns(kind: str) -> Tuple[Column, ...]:
    """The columns of `kind` (as str(Kind) writes it), in the API server's order."""
    return _PRINTERS.get(kind, PLAIN).columns


def row(kind: str, obj: Object, now: float) -> List[Cell]:
    """The cells of one decoded object, one a column. `now`: epoch seconds, for ages."""
    return _PRINTERS.get(kind, PLAIN).cells(obj, now)


def typed_row(kind: str, obj: Object) -> Dict[str, Any]:
    """The same facts as values: counts as int, times as epoch seconds (None = unknown), lists as lists."""
    found: Dict[str, Any] = {
        "namespace": text(mapping(obj.get("metadata")).get("namespace")),
        "name": name_of(obj),
        **_PRINTERS.get(kind, PLAIN).values(obj),
    }
    found["created"] = created(obj)
    return found
