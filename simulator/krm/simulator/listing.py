"""LIST and GET: what each resourceVersion, match, limit and continue means, and how it is refused."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

from .history import Stored
from .kinds import Kind
from .selectors import Selector
from .wire import Object, Refusal, invalid_options, list_envelope, list_item, partial_object
from .world import World

EXPIRED_LIST = "The resourceVersion for the provided list is too old."
EXPIRED_CONTINUE = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list "
    "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
    "results. Continuing with the provided token results in an inconsistent list - objects that were created, "
    "modified, or deleted between the time the first chunk was returned and now may show up in the list."
)


@dataclass(frozen=True)
class ListQuery:
    """A list request, its parameters still as text where the text matters."""

    kind: Kind
    selector: Selector
    version: str = ""
    match: str = ""
    limit: int = 0
    token: str = ""
    partial: bool = False


def list_bytes(world: World, query: ListQuery, too_large_wait: float, hang: float) -> bytes:
    """The whole body of the answer. Refusal where the API server would refuse."""
    revision, start, paged = _settle(world, query, too_large_wait, hang)
    state = _state(world, query, revision)
    names = sorted(key for key in state if key > start and query.selector.matches(state[key]))
    shown, rest = (names[: query.limit], len(names) - query.limit) if paged else (names, 0)
    token = ""
    if rest > 0:
        token = _token(revision, shown[-1])
    remaining = rest if query.selector.empty else None
    before, after = list_envelope(query.kind, revision, token, remaining, query.partial)
    return before + b",".join(_items(query, state, shown)) + after


def _items(query: ListQuery, state: Dict[str, Stored], keys: List[str]) -> List[bytes]:
    if query.partial:
        return [partial_object(state[key].metadata()) for key in keys]
    return [list_item(query.kind, state[key].body()) for key in keys]


def _state(world: World, query: ListQuery, revision: int) -> Dict[str, Stored]:
    with world.lock:
        present = revision == world.revision
    return world.stored_at(query.kind.name, None if present else revision)


def check_options(match: str, version: str, token: str) -> None:
    """The 422s that come before anything is read."""
    field = "resourceVersionMatch"
    if not match:
        return
    causes: List[Tuple[str, str, str]] = []
    if not version:
        text = field + " is forbidden unless resourceVersion is provided"
        causes.append((field, "FieldValueForbidden", text))
    if token:
        causes.append((field, "FieldValueForbidden", field + " is forbidden when continue is provided"))
    if match not in ("Exact", "NotOlderThan"):
        text = '"%s": supported values: "Exact", "NotOlderThan", ""' % match
        causes.append((field, "FieldValueNotSupported", text))
    if match == "Exact" and version == "0":
        text = '%s "exact" is forbidden for resourceVersion "0"' % field
        causes.append((field, "FieldValueForbidden", text))
    if causes:
        raise invalid_options(causes)


def parse_version(text: str, listing: bool = False) -> int:
    """A resourceVersion as a number. Refusal where it is none: 400 of a list, 500 of a watch or GET (1.36)."""
    digits = text.isascii() and text.isdigit()
    if digits and len(text) <= 20 and int(text) < 1 << 64:
        return int(text)
    why = "value out of range" if digits else "invalid syntax"
    message = 'resourceVersion: Invalid value: "%s": strconv.ParseUint: parsing "%s": %s' % (text, text, why)
    if listing:
        raise Refusal(400, "BadRequest", "invalid resource version: " + message)
    raise Refusal(500, "", message)


def _settle(world: World, query: ListQuery, wait: float, hang: float) -> Tuple[int, str, bool]:
    """(revision to read at, key to start after, whether `limit` counts)."""
    check_options(query.match, query.version, query.token)
    if query.token:
        if query.version not in ("", "0"):
            raise Refusal(400, "BadRequest", "specifying resource version is not allowed when using continue")
        revision, start = _continue(world, query)
        return revision, start, query.limit > 0 and query.version != "0"
    paged = query.limit > 0
    if not query.version:
        return _consistent(world, query.kind, hang), "", paged
    wanted = parse_version(query.version, listing=True)
    if wanted == 0:
        return _cached(world, query.kind), "", False
    if query.match == "Exact" or (paged and not query.match):
        return _exact(world, query.kind, wanted, wait), "", paged
    wait_for(world, query.kind, wanted, wait)
    return _cached(world, query.kind), "", paged


def _cached(world: World, kind: Kind) -> int:
    """What this API server knows now: behind the truth while it is stale."""
    with world.lock:
        seen = world.faults.seen_revision(kind.name)
        return world.revision if seen is None else seen


def _consistent(world: World, kind: Kind, hang: float) -> int:
    if not world.faults.wait_healed("etcd_stopped", kind.name, hang):
        raise timeout("request did not complete within the allotted duration")
    with world.lock:
        seen = world.faults.seen_revision(kind.name, quorum=True)
        return world.revision if seen is None else seen


def _exact(world: World, kind: Kind, wanted: int, wait: float) -> int:
    wait_for(world, kind, wanted, wait)
    with world.lock:
        if wanted < _oldest(world, kind):
            raise Refusal(410, "Expired", EXPIRED_LIST)
    return wanted


def _oldest(world: World, kind: Kind) -> int:
    return max(world.compacted, world.log(kind.name).trimmed)


def _continue(world: World, query: ListQuery) -> Tuple[int, str]:
    revision, start = _read_token(query.token)
    with world.lock:
        if revision < 0:  # the inconsistent remainder: at the present
            return world.revision, start
        if revision < _oldest(world, query.kind):
            remainder = {"continue": _token(-1, start)}
            raise Refusal(410, "Expired", EXPIRED_CONTINUE, metadata=remainder)
        if revision > world.revision:
            raise too_large(revision, world.revision)
    return revision, start


def _token(revision: int, last: str) -> str:
    value = {"v": "meta.k8s.io/v1", "rv": revision, "start": last + "\0"}
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode().rstrip("=")


def _read_token(token: str) -> Tuple[int, str]:
    try:
        value = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        if value["v"] != "meta.k8s.io/v1" or not value["start"].endswith("\0"):
            raise ValueError
        return int(value["rv"]), str(value["start"][:-1])
    except (ValueError, KeyError, TypeError, AttributeError):
        text = "continue key is not valid: invalid character 'i' looking for beginning of value"
        raise Refusal(400, "BadRequest", "invalid continue token: " + text) from None


def timeout(text: str, details: Optional[Object] = None) -> Refusal:
    return Refusal(504, "Timeout", "Timeout: " + text, details if details is not None else {})


def too_large(wanted: int, current: int) -> Refusal:
    """504: the version asked for lies ahead of what this server knows."""
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    text = "Too large resource version: %d, current: %d" % (wanted, current)
    refusal = timeout(text, {"causes": [cause], "retryAfterSeconds": 1})
    refusal.headers["Retry-After"] = "1"
    return refusal


def wait_for(world: World, kind: Kind, wanted: int, seconds: float) -> None:
    """Hang until the server's cache reaches a revision. Refusal 504 after `seconds`."""
    deadline = time.monotonic() + seconds
    with world.lock:
        log = world.log(kind.name)
        while _cached(world, kind) < wanted:
            left = deadline - time.monotonic()
            if left <= 0:
                raise too_large(wanted, _cached(world, kind))
            # Another kind's write advances the shared counter too, hence the short naps.
            log.changed.wait(min(left, 0.05))


def get_bytes(world: World, kind: Kind, key: str, partial: bool, version: str, wait: float, hang: float) -> bytes:
    """One object, or Refusal 404."""
    if version not in ("", "0"):
        wait_for(world, kind, parse_version(version), wait)
    elif not version:
        _consistent(world, kind, hang)
    seen = world.faults.seen_revision(kind.name, quorum=not version)
    stored = world.stored_at(kind.name, seen).get(key)
    if stored is None:
        raise not_found(kind, key.rpartition("/")[2])
    return (partial_object(stored.metadata()) if partial else stored.body()) + b"\n"


def not_found(kind: Kind, name: str) -> Refusal:
    return Refusal(404, "NotFound", '%s "%s" not found' % (kind.name, name), details_of(kind, name))


def details_of(kind: Kind, name: str = "", uid: str = "") -> Object:
    """StatusDetails in struct order, empty members left out."""
    details = {"name": name, "group": kind.group, "kind": kind.resource, "uid": uid}
    return {member: value for member, value in details.items() if value}
