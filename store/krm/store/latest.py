"""The newest measurements in Redis: `krm:{CLUSTER}:latest:...`, written by the collector, read by all.

    latest:ns:NAMESPACE  hash   POD -> Pod; '' -> the namespace's sums (a list of Measured)
    latest:nodes         hash   NODE -> a list of Measured; '' -> the cluster's sums
    latest:processes, latest:kills   krm.store.latest_seen
    latest:kubelets      krm.store.latest_kubelets
    latest:collector     hash   holder and beat (the lease), turn, state (a CollectorState), namespaces

Each value keeps its source's own time and window: a reader says how old it is, and never takes the time
of the collection for it. All keys of one cluster share a hash slot. Times are Unix seconds.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import msgpack
from krm.model.measures import Covers, Silence
from krm.store.errors import Corrupt

# Bytes of one packed value: a pod of 500 containers with 30 metrics each is below it.
MAX_PACKED = 4 * 1024 * 1024
# Among a collector's sources: `snapshot of pods` -> why it is not live. Whom to ask, and whose sums, it says.
SNAPSHOT = "snapshot of "


class Measured(NamedTuple):
    """The newest values of one subject from one source; a subject has as many as sources told of it."""

    source: str
    at: float
    window: float
    values: Mapping[str, float]  # metric -> value in its unit
    covers: Optional[Covers] = None
    resource_id: str = ""


class Pod(NamedTuple):
    """All that is known of a pod now."""

    name: str
    uid: str
    node: str
    measured: Tuple[Measured, ...]  # of the pod as a whole
    containers: Mapping[str, Tuple[Measured, ...]]
    lacks: Tuple[str, ...] = ()  # containers that run and gave no point


class Node(NamedTuple):
    """All that is known of a node, or of the cluster where the name is ''."""

    name: str
    measured: Tuple[Measured, ...]


class CollectorState(NamedTuple):
    """What the collector says of itself."""

    address: str  # https://HOST:PORT of the history, '' = none
    certificate: str  # SHA-256 of its certificate, hex
    every: float  # seconds between two turns
    silences: Tuple[Silence, ...]  # targets that give no data now
    sources: Mapping[str, str]  # source -> ok, or a sentence
    history: Tuple[str, ...]  # what is wrong with the history; () = all is well
    nodes: Covers
    # By whom and when it was written; the writer sets them.
    holder: str = ""  # a UUID of the process that holds the lease, '' = nobody
    beat: float = 0.0  # Unix seconds by Redis' clock
    turn: int = 0  # counts up with every turn written: a reader reads anew when it changed
    agents: Optional[Covers] = None  # nodes whose processes an agent tells; None = it is not known


class Latest(NamedTuple):
    """What was asked for, of one moment."""

    pods: Dict[str, List[Pod]]  # namespace -> pods, in order of name
    namespaces: Dict[str, Tuple[Measured, ...]]
    nodes: List[Node]
    cluster: Tuple[Measured, ...]
    collector: Optional[CollectorState]  # None = no collector ever wrote here
    now: float  # Redis' clock, Unix seconds


def pack_measured(measured: Sequence[Measured]) -> bytes:
    """Of a node, a namespace or the cluster."""
    packed: bytes = msgpack.packb(_listed(measured))
    return packed


def unpack_measured(packed: bytes) -> Tuple[Measured, ...]:
    """Raises Corrupt."""
    try:
        return _measured(_unpacked(packed))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Corrupt(f"a measurement is not what krm wrote: {type(error).__name__}") from None


def pack_pod(pod: Pod) -> bytes:
    """All of it but its name, which is the field's."""
    containers = {name: _listed(measured) for name, measured in pod.containers.items()}
    packed: bytes = msgpack.packb([pod.uid, pod.node, _listed(pod.measured), containers, pod.lacks])
    return packed


def unpack_pod(name: str, packed: bytes) -> Pod:
    """Raises Corrupt."""
    try:
        uid, node, measured, containers, lacks = _unpacked(packed)
        each = {container: _measured(rows) for container, rows in containers.items()}
        return Pod(name, uid, node, _measured(measured), each, tuple(lacks))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Corrupt(f"measurements of pod {name} are not what krm wrote: {type(error).__name__}") from None


def pack_state(state: CollectorState) -> bytes:
    """Without holder, beat and turn, which are fields of their own."""
    packed: bytes = msgpack.packb(
        [
            state.address,
            state.certificate,
            state.every,
            [list(silence) for silence in state.silences],
            dict(state.sources),
            list(state.history),
            list(state.nodes),
            None if state.agents is None else list(state.agents),
        ]
    )
    return packed


def unpack_state(packed: bytes, holder: str, beat: float, turn: int) -> CollectorState:
    """Raises Corrupt."""
    try:
        address, certificate, every, silences, sources, history, nodes, *more = _unpacked(packed)
        agents = more[0] if more else None  # an older collector tells of none
        return CollectorState(
            address,
            certificate,
            every,
            tuple(Silence(*silence) for silence in silences),
            sources,
            tuple(history),
            Covers(*nodes),
            holder,
            beat,
            turn,
            None if agents is None else Covers(*agents),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Corrupt(f"the collector's state is not what krm wrote: {type(error).__name__}") from None


def _listed(measured: Sequence[Measured]) -> List[Any]:
    return [
        [one.source, one.at, one.window, one.values, one.covers and list(one.covers), one.resource_id]
        for one in measured
    ]


def _measured(rows: Any) -> Tuple[Measured, ...]:
    return tuple(
        [
            Measured(source, at, window, values, None if covers is None else Covers(*covers), resource_id)
            for source, at, window, values, covers, resource_id in rows
        ]
    )


def _unpacked(packed: bytes) -> Any:
    if len(packed) > MAX_PACKED:
        raise ValueError(f"{len(packed)} bytes")
    return msgpack.unpackb(packed)
