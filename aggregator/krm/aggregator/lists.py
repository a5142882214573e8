"""The merge's half that takes what the verifier sends: pages, the end of a list, reports.

A list at V is compared with the state at V. Where they are equal by (key, uid, rv) the state is
verified at once. Where not, it is first waited for F >= V while a session delivers; then what is
still different is classified:

    missed add      listed, not held at V
    missed update   listed at a newer rv than held at V
    ghost           held at V, not listed: its deletion was missed
    contradiction   same rv and another uid, or held at a newer rv than listed: two truths
    other bytes     a full list alone: same rv and uid, but not the bytes that are held
    overdue         the same two with F < V, after the wait: the watch delivers, but not this
    ahead           the same without a session: nobody watches, so nothing was lost, it is only later
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional

from krm.aggregator.state import Applied, Listing, Row, State, Step
from krm.model import messages, versions
from krm.model.messages import FULL, Item, ListEnd, Page, VerifierReport

# Seconds (monotonic) that a list waits for the watch to reach it: five times the worst delay seen
# at 20,000 events/s, and well below the 60 s between two lists.
WAIT_FOR_FRONTIER = 15.0
# Above these a repair is no version but a rebuild aside: one MULTI would block Redis for too long.
REPAIR_KEYS = 1_000
REPAIR_BYTES = 16 * 1024 * 1024

OPAQUE = "resourceVersions of this kind cannot be compared"

MISSED_ADD, MISSED_UPDATE, GHOST, CONTRADICTION = "missed_add", "missed_update", "ghost", "contradiction"
OVERDUE = "overdue"
OTHER_BYTES = "other_bytes"
REFUSED = "refused"  # held, and listed as an object that cannot be read
AHEAD = "ahead"  # no drift: not counted


class Differences(NamedTuple):
    """How a list differs from the state at its V."""

    causes: Dict[str, str]  # key -> class
    put: List[Item]  # what a full list would have the state hold
    remove: List[str]

    @property
    def none(self) -> bool:
        return not (self.causes or self.put or self.remove)


def take_page(state: State, page: Page) -> Step:
    """One page. Of a list whose first page was not seen nothing is taken."""
    step = Step()
    if page.incarnation != state.incarnation:
        return step
    listing = state.listing
    if page.page == 0 and (listing is None or listing.first.list_id != page.list_id):
        step.rebuild = _why_rebuild(state, page)
        if step.rebuild or (listing is not None and listing.complete_at is not None):
            return step  # a whole list that waits for F is not dropped: lists each 3 s would starve it
        listing = state.listing = _begin(state, page)
    if listing is None or listing.first.list_id != page.list_id or page.page < listing.pages:
        return step
    if page.page > listing.pages or page.rv != listing.first.rv:
        state.listing = None
        return step
    listing.pages += 1
    for item in page.items:
        _take_item(state, listing, item, step)
    return step


def _begin(state: State, page: Page) -> Optional[Listing]:
    if state.building:
        if page.mode != FULL or page.answers != state.want:
            return None
        state.canon, state.cluster_uid = page.canon, page.cluster_uid
    return Listing(page, 0 if not versions.is_one(page.rv) else versions.parse(page.rv))


def _why_rebuild(state: State, page: Page) -> str:
    """The laws that only another epoch can answer."""
    if state.building:
        return "a list was begun anew while the snapshot was built" if state.rows or state.listing else ""
    if page.canon != state.canon:
        return "objects are written in another canonical form now"
    if page.cluster_uid and state.cluster_uid and page.cluster_uid != state.cluster_uid:
        return "the cluster is another one: namespace kube-system has another uid"
    if state.opaque_rv or page.f0 in ("", "0"):
        return ""
    if not versions.is_one(page.rv):
        return OPAQUE
    if versions.parse(page.rv) < versions.parse(page.f0):
        return f"the API server went back: a list not older than {page.f0} was read at {page.rv}"
    return ""


def _take_item(state: State, listing: Listing, item: Item, step: Step) -> None:
    if not versions.is_one(item.rv):
        listing.version = 0
        step.rebuild = step.rebuild or ("" if state.building or state.opaque_rv else OPAQUE)
    if state.building:
        state.put(item.key, Row(item.rv, item.uid, item.digest))
        step.chunk.append(item)
        return
    listing.seen.add(item.key)
    row = state.rows.get(item.key)
    if row is None or row.rv != item.rv or row.uid != item.uid or _other_bytes(row, item):
        if listing.size > REPAIR_BYTES:
            item = item._replace(body=b"")  # of more than a repair may hold: only who differs is told now
        listing.size += len(item.body)
        listing.differing.append(item)


def take_end(state: State, end: ListEnd, now: float) -> Step:
    """The list is whole, or it is dropped; `now` is monotonic seconds."""
    state.note_bad(end.bad)
    listing = state.listing
    if end.incarnation != state.incarnation:
        return Step()
    if end.truncated:
        state.truncated, state.listing = end.objects, None
        return Step()
    if listing is None or listing.first.list_id != end.list_id:
        return Step()
    if listing.pages != end.pages:
        state.listing = None
        return Step()
    listing.bad, listing.complete_at = end.bad, now
    return _finish_building(state, listing) if state.building else settle(state, now)


def lose_entry(state: State) -> None:
    """An entry that cannot be read may be a page: a list that is not whole yet is given up, its want stands."""
    if state.listing is not None and state.listing.complete_at is None:
        state.listing = None


def _finish_building(state: State, listing: Listing) -> Step:
    if listing.version:
        state.frontier = state.history_from = state.watch_from = listing.version
    else:
        state.opaque_rv = listing.first.rv
    _verified(state, listing)
    return Step(switch=True)


def settle(state: State, now: float) -> Step:
    """Merge the whole list, where it can be by now: as it completes, and then each turn of the loop."""
    listing = state.listing
    if listing is None or listing.complete_at is None or state.building:
        return Step()
    # Of two lists at one V, and of any two without versions, only the later sent tells something new.
    known = state.verified_at is not None and listing.first.t0 <= state.verified_at
    same_v = bool(state.opaque_rv) or listing.version == state.verified
    if (known and same_v) or (not state.opaque_rv and listing.version < max(state.verified, state.history_from)):
        state.listing = None  # older than what is verified, or than what can be rewound
        return Step()
    if state.opaque_rv:
        return _merge(state, listing, _differences_opaque(state, listing))
    behind = state.frontier < listing.version
    waits = behind and state.session and now - listing.complete_at < WAIT_FOR_FRONTIER
    if waits and listing.compared:
        return Step()  # a comparison costs a pass over all objects: not one after each message
    listing.compared = True
    found = differences(state, listing)
    # Equal as it completes, whatever F is: the common case on a quiet kind whose F waits for a bookmark.
    return Step() if waits and not found.none else _merge(state, listing, found)


def differences(state: State, listing: Listing) -> Differences:
    """Compare the list with the state at V, as the module's docstring says."""
    at_v = state.rows_at(listing.version) if state.frontier > listing.version else {}
    found = Differences({}, [], [])
    late = OVERDUE if state.session else AHEAD
    for item in listing.differing:
        row = at_v[item.key] if item.key in at_v else state.rows.get(item.key)
        cause = _compare(state, item, row, late)
        if not cause:
            continue
        found.causes[item.key] = cause
        if item.key not in at_v:  # a later event than V wins over the list
            found.put.append(item)
    unreadable = {bad.key for bad in listing.bad if bad.key}
    for key in _unlisted(state, listing, at_v):
        decided = GHOST if state.frontier >= listing.version else late
        found.causes[key] = REFUSED if key in unreadable else decided
        if key not in at_v:
            found.remove.append(key)
    return found


def _compare(state: State, item: Item, row: Optional[Row], late: str) -> str:
    """The class of one listed item against the row at V; '' = no difference."""
    listed = versions.parse(item.rv)
    # What no full list could read or name is told by its age alone: all else of then is held.
    if row is None and (state.refused.get(item.key) == item.rv or listed <= state.nameless):
        return ""  # where an older one is held still, the full list must take it away
    if row is not None and row.rv == item.rv:
        if row.uid != item.uid:
            return CONTRADICTION
        return OTHER_BYTES if _other_bytes(row, item) else ""
    if row is not None and versions.parse(row.rv) > listed:
        return CONTRADICTION
    if listed > state.frontier:
        return late
    return MISSED_ADD if row is None else MISSED_UPDATE


def _other_bytes(row: Row, item: Item) -> bool:
    """After etcd was restored, another change may stand at a version that is held (and two API servers of
    different releases may write one object in two ways): only a full list tells, a metadata list has no bytes."""
    return bool(item.digest) and item.digest != row.digest


def _unlisted(state: State, listing: Listing, at_v: Dict[str, Optional[Row]]) -> List[str]:
    """Keys that the state at V holds and the list does not."""
    held = [key for key in state.rows if key not in listing.seen and key not in at_v]
    return held + [key for key, row in at_v.items() if row is not None and key not in listing.seen]


def _differences_opaque(state: State, listing: Listing) -> Differences:
    """Without comparable versions a list is the truth, and nothing is known of causes."""
    known = state.refused
    put = [item for item in listing.differing if item.key in state.rows or known.get(item.key) != item.rv]
    return Differences({}, put, [key for key in state.rows if key not in listing.seen])


def _merge(state: State, listing: Listing, found: Differences) -> Step:
    state.listing = None
    contradictions = list(found.causes.values()).count(CONTRADICTION)
    if contradictions:
        return _contradicted(state, listing, contradictions)
    for key, cause in found.causes.items():
        # What a metadata list found, the full list that it asks for finds again: one loss, counted once.
        if cause != AHEAD and key not in state.counted:
            state.drift[cause] = state.drift.get(cause, 0) + 1
            state.counted.add(key)
    if found.none:
        _verified(state, listing)
        return Step()
    if listing.first.mode != FULL:
        state.ask()
        return Step()
    return _repair(state, listing, found)


def _contradicted(state: State, listing: Listing, contradictions: int) -> Step:
    """Two truths about one version: once may be a mixed answer; told by the list asked for, another history."""
    if state.suspected and listing.first.consistent and listing.first.mode == FULL:
        return Step(rebuild="the API server contradicts its own history at the same resourceVersion, twice")
    state.suspected = True
    state.drift[CONTRADICTION] = state.drift.get(CONTRADICTION, 0) + contradictions
    state.want = ""
    state.ask()
    return Step()


def _repair(state: State, listing: Listing, found: Differences) -> Step:
    size = sum(len(item.body) for item in found.put)
    cut = listing.size > REPAIR_BYTES and not all(item.body for item in found.put)
    if len(found.put) + len(found.remove) > REPAIR_KEYS or size > REPAIR_BYTES or cut:
        return Step(
            rebuild=f"{len(found.put) + len(found.remove)} objects differ from the list at {listing.first.rv}"
        )
    step = Step(repair=True)
    for item in sorted(found.put, key=lambda item: versions.parse(item.rv) if listing.version else 0):
        before = state.put(item.key, Row(item.rv, item.uid, item.digest))
        kind = messages.ADDED if before is None else messages.MODIFIED
        step.changes.append(Applied(item._replace(type=kind), before))
    for key in found.remove:
        before = state.remove(key)
        if before is not None:
            gone = Item(messages.DELETED, key, listing.first.rv, before.uid, received_at=listing.first.t0)
            step.changes.append(Applied(gone, before))
    _verified(state, listing)
    if len(found.causes) > len(found.put) + len(found.remove):
        # What was lost below a later event of its key stands in the history still: it would be counted again.
        state.forget_history(state.frontier)
    # A watch by resourceVersion cannot be told of a change that lies in its past: who read at V to F lacks it.
    state.watch_from = max(state.watch_from, state.frontier)
    return step


def _verified(state: State, listing: Listing) -> None:
    """The state equals the list at V: F, floor and history move, and with a consistent list the age."""
    first = listing.first
    if state.opaque_rv or not listing.version:
        state.opaque_rv = first.rv
    else:
        state.frontier = max(state.frontier, listing.version)
        state.verified = listing.version
        state.forget_history(listing.version)
    state.verified_at, state.verified_by = first.t0, first.source
    state.observed_at = max(state.observed_at or 0.0, first.t0)
    state.listing, state.suspected, state.truncated = None, False, None
    state.counted.clear()
    if first.mode == FULL:
        state.refused = {bad.key: bad.rv for bad in listing.bad if bad.key}
        state.nameless = 0 if all(bad.key for bad in listing.bad) else listing.version
        state.full = listing.version
        state.gap_open = False
        if first.consistent:
            state.want = ""
    if first.consistent:  # proves what a probe proves, and more
        state.current_as_of = max(state.current_as_of or 0.0, first.t0)
        state.probed_at = max(state.probed_at or 0.0, first.t0)
    state.settle_probes()


def take_report(state: State, report: VerifierReport) -> Step:
    """The verifier's health, and with a probe the proof (or the refutation) of freshness."""
    if report.incarnation not in ("", state.incarnation):
        return Step()
    state.list_error, state.unserved = report.error, report.unserved
    state.facts = report.facts or state.facts
    if report.audit is not None:
        audit = report.audit
        state.upstream_drift = {
            "rv": audit.rv, "at": audit.at, "differing": audit.differing, "keys": list(audit.keys),
        }  # fmt: skip
    probe = report.probe
    if probe is None:
        return Step()
    state.probed_at = max(state.probed_at or 0.0, probe.sent_at)
    state.observed_at = max(state.observed_at or 0.0, probe.sent_at)
    try:
        answered, bound = versions.parse(probe.rv), versions.parse(probe.f0)
    except versions.MalformedVersion:
        return Step()
    if answered < bound and not state.building:
        state.current_as_of = None  # the API server went back: what is held cannot be called current
        state.probes.clear()
        state.ask()
    elif bound <= answered:
        state.probes.append((answered, probe.sent_at))
        state.settle_probes()
    return Step()
