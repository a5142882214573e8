"""What passes between the stages: msgpack arrays, versioned, capped in size and depth.

    streamer -> K events:  Batch, StreamerReport, End
    verifier -> K lists:   Page, ListEnd, VerifierReport

Every message is `[FORMAT, tag, fields...]`, the fields in the order of the classes below. A reader
refuses another FORMAT, an unknown tag, a wrong field count and anything over the caps with
BadMessage: a poisoned stream entry is counted and skipped, it never stops a kind.

resourceVersions are strings (they reach 2^128, msgpack integers end at 2^64). Times are seconds of
the Redis clock (float, since the epoch), so that stages on skewed machines agree.
"""

from __future__ import annotations

from math import isfinite
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Type, Union

import msgpack

FORMAT = 2
# Bytes. A page of 500 objects of 10 KB is 5 MB; the API server refuses objects above about 1.5 MiB
# (etcd's request limit), so this leaves room for a page of large ones.
MAX_MESSAGE = 64 * 1024 * 1024
# Bytes. One object with its labels and selectable fields: etcd's default request limit is 1.5 MiB, krm keeps twice
# that. One value in a message may be an envelope: an object with its name, uid and the like, below 4 KiB.
MAX_OBJECT = 3 * 1024 * 1024
MAX_VALUE = MAX_OBJECT + 4096
# Entries of one array or map: a page holds at most 500 items, an audit or a want far fewer.
MAX_ENTRIES = 20_000

ADDED, MODIFIED, DELETED, BOOKMARK = "A", "M", "D", "B"
EVENT_TYPES = {ADDED: "ADDED", MODIFIED: "MODIFIED", DELETED: "DELETED", BOOKMARK: "BOOKMARK"}


class BadMessage(ValueError):
    """An entry that is no message of this format."""


class Item(NamedTuple):
    """One object at one version, canonical and redacted; in a metadata list only type, key, rv, uid are set."""

    type: str  # ADDED, MODIFIED, DELETED or BOOKMARK; ADDED in a list
    key: str  # "namespace/name", "/name" where cluster-scoped, "" for a bookmark
    rv: str
    uid: str = ""
    digest: bytes = b""  # blake2b-16 of body
    labels: bytes = b""  # metadata.labels as raw JSON, b"" where absent
    fields: Tuple[str, ...] = ()  # selectable fields, in the order of selectors.SELECTABLE[kind]
    body: bytes = b""  # canonical JSON
    received_at: float = 0.0


class Bad(NamedTuple):
    """An object or a line that was refused: never its content, which may hold secrets."""

    error: str  # class and sentence, at most 200 characters
    length: int  # bytes
    digest: str  # blake2b-16 of the bytes, hex
    key: str = ""  # where it could be read
    rv: str = ""
    at: float = 0.0


class Batch(NamedTuple):
    """Up to 100 events of one session, in the order of the watch."""

    incarnation: str
    session: str
    seq: int  # 0, 1, 2 ... without gaps within a session
    from_rv: str  # where the session's first watch started
    canon: str
    cluster_uid: str
    items: Tuple[Item, ...]


class StreamerReport(NamedTuple):
    """Sent each 2 s: the watch is (not) connected."""

    incarnation: str
    session: str
    at: float
    connected_since: float  # 0 = not connected
    last_byte: float
    error: str  # class of the last error since the last success, '' = none; "Forbidden", "NotFound", ...
    bad: Tuple[Bad, ...] = ()


class End(NamedTuple):
    """The session ended. cause: expired, unparsable, shutdown, incarnation, error."""

    incarnation: str
    session: str
    cause: str


class Page(NamedTuple):
    """One page of a list. All pages of a list carry the same rv, f0, t0, canon and cluster_uid."""

    incarnation: str
    list_id: str
    answers: str  # the want that this list serves, '' for a routine one
    mode: str  # META or FULL
    consistent: bool  # RV unset: the newest state; else "not older than f0"
    source: str  # what answered: "cache" (the API server's watch cache) or "etcd"
    page: int  # 0, 1, 2 ...
    rv: str  # the list's resourceVersion
    f0: str  # head.rv read before page 0; "0" while building
    t0: float  # send time of page 0, Redis clock
    canon: str
    cluster_uid: str
    items: Tuple[Item, ...]


class ListEnd(NamedTuple):
    """All pages of a list were handed over."""

    incarnation: str
    list_id: str
    pages: int
    objects: int
    truncated: bool = False  # above 100,000 objects: counted, not handed on
    bad: Tuple[Bad, ...] = ()


class Probe(NamedTuple):
    """A consistent read of one key: proof of freshness."""

    f0: str
    rv: str
    sent_at: float


class Audit(NamedTuple):
    """The API server's cache compared with its etcd at one resourceVersion."""

    rv: str
    at: float
    keys: Tuple[str, ...]  # that differ, at most 20
    differing: int


class VerifierReport(NamedTuple):
    """Sent each 2 s, and after each probe or audit."""

    incarnation: str
    at: float
    error: str  # class of the last list or probe error since the last success, '' = none
    unserved: bool  # discovery lacks the kind
    probe: Optional[Probe] = None
    audit: Optional[Audit] = None
    facts: str = ""  # krm.model.served, where the head does not hold the same; '' = nothing new


META, FULL = "meta", "full"

Message = Union[Batch, StreamerReport, End, Page, ListEnd, VerifierReport]

_TAGS: Dict[str, Type[Any]] = {
    "batch": Batch,
    "watching": StreamerReport,
    "end": End,
    "page": Page,
    "listed": ListEnd,
    "listing": VerifierReport,
}
_TAG_OF = {cls: tag for tag, cls in _TAGS.items()}
_NESTED: Dict[Tuple[Type[Any], str], Type[Any]] = {
    (Batch, "items"): Item,
    (Page, "items"): Item,
    (StreamerReport, "bad"): Bad,
    (ListEnd, "bad"): Bad,
    (VerifierReport, "probe"): Probe,
    (VerifierReport, "audit"): Audit,
}
# What a field may hold, by its annotation as written above (annotations are strings here).
_SHAPES: Dict[str, Tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (float, int),
    "bytes": (bytes,),
    "bool": (bool,),
    "Tuple[str, ...]": (tuple,),
    "Tuple[Item, ...]": (tuple,),
    "Tuple[Bad, ...]": (tuple,),
    "Optional[Probe]": (tuple, type(None)),
    "Optional[Audit]": (tuple, type(None)),
}


def _notes(cls: Type[Any]) -> List[str]:
    # NamedTuple keeps annotations as ForwardRef on some versions, as str on others.
    notes = [cls.__annotations__[name] for name in cls._fields]
    return [note if isinstance(note, str) else note.__forward_arg__ for note in notes]


def _positions(cls: Type[Any], note: str) -> List[int]:
    return [position for position, found in enumerate(_notes(cls)) if found == note]


_CLASSES = (*_TAGS.values(), Item, Bad, Probe, Audit)
_SHAPES_OF = {cls: [_SHAPES[note] for note in _notes(cls)] for cls in _CLASSES}
_TIMES_OF = {cls: _positions(cls, "float") for cls in _CLASSES}
_TEXTS_OF = {cls: _positions(cls, "Tuple[str, ...]") for cls in _CLASSES}


def pack(message: Message) -> bytes:
    """The message as it stands in a stream entry."""
    packed: bytes = msgpack.packb([FORMAT, _TAG_OF[type(message)], *message], use_bin_type=True)
    return packed


def unpack(raw: bytes) -> Message:
    """The message in a stream entry. Raises BadMessage, never anything else."""
    parts = unpack_capped(raw)
    if not isinstance(parts, tuple) or len(parts) < 2 or parts[0] != FORMAT:
        raise BadMessage("no message of format %d" % FORMAT)
    cls = _TAGS.get(parts[1]) if isinstance(parts[1], str) else None
    if cls is None:
        raise BadMessage("unknown message tag")
    message: Message = _build(cls, parts[2:])
    return message


def unpack_capped(raw: bytes) -> Any:
    """msgpack with krm's caps on size, entries and depth; ext types and trailing bytes are refused."""
    if len(raw) > MAX_MESSAGE:
        raise BadMessage("message of %d bytes: over the cap of %d" % (len(raw), MAX_MESSAGE))
    try:
        return msgpack.unpackb(
            raw,
            use_list=False,
            raw=False,
            strict_map_key=True,
            max_array_len=MAX_ENTRIES,
            max_map_len=MAX_ENTRIES,
            max_bin_len=MAX_VALUE,
            max_str_len=MAX_VALUE,
            max_ext_len=0,
        )
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise BadMessage("not msgpack within the caps: %s" % type(error).__name__) from None


def _build(cls: Type[Any], parts: Tuple[Any, ...]) -> Any:
    shapes = _SHAPES_OF[cls]
    if len(parts) != len(shapes):
        raise BadMessage("%s with %d fields, not %d" % (cls.__name__, len(parts), len(shapes)))
    for name, shape, value in zip(cls._fields, shapes, parts):
        if not isinstance(value, shape):
            raise BadMessage("%s.%s is no %s" % (cls.__name__, name, shape[0].__name__))
    _check_values(cls, parts)
    built = list(parts)
    for position, name in enumerate(cls._fields):
        nested = _NESTED.get((cls, name))
        if nested is None or parts[position] is None:
            continue
        value = parts[position]
        if nested in (Probe, Audit):
            built[position] = _build(nested, value)
        else:
            built[position] = tuple([_build_row(nested, row) for row in value])
    return cls(*built)


def _check_values(cls: Type[Any], parts: Tuple[Any, ...]) -> None:
    """What a type alone does not tell: a time is a moment (NaN would be fresh for ever), a text a text."""
    for position in _TIMES_OF[cls]:
        if not isfinite(parts[position]):
            raise BadMessage("%s.%s is no time" % (cls.__name__, cls._fields[position]))
    for position in _TEXTS_OF[cls]:
        if not all(isinstance(part, str) for part in parts[position]):
            raise BadMessage("%s.%s holds something else than str" % (cls.__name__, cls._fields[position]))
    if cls is Item:
        event_type, key = parts[0], parts[1]
        if event_type not in EVENT_TYPES or ("/" in key) == (event_type == BOOKMARK):
            raise BadMessage("Item of no known type, or without namespace/name")


def _build_row(cls: Type[Any], row: Any) -> Any:
    if not isinstance(row, tuple):
        raise BadMessage("%s is no array" % cls.__name__)
    return _build(cls, row)
