"""The columns of policy."""

from __future__ import annotations

from typing import Any, Dict, List

from krm.model.cells import Cell, Object, Printer, age, layout, name_of, parts
from krm.model.reading import integer


def _budget(obj: Object, now: float) -> List[Cell]:
    spec, status = parts(obj)
    return [
        name_of(obj),
        _bound(spec.get("minAvailable")),
        _bound(spec.get("maxUnavailable")),
        integer(status.get("disruptionsAllowed")),
        age(obj, now),
    ]


def _bound(found: Any) -> str:
    """A number or a percentage."""
    return str(found) if isinstance(found, (int, str)) else "N/A"


PRINTERS: Dict[str, Printer] = {
    "poddisruptionbudgets.policy": Printer(
        layout("Name|Min Available|Max Unavailable|Allowed Disruptions:integer|Age"), _budget
    ),
}
