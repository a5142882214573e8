"""Answers: frozen rows and findings that print well, become plain values or a DataFrame, and say their worth."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Callable, ClassVar, Dict, List, NamedTuple, Sequence, Tuple

from krm.analysis.finding import Finding, at_least
from krm.analysis.worth import Worth
from krm.model.trust import LIVE


class Column(NamedTuple):
    """One column of an answer's table: its heading, what stands in a row, and whether it is for -o wide alone."""

    heading: str
    cell: Callable[[Any], str]
    wide: bool = False


@dataclass(frozen=True)
class Answer:
    """Of one question. A subclass has `rows`, a tuple of frozen dataclasses, and COLUMNS for its table."""

    COLUMNS: ClassVar[Tuple[Column, ...]] = ()
    # What is said where there are no rows, and nothing is wrong.
    NOTHING: ClassVar[str] = "nothing was found"

    worth: Worth
    findings: Tuple[Finding, ...]

    @property
    def table(self) -> Sequence[Any]:
        """What its table shows, a row each."""
        rows: Sequence[Any] = getattr(self, "rows", ())
        return rows

    def cells(self, wide: bool = False) -> List[List[str]]:
        """Headings, then a list of texts a row; [] without rows."""
        columns = [column for column in self.COLUMNS if wide or not column.wide]
        rows = [[column.cell(row) for column in columns] for row in self.table]
        return [[column.heading for column in columns], *rows] if rows else []

    def found(self, least: str) -> Tuple[Finding, ...]:
        """Findings of this severity and above."""
        return tuple(one for one in self.findings if at_least(one.severity, least))

    def to_dict(self) -> Dict[str, Any]:
        """Plain values, for JSON. NaN and infinity are None."""
        plain: Dict[str, Any] = _plain(self)
        return plain

    def to_dataframe(self, package: str = "") -> Any:
        """A row a row of its table. package: pandas or polars, '' = what is installed. Raises ImportError."""
        raise NotImplementedError  # TODO H1

    def __str__(self) -> str:
        lines = [*_aligned(self.cells()), *(f"{one.severity}: {one.sentence}" for one in self.findings)]
        if not self.table:
            lines.insert(0, self.NOTHING)
        if self.worth.state != LIVE:
            lines.append(f"{self.worth.state}: {'; '.join(self.worth.reasons)}")
        return "\n".join(lines)


def _aligned(rows: Sequence[Sequence[str]]) -> List[str]:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))] if rows else []
    return ["   ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _plain(part) for name, part in value._asdict().items()}
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
