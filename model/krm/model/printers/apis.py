"""The columns of what an API server keeps of itself: its APIs, and the versions that objects are stored in."""

from __future__ import annotations

from typing import Any, Dict, List

from krm.model.cells import CREATED, UNSET, Cell, Column, Object, Printer, age, cut, given, layout, name_of, parts
from krm.model.reading import mapping, rows, text


def _api_service(obj: Object, now: float) -> List[Cell]:
    spec, status = parts(obj)
    return [name_of(obj), _service(spec.get("service")), _available(status), age(obj, now)]


def _service(about: Any) -> str:
    if not isinstance(about, dict):
        return "Local"
    return "%s/%s" % (text(about.get("namespace")), text(about.get("name")))


def _available(status: Object) -> str:
    for one in rows(status.get("conditions")):
        if one.get("type") == "Available":
            state, reason = text(one.get("status")), text(one.get("reason"))
            return "%s (%s)" % (state, reason) if reason and state != "True" else state
    return "Unknown"


def _storage_version(obj: Object, now: float) -> List[Cell]:
    _, status = parts(obj)
    servers = [
        "%s=%s" % (text(one.get("apiServerID")), text(one.get("encodingVersion")))
        for one in rows(status.get("storageVersions"))
    ]
    return [name_of(obj), given(status.get("commonEncodingVersion"), UNSET), cut(servers), age(obj, now)]


def _migration(obj: Object, _now: float) -> List[Cell]:
    spec, status = parts(obj)
    about = mapping(spec.get("resource"))
    group = text(about.get("group"))
    held = [text(one.get("type")) for one in rows(status.get("conditions")) if one.get("status") == "True"]
    states = [one for one in held if one in ("Running", "Failed", "Succeeded")]
    resource = text(about.get("resource")) + (".%s" % group if group else "")
    return [name_of(obj), resource, (states or ["Unknown"])[-1]]


PRINTERS: Dict[str, Printer] = {
    "apiservices.apiregistration.k8s.io": Printer(layout("Name|Service|Available|Age"), _api_service),
    "customresourcedefinitions.apiextensions.k8s.io": CREATED,
    "storageversionmigrations.storagemigration.k8s.io": Printer(
        (Column("Name"), *layout("Resource|Status")), _migration
    ),
    "storageversions.internal.apiserver.k8s.io": Printer(
        layout("Name|CommonEncodingVersion|StorageVersions|Age"), _storage_version
    ),
}
