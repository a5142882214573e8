"""Answers: frozen rows and findings that print well, become plain values or a DataFrame, and say their worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, ClassVar, Dict, List, NamedTuple, Sequence, Tuple

from krm.analysis.finding import Finding, at_least
from krm.analysis.plain import frame, plain, row_type_of
from krm.analysis.worth import Worth
from krm.model.layout import Columns
from krm.model.safetext import safe
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
        found: Dict[str, Any] = plain(self)
        return found

    def to_dataframe(self, package: str = "") -> Any:
        """A row a row of its table, with all fields. package: pandas or polars, '' = what is installed.

        Raises ImportError (none is installed), ValueError (neither of the two was named).
        """
        return frame(self.table, type(self.table[0]) if self.table else row_type_of(type(self)), package)

    def __str__(self) -> str:
        """Its table, then a line a finding, then why it is not live and what it lacks. Safe on a terminal."""
        return "\n".join((Columns().lines(self.cells()) or [self.NOTHING]) + self.told())

    def told(self) -> List[str]:
        """What stands below its table."""
        told = [f"{one.severity}: {one.sentence}" for one in self.findings]
        if self.worth.state != LIVE:
            told.append(f"the answer is {self.worth.state}")
        return [safe(line) for line in (*told, *self.worth.reasons)]
