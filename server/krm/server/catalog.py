"""What one cluster serves: its kinds as discovery told them, the replicas that hold them, and measurements."""

from __future__ import annotations

from functools import lru_cache
from typing import Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

from krm.model.kinds import Kind, Resource, parse_kind
from krm.model.served import BadFacts, Facts, unpack_facts
from krm.server.newest import Newest
from krm.server.replica import Replica


class Served(NamedTuple):
    """A kind that krm keeps, with what discovery says of it."""

    resource: Resource
    facts: Facts
    replicas: Tuple[Replica, ...]  # one of the whole cluster, or one a namespace

    def of(self, namespace: str) -> Optional[Replica]:
        """The replica that holds this namespace ('' = everything); None = it is not kept."""
        for replica in self.replicas:
            if replica.namespace in ("", namespace):
                return replica
        return None

    @property
    def namespaces(self) -> List[str]:
        """The only namespaces that are kept; [] = all of them."""
        return [replica.namespace for replica in self.replicas if replica.namespace]


class Catalog:
    """The replicas of one cluster, by kind. It belongs to the server's event loop."""

    def __init__(self, cluster: str) -> None:
        self.cluster = cluster
        self.newest = Newest()  # what the collector measured
        self._replicas: Dict[Kind, Dict[str, Replica]] = {}
        self._facts: Dict[Kind, Facts] = {}  # as they were told last

    def add(self, replica: Replica) -> None:
        """A pipeline that was found."""
        self._replicas.setdefault(parse_kind(replica.kind), {})[replica.namespace] = replica

    def all(self) -> Iterator[Replica]:
        """Every replica."""
        for by_namespace in self._replicas.values():
            yield from by_namespace.values()

    def uids(self) -> Set[str]:
        """Of the clusters that the replicas were read from, as far as that is known: one, if all is well."""
        heads = [replica.head for held in self._replicas.values() for replica in held.values()]
        return {head.cluster_uid for head in heads if head is not None} - {""}

    def kinds(self) -> List[Kind]:
        """Every kind that is kept, served or not."""
        return sorted(self._replicas, key=lambda kind: (kind.group, kind.resource))

    def holds(self, kind: Kind) -> bool:
        """Whether the kind is kept, served or not."""
        return kind in self._replicas

    def find(self, kind: Kind) -> Tuple[Replica, ...]:
        """The replicas of a kind, () = it is not kept. One of the whole cluster stands for all."""
        held = self._replicas.get(kind, {})
        return (held[""],) if "" in held else tuple(held[name] for name in sorted(held))

    def served(self, kind: Kind) -> Optional[Served]:
        """None where the kind is not kept, or nobody told yet how it is served.

        A snapshot that is built anew, in an emptied Redis, is told so a little later than its objects: the kind
        has not gone meanwhile, and is served as before."""
        replicas = self.find(kind)
        for replica in replicas:
            facts = facts_of(replica)
            if facts is not None:
                self._facts[kind] = facts
                break
        facts = self._facts.get(kind)
        return None if facts is None else Served(facts.resource(kind), facts, replicas)

    def all_served(self) -> List[Served]:
        """Every kind with its facts, by group and name."""
        found = [self.served(kind) for kind in self.kinds()]
        return [one for one in found if one is not None]


def facts_of(replica: Replica) -> Optional[Facts]:
    """What discovery told of this pipeline's kind."""
    if replica.head is None or not replica.head.facts:
        return None
    return _unpacked(replica.head.facts)


@lru_cache(maxsize=1024)  # kinds of all clusters, each told anew with every head and asked for by every request
def _unpacked(facts: str) -> Optional[Facts]:
    try:
        return unpack_facts(facts)
    except BadFacts:
        return None
