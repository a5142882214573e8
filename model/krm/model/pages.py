"""A LIST body into its items: split where items begin alike, each proven to be an object by its reader.

One object that breaks a rule is told in `bad`; a body that is no list is refused whole.
"""

from __future__ import annotations

import re
from typing import Callable, List, NamedTuple, Optional, Tuple

from krm.model import nesting, versions
from krm.model.codec import Codec, NotJson, Pieces
from krm.model.messages import Bad, Item
from krm.model.refusals import Refused, UnparsablePage, bad_of, checked_version, string

# A LIST as the API server writes typed kinds, and as it writes custom resources (keys in byte order).
_TYPED_LIST = re.compile(rb'\{"kind":"[^"\\]*","apiVersion":"[^"\\]*","metadata":(\{[^{}]*\}),"items":(?=\[)').match
_CUSTOM_LIST = re.compile(rb'\{"apiVersion":"[^"\\]*","items":(?=\[)').match
_CUSTOM_END = re.compile(rb',"kind":"[^"\\]*","metadata":(\{[^{}]*\})\}\Z').match
_MARK = 20  # bytes: `{"metadata":{"name":`, with which each object of a typed list begins


class PageBody(NamedTuple):
    """One page of a LIST."""

    rv: str
    continue_token: str  # '' = this was the last page
    remaining: Optional[int]  # remainingItemCount; None where the server does not say
    items: List[Item]
    bad: List[Bad]


def read_page(codec: Codec, body: bytes, read: Callable[[bytes], Item], received_at: float) -> PageBody:
    """`read` makes an Item of one raw object and raises NotJson. Raises UnparsablePage."""
    try:
        metadata, array = _list(codec, body.strip(b" \t\r\n"))
        remaining = metadata.get("remainingItemCount", b"")
        count = int(remaining) if re.fullmatch(rb"[0-9]{1,18}", remaining) else None
        rv = checked_version(string(metadata, "resourceVersion"))
        token = string(metadata, "continue")
        items, bad = _entries(codec, array, _comparable(read) if versions.is_one(rv) else read, received_at)
    except NotJson as error:
        raise UnparsablePage(bad_of(error, body, received_at)) from None
    return PageBody(rv, token, count, items, bad)


def _comparable(read: Callable[[bytes], Item]) -> Callable[[bytes], Item]:
    """Where the list has a resourceVersion, an object whose own is none is bad; it makes no kind opaque."""

    def checked(raw: bytes) -> Item:
        item = read(raw)
        if not versions.is_one(item.rv):
            raise Refused("MalformedVersion", "metadata.resourceVersion is none", item.key, item.rv)
        return item

    return checked


def _list(codec: Codec, body: bytes) -> Tuple[Pieces, bytes]:
    """A list's metadata and its raw items, which only `_entries` proves to be an array."""
    typed = _TYPED_LIST(body)
    if typed and body.endswith(b"]}"):
        return codec.fields(typed.group(1)), body[typed.end() : -1]
    custom = _CUSTOM_LIST(body)
    tail = body.rfind(b'],"kind":"')
    ends = _CUSTOM_END(body, tail + 1) if custom and tail > 0 else None
    if custom and ends:
        return codec.fields(ends.group(1)), body[custom.end() : tail + 1]
    pieces = codec.fields(body)
    items = pieces.get("items", b"")
    return codec.fields(pieces.get("metadata", b"")), items if items != b"null" else b"[]"


def _entries(
    codec: Codec, array: bytes, read: Callable[[bytes], Item], received_at: float
) -> Tuple[List[Item], List[Bad]]:
    # All items of a list begin alike, so that splitting there finds them without a parse. Where every
    # piece is an object by itself, the split was right; otherwise it proves nothing.
    mark = array[1 : 1 + _MARK]
    if array.startswith(b"[{") and array.endswith(b"}]"):
        pieces = array[1:-2].split(b"}," + mark)
        try:
            first = read(pieces[0] + b"}")
            return [first, *[read(b"%s%s}" % (mark, piece)) for piece in pieces[1:]]], []
        except NotJson:
            pass
    items: List[Item] = []
    bad: List[Bad] = []
    for raw in _elements(codec, array):
        try:
            items.append(read(raw))
        except NotJson as error:
            bad.append(bad_of(error, raw, received_at))
    return items, bad


def _elements(codec: Codec, array: bytes) -> List[bytes]:
    try:
        return codec.elements(array)
    except NotJson:
        return nesting.loose_elements(array)
