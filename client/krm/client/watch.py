"""Following a kind's changes: each once, in order, or Expired; and what a selector makes of each.

A change's token names the place after it, within a version too: a watch that resumes there misses
nothing and repeats nothing.
"""

from __future__ import annotations

from typing import Any, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.client.objects import KubernetesObject
from krm.client.selection import Selection
from krm.client.snapshot import join_tokens
from krm.client.source import Followed, Published, Source
from krm.model.head import Head

# Seconds that one turn may wait for a change, over all pipelines.
_TURN = 1.0


class Change(NamedTuple):
    """One change of one object. Of a DELETED, `object` is the last state at the deletion's version.

    An object that leaves the selectors is DELETED with the state in which it left.
    """

    type: str  # ADDED, MODIFIED, DELETED
    object: KubernetesObject
    previous_resource_version: str  # '' = there was none
    token: str  # resume with watch(since=token)
    published_at: float  # seconds, Redis clock
    delay: Optional[float]  # seconds from receipt to publication, of the version's oldest change; None = unknown
    repair: bool  # a list found it; the watch had missed it


class Place(NamedTuple):
    """Where one pipeline's watch begins."""

    namespace: str  # the pipeline's, '' = the whole cluster
    since: str  # a token, perhaps within a version


class Changes(List[Change]):
    """The changes of a span; `token` names its end, `kind` what they are of."""

    def __init__(self, kind: str, changes: Sequence[Change], token: str) -> None:
        super().__init__(changes)
        self.kind = kind
        self.token = token

    def to_dataframe(self, columns: Optional[Mapping[str, str]] = None, package: str = "") -> Any:
        """A row a change: see krm.client.frames. Raises NeedsPackage, BadObject."""
        from krm.client.frames import changes_frame

        return changes_frame(self.kind, self, columns or {}, package)


class _Line:
    """One pipeline's changes with the place after what was given of them."""

    def __init__(self, source: Source, kind: str, start: Place, selection: Selection) -> None:
        self.namespace = start.namespace
        self.followed: Followed = source.pipeline(kind, start.namespace).follow(start.since, selection)
        self.at = start.since


class Watch:
    """Changes of one kind over all of its pipelines. Owns sockets: `close()` it."""

    def __init__(self, source: Source, kind: str, places: Sequence[Place], selection: Selection) -> None:
        self._kind = kind
        self._selection = selection
        self._lines = [_Line(source, kind, start, selection) for start in places]

    @property
    def token(self) -> str:
        """The place after everything that was given."""
        return join_tokens([(line.namespace, line.at) for line in self._lines])

    def heads(self) -> List[Tuple[str, Optional[Head], float]]:
        """(namespace, head, Redis time) of each pipeline, as of the last turn."""
        return [(line.namespace, line.followed.head, line.followed.time) for line in self._lines]

    def turn(self, block: float = _TURN) -> Iterator[Change]:
        """The next changes; none where none came within `block` seconds. Raises Expired, Damaged, Unreachable."""
        for line in self._lines:
            for published in line.followed.turn(block / len(self._lines)):
                line.at = published.after
                change = self._seen(line, published)
                if change is not None:
                    yield change
            line.at = line.followed.place

    def caught_up(self) -> bool:
        """Whether all that was published by the last turn was given."""
        return all(line.followed.caught_up for line in self._lines)

    def close(self) -> None:
        """Ends the sockets."""
        for line in self._lines:
            line.followed.close()

    def _seen(self, line: _Line, one: Published) -> Optional[Change]:
        """What the selection makes of it, None = nothing."""
        had = (one.previous_labels, one.previous_fields) if one.previous_rv else None
        after = (one.envelope.labels, one.envelope.fields)
        type_ = self._selection.transition(one.key, one.type, had, after)
        if type_ is None:
            return None
        head = line.followed.head
        obj = KubernetesObject(self._kind, one.key, one.envelope, head.verified_rv if head is not None else "")
        return Change(type_, obj, one.previous_rv, self.token, one.at, one.delay, one.repair)
