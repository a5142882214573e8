"""Which events say how late the watch is, and what they say."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import pytest
from krm.aggregator.delays import WAITING, StreamDelays, created_of, ending_of
from krm.aggregator.merge import merge
from krm.aggregator.state import Applied, Row, State
from krm.model import times
from krm.model.delays import ADDED, DELETED, DELETION, PUBLISHED, DelayPoint, shown
from krm.model.messages import Batch, End, Item, StreamerReport

T = times.parse("2026-11-28T10:00:00Z")  # the session's start
INCARNATION, SESSION, CANON = "n1", "s1", "c"


def at(seconds: float) -> str:
    return times.write(int(T + seconds))


def body(created: float, ends: Optional[float] = None, grace: Optional[int] = None, more: str = "") -> bytes:
    """A pod as API servers write it; times are seconds after the session's start."""
    going = "" if ends is None else f',"deletionTimestamp":"{at(ends)}"'
    going += "" if grace is None else f',"deletionGracePeriodSeconds":{grace}'
    made = f'"creationTimestamp":"{at(created)}"'
    meta = f'"name":"web","namespace":"shop","uid":"u","resourceVersion":"5",{made}{going}'
    return f'{{"apiVersion":"v1","kind":"Pod","metadata":{{{meta}{more}}},"spec":{{"nodeName":"a"}}}}'.encode()


def item(type: str, rv: int, content: bytes, received: float, uid: str = "u") -> Item:
    return Item(type, "shop/web", str(rv), uid, b"d", b"", (), content, T + received)


HELD = Row("4", "u", b"d")


class Case(NamedTuple):
    """Changes as they were merged, and the delays that follow."""

    changes: List[Applied]
    points: List[Tuple[str, float]]
    since: Optional[float] = T


def added(created: float, received: float, before: Optional[Row] = None, told: str = "A") -> Applied:
    return Applied(item("A" if before is None else "M", 5, body(created), received), before, told)


def modified(content: bytes, rv: int = 6, told: str = "M") -> Applied:
    return Applied(item("M", rv, content, 3), HELD, told)


def deleted(content: bytes, received: float, before: Optional[Row] = HELD, told: str = "D") -> Applied:
    return Applied(item("D", 9, content, received), before, told)


FINALIZER = ',"finalizers":["a/b"]'
CASES: Dict[str, Case] = {
    "added": Case([added(5, 7.5)], [(ADDED, 2.5)]),
    "negative": Case([added(5, 4.25)], [(ADDED, -0.75)]),
    "of the session's first second": Case([added(0, 0.5)], [(ADDED, 0.5)]),
    "replayed: made before the session": Case([added(-1, 7.5)], []),
    "no session is known to be open": Case([added(5, 7.5)], [], None),
    "found by a list": Case([added(5, 7.5, told="")], []),
    "a list brought it before": Case([added(5, 7.5, before=HELD)], []),
    "the one before it was never seen to go": Case([added(5, 7.5, before=Row("4", "other", b"d"))], [(ADDED, 2.5)]),
    "ADDED was lost, MODIFIED is the first word": Case([added(5, 7.5, told="M")], []),
    "received at no known time": Case([Applied(item("A", 5, body(5), 0)._replace(received_at=0.0), None, "A")], []),
    "modified": Case([modified(body(5))], []),
    "deleted by force": Case([deleted(body(1, ends=5, grace=0), 7.0)], [(DELETION, 2.0), (DELETED, 2.0)]),
    "deleted at once, of no told time": Case([deleted(body(1), 7.0)], []),
    "a grace period is left": Case([deleted(body(1, ends=35, grace=30), 7.0)], [(DELETION, 2.0)]),
    "a finalizer was pending": Case([deleted(body(1, ends=5, grace=0, more=FINALIZER), 7.0)], [(DELETION, 2.0)]),
    # The API server writes the time of then as the kubelet cuts the grace short.
    "a grace period has ended": Case(
        [
            modified(body(1, ends=35, grace=30)),
            modified(body(1, ends=11, grace=0), 7),
            deleted(body(1, ends=11, grace=0), 12.0),
        ],
        [(DELETION, 7.0)],
    ),
    "a list told of the grace period": Case(
        [modified(body(1, ends=35, grace=30), told=""), deleted(body(1, ends=11, grace=0), 12.0)], [(DELETION, 7.0)]
    ),
    "a grace period that began before the session": Case(
        [modified(body(-50, ends=20, grace=30)), deleted(body(-50, ends=11, grace=0), 12.0)], [(DELETION, 22.0)]
    ),
    "another one waited under its name": Case(
        [
            Applied(item("M", 6, body(1, ends=35, grace=30), 3, "other"), HELD, "M"),
            deleted(body(1, ends=11, grace=0), 12.0),
        ],
        [(DELETION, 1.0), (DELETED, 1.0)],
    ),
    "by force, as it is told twice": Case(
        [modified(body(1, ends=5, grace=0)), deleted(body(1, ends=5, grace=0), 6.0)],
        [(DELETION, 1.0), (DELETED, 1.0)],
    ),
    "asked for before the session": Case([deleted(body(-50, ends=-1, grace=0), 7.0)], []),
    "asked for before, its grace ends within": Case([deleted(body(-50, ends=20, grace=30), 7.0)], []),
    "a ghost: a list missed it": Case([deleted(b"", 7.0, told="")], []),
    "deleted, and was never held": Case([deleted(body(1, ends=5, grace=0), 7.0, before=None)], []),
    "deleted, another one was held": Case([deleted(body(1, ends=5, grace=0), 7.0, Row("4", "other", b"d"))], []),
    "deleted negative": Case([deleted(body(1, ends=5, grace=0), 4.5)], [(DELETION, -0.5), (DELETED, -0.5)]),
}


@pytest.mark.parametrize("name", CASES)
def test_an_event_tells_what_it_can(name: str) -> None:
    case = CASES[name]
    delays = StreamDelays()
    delays.take(case.changes, case.since)
    points = delays.drain()
    assert [(point.series, point.seconds) for point in points] == case.points
    assert all(point.rv == case.changes[-1].item.rv for point in points)
    assert delays.drain() == []


def report(session: str = SESSION, connected: float = T) -> StreamerReport:
    return StreamerReport(INCARNATION, session, T, connected, T, "", ())


def batch(seq: int, *items: Item, session: str = SESSION) -> Batch:
    return Batch(INCARNATION, session, seq, "4", CANON, "", items)


def live(*messages: Any) -> List[DelayPoint]:
    """What messages lead to, through the merge, as the loop does it."""
    state, delays = State(INCARNATION, frontier=4, canon=CANON), StreamDelays()
    for message in messages:
        delays.take(merge(state, message, 0.0).changes, state.live_since)
    return delays.drain()


def one(rv: int, name: str = "web") -> Item:
    return item("A", rv, body(5), 7.5)._replace(key=f"shop/{name}")


def test_only_an_open_session_without_a_gap_counts() -> None:
    start = [batch(0), report()]
    assert len(live(*start, batch(1, one(5)))) == 1
    assert live(batch(0), batch(1, one(5))) == []  # nobody said yet that the watch is open
    assert live(batch(0), report(connected=0.0), batch(1, one(5))) == []
    assert live(batch(0), report("other"), batch(1, one(5))) == []
    assert len(live(*start, batch(1, one(5)), batch(1, one(5)))) == 1  # an XADD that came twice
    assert live(*start, batch(2, one(5)), batch(3, one(6, "b"))) == []  # batch 1 is missing
    ended = [*start, End(INCARNATION, SESSION, "error"), batch(0, session="s2")]
    assert live(*ended, batch(1, one(5), session="s2")) == []
    assert len(live(*ended, report("s2"), batch(1, one(5), session="s2"))) == 1


def test_points_of_one_batch_have_times_of_their_own() -> None:
    delays = StreamDelays()
    changes = [Applied(one(5 + n, str(n)), None, "A") for n in range(3)]
    delays.take(changes, T)
    assert [round((point.at - T) * 1000) for point in delays.drain()] == [7500, 7501, 7502]
    early = Applied(one(9)._replace(received_at=T - 3600), None, "A")  # the clock was set back
    delays.take([early], T - 4000)
    assert delays.drain()[0].at == T - 3600
    delays.take(changes * WAITING, T)
    assert len(delays.drain()) == WAITING


def test_percentiles_histograms_and_negatives() -> None:
    delays = StreamDelays()
    assert delays.summary() is None
    for n in range(100):
        delays.take([added(10, 12.0 + n / 100)], T)
    delays.take([added(10, 9.5)], T)
    delays.published(T + 20)
    summary = delays.summary()
    assert summary is not None
    assert summary[ADDED] == {"p50": 2.49, "p99": 2.98, "points": 101, "negative": 1}
    assert summary[PUBLISHED] == {"p50": 10.0, "p99": 10.0, "points": 101, "negative": 0}
    histogram: Any = delays.figures()["krm_stream_delay_seconds"][ADDED]
    counts = dict(zip(histogram.bounds, histogram.counts))
    assert {bound: count for bound, count in counts.items() if count} == {0.5: 1, 2.0: 1, 3.0: 99}
    assert histogram.total == pytest.approx(249.5)
    assert delays.figures()["krm_stream_delay_negative_total"][ADDED] == 1
    assert shown({ADDED: {"p50": -0.5}}, ADDED, "p50") == 0.0
    assert shown(None, ADDED, "p50") is None


def test_what_is_built_anew_was_published_at_no_told_time() -> None:
    delays = StreamDelays()
    delays.take([added(10, 12.0)], T)
    delays.forget()
    delays.published(T + 20)
    assert PUBLISHED not in (delays.summary() or {})


CUSTOM = b'{"apiVersion":"e.com/v1","kind":"Widget","metadata":{%s"name":"w"},"spec":{}}'
LIE = rb'"annotations":{"creationTimestamp":"2001-01-01T00:00:00Z","x":"\"creationTimestamp\":\"2002-"},'
MADE = b'"creationTimestamp":"2026-11-28T10:00:00Z",'
ENDS = b'"deletionGracePeriodSeconds":3,"deletionTimestamp":"2026-11-28T10:00:09Z",'
INNER = (
    b'{"apiVersion":"v1","kind":"W","a":{"metadata":{"creationTimestamp":"2026-11-28T10:00:00Z"}},"metadata":{}}'
)


@pytest.mark.parametrize(
    ("content", "created", "ending"),
    [
        (CUSTOM % (LIE + MADE), T, (None, 0.0)),
        (CUSTOM % (LIE + MADE + ENDS), T, (T + 9, 3.0)),
        (CUSTOM % (b'"labels":{"creationTimestamp":"x"},' + MADE), T, (None, 0.0)),
        (INNER, None, (None, 0.0)),
        (CUSTOM % b'"creationTimestamp":null,', None, (None, 0.0)),
        (CUSTOM % b'"creationTimestamp":"yesterday",', None, (None, 0.0)),
        (b"", None, (None, 0.0)),
        (b'{"metadata":[]}', None, (None, 0.0)),
        (b'{"metadata":{"creationTimestamp":7,"deletionGracePeriodSeconds":"x"}}', None, (None, 0.0)),
        (b"[" * 100_000, None, (None, 0.0)),
    ],
)  # fmt: skip
def test_times_are_read_where_they_stand_and_nowhere_else(content: bytes, created: Any, ending: Any) -> None:
    assert created_of(content) == created
    assert ending_of(content) == ending
