"""The audit: the API server's watch cache compared with its etcd, at one resourceVersion.

From 1.31 a consistent list is answered from the cache, so only a read at an exact, past version
still reaches etcd. What differs is upstream drift: the API server disagrees with itself, and krm can
only tell it, because it reads the same cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterable, List, Tuple

from krm.model.messages import Audit, Item

# Keys that an audit names.
KEYS_NAMED = 20


@dataclass(frozen=True)
class Kept:
    """One routine list, as it was answered from the cache."""

    rv: str
    at: float  # monotonic seconds
    rows: Dict[str, Tuple[str, str]]  # key -> (uid, rv)


def keep(rv: str, at: float, items: Iterable[Item]) -> Kept:
    """What an audit needs of a list."""
    return Kept(rv, at, {item.key: (item.uid, item.rv) for item in items})


def compare(kept: Kept, exact: Iterable[Item], at: float) -> Audit:
    """`exact`: the items of the list that etcd answered at the same version; `at`: Redis clock."""
    found = {item.key: (item.uid, item.rv) for item in exact}
    differing: List[str] = sorted(
        key for key in kept.rows.keys() | found.keys() if kept.rows.get(key) != found.get(key)
    )
    return Audit(kept.rv, at, tuple(differing[:KEYS_NAMED]), len(differing))
