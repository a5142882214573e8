"""The columns of persistentvolumeclaims."""

from __future__ import annotations

from typing import Any, Dict, List

from krm.model.cells import UNSET, Cell, Object, Printer, age, layout, name_of, parts
from krm.model.reading import mapping, text, texts

_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


def _claim(obj: Object, now: float) -> List[Cell]:
    spec, _ = parts(obj)
    facts = _typed_claim(obj)
    attributes, mode = spec.get("volumeAttributesClassName"), spec.get("volumeMode")
    return [
        name_of(obj),
        facts["status"],
        facts["volume"] or "",
        facts["capacity"] or "",
        ",".join(facts["access_modes"]),
        facts["storage_class"] or "",
        attributes if isinstance(attributes, str) else UNSET,
        age(obj, now),
        mode if isinstance(mode, str) else UNSET,
    ]


def _typed_claim(obj: Object) -> Dict[str, Any]:
    metadata, (spec, status) = mapping(obj.get("metadata")), parts(obj)
    volume = text(spec.get("volumeName"))
    deleted = metadata.get("deletionTimestamp") is not None
    held = set(texts(status.get("accessModes")) if volume else [])
    beta = mapping(metadata.get("annotations")).get(_BETA_CLASS)
    size = mapping(status.get("capacity")).get("storage", "0") if volume else None
    return {
        "status": "Terminating" if deleted else text(status.get("phase")),
        "volume": volume or None,
        "capacity": text(size) or None,  # a quantity: krm.model.quantities.parse gives bytes
        "access_modes": [short for mode, short in _MODES.items() if mode in held],
        "storage_class": (beta if isinstance(beta, str) else text(spec.get("storageClassName"))) or None,
    }


PRINTERS: Dict[str, Printer] = {
    "persistentvolumeclaims": Printer(
        layout("Name|Status|Volume|Capacity|Access Modes|StorageClass|VolumeAttributesClass|Age|*VolumeMode"),
        _claim,
        _typed_claim,
    ),
}
