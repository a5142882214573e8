"""Tables: the API server's own columns for built-in kinds, a CRD's printer columns for its own. Pure.

A row costs some 80 us, of 5,000 pods .4 s; most is decoding. So a row is kept as its bytes with the moments
whose ages it shows, and told again it is only joined: what a row shows changes with its object, or by the clock.
"""

from __future__ import annotations

import json
import secrets
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Type

from krm.client.tables import UNREADABLE
from krm.model import columns, times
from krm.model.cells import Column, Later, Object, Printer
from krm.model.gojson import written
from krm.model.reading import mapping, text
from krm.model.records import Envelope
from krm.server.descriptions import described
from krm.server.negotiation import Form
from krm.server.writing import Page, metadata_of

try:
    import msgspec

    _decode: Callable[[bytes], Any] = msgspec.json.decode
    _REFUSED: Tuple[Type[Exception], ...] = (ValueError, RecursionError, msgspec.MsgspecError)
except ImportError:  # the `fast` extra is optional
    _decode = json.loads
    _REFUSED = (ValueError, RecursionError)

# Bytes of rows that one kind keeps: 50,000 pods take some 60 MB.
ROWS_KEPT = 64 * 1024 * 1024
# Bytes that a kept row costs beside its own: the tuple, the moments, its place.
_ROW_OVERHEAD = 400


class Row(NamedTuple):
    """One row: `pieces` with the ages of `moments` (epoch seconds) between them."""

    pieces: Tuple[bytes, ...]
    moments: Tuple[float, ...]

    def at(self, now: float) -> bytes:
        """As it reads now."""
        found = [self.pieces[0]]
        for moment, piece in zip(self.moments, self.pieces[1:]):
            found += (_age(now - moment), piece)
        return b"".join(found)


class Tabulator:
    """Tables of one kind. `printer`: of a CRD's columns, None where it is built in or not known."""

    def __init__(self, kind: str, printer: Optional[Printer] = None) -> None:
        self._kind = kind
        self._printer = printer or columns.printer(kind)
        self.columns = described(kind, self._printer.columns)
        self._definitions = [_definition(one) for one in self.columns]
        self._later = Later(secrets.token_hex(8))
        self._kept: Dict[Tuple[str, str, str], Tuple[Envelope, Row]] = {}  # by uid, version and include
        self._size = 0

    def ordered(self, keys: List[str], objects: Mapping[str, Envelope]) -> List[str]:
        """These keys of a list in the order of its rows: some kinds are not shown by name."""
        order = self._printer.order
        return keys if order is None else sorted(keys, key=lambda key: order(_decoded(objects[key].body) or {}))

    def head(self, form: Form, page: Page, definitions: bool = True) -> bytes:
        """What stands before the rows."""
        head = {
            "kind": "Table",
            "apiVersion": f"meta.k8s.io/{form.version}",
            "metadata": page.metadata(),
            "columnDefinitions": self._definitions if definitions else None,
        }
        return written(head)[:-1] + b',"rows":['

    def table(self, form: Form, page: Page, written_rows: Sequence[bytes], definitions: bool = True) -> bytes:
        """The whole Table, without a newline."""
        return b"".join((self.head(form, page, definitions), b",".join(written_rows), b"]}"))

    def row(
        self, form: Form, envelope: Envelope, whole: Callable[[Envelope], bytes], include: str, now: float
    ) -> bytes:
        """One row. `whole`: writes the object as plain JSON; include: Metadata, Object or None."""
        if include == "Object":  # the bytes are the replica's already: they are not kept twice
            return self._row(envelope, whole(envelope)).at(now)
        key = (envelope.uid, form.version, include)
        held = self._kept.get(key)
        if held is not None and held[0] is envelope:
            return held[1].at(now)
        row = self._row(envelope, b"null" if include == "None" else _metadata(form, envelope))
        self._keep(key, envelope, row)
        return row.at(now)

    def _keep(self, key: Tuple[str, str, str], envelope: Envelope, row: Row) -> None:
        before = self._kept.pop(key, None)
        if before is not None:
            self._size -= _size(before[1])
        # What was deleted is not told here: it goes with all the others when they have grown too many.
        if self._size + _size(row) > ROWS_KEPT:
            self._kept.clear()
            self._size = 0
        self._kept[key] = (envelope, row)
        self._size += _size(row)

    def _row(self, envelope: Envelope, shown: bytes) -> Row:
        found = _decoded(envelope.body)
        cells = [UNREADABLE] * len(self.columns) if found is None else self._printer.cells(found, self._later)
        parts = written(cells).split(self._later.sign.encode())
        conditions = _conditions(self._kind, found or {})
        pieces = [b'{"cells":' + parts[0], *parts[2::2]]
        pieces[-1] += b'%s,"object":%s}' % (conditions, shown)
        return Row(tuple(pieces), tuple([float(part) for part in parts[1::2]]))


def _decoded(body: bytes) -> Optional[Object]:
    """None where it is no object."""
    try:
        found = _decode(body)
    except _REFUSED:
        found = None
    return found if isinstance(found, dict) else None


def _metadata(form: Form, envelope: Envelope) -> bytes:
    head = b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/%s","metadata":%s}'
    return head % (form.version.encode(), metadata_of(envelope))


def _size(row: Row) -> int:
    return sum(map(len, row.pieces)) + _ROW_OVERHEAD


def _age(seconds: float) -> bytes:
    text_of_age = times.age(seconds)
    return text_of_age.encode() if text_of_age[0] != "<" else written(text_of_age)[1:-1]


_ENDED = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}


def _conditions(kind: str, found: Object) -> bytes:
    """What a row says of its object beside the cells: of a pod, that it has ended."""
    phase = text(mapping(found.get("status")).get("phase")) if kind == "pods" else ""
    if phase not in _ENDED:
        return b""
    row = {"type": "Completed", "status": "True", "reason": phase, "message": _ENDED[phase]}
    return b',"conditions":%s' % written([row])


def _definition(column: Column) -> Dict[str, Any]:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    }
