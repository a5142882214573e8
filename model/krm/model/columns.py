"""kubectl's own columns: what `kubectl get KIND -o wide` prints, and the same facts as values.

The kinds that krm keeps by default have the API server's columns (its printers, wide cells always computed);
every other kind has NAME and AGE. Cells are text, or integers and bools where the API server sends those.
"""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

from krm.model import autoscaler_cells, cluster_cells, network_cells, pod_cells, workload_cells
from krm.model.cells import Cell, Column, Object, Printer, age, created, layout, name_of
from krm.model.reading import mapping, text

_GENERIC = Printer(layout("Name|Age"), lambda obj, now: [name_of(obj), age(obj, now)])
_PRINTERS: Dict[str, Printer] = {
    **pod_cells.PRINTERS,
    **workload_cells.PRINTERS,
    **autoscaler_cells.PRINTERS,
    **network_cells.PRINTERS,
    **cluster_cells.PRINTERS,
}


def columns(kind: str) -> Tuple[Column, ...]:
    """The columns of `kind` (as str(Kind) writes it), in the API server's order."""
    return _PRINTERS.get(kind, _GENERIC).columns


def row(kind: str, obj: Object, now: float) -> List[Cell]:
    """The cells of one decoded object, one a column. `now`: epoch seconds, for ages."""
    return _PRINTERS.get(kind, _GENERIC).cells(obj, now)


def typed_row(kind: str, obj: Object) -> Dict[str, Any]:
    """The same facts as values: counts as int, times as epoch seconds (None = unknown), lists as lists."""
    found: Dict[str, Any] = {
        "namespace": text(mapping(obj.get("metadata")).get("namespace")),
        "name": name_of(obj),
        **_PRINTERS.get(kind, _GENERIC).values(obj),
    }
    found["created"] = created(obj)
    return found
