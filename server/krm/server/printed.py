"""The columns of custom resources: what a CRD's additionalPrinterColumns say. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Mapping, NamedTuple, Tuple

from krm.model import times
from krm.model.cells import Column, Object, since
from krm.model.jsonpath import MISSING, first_value
from krm.model.reading import rows, text
from krm.server.statuses import written

# From here on Go writes a float with an exponent.
_EXPONENT_FROM = 1e21


class Printed(NamedTuple):
    """A printer column of a CRD."""

    column: Column
    path: str  # JSONPath, ".spec.size"
    description: str = ""


_AGE = Printed(Column("Age", type="date"), ".metadata.creationTimestamp")


def printed_columns(definition: Mapping[str, Any], version: str) -> Tuple[Printed, ...]:
    """additionalPrinterColumns of a CRD's served version; Age alone where it names none."""
    spec = definition.get("spec")
    for one in rows(spec.get("versions")) if isinstance(spec, dict) else []:
        if one.get("name") == version:
            found = [_column(row) for row in rows(one.get("additionalPrinterColumns"))]
            return tuple(found) or (_AGE,)
    return (_AGE,)


def _column(row: Mapping[str, Any]) -> Printed:
    priority, path = row.get("priority"), text(row.get("jsonPath"))
    wide = isinstance(priority, int) and priority > 0
    column = Column(text(row.get("name")), wide, text(row.get("type")) or "string", text(row.get("format")))
    described = text(row.get("description")) or f"Custom resource definition column (in JSONPath format): {path}"
    return Printed(column, path, described)


def printed_cell(one: Printed, obj: Object, now: float) -> Any:
    """As the API server's table convertor for custom resources: the first value that the path finds."""
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
