"""What may go wrong for a reader, one class a case; each message is a sentence that says what to do.

    KrmError
    +-- Nowhere                no Redis was named and no `krm up` runs here
    +-- Unreachable            Redis, or krm's server, does not answer
    +-- Refused                krm's server does not know the caller (401), or the caller may not read this (403)
    +-- UnknownCluster         no cluster of that name in this Redis, or several and none was chosen
    +-- UnknownKind            krm keeps no such kind here
    +-- BadRequest             a selector, token, time or kind that does not parse (a ValueError too)
    +-- NotTrusted             the kind's state does not allow a plain answer; `.trust` says why
    |   +-- Warming            nothing was listed yet: there is nothing to give, whatever the caller says
    |   +-- Reset              the snapshot began anew since this client last read it; told once
    |   +-- Absent             the API server does not serve the kind
    |   +-- Forbidden          krm may not list or watch the kind
    |   +-- Truncated          more objects than krm keeps: a count, no items
    |   +-- Stale              what is held may be older than it looks
    +-- Expired                the past that was asked for is no longer kept, or a watch lost its place
    +-- NoMeasurements         there is no history, or none that can be read from here
    |   +-- TooMuch            more than one answer of it may hold
    +-- Busy                   the snapshot changed too fast to be read whole; try again
    +-- Damaged                bytes in Redis that do not fit their digest or format: never served
    +-- BadObject              one object's body is no JSON object; the others are unharmed
    +-- ReadOnly               objects are read-only (a TypeError too)
    +-- NeedsPackage           an optional package is missing (an ImportError too)

The states are those of krm.model.trust; `stale_ok=True` turns a NotTrusted into an answer whose `.trust` says
the same thing, where anything is held: never of a kind that is Warming or was never listed.
"""

from __future__ import annotations

from typing import Dict, Type

from krm.model import trust as states


class KrmError(Exception):
    """Any error of this library."""


class Nowhere(KrmError):
    """No Redis was named and none runs here, or the folder that would name it cannot be trusted."""


class Unreachable(KrmError):
    """Redis, or krm's server, refused, timed out or cannot answer yet."""


class Refused(KrmError):
    """krm's server wants another token, or the caller has no right to read this."""


class UnknownCluster(KrmError):
    """No such cluster in this Redis, or several of which none was named."""


class UnknownKind(KrmError):
    """No pipeline was ever announced for the kind."""


class BadRequest(KrmError, ValueError):
    """The caller's words do not parse."""


class NotTrusted(KrmError):
    """A state in which a plain answer would mislead."""

    def __init__(self, kind: str, trust: states.Trust) -> None:
        why = "; ".join(trust.reasons) or "no reason given"
        super().__init__(f"{kind} are {trust.state}: {why}")
        self.kind = kind
        self.trust = trust


class Warming(NotTrusted):
    """Nothing to read yet."""


class Reset(NotTrusted):
    """The snapshot was rebuilt: tokens and versions of before mean nothing now."""


class Absent(NotTrusted):
    """The API server does not serve the kind."""


class Forbidden(NotTrusted):
    """Listing or watching the kind was refused."""


class Truncated(NotTrusted):
    """Too many objects to keep."""


class Stale(NotTrusted):
    """The answer may be older than it looks."""


class Expired(KrmError):
    """That point in time cannot be read any more."""


class NoMeasurements(KrmError):
    """There is no history, or none that can be read from here; the sentence says why."""


class TooMuch(NoMeasurements):
    """More points or sums than one answer may hold: ask for less time, or for one namespace."""


class Busy(KrmError):
    """No consistent read within three tries."""


class Damaged(KrmError):
    """Redis holds bytes that krm did not write, or that rotted."""


class BadObject(KrmError):
    """This object's body does not parse."""

    def __init__(self, kind: str, key: str, why: str) -> None:
        super().__init__(f"{kind} {key}: the stored body does not parse ({why})")
        self.kind = kind
        self.key = key


class ReadOnly(KrmError, TypeError):
    """Objects of a snapshot are shared and cannot be changed; `to_dict()` gives a copy that can."""


class NeedsPackage(KrmError, ImportError):
    """An optional package is not installed."""


ERROR_OF: Dict[str, Type[NotTrusted]] = {
    states.WARMING: Warming,
    states.RESET: Reset,
    states.ABSENT: Absent,
    states.FORBIDDEN: Forbidden,
    states.TRUNCATED: Truncated,
    states.STALE: Stale,
}
