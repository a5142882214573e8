"""One pass over an object as API servers write it: who it is, and where its managedFields lie.

The usual object needs no splitting: its canonical bytes are its own, less one span. An outline is all
that must be known for that. Whatever is written in another way has no outline (None) and is split into
its fields by the caller; so does everything that is not sound, which then gets its typed error there.
Both codecs see an outline in the same bytes, or neither does.
"""

from __future__ import annotations

import json
import re
from operator import attrgetter
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from krm.model import codec as codecs
from krm.model.selectable import Leaf, leaves, substitutes, text

try:
    import msgspec
except ImportError:  # the `fast` extra is optional
    msgspec = None  # type: ignore[assignment]


class Outline(NamedTuple):
    """What one pass tells of an object."""

    kind: str  # '' = absent
    api_version: str
    name: str
    namespace: str
    uid: str
    rv: str
    labels: bytes  # raw metadata.labels, b"" = absent
    fields: Tuple[str, ...]  # selectable fields, as SELECTABLE names them
    managed: Tuple[int, int]  # where the raw metadata.managedFields begins and ends, (-1, -1) = absent


Substitutes = List[Tuple[int, int]]
Outliner = Callable[[bytes], Optional[Outline]]

_PLAIN_LABELS = re.compile(rb'\{(?:"[^"\\]*":"[^"\\]*"(?:,"[^"\\]*":"[^"\\]*")*)?\}').match
LABELS, MANAGED = b'"labels":', b'"managedFields":'
_IDENTITY = ("name", "namespace", "uid", "resourceVersion")


def outliner(kind: str, codec: codecs.Codec) -> Outliner:
    """The outliner of a kind."""
    make = _by_msgspec if codec is codecs.MSGSPEC else _by_stdlib
    return make(leaves(kind), substitutes(kind))


_ABSENT = (-1, -1)


def _labels_of(raw: bytes) -> bytes:
    """The first labels in the bytes, which are the metadata's where that stands first; b"" = not plain."""
    at = raw.find(LABELS)
    plain = _PLAIN_LABELS(raw, at + len(LABELS)) if at >= 0 else None
    return plain.group() if plain else b""


# --- msgspec


def _by_msgspec(found: List[Leaf], others: Substitutes) -> Outliner:
    absent = msgspec.Raw(b"")
    texts = [(name, str, "") for name in _IDENTITY]
    raws = [(name, msgspec.Raw, absent) for name in ("labels", "managedFields")]
    decode = msgspec.json.Decoder(_shape(msgspec.defstruct("Metadata", [*texts, *raws], gc=False), found)).decode
    read = _reader_of(found, others)

    def outline(raw: bytes) -> Optional[Outline]:
        try:
            top = decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        meta = top.metadata
        labels = bytes(meta.labels)
        if labels and labels != _labels_of(raw):
            return None
        span = _ABSENT
        if meta.managedFields is not absent:
            managed = bytes(meta.managedFields)
            start = raw.find(MANAGED) + len(MANAGED)
            if not raw.startswith(managed, start):  # another one stands first, or white space before it
                return None
            span = (start, start + len(managed))
        identity = (meta.name, meta.namespace, meta.uid, meta.resourceVersion)
        return Outline(top.kind, top.apiVersion, *identity, labels, read(top), span)

    return outline


def _reader_of(found: List[Leaf], others: Substitutes) -> Callable[[Any], Tuple[str, ...]]:
    """Selectable fields of a decoded struct; what is no string yet is made one, position by position."""
    if not found:
        return lambda _: ()
    # A leaf that is read nowhere stands in for itself with the object's kind, and is replaced below.
    paths = [".".join(filter(None, (leaf.parent, leaf.name))) or "kind" for leaf in found]
    get = attrgetter(*paths, "kind")  # one name more: of a single one no tuple is made
    odd = [(position, leaf) for position, leaf in enumerate(found) if leaf.zero or not leaf.name]

    def read(top: Any) -> Tuple[str, ...]:
        values = get(top)
        if not odd and not others:
            return values[:-1]
        fields = list(values[:-1])
        for position, leaf in odd:
            fields[position] = _written(fields[position], leaf)
        for position, other in others:
            fields[position] = fields[position] or fields[other]
        return tuple(fields)

    return read


def _written(value: Any, leaf: Leaf) -> str:
    if not leaf.name:
        return leaf.zero
    if leaf.zero == "false":
        return "true" if value else "false"
    return text(bytes(value) or None, leaf.zero)


def _shape(metadata: Any, found: List[Leaf]) -> Any:
    """A struct that has just the fields asked for; msgspec skips, and checks, the rest."""
    kinds = {"": (str, ""), "false": (bool, False)}
    by_parent: Dict[str, List[Tuple[str, Any, Any]]] = {}
    for leaf in found:
        if leaf.name:
            annotation, default = kinds.get(leaf.zero, (msgspec.Raw, msgspec.Raw(b"")))
            by_parent.setdefault(leaf.parent, []).append((leaf.name, annotation, default))
    top: List[Any] = [("metadata", metadata), ("kind", str, ""), ("apiVersion", str, "")]
    top += by_parent.pop("", [])
    for parent, fields in by_parent.items():
        part = msgspec.defstruct(parent.title(), fields, gc=False)
        top.append((parent, part, msgspec.field(default_factory=part)))
    return msgspec.defstruct("Object", top, gc=False)  # lives for one call, and holds no cycle


# --- the standard library


class _Number(str):
    """A number as it was written."""


_decoder: Any = json.JSONDecoder(parse_int=_Number, parse_float=_Number, parse_constant=codecs.refuse_constant)


def _by_stdlib(found: List[Leaf], others: Substitutes) -> Outliner:
    def outline(raw: bytes) -> Optional[Outline]:
        try:
            if codecs.half_pair(raw):
                return None
            written = raw.decode("latin-1")
            return _outlined(_decoder.decode(written), raw, written, found, others)
        except (ValueError, StopIteration, RecursionError):
            return None

    return outline


def _outlined(top: Any, raw: bytes, written: str, found: List[Leaf], others: Substitutes) -> Optional[Outline]:
    meta = top.get("metadata") if isinstance(top, dict) else None
    if not isinstance(meta, dict):
        return None
    kind, api_version = (_as_text(top.get(key, "")) for key in ("kind", "apiVersion"))
    name, namespace, uid, rv = (_as_text(meta.get(key, "")) for key in _IDENTITY)
    labels = _labels_of(raw) if "labels" in meta else b""
    if "labels" in meta and (not labels or json.loads(labels.decode("latin-1")) != meta["labels"]):
        return None
    fields = [_leaf(top, leaf) for leaf in found]
    for position, other in others:
        fields[position] = fields[position] or fields[other]
    span = _span(raw, written, MANAGED, meta["managedFields"]) if "managedFields" in meta else _ABSENT
    return Outline(kind, api_version, name, namespace, uid, rv, labels, tuple(fields), span)


def _span(raw: bytes, written: str, key: bytes, value: Any) -> Tuple[int, int]:
    """Where the raw value behind the first `key` lies, if it is this one."""
    at = raw.find(key)
    start = at + len(key)
    found, end = _decoder.scan_once(written, start) if at >= 0 else (None, 0)
    if at < 0 or found != value:
        raise _OtherType
    return start, end


class _OtherType(ValueError):
    """A field of another type than msgspec would take."""


def _leaf(top: Dict[str, Any], leaf: Leaf) -> str:
    holder = top.get(leaf.parent, {}) if leaf.parent else top
    if not isinstance(holder, dict):
        raise _OtherType
    if not leaf.name or leaf.name not in holder:
        return leaf.zero
    value = holder[leaf.name]
    if leaf.zero == "":
        return _as_text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if leaf.zero == "false":
        raise _OtherType
    return leaf.zero if value is None or isinstance(value, (dict, list)) else _as_written(value)


def _as_text(value: Any) -> str:
    """A string whose characters were bytes, as text."""
    if type(value) is not str:
        raise _OtherType
    return _as_written(value)


def _as_written(value: str) -> str:
    return value.encode("latin-1").decode()
