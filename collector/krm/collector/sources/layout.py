"""A page that differs from the former one of its target in numbers alone: then only the numbers are read.

Between two looks at a node few pods come or go, and its kubelet writes the same series in the same order. What
stands between the numbers is compared with what stood there before (a C-speed comparison); where it is equal, each
number is known by its place. Anything else, and whatever is odd about a page, is `Odd`: read it line by line.
"""

from __future__ import annotations

import re
from typing import Callable, Dict, Generic, Hashable, List, NamedTuple, Optional, Sequence, TypeVar

T = TypeVar("T")  # a reader's own plan of what the numbers are
# What stands before a number, the number, its milliseconds; again and again.
_SPLIT = re.compile(r" ([0-9][0-9.e+-]*)(?: ([0-9]{1,15}))?\n").split
MOST = 500  # pages that are remembered, each about 100 KB
UNUSED = 600.0  # seconds after which one is forgotten


class Odd(Exception):
    """Not the former page with other numbers."""


class Numbers(NamedTuple):
    """A page's numbers by their places."""

    values: List[float]
    millis: Sequence[Optional[str]]  # as written; None = none stands there


class Layout(Generic[T]):
    """What stands between the numbers of one page, and the plan of them."""

    def __init__(self, texts: List[str], plan: T, used: float) -> None:
        self.plan, self.used, self._texts = plan, used, texts

    def numbers(self, page: str) -> Numbers:
        """Raises Odd where the page has another layout, or a number that is none."""
        parts = _SPLIT(page)
        if parts[0::3] != self._texts:
            raise Odd
        try:
            return Numbers(list(map(float, parts[1::3])), parts[2::3])
        except ValueError:
            raise Odd from None


class Layouts(Generic[T]):
    """The layouts of many targets. Threads may share it, each for targets of its own."""

    def __init__(self) -> None:
        self._known: Dict[Hashable, Layout[T]] = {}

    def of(self, target: Hashable, now: float) -> Optional[Layout[T]]:
        """The layout of its former page."""
        layout = self._known.get(target)
        if layout is not None:
            layout.used = now
        return layout

    def keep(self, target: Hashable, page: str, learn: Callable[[List[str]], T], now: float) -> None:
        """This is its former page from now on, if its layout can be learned.

        `learn` makes a plan of the texts of the series, by their places; it raises Odd.
        """
        self._known.pop(target, None)
        if len(self._known) >= MOST:
            for other, layout in list(self._known.items()):
                if now - layout.used > UNUSED:
                    self._known.pop(other, None)
        if len(self._known) < MOST:
            texts = _SPLIT(page)[0::3]
            try:
                self._known[target] = Layout(texts, learn(_series(texts)), now)
            except Odd:
                pass


def _series(texts: List[str]) -> List[str]:
    """The series before each number. Raises Odd where a line is neither a comment nor one of these."""
    found = []
    for text in texts:
        *others, last = text.split("\n")
        if any(line and not line.startswith("#") for line in others):
            raise Odd
        found.append(last)
    if found.pop():
        raise Odd  # behind the last number
    return found
