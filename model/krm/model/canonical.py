"""From the API server's bytes to Items: canonical, redacted, and never decoded further than needed.

Canonical bytes of an object: `{"apiVersion":...,"kind":...,` and the other top-level fields in source order;
metadata without managedFields; the last-applied annotation removed and env values replaced wherever they stand
(krm.model.redaction). All else is kept byte for byte, so the same object watched (with
kind and apiVersion) and listed (without) has the same bytes.

One object that breaks a rule is a Bad: class, sentence, length, digest and key, never content.
"""

from __future__ import annotations

import json
import re
from hashlib import blake2b
from typing import Any, Dict, NamedTuple, Optional, Tuple, Union

from krm.model import codec as codecs
from krm.model import messages, nesting, records, redaction, selectable
from krm.model import outline as outlines
from krm.model.codec import NotJson, Pieces
from krm.model.kinds import Resource
from krm.model.messages import Item
from krm.model.pages import PageBody, read_page
from krm.model.refusals import Refused, UnparsableLine, bad_of, checked_version, refuse, string

VERSION = 2  # of the canonical form; part of `canon`, so that a new form rebuilds every snapshot
INITIAL_EVENTS_END = "k8s.io/initial-events-end"
MAX_NAME = 253  # bytes: RFC 1123 subdomain, the longest name or namespace that the API server takes
MAX_LABELS = 256 * 1024  # bytes; the API server caps annotations at 256 KiB and labels by the object alone
MAX_UID = 128  # characters; a UUID has 36

_LINE = re.compile(rb'\{"type":"(ADDED|MODIFIED|DELETED)","object":(?=\{)').match
_TYPES = {long: short for short, long in messages.EVENT_TYPES.items()}
# Bytes of an object as it was sent, up to which it cannot grow over the cap: a replaced env value adds at most 17
# bytes to an entry of 22.
_SURELY_FITS = 1024 * 1024
_PLAIN_LABELS = re.compile(rb'\{(?:"[^"\\]*":"[^"\\]*"(?:,"[^"\\]*":"[^"\\]*")*)?\}').fullmatch


class Bookmark(NamedTuple):
    """The watch has come as far as `rv`; `ends_initial`: the synthetic ADDED events are complete."""

    rv: str
    ends_initial: bool

    def item(self, received_at: float = 0.0) -> Item:
        return Item(messages.BOOKMARK, "", self.rv, received_at=received_at)


class Status(NamedTuple):
    """An ERROR line: 410 with reason Expired or Gone ends the watch for good."""

    code: int  # 0 = the server named none
    reason: str
    message: str


Event = Union[Item, Bookmark, Status]


class Canonicaliser:
    """Canonical Items of one resource. `keep_env`: env values are kept, on the operator's word."""

    def __init__(self, resource: Resource, keep_env: bool = False, codec: codecs.Codec = codecs.BEST) -> None:
        self.resource = resource
        self._codec = codec
        self._keep_env = keep_env
        self._head = b'{"apiVersion":%s,"kind":%s' % (
            codecs.quoted(resource.api_version),
            codecs.quoted(resource.object_kind),
        )
        self._own = {"apiVersion": codecs.quoted(resource.api_version), "kind": codecs.quoted(resource.object_kind)}
        self._selectable = selectable.Reader(str(resource.kind))
        self._outline = outlines.outliner(str(resource.kind), codec)
        self._arrays = redaction.Arrays()
        self._identify = outlines.outliner("", codec)
        kind, version = (b'"%s":%s,' % (name.encode(), self._own[name]) for name in ("kind", "apiVersion"))
        usual = rb'\{(%s|%s)?(?="metadata":\{")' % (re.escape(kind + version), re.escape(version + kind))
        self._kinds = (resource.object_kind, resource.api_version)
        self._usual_head = re.compile(usual).match
        self._opened = frozenset({"metadata"}) | self._selectable.opened
        settings = "%d %s %s" % (VERSION, "env kept" if keep_env else redaction.PLACEHOLDER, resource.api_version)
        self.canon = "%s %s" % (blake2b(settings.encode(), digest_size=6).hexdigest(), resource.api_version)

    # --- what the API server sends

    def event(self, line: bytes, received_at: float = 0.0) -> Event:
        """One line of a watch. Raises UnparsableLine."""
        try:
            usual = _LINE(line)
            if usual and line.endswith(b"}"):
                try:
                    return self.item(line[usual.end() : -1], _TYPES[usual.group(1).decode()], received_at)
                except NotJson:
                    pass  # perhaps a line of another shape, as with fields after the object; else refused again
            return self._any_event(line, received_at)
        except NotJson as error:
            raise UnparsableLine(bad_of(error, line, received_at)) from None

    def page(self, body: bytes, received_at: float = 0.0) -> PageBody:
        """A LIST body; an object that breaks a rule is in `bad`. Raises UnparsablePage."""
        return read_page(self._codec, body, lambda raw: self.item(raw, messages.ADDED, received_at), received_at)

    def metadata_page(self, body: bytes, received_at: float = 0.0) -> PageBody:
        """A PartialObjectMetadataList body: Items of key, rv and uid. Raises UnparsablePage."""
        return read_page(self._codec, body, self._entry, received_at)

    def item(self, raw: bytes, type: str = messages.ADDED, received_at: float = 0.0) -> Item:
        """One object, checked, canonical and redacted. Raises NotJson."""
        usual = self._usual(raw, type, received_at)
        if usual is not None:
            return usual
        top, metadata, inner = self._open(raw, self._opened)
        key, rv, uid = self._identity(metadata)
        try:
            self._check_own(top)
            labels = self._labels(metadata)
            body = self._body(top, metadata)
            fields = self._selectable.read(top, inner)
            if _size(body, labels, fields) > messages.MAX_OBJECT:
                refuse("TooLarge", "an object above %d bytes once it is redacted" % messages.MAX_OBJECT)
        except NotJson as error:
            raise Refused(error.error, str(error), key, rv) from None
        return Item(type, key, rv, uid, records.object_digest(body), labels, fields, body, received_at)

    # --- the object as API servers write it: its own bytes, less one span

    def _usual(self, raw: bytes, type: str, received_at: float) -> Optional[Item]:
        """None for what is written, or wrong, in another way: it is split then."""
        head = self._usual_head(raw)
        if head is None:
            return None
        outline = self._outline(raw)
        if outline is None or len(raw) > messages.MAX_OBJECT or len(outline.labels) > MAX_LABELS:
            return None
        if (outline.kind, outline.api_version) != (self._kinds if head.group(1) else ("", "")):
            return None
        rest = _without_managed(raw, head.end(), *outline.managed)
        if rest is None or (b"\\" in rest and redaction.odd_escape(rest)):
            return None
        try:
            codecs.check_bytes(rest)
            if nesting.brackets(rest) >= codecs.MAX_DEPTH:  # its first one is cut off
                nesting.check_depth(self._codec, b"{" + rest, codecs.MAX_DEPTH)
            key, rv, uid = self._checked(outline.name, outline.namespace, outline.uid, outline.rv)
        except NotJson:
            return None
        body = redaction.clean_plain(self._codec, b"%s,%s" % (self._head, rest), self._keep_env, self._arrays)
        if len(raw) > _SURELY_FITS and _size(body, outline.labels, outline.fields) > messages.MAX_OBJECT:
            return None
        digest = records.object_digest(body)
        return Item(type, key, rv, uid, digest, outline.labels, outline.fields, body, received_at)

    # --- parts

    def _open(self, raw: bytes, keys: Any) -> Tuple[Pieces, Pieces, Dict[str, Pieces]]:
        if len(raw) > messages.MAX_OBJECT:
            refuse("TooLarge", "an object above %d bytes" % messages.MAX_OBJECT)
        codecs.check_bytes(raw)
        top, inner = self._codec.opened(raw, keys)
        metadata = inner.get("metadata")
        if metadata is None:
            refuse("NoMetadata", "an object without metadata")
        return top, metadata, inner

    def _identity(self, metadata: Pieces) -> Tuple[str, str, str]:
        name, namespace = string(metadata, "name"), string(metadata, "namespace")
        try:
            uid, rv = string(metadata, "uid"), string(metadata, "resourceVersion")
        except NotJson as error:
            raise Refused(error.error, str(error), f"{namespace}/{name}") from None
        return self._checked(name, namespace, uid, rv)

    def _checked(self, name: str, namespace: str, uid: str, rv: str) -> Tuple[str, str, str]:
        """(key, rv, uid), if they are such as the API server gives."""
        if not name or bool(namespace) != self.resource.namespaced:
            refuse("BadName", "metadata.name or metadata.namespace is absent, or does not fit the kind")
        key = f"{namespace}/{name}"
        long = len(name.encode()) > MAX_NAME or len(namespace.encode()) > MAX_NAME
        if long or key.count("/") != 1 or not key.isprintable():
            refuse("BadName", f"a name over {MAX_NAME} bytes, or with '/' or characters that cannot be printed")
        checked_version(rv, key)
        if not 0 < len(uid) <= MAX_UID:
            raise Refused("BadUid", f"metadata.uid is absent or over {MAX_UID} characters", key, rv)
        return key, rv, uid

    def _check_own(self, top: Pieces) -> None:
        for name, own in self._own.items():
            if name in top and top[name] != own and string(top, name) != json.loads(own):
                refuse("OtherKind", "an object of another kind or apiVersion than was asked for")

    def _labels(self, metadata: Pieces) -> bytes:
        labels = metadata.get("labels", b"")
        if len(labels) > MAX_LABELS:
            refuse("TooManyLabels", "labels above %d bytes" % MAX_LABELS)
        if not labels or labels == b"null":
            return b""
        if not _PLAIN_LABELS(labels):
            for value in self._codec.fields(labels).values():
                if not value.startswith(b'"'):
                    refuse("BadLabels", "a label whose value is no string")
        return labels

    def _body(self, top: Pieces, metadata: Pieces) -> bytes:
        parts = [self._head]
        for name, piece in top.items():
            if name == "metadata":
                piece = self._metadata(metadata)
            elif name in self._own:
                continue
            elif len(piece) > codecs.SHALLOW:
                nesting.check_depth(self._codec, piece, codecs.MAX_DEPTH - 1)
            parts.append(b"%s:%s" % (codecs.quoted(name), piece))
        return redaction.clean(self._codec, b",".join(parts) + b"}", self._keep_env)

    def _metadata(self, metadata: Pieces) -> bytes:
        parts = []
        for name, piece in metadata.items():
            if name == "managedFields":
                continue
            if len(piece) > codecs.SHALLOW:
                nesting.check_depth(self._codec, piece, codecs.MAX_DEPTH - 2)
            parts.append(b"%s:%s" % (codecs.quoted(name), piece))
        return b"{" + b",".join(parts) + b"}"

    def _entry(self, raw: bytes) -> Item:
        """Key, rv and uid of one object of a metadata list."""
        found = self._identify(raw)
        if found is not None:
            return Item(messages.ADDED, *self._checked(found.name, found.namespace, found.uid, found.rv))
        _, metadata, _ = self._open(raw, frozenset({"metadata"}))
        return Item(messages.ADDED, *self._identity(metadata))

    # --- lines

    def _any_event(self, line: bytes, received_at: float) -> Event:
        if len(line) > messages.MAX_OBJECT + 1024:
            refuse("TooLarge", "a line above %d bytes" % (messages.MAX_OBJECT + 1024))
        codecs.check_bytes(line)
        pieces = self._codec.fields(line)
        type_ = string(pieces, "type")
        raw = pieces.get("object", b"")
        if type_ == "ERROR":
            return self._status(raw)
        if type_ not in _TYPES:
            refuse("UnknownType", "a line that is no watch event")
        if type_ == "BOOKMARK":
            return self._bookmark(raw)
        return self.item(raw, _TYPES[type_], received_at)

    def _bookmark(self, raw: bytes) -> Bookmark:
        _, metadata, _ = self._open(raw, frozenset({"metadata"}))
        rv = checked_version(string(metadata, "resourceVersion"))
        annotations = metadata.get("annotations", b"null")
        marks = self._codec.fields(annotations) if annotations != b"null" else {}
        return Bookmark(rv, marks.get(INITIAL_EVENTS_END) == b'"true"')

    def _status(self, raw: bytes) -> Status:
        pieces = self._codec.fields(raw)
        code = pieces.get("code", b"")
        number = int(code) if re.fullmatch(rb"[0-9]{1,3}", code) else 0
        return Status(number, string(pieces, "reason")[:100], string(pieces, "message")[:1000])


def _size(body: bytes, labels: bytes, fields: Tuple[str, ...]) -> int:
    """Bytes that an object takes in messages and in Redis, less its name and its like; 4 a character at most."""
    return len(body) + len(labels) + 4 * sum(map(len, fields))


def _without_managed(raw: bytes, start: int, value: int, end: int) -> Optional[bytes]:
    """`raw` from `start`, less metadata.managedFields, whose value begins and ends there, and its key; None where
    that key is not the only one, or not written behind another field."""
    if value < 0:
        return raw[start:]
    at = value - len(outlines.MANAGED)
    if at <= start or raw[at - 1 : at] != b"," or raw.find(outlines.MANAGED, end) >= 0:
        return None
    return raw[start : at - 1] + raw[end:]
