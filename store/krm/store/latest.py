"""The newest measurements in Redis: `krm:{CLUSTER}:latest:...`, written by the collector, read by all.

    latest:ns:NAMESPACE  hash   POD -> Pod, packed; '' -> the namespace's own sums (a Measured)
    latest:nodes         hash   NODE -> Measured, packed; '' -> the cluster's sums
    latest:collector     hash   lease and beat; address and certificate digest of the history; health

Each value keeps its source's own time and window: a reader says how old it is, and never takes the time
of the collection for it. All keys of one cluster share a hash slot. Times are Unix seconds.
"""

from __future__ import annotations

from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

from krm.model.measures import Covers, Silence


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

    holder: str  # a UUID of the process that holds the lease, '' = nobody
    beat: float  # Unix seconds by Redis' clock
    turn: int  # counts up with every turn written: a reader reads anew when it changed
    address: str  # https://HOST:PORT of the history, '' = none
    certificate: str  # SHA-256 of its certificate, hex
    every: float  # seconds between two turns
    silences: Tuple[Silence, ...]  # targets that give no data now
    sources: Mapping[str, str]  # source -> ok, or a sentence
    history: Tuple[str, ...]  # what is wrong with the history; () = all is well
    nodes: Covers


class Latest(NamedTuple):
    """What was asked for, of one moment."""

    pods: Dict[str, List[Pod]]  # namespace -> pods, by name
    namespaces: Dict[str, Tuple[Measured, ...]]
    nodes: List[Node]
    cluster: Tuple[Measured, ...]
    collector: Optional[CollectorState]  # None = no collector ever wrote here
    now: float  # Redis' clock, Unix seconds
