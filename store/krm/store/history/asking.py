"""Whether a query can be asked at all, and which namespaces it may look into: one rule for every history."""

from __future__ import annotations

from typing import List, Optional

from krm.model.measures import CONTAINER, LEVELS, NAMESPACE, POD
from krm.model.metrics import TABLE
from krm.store.history.asked import NoHistory, Query

_IN_NAMESPACES = frozenset((NAMESPACE, POD, CONTAINER))


def namespaces(query: Query) -> Optional[List[str]]:
    """Those to look into; None = all; '' is where nodes and the cluster are. Raises NoHistory."""
    if query.metric not in TABLE:
        raise NoHistory(f"there is no metric {query.metric[:80]!r}: see docs/metrics.md")
    if query.level not in LEVELS:
        raise NoHistory(f"there is no level {query.level[:80]!r}: {', '.join(LEVELS)}")
    if not query.begin < query.end:
        raise NoHistory("the time that is asked for ends before it begins")
    if query.level not in _IN_NAMESPACES:
        return [""] if query.allowed is None else []  # nodes are for whoever may see every namespace
    if query.allowed is None:
        return [query.namespace] if query.namespace else None
    return [one for one in sorted(set(query.allowed)) if one and query.namespace in ("", one)]
