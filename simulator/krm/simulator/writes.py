"""POST, PUT, PATCH (merge) and DELETE, as far as tests need them to write like any client."""

from __future__ import annotations

import json
from typing import Any, List

from .history import Stored
from .kinds import Kind
from .listing import details_of, not_found
from .wire import Object, Refusal, dumps, time_text
from .world import Conflict, World


def parse_object(kind: Kind, body: bytes) -> Object:
    """The object that a client sent. Refusal 400."""
    try:
        value = json.loads(body)
    except ValueError as error:
        raise Refusal(400, "BadRequest", "error decoding the request: %s" % error) from None
    if not isinstance(value, dict) or not isinstance(value.get("metadata", {}), dict):
        raise Refusal(400, "BadRequest", "the request is no %s" % kind.kind)
    return value


def create(world: World, kind: Kind, namespace: str, body: bytes) -> bytes:
    """POST. Refusal 404 without the namespace, 409 AlreadyExists, 422 without a name."""
    obj = parse_object(kind, body)
    metadata = obj.setdefault("metadata", {})
    with world.lock:
        if not metadata.get("name"):
            if not metadata.get("generateName"):
                text = '%s.%s "" is invalid: metadata.name: Required value: name or generateName is required'
                raise Refusal(422, "Invalid", text % (kind.kind, kind.group), details_of(kind))
            metadata["name"] = "%s%05x" % (metadata["generateName"], world.random.getrandbits(20))
        if kind.namespaced:
            metadata["namespace"] = namespace
            if world.get("namespaces", namespace) is None:
                raise not_found(world.log("namespaces").kind, namespace)
        for name in ("uid", "resourceVersion", "creationTimestamp"):
            metadata.pop(name, None)
        try:
            return world.create(kind.name, obj).body()
        except Conflict as conflict:
            name = conflict.name
            text = '%s "%s" already exists' % (kind.name, name)
            raise Refusal(409, "AlreadyExists", text, details_of(kind, name)) from None


def replace(world: World, kind: Kind, key: str, body: bytes, status: bool) -> bytes:
    """PUT of an object or its status. Refusal 404, 409 Conflict."""
    obj = parse_object(kind, body)
    with world.lock:
        before = _present(world, kind, key)
        wanted = obj.get("metadata", {}).get("resourceVersion", "")
        if wanted not in ("", str(before.revision)):
            _conflict(kind, key)
        return _write(world, kind, key, before, obj, status)


def merge(world: World, kind: Kind, key: str, body: bytes, status: bool) -> bytes:
    """PATCH with merge semantics (RFC 7386)."""
    patch = parse_object(kind, body)
    with world.lock:
        before = _present(world, kind, key)
        wanted = patch.get("metadata", {}).get("resourceVersion", "")
        if wanted not in ("", str(before.revision)):
            _conflict(kind, key)
        return _write(world, kind, key, before, _merged(json.loads(before.body()), patch), status)


def delete(world: World, kind: Kind, key: str, body: bytes, grace: str) -> bytes:
    """DELETE. A pod on a node, or an object with finalizers, is only marked; others are gone at once."""
    options = parse_object(kind, body) if body else {}
    with world.lock:
        before = _present(world, kind, key)
        obj = json.loads(before.body())
        seconds = _grace(kind, obj, options, grace)
        if seconds or obj["metadata"].get("finalizers"):
            return mark_deleted(world, kind, key, seconds).body()
        if kind.name == "pods" and obj["metadata"].get("deletionGracePeriodSeconds"):
            before = mark_deleted(world, kind, key, 0)  # the grace is cut short, at a revision of its own
        gone = world.delete(kind.name, key)
    if kind.name in ("pods", "services", "persistentvolumeclaims"):
        return gone.body
    details = details_of(kind, key.rpartition("/")[2], before.uid)
    return dumps({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})


def mark_deleted(world: World, kind: Kind, key: str, seconds: int) -> Stored:
    """Set deletionTimestamp (now plus grace, in whole seconds; later only where that is less) and the grace."""
    now = world.clock

    def mark(obj: Object) -> None:
        metadata = obj["metadata"]
        if "deletionTimestamp" not in metadata:
            metadata["deletionTimestamp"] = time_text(now() + seconds)
            metadata["generation"] = int(metadata.get("generation", 0)) + 1
        elif seconds < metadata.get("deletionGracePeriodSeconds", 0):  # cut short: it counts from now, as of 1.36
            metadata["deletionTimestamp"] = time_text(now() + seconds)
        metadata["deletionGracePeriodSeconds"] = seconds

    return world.update(kind.name, key, mark)


def _grace(kind: Kind, obj: Object, options: Object, query: str) -> int:
    if kind.name != "pods" or not obj.get("spec", {}).get("nodeName"):
        return 0
    asked: Any = query or options.get("gracePeriodSeconds")
    if asked in (None, ""):
        asked = obj.get("spec", {}).get("terminationGracePeriodSeconds", 30)
    return max(0, int(asked))


def _present(world: World, kind: Kind, key: str) -> Stored:
    found = world.get(kind.name, key)
    if found is None:
        raise not_found(kind, key.rpartition("/")[2])
    return found


def _conflict(kind: Kind, key: str) -> None:
    name = key.rpartition("/")[2]
    text = (
        'Operation cannot be fulfilled on %s "%s": the object has been modified; please apply your changes '
        "to the latest version and try again" % (kind.name, name)
    )
    raise Refusal(409, "Conflict", text, details_of(kind, name))


_FIXED: List[str] = ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "generation"]


def _write(world: World, kind: Kind, key: str, before: Stored, obj: Object, status: bool) -> bytes:
    old = json.loads(before.body())
    if status:
        obj = dict(old, status=obj.get("status", {}))
    elif kind.status:
        obj = dict(obj, status=old.get("status", {}))
    metadata = obj.setdefault("metadata", {})
    for name in _FIXED:
        if name in old["metadata"]:
            metadata[name] = old["metadata"][name]
    metadata["resourceVersion"] = old["metadata"]["resourceVersion"]
    if obj == old:  # the API server writes nothing where nothing changed
        return before.body()
    if obj.get("spec") != old.get("spec") and "generation" in old["metadata"]:
        metadata["generation"] = int(old["metadata"]["generation"]) + 1
    stored = world.update(kind.name, key, obj)
    held = metadata.get("finalizers") or metadata.get("deletionGracePeriodSeconds")
    if metadata.get("deletionTimestamp") and not held:
        world.delete(kind.name, key)
    return stored.body()


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merged(result.get(name), value)
    return result
