"""One page of Prometheus' text format or of OpenMetrics: to points, within limits. Pure but for a stop-watch.

The page comes from a stranger. What is too large is refused as it is; lines of names that nobody asked for
are dropped before the parser sees them; and the parser is fed line by line, so that each line is weighed and
the time is looked at before it is read. A page breaks as a whole, as in Prometheus: half of a page is not
told from a whole one.
"""

from __future__ import annotations

import math
import re
import time
from typing import Any, Callable, Dict, FrozenSet, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Set

from krm.collector.source import NoData
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

MAX_BYTES = 4 * 1024 * 1024  # of a page; kube-state-metrics of a large cluster aside, pages are below 1 MiB
MAX_LINES = 100_000  # comments too
MAX_LINE = 8 * 1024  # bytes: the parsers look at each character several times
MAX_LABELS = 40  # of one series
MAX_LABEL = 1024  # characters of a label's value
MAX_SERIES = 10_000  # of the names that are asked for
MAX_SECONDS = 2.0  # of this thread's CPU time

_OPENMETRICS, _TEXT = "application/openmetrics-text", "text/plain"
# Families of OpenMetrics are named without these; a family is read as a whole.
_SUFFIXES = ("_total", "_count", "_sum", "_bucket")
_NAME = re.compile(rb"[a-zA-Z_:][a-zA-Z0-9_:]*")
_EOF = "# EOF"
_Families = Callable[[Iterator[str]], Iterable[Any]]
# They ask for a file, and only walk over its lines.
_read_text: _Families = parser.text_fd_to_metric_families  # type: ignore[assignment]
_read_openmetrics: _Families = openmetrics.text_fd_to_metric_families
# What the parsers are known, or must be feared, to fall over when a line is none.
_BROKEN = (ValueError, ArithmeticError, LookupError, TypeError, AttributeError)


class Point(NamedTuple):
    """One series of a page. What is no finite number is not there."""

    name: str  # as it stands on the page: http_requests_total, x_bucket
    labels: Dict[str, str]
    value: float


def read_page(
    body: bytes, content_type: str, names: Iterable[str], clock: Callable[[], float] = time.thread_time
) -> List[Point]:
    """The points of `names`. Raises NoData with what is wrong with the page. `clock`: seconds, of CPU time."""
    wanted = frozenset(names)
    kind = content_type.split(";", 1)[0].strip().lower()
    if kind not in (_OPENMETRICS, _TEXT, ""):
        raise NoData("it answers with %.60r, which is no exposition format" % kind)
    lines = _lines(body)
    page = _Page(wanted, clock)
    if kind == _OPENMETRICS:
        if _last(lines) != b"# EOF":
            raise NoData("its page breaks off: an OpenMetrics page ends with # EOF")
        return page.points(_read_openmetrics(page.families(lines)))
    return page.points(_read_text(page.samples(lines)))


def _lines(body: bytes) -> List[bytes]:
    """Cheap checks of all, before anything is read."""
    if len(body) > MAX_BYTES:
        raise NoData(f"its page is longer than {MAX_BYTES} bytes")
    if body.count(b"\n") > MAX_LINES:
        raise NoData(f"its page has more than {MAX_LINES} lines")
    lines = body.split(b"\n")
    longest = max(map(len, lines))
    if longest > MAX_LINE:
        raise NoData(f"its page has a line of {longest} bytes: at most {MAX_LINE} are read")
    return lines


def _last(lines: List[bytes]) -> bytes:
    return lines[-1] or (lines[-2] if len(lines) > 1 else b"")


class _Page:
    """What has been let through so far."""

    def __init__(self, names: FrozenSet[str], clock: Callable[[], float]) -> None:
        self._names = frozenset(name.encode() for name in names)
        families = {name[: -len(end)] for name in names for end in _SUFFIXES if name.endswith(end)}
        self._families = frozenset(name.encode() for name in families) | self._names
        self._clock = clock
        self._ends = clock() + MAX_SECONDS
        self._series = 0
        self._line = 0

    def samples(self, lines: List[bytes]) -> Iterator[str]:
        """Text format. Without comments each series stands for itself, under its own name."""
        for self._line, line in enumerate(lines, start=1):
            found = _NAME.match(line)
            if found is not None and found.group() in self._names:
                yield self._weighed(line)

    def families(self, lines: List[bytes]) -> Iterator[str]:
        """OpenMetrics: types say which series belong together, so they stay."""
        family: Optional[bytes] = None
        for self._line, line in enumerate(lines, start=1):
            if line.startswith(b"# TYPE "):
                words = line.split(b" ", 3)
                family = words[2] if len(words) == 4 and words[2] in self._families else None
                if family is not None:
                    yield self._text(line)
                continue
            found = _NAME.match(line)
            if found is None or found.group().endswith(b"_created"):
                continue
            name = found.group()
            if family is None or not (name == family or name.startswith(family + b"_")):
                family = None
            if family is not None or name in self._names:
                yield self._weighed(line)
        yield _EOF

    def _weighed(self, line: bytes) -> str:
        self._series += 1
        if self._series > MAX_SERIES:
            raise NoData(f"its page has more than {MAX_SERIES} series of the names that are read")
        if self._clock() > self._ends:
            raise NoData(f"its page takes longer than {MAX_SECONDS:g} s to read")
        if line.count(b'="') > MAX_LABELS:
            raise NoData(f"line {self._line} of its page has more than {MAX_LABELS} labels")
        return self._text(line)

    def _text(self, line: bytes) -> str:
        try:
            return line.rstrip(b"\r").decode()
        except UnicodeDecodeError:
            raise NoData(f"line {self._line} of its page is no UTF-8") from None

    def points(self, families: Iterable[Any]) -> List[Point]:
        """Runs a parser over what is let through."""
        found: List[Point] = []
        seen: Set[int] = set()
        try:
            for family in families:
                for sample in family.samples:
                    labels = dict(sample.labels or {})
                    key = series_key(sample.name, labels)
                    if key in seen:
                        raise NoData(f"its page has a series of {sample.name:.80} twice")
                    seen.add(key)
                    if any(len(value) > MAX_LABEL for value in labels.values()):
                        raise NoData(f"a label of {sample.name:.80} is longer than {MAX_LABEL} characters")
                    value = finite(sample.value)
                    if value is not None:
                        found.append(Point(sample.name, labels, value))
        except _BROKEN as error:
            raise NoData("line %d of its page is none of the format: %.80s" % (self._line, error)) from None
        return found


def series_key(name: str, labels: Mapping[str, str]) -> int:
    """A series as one number, which is smaller than its labels and as good as them within one process."""
    return hash((name, tuple(sorted(labels.items()))))


def finite(value: Any) -> Optional[float]:
    """A number that can be reckoned with; None for NaN, for infinities and for what is beyond them (1e400)."""
    try:
        number = float(value)
    except (OverflowError, TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
