"""All that is known now, kept up to date pod by pod: a turn costs what has changed. No clock, no I/O."""

from __future__ import annotations

from itertools import chain
from typing import Dict, Iterable, List, Mapping, Set, Tuple

from krm.collector import levels
from krm.collector.levels import Held, NodeView, PodView
from krm.collector.newest import Newest, PodName
from krm.collector.world import PodKept, World
from krm.model.measures import Covers, Sample, Subject
from krm.store.latest import Measured, pack_pod


class Picture:
    """What each pod, namespace and node uses and holds."""

    def __init__(self, world: World, newest: Newest) -> None:
        self._world, self._newest = world, newest
        self._views: Dict[PodName, PodView] = {}
        self._held: Dict[PodName, Tuple[PodKept, Held]] = {}  # of each pod's newest object
        self.packed: Dict[str, Dict[str, bytes]] = {}  # namespace -> pod -> packed for Redis
        self.namespaces: Dict[str, Tuple[Measured, ...]] = {}
        self.nodes: Dict[str, NodeView] = {}
        self.cluster: Tuple[Measured, ...] = ()
        self.covers = Covers(0, 0, "nodes")

    def update(self, now: float) -> Set[PodName]:
        """Takes in what changed since the last call: pods that came, changed or went. `now`: Unix seconds."""
        changed = self._world.changed_pods()
        for pod in changed | self._newest.clean():
            self._pod(pod, now)
        self._sums(now)
        return changed

    def recorded(self, fresh: Iterable[Sample]) -> List[Sample]:
        """Of samples that are new, what counts: one source a metric, of pods and nodes that are there."""
        found = []
        for sample in fresh:
            subject = sample.subject
            if not subject.pod:
                node = self.nodes.get(subject.node)
                values = levels.counting(sample, node.choice) if node is not None else {}
                if values:
                    found.append(sample._replace(values=values))
                continue
            view = self._views.get((subject.namespace, subject.pod))
            if view is None or not levels.speaks_of(subject, view.pod.uid, view.pod.node):
                continue
            values = levels.counting(sample, view.choice)
            if values:
                pod, container, resource_id = view.pod, subject.container, subject.resource_id
                filled = Subject(subject.namespace, pod.name, pod.uid, container, pod.node, resource_id)
                found.append(Sample(filled, sample.at, values, sample.source, sample.window, sample.started))
        return found

    def standing(self, now: float, window: float) -> List[Sample]:
        """What stands beside the newest samples: requests and limits, sums of namespaces, nodes and the cluster.

        `window`: seconds since it was recorded last.
        """
        found = [one for kept in self._world.all_pods() for one in kept.held.samples(now)]
        for namespace, rows in self.namespaces.items():
            found += [_sample(Subject(namespace, resource_id=row.resource_id), row, now, window) for row in rows]
        for name, view in self.nodes.items():
            found += [
                _sample(Subject(node=name, resource_id=row.resource_id), row, now, window)
                for row in view.measured
                if row.source in (levels.SUM, levels.STATE)
            ]
        return found + [_sample(Subject(resource_id=row.resource_id), row, now, window) for row in self.cluster]

    def pods(self, now: float, window: float) -> List[Sample]:
        """What pods come to by their containers, where each of them is known: krm's own file adds them up itself.

        `window`: as of `standing`.
        """
        found = []
        for (namespace, name), view in self._views.items():
            if view.measured:
                own = {metric for row in view.pod.measured if not row.resource_id for metric in row.values}
                values = {metric: value for metric, value in view.used.items() if metric not in own}
                subject = Subject(namespace, name, view.pod.uid, "", view.pod.node)
                found.append(Sample(subject, now, values, levels.SUM, window))
        return [one for one in found if one.values]

    def _pod(self, pod: PodName, now: float) -> None:
        kept = self._world.pod(*pod)
        namespace, name = pod
        if kept is None:
            self._held.pop(pod, None)
            if self._views.pop(pod, None) is not None:
                packed = self.packed[namespace]
                del packed[name]
                if not packed:
                    del self.packed[namespace]
            return
        said = chain.from_iterable(self._newest.of_pod(pod).values())
        known = self._held.get(pod)
        if known is None or known[0] is not kept:
            known = self._held[pod] = (kept, levels.held_of(kept.held.samples(now)))
        view = levels.pod_view(kept.facts, said, known[1])
        self._views[pod] = view
        self.packed.setdefault(namespace, {})[name] = pack_pod(view.pod)

    def _sums(self, now: float) -> None:
        by_namespace: Dict[str, List[PodView]] = {}
        by_node: Dict[str, List[PodView]] = {}
        for (namespace, _), view in self._views.items():
            by_namespace.setdefault(namespace, []).append(view)
            by_node.setdefault(view.pod.node, []).append(view)
        extra = _by_place(self._world.beside(now))
        spaces: Set[str] = set(by_namespace) | {space for space, node in extra if space}
        self.namespaces = {
            space: levels.namespace_sums(by_namespace.get(space, ()), extra.get((space, ""), ()), now)
            for space in spaces
        }
        views = {}
        for kept in self._world.all_nodes():
            name = kept.facts.name
            held = [*kept.held.samples(now), *extra.get(("", name), ())]
            said = self._newest.of_node(name)
            views[name] = levels.node_view(said, held, by_node.get(name, ()), now)
        self.nodes = views
        self.covers = Covers(sum(view.known for view in views.values()), len(views), "nodes")
        self.cluster = levels.cluster_sums(list(views.values()), extra.get(("", ""), ()), now)


def _by_place(samples: Iterable[Sample]) -> Mapping[Tuple[str, str], List[Sample]]:
    """(namespace, node) -> what is told of them beside their pods; ('', '') = the cluster."""
    found: Dict[Tuple[str, str], List[Sample]] = {}
    for sample in samples:
        if not sample.subject.pod:
            found.setdefault((sample.subject.namespace, sample.subject.node), []).append(sample)
    return found


def _sample(subject: Subject, row: Measured, now: float, window: float) -> Sample:
    return Sample(subject, now, row.values, row.source, window, None, row.covers)
