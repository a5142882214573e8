"""One event a kill, whatever its witnesses told, and in whatever order. Pure: `now` is passed in.

What was told is kept as marks, one a kill and witness, and the kills are worked out from the marks anew: so the
order in which they come changes nothing, and what is told twice changes nothing either.

- Two marks of one witness are two kills. Counters of cgroups are three witnesses: a pod's counts what its
  containers' count (version 2), and the node's counts all.
- Marks of different witnesses are one kill where they can be: of the same container, pod and process as far as
  both say, and at times that touch within SLACK. As many as can be are paired, the nearest of these.
- So n of a counter and k <= n in the log are n kills, of which k have a process.
- A status that says that a container ended of it is of the newest kill of the container until then. It ended the
  container only where their times touch: a runtime says OOMKilled, too, of a container whose child was killed
  hours before it ended.

Two kills of one container within SLACK, of which one witness saw only the one and another only the other, cannot be
told from one kill. Where a counter or the log saw both they are two.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Dict, FrozenSet, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from krm.model.kills import CGROUP, CRI, DOCKER, KERNEL_LOG, KUBELET, STATUS, UNKNOWN, WITNESSES, Evidence, Kill

SLACK = 3.0  # seconds that the clocks of two witnesses may differ, and a container takes to end
MOST = 1000  # kills, each about 2 KB with its minute before
KEEP = 24 * 3600.0  # seconds
AHEAD = 60.0  # seconds: what is told of a moment that far after now came from a clock that was wrong
# In this order marks are paired: who knows most of a kill comes first. What an agent told is all of its witnesses'.
_AGENT = "agent"
_RANKS = (_AGENT, KERNEL_LOG, CGROUP, KUBELET, CRI, DOCKER, STATUS)
_SEE_ALL = (_AGENT, KERNEL_LOG, CGROUP)  # with the node's counter they miss no kill while the agent runs
_ENDS = (CRI, DOCKER, STATUS)  # who tells of a container's end, and not of a process'


class Mark(NamedTuple):
    """One kill as one witness has it."""

    key: str
    # Place in _RANKS; of counters also whose: 0 a container's, 1 a pod's, 2 the node's; of agents 1 = a former one.
    rank: Tuple[int, int]
    said: Evidence  # of one kill
    witnesses: Tuple[str, ...]


class Ledger(NamedTuple):
    """What is known. `Ledger()` knows nothing."""

    kills: Tuple[Kill, ...] = ()  # the oldest first
    dropped: int = 0  # kills that there was no room for
    marks: Mapping[str, Mark] = {}  # by key
    named: FrozenSet[str] = frozenset()  # keys that a kill was shown by: it keeps that id, whatever comes
    floor: float = -math.inf  # Unix seconds: what was until then is forgotten, and stays so
    # Unix seconds since when the log or the node's counter was read, which miss no kill: where a container's end is
    # said to be of one that was since then, and they did not see it, there was none.
    watched: float = math.inf
    watched_until: float = math.inf  # where that was another's look, of which no newer word came

    def add(self, told: Iterable[Evidence], now: float) -> Ledger:
        """With what witnesses told; itself, where that is nothing new. Also forgets what is older than a day."""
        told = [one for one in told if one.kills > 0]
        refused = sum(one.kills - MOST for one in told if one.kills > MOST)
        return _with(self, [mark for one in told for mark in _marks(one)], refused, now)

    def tell(self, kills: Iterable[Kill], now: float, whole: bool = True) -> Ledger:
        """With the kills of an agent's ledger, of which each is one; its newest word of a kill holds.

        `whole`: these are all that it knows. Then what was told before and is not told now is the word of the
        agent before it, of a kill that this one may tell of by another name: a runtime remembers it, and a log.
        """
        marks = [_mark_of(kill) for kill in kills]
        own, former = {mark.key for mark in marks}, (0, 1)
        if not whole or all(mark.rank != (0, 0) or key in own for key, mark in self.marks.items()):
            return _with(self, marks, 0, now)
        kept = {
            key: mark._replace(rank=former) if mark.rank == (0, 0) and key not in own else mark
            for key, mark in self.marks.items()
        }
        return _with(self._replace(marks=kept), marks, 0, now, changed=True)

    def seen_by_agent(self, since: float, until: float) -> Ledger:
        """Without what only a container's end tells of, where an agent that missed no kill from `since` to `until`
        (Unix seconds) saw none. Itself, where there is nothing of that."""
        if not any(
            kill.after >= since and kill.at + SLACK <= until and set(kill.witnesses) <= set(_ENDS)
            for kill in self.kills
        ):
            return self
        found = _worked_out(self._replace(watched=since, watched_until=until), self.marks, 0, self.floor)
        return self if found.kills == self.kills else found


def _marks(told: Evidence) -> List[Mark]:
    rank = (_RANKS.index(told.witness), _vague(told) if told.witness == CGROUP else 0)
    name = f"{told.node}/{told.key or _name(told)}"
    after = min(told.after, told.at)
    if told.witness in _ENDS and told.container_ended:
        after = max(after, told.at - SLACK)
    one = told._replace(kills=1, after=after)
    if told.kills == 1:
        return [Mark(name, rank, one, (told.witness,))]
    return [Mark(f"{name}.{i}", rank, one, (told.witness,)) for i in range(min(told.kills, MOST))]


def _name(told: Evidence) -> str:
    whose = told.container_id[:12] or told.pod_uid or f"{told.namespace}/{told.pod}/{told.container}".strip("/")
    return f"{told.witness}/{whose or told.cgroup or 'node'}/{told.at:.3f}".replace(" ", "-")


def _mark_of(kill: Kill) -> Mark:
    """A kill that an agent told, as if it were a witness."""
    same = {name: getattr(kill, name) for name in Kill._fields if name in Evidence._fields}
    said = Evidence(witness=_AGENT, key=kill.id, **same)
    return Mark(kill.id, (0, 0), said, kill.witnesses)


def _with(ledger: Ledger, marks: Sequence[Mark], refused: int, now: float, changed: bool = False) -> Ledger:
    floor = max(ledger.floor, now - KEEP)
    kept = {key: mark for key, mark in ledger.marks.items() if mark.said.at > floor}
    for mark in marks:
        if floor < mark.said.at <= now + AHEAD:
            known = kept.get(mark.key)
            kept[mark.key] = mark if known is None else _renewed(known, mark)
    if kept == ledger.marks and not changed:
        return ledger
    return _worked_out(ledger, kept, refused, floor)


def _worked_out(ledger: Ledger, kept: Mapping[str, Mark], refused: int, floor: float) -> Ledger:
    groups = _paired(kept.values(), (ledger.watched, ledger.watched_until))
    groups.sort(key=lambda group: (*reversed(group.when()), group.marks[0].key))
    surplus, groups = groups[:-MOST], groups[-MOST:]
    if surplus:
        floor = max(floor, surplus[-1].when()[1])
        kept = {mark.key: mark for group in groups for mark in group.marks}
    kills = tuple(_kill(group, ledger.named) for group in groups)
    named = frozenset(kill.id for kill in kills)
    dropped = ledger.dropped + len(surplus) + refused
    return Ledger(kills, dropped, kept, named, floor, ledger.watched, ledger.watched_until)


def _renewed(known: Mark, mark: Mark) -> Mark:
    """An agent has worked it out anew, and if it began anew has lost the minute before; another witness says the
    same again, more or less of it."""
    if mark.said.witness != _AGENT:
        return _fuller(known, mark)
    before = max(mark.said.before, known.said.before, key=len)
    return mark._replace(said=mark.said._replace(before=before))


def _fuller(known: Mark, mark: Mark) -> Mark:
    """Of two words of the same the one that says more: the order in which they came does not matter."""

    def says(one: Mark) -> Tuple[int, int, str]:
        filled = sum(value not in (None, "", UNKNOWN, ()) for value in one.said)
        return len(one.witnesses), filled, repr(one)

    return max(known, mark, key=says)


class _Group:
    """Marks that are one kill, the best witness first, and what they say together.

    `after` and `at` are the first's, to which the others' times are held: which of two kills a mark is of may be a
    guess, and no guess is built on another.
    """

    __slots__ = ("after", "at", "container_id", "ended", "host", "marks", "name", "pid", "pod", "pod_uid", "ranks")

    def __init__(self, mark: Mark) -> None:
        self.marks: List[Mark] = []
        self.ranks: Set[Tuple[int, int]] = set()
        self.after, self.at = mark.said.after, mark.said.at
        self.container_id = self.pod_uid = self.pod = self.name = ""
        self.pid: Optional[int] = None
        self.ended: Optional[bool] = None
        self.host = _of_host(mark.said)

    def join(self, mark: Mark, ended: Optional[bool]) -> None:
        said = mark.said
        self.marks.append(mark)
        self.ranks.add(mark.rank)
        self.container_id = self.container_id or said.container_id
        self.pod_uid = self.pod_uid or said.pod_uid
        self.pod = self.pod or _pod(said)
        self.name = self.name or said.container
        self.pid = said.pid if self.pid is None else self.pid
        if ended is not None:
            self.ended = ended or bool(self.ended)

    def may_be(self, mark: Mark) -> bool:
        """Nothing that both say differs, and the witness has said nothing of this kill yet."""
        said = mark.said
        if mark.rank in self.ranks or (self.pid is not None and said.pid is not None and said.pid != self.pid):
            return False
        if self.host or _of_host(said):
            return not (
                self.container_id or self.pod_uid or self.pod or said.container_id or said.pod_uid or said.pod
            )
        if self.container_id and said.container_id:  # a static pod has one uid for the API, and another on the node
            return self.container_id == said.container_id
        pairs = ((self.pod_uid, said.pod_uid), (self.pod, _pod(said)), (self.name, said.container))
        return all(mine == other or not mine or not other for mine, other in pairs)

    def when(self) -> Tuple[float, float]:
        """After, and at: what all say together that speak of this container."""
        after, at = self.after, self.at
        for mark in self.marks:
            said = mark.said
            if said.container_id == self.container_id and max(after, said.after) <= min(at, said.at):
                after, at = max(after, said.after), min(at, said.at)
        return after, at

    def gap(self, mark: Mark) -> float:
        """Seconds between what they say of the time; 0 = it can be the same moment."""
        return max(0.0, self.after - mark.said.at, mark.said.after - self.at)


def _of_host(said: Evidence) -> bool:
    """It says where the process was, and that is no pod."""
    return bool(said.cgroup and not (said.container_id or said.pod_uid or said.pod))


def _pod(said: Evidence) -> str:
    return f"{said.namespace}/{said.pod}" if said.pod else ""


def _paired(marks: Iterable[Mark], watched: Tuple[float, float]) -> List[_Group]:
    """The kills that marks are: as few as can be, none with two marks of one witness."""
    groups: List[_Group] = []
    turns: Dict[Tuple[Tuple[int, int], int], List[Mark]] = {}
    for mark in sorted(marks, key=lambda one: (one.said.at, one.said.after, one.key)):
        turns.setdefault((mark.rank, _vague(mark.said)), []).append(mark)
    for (rank, vague), left in sorted(turns.items()):
        if _RANKS[rank[0]] in _ENDS:
            for mark in left:
                _end(mark, groups, watched)
            continue
        if not vague:  # what is known of a container goes to a kill in it before one of nobody
            left = _join(left, [group for group in groups if group.container_id])
        for mark in _join(left, groups):
            groups.append(_Group(mark))
            groups[-1].join(mark, mark.said.container_ended)
    return groups


def _vague(said: Evidence) -> int:
    """0: it names a container, 1: a pod, 2: none of these."""
    return 0 if said.container_id or said.container else 1 if said.pod_uid or said.pod else 2


def _join(marks: Sequence[Mark], groups: Iterable[_Group]) -> List[Mark]:
    """Pairs marks of one witness, the oldest first, each with the oldest kill that it can be; what is left over.

    So as many are paired as can be. Then one that is left over takes the place of one that fits less well.
    """
    free = sorted(groups, key=lambda group: group.at)
    ends = [group.at for group in free]
    widest = max((group.at - group.after for group in free), default=0.0)
    left: List[Mark] = []
    pairs: List[Tuple[_Group, Mark]] = []
    for mark in marks:
        index = bisect_left(ends, mark.said.after - SLACK)
        while index < len(free) and ends[index] - widest <= mark.said.at + SLACK:
            if free[index].gap(mark) <= SLACK and free[index].may_be(mark):
                pairs.append((free.pop(index), mark))
                del ends[index]
                break
            index += 1
        else:
            left.append(mark)
    _better(pairs, left)
    for group, mark in pairs:
        group.join(mark, mark.said.container_ended)
    return left


def _better(pairs: List[Tuple[_Group, Mark]], left: List[Mark]) -> None:
    """Changes marks between the two lists, so that what is paired is as near as it can be."""
    loose = [index for index, (group, mark) in enumerate(pairs) if group.gap(mark) > 0]
    for place in range(len(left)):
        while loose:  # one that lost its place may fit better elsewhere; each change brings the pairs nearer
            gain, index = max((_gain(pairs[index], left[place]), -index) for index in loose)
            if gain <= 0:
                break
            group, other = pairs[-index]
            pairs[-index], left[place] = (group, left[place]), other


def _gain(pair: Tuple[_Group, Mark], mark: Mark) -> float:
    """Seconds that the kill of a pair is nearer to another mark."""
    group, other = pair
    return group.gap(other) - group.gap(mark) if group.may_be(mark) else 0.0


def _end(mark: Mark, groups: List[_Group], watched: Tuple[float, float]) -> None:
    """Of a container's end: it is of the newest kill until then, and by it only where the times touch."""
    at = mark.said.at
    can = [group for group in groups if group.may_be(mark) and group.after <= at + SLACK]
    near = [group for group in can if group.at >= at - SLACK]
    if near:
        # Whose moment is known is nearer than one that may have been then.
        best = max(near, key=lambda group: (bool(group.container_id), group.at - group.after <= SLACK, group.at))
        best.join(mark, mark.said.container_ended)
        return
    # It was told of an earlier kill.
    own = [group for group in can if group.container_id and group.container_id == mark.said.container_id]
    earlier = [group for group in own if any(_RANKS[rank] in _SEE_ALL for rank, _ in group.ranks)]
    if earlier:
        max(earlier, key=lambda group: group.at).join(mark, None)
    elif mark.said.elsewhere or mark.said.after < watched[0] or at + SLACK > watched[1]:
        groups.append(_Group(mark))
        groups[-1].join(mark, mark.said.container_ended)


def _kill(group: _Group, named: FrozenSet[str]) -> Kill:
    said = [mark.said for mark in group.marks]
    keys = [mark.key for mark in group.marks]
    told = {witness for mark in group.marks for witness in mark.witnesses}
    logged = [one for one in said if one.pid is not None]
    best = (logged or said)[0]
    after, at = group.when()
    return Kill(
        id=next((key for key in keys if key in named), keys[0]),
        node=said[0].node,
        at=at,
        after=after,
        container_id=group.container_id,
        pod_uid=group.pod_uid,
        namespace=_first(one.namespace for one in said),
        pod=_first(one.pod for one in said),
        container=group.name,
        pid=best.pid,
        process=best.process,
        rss=best.rss,
        scope=next((one.scope for one in said if one.scope != UNKNOWN), UNKNOWN),
        limited=_first(one.limited for one in said),
        limit=next((one.limit for one in said if one.limit is not None), None),
        container_ended=group.ended,
        witnesses=tuple(witness for witness in WITNESSES if witness in told),
        before=max((one.before for one in said), key=len),
    )


def _first(texts: Iterable[str]) -> str:
    return next((text for text in texts if text), "")
