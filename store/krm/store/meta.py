"""Which cluster a Redis holds and which of its kinds: `krm:{CLUSTER}:meta`, for readers to find them.

name        the cluster's real name (keys carry a digest where it is not plain)
kind/LABEL  Redis time in seconds at which LABEL (pods, or pods@team-a) was last announced
"""

from __future__ import annotations

import math
from typing import Dict, List, Mapping, Tuple

from krm.store.connect import Database
from krm.store.keys import Keys, label, meta_key

NAME_FIELD, KIND_FIELD = "name", "kind/"
# Seconds. Announced each 60 s: after this a pipeline is forgotten where others of its kind go on (krm was begun
# anew with other namespaces). Alone it stays, for its kind is stale and not unknown.
FORGOTTEN_AFTER = 300.0


class Announcer:
    """An aggregator's word that it keeps this kind."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self._key = meta_key(keys.cluster)
        self._link = database.link(self._key)
        self._cluster = keys.cluster
        self._field = KIND_FIELD + label(keys.kind, keys.namespace)

    def announce(self, now: float) -> None:
        """Raises Unavailable."""
        self._link.call("HSET", self._key, NAME_FIELD, self._cluster, self._field, f"{now:.3f}")


def announced(fields: Mapping[bytes, bytes], now: float) -> List[Tuple[str, str]]:
    """(kind, namespace) of the pipelines that meta names, sorted; namespace '' = the whole cluster.

    `fields`: meta's hash; `now`: Redis clock, seconds.
    """
    kinds: Dict[str, Dict[str, bool]] = {}  # kind -> namespace -> whether it was announced lately
    for field, stamp in fields.items():
        name = field.decode("utf-8", "replace")
        if name.startswith(KIND_FIELD):
            kind, _, namespace = name[len(KIND_FIELD) :].partition("@")
            kinds.setdefault(kind, {})[namespace] = now - _moment(stamp) <= FORGOTTEN_AFTER
    return sorted(
        (kind, namespace)
        for kind, pipelines in kinds.items()
        for namespace, lately in pipelines.items()
        if lately or not any(pipelines.values())
    )


def _moment(stamp: bytes) -> float:
    try:
        at = float(stamp)
    except ValueError:
        return 0.0
    return at if math.isfinite(at) else 0.0
