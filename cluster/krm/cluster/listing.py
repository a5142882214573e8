"""LIST: the pages of one list, each read at one resourceVersion, and the probe of freshness.

Which read proves what (list-watch.md, 1 and 4):
    consistent     no resourceVersion, paged: the newest state (from etcd, from 1.31 by way of the cache)
    not_older_than from the API server's cache, at F or later: finds all losses of ours, costs etcd nothing
    exact          the state at V, from etcd: what the cache is audited with
resourceVersion=0 proves nothing and has no mode.
"""

from __future__ import annotations

import json
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional, Tuple, TypeVar

from krm.cluster.errors import Expired, Malformed
from krm.cluster.requests import ANSWER_TIMEOUT, JSON, METADATA_LIST, Cluster
from krm.model.kinds import Resource

# Objects of one page: kubectl's and client-go's chunk size.
PAGE_LIMIT = 500
# From this version on the cache serves paged lists at one resourceVersion; below, a limit goes to etcd.
PAGED_CACHE_SINCE = (1, 34)
# A list of more pages (25 million objects) is a server that hands out continue tokens for ever.
MAX_PAGES = 50_000
PROBE_NAME = "krm-probe"


class ListMode(NamedTuple):
    """How a list is asked for."""

    match: str  # resourceVersionMatch, '' = a consistent list
    rv: str
    limit: int  # objects a page, 0 = all in one


def consistent() -> ListMode:
    """The newest state."""
    return ListMode("", "", PAGE_LIMIT)


def not_older_than(rv: str, version: Tuple[int, int]) -> ListMode:
    """The cache's state at `rv` or later; `version` is the API server's (major, minor)."""
    return ListMode("NotOlderThan", rv, PAGE_LIMIT if version >= PAGED_CACHE_SINCE else 0)


def exact(rv: str) -> ListMode:
    """The state at `rv`, if it is neither compacted nor ahead."""
    return ListMode("Exact", rv, PAGE_LIMIT)


# A parsed page: an object with `rv` and `continue_token`, such as krm.model.canonical.PageBody.
P = TypeVar("P")


def list_pages(
    cluster: Cluster,
    resource: Resource,
    mode: ListMode,
    parse: Callable[[bytes], P],
    namespace: Optional[str] = None,
    metadata_only: bool = False,
    timeout: float = ANSWER_TIMEOUT,
) -> Iterator[P]:
    """Yields each page as `parse` made it of the raw body; sends a page's request when it is asked for.

    `parse` gives an object with `rv` and `continue_token` (str), e.g. Canonicaliser.page, or
    .metadata_page with `metadata_only`. `timeout`: seconds a page. Raises ClusterError; Expired when a
    page was read at another resourceVersion or its continue token is too old: the list is void. The
    token for an inconsistent remainder that such a 410 carries is never used.
    """
    path = resource.path(namespace)
    accept = METADATA_LIST if metadata_only else JSON
    query = _first_query(mode)
    first_rv = ""
    for number in range(MAX_PAGES):
        page = parse(cluster.get(path, query, accept, timeout))
        rv, token = _position(page)
        if not rv:
            raise Malformed(f"GET {path} gave a list without a resourceVersion: krm cannot keep such a kind")
        if number and rv != first_rv:
            raise Expired(f"GET {path} gave page {number} at another resourceVersion than page 0: list again")
        first_rv = rv
        yield page
        if not token:
            return
        # A continue token holds the resourceVersion; with both the API server answers 400.
        query = {"limit": str(mode.limit or PAGE_LIMIT), "continue": token}
    raise Malformed(f"GET {path} did not end after {MAX_PAGES} pages: check the proxy before the API server")


def freshness_probe(
    cluster: Cluster, resource: Resource, namespace: Optional[str] = None, timeout: float = 10.0
) -> str:
    """The resourceVersion of a consistent read of one key that does not exist: cheap, and it reaches etcd's word.

    Bookmarks and cached lists go on while etcd is gone; this does not. Raises ClusterError.
    """
    path = resource.path(namespace or "default")
    query = {"fieldSelector": f"metadata.name={PROBE_NAME}", "limit": "1"}
    try:
        rv = json.loads(cluster.get(path, query, METADATA_LIST, timeout))["metadata"]["resourceVersion"]
    except (ValueError, TypeError, KeyError, RecursionError):
        rv = None
    if not isinstance(rv, str) or not rv:
        raise Malformed(f"GET {path} gave a list without a resourceVersion: check the proxy before the API server")
    return rv


def _first_query(mode: ListMode) -> Dict[str, str]:
    query: Dict[str, str] = {}
    if mode.match:
        if mode.rv in ("", "0"):
            raise ValueError(f"a list {mode.match} {mode.rv!r} would prove nothing")
        query = {"resourceVersion": mode.rv, "resourceVersionMatch": mode.match}
    if mode.limit:
        query["limit"] = str(mode.limit)
    return query


def _position(page: Any) -> Tuple[str, str]:
    return page.rv, page.continue_token
