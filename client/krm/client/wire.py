"""How `/krm/v1/` writes what a source gives: heads, objects and changes. The server writes it, the client reads it.

An answer is JSON lines: the first says what follows and what it is worth, then one line an object, which
ends with the object's canonical bytes, unchanged:

    {"size":812,"key":"web/a","rv":"71",...,"labels":{...},"object":{"apiVersion":"v1",...}}

`size` stands first and counts the bytes of `object`: a reader cuts them out without parsing them, and
checks them against `digest`, as it would those of Redis.
"""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.client.errors import Damaged
from krm.client.objects import is_verified
from krm.client.source import Published, TableRow
from krm.model.cells import Column
from krm.model.head import Head
from krm.model.printed import Printed
from krm.model.records import Envelope, object_digest

# Fields of a head that are its stages' own business.
_INTERNAL = frozenset(
    ("canon", "cluster_uid", "run_id", "fence", "events_id", "lists_id", "session", "seq", "digest")
)
# Fields that tell of objects outside a namespace: for those alone who may list the kind in whole.
_WHOLE = frozenset(("count", "bad", "drift", "upstream_drift", "want", "stream_delay"))
_SHOWN: Dict[str, str] = {one.name: str(one.type) for one in fields(Head) if one.name not in _INTERNAL}
_OBJECT = b',"object":'
_SIZE = b'{"size":'
_MAX_DIGITS = 12  # of a size

Line = Tuple[Dict[str, Any], bytes]  # what stands beside the object, and its bytes


def narrowed(head: Head) -> Head:
    """For a caller who may list one namespace alone: what counts or names other objects is left out."""
    unknown = Head()
    left_out = {name: getattr(unknown, name) for name in _WHOLE}
    # That there are too many is told, how many is not.
    return replace(head, **left_out, truncated=None if head.truncated is None else 0)


def shown_head(head: Optional[Head], whole: bool) -> Optional[Dict[str, Any]]:
    """The head as JSON; not `whole`: of a narrowed one, whose fields that are left out are not there."""
    if head is None:
        return None
    return {name: getattr(head, name) for name in _SHOWN if whole or name not in _WHOLE}


def head_of(shown: Any) -> Optional[Head]:
    """The other way round; what is not there keeps the value of an unknown. Raises Damaged."""
    if shown is None:
        return None
    if not isinstance(shown, dict):
        raise Damaged("the server's answer holds a head that is none")
    values: Dict[str, Any] = {}
    for name, kind in _SHOWN.items():
        if name in shown:
            values[name] = _checked(name, kind, shown[name])
    return Head(**values)


def _checked(name: str, kind: str, value: Any) -> Any:
    if value is None:
        if kind.startswith("Optional"):
            return None
        raise Damaged(f"the server's answer holds a head without {name}")
    sound = {
        "str": isinstance(value, str),
        "bool": isinstance(value, bool),
        "int": isinstance(value, int),
        "Optional[int]": isinstance(value, int),
        "Optional[float]": isinstance(value, (int, float)),
    }.get(kind, isinstance(value, list if kind.startswith("Tuple") else dict))
    if not sound:
        raise Damaged(f"the server's answer holds a head whose {name} is no {kind}")
    if kind.startswith("Tuple"):
        if not all(isinstance(row, list) for row in value):
            raise Damaged(f"the server's answer holds a head whose {name} has rows that are none")
        return tuple([tuple(row) for row in value])
    return value


def first_line(facts: Mapping[str, Any]) -> bytes:
    """What an answer's first line says."""
    return json.dumps(facts, separators=(",", ":")).encode() + b"\n"


def object_line(key: str, one: Envelope, verified_rv: str, more: Optional[Mapping[str, Any]] = None) -> bytes:
    """One object. `more`: what else its line says, without the names that stand here."""
    beside = {
        "key": key,
        "rv": one.rv,
        "uid": one.uid,
        "verified": is_verified(one.rv, verified_rv),
        "received_at": one.received_at,
        "digest": one.digest.hex(),
        "fields": one.fields,
        **(more or {}),
    }
    text = json.dumps(beside, separators=(",", ":")).encode()[1:-1]
    labels = b',"labels":' + one.labels if one.labels else b""
    return b"".join((_SIZE, b"%d," % len(one.body), text, labels, _OBJECT, one.body, b"}\n"))


def change_line(one: Published, verified_rv: str, type_: str) -> bytes:
    """One change, of the type that its reader sees."""
    more: Dict[str, Any] = {
        "type": type_,
        "token": one.after,
        "previous_rv": one.previous_rv,
        "previous_fields": one.previous_fields,
        "previous_labels": one.previous_labels.decode("utf-8", "replace"),
        "published_at": one.at,
        "delay": one.delay,
        "repair": one.repair,
    }
    return object_line(one.key, one.envelope, verified_rv, more)


class Answer(NamedTuple):
    """An answer, read."""

    facts: Dict[str, Any]
    lines: List[Line]


def read(body: bytes) -> Answer:
    """Raises Damaged: cut short, or written by something else than krm."""
    first, *rest = body.split(b"\n")
    if rest[-1:] != [b""]:
        raise Damaged("the server's answer was cut short")
    lines = [_line(line) for line in rest[:-1]]
    facts = _parsed(first)
    if facts.get("lines") != len(lines):
        raise Damaged("the server's answer holds another number of objects than it says: is it krm's server?")
    return Answer(facts, lines)


def shown_columns(printed: Optional[Sequence[Printed]]) -> Optional[List[Dict[str, Any]]]:
    """What a CRD says of its columns, as JSON; None where no CRD is kept."""
    if printed is None:
        return None
    return [
        {"name": one.column.name, "type": one.column.type, "priority": one.column.priority, "path": one.path}
        for one in printed
    ]


def printed_of(shown: Any) -> Optional[Tuple[Printed, ...]]:
    """The other way round. Raises Damaged."""
    if shown is None:
        return None
    if not isinstance(shown, list) or not all(isinstance(one, dict) for one in shown):
        raise Damaged("the server's answer holds columns that are none")
    return tuple(
        [
            Printed(Column(text(one, "name"), int(number(one, "priority")), text(one, "type")), text(one, "path"))
            for one in shown
        ]
    )


def row_line(key: str, row: bytes) -> bytes:
    """One row of a Table, with the key that it is of."""
    return b'{"key":%s,%s\n' % (json.dumps(key).encode(), row[1:])


def row_facts(columns: Sequence[Column], rows: bytes) -> Dict[str, Any]:
    """What the first line of an answer of rows says of them."""
    shown = [{"name": one.name, "wide": one.wide} for one in columns]
    return {"columns": shown, "digest": object_digest(rows).hex()}


def read_rows(body: bytes) -> Tuple[Dict[str, Any], Tuple[Column, ...], List[TableRow]]:
    """An answer of rows: facts, columns, rows. Raises Damaged."""
    first, _, rest = body.partition(b"\n")
    facts = _parsed(first)
    shown = facts.get("columns")
    try:
        rows = json.loads(b"[%s]" % rest.rstrip(b"\n").replace(b"\n", b","))
        columns = tuple([Column(text(one, "name"), int(one.get("wide") is True)) for one in shown or ()])
        found = [TableRow(text(row, "key"), row["cells"]) for row in rows]
    except (ValueError, RecursionError, TypeError, AttributeError, KeyError):
        raise Damaged("the server's answer holds rows that are none: is it older than this krm?") from None
    sound = facts.get("digest") == object_digest(rest).hex() and facts.get("lines") == len(found)
    if not sound or not all(_is_row(row.cells, len(columns)) for row in found):
        raise Damaged("the server's answer holds other rows than it says: was it cut short?")
    return facts, columns, found


def _is_row(cells: Any, width: int) -> bool:
    if not isinstance(cells, list) or len(cells) < width:  # the API server gives ipaddresses one too many
        return False
    return all(cell is None or isinstance(cell, (str, int, float)) for cell in cells)


def _line(line: bytes) -> Line:
    comma = line.find(b",", 0, len(_SIZE) + _MAX_DIGITS)
    digits = line[len(_SIZE) : comma]
    if not line.startswith(_SIZE) or comma < 0 or not digits.isdigit():
        raise Damaged("the server's answer holds a line that krm does not write")
    start = len(line) - 1 - int(digits)
    if start < len(_OBJECT) or line[start - len(_OBJECT) : start] != _OBJECT or line[-1:] != b"}":
        raise Damaged("the server's answer holds an object of another size than it says")
    return _parsed(line[: start - len(_OBJECT)] + b"}"), line[start:-1]


def _parsed(text: bytes) -> Dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Damaged("the server's answer holds a line that is no JSON object")
    return found


def envelope_of(line: Line) -> Tuple[str, Envelope]:
    """Key and envelope. Raises Damaged for what is none; whether the body fits is for the caller (`fits`)."""
    beside, body = line
    labels = beside.get("labels")
    try:
        envelope = Envelope(
            text(beside, "rv"),
            text(beside, "uid"),
            bytes.fromhex(text(beside, "digest")),
            number(beside, "received_at"),
            json.dumps(labels, ensure_ascii=False, separators=(",", ":")).encode() if labels is not None else b"",
            texts(beside, "fields"),
            body,
        )
    except ValueError as error:
        raise Damaged(f"the server's answer holds an object that is none: {error}") from None
    return text(beside, "key"), envelope


def fits(envelope: Envelope) -> bool:
    """Whether the body is the one that its digest is of."""
    return object_digest(envelope.body) == envelope.digest


def published_of(line: Line, types: Mapping[str, str]) -> Published:
    """One change; `types`: krm.model.messages' type of each name. Raises Damaged."""
    beside, _ = line
    key, envelope = envelope_of(line)
    if not fits(envelope):
        raise Damaged(f"{key}: the bytes of a change do not fit their digest")
    if text(beside, "type") not in types:
        raise Damaged(f"{key}: the server's answer holds a change of no known type")
    return Published(
        types[text(beside, "type")], key, envelope, text(beside, "previous_rv"),
        text(beside, "previous_labels").encode(), texts(beside, "previous_fields"), text(beside, "token"),
        number(beside, "published_at"), maybe_number(beside, "delay"), beside.get("repair") is True,
    )  # fmt: skip


def text(facts: Mapping[str, Any], name: str) -> str:
    """Raises Damaged."""
    value = facts.get(name)
    if not isinstance(value, str):
        raise Damaged(f"the server's answer lacks {name}")
    return value


def texts(facts: Mapping[str, Any], name: str) -> Tuple[str, ...]:
    """Raises Damaged."""
    value = facts.get(name)
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise Damaged(f"the server's answer lacks {name}")
    return tuple(value)


def number(facts: Mapping[str, Any], name: str) -> float:
    """Raises Damaged."""
    value = facts.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Damaged(f"the server's answer lacks {name}")
    return float(value)


def maybe_number(facts: Mapping[str, Any], name: str) -> Optional[float]:
    """None = unknown. Raises Damaged."""
    return None if facts.get(name) is None else number(facts, name)
