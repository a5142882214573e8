"""The columns of storage.k8s.io."""

from __future__ import annotations

from typing import Dict, List

from krm.model.cells import (
    CREATED,
    NONE,
    UNSET,
    Cell,
    Object,
    Printer,
    age,
    given,
    layout,
    name_of,
    named_default,
    parts,
)
from krm.model.reading import mapping, rows, text, texts

_DEFAULT = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")


def _class(obj: Object, now: float) -> List[Cell]:
    return [
        named_default(obj, *_DEFAULT),
        text(obj.get("provisioner")),
        given(obj.get("reclaimPolicy"), "Delete"),
        given(obj.get("volumeBindingMode"), "Immediate"),
        obj.get("allowVolumeExpansion") is True,
        age(obj, now),
    ]


def _attributes_class(obj: Object, now: float) -> List[Cell]:
    return [name_of(obj), text(obj.get("driverName")), age(obj, now)]


def _attachment(obj: Object, now: float) -> List[Cell]:
    spec, status = parts(obj)
    return [
        name_of(obj),
        text(spec.get("attacher")),
        text(mapping(spec.get("source")).get("persistentVolumeName")),
        text(spec.get("nodeName")),
        status.get("attached") is True,
        age(obj, now),
    ]


def _driver(obj: Object, now: float) -> List[Cell]:
    spec, _ = parts(obj)
    audiences = [text(one.get("audience")) for one in rows(spec.get("tokenRequests"))]
    return [
        name_of(obj),
        spec.get("attachRequired") is not False,
        spec.get("podInfoOnMount") is True,
        spec.get("storageCapacity") is True,
        ",".join(audiences) if audiences else UNSET,
        spec.get("requiresRepublish") is True,
        ",".join(texts(spec.get("volumeLifecycleModes"))) or NONE,
        age(obj, now),
    ]


def _node(obj: Object, now: float) -> List[Cell]:
    spec, _ = parts(obj)
    return [name_of(obj), len(rows(spec.get("drivers"))), age(obj, now)]


PRINTERS: Dict[str, Printer] = {
    "csidrivers.storage.k8s.io": Printer(
        layout(
            "Name|AttachRequired:boolean|PodInfoOnMount:boolean|StorageCapacity:boolean|TokenRequests"
            "|RequiresRepublish:boolean|Modes|Age"
        ),
        _driver,
    ),
    "csinodes.storage.k8s.io": Printer(layout("Name|Drivers:integer|Age"), _node),
    "csistoragecapacities.storage.k8s.io": CREATED,
    "storageclasses.storage.k8s.io": Printer(
        layout("Name|Provisioner|ReclaimPolicy|VolumeBindingMode|AllowVolumeExpansion|Age"), _class
    ),
    "volumeattachments.storage.k8s.io": Printer(
        layout("Name|Attacher:string:name|PV|Node|Attached:boolean|Age"), _attachment
    ),
    "volumeattributesclasses.storage.k8s.io": Printer(layout("Name|DriverName|Age"), _attributes_class),
}
