"""Reads what a question needs: snapshots, the history, newest values, OOM kills; from Redis and a server alike."""

from __future__ import annotations

from math import isfinite
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from krm.analysis.inputs import NOTHING, Body, Inputs, Kills, Needs, Newest, Reading, State
from krm.client.client import Client
from krm.client.errors import BadObject, KrmError, UnknownKind
from krm.client.snapshot import Snapshot
from krm.client.usage import Used
from krm.model.measures import CONTAINER, NODE, POD, Subject
from krm.model.trust import ABSENT, FORBIDDEN, LIVE, RESET, TRUNCATED, Trust
from krm.monitor.past import history_of

NOT_KEPT = "not kept here: name it among the --kinds of krm up"
_MAX_DAMAGED = 5  # objects a kind that are named one by one
# A kind of more_kinds that is in such a state is one that is not there, also where an old copy of it is held.
_LOST = frozenset((ABSENT, FORBIDDEN, TRUNCATED))


def gather(client: Client, needs: Needs) -> Inputs:
    """Everything, read one after another. Raises KrmError where one of `needs.kinds` cannot be read."""
    state, read_at = _state(client, needs)
    now = client.measurements.now() if read_at is None else read_at
    kills = _kills(client, needs)
    history = history_of(client, needs, now, _killed_on(kills) if needs.of_killed else None)
    kubelets = client.measurements.kubelets() if needs.kubelets else {}
    return Inputs(now, client.cluster, state, history, _newest(client, needs), kills, kubelets)


def gather_each(
    client: Client, needs: Needs, names: Callable[[State], Sequence[str]]
) -> Iterator[Tuple[str, Inputs]]:
    """The same, with the history of one of these namespaces after another: a day of all of them is never held.

    names: of the state, which is read once; without any it is of all. Raises as gather.
    """
    state, read_at = _state(client, needs)
    now = client.measurements.now() if read_at is None else read_at
    kills = _kills(client, needs)
    for name in names(state) or ("",):
        history = history_of(client, needs._replace(measured=name), now)
        yield name, Inputs(now, client.cluster, state, history, kills=kills)


def _state(client: Client, needs: Needs) -> Tuple[State, Optional[float]]:
    """And when it was read, by Redis' clock; None where nothing was."""
    kinds: Dict[str, Sequence[Body]] = {}
    trust: Dict[str, Trust] = {}
    lacks: Dict[str, str] = {}
    read_at: Optional[float] = None
    for kind in dict.fromkeys((*needs.kinds, *needs.more_kinds)):
        needed = kind in needs.kinds
        try:
            snapshot = _snapshot(client, kind, needs.namespace)
        except KrmError as error:
            if needed:
                raise
            # The kinds that are kept, which the error lists, help nobody here.
            lacks[kind] = NOT_KEPT if isinstance(error, UnknownKind) else str(error)
            continue
        read_at = snapshot.read_at if read_at is None else max(read_at, snapshot.read_at)
        if snapshot.trust.state in _LOST and not needed:
            lacks[kind] = "; ".join(snapshot.trust.reasons) or snapshot.trust.state
            continue
        kinds[kind], trust[kind] = _bodies(snapshot, lacks), snapshot.trust
    return State(kinds, trust, lacks), read_at


def _snapshot(client: Client, kind: str, namespace: Optional[str]) -> Snapshot:
    """Whatever its state, where anything is held. Raises KrmError."""
    snapshot = client.snapshot(kind, namespace, stale_ok=True)
    if snapshot.trust.state == RESET:  # told once to whoever holds tokens; here is nobody who does
        snapshot = client.snapshot(kind, namespace, stale_ok=True)
    return snapshot


def _bodies(snapshot: Snapshot, lacks: Dict[str, str]) -> List[Body]:
    """Those that can be read; of the others it is told that they are left out."""
    bodies: List[Body] = []
    broken: List[Tuple[str, str]] = [(key, "its stored bytes are damaged") for key in snapshot.damaged]
    for one in snapshot.items():
        try:
            bodies.append(one.body())
        except BadObject as error:
            broken.append((one.key, str(error)))
    for key, why in broken[:_MAX_DAMAGED]:
        lacks[f"{snapshot.kind} {key}"] = f"left out: {why}"
    if len(broken) > _MAX_DAMAGED:
        lacks[f"{snapshot.kind} and others"] = f"{len(broken) - _MAX_DAMAGED} more objects are damaged and left out"
    return bodies


def _newest(client: Client, needs: Needs) -> Newest:
    if not needs.newest:
        return NOTHING
    readings: Dict[str, Sequence[Reading]] = {}
    state, reasons, nodes = LIVE, [], None
    # Apart: who may read pods may not always read what nodes use.
    for levels in ([level for level in needs.newest if level != NODE], [NODE] if NODE in needs.newest else []):
        try:
            usages = client.measurements.usages(levels, needs.namespace) if levels else []
        except KrmError as error:
            state = NOTHING.state
            reasons.append(f"what each {' and each '.join(levels)} uses now: {error}")
            continue
        for level, found in zip(levels, usages):
            readings[level] = [_reading(row) for row in found.rows]
            state = found.state if state == LIVE else state
            nodes = found.nodes
            reasons += [reason for reason in found.reasons if reason not in reasons]
    return Newest(readings, state, tuple(reasons), nodes)


def _reading(row: Used) -> Reading:
    pod = row.name if row.level in (POD, CONTAINER) else ""
    subject = Subject(row.namespace, pod, "", row.container, row.node)
    # A number that is none is not known: JSON lets NaN and Infinity through.
    values = {metric: value for metric, value in row.values.items() if isfinite(value)}
    return Reading(subject, values, row.at, row.window, row.source, row.covers)


def _kills(client: Client, needs: Needs) -> Kills:
    if not needs.kills:
        return Kills()
    try:
        found = client.kills(needs.namespace)
    except KrmError as error:
        return Kills((), NOTHING.state, (f"OOM kills: {error}",))
    return Kills(found.rows, found.state, found.reasons)


def _killed_on(kills: Kills) -> List[str]:
    """Nodes, that of the newest kill first."""
    newest_first = sorted(kills.rows, key=lambda kill: (-kill.at, kill.node))
    return list(dict.fromkeys(kill.node for kill in newest_first))
