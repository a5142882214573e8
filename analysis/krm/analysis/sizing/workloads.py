"""Workloads, and whose a pod is or was: pods that are gone are told by their names. Pure."""

from __future__ import annotations

import math
import re
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.hpa.spec import CONTAINER_RESOURCE, RESOURCE, Spec, read_spec
from krm.analysis.inputs import Body, State
from krm.analysis.limits.pods import Holder, holders
from krm.analysis.owners import Owner, Owners
from krm.model.reading import integer, mapping, rows, text

DEPLOYMENT, STATEFUL_SET, DAEMON_SET, JOB, CRON_JOB = (
    "deployment.apps", "statefulset.apps", "daemonset.apps", "job.batch", "cronjob.batch",
)  # fmt: skip
# Kind of an owner -> the kind that is kept.
KINDS: Mapping[str, str] = {
    DEPLOYMENT: "deployments.apps", STATEFUL_SET: "statefulsets.apps", DAEMON_SET: "daemonsets.apps",
    JOB: "jobs.batch", CRON_JOB: "cronjobs.batch",
}  # fmt: skip
HPAS = "horizontalpodautoscalers.autoscaling"
BATCH = frozenset({JOB, CRON_JOB})
_SUFFIX = re.compile(r"[a-z0-9]{5}")  # of a pod that a ReplicaSet, a DaemonSet or a Job made
_HASH = re.compile(r"[a-z0-9]{5,10}")  # of a ReplicaSet
Key = Tuple[str, Owner]  # namespace, workload


class Workload(NamedTuple):
    """One that is there."""

    template: Body  # of its pods
    labels: Mapping[str, str]
    replicas: int  # as its spec has them; 0 where it does not say
    surge: int  # pods that a rollout starts before it ends others


class Workloads:
    """Of one state."""

    def __init__(self, state: State) -> None:
        """Raises NotKnown without pods."""
        self._owners = Owners(state)
        self.there: Dict[Key, Workload] = {}
        for kind, plural in KINDS.items():
            for body in state.maybe(plural) or ():
                metadata = mapping(body.get("metadata"))
                key = (text(metadata.get("namespace")), Owner(kind, text(metadata.get("name"))))
                self.there[key] = _workload(kind, body)
        self._by_pod: Dict[Tuple[str, str], Owner] = {}
        for pod in state.objects("pods"):
            metadata = mapping(pod.get("metadata"))
            self._by_pod[text(metadata.get("namespace")), text(metadata.get("name"))] = self._owners.of(pod)
        self.running: Dict[Key, List[Holder]] = {}  # pods that have not ended
        for holder in holders(state, None):
            self.running.setdefault((holder.namespace, holder.owner), []).append(holder)
        self.scaled = _scaled(state.maybe(HPAS) or ())

    def owner(self, namespace: str, pod: str) -> Optional[Owner]:
        """None: it is gone, and its name is of no workload that is there."""
        return self._by_pod.get((namespace, pod)) or self._by_name(namespace, pod)

    def wanted(self, namespace: Optional[str]) -> List[Key]:
        """Those that are there or have pods that run; None = of all namespaces. What a CronJob or a Deployment
        made is its own."""
        keys = set(self.there) | set(self.running)
        for key in list(keys):
            if key[1].kind == JOB and self._owners.of(_made_by("Job", "batch/v1", key[0], key[1].name)) != key[1]:
                keys.discard(key)
        return sorted(key for key in keys if namespace in (None, key[0]))

    def specs(self, key: Key) -> Sequence[Body]:
        """Its containers and sidecars, as the template has them; else as a pod has them."""
        workload = self.there.get(key)
        if workload is not None:
            return containers_of(workload.template)
        return next((containers_of(holder.body) for holder in self.running.get(key, ())), ())

    def containers(self, key: Key) -> List[str]:
        """Names; of the template and of what runs."""
        names = [text(one.get("name")) for one in self.specs(key)]
        for holder in self.running.get(key, ()):
            names += [one.name for one in holder.lasting() if one.name not in names]
        return [name for name in names if name]

    def is_sidecar(self, key: Key, name: str) -> bool:
        """Whether it stands among the init containers."""
        return any(text(one.get("name")) == name and "restartPolicy" in one for one in self.specs(key))

    def labels(self, key: Key) -> Mapping[str, str]:
        """Its own; of its pods' where it is not known."""
        workload = self.there.get(key)
        if workload is not None:
            return workload.labels
        for holder in self.running.get(key, ()):
            labels = mapping(mapping(holder.body.get("metadata")).get("labels"))
            return {name: value for name, value in labels.items() if isinstance(value, str)}
        return {}

    def _by_name(self, namespace: str, pod: str) -> Optional[Owner]:
        base, _, suffix = pod.rpartition("-")
        stateful = Owner(STATEFUL_SET, base)
        if suffix.isdigit() and (namespace, stateful) in self.there:
            return stateful
        if not _SUFFIX.fullmatch(suffix):
            return None
        above, _, template = base.rpartition("-")
        deployment, daemon, cron = Owner(DEPLOYMENT, above), Owner(DAEMON_SET, base), Owner(CRON_JOB, above)
        if _HASH.fullmatch(template) and (namespace, deployment) in self.there:
            return deployment
        if (namespace, daemon) in self.there:
            return daemon
        if template.isdigit() and (namespace, cron) in self.there:
            return cron
        job = Owner(JOB, base)
        return (
            self._owners.of(_made_by("Job", "batch/v1", namespace, base))
            if (namespace, job) in self.there
            else None
        )


def _made_by(kind: str, version: str, namespace: str, name: str) -> Body:
    reference = {"controller": True, "kind": kind, "apiVersion": version, "name": name}
    return {"metadata": {"namespace": namespace, "ownerReferences": [reference]}}


def _workload(kind: str, body: Body) -> Workload:
    spec = mapping(body.get("spec"))
    inner = mapping(mapping(spec.get("jobTemplate")).get("spec")) if kind == CRON_JOB else spec
    replicas = 1 if spec.get("replicas") is None else integer(spec.get("replicas"))
    if kind == DAEMON_SET:
        replicas = integer(mapping(body.get("status")).get("desiredNumberScheduled"))
    elif kind in BATCH:
        replicas = 1 if inner.get("parallelism") is None else integer(inner.get("parallelism"))
    labels = mapping(mapping(body.get("metadata")).get("labels"))
    return Workload(
        mapping(inner.get("template")),
        {name: value for name, value in labels.items() if isinstance(value, str)},
        replicas,
        _surge(kind, spec, replicas),
    )


def _surge(kind: str, spec: Body, replicas: int) -> int:
    """Deployments: 25 % unless they say otherwise; DaemonSets only where they say so; others none."""
    if kind not in (DEPLOYMENT, DAEMON_SET):
        return 0
    strategy = mapping(spec.get("strategy" if kind == DEPLOYMENT else "updateStrategy"))
    if text(strategy.get("type")) in ("Recreate", "OnDelete"):
        return 0
    asked = mapping(strategy.get("rollingUpdate")).get("maxSurge")
    if asked is None:
        asked = "25%" if kind == DEPLOYMENT else 0
    if isinstance(asked, str) and re.fullmatch(r"[0-9]{1,4}%", asked):
        return math.ceil(replicas * int(asked[:-1]) / 100)
    return integer(asked)


def _scaled(hpas: Iterable[Body]) -> Dict[Tuple[str, str, str], List[Spec]]:
    """(namespace, kind, name) of the target -> its HPAs; kind in small letters."""
    found: Dict[Tuple[str, str, str], List[Spec]] = {}
    for body in hpas:
        spec = read_spec(body)
        found.setdefault((spec.namespace, spec.target_kind.lower(), spec.target_name), []).append(spec)
    return found


class Scaling(NamedTuple):
    """What an HPA makes of one resource of a workload."""

    hpa: str  # its name
    utilization: Optional[int]  # per cent of the request that it aims at; None = an average value


def scaling(workloads: Workloads, key: Key, resource: str, container: str) -> Optional[Scaling]:
    """None: no HPA that is known scales on it."""
    namespace, owner = key
    for spec in workloads.scaled.get((namespace, owner.kind.partition(".")[0], owner.name), ()):
        for metric in spec.metrics:
            own = metric.type == RESOURCE or (metric.type == CONTAINER_RESOURCE and metric.container == container)
            if own and metric.name == resource:
                return Scaling(spec.name, metric.utilization)
    return None


def containers_of(template: Body) -> Sequence[Body]:
    """Containers and sidecars: init containers end."""
    spec = mapping(template.get("spec"))
    lasting = [one for one in rows(spec.get("initContainers")) if one.get("restartPolicy") == "Always"]
    return rows(spec.get("containers")) + lasting
