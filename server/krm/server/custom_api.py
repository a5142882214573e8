"""custom.metrics.k8s.io and external.metrics.k8s.io of one cluster, for a HorizontalPodAutoscaler's controller.

    /apis/custom.metrics.k8s.io/v1beta2/namespaces/NS/pods/*/METRIC?labelSelector=...   a value each pod
    .../namespaces/NS/pods/NAME/METRIC        .../namespaces/NS/deployments.apps/NAME/METRIC   of its pods
    .../namespaces/NS/services/NAME/METRIC    .../namespaces/NS/metrics/METRIC                 of all its pods
    /apis/external.metrics.k8s.io/v1beta1/namespaces/NS/METRIC?labelSelector=...        of pods with these labels

Names: krm.analysis.hpa.names. It is served where a collector has written, and pods are kept. Rights are asked for
as the API server asks: get pods/METRIC in custom.metrics.k8s.io, list METRIC in external.metrics.k8s.io.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from krm.analysis.hpa.names import NAMES, Named
from krm.analysis.hpa.targets import KINDS, selector_of
from krm.model.gojson import written
from krm.model.kinds import Kind, parse_kind, split_key
from krm.model.records import Envelope
from krm.model.selectable import SELECTABLE
from krm.model.selectors import LabelSelector
from krm.model.served import Facts
from krm.server import options
from krm.server.catalog import Served
from krm.server.custom_metrics import (
    CUSTOM,
    EXTERNAL,
    LIST_KINDS,
    VERSIONS,
    Value,
    external_value,
    metric_value,
    of_pod,
    together,
    value_list,
)
from krm.server.kept import Body
from krm.server.lists import labels_of
from krm.server.metrics_api import worth_shown
from krm.server.newest import OLD_AFTER, OLD_TURNS
from krm.server.paths import Target, check_name
from krm.server.replica import Replica
from krm.server.serving import Serving
from krm.server.statuses import (
    ApiError,
    bad_request,
    nothing_found,
    only_namespaces,
    page_not_found,
    quoted,
    unavailable,
    unknown_resource,
)
from krm.server.web import Answer, Reply, Request
from krm.store.errors import Corrupt
from krm.store.latest import CollectorState, unpack_pod

GROUPS = (CUSTOM, EXTERNAL)
_PODS = Kind("pods", "")
_PHASE = SELECTABLE["pods"].index("status.phase")
# resource[.group] in a path -> its kind, as it is written into describedObject
_DESCRIBED: Mapping[str, str] = {kind: name for name, kind in KINDS.items()}
_CORE = frozenset({"Pod", "Service", "Namespace"})


class Read(NamedTuple):
    """One turn, and the replica of pods at the same moment."""

    namespace: str
    packed: Mapping[str, bytes]  # the namespace's pods, by name
    collector: CollectorState
    replica: Replica

    @property
    def oldest(self) -> float:
        """Unix seconds: what was measured before says nothing of now."""
        return self.collector.beat - max(OLD_AFTER, OLD_TURNS * self.collector.every)


class CustomApi:
    """It belongs to the event loop."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    def served(self) -> List[Served]:
        """What discovery tells; [] where no collector has written."""
        catalog = self._serving.catalog
        if catalog.newest.collector is None or catalog.served(_PODS) is None:
            return []
        return list(_SERVED)

    async def answer(self, request: Request, found: Target, query: Dict[str, str]) -> Reply:
        """Of a caller who may read it. Raises ApiError."""
        group = found.kind.group
        if found.version not in VERSIONS[group]:
            raise page_not_found()
        if found.watch or not found.namespace:
            raise unknown_resource()
        for one in (found.namespace, found.name):
            check_name(one)
        if query.get("metricLabelSelector"):
            raise bad_request("krm's series have no labels of their own: metricLabelSelector is not taken")
        if group == EXTERNAL:
            named = _named(found.kind.resource if not found.name and not found.subresource else "")
        elif found.kind == Kind("metrics", CUSTOM):
            named = _named(found.name if not found.subresource else "")
        else:
            named = _named(found.subresource if found.name else "")
        read = self._read(found.namespace)
        labels = options.parse("pods", {"labelSelector": query.get("labelSelector", "")}).labels
        body = await self._body(read, found, named, labels)
        return await self._shown(request, read, body)

    async def _shown(self, request: Request, read: Read, body: Dict[str, Any]) -> Answer:
        shown = worth_shown(self._serving, read.collector, read.replica)
        return await self._serving.whole(request, Body(written(body) + b"\n"), read.replica, shown)

    def _read(self, namespace: str) -> Read:
        """Raises ApiError."""
        catalog = self._serving.catalog
        kept = catalog.served(_PODS)
        if kept is None:
            raise nothing_found()
        replica = kept.of(namespace)
        if replica is None:
            raise only_namespaces(_PODS, kept.namespaces, namespace)
        self._serving.trust(replica)  # nothing is made of what may not be shown
        packed = catalog.newest.packed
        if packed is None or packed.collector is None:
            raise unavailable("nothing was measured of this cluster yet")
        return Read(namespace, packed.pods.get(namespace, {}), packed.collector, replica)

    async def _body(self, read: Read, found: Target, named: Named, labels: LabelSelector) -> Dict[str, Any]:
        """Raises ApiError."""
        resource, version = found.kind.resource, found.version
        if found.kind.group == EXTERNAL:
            value = await _whole(read, labels, named, "these pods")
            return value_list(EXTERNAL, version, [external_value(named, value)])
        if resource == "pods":
            envelope = read.replica.objects.get(f"{read.namespace}/{found.name}")
            one = [(found.name, envelope)] if envelope is not None and _runs(envelope) else []
            values = await _values(read, _matching(read, labels) if found.name == "*" else one, named)
            if not values and found.name != "*":
                raise _no_metric(named, f"pods {quoted(found.name)}")
            items = [
                metric_value(version, _described("Pod", read.namespace, name), named, each) for name, each in values
            ]
            return value_list(CUSTOM, version, items)
        kind, name, selector = self._object(read, found)
        value = await _whole(read, selector, named, f"{resource} {quoted(name)}")
        return value_list(
            CUSTOM, version, [metric_value(version, _described(kind, read.namespace, name), named, value)]
        )

    def _object(self, read: Read, found: Target) -> Tuple[str, str, LabelSelector]:
        """Kind and name of what is described, and the selector of its pods. Raises ApiError 404."""
        resource = found.kind.resource
        if resource == "metrics":
            return "Namespace", read.namespace, LabelSelector(())
        known = resource in _DESCRIBED
        body = self._kept(parse_kind(resource), read.namespace, found.name) if known else None
        if body is None:
            raise ApiError(
                404, "NotFound", f"{resource} {quoted(found.name)} not found, or krm does not keep it", {}
            )
        selector = selector_of(body)
        if selector is None:
            raise ApiError(404, "NotFound", f"{resource} {quoted(found.name)} selects no pods", {})
        return _DESCRIBED[resource], found.name, selector

    def _kept(self, kind: Kind, namespace: str, name: str) -> Optional[Dict[str, Any]]:
        served = self._serving.catalog.served(kind)
        replica = served.of(namespace) if served is not None else None
        envelope = replica.objects.get(f"{namespace}/{name}") if replica is not None else None
        if replica is None or envelope is None:
            return None
        self._serving.trust(replica)
        try:
            body = json.loads(envelope.body)
        except (ValueError, RecursionError):
            return None
        return body if isinstance(body, dict) else None


async def _whole(read: Read, selector: LabelSelector, named: Named, what: str) -> Value:
    """Of all pods that the selector takes and that have the series: a part is no sum. Raises ApiError 404."""
    chosen = _matching(read, selector)
    silent = {one.target for one in read.collector.silences}
    lost = [name for name, _ in chosen if f"pod {read.namespace}/{name}" in silent]
    if lost:
        raise _no_metric(named, f"{what}: {len(lost)} of {len(chosen)} pods give no data ({', '.join(lost[:3])})")
    found = together([one for _, one in await _values(read, chosen, named)], named)
    if found is None:
        raise _no_metric(named, what)
    return found


def _matching(read: Read, labels: LabelSelector) -> List[Tuple[str, Envelope]]:
    """Pods of the namespace that run and that the selector takes, by name."""
    objects = read.replica.objects
    found = []
    for key in read.replica.keys(read.namespace):
        envelope = objects.get(key)
        if envelope is None or not _runs(envelope):
            continue
        if not labels.clauses or labels.matches(labels_of(envelope.labels)):
            found.append((split_key(key)[1], envelope))
    return found


async def _values(read: Read, pods: List[Tuple[str, Envelope]], named: Named) -> List[Tuple[str, Value]]:
    """Of those that have one. Beside the event loop: some 60 us a pod."""
    chosen = [(name, envelope.uid, read.packed[name]) for name, envelope in pods if name in read.packed]
    return await asyncio.get_running_loop().run_in_executor(None, _read, chosen, named, read.oldest)


def _read(chosen: List[Tuple[str, str, bytes]], named: Named, oldest: float) -> List[Tuple[str, Value]]:
    """Name, uid and packed values of each; not of a pod that had the name before."""
    found = []
    for name, uid, packed in chosen:
        try:
            pod = unpack_pod(name, packed)
        except Corrupt:
            continue
        value = of_pod(pod, named, oldest) if pod.uid in ("", uid) else None
        if value is not None:
            found.append((name, value))
    return found


def _runs(envelope: Envelope) -> bool:
    return len(envelope.fields) > _PHASE and envelope.fields[_PHASE] == "Running"


def _described(kind: str, namespace: str, name: str) -> Dict[str, str]:
    version = "v1" if kind in _CORE else "apps/v1"
    space = {} if kind == "Namespace" else {"namespace": namespace}
    return {"kind": kind, **space, "name": name, "apiVersion": version}


def _named(name: str) -> Named:
    """Raises ApiError 404 for what is no series of pods."""
    found = NAMES.get(name)
    if found is None:
        raise ApiError(404, "NotFound", f"the server could not find the metric {quoted(name[:80])}", {})
    return found


def _no_metric(named: Named, what: str) -> ApiError:
    return ApiError(404, "NotFound", f"the server could not find the metric {named.name} for {what}", {})


def _all_served() -> List[Served]:
    """A row a name, a version: `pods/requests_per_second`."""
    found = []
    for group in GROUPS:
        for version in VERSIONS[group]:
            facts = Facts(version, LIST_KINDS[group], True, "", (), (), {})
            for name in sorted(NAMES):
                resource = f"pods/{name}" if group == CUSTOM else name
                found.append(Served(facts.resource(Kind(resource, group)), facts, ()))
    return found


_SERVED = _all_served()
