"""The columns of persistentvolumes and persistentvolumeclaims."""

from __future__ import annotations

from typing import Any, Dict, List

from krm.model.cells import UNSET, Cell, Object, Printer, age, given, layout, name_of, parts
from krm.model.reading import mapping, text, texts

_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


def _volume(obj: Object, now: float) -> List[Cell]:
    spec, status = parts(obj)
    claim = spec.get("claimRef")
    return [
        name_of(obj),
        text(mapping(spec.get("capacity")).get("storage")) or "0",
        ",".join(_modes(spec)),
        text(spec.get("persistentVolumeReclaimPolicy")),
        _phase(obj),
        "%s/%s" % (text(claim.get("namespace")), text(claim.get("name"))) if isinstance(claim, dict) else "",
        _storage_class(obj),
        given(spec.get("volumeAttributesClassName"), UNSET),
        text(status.get("reason")),
        age(obj, now),
        given(spec.get("volumeMode"), UNSET),
    ]


def _claim(obj: Object, now: float) -> List[Cell]:
    spec, _ = parts(obj)
    facts = _typed_claim(obj)
    return [
        name_of(obj),
        facts["status"],
        facts["volume"] or "",
        facts["capacity"] or "",
        ",".join(facts["access_modes"]),
        facts["storage_class"] or "",
        given(spec.get("volumeAttributesClassName"), UNSET),
        age(obj, now),
        given(spec.get("volumeMode"), UNSET),
    ]


def _typed_claim(obj: Object) -> Dict[str, Any]:
    spec, status = parts(obj)
    volume = text(spec.get("volumeName"))
    size = mapping(status.get("capacity")).get("storage", "0") if volume else None
    return {
        "status": _phase(obj),
        "volume": volume or None,
        "capacity": text(size) or None,  # a quantity: krm.model.quantities.parse gives bytes
        "access_modes": _modes(status) if volume else [],
        "storage_class": _storage_class(obj) or None,
    }


def _phase(obj: Object) -> str:
    deleted = mapping(obj.get("metadata")).get("deletionTimestamp") is not None
    return "Terminating" if deleted else text(mapping(obj.get("status")).get("phase"))


def _modes(of: Object) -> List[str]:
    held = set(texts(of.get("accessModes")))
    return [short for mode, short in _MODES.items() if mode in held]


def _storage_class(obj: Object) -> str:
    beta = mapping(mapping(obj.get("metadata")).get("annotations")).get(_BETA_CLASS)
    return given(beta, text(mapping(obj.get("spec")).get("storageClassName")))


PRINTERS: Dict[str, Printer] = {
    "persistentvolumeclaims": Printer(
        layout("Name|Status|Volume|Capacity|Access Modes|StorageClass|VolumeAttributesClass|Age|*VolumeMode"),
        _claim,
        _typed_claim,
    ),
    "persistentvolumes": Printer(
        layout(
            "Name|Capacity|Access Modes|Reclaim Policy|Status|Claim|StorageClass|VolumeAttributesClass|Reason|Age"
            "|*VolumeMode"
        ),
        _volume,
    ),
}
