"""Objects, lists and events as bytes, in the forms that clients ask for. Pure.

Bytes are the currency: a plain answer is made of the canonical bytes that the replica holds, only their
first two fields stand in the order of the API server's encoder.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from krm.model import codec as codecs
from krm.model.codec import NotJson
from krm.model.gojson import written
from krm.model.kinds import Resource
from krm.model.messages import EVENT_TYPES
from krm.model.records import Envelope
from krm.server.groups import BUILT_IN
from krm.server.negotiation import JSON, METADATA, Form

INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class Page(NamedTuple):
    """A list's metadata."""

    rv: str
    continue_token: str = ""
    remaining: Optional[int] = None

    def metadata(self) -> Dict[str, Any]:
        """As ListMeta is written."""
        found: Dict[str, Any] = {"resourceVersion": self.rv}
        if self.continue_token:
            found["continue"] = self.continue_token
        if self.remaining is not None:
            found["remainingItemCount"] = self.remaining
        return found


class Writer:
    """Writes the objects of one kind."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.typed = resource.kind.group in BUILT_IN
        api, kind = codecs.quoted(resource.api_version), codecs.quoted(resource.object_kind)
        self._canonical = b'{"apiVersion":%s,"kind":%s,' % (api, kind)
        self._whole = b'{"kind":%s,"apiVersion":%s,' % (kind, api) if self.typed else self._canonical
        self._item = b"{" if self.typed else self._canonical

    # One object

    def object(self, form: Form, envelope: Envelope) -> bytes:
        """As `get` answers it, or as it stands in an event, without a newline."""
        return self._plain(envelope, self._whole) if form.name == JSON else metadata_object(form, envelope)

    def item(self, form: Form, envelope: Envelope) -> bytes:
        """As it stands in a list."""
        return self._plain(envelope, self._item) if form.name == JSON else metadata_object(form, envelope)

    def _plain(self, envelope: Envelope, head: bytes) -> bytes:
        body = envelope.body
        return head + body[len(self._canonical) :] if body.startswith(self._canonical) else body

    # A list

    def list(self, form: Form, page: Page, items: Sequence[bytes]) -> bytes:
        """The whole body."""
        before, after = self.list_frame(form, page)
        return b"".join((before, b",".join(items), after))

    def list_frame(self, form: Form, page: Page) -> Tuple[bytes, bytes]:
        """What stands before and behind the items."""
        metadata = written(page.metadata())
        if form.name == METADATA:
            head = b'{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/%s","metadata":'
            return head % form.version.encode() + metadata + b',"items":[', b"]}\n"
        api = codecs.quoted(self.resource.api_version)
        kind = codecs.quoted(self.resource.object_kind + "List")
        if self.typed:
            return b'{"kind":%s,"apiVersion":%s,"metadata":%s,"items":[' % (kind, api, metadata), b"]}\n"
        # Custom resources: a map's keys in order, and a token even where there is none.
        sorted_ = written(dict(sorted({"continue": "", **page.metadata()}.items())))
        return b'{"apiVersion":%s,"items":[' % api, b'],"kind":%s,"metadata":%s}\n' % (kind, sorted_)

    # Events

    def mark(self, rv: str, ends_initial: bool = False) -> Envelope:
        """What a bookmark shows: an object that has nothing but a resourceVersion."""
        metadata: Dict[str, Any] = {"resourceVersion": rv}
        if ends_initial:
            metadata["annotations"] = {INITIAL_EVENTS_END: "true"}
        return Envelope(rv, "", b"", 0.0, b"", (), self._canonical + b'"metadata":%s}' % written(metadata))


def event(type_: str, written_object: bytes) -> bytes:
    """One line of a watch."""
    name = EVENT_TYPES.get(type_, type_)
    return b'{"type":"%s","object":%s}\n' % (name.encode(), written_object)


def metadata_of(envelope: Envelope) -> bytes:
    """The raw metadata of an object; `{}` where its bytes are no JSON object."""
    try:
        return codecs.BEST.fields(envelope.body).get("metadata", b"{}")
    except NotJson:
        return b"{}"


def metadata_object(form: Form, envelope: Envelope) -> bytes:
    """PartialObjectMetadata."""
    head = b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/%s","metadata":%s}'
    return head % ((form.version or "v1").encode(), metadata_of(envelope))


def at_version(envelope: Envelope, rv: str) -> Envelope:
    """An object that left a selection, as its DELETED event shows it: as it was before, at the new version."""
    try:
        top, inner = codecs.BEST.opened(envelope.body, frozenset({"metadata"}))
    except NotJson:
        return envelope._replace(rv=rv)
    metadata = dict(inner.get("metadata", {}))
    metadata["resourceVersion"] = codecs.quoted(rv)
    top["metadata"] = _object(metadata)
    return envelope._replace(rv=rv, body=_object(top))


def _object(pieces: Dict[str, bytes]) -> bytes:
    rows: List[bytes] = [b"%s:%s" % (codecs.quoted(name), piece) for name, piece in pieces.items()]
    return b"{" + b",".join(rows) + b"}"
