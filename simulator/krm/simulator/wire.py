"""JSON as the Go API server writes it: compact, struct field order, HTML escaped, one newline after a body."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any, Dict, List, Optional, Tuple

from .kinds import Kind

Object = Dict[str, Any]

METADATA_ORDER = (
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
)
_ESCAPES = (("&", "\\u0026"), ("<", "\\u003c"), (">", "\\u003e"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029"))


def dumps(value: Any, sort_keys: bool = False) -> bytes:
    """Compact JSON with Go's HTML escapes. These characters occur inside strings only, so replacing is safe."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=sort_keys)
    for plain, escaped in _ESCAPES:
        if plain in text:
            text = text.replace(plain, escaped)
    return text.encode("utf-8", "surrogatepass")


def ordered_metadata(metadata: Object) -> Object:
    """ObjectMeta in struct order; unknown members last, as they came."""
    ordered = {name: metadata[name] for name in METADATA_ORDER if name in metadata}
    ordered.update((name, value) for name, value in metadata.items() if name not in ordered)
    return ordered


def encode_object(kind: Kind, obj: Object) -> Tuple[bytes, int, int]:
    """(body, head, tail): `body[head:len(body) - tail]` is the metadata member's value."""
    if kind.custom:
        whole = dict(obj, kind=kind.kind, apiVersion=kind.api_version)
        before = {name: whole[name] for name in whole if name < "metadata"}
        after = {name: whole[name] for name in whole if name > "metadata"}
        head = dumps(before, True)[:-1] + b',"metadata":'
        metadata, rest = dumps(obj["metadata"], True), dumps(after, True)[1:]
    else:
        head = kind.head + b'"metadata":'
        metadata = dumps(ordered_metadata(obj["metadata"]))
        rest = dumps({k: v for k, v in obj.items() if k not in ("kind", "apiVersion", "metadata")})[1:]
    tail = rest if rest == b"}" else b"," + rest
    return head + metadata + tail, len(head), len(tail)


def watch_line(event_type: bytes, body: bytes) -> bytes:
    """One line of a watch."""
    return b'{"type":"%s","object":%s}\n' % (event_type, body)


def list_envelope(
    kind: Kind, revision: int, token: str, remaining: Optional[int], partial: bool
) -> Tuple[bytes, bytes]:
    """What stands before and after the items of a list, which are joined by commas.

    `remainingItemCount` is left out (None) where a selector is in use, as the API server does.
    """
    metadata: Object = {"resourceVersion": str(revision)}
    if token:
        metadata["continue"] = token
        if remaining is not None:
            metadata["remainingItemCount"] = remaining
    if kind.custom and not partial:
        metadata.setdefault("continue", "")
        start = b'{"apiVersion":"%s","items":[' % kind.api_version.encode()
        end = b'],"kind":"%s","metadata":%s}\n' % (kind.list_name.encode(), dumps(metadata, True))
        return start, end
    names = ("PartialObjectMetadataList", "meta.k8s.io/v1") if partial else (kind.list_name, kind.api_version)
    opening = {"kind": names[0], "apiVersion": names[1], "metadata": metadata}
    return dumps(opening)[:-1] + b',"items":[', b"]}\n"


def list_item(kind: Kind, body: bytes) -> bytes:
    """A stored body as it stands in a list: built-in kinds lose kind and apiVersion there."""
    if kind.custom or not body.startswith(kind.head):
        return body
    return b"{" + body[len(kind.head) :]


def partial_object(metadata: bytes) -> bytes:
    """PartialObjectMetadata with its type, as GET, WATCH and list items carry it."""
    return b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":' + metadata + b"}"


def time_text(seconds: float) -> str:
    """Seconds since the epoch as metav1.Time writes them."""
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class Refusal(Exception):
    """An answer that is a metav1.Status. `headers` go out beside it (Retry-After)."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: Optional[Object] = None,
        metadata: Optional[Object] = None,
        headers: Optional[Dict[str, str]] = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.headers = headers or {}
        self.status: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": metadata or {},
            "status": "Failure",
            "message": message,
        }
        if reason:
            self.status["reason"] = reason
        if details is not None:
            self.status["details"] = details
        self.status["code"] = code

    def body(self) -> bytes:
        return dumps(self.status) + b"\n"

    def line(self) -> bytes:
        """The same inside a watch."""
        return watch_line(b"ERROR", dumps(self.status))


def invalid_options(causes: List[Tuple[str, str, str]]) -> Refusal:
    """422 for list options; each cause is (field, reason, text)."""
    texts = ["%s: %s: %s" % (field, _CAUSE_WORDS[reason], text) for field, reason, text in causes]
    message = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    details = {
        "group": "meta.k8s.io",
        "kind": "ListOptions",
        "causes": [
            {"reason": reason, "message": "%s: %s" % (_CAUSE_WORDS[reason], text), "field": field}
            for field, reason, text in causes
        ],
    }
    return Refusal(422, "Invalid", 'ListOptions.meta.k8s.io "" is invalid: ' + message, details)


_CAUSE_WORDS = {"FieldValueForbidden": "Forbidden", "FieldValueNotSupported": "Unsupported value"}
