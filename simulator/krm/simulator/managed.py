"""managedFields: the mirror of an object's structure that fills up to 40 % of a real one."""

from __future__ import annotations

from typing import Any, List

from .wire import Object

# Lists that server-side apply keys by a member; others are atomic.
_LIST_KEYS = ("type", "name", "ip", "uid")
_ATOMIC = ("containerStatuses", "sources", "tolerations", "images", "hostIPs", "addresses", "readinessGates")
_UNOWNED = ("name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields")


def managed_fields(obj: Object, api_version: str, when: str, status_manager: str = "kubelet") -> List[Object]:
    """Entries for the spec's and the status's owners, as the API server keeps them."""
    metadata = {name: value for name, value in obj["metadata"].items() if name not in _UNOWNED}
    rest = {name: value for name, value in obj.items() if name not in ("metadata", "status", "kind", "apiVersion")}
    spec_fields = fields_v1(dict({"metadata": metadata}, **rest))
    entries = [_entry("kube-controller-manager", api_version, when, spec_fields)]
    if "status" in obj:
        status = fields_v1({"status": obj["status"]})
        entries.append(dict(_entry(status_manager, api_version, when, status), subresource="status"))
    return entries


def _entry(manager: str, api_version: str, when: str, fields: Object) -> Object:
    return {
        "manager": manager,
        "operation": "Update",
        "apiVersion": api_version,
        "time": when,
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }


def fields_v1(value: Any, top: bool = True) -> Object:
    """`{"f:spec": {"f:containers": {'k:{"name":"app"}': {".": {}, ...}}}}` of any JSON value."""
    if isinstance(value, dict) and value:
        fields: Object = {} if top else {".": {}}
        for name in sorted(value):
            inner = {} if name in _ATOMIC else value[name]
            fields["f:" + name] = fields_v1(inner, name in ("metadata", "spec", "status"))
        return fields
    if isinstance(value, list) and value and isinstance(value[0], dict):
        for key in _LIST_KEYS:
            if key in value[0]:
                return _keyed(value, key)
    return {}


def _keyed(items: List[Any], key: str) -> Object:
    fields: Object = {".": {}}
    for item in items:
        fields['k:{"%s":"%s"}' % (key, item.get(key, ""))] = fields_v1(item, False)
    return fields
