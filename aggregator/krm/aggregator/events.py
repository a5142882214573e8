"""The merge's half that takes what the streamer sends: batches, reports, ends."""

from __future__ import annotations

from krm.aggregator.state import Applied, Row, State, Step
from krm.model import messages, versions
from krm.model.messages import Batch, End, Item, StreamerReport


def take_batch(state: State, batch: Batch) -> Step:
    """Events of one session, in order. Of an unaccepted or broken session nothing is applied."""
    step = Step()
    if state.building or state.opaque_rv or not _same_source(state, batch) or not _in_sequence(state, batch):
        return step
    for item in batch.items:
        try:
            version = versions.parse(item.rv)
        except versions.MalformedVersion:
            state.end_session(broken=True)
            state.ask()
            return step
        # Every change up to F is applied: this drops duplicates, copies of other API servers,
        # replays after a reconnect, and all that a newer list has already told.
        if version <= state.frontier:
            continue
        if item.type != messages.BOOKMARK:
            step.changes.append(_apply(state, item, version))
        state.frontier = version
    if batch.items:
        state.observed_at = max(state.observed_at or 0.0, batch.items[-1].received_at)
    state.settle_probes()
    return step


def _same_source(state: State, batch: Batch) -> bool:
    if batch.incarnation != state.incarnation or batch.canon != state.canon:
        return False
    return not (batch.cluster_uid and state.cluster_uid and batch.cluster_uid != state.cluster_uid)


def _in_sequence(state: State, batch: Batch) -> bool:
    if batch.session != state.session:
        return _accept_session(state, batch)
    if batch.seq <= state.seq:
        return False  # a repeated XADD
    if batch.seq != state.seq + 1:
        state.end_session(broken=True)
        return False
    state.seq = batch.seq
    return True


def _accept_session(state: State, batch: Batch) -> bool:
    """A session is accepted with its first batch, where it leaves nothing out between F and itself."""
    if batch.seq != 0 or batch.session in state.dead:
        return False
    try:
        if versions.parse(batch.from_rv) > state.frontier:
            return False
    except versions.MalformedVersion:
        return False
    state.end_session(broken=False)
    state.session, state.seq = batch.session, 0
    state.gap_open = False
    return True


def _apply(state: State, item: Item, version: int) -> Applied:
    """One event above F. The type is told as this state sees it: a watch resumed after a repair may
    say MODIFIED of a key that is new here."""
    state.refused.pop(item.key, None)
    told = item.type
    if item.type == messages.DELETED:
        before = state.remove(item.key)
    else:
        before = state.put(item.key, Row(item.rv, item.uid, item.digest))
        seen_as = messages.ADDED if before is None else messages.MODIFIED
        if item.type != seen_as:
            item = item._replace(type=seen_as)
    state.remember(version, item.key, before)
    return Applied(item, before, told)


def lose_entry(state: State) -> None:
    """An entry that cannot be read: of the session's events some may be lost, and the one that replays from
    F may meet the same again. So the session is broken, and a list leads beyond it."""
    if state.session:
        state.end_session(broken=True)
        state.ask()


def take_report(state: State, report: StreamerReport) -> Step:
    """The watch's health. It moves nothing but what trust is judged by."""
    state.note_bad(report.bad)
    if report.incarnation == state.incarnation:
        state.watch_error = report.error
        if report.connected_since:
            state.streamer_at = report.at
            if report.session and report.session == state.session and state.live_since is None:
                state.live_since = report.at  # a session begins with what it missed: that is told late, not slowly
            state.observed_at = max(state.observed_at or 0.0, report.last_byte)
    return Step()


def take_end(state: State, end: End) -> Step:
    """A session is over. After a 410 or an unreadable line only a list can close the gap."""
    if end.incarnation != state.incarnation or end.session in state.dead:
        return Step()
    if end.session == state.session:
        state.end_session(broken=end.cause != "shutdown")
    if end.cause in ("expired", "unparsable"):
        state.gap_open = True
        if not state.building:
            state.ask()
    return Step()
