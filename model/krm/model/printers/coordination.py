"""The columns of coordination.k8s.io."""

from __future__ import annotations

from typing import Dict, List

from krm.model.cells import Cell, Object, Printer, age, layout, name_of, parts
from krm.model.reading import text


def _lease(obj: Object, now: float) -> List[Cell]:
    spec, _ = parts(obj)
    return [name_of(obj), text(spec.get("holderIdentity")), age(obj, now)]


def _candidate(obj: Object, now: float) -> List[Cell]:
    spec, _ = parts(obj)
    facts = [text(spec.get(name)) for name in ("leaseName", "binaryVersion", "emulationVersion")]
    return [name_of(obj), *facts, age(obj, now)]


PRINTERS: Dict[str, Printer] = {
    "leasecandidates.coordination.k8s.io": Printer(
        layout("Name|LeaseName|BinaryVersion|EmulationVersion|Age"), _candidate
    ),
    "leases.coordination.k8s.io": Printer(layout("Name|Holder|Age"), _lease),
}
