"""The merge: what is true, given what the streamer and the verifier say. Pure: no clock, no I/O.

Laws (P1 to P10 of tests/laws prove them):

    F          every change up to F is applied; it moves only through the accepted session's
               events and bookmarks, and through merged lists
    event v    v <= F is dropped, else it is applied and F = v
    session    accepted with its batch 0 where from_rv <= F; one missing number breaks it for good
    list V     V < f0: the API server went back -> rebuild under another incarnation
               V < verified or V < h0: discarded; V == verified counts again
               compared with the state at exactly V, by rewinding the history (h0, F]
               equal -> verified; else what is lost is counted by cause and repaired by a full list
    tombstone  a deletion in the history: no list at V < its version can bring the object back,
               and no list at V >= its version lists it
    opaque     resourceVersions that cannot be compared: events are dropped, lists replace

The state is changed in place and belongs to one loop alone: on any surprise it is thrown away.
"""

from __future__ import annotations

from krm.aggregator import events, lists
from krm.aggregator.state import State, Step
from krm.model.messages import Batch, End, ListEnd, Message, Page, StreamerReport


def merge(state: State, message: Message, now: float) -> Step:
    """Take one message in; `now` is monotonic seconds. Returns what is to be published or built."""
    if isinstance(message, Batch):
        return events.take_batch(state, message)
    if isinstance(message, StreamerReport):
        return events.take_report(state, message)
    if isinstance(message, End):
        return events.take_end(state, message)
    if isinstance(message, Page):
        return lists.take_page(state, message)
    if isinstance(message, ListEnd):
        return lists.take_end(state, message, now)
    return lists.take_report(state, message)


def settle(state: State, now: float) -> Step:
    """Merge a list that was waiting for the watch, where it can be by now; asked each turn."""
    return lists.settle(state, now)
