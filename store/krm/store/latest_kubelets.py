"""Kubelets' settings in Redis, beside the newest measurements: written by the collector, read by all.

latest:kubelets  hash  NODE -> NodeKubelet, of each node whose kubelet was asked; some 300 bytes each
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import msgpack
from krm.model.kubelets import KubeletConfig, NodeKubelet
from krm.store.connect import Command, Database
from krm.store.errors import Corrupt, Unanswered
from krm.store.keys import latest_key
from krm.store.latest import CollectorState
from krm.store.latest_reader import beat_of
from krm.store.streams import pairs

KUBELETS = "kubelets"  # part of the key
MAX_PACKED = 64 * 1024  # bytes


class Kubelets(NamedTuple):
    """Of all nodes that were asked."""

    nodes: Dict[str, NodeKubelet]
    rotten: Tuple[str, ...]  # nodes whose bytes cannot be read
    collector: Optional[CollectorState]  # None = no collector ever wrote here
    now: float  # Redis' clock, Unix seconds


def pack_kubelet(one: NodeKubelet) -> bytes:
    """All but the name, which is the field's."""
    packed: bytes = msgpack.packb([None if one.config is None else list(one.config), one.at, one.why])
    return packed


def unpack_kubelet(node: str, packed: bytes) -> NodeKubelet:
    """Raises Corrupt."""
    try:
        if len(packed) > MAX_PACKED:
            raise ValueError(f"{len(packed)} bytes")
        config, at, why = msgpack.unpackb(packed)
        return NodeKubelet(node, None if config is None else _config(*config), at, str(why))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Corrupt(
            f"settings of the kubelet of node {node} are not what krm wrote: {type(error).__name__}"
        ) from None


def _config(*fields: Any) -> KubeletConfig:
    config = KubeletConfig(*fields)
    for told in config[:4]:
        if not isinstance(told, dict):
            raise ValueError("no settings")
    return config._replace(enforced=tuple(config.enforced))


class KubeletsReader:
    """Reads of one cluster on one socket; not for several threads."""

    def __init__(self, database: Database, cluster: str) -> None:
        self._cluster = cluster
        self._link = database.link(latest_key(cluster, "collector"))

    def read(self) -> Kubelets:
        """Raises Corrupt (the collector's own fields), StoreError."""
        commands: List[Command] = [
            ("HGETALL", latest_key(self._cluster, "collector")),
            ("TIME",),
            ("HGETALL", latest_key(self._cluster, KUBELETS)),
        ]
        try:
            flat, stamp, found = self._link.transaction(commands)
        except Unanswered:  # the server closed the idle socket
            flat, stamp, found = self._link.transaction(commands)
        beat = beat_of(flat, stamp)
        nodes: Dict[str, NodeKubelet] = {}
        rotten = []
        for raw, packed in sorted(pairs(found).items()):
            node = raw.decode("utf-8", "replace")
            try:
                nodes[node] = unpack_kubelet(node, packed)
            except Corrupt:
                rotten.append(node)
        return Kubelets(nodes, tuple(rotten), beat.collector, beat.now)

    def close(self) -> None:
        """Ends its socket."""
        self._link.close()
