"""The columns of apps."""

from __future__ import annotations

from typing import Any, Dict, List

from krm.model.cells import (
    NONE,
    Cell,
    Object,
    Printer,
    age,
    images,
    layout,
    name_of,
    pairs,
    parts,
    selector,
    template,
)
from krm.model.reading import integer, mapping, rows, text


def _template(obj: Object) -> List[Cell]:
    """Containers, Images and Selector."""
    spec, _ = parts(obj)
    return [*images(template(spec)), selector(mapping(spec.get("selector")))]


def _deployment(obj: Object, now: float) -> List[Cell]:
    facts = _typed_deployment(obj)
    return [
        name_of(obj),
        "%d/%d" % (facts["ready"], facts["replicas"]),
        facts["updated"],
        facts["available"],
        age(obj, now),
        *_template(obj),
    ]


def _typed_deployment(obj: Object) -> Dict[str, Any]:
    spec, status = parts(obj)
    containers = rows(template(spec).get("containers"))
    return {
        "ready": integer(status.get("readyReplicas")),
        "replicas": integer(spec.get("replicas")),
        "updated": integer(status.get("updatedReplicas")),
        "available": integer(status.get("availableReplicas")),
        "containers": [text(one.get("name")) for one in containers],
        "images": [text(one.get("image")) for one in containers],
    }


def _replicaset(obj: Object, now: float) -> List[Cell]:
    spec, status = parts(obj)
    counts = [integer(spec.get("replicas")), integer(status.get("replicas")), integer(status.get("readyReplicas"))]
    return [name_of(obj), *counts, age(obj, now), *_template(obj)]


def _statefulset(obj: Object, now: float) -> List[Cell]:
    spec, status = parts(obj)
    ready = "%d/%d" % (integer(status.get("readyReplicas")), integer(spec.get("replicas")))
    return [name_of(obj), ready, age(obj, now), *images(template(spec))]


_NUMBERS = (
    "desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled", "numberAvailable",
)  # fmt: skip


def _daemonset(obj: Object, now: float) -> List[Cell]:
    spec, status = parts(obj)
    nodes = pairs(template(spec).get("nodeSelector"))
    counts = [integer(status.get(name)) for name in _NUMBERS]
    return [name_of(obj), *counts, nodes, age(obj, now), *_template(obj)]


def _revision(obj: Object, now: float) -> List[Cell]:
    owners = rows(mapping(obj.get("metadata")).get("ownerReferences"))
    controllers = [_owner(one) for one in owners if one.get("controller") is True]
    return [name_of(obj), (controllers or [NONE])[0], integer(obj.get("revision")), age(obj, now)]


def _owner(found: Object) -> str:
    """`statefulset.apps/web`."""
    group, slash, _ = text(found.get("apiVersion")).partition("/")
    kind = text(found.get("kind")) + (".%s" % group if slash else "")
    return "%s/%s" % (kind.lower(), text(found.get("name")))


_TEMPLATE = "*Containers|*Images|*Selector"
PRINTERS: Dict[str, Printer] = {
    "controllerrevisions.apps": Printer(layout("Name|Controller|Revision|Age"), _revision),
    "deployments.apps": Printer(
        layout("Name|Ready|Up-to-date|Available|Age|" + _TEMPLATE), _deployment, _typed_deployment
    ),
    "replicasets.apps": Printer(
        layout("Name|Desired:integer|Current:integer|Ready:integer|Age|" + _TEMPLATE), _replicaset
    ),
    "statefulsets.apps": Printer(layout("Name|Ready|Age|*Containers|*Images"), _statefulset),
    "daemonsets.apps": Printer(
        layout(
            "Name|Desired:integer|Current:integer|Ready:integer|Up-to-date:integer|Available:integer"
            "|Node Selector|Age|" + _TEMPLATE
        ),
        _daemonset,
    ),
}
