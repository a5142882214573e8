"""What may be asked of the history, and how it answers: the same for the collector's own file, for its
endpoint, and for a remote store. Values alone.

Time is cut into steps of STEP seconds; the point at T is of the half-open (T - STEP, T]. A point that no
sample fell into is a gap: NaN in a series, uncovered seconds in a total; it is never 0 and never guessed.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Protocol, Sequence, Tuple

from krm.model.measures import Covers, Sample, Subject

STEP = 15.0  # seconds between two points of the day in detail
DETAIL = 24 * 3600.0  # seconds for which points are kept
SUMS = 400 * 24 * 3600.0  # seconds for which hourly sums are kept: a year, and a month to close it
HOUR = 3600.0


class Query(NamedTuple):
    """Which series, over which time. '' is any; what is named must match exactly."""

    metric: str  # of krm.model.metrics.TABLE
    level: str  # of krm.model.measures.LEVELS
    begin: float  # Unix seconds, inclusive
    end: float  # Unix seconds, exclusive
    namespace: str = ""
    pod: str = ""
    container: str = ""
    node: str = ""
    # Namespaces that the caller may see; None = all. An empty one sees nothing.
    allowed: Optional[Tuple[str, ...]] = None


class Series(NamedTuple):
    """One subject's points, oldest first."""

    subject: Subject
    times: Sequence[float]  # Unix seconds, the end of each step; none missing between the first and the last
    values: Sequence[float]  # in the metric's unit; NaN = a gap


class Total(NamedTuple):
    """One subject over the asked time. None where no sample fell into it."""

    subject: Subject
    sum: float  # as krm.model.metrics defines it for the metric's form, in its sum_unit
    covered: float  # seconds of the asked time that samples stand for
    maximum: float  # of the samples, in the metric's unit
    samples: int
    first: float  # Unix seconds of the first and the last sample in it
    last: float


class Ranged(NamedTuple):
    """An answer of `range`."""

    series: List[Series]
    extent: Extent


class Totalled(NamedTuple):
    """An answer of `totals`."""

    totals: List[Total]
    extent: Extent


class Extent(NamedTuple):
    """What the answer rests on."""

    begin: float  # Unix seconds: what was asked, cut to what is kept; sums beyond DETAIL are of whole hours
    end: float
    oldest: Optional[float]  # Unix seconds since when there is history at all; None = none yet
    as_of: Optional[float]  # Unix seconds of the newest sample that is in it
    notes: Tuple[str, ...] = ()  # sentences: a damaged hour set aside, whole hours instead of minutes, a gap
    covers: Optional[Covers] = None  # hours of the asked time that are there, of how many


class NoHistory(Exception):
    """There is none to ask: the collector is away, or its endpoint refuses. The text is a sentence."""


class TooMuch(NoHistory):
    """More points than one answer may hold: ask for less time, one namespace, or totals."""


class History(Protocol):
    """Reads; safe to call from several threads. Each raises NoHistory."""

    def range(self, query: Query) -> Ranged:
        """Points in detail; only of the last DETAIL seconds."""
        ...

    def totals(self, query: Query) -> Totalled:
        """One total a subject of the level, over the whole time."""
        ...


class Recorder(Protocol):
    """Who takes what the collector measured. Not for several threads."""

    def record(self, samples: Sequence[Sample], now: float) -> None:
        """One turn: samples of all levels. What it cannot keep it counts and tells in `health`; it never raises."""
        ...

    def health(self) -> List[str]:
        """Sentences about what is wrong now; [] = all is well."""
        ...
