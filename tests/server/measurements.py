"""Measurements as a collector writes them, for tests of what the server makes of them."""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from krm.model.measures import Covers, Silence
from krm.store.latest import CollectorState, Measured, Pod, pack_measured, pack_pod
from krm.store.latest_reader import Packed

AT = 1_795_857_155.25  # 2026-11-28T09:12:35Z
WINDOW = 9.996


def measured(
    cpu: Optional[float], memory: Optional[float], at: float = AT, source: str = "kubelet/resource", **more: float
) -> Measured:
    """`cpu`: millicores; `memory`: bytes; None = not known."""
    found: Dict[str, float] = {}
    if cpu is not None:
        found["cpu/usage_rate"] = cpu
    if memory is not None:
        found["memory/working_set"] = memory
    return Measured(source, at, more.get("window", WINDOW), found)


def pod(name: str, containers: Mapping[str, Sequence[Measured]], uid: str = "", lacks: Sequence[str] = ()) -> Pod:
    each = {container: tuple(rows) for container, rows in containers.items()}
    return Pod(name, uid, "n-1", (), each, tuple(lacks))


def state(
    nodes: Tuple[int, int] = (2, 2), silences: Sequence[Silence] = (), beat: float = 10.0, turn: int = 1
) -> CollectorState:
    covers = Covers(*nodes, "nodes")
    return CollectorState("", "", 5.0, tuple(silences), {}, (), covers, "a-uuid", beat, turn)


def turn_of(
    pods: Mapping[str, List[Pod]],
    nodes: Optional[Mapping[str, Sequence[Measured]]] = None,
    collector: Optional[CollectorState] = None,
) -> Packed:
    """As it rests in Redis. `pods` by namespace."""
    packed = {space: {one.name: pack_pod(one) for one in found} for space, found in pods.items()}
    listed = {name: pack_measured(rows) for name, rows in (nodes or {}).items()}
    return Packed(packed, {}, listed, collector or state(), 10.0)
