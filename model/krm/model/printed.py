"""The columns of custom resources: what a CRD's additionalPrinterColumns say. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, List, Mapping, NamedTuple, Sequence, Tuple

from krm.model import times
from krm.model.cells import UNKNOWN, Column, Object, Printer, name_of, since
from krm.model.gojson import written
from krm.model.jsonpath import MISSING, first_value
from krm.model.reading import integer, mapping, rows, text

# From here on Go writes a float with an exponent.
_EXPONENT_FROM = 1e21


# What krm takes out of every object: a column of it is unknown, not empty.
_NOT_HELD = ("managedFields", "last-applied-configuration")


class Printed(NamedTuple):
    """A printer column of a CRD."""

    column: Column
    path: str  # JSONPath, ".spec.size"


_AGE = Printed(Column("Age", type="date"), ".metadata.creationTimestamp")


def printer_of(printed: Sequence[Printed]) -> Printer:
    """How custom resources are shown: Name, then these."""

    def cells(obj: Object, now: float) -> List[Any]:
        return [name_of(obj), *(printed_cell(one, obj, now) for one in printed)]

    return Printer((Column("Name", format="name"), *(one.column for one in printed)), cells)


def printed_columns(definition: Mapping[str, Any], version: str) -> Tuple[Printed, ...]:
    """A CRD's additionalPrinterColumns of a served version; Age alone where there are none."""
    for one in rows(mapping(definition.get("spec")).get("versions")):
        if one.get("name") == version:
            found = [_column(row) for row in rows(one.get("additionalPrinterColumns"))]
            return tuple(found) or (_AGE,)
    return (_AGE,)


def _column(row: Mapping[str, Any]) -> Printed:
    path = text(row.get("jsonPath"))
    described = text(row.get("description")) or f"Custom resource definition column (in JSONPath format): {path}"
    type_, format_ = text(row.get("type")) or "string", text(row.get("format"))
    return Printed(Column(text(row.get("name")), integer(row.get("priority")), type_, format_, described), path)


def printed_cell(one: Printed, obj: Object, now: float) -> Any:
    """As the API server's table convertor for custom resources: the first value that the path finds."""
    if any(part in one.path for part in _NOT_HELD):
        return UNKNOWN
    value, kind = first_value(one.path, obj), one.column.type
    if value is MISSING:
        return None
    if kind == "string":
        return _text(value)
    if kind == "date":
        return _date(value, now)
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if kind == "integer":
        return int(value)
    return _number(float(value)) if kind == "number" else None


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return "<no value>"
    return written(value).decode()


def _date(value: Any, now: float) -> Any:
    if not isinstance(value, str):
        return None
    at = times.known(value)
    return "<invalid>" if at is None else since(at, now)


def _number(value: float) -> Any:
    """As Go writes a float64: without a fraction where it has none."""
    whole = abs(value) < _EXPONENT_FROM and value == int(value)
    return int(Decimal(repr(value))) if whole else value
