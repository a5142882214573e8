"""Tables laid out as kubectl lays them out: left-aligned, three spaces between columns, none at the end."""

from __future__ import annotations

import unicodedata
from typing import List, Sequence

from krm.model.safetext import safe

# Of kubectl's tabwriter: a column is at least 6 wide, its padding of 3 included.
MIN_WIDTH = 6
PADDING = 3


class Columns:
    """Widths that only grow, so that the rows of a watch stay below their headings."""

    def __init__(self, widths: Sequence[int] = ()) -> None:
        """`widths`: of the first columns, where rows are written before the widest is known."""
        self._widths: List[int] = list(widths)

    def lines(self, rows: Sequence[Sequence[str]]) -> List[str]:
        """A line a row; every cell is made safe for a terminal."""
        cells = [[safe(cell) for cell in row] for row in rows]
        for row in cells:
            self._widths.extend([MIN_WIDTH] * (len(row) - len(self._widths)))
            for place, cell in enumerate(row[:-1]):
                self._widths[place] = max(self._widths[place], width(cell) + PADDING)
        return ["".join(self._padded(row)).rstrip() for row in cells]

    def _padded(self, row: Sequence[str]) -> List[str]:
        padded = [cell + " " * (self._widths[place] - width(cell)) for place, cell in enumerate(row[:-1])]
        return [*padded, row[-1]] if row else []


def width(text: str) -> int:
    """Terminal cells: wide East Asian characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
