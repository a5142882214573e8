"""A bill as CSV, with columns as an accounting system wants them. Pure."""

from __future__ import annotations

import csv
import io
import json
from typing import Any, Callable, Dict, NamedTuple, Sequence, Tuple

from krm.analysis.billing.bill import Bill, Line

MAX_MAPPING = 64 * 1024  # bytes of a file of columns
_OF_BILL: Dict[str, Callable[[Bill], Any]] = {
    "cluster": lambda bill: bill.cluster,
    "month": lambda bill: bill.month.name,
    "timezone": lambda bill: bill.month.zone,
    "currency": lambda bill: bill.currency,
}
_OF_LINE = (
    "kind", "namespace", "name", "cost_centre", "core_seconds", "gib_seconds", "gpu_mb_hours", "storage_gib_hours",
    "cost", "note",
)  # fmt: skip
FIELDS = (*_OF_BILL, *_OF_LINE)


class CsvColumn(NamedTuple):
    """One column."""

    header: str
    field: str  # of FIELDS; '' = the text is the same in each row
    text: str = ""


DEFAULT: Tuple[CsvColumn, ...] = tuple(CsvColumn(field, field) for field in FIELDS)


def read_columns(text: bytes) -> Tuple[CsvColumn, ...]:
    """`[{"header": "Kostenstelle", "field": "cost_centre"}, {"header": "Buchungskreis", "text": "1000"}]`.

    Raises ValueError.
    """
    if len(text) > MAX_MAPPING:
        raise ValueError(f"a file of columns has at most {MAX_MAPPING} bytes")
    try:
        told = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the columns are no JSON: {error}") from None
    if not isinstance(told, list) or not told:
        raise ValueError("the columns are a list of objects with header and field, or header and text")
    return tuple(_column(one, number) for number, one in enumerate(told, 1))


def _column(one: Any, number: int) -> CsvColumn:
    header = one.get("header") if isinstance(one, dict) else None
    if not isinstance(header, str) or set(one) not in ({"header", "field"}, {"header", "text"}):
        raise ValueError(f"column {number}: an object with header and field, or header and text, is meant")
    if "text" in one:
        if not isinstance(one["text"], str):
            raise ValueError(f"column {number}: text: a text is meant")
        return CsvColumn(header, "", one["text"])
    if one["field"] not in FIELDS:
        raise ValueError(f"column {number}: {one['field']!r} is none of {', '.join(FIELDS)}")
    return CsvColumn(header, one["field"])


def to_csv(bill: Bill, columns: Sequence[CsvColumn] = DEFAULT) -> str:
    """RFC 4180, a line a line of the bill. What is not known is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([_harmless(column.header) for column in columns])
    for line in bill.rows:
        writer.writerow([_cell(bill, line, column) for column in columns])
    return out.getvalue()


def _cell(bill: Bill, line: Line, column: CsvColumn) -> str:
    if not column.field:
        return column.text
    of_bill = _OF_BILL.get(column.field)
    value = of_bill(bill) if of_bill is not None else getattr(line, column.field)
    return "" if value is None else _harmless(value) if isinstance(value, str) else str(value)


def _harmless(text: str) -> str:
    """A label's value that begins like a formula would be run by a spreadsheet."""
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
