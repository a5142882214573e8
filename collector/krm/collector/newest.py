"""The newest answer of each target, and what of it belongs to which pod. No clock, no I/O.

An answer replaces the former one of its target whole: what it does not name any more is gone. It counts for
two intervals and a little; then its target is silent, is left out of sums, and says why.
"""

from __future__ import annotations

import math
from itertools import chain
from typing import Dict, Iterable, List, Mapping, NamedTuple, Set, Tuple

from krm.collector.schedule import Name, Outcome
from krm.model import times
from krm.model.measures import Sample, Silence, Subject

PodName = Tuple[str, str]  # namespace, name
# Seconds beyond two intervals: an answer may take its time.
GRACE = 1.0
# Seconds for which a target may tell the same moments again: metrics-server looks once a minute at the slowest,
# a kubelet each 15 s or so. Whoever answers the same for longer does not measure any more.
STUCK = 180.0
MOST_SILENCES = 200  # that are told, of 200 bytes each; `figures` counts all


class Answer(NamedTuple):
    """One target's newest answer, by subject."""

    received: float  # Unix seconds, own clock
    lasts: float  # seconds
    pods: Mapping[PodName, List[Sample]]  # of the pod and of its containers
    nodes: Mapping[str, List[Sample]]


class Newest:
    """What all targets said last."""

    def __init__(self) -> None:
        self.answers: Dict[Name, Answer] = {}
        self.dirty: Set[PodName] = set()  # pods of which something changed since `clean`
        self._silent: Dict[Name, Silence] = {}
        self._by_pod: Dict[PodName, Dict[Name, List[Sample]]] = {}
        self._by_node: Dict[str, Dict[Name, List[Sample]]] = {}
        self._heard: Dict[Name, float] = {}  # when a target answered last
        # The newest moment that a target told, by its clock, and when it told that first, by ours.
        self._moved: Dict[Name, Tuple[float, float]] = {}

    def take(self, outcomes: Iterable[Outcome]) -> List[Sample]:
        """Answers in; the samples in them that were not there before come out."""
        fresh: List[Sample] = []
        for outcome in outcomes:
            name = outcome.job.name
            reason = outcome.reason or self._stuck(outcome)
            if reason:
                former = self._silent.get(name)
                since = former.since if former else outcome.at
                self._silent[name] = Silence(name[1], name[0], reason, since, self._heard.get(name))
                continue
            self._silent.pop(name, None)
            self._heard[name] = outcome.at
            answer = _grouped(outcome)
            fresh += self._replace(name, answer)
        return fresh

    def keep(self, wanted: Iterable[Name], now: float) -> None:
        """Forgets targets that are asked no more, and answers that are too old to count."""
        names = set(wanted)
        for name in [
            # Of the future it is where the clock was put back: nobody knows then how old it is.
            name
            for name, one in self.answers.items()
            if name not in names or abs(now - one.received) > one.lasts
        ]:
            self._drop(name)
        self._drop_of_silent_targets()
        for known in (self._silent, self._heard, self._moved):
            for name in [name for name in known if name not in names]:
                del known[name]

    def _drop_of_silent_targets(self) -> None:
        """Of a target that one source found away for two of its intervals, no older answer counts any more: what
        slower sources heard of it before says nothing of now."""
        since: Dict[str, float] = {}
        for (source, target), silence in self._silent.items():
            if (source, target) not in self.answers:
                since[target] = max(since.get(target, silence.since), silence.since)
        for name in [name for name, one in self.answers.items() if one.received < since.get(name[1], 0.0)]:
            self._drop(name)

    def of_pod(self, pod: PodName) -> Mapping[Name, List[Sample]]:
        """What each target says of a pod."""
        return self._by_pod.get(pod, {})

    def of_node(self, node: str) -> List[Sample]:
        """What is said of a node itself."""
        return [sample for samples in self._by_node.get(node, {}).values() for sample in samples]

    def clean(self) -> Set[PodName]:
        """The pods of which something changed since the last call."""
        dirty, self.dirty = self.dirty, set()
        return dirty

    def silences(self) -> Tuple[Silence, ...]:
        """Targets whose last question failed: nodes before pods, by name, at most MOST_SILENCES of them."""
        names = sorted(self._silent, key=lambda name: (name[1].startswith("pod "), name))
        return tuple(self._silent[name] for name in names[:MOST_SILENCES])

    @property
    def silent(self) -> int:
        """How many targets' last questions failed."""
        return len(self._silent)

    def sources(self) -> Dict[str, str]:
        """source -> `ok`, or why none of its targets answers."""
        told: Dict[str, str] = {}
        for (source, _), silence in sorted(self._silent.items()):
            told.setdefault(source, silence.reason)
        told.update({source: "ok" for source, _ in self.answers})
        return told

    def _stuck(self, outcome: Outcome) -> str:
        """Why an answer is none: it is one that was given long ago. '' = it is one."""
        name, newest = outcome.job.name, max((sample.at for sample in outcome.samples), default=outcome.at)
        moment, first = self._moved.get(name, (0.0, 0.0))
        if newest != moment:
            self._moved[name] = (newest, outcome.at)
            return ""
        if outcome.at - first <= max(STUCK, 4 * outcome.job.every):
            return ""
        return f"its numbers stand still: the newest are of {times.write(math.floor(moment))}"

    def _replace(self, name: Name, answer: Answer) -> List[Sample]:
        former = self.answers.get(name)
        already = self.dirty
        self.dirty = set()
        self._drop(name)
        gone, self.dirty = self.dirty, already
        self.answers[name] = answer
        said = former.pods if former else {}
        for pod, samples in answer.pods.items():
            self._by_pod.setdefault(pod, {})[name] = samples
            # Kubelets look each 10 to 15 s: asked more often, they say the same again of most pods.
            if said.get(pod) == samples:
                gone.discard(pod)
            else:
                gone.add(pod)
        self.dirty |= gone
        for node, samples in answer.nodes.items():
            self._by_node.setdefault(node, {})[name] = samples
        known = _moments(former) if former else {}
        return [
            sample
            for groups in (answer.pods, answer.nodes)
            for samples in groups.values()
            for sample in samples
            if known.get(_which(sample), -1.0) < sample.at
        ]

    def _drop(self, name: Name) -> None:
        answer = self.answers.pop(name, None)
        for pod in answer.pods if answer else ():
            self.dirty.add(pod)
            held = self._by_pod[pod]
            del held[name]
            if not held:
                del self._by_pod[pod]
        for node in answer.nodes if answer else ():
            of_node = self._by_node[node]
            del of_node[name]
            if not of_node:
                del self._by_node[node]


def _grouped(outcome: Outcome) -> Answer:
    pods: Dict[PodName, List[Sample]] = {}
    nodes: Dict[str, List[Sample]] = {}
    for sample in outcome.samples:
        subject = sample.subject
        if subject.pod:
            pods.setdefault((subject.namespace, subject.pod), []).append(sample)
        elif subject.node:
            nodes.setdefault(subject.node, []).append(sample)
    return Answer(outcome.at, 2 * outcome.job.every + GRACE, pods, nodes)


def _moments(answer: Answer) -> Dict[Tuple[Subject, str], float]:
    samples = [*chain.from_iterable(answer.pods.values()), *chain.from_iterable(answer.nodes.values())]
    return {_which(sample): sample.at for sample in samples}


def _which(sample: Sample) -> Tuple[Subject, str]:
    """A target may tell several samples of one subject, with moments of their own: told apart by what they hold."""
    return sample.subject, next(iter(sample.values), "")
