"""What findings are made of: the state of a cluster, its past, what it uses now, its OOM kills. Values alone.

A question is a module with `Asked`, `needs(asked) -> Needs` and `answer(inputs, asked) -> Answer`. Who asks reads
what is needed and hands it over: nothing here has a clock, a socket or a log. What could not be read is not in
here, and `lacks` says why: unknown is never an empty list.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.model.kills import Kill
from krm.model.kubelets import NodeKubelet
from krm.model.measures import Covers, Key, Subject
from krm.model.reading import mapping
from krm.model.trust import LIVE, Trust

Body = Mapping[str, Any]  # a decoded object, as the API server wrote it; not to be changed
Which = Tuple[str, str]  # a metric of krm.model.metrics, and a level of krm.model.measures


class NotKnown(Exception):
    """A kind that the answer rests on is not known; the text says why."""


class Needs(NamedTuple):
    """What an answer is made of."""

    kinds: Tuple[str, ...]  # without these there is no answer
    more_kinds: Tuple[str, ...] = ()  # without these there is a weaker one
    points: Tuple[Which, ...] = ()  # of the history, each 15 s, over the last `window` seconds
    window: float = 0.0
    hours: Tuple[Which, ...] = ()  # of the history, a sum an hour, over the last `hours_back` seconds
    hours_back: float = 0.0
    newest: Tuple[str, ...] = ()  # levels whose newest values are wanted: container, pod, namespace, node
    kills: bool = False
    namespace: Optional[str] = None  # of namespaced kinds and of measurements this one alone; None = all
    kubelets: bool = False  # kubelets' settings
    sums: Tuple[Which, ...] = ()  # of the history, one a subject over the last `window` seconds
    of_killed: bool = False  # points: of nodes alone where OOM kills were, all namespaces where that is allowed
    hours_skip: float = 0.0  # seconds before `now` of which no hours are wanted, for points tell of them
    measured: Optional[str] = None  # of measurements this namespace alone, where the kinds are wanted of all


class State:
    """The snapshots, each at one version."""

    def __init__(
        self, kinds: Mapping[str, Sequence[Body]], trust: Mapping[str, Trust], lacks: Mapping[str, str]
    ) -> None:
        """kinds: kind -> its objects. trust: of each of them. lacks: kind -> why it is not there, a sentence."""
        self.kinds, self.trust, self.lacks = kinds, trust, lacks

    def objects(self, kind: str) -> Sequence[Body]:
        """All of a kind that were asked for. Raises NotKnown."""
        if kind not in self.kinds:
            raise NotKnown(f"{kind}: {self.lacks.get(kind, 'not read')}")
        return self.kinds[kind]

    def maybe(self, kind: str) -> Optional[Sequence[Body]]:
        """The same; None where it is not known."""
        return self.kinds.get(kind)


class Track(NamedTuple):
    """One subject's points, oldest first, 15 s each."""

    subject: Subject
    times: Sequence[float]  # Unix seconds, the end of each step
    values: Sequence[float]  # in the metric's unit; NaN = a gap


class HourTrack(NamedTuple):
    """One subject's hours, oldest first. An hour without samples is not in it."""

    subject: Subject
    ends: Sequence[float]  # Unix seconds
    means: Sequence[float]  # in the metric's unit
    maxima: Sequence[float]
    covered: Sequence[float]  # seconds of each hour that samples stand for


class Sum(NamedTuple):
    """One subject over the whole window. Who was not measured in it has none."""

    subject: Subject
    mean: float  # in the metric's unit, over what is covered
    maximum: float
    covered: float  # seconds that samples stand for


class History:
    """Points of (begin, end], hours, and sums over the window."""

    def __init__(
        self,
        begin: float,
        end: float,
        tracks: Mapping[Which, Sequence[Track]],
        hours: Optional[Mapping[Which, Sequence[HourTrack]]] = None,
        since: Optional[float] = None,
        lacks: Sequence[str] = (),
        sums: Optional[Mapping[Which, Sequence[Sum]]] = None,
    ) -> None:
        """since: Unix seconds since when there is history at all; None = there is none. lacks: sentences."""
        self.begin, self.end, self.since = begin, end, since
        self.lacks: Tuple[str, ...] = tuple(lacks)
        self._tracks, self._hours, self._sums = tracks, hours or {}, sums or {}
        self._by_key: Dict[Which, Dict[Key, Track]] = {}

    def tracks(self, metric: str, level: str) -> Sequence[Track]:
        """Of every subject; [] where there is none, and `lacks` may say why."""
        return self._tracks.get((metric, level), ())

    def is_read(self, points: Iterable[Which]) -> bool:
        """Whether any of these could be read, be it that nothing was there."""
        return any(which in self._tracks for which in points)

    def track(self, metric: str, level: str, subject: Subject) -> Optional[Track]:
        """Of this subject, whatever its node."""
        which = (metric, level)
        if which not in self._by_key:
            self._by_key[which] = {key_of(one.subject): one for one in self.tracks(metric, level)}
        return self._by_key[which].get(key_of(subject))

    def hours(self, metric: str, level: str) -> Sequence[HourTrack]:
        """The same by the hour."""
        return self._hours.get((metric, level), ())

    def sums(self, metric: str, level: str) -> Sequence[Sum]:
        """The same over the whole window."""
        return self._sums.get((metric, level), ())

    @property
    def newest(self) -> Optional[float]:
        """Unix seconds of the newest point that is no gap; None = there is none."""
        ends = [_newest(track) for tracks in self._tracks.values() for track in tracks]
        return max((at for at in ends if at is not None), default=None)


def _newest(track: Track) -> Optional[float]:
    for place in range(len(track.values) - 1, -1, -1):
        if track.values[place] == track.values[place]:
            return track.times[place]
    return None


def key_of(subject: Subject) -> Key:
    """A subject but for its node; of a node it is the node's name that tells it apart."""
    where = subject.node if not subject.namespace else subject.pod
    return (subject.namespace, where, subject.uid, subject.container, subject.resource_id)


class Reading(NamedTuple):
    """The newest values of one subject. `subject.uid` is not known here."""

    subject: Subject
    values: Mapping[str, float]  # metric -> value in its unit; what is not known is not there
    at: Optional[float]  # Unix seconds by the source's clock; of its CPU
    window: Optional[float]  # seconds that its rates were taken over
    source: str
    covers: str  # of a sum: `2 of 3 pods`; '' = all of it


class Newest(NamedTuple):
    """What is used now."""

    readings: Mapping[str, Sequence[Reading]]  # level -> a row a subject
    state: str = LIVE  # of krm.model.trust; of what the collector wrote
    reasons: Tuple[str, ...] = ()  # why not live, and what the rows lack
    nodes: Optional[Covers] = None  # nodes that are measured, of how many


NOTHING = Newest({}, "absent", ("nothing was measured",))


class Kills(NamedTuple):
    """The OOM kills of the last day, the newest last."""

    rows: Sequence[Kill] = ()
    state: str = LIVE
    reasons: Tuple[str, ...] = ()  # nodes without an agent, and the like


class Inputs(NamedTuple):
    """Everything that one answer is made of."""

    now: float  # Unix seconds, by Redis' clock
    cluster: str
    state: State
    history: History
    newest: Newest = NOTHING
    kills: Kills = Kills()
    kubelets: Mapping[str, NodeKubelet] = {}  # by node; a node that is not in it was not asked


def of_namespace(bodies: Iterable[Body], namespace: Optional[str]) -> List[Body]:
    """Those in it; None = all of them."""
    if namespace is None:
        return list(bodies)
    return [body for body in bodies if mapping(body.get("metadata")).get("namespace") == namespace]
