"""Which clusters and kinds a Redis holds, and what each kind's head says at this moment.

A kind is kept by one pipeline, or by one a namespace where krm runs with `--namespaces a,b`; then a
read of all says so, and is worth what the worst of them is worth.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

from krm.client import errors
from krm.client.direct import RedisPipeline, told
from krm.client.source import KindStatus, Pipeline, Source
from krm.model.trust import judge
from krm.store import connect as store
from krm.store import errors as store_errors
from krm.store import url as urls
from krm.store.keys import Keys, meta_key
from krm.store.meta import NAME_FIELD, announced
from krm.store.streams import decoded_head, pairs

# Rounds of SCAN with 1,000 keys each: a Redis that holds more than this should be told the cluster's name.
_SCAN_ROUNDS = 1000


class Directory(Source):
    """One cluster's kinds in Redis. Not for several threads."""

    def __init__(
        self, database: store.Database, cluster: Optional[str], expected: Sequence[Tuple[str, str]] = ()
    ) -> None:
        super().__init__(cluster or "", database.address.shown, database.warnings, expected)
        self.database = database
        self._links: Dict[str, store.Link] = {}
        # Cluster mode: a link a slot. Else one socket serves all keys.
        self._one_link = database.address.how != urls.CLUSTER
        self.cluster = self.cluster or self._only_cluster()

    def link(self, key: str) -> store.Link:
        """The socket to the primary that owns `key`."""
        place = "" if self._one_link else key
        if place not in self._links:
            self._links[place] = self.database.link(key)
        return self._links[place]

    def close(self) -> None:
        """Ends the sockets."""
        for link in self._links.values():
            link.close()

    def _only_cluster(self) -> str:
        if not self._one_link:
            raise errors.UnknownCluster("on Redis Cluster the cluster must be named: --cluster NAME or KRM_CLUSTER")
        names = self.clusters()
        if len(names) == 1:
            return names[0]
        if names:
            raise errors.UnknownCluster(
                f"this Redis holds several clusters: {', '.join(names)}; choose one by name"
            )
        raise errors.UnknownCluster(f"{self.shown} holds no cluster: krm's stages never wrote here; start `krm up`")

    def clusters(self) -> List[str]:
        """Real names of all clusters in this Redis, sorted. Raises Unreachable."""
        names = set()
        with told():
            link, cursor = self.link(""), b"0"
            for _ in range(_SCAN_ROUNDS):
                cursor, keys = link.call("SCAN", cursor, "MATCH", "krm:{*}:meta", "COUNT", 1000)
                for key in keys:
                    name = link.call("HGET", key, NAME_FIELD)
                    names.add((name or key[len("krm:{") : -len("}:meta")]).decode("utf-8", "replace"))
                if cursor == b"0":
                    break
        return sorted(names)

    def pipeline(self, kind: str, namespace: str) -> Pipeline:
        """A reader of one pipeline; the caller closes it."""
        return RedisPipeline(self.database, Keys(self.cluster, kind, namespace))

    def _announced(self) -> List[Tuple[str, str]]:
        key = meta_key(self.cluster)
        with told():
            link = self.link(key)
            replies: List[Any] = link.batch([("HGETALL", key), ("TIME",)])
            store_errors.raise_errors(replies, link.place)
        return announced(pairs(replies[0]), store.seconds(replies[1]))

    def status(
        self,
        pipelines: Optional[Sequence[Tuple[str, str]]] = None,
        namespace: Optional[str] = None,  # noqa: ARG002
    ) -> List[KindStatus]:
        """What each pipeline's head says now; all of them unless named."""
        wanted = self.pipelines() if pipelines is None else list(pipelines)
        if not self._one_link:
            return [self._read([pipeline])[0] for pipeline in wanted]
        return self._read(wanted) if wanted else []

    def _read(self, pipelines: Sequence[Tuple[str, str]]) -> List[KindStatus]:
        keys = [Keys(self.cluster, kind, namespace).head for kind, namespace in pipelines]
        with told():
            link = self.link(keys[0])
            replies: List[Any] = link.batch([("TIME",), *[("HGETALL", key) for key in keys]])
            store_errors.raise_errors(replies, link.place)
            now = store.seconds(replies[0])
            heads = [decoded_head(flat) for flat in replies[1:]]
        return [
            KindStatus(kind, namespace, judge(head, now), head, now)
            for (kind, namespace), head in zip(pipelines, heads)
        ]
