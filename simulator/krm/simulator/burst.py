"""Templates for fast emission: an object's bytes, cut where its revision stands."""

from __future__ import annotations

import json
from typing import Dict, List, Optional, Tuple

from .history import BurstPlan, BurstStored, Log, Stored
from .wire import encode_object

TICK = "simulator.krm/tick"
# Cannot occur in generated objects; fixed so that splitting an encoded body is exact.
_MARK = "@revision@"

Pieces = Tuple[bytes, bytes, bytes]


class Ring:
    """A plan, where in it the next event falls, and the count of other writes it knows of."""

    def __init__(self, plan: BurstPlan, position: int, edits: int) -> None:
        self.plan, self.position, self.edits = plan, position, edits


def current_ring(log: Log, last: Optional[Ring], keys: Optional[List[str]]) -> Ring:
    """The last ring where nothing else wrote since, else a new one (objects untouched since keep their cuts)."""
    same_keys = last is not None and (keys is None or keys == last.plan.keys)
    if last is not None and same_keys and last.edits == log.edits:
        return last
    if log.kind.custom:
        raise ValueError("a burst needs a built-in kind: sorted keys put the revision after the tick")
    wanted = keys
    if wanted is None:  # injected bytes need not be JSON, so they cannot be cut
        wanted = sorted(key for key, stored in log.current.items() if stored.template is None)
    if not wanted:
        raise ValueError("there is no object of %s to touch" % log.kind.name)
    known: Dict[str, Tuple[Stored, Pieces]] = {}
    if last is not None:
        known = {key: (last.plan.stored[i], last.plan.pieces[i]) for i, key in enumerate(last.plan.keys)}
    stored, pieces = [], []
    for key in wanted:
        now = log.current[key]
        origin, cut = known.get(key, (None, None))
        reusable = now is origin or (isinstance(now, BurstStored) and last is not None and now.plan is last.plan)
        stored.append(now)
        pieces.append(cut if cut is not None and reusable else _cut(log, now))
    return Ring(BurstPlan(wanted, stored, pieces), 0, log.edits)


def _cut(log: Log, stored: Stored) -> Pieces:
    obj = json.loads(stored.body())
    obj["metadata"]["resourceVersion"] = _MARK
    obj["metadata"].setdefault("annotations", {})[TICK] = _MARK
    start, between, end = encode_object(log.kind, obj)[0].split(_MARK.encode())
    return start, between, end
