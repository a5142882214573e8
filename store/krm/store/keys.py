"""The key grammar: every Redis key of krm, its type, its only writer and its readers.

K = `krm:{CLUSTER/KIND}:` with the braces in the key, so that all keys of one cluster and kind share
one hash slot of Redis Cluster. A pipeline of one namespace has `{CLUSTER/KIND@NAMESPACE}`.
N = the incarnation (a UUID): a snapshot that is built aside becomes readable by naming N in head.
a aggregator, s streamer, v verifier, R every reader.

    key                type    writer  readers  holds
    K events           stream  s       a        messages Batch, StreamerReport, End         (field m)
    K lists            stream  v       a        messages Page, ListEnd, VerifierReport      (field m)
    K head             hash    a       all      krm.model.head.Head
    K N:index          hash    a       R        namespace -> count and digest
    K N:ns:NAMESPACE   hash    a       R        name -> Envelope
    K changes          stream  a       R        id VERSION-0: ChangeEntry                   (field c)
    K past             stream  a       R        id VERSION-0: envelopes before that version (field p)
    K garbage          set     a       a        incarnations to remove
    K delays           stream  a       c        points of the stream delay                  (field d)
    krm:{CLUSTER}:meta hash    a       R        name: the cluster's real name; kind/KIND: when last announced
    krm:{CLUSTER}:latest:...   c       R        the newest measurements (krm.store.latest), processes and
                                               OOM kills (krm.store.latest_seen); c the collector

The namespace '' (cluster-scoped objects) is written `_`, which no namespace can be called.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b

_SLUG = re.compile(r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")


def slug(cluster: str) -> str:
    """The cluster's name as keys hold it: itself where it is plain, else a digest of it."""
    if _SLUG.match(cluster):
        return cluster
    return "x-" + blake2b(cluster.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def meta_key(cluster: str) -> str:
    """Names the cluster and its kinds."""
    return "krm:{%s}:meta" % slug(cluster)


def latest_key(cluster: str, part: str) -> str:
    """One hash of what the collector writes: `collector`, `nodes`, `ns:NAMESPACE`, `processes`, `kills`."""
    return "krm:{%s}:latest:%s" % (slug(cluster), part)


def label(kind: str, namespace: str) -> str:
    """A pipeline's name in keys, logs and tables: pods, or pods@team-a for one of one namespace."""
    return f"{kind}@{namespace}" if namespace else kind


@dataclass(frozen=True)
class Keys:
    """The keys of one cluster and kind (of one namespace's pipeline where that is set)."""

    cluster: str
    kind: str  # as str(Kind) writes it
    namespace: str = ""  # a pipeline of one namespace alone; '' = the whole cluster

    def __str__(self) -> str:
        """As sentences name it: `pods of demo`, `pods@team-a of demo`."""
        return f"{label(self.kind, self.namespace)} of {self.cluster}"

    @property
    def prefix(self) -> str:
        return "krm:{%s/%s}:" % (slug(self.cluster), label(self.kind, self.namespace))

    @property
    def events(self) -> str:
        return self.prefix + "events"

    @property
    def lists(self) -> str:
        return self.prefix + "lists"

    @property
    def head(self) -> str:
        return self.prefix + "head"

    @property
    def changes(self) -> str:
        return self.prefix + "changes"

    @property
    def past(self) -> str:
        return self.prefix + "past"

    @property
    def delays(self) -> str:
        return self.prefix + "delays"

    @property
    def garbage(self) -> str:
        return self.prefix + "garbage"

    def index(self, incarnation: str) -> str:
        return "%s%s:index" % (self.prefix, incarnation)

    def objects(self, incarnation: str, namespace: str) -> str:
        return "%s%s:ns:%s" % (self.prefix, incarnation, namespace or "_")
