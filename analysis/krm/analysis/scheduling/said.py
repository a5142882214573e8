"""What the scheduler itself last said of a pod: its event, else the condition of the pod. Pure."""

from __future__ import annotations

from typing import Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.inputs import Body
from krm.analysis.scheduling.parsed import Pod
from krm.analysis.scheduling.wording import read_message
from krm.model.reading import mapping, rows, text
from krm.model.times import known

EVENTS = "events"
EVENT, CONDITION = "event", "condition"


class Said(NamedTuple):
    """The newest that is known."""

    message: str
    at: Optional[float]  # Unix seconds by the scheduler's clock
    source: str  # EVENT or CONDITION


def events_of(events: Optional[Sequence[Body]]) -> Dict[str, Said]:
    """UID of a pod -> the newest FailedScheduling about it."""
    found: Dict[str, Said] = {}
    for body in events or ():
        uid = text(mapping(body.get("involvedObject")).get("uid"))
        if body.get("reason") != "FailedScheduling" or not uid:
            continue
        said = Said(text(body.get("message")), _time_of(body), EVENT)
        held = found.get(uid)
        if held is None or (said.at or 0, said.message) > (held.at or 0, held.message):
            found[uid] = said
    return found


def said_of(pod: Pod, events: Mapping[str, Said]) -> Optional[Said]:
    """None = nothing is known; a scheduler that never looked at it says nothing."""
    event = events.get(text(mapping(pod.body.get("metadata")).get("uid")))
    if event is not None:
        return event
    for one in rows(mapping(pod.body.get("status")).get("conditions")):
        if one.get("type") == "PodScheduled" and one.get("status") == "False" and one.get("message"):
            return Said(text(one.get("message")), known(one.get("lastTransitionTime")), CONDITION)
    return None


def differences(counts: Mapping[str, int], nodes: int, said: Optional[Said]) -> Optional[Tuple[str, ...]]:
    """Ours against the scheduler's, a clause each; () = they agree; None = there is nothing to compare."""
    told = read_message(said.message) if said is not None else None
    if told is None:
        return None
    total, theirs = told
    found = [] if total == nodes else [f"{nodes} nodes, not {total}"]
    for reason in sorted({*theirs, *counts}):
        if theirs.get(reason, 0) != counts.get(reason, 0):
            found.append(f"{counts.get(reason, 0)} {reason}, not {theirs.get(reason, 0)}")
    return tuple(found)


def _time_of(event: Body) -> Optional[float]:
    newest = mapping(event.get("series")).get("lastObservedTime")
    times = [newest, event.get("lastTimestamp"), event.get("eventTime"), event.get("firstTimestamp")]
    return next((at for at in map(known, times) if at is not None), None)
