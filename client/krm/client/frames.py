"""Snapshots and changes as DataFrames of pandas or polars, whichever is installed (pandas where both are).

A row an object: namespace, name, uid, resource_version, created, labels, then what kubectl's columns
say, as numbers, timestamps (UTC) and lists instead of text; sizes in bytes. What is unknown is null.
`columns={"node": ".spec.nodeName"}` adds fields by path. A row a change has besides: type, published_at,
delay (seconds), repair, previous_resource_version, token. Names and types of the columns depend on the
kind alone, never on the rows: those of no rows at all are the same. Fields by path are typed by their values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, List, Mapping, Optional, Sequence, Tuple

from krm.client.errors import BadRequest, NeedsPackage
from krm.client.objects import KubernetesObject
from krm.model import columns as table
from krm.model import frames
from krm.model.frames import NUMBER, TEXT, TIME, TRUTH, WHOLE, Row, Types, moment
from krm.model.quantities import BadQuantity, parse

if TYPE_CHECKING:
    from krm.client.watch import Change

# Columns of table.typed_row whose values are epoch seconds, and those that are quantities.
_TIMES = frozenset(("created", "restarted_at"))
_QUANTITIES = frozenset(("capacity",))
# Characters of paths that find several values, which one cell cannot hold, or that end in a mistake.
_NO_PATH = frozenset("[]{}()*?$@'\" \t\n")
_CHANGE_TYPES = {
    "type": TEXT, "published_at": TIME, "delay": NUMBER, "repair": TRUTH, "previous_resource_version": TEXT,
    "token": TEXT,
}  # fmt: skip


def objects_frame(
    kind: str, objects: Sequence[KubernetesObject], columns: Mapping[str, str], package: str = ""
) -> Any:
    """A row an object. package: pandas or polars, '' = what is installed. Raises NeedsPackage, BadObject."""
    build = builder(package)
    paths = _paths(columns)
    return build([object_row(kind, obj, paths) for obj in objects], column_types(kind, paths))


def changes_frame(kind: str, changes: Sequence[Change], columns: Mapping[str, str], package: str = "") -> Any:
    """A row a change. Raises as `objects_frame`."""
    build = builder(package)
    paths = _paths(columns)
    rows = [{**_change_row(change), **object_row(kind, change.object, paths)} for change in changes]
    return build(rows, {**_CHANGE_TYPES, **column_types(kind, paths)})


def column_types(kind: str, paths: Sequence[Tuple[str, Tuple[str, ...]]] = ()) -> Types:
    """The columns of a row an object, in their order, with their types."""
    types: Types = {"namespace": TEXT, "name": TEXT, "uid": TEXT, "resource_version": TEXT, "created": TIME}
    types["labels"] = ""
    for name, value in table.typed_row(kind, {}).items():
        if name not in types:
            types[name] = _type(kind, name, value)
    return {**types, **{name: "" for name, _ in paths}}


def _type(kind: str, name: str, absent: Any) -> str:
    """`absent`: the value where the object holds nothing."""
    if name in _TIMES:
        return TIME
    if name in _QUANTITIES:
        return NUMBER
    if isinstance(absent, bool) or (kind, name) == ("nodes", "ready"):  # whose absence is unknown, not false
        return TRUTH
    if isinstance(absent, int):
        return WHOLE
    return TEXT if absent is None or isinstance(absent, str) else ""


def object_row(kind: str, obj: KubernetesObject, paths: Sequence[Tuple[str, Tuple[str, ...]]] = ()) -> Row:
    """One object's values, in the order of the columns."""
    body = obj.body()
    typed = table.typed_row(kind, body)
    row: Row = {
        "namespace": typed.pop("namespace"),
        "name": typed.pop("name"),
        "uid": obj.uid,
        "resource_version": obj.resource_version,
        "created": moment(typed.pop("created")),
        "labels": dict(obj.labels),
    }
    for name, value in typed.items():
        row[name] = moment(value) if name in _TIMES else _size(value) if name in _QUANTITIES else value
    for name, path in paths:
        row[name] = _field(body, path)
    return row


def _change_row(change: Change) -> Row:
    return {
        "type": change.type,
        "published_at": moment(change.published_at),
        "delay": change.delay,
        "repair": change.repair,
        "previous_resource_version": change.previous_resource_version or None,
        "token": change.token,
    }


def _paths(columns: Mapping[str, str]) -> List[Tuple[str, Tuple[str, ...]]]:
    """`.spec.nodeName` -> ("spec", "nodeName"); a dot inside a name is written `\\.`. Raises BadRequest."""
    found = []
    for name, path in columns.items():
        parts = path.replace("\\.", "\0").strip(".").split(".")
        if not all(parts) or _NO_PATH.intersection(path):
            raise BadRequest(
                f"column {name}: {path!r} is no path of plain names: write .spec.nodeName or .status.conditions"
                " (a list is given whole)"
            )
        found.append((name, tuple(part.replace("\0", ".") for part in parts)))
    return found


def _field(body: Any, path: Tuple[str, ...]) -> Any:
    for part in path:
        body = body.get(part) if isinstance(body, dict) else None
    return body


def _size(text: Optional[str]) -> Optional[float]:
    """A quantity as a number, in bytes where it is one of storage; None where it is none."""
    try:
        return None if text is None else float(parse(text))
    except (BadQuantity, OverflowError):
        return None


def builder(package: str) -> Callable[[List[Row], Types], Any]:
    """krm.model.frames', with this library's errors. Raises NeedsPackage, BadRequest."""
    try:
        return frames.builder(package)
    except ImportError as error:
        raise NeedsPackage(str(error)) from None
    except ValueError as error:
        raise BadRequest(str(error)) from None
