"""The merge's state as the head tells it, and back: what a successor resumes from."""

from __future__ import annotations

from typing import Any, Dict, Iterable, Tuple

from krm.aggregator.state import Row, State
from krm.model import records, versions
from krm.model.head import Head
from krm.model.messages import Bad

# What outlives a rebuild: health and counters are facts about the kind, not about one incarnation.
_CARRIED = (
    "gaps", "drift", "upstream_drift", "probed_at", "streamer_at", "observed_at", "list_error", "watch_error",
    "unserved", "facts",
)  # fmt: skip


def head_of(state: State) -> Dict[str, Any]:
    """The head's fields that follow from the state of a readable snapshot."""
    shown = {} if state.building else _snapshot(state)
    return {
        **shown,
        **{name: getattr(state, name) for name in _CARRIED},
        "gap_open": state.gap_open,
        "bad": [list(bad) for bad in state.bad],
        "session": state.session,
        "seq": state.seq,
        "want": state.want,
        "truncated": state.truncated,
    }


def _snapshot(state: State) -> Dict[str, Any]:
    return {
        "rv": state.rv,
        "watch_from": str(state.watch_from or ""),
        "verified_rv": str(state.verified or state.opaque_rv),
        "verified_at": state.verified_at,
        "verified_by": state.verified_by,
        "current_as_of": state.current_as_of,
        "count": len(state.rows),
        "digest": f"{state.digest:032x}",
        "nameless": str(state.unnamed or ""),
        "canon": state.canon,
        "cluster_uid": state.cluster_uid,
    }


def next_state(former: State, incarnation: str) -> State:
    """An empty state for a snapshot that is built aside; it asks for its list."""
    state = State(incarnation, building=True)
    for name in _CARRIED:
        setattr(state, name, getattr(former, name))
    state.bad.extend(former.bad)
    state.ask()
    return state


def state_from(head: Head, loaded: Iterable[Tuple[str, records.Envelope]]) -> State:
    """The state that a former aggregator left, or an empty one where nothing of it can be used.

    History starts at F: every event <= F and every list below it is dropped from here on.
    """
    state = State(head.incarnation)
    for key, envelope in loaded:
        state.put(key, Row(envelope.rv, envelope.uid, envelope.digest))
    state.touched.clear()
    for name in _CARRIED:
        setattr(state, name, getattr(head, name))
    state.drift, state.upstream_drift = dict(head.drift or {}), dict(head.upstream_drift or {})
    _resume_versions(state, head)
    state.verified_at, state.verified_by = head.verified_at, head.verified_by
    state.current_as_of, state.gap_open, state.truncated = head.current_as_of, head.gap_open, head.truncated
    state.session, state.seq = head.session, head.seq
    state.canon, state.cluster_uid, state.want = head.canon, head.cluster_uid, head.want
    state.bad.extend(Bad(*bad) for bad in head.bad)
    state.refused = {bad.key: bad.rv for bad in state.bad if bad.key}
    # Names of wants must not repeat within an incarnation; the former ones are not known, but the time is.
    state.asked = int((head.beat or 0.0) * 1000)
    return state


def _resume_versions(state: State, head: Head) -> None:
    try:
        state.frontier = state.history_from = versions.parse(head.rv)
        state.verified = versions.parse(head.verified_rv) if head.verified_rv else 0
        state.watch_from = versions.parse(head.watch_from) if head.watch_from else state.frontier
        state.full = state.nameless = versions.parse(head.nameless) if head.nameless else 0
    except versions.MalformedVersion:
        state.opaque_rv, state.frontier, state.verified = head.rv, 0, 0


def resumable(head: Head, run_id: str) -> bool:
    """Whether what rests in Redis may be continued: the same server run, nothing half built."""
    return bool(head.incarnation and head.rv and not head.next and head.run_id and head.run_id == run_id)


def agrees(state: State, head: Head) -> bool:
    """Whether the hashes hold what the head says they do: nothing rotted, nothing is missing."""
    found = _snapshot(state)
    return bool(found["count"] == head.count and found["digest"] == head.digest)
