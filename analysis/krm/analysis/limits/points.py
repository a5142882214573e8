"""Points of a window, by container: put together, and what share of them is above something. Pure.

The same points in another order, in more pieces, or with others outside the window, give the same.
"""

from __future__ import annotations

from typing import Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.inputs import History, Track
from krm.analysis.limits.pods import Place
from krm.model.measures import CONTAINER, NODE, Covers

STEP = 15.0  # seconds between two points; of the history
# Seconds before the end of a window whose points may still be on their way: kubelets measure each 10 to 15 s, and
# the collector asks after that. The same after a start, before which there is no rate.
GRACE = 45.0
Line = Dict[float, float]  # Unix seconds, the end of a step -> value; gaps are not in it, oldest first


class Points:
    """Of one window."""

    def __init__(self, history: History, uids: Mapping[Tuple[str, str], str]) -> None:
        """uids: (namespace, pod) -> uid: another pod that had the name before is another one."""
        self.begin, self.end, self.since = history.begin, history.end, history.since
        self._history, self._uids = history, uids
        self._tracks: Dict[Tuple[str, str], Dict[Place, List[Track]]] = {}

    def line(self, metric: str, place: Place, level: str = CONTAINER) -> Line:
        """{} where there are no points."""
        return self._line(metric, level, place)

    def of_node(self, metric: str, node: str) -> Line:
        """The same of a node."""
        return self._line(metric, NODE, ("", node, ""))

    def _line(self, metric: str, level: str, place: Place) -> Line:
        which = (metric, level)
        if which not in self._tracks:
            self._tracks[which] = self._by_place(self._history.tracks(metric, level))
        tracks = self._tracks[which].get(place, ())
        begin, end = self.begin, self.end
        if len(tracks) == 1:  # nearly always
            pairs = zip(tracks[0].times, tracks[0].values)
            return {at: value for at, value in pairs if value == value and begin < at <= end}
        found = sorted(
            pair
            for track in tracks
            for pair in zip(track.times, track.values)
            if pair[1] == pair[1] and begin < pair[0] <= end
        )
        return dict(found)  # of two at one moment the larger

    def _by_place(self, tracks: Iterable[Track]) -> Dict[Place, List[Track]]:
        found: Dict[Place, List[Track]] = {}
        for track in tracks:
            subject = track.subject
            if subject.resource_id:
                continue
            uid = self._uids.get((subject.namespace, subject.pod), "") if subject.pod else ""
            if not (uid and subject.uid and uid != subject.uid):
                place = (subject.namespace, subject.pod or subject.node, subject.container)
                found.setdefault(place, []).append(track)
        return found

    def covered(self, since: Optional[float]) -> bool:
        """Whether the history reaches back to the window's begin, or to `since`, when the subject began."""
        return self.since is not None and self.since <= max(self.begin, since or self.begin) + STEP

    def covers(self, line: Line, since: Optional[float]) -> Covers:
        """How many points there are, of how many there should be of a subject that began at `since`."""
        begin = self.begin if since is None else max(self.begin, since + GRACE)
        late = self.end - GRACE
        due = max(0, int(late // STEP) - int(begin // STEP))
        early = sum(begin < at <= late for at in line)
        return Covers(len(line), max(due, early) + len(line) - early, "points")


class Above(NamedTuple):
    """Points that are at a threshold or above, of those that there are."""

    share: float
    longest: float  # seconds of the longest run; a gap ends one, for nobody knows what was in it


def above(line: Line, is_above: Callable[[float, float], bool]) -> Above:
    """`line`: not empty. is_above: of the time and the value."""
    count, longest, run, before = 0, 0, 0, None
    for at, value in line.items():
        if is_above(at, value):
            count += 1
            run = run + 1 if before is not None and at - before < 1.5 * STEP else 1
            longest = max(longest, run)
            before = at
        else:
            run, before = 0, None
    return Above(count / len(line), longest * STEP)


def together(lines: Iterable[Line]) -> Line:
    """The sum of all, where each has a point: a part would look like less."""
    every = list(lines)
    if not every:
        return {}
    return {at: sum(line[at] for line in every) for at in every[0] if all(at in line for line in every)}


def mean(line: Line, at: Sequence[float]) -> Optional[float]:
    """Of the points at these moments; None where there is none."""
    known = sorted(line[moment] for moment in at if moment in line)
    return sum(known) / len(known) if known else None
