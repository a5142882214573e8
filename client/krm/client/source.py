"""Where a client reads from: Redis (krm.client.directory) or a krm server (krm.client.remote).

This is the seam below `Client`: what a source gives is raw (heads, envelopes, changes in order); what it
is worth, which selectors choose it and how it is shown is the same above both. Errors are krm.client.errors'.
"""

from __future__ import annotations

import time
from typing import Dict, Iterator, List, NamedTuple, Optional, Protocol, Sequence, Tuple, Union

from krm.client import errors
from krm.client.selection import Selection
from krm.model.cells import Cell, Column, Printer
from krm.model.head import Head
from krm.model.records import Envelope
from krm.model.trust import LIVE, Trust
from krm.store.keys import label
from krm.store.read import HeadRead, SnapshotData, Token

# Seconds for which the announced kinds are taken as read: each answer would ask for them again.
_KEPT = 1.0


class KindStatus(NamedTuple):
    """One pipeline's state. `now` is the Redis clock in seconds, read together with the head."""

    kind: str
    namespace: str  # '' = the whole cluster
    trust: Trust
    head: Optional[Head]
    now: float
    cluster: str = ""  # '' = there is one alone, so nothing needs its name

    @property
    def objects(self) -> Optional[int]:
        """None where nothing was listed yet, or how many is not for this reader."""
        if self.head is None or not self.head.rv:
            return None
        return (self.head.truncated or None) if self.head.truncated is not None else self.head.count

    @property
    def verified(self) -> bool:
        """A list of the API server confirmed it, nothing is known to be missing, and it may be read."""
        trust = self.trust
        return trust.verified_at is not None and not trust.gap_open and trust.state == LIVE

    @property
    def name(self) -> str:
        """pods, or pods@team-a for a pipeline of one namespace; of several clusters CLUSTER/pods."""
        return (f"{self.cluster}/" if self.cluster else "") + label(self.kind, self.namespace)


class Published(NamedTuple):
    """One change as it was published; its body fits its digest."""

    type: str  # messages.ADDED, MODIFIED or DELETED, as the snapshot saw it
    key: str  # namespace/name
    envelope: Envelope  # of a DELETED: the last object at the deletion's resourceVersion
    previous_rv: str  # '' = there was none
    previous_labels: bytes
    previous_fields: Tuple[str, ...]
    after: str  # the place after it: a token, perhaps within a version
    at: float  # when it was published, seconds of the Redis clock
    delay: Optional[float]  # seconds; None = unknown, as of a repair
    repair: bool


class TableRow(NamedTuple):
    """One object as kubectl prints it."""

    key: str  # namespace/name
    # One a column. A CRD's own columns may hold a float, or None where the object lacks the field.
    cells: Sequence[Union[Cell, float, None]]


class Tabulated(NamedTuple):
    """One pipeline's table. Where there is nothing to read (`something` is false) it has no rows."""

    head: Optional[Head]
    time: float  # Redis clock, seconds
    something: bool
    columns: Tuple[Column, ...] = ()
    rows: Sequence[TableRow] = ()
    damaged: Tuple[str, ...] = ()  # namespace/name of what is left out because its bytes rotted


Pair = Tuple[Optional[Envelope], Optional[Envelope]]


class Followed(Protocol):
    """One pipeline's changes from a place on. Owns a socket."""

    @property
    def head(self) -> Optional[Head]:
        """As of the last turn."""
        ...

    @property
    def time(self) -> float:
        """The Redis clock of the last turn, seconds."""
        ...

    @property
    def place(self) -> str:
        """The place after everything that the last turns gave."""
        ...

    @property
    def caught_up(self) -> bool:
        """Whether all that was published by the last turn was given."""
        ...

    def turn(self, block: float) -> Iterator[Published]:
        """The next changes; none where none came within `block` seconds (capped at 1).

        Raises Expired, Damaged, Unreachable (the next turn goes on).
        """
        ...

    def close(self) -> None: ...


class Pipeline(Protocol):
    """Reads of one kind (of one namespace's pipeline where krm runs with --namespaces).

    `namespace`: what the caller asked for, None = all; who may read one namespace alone must name it. What
    is given may still hold the others: the caller narrows it.
    """

    def head(self, namespace: Optional[str]) -> HeadRead: ...

    def get(self, namespace: str, name: str) -> Tuple[HeadRead, Optional[Envelope]]: ...

    def snapshot(self, namespace: Optional[str]) -> Optional[SnapshotData]: ...

    def table(self, namespace: Optional[str], selection: Selection) -> Tabulated:
        """The rows that `selection` chooses, and no others."""
        ...

    def printer(self, namespace: Optional[str]) -> Printer:
        """How the kind's objects are shown; a custom one's by what its CRD says."""
        ...

    def verified(self, namespace: Optional[str]) -> Optional[SnapshotData]:
        """For each key the newest bytes that a list confirmed; None where nothing was built yet."""
        ...

    def at(self, token: Token, namespace: Optional[str]) -> SnapshotData: ...

    def version_at(self, when: float, namespace: Optional[str]) -> Token: ...

    def oldest(self, namespace: Optional[str]) -> Token:
        """The oldest version that both `at` and `diff` can read."""
        ...

    def diff(self, a: Token, b: Token, namespace: Optional[str]) -> Dict[str, Pair]: ...

    def follow(self, since: str, selection: Selection) -> Followed:
        """`selection`: what the caller will keep; a source may leave the rest out, none has to."""
        ...

    def close(self) -> None: ...


class Source:
    """One cluster's kinds. Not for several threads. A subclass gives `_announced` and what raises here."""

    def __init__(
        self, cluster: str, shown: str, warnings: Sequence[str], expected: Sequence[Tuple[str, str]] = ()
    ) -> None:
        self.cluster = cluster
        self.shown = shown  # the URL without its passwords, as messages name it
        self.warnings = warnings
        # The namespace of the kubeconfig's context, for a command that names none; None = it has none.
        self.namespace: Optional[str] = None
        # Pipelines that the `krm up` of this machine keeps, told before its stages say so; () = another place.
        self.expected = expected
        self._known: List[Tuple[str, str]] = []
        self._read_at = float("-inf")  # monotonic

    def close(self) -> None:
        """Ends the sockets."""
        raise NotImplementedError

    def clusters(self) -> List[str]:
        """Real names of all clusters here, sorted. Raises Unreachable."""
        raise NotImplementedError

    def pipeline(self, kind: str, namespace: str) -> Pipeline:
        """A reader of one pipeline; the caller closes it."""
        raise NotImplementedError

    def status(
        self, pipelines: Optional[Sequence[Tuple[str, str]]] = None, namespace: Optional[str] = None
    ) -> List[KindStatus]:
        """What each pipeline's head says now; all of them unless named. `namespace`: as in Pipeline."""
        raise NotImplementedError

    def _announced(self) -> List[Tuple[str, str]]:
        raise NotImplementedError

    def pipelines(self, anew: bool = False) -> List[Tuple[str, str]]:
        """(kind, namespace) of all that is announced, sorted; namespace '' = the whole cluster.

        Read again after a second, or at once with `anew`. Where the announcements are gone (an emptied
        Redis), those that were seen before stand: their kinds are warming, not unknown. So are those of a
        `krm up` that has just begun.
        """
        if anew or time.monotonic() - self._read_at > _KEPT:
            self._known = sorted({*(self._announced() or self._known), *self.expected})
            self._read_at = time.monotonic()
        return self._known

    def kinds(self, anew: bool = False) -> List[str]:
        """Names of the kinds that are kept, sorted."""
        return sorted({kind for kind, _ in self.pipelines(anew)})

    def namespaces_of(self, kind: str) -> List[str]:
        """The pipelines of a kind: [''] for one of the whole cluster. Raises UnknownKind."""
        pipelines = self.pipelines()
        if kind not in [each for each, _ in pipelines]:
            pipelines = self.pipelines(anew=True)
        namespaces = [namespace for each, namespace in pipelines if each == kind]
        if not namespaces:
            kept = ", ".join(sorted({each for each, _ in pipelines})) or "none yet"
            raise errors.UnknownKind(f"{kind} of {self.cluster} are not kept here (kept: {kept})")
        return [""] if "" in namespaces else namespaces
