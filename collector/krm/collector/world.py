"""The cluster as the snapshots show it, as far as measurements need it: pods, nodes, quotas, volumes, devices."""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import Any, Dict, FrozenSet, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from krm.collector.facts import NodeFacts, PodFacts, node_facts, pod_facts
from krm.collector.known import Known
from krm.collector.sources.devices import claims_held, slices_offered
from krm.collector.sources.podstate import Found, pod_state
from krm.collector.sources.state import claim_state, counts, node_state, quota_state
from krm.model.measures import Sample, Subject
from krm.store.connect import Database
from krm.store.keys import Keys, label

PODS, NODES, QUOTAS, VOLUMES = "pods", "nodes", "resourcequotas", "persistentvolumeclaims"
CLAIMS, SLICES = "resourceclaims.resource.k8s.io", "resourceslices.resource.k8s.io"
# Seconds for which pods stay sorted by node: 1,000 agents would each go through all pods several times a second.
INDEXED = 0.5
# Seconds for which a pod that was deleted is remembered, and how many of them.
REMEMBERED, MOST_GONE = 600.0, 5000
log = logging.getLogger("krm")


PodKey = Tuple[str, str, str]  # namespace, name, uid


class PodKept(NamedTuple):
    """What is kept of a pod."""

    facts: PodFacts
    held: Found


class NodeKept(NamedTuple):
    """What is kept of a node."""

    facts: NodeFacts
    held: Found


class World:
    """Followers of all kinds that are needed; `start` begins them."""

    def __init__(self, database: Database, cluster: str, namespaces: Sequence[str], stop: threading.Event) -> None:
        """`namespaces`: the only ones that are kept, () = all."""
        spaces = tuple(namespaces) or ("",)
        self.pods: List[Known[PodKept]] = [
            Known(
                database,
                Keys(cluster, PODS, space),
                lambda pod: PodKept(pod_facts(pod), _told(pod_state(dict(pod)))),
                stop,
            )
            for space in spaces
        ]
        self.nodes: Known[NodeKept] = Known(
            database,
            Keys(cluster, NODES),
            lambda node: NodeKept(node_facts(node), _told(node_state(dict(node)))),
            stop,
        )
        self._quotas: List[Known[Found]] = [
            Known(database, Keys(cluster, QUOTAS, space), lambda quota: _told(quota_state(dict(quota))), stop)
            for space in spaces
        ]
        self._volumes: List[Known[Found]] = [
            Known(database, Keys(cluster, VOLUMES, space), lambda claim: _told(claim_state(dict(claim))), stop)
            for space in spaces
        ]
        self._claims: List[Known[Mapping[str, Any]]] = [
            Known(database, Keys(cluster, CLAIMS, space), lambda claim: claim, stop) for space in spaces
        ]
        self._by_node: Dict[str, List[PodFacts]] = {}
        self._indexed_pods: Dict[PodKey, PodFacts] = {}
        self._gone: List[Tuple[float, PodFacts]] = []  # since when, monotonic seconds; the oldest first
        self._indexed = -math.inf  # monotonic seconds
        self._index_lock = threading.Lock()
        self._slices: Known[Mapping[str, Any]] = Known(database, Keys(cluster, SLICES), lambda one: one, stop)

    def start(self) -> None:
        """A thread a pipeline; they end with the stop event."""
        for known in self._all():
            threading.Thread(
                target=known.run, name=label(known.keys.kind, known.keys.namespace), daemon=True
            ).start()

    def problems(self) -> Dict[str, str]:
        """pipeline -> why it is not live; of those without which sums would be wrong."""
        needed: List[Known[Any]] = [*self.pods, self.nodes]
        return {label(one.keys.kind, one.keys.namespace): one.problem for one in needed if one.problem}

    def changed_pods(self) -> Set[Tuple[str, str]]:
        """(namespace, name) of pods that came, changed or went since the last call."""
        changed: Set[Tuple[str, str]] = set()
        for known in self.pods:
            for key in known.changed():
                namespace, _, name = key.partition("/")
                changed.add((namespace, name))
        return changed

    def pod(self, namespace: str, name: str) -> Optional[PodKept]:
        """None = there is none, or it has ended."""
        for known in self.pods:
            if known.keys.namespace in ("", namespace):
                kept = known.objects.get(f"{namespace}/{name}")
                return None if kept is None or kept.facts.ended else kept
        return None

    def all_pods(self) -> List[PodKept]:
        """Those that have not ended."""
        found = []
        for known in self.pods:
            with known.lock:
                found += [kept for kept in known.objects.values() if not kept.facts.ended]
        return found

    def all_nodes(self) -> List[NodeKept]:
        """By name."""
        with self.nodes.lock:
            return [self.nodes.objects[key] for key in sorted(self.nodes.objects)]

    def look(self, namespace: str, name: str) -> Optional[PodFacts]:
        """A pod as it is now; None = there is none, or it has ended."""
        kept = self.pod(namespace, name)
        return None if kept is None else kept.facts

    def facts(self) -> List[PodFacts]:
        """Of all pods that have not ended."""
        return [kept.facts for kept in self.all_pods()]

    def facts_of(self, node: str) -> List[PodFacts]:
        """Of the pods of one node that have not ended; as of `had_by`."""
        return [facts for facts in self.had_by(node) if not facts.ended]

    def had_by(self, node: str) -> List[PodFacts]:
        """Of the pods of one node, those that have ended too, and those that were deleted up to REMEMBERED seconds
        ago: what was killed in a pod is told after the pod. As they were up to INDEXED seconds ago."""
        with self._index_lock:
            now = time.monotonic()
            if now - self._indexed > INDEXED:
                self._index(now)
                self._indexed = now
            return self._by_node.get(node, [])

    def _index(self, now: float) -> None:
        found: Dict[PodKey, PodFacts] = {}
        for known in self.pods:
            with known.lock:
                found.update((_key(kept.facts), kept.facts) for kept in known.objects.values())
        self._gone = [one for one in self._gone if now - one[0] < REMEMBERED and _key(one[1]) not in found]
        for key, facts in self._indexed_pods.items():
            if key not in found:
                self._gone.append((now, facts._replace(ended=True)))
        del self._gone[:-MOST_GONE]
        self._indexed_pods, self._by_node = found, {}
        for facts in [*(facts for _, facts in self._gone), *found.values()]:
            self._by_node.setdefault(facts.node, []).append(facts)

    def killed(self, pods: Iterable[Tuple[str, str]]) -> List[PodFacts]:
        """Of these pods (namespace, name) those of which a container ended for want of memory."""
        found = []
        for namespace, name in pods:
            for known in self.pods:
                kept = known.objects.get(f"{namespace}/{name}") if known.keys.namespace in ("", namespace) else None
                if kept is not None and any(one.killed for one in kept.facts.containers):
                    found.append(kept.facts)
        return found

    def addresses(self) -> FrozenSet[str]:
        """The addresses of all nodes."""
        return frozenset(kept.facts.address for kept in self.all_nodes())

    def beside(self, now: float) -> List[Sample]:
        """What is told beside requests and limits: counts of pods, quotas, volumes and devices."""
        found: List[Found] = []
        for known in (*self._quotas, *self._volumes):
            with known.lock:
                found += list(known.objects.values())
        subjects = {one.facts.uid: _subject(one.facts) for one in self.all_pods()}
        found.append(counts(subjects.values(), [one.facts.name for one in self.all_nodes()]))
        claims = [claim for known in self._claims for claim in _values(known)]
        if claims:
            found.append(claims_held([dict(claim) for claim in claims], subjects))
        found.append(slices_offered([dict(one) for one in _values(self._slices)]))
        return [sample for one in found for sample in one.samples(now)]

    def _all(self) -> List[Known[Any]]:
        return [*self.pods, self.nodes, *self._quotas, *self._volumes, *self._claims, self._slices]


def _key(facts: PodFacts) -> PodKey:
    return facts.namespace, facts.name, facts.uid


def _told(found: Found) -> Found:
    """The same; what of it could not be read is in the log."""
    for sentence in found.troubles:
        log.warning("%s: it is not known", sentence)
    return found


def _values(known: Known[Mapping[str, Any]]) -> List[Mapping[str, Any]]:
    with known.lock:
        return list(known.objects.values())


def _subject(facts: PodFacts) -> Subject:
    return Subject(facts.namespace, facts.name, facts.uid, "", facts.node)
