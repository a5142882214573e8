"""Writing the newest measurements, by the one collector that holds the lease.

The lease is the field `holder`: compared under WATCH with every write, so that a collector that woke up
late writes nothing. It is taken where it is empty, or where holder and beat stayed the same for TAKE_AFTER
seconds of the own clock. A taker's first write replaces all that the former one left, in one MULTI.
"""

from __future__ import annotations

import time
import uuid
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import msgpack
from krm.store.connect import Command, Database, Word, seconds
from krm.store.errors import Fenced, StoreError, of_abort, raise_errors
from krm.store.keys import latest_key
from krm.store.latest import CollectorState, Measured, pack_measured, pack_state
from krm.store.latest_kubelets import KUBELETS
from krm.store.latest_seen import KILLS, PROCESSES
from redis import exceptions

# Seconds without a beat after which another collector takes over: two turns of the slowest default and a bit.
TAKE_AFTER = 15.0


class Turn(NamedTuple):
    """What one turn has to say: all that is known, not only what changed."""

    pods: Mapping[str, Mapping[str, bytes]]  # namespace -> name -> packed; the same object while it is unchanged
    namespaces: Mapping[str, Sequence[Measured]]
    nodes: Mapping[str, Sequence[Measured]]  # by name, '' = the cluster
    state: CollectorState
    processes: Mapping[str, bytes] = {}  # node -> packed (krm.store.latest_seen)
    kills: Mapping[str, bytes] = {}  # alike
    kubelets: Mapping[str, bytes] = {}  # node -> packed (krm.store.latest_kubelets)


class LatestWriter:
    """One collector's pen. Not for several threads."""

    def __init__(self, database: Database, cluster: str) -> None:
        self._cluster = cluster
        self._collector = latest_key(cluster, "collector")
        self._link = database.link(self._collector)
        self._me = str(uuid.uuid4())
        self._holds = False
        self._turn = 0
        self._seen: Tuple[Any, ...] = ()  # holder, beat of another, and since when they are the same
        self._since = 0.0
        self._left: Mapping[str, Mapping[str, bytes]] = {}  # what rests in Redis, by key; {} = not known

    @property
    def holds(self) -> bool:
        """Whether this one is the writer, as far as it knows."""
        return self._holds

    def take(self) -> bool:
        """Tries to become the writer. Raises StoreError."""
        if self._holds:
            return True
        replies = self._link.batch(
            [("WATCH", self._collector), ("HMGET", self._collector, "holder", "beat", "turn")]
        )
        raise_errors(replies, self._link.place)
        holder, beat, turn = replies[1]
        if (holder, beat) != self._seen:
            self._seen, self._since = (holder, beat), time.monotonic()
        if holder and holder != self._me.encode() and time.monotonic() - self._since < TAKE_AFTER:
            self._link.call("UNWATCH")
            return False
        self._turn, self._left = _number(turn), {}
        try:
            self._execute([("HSET", self._collector, "holder", self._me)])
        except Fenced:
            return False
        self._holds = True
        return True

    def write(self, turn: Turn) -> None:
        """All that is known now. Raises Fenced (another one writes), StoreError."""
        place = self._link.place
        replies = self._link.batch(
            [("WATCH", self._collector), ("HMGET", self._collector, "holder", "namespaces", "turn"), ("TIME",)]
        )
        raise_errors(replies, place)
        holder, namespaces, former = replies[1]
        # Where there is none, Redis was emptied: the lease is still this one's, and is written anew.
        if not self._holds or holder not in (None, self._me.encode()):
            self._holds = False
            raise Fenced(f"{place}: another collector writes the measurements of {self._cluster}")
        wanted: Dict[str, Mapping[str, bytes]] = {
            latest_key(self._cluster, f"ns:{space}"): {
                **turn.pods.get(space, {}),
                "": pack_measured(turn.namespaces.get(space, ())),
            }
            for space in {**turn.pods, **turn.namespaces}
        }
        wanted[latest_key(self._cluster, "nodes")] = {
            name: pack_measured(measured) for name, measured in turn.nodes.items()
        }
        wanted[latest_key(self._cluster, PROCESSES)] = turn.processes
        wanted[latest_key(self._cluster, KILLS)] = turn.kills
        wanted[latest_key(self._cluster, KUBELETS)] = turn.kubelets
        if _number(former) != self._turn:
            self._left = {}  # Redis came back as it was earlier: what rests there is not what was left
        commands = self._differences(wanted) if self._left else self._anew(wanted, namespaces)
        self._turn += 1
        fields: Dict[str, Word] = {
            "holder": self._me,
            "beat": f"{seconds(replies[2]):.3f}",
            "turn": self._turn,
            "state": pack_state(turn.state),
            "namespaces": msgpack.packb(sorted({**turn.pods, **turn.namespaces})),
        }
        try:
            self._execute([*commands, _hset(self._collector, fields)])
        except StoreError:
            self._left = {}  # applied or not, or in part: the next turn writes all of it
            raise
        self._left = wanted

    def give_up(self) -> None:
        """Lets another take over at once. Raises StoreError."""
        if self._holds:
            self._holds = False
            replies = self._link.batch([("WATCH", self._collector), ("HGET", self._collector, "holder")])
            raise_errors(replies, self._link.place)
            if replies[1] == self._me.encode():
                self._execute([("HSET", self._collector, "holder", "")])

    def close(self) -> None:
        """Ends its socket."""
        self._link.close()

    def _anew(self, wanted: Mapping[str, Mapping[str, bytes]], namespaces: Optional[bytes]) -> List[Command]:
        former = [latest_key(self._cluster, f"ns:{space}") for space in _names(namespaces)]
        return [
            ("UNLINK", *{**dict.fromkeys(former), **wanted}),
            *(_hset(key, fields) for key, fields in wanted.items() if fields),
        ]

    def _differences(self, wanted: Mapping[str, Mapping[str, bytes]]) -> List[Command]:
        commands: List[Command] = []
        for key, fields in wanted.items():
            left = self._left.get(key, {})
            changed = {name: value for name, value in fields.items() if left.get(name) != value}
            gone = [name for name in left if name not in fields]
            if changed:
                commands.append(_hset(key, changed))
            if gone:
                commands.append(("HDEL", key, *gone))
        ended = [key for key in self._left if key not in wanted]
        return commands + ([("UNLINK", *ended)] if ended else [])

    def _execute(self, commands: Sequence[Command]) -> None:
        """MULTI ... EXEC on the socket that holds the WATCH. Raises Fenced where it was broken."""
        generation = self._link.generation
        replies = self._link.batch([("MULTI",), *commands, ("EXEC",)], on=generation)
        if any(isinstance(reply, exceptions.RedisError) for reply in replies):
            raise of_abort(replies, self._link.place)
        if replies[-1] is None:
            self._holds = False
            raise Fenced(f"{self._link.place}: another collector took over")
        raise_errors(replies[-1], self._link.place)


def _names(packed: Optional[bytes]) -> List[str]:
    """Of what another collector wrote; what rotted names none, and must not keep this one from writing."""
    try:
        return [str(name) for name in msgpack.unpackb(packed)] if packed else []
    except (ValueError, TypeError):
        return []


def _number(written: Optional[bytes]) -> int:
    """Of turns; what rotted counts as none."""
    try:
        return int(written or 0)
    except ValueError:
        return 0


def _hset(key: str, values: Mapping[str, Word]) -> Command:
    return ("HSET", key, *(part for item in values.items() for part in item))
