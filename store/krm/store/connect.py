"""The connection: one socket to the primary that owns a key, no retries, and what that server is.

redis-py's own retries turn one lost reply into several stream entries, and hold a call for a minute
while Redis is stopped; its pools and its cluster client may send WATCH and EXEC over two sockets.
So krm uses redis-py's connections alone: parsing, TLS and packing are its, what is sent when is ours.
In Redis Cluster all keys of one cluster and kind share a slot, so one socket to the owner is enough
there too, and MULTI works with every redis-py.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple, Union

from krm.store import url as urls
from krm.store.dial import all_primaries, cause_of, closed, primary, read
from krm.store.errors import (
    RefusedPolicy,
    Unanswered,
    Unavailable,
    of_reply,
    raise_errors,
    word_of,
)
from redis import exceptions

# Seconds. A blocking read asks for at most this, so that an idle stream never looks like a dead one.
MAX_BLOCK = 2.0
# Seconds. A socket that rested longer is looked at before use: the server may have closed it.
_IDLE = 1.0
# Fields of one HSCAN: a step stays under a millisecond of Redis' time.
_SCAN_STEP = 500
# Oldest server whose commands krm uses: XADD and XTRIM by MINID came with 6.2.
_OLDEST_VERSION = (6, 2)

Word = Union[str, bytes, int, float]
Command = Sequence[Word]


class Facts(NamedTuple):
    """What one server says of itself; None where INFO is not allowed."""

    run_id: Optional[str]  # changes with every start of the server
    version: Optional[Tuple[int, ...]]
    policy: Optional[str]  # maxmemory-policy
    maxmemory: Optional[int]  # bytes, 0 = no limit
    used_memory: Optional[int]  # bytes


class Link:
    """One socket to the primary that owns `key`, made anew after a failure, never inside a call.

    Not for several threads. `generation` counts the sockets: what a writer WATCHed on one of them
    does not hold on the next.
    """

    def __init__(self, address: urls.Address, name: str, key: str) -> None:
        self.place = address.shown
        self._address = address
        self._name = name
        self._key = key
        self._connection: Optional[Any] = None
        self._used = 0.0
        self.generation = 0
        self.run_id: Optional[str] = None

    def call(self, *command: Word) -> Any:
        """One command, its reply as Redis sent it (bytes). Raises StoreError."""
        replies = self.batch([command])
        raise_errors(replies, self.place)
        return replies[0]

    def batch(self, commands: Sequence[Command], on: Optional[int] = None) -> List[Any]:
        """All commands in one send; error replies stand among the replies as exceptions.

        `on`: the generation whose socket alone may carry them; Unavailable when it is gone.
        """
        connection = self._ready(on)
        try:
            connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            replies = [read(connection) for _ in commands]
        except (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.InvalidResponse, OSError) as error:
            self.close()
            raise Unanswered(f"{self.place}: the connection broke before the answer: {cause_of(error)}") from error
        except BaseException:
            self.close()  # interrupted between two replies: the rest would answer the next call
            raise
        self._used = time.monotonic()
        self._leave_if_moved(replies)
        return replies

    def transaction(self, commands: Sequence[Command]) -> List[Any]:
        """MULTI ... EXEC without WATCH: the replies of one point in time. Raises StoreError."""
        replies = self.batch([("MULTI",), *commands, ("EXEC",)])
        raise_errors(replies[:-1], self.place)
        raise_errors(replies[-1:], self.place)
        inner: List[Any] = replies[-1]
        raise_errors(inner, self.place)
        return inner

    def scan_hash(self, key: str) -> Iterator[Tuple[bytes, bytes]]:
        """A hash in small steps, each field once; exact where nobody writes to it meanwhile."""
        seen: Set[bytes] = set()  # HSCAN may give a field twice
        cursor = b"0"
        while True:
            cursor, flat = self.call("HSCAN", key, cursor, "COUNT", _SCAN_STEP)
            for name, value in zip(flat[::2], flat[1::2]):
                if name not in seen:
                    seen.add(name)
                    yield name, value
            if cursor == b"0":
                return

    def facts(self) -> Facts:
        """INFO of this server. Raises Unavailable."""
        server, memory = (_info(reply) for reply in self.batch([("INFO", "server"), ("INFO", "memory")]))
        version = re.match(r"\d+(\.\d+)*", server.get("redis_version", ""))
        policy = memory.get("maxmemory_policy") or self._configured_policy()
        return Facts(
            server.get("run_id"),
            tuple(int(part) for part in version.group().split(".")) if version else None,
            policy,
            _number(memory.get("maxmemory")),
            _number(memory.get("used_memory")),
        )

    def holds(self, generation: int) -> bool:
        """True where that generation's socket is still the one in use, as far as can be seen from here."""
        connection = self._connection
        if connection is not None and time.monotonic() - self._used > _IDLE and closed(connection):
            self.close()
        return self._connection is not None and generation == self.generation

    def close(self) -> None:
        """Ends the socket; the next call makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()

    def _configured_policy(self) -> Optional[str]:
        reply = self.batch([("CONFIG", "GET", "maxmemory-policy")])[0]
        if isinstance(reply, list) and len(reply) == 2:
            policy: str = reply[1].decode("ascii", "replace")
            return policy
        return None

    def _ready(self, on: Optional[int]) -> Any:
        held = self.holds(self.generation if on is None else on)
        if on is not None and not held:
            raise Unavailable(f"{self.place}: the connection that held the WATCH is gone")
        return self._connection if held else self._open()

    def _open(self) -> Any:
        self.generation += 1
        connection = primary(self._address, self._key)
        self._connection = connection
        self._used = time.monotonic()
        # An ACL may forbid both; neither is needed to serve, so a refusal is only remembered.
        _, server = self.batch([("CLIENT", "SETNAME", re.sub(r"[^!-~]", "-", self._name)), ("INFO", "server")])
        if isinstance(server, exceptions.RedisError) and word_of(server) == "LOADING":
            self.close()
            raise of_reply(server, self.place)
        self.run_id = _info(server).get("run_id")
        return connection

    def _leave_if_moved(self, replies: Sequence[Any]) -> None:
        for reply in replies:
            if isinstance(reply, exceptions.RedisError) and word_of(reply) in (
                "MOVED",
                "ASK",
                "READONLY",
                "CLUSTERDOWN",
            ):
                self.close()
                return


@dataclass(frozen=True)
class Database:
    """A Redis that was reached and may be used. `warnings` are sentences for a person."""

    address: urls.Address
    name: str
    warnings: Tuple[str, ...] = ()

    def link(self, key: str = "") -> Link:
        """A socket of one's own to the primary that owns `key`; opened by its first call."""
        return Link(self.address, self.name, key)


def connect(url: str, *, name: str) -> Database:
    """Reaches Redis once and looks whether krm may rest there.

    `name` is shown in CLIENT LIST. Raises BadUrl, Unavailable, Denied, RefusedPolicy.
    """
    address = urls.parse(url)
    database = Database(address, name)
    warnings: List[str] = []
    for node in all_primaries(address):
        link = Link(node, name, "")
        try:
            warnings += _judge(link.facts(), node.shown)
        finally:
            link.close()
    return Database(address, name, tuple(dict.fromkeys(warnings))) if warnings else database


def _judge(facts: Facts, place: str) -> List[str]:
    if facts.version is not None and facts.version < _OLDEST_VERSION:
        raise RefusedPolicy(
            f"{place}: Redis {'.'.join(map(str, facts.version))} is too old: krm needs 6.2 (XADD MINID) or Valkey"
        )
    if facts.policy is None:
        return [
            f"{place}: maxmemory-policy cannot be read (an ACL, or no real Redis): make sure that it is noeviction,"
            " or keys vanish when memory runs out"
        ]
    if facts.policy != "noeviction":
        raise RefusedPolicy(
            f"{place}: maxmemory-policy is {facts.policy}: Redis would evict parts of a snapshot by itself."
            " Set it to noeviction (CONFIG SET maxmemory-policy noeviction), or give krm a Redis of its own"
        )
    return []


class Clock:
    """Redis TIME without a round trip: the local monotonic clock plus a measured offset.

    Measured anew each 30 s, so that it follows a server whose clock is stepped. When a measurement
    fails, the older one is kept: `measured_ago()` tells its age. Threads may share one.
    """

    INTERVAL = 30.0  # seconds

    def __init__(self, database: Database, key: str = "") -> None:
        self._link = database.link(key)
        self._measured: Optional[float] = None
        self._tried = 0.0
        self._offset = 0.0
        self._measuring = threading.Lock()  # one thread measures, the others go on with the old offset
        self.measure()

    def now(self) -> float:
        """Seconds since the epoch by the Redis clock."""
        if time.monotonic() - self._tried > self.INTERVAL and self._measuring.acquire(blocking=False):
            try:
                self._measure()
            except Unavailable:
                pass  # the older offset drifts by microseconds a minute; its age is told
            finally:
                self._measuring.release()
        return time.monotonic() + self._offset

    def measure(self) -> None:
        """The quickest of three round trips: a slow one says little. Raises Unavailable."""
        with self._measuring:
            self._measure()

    def _measure(self) -> None:
        self._tried = time.monotonic()
        quickest = float("inf")
        for _ in range(3):
            before = time.monotonic()
            stamp = seconds(self._link.call("TIME"))
            after = time.monotonic()
            if after - before < quickest:
                quickest, self._offset = after - before, stamp - (before + after) / 2
        self._measured = self._tried

    def measured_ago(self) -> float:
        """Seconds since the offset was last measured."""
        return time.monotonic() - (self._measured or 0.0)

    def close(self) -> None:
        """Ends its socket."""
        self._link.close()


def seconds(reply: Sequence[bytes]) -> float:
    """TIME's reply as seconds since the epoch."""
    return int(reply[0]) + int(reply[1]) / 1e6


def _info(reply: Any) -> Dict[str, str]:
    if not isinstance(reply, bytes):
        return {}
    rows = (line.partition(":") for line in reply.decode("utf-8", "replace").splitlines())
    return {name: value for name, colon, value in rows if colon}


def _number(text: Optional[str]) -> Optional[int]:
    return int(text) if text is not None and text.isdigit() else None
