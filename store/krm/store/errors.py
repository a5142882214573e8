"""Everything that can go wrong at the store's door, as types whose message says what to do.

StoreError
├── BadUrl             the Redis URL is none that krm takes
├── Unavailable        Redis cannot be reached or cannot serve now; the command was NOT applied
│   └── Unanswered     the command was sent and no answer came: applied or not is unknown
├── RefusedPolicy      this server would drop keys on its own (maxmemory-policy)
├── Denied             Redis refuses these credentials, or its ACL this command
├── OutOfMemory        Redis is full: nothing of the transaction was applied
├── Rejected           Redis answered with any other error
├── Surprise           a writer found Redis other than it left it: forget everything, start anew
│   └── Fenced         ... because another aggregator has taken over
├── Busy               no untorn read came out of three; try again
├── Expired            the version asked for is no longer (or not yet) kept
└── Corrupt            bytes in Redis are not those that krm wrote
"""

from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple

from redis import exceptions


class StoreError(Exception):
    """Base of all of them."""


class BadUrl(StoreError):
    """The Redis URL is none that krm takes. The message never holds its password."""


class Unavailable(StoreError):
    """Redis is away, loading, read-only or moved elsewhere. Nothing was applied: try again later."""


class Unanswered(Unavailable):
    """Sent, and no answer came: the command may or may not have been applied."""


class RefusedPolicy(StoreError):
    """The server evicts keys by itself, which would silently empty a snapshot."""


class Denied(StoreError):
    """Wrong credentials, or an ACL that lacks the command or the key."""


class OutOfMemory(StoreError):
    """maxmemory is reached: nothing was applied. Trim, wait, send again."""


class Rejected(StoreError):
    """Redis answered with an error that has no type of its own here."""


class Surprise(StoreError):
    """Head is absent, or says another version or incarnation than its writer left."""


class Fenced(Surprise):
    """Another aggregator holds the fence: this one must not write any more."""


class Busy(StoreError):
    """Writers were faster than three attempts to read all namespaces at one version."""


class Expired(StoreError):
    """The version is not kept any more. `oldest` is the oldest one that is, None where unknown."""

    def __init__(self, message: str, oldest: Optional[int] = None) -> None:
        super().__init__(message)
        self.oldest = oldest


class Corrupt(StoreError):
    """`keys` (namespace/name, or namespaces with a trailing `/`) whose bytes cannot be trusted."""

    def __init__(self, message: str, keys: Tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.keys = keys


# First words of error replies that mean "not here, not now": nothing was applied.
_AWAY = {
    "LOADING": "Redis is still loading its data; try again in a moment",
    "READONLY": "this Redis is a replica now; the next attempt looks for the primary",
    "MOVED": "the keys moved to another node of Redis Cluster; the next attempt looks for it",
    "ASK": "the keys are moving to another node of Redis Cluster; try again in a moment",
    "TRYAGAIN": "the keys are moving to another node of Redis Cluster; try again in a moment",
    "CLUSTERDOWN": "Redis Cluster is down: a primary is missing; see CLUSTER INFO",
    "MASTERDOWN": "this Redis is a replica that lost its primary",
    "MISCONF": "Redis cannot save to disk and refuses writes; free its disk or turn its persistence off",
    "NOREPLICAS": "Redis demands replicas (min-replicas-to-write) that are away; writes are refused",
    "BUSY": "Redis runs a long script; try again in a moment",
}
# redis-py strips the first word from replies it has a class for, a different set in each release.
_WORD_OF = {
    "BusyLoadingError": "LOADING",
    "ReadOnlyError": "READONLY",
    "MovedError": "MOVED",
    "AskError": "ASK",
    "TryAgainError": "TRYAGAIN",
    "ClusterDownError": "CLUSTERDOWN",
    "MasterDownError": "MASTERDOWN",
    "OutOfMemoryError": "OOM",
    "NoPermissionError": "NOPERM",
    "AuthenticationError": "WRONGPASS",
    "AuthenticationWrongNumberOfArgsError": "WRONGPASS",
    "ExecAbortError": "EXECABORT",
}


def word_of(reply: BaseException) -> str:
    """The error code of an error reply: `OOM`, `MOVED`, `WRONGTYPE` ..."""
    return _WORD_OF.get(type(reply).__name__) or str(reply).partition(" ")[0]


def of_reply(reply: exceptions.RedisError, place: str) -> StoreError:
    """The typed error of one error reply; `place` is the server's address without its password."""
    word = word_of(reply)
    if word in _AWAY:
        return Unavailable(f"{place}: {_AWAY[word]}")
    if word == "OOM":
        return OutOfMemory(f"{place}: maxmemory is reached; raise it, or keep fewer kinds in this Redis")
    if word in ("NOPERM", "NOAUTH", "WRONGPASS"):
        return Denied(f"{place}: Redis refuses: {reply}; check the user, its password and its ACL")
    return Rejected(f"{place}: Redis answered {reply}")


def of_abort(replies: Sequence[Any], place: str) -> StoreError:
    """Why a MULTI applied nothing: an error while queueing, or one that EXEC's own reply names."""
    cause = next(reply for reply in replies if isinstance(reply, exceptions.RedisError))
    if word_of(cause) != "EXECABORT":
        return of_reply(cause, place)
    reason = str(cause).partition("because of: ")[2]
    return of_reply(exceptions.ResponseError(reason or str(cause)), place)


def raise_errors(replies: Any, place: str) -> None:
    """Raises for the first error reply among `replies`."""
    for reply in replies:
        if isinstance(reply, exceptions.RedisError):
            raise of_reply(reply, place)
