"""The pipelines behind a client: which of them hold an answer, their readers, and what each is worth.

Without --namespaces a kind is one pipeline, called ''; with it, one a namespace.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List, NamedTuple, Optional, Tuple

from krm.client import errors
from krm.client.moments import Moment, parse_moment, published
from krm.client.names import is_cluster_scoped, is_namespaced
from krm.client.snapshot import Part, split_tokens
from krm.client.source import Pipeline, Source
from krm.client.watch import Place
from krm.model import trust as states
from krm.model.head import Head
from krm.model.served import BadFacts, unpack_facts
from krm.model.trust import CLOCK_TOLERANCE, Trust, judge
from krm.store.read import SnapshotData, Token


class Meant(NamedTuple):
    """A moment of one pipeline's past."""

    pipeline: str
    token: Token
    at: Optional[float]  # the time that was named, seconds; None = a version was


class Pipelines:
    """One cluster's readers, made when they are first needed. Not for several threads."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._readers: Dict[Tuple[str, str], Pipeline] = {}
        # pipeline -> incarnation and version of the last answer
        self._held: Dict[Tuple[str, str], Tuple[str, int]] = {}

    def close(self) -> None:
        """Ends the sockets."""
        for reader in self._readers.values():
            reader.close()

    def reader(self, kind: str, pipeline: str) -> Pipeline:
        """Of one pipeline, kept for the next call."""
        key = (kind, pipeline)
        if key not in self._readers:
            self._readers[key] = self._source.pipeline(kind, pipeline)
        return self._readers[key]

    def places(self, kind: str, since: Optional[str], namespace: Optional[str]) -> List[Place]:
        """Where a watch begins in each pipeline; since None = now."""
        if since is None:
            return [Place(pipeline, str(token)) for pipeline, token in self.now(kind, namespace).items()]
        tokens = split_tokens(since)
        pipelines = self.of(kind, namespace)
        missing = [pipeline for pipeline in pipelines if pipeline not in tokens and "" not in tokens]
        if missing:
            raise errors.Expired(f"the token names no place for {', '.join(missing)}: read a snapshot anew")
        return [Place(pipeline, tokens.get(pipeline, tokens.get("", ""))) for pipeline in pipelines]

    def head(self, kind: str, pipeline: str, namespace: Optional[str]) -> Tuple[Head, float]:
        """The head of a snapshot that can be read, and the Redis clock. Raises the state's error."""
        head, now = self.reader(kind, pipeline).head(namespace)
        if head is None or not head.incarnation:
            raise errors.ERROR_OF.get(judge(head, now).state, errors.Warming)(kind, judge(head, now))
        return head, now

    def now(self, kind: str, namespace: Optional[str]) -> Dict[str, Token]:
        """The newest version of each pipeline. Raises the state's error where there is none."""
        tokens = {}
        for pipeline in self.of(kind, namespace):
            head, _ = self.head(kind, pipeline, namespace)
            tokens[pipeline] = Token(head.incarnation, head.version)
        return tokens

    def moment(self, kind: str, moment: Moment, namespace: Optional[str]) -> List[Meant]:
        """What the moment means for each pipeline. Raises Expired, BadRequest."""
        tokens = split_tokens(moment) if isinstance(moment, str) else {}
        found = []
        for pipeline in self.of(kind, namespace):
            _, now = self.head(kind, pipeline, namespace)
            token = parse_moment(tokens.get(pipeline, tokens.get("", moment)), now)
            if isinstance(token, Token):
                found.append(Meant(pipeline, token, None))
            elif token > now + CLOCK_TOLERANCE:
                raise errors.BadRequest(f"{moment} lies in the future: by Redis' clock it is {published(now)}")
            else:
                found.append(Meant(pipeline, self.reader(kind, pipeline).version_at(token, namespace), token))
        return found

    def of(self, kind: str, namespace: Optional[str]) -> List[str]:
        """Which pipelines hold the answer: [''] or namespaces. Raises UnknownKind."""
        pipelines = self._source.namespaces_of(kind)
        if namespace is None or pipelines == [""] or (not namespace and is_cluster_scoped(kind)):
            return pipelines
        if namespace not in pipelines:
            raise errors.UnknownKind(
                f"krm keeps {kind} of {', '.join(pipelines)} only (--namespaces), not of {namespace!r}"
            )
        return [namespace]

    def namespaced(self, kind: str, namespace: Optional[str] = None) -> Optional[bool]:
        """Whether the kind has namespaces, as discovery told the verifier; None where it has not told yet.

        Of built-in kinds it never changes, so they are not asked for. `namespace`: as in Pipeline.
        """
        if is_namespaced(kind) or is_cluster_scoped(kind):
            return is_namespaced(kind)
        pipelines = [(kind, pipeline) for pipeline in self._source.namespaces_of(kind)[:1]]
        head = self._source.status(pipelines, namespace)[0].head
        try:
            return unpack_facts(head.facts).namespaced if head is not None and head.facts else None
        except BadFacts:
            return None

    def scope(self, kind: str, namespace: Optional[str]) -> Optional[str]:
        """The namespace to read: as kubectl, one that is named for a kind without namespaces is ignored.

        Raises BadRequest: an empty name is mostly a variable that was never set, and nothing lies in it.
        """
        if namespace == "" and self.namespaced(kind):
            raise errors.BadRequest(f"{kind} are namespaced, and the namespace is empty: leave it out to read all")
        return "" if namespace and self.namespaced(kind, namespace) is False else namespace

    def judged(self, kind: str, pipeline: str, head: Optional[Head], now: float) -> Trust:
        """The pipeline's trust; its state is reset where the incarnation is another, or the version lower, than
        last time: Redis was restored to an older copy, or a lagging replica was promoted."""
        trust = judge(head, now)
        if not trust.incarnation:
            return trust
        held = self._held.get((kind, pipeline), (trust.incarnation, trust.version))
        self._held[kind, pipeline] = trust.incarnation, trust.version
        return since_held(held, trust)


def since_held(held: Tuple[str, int], trust: Trust) -> Trust:
    """The trust for whoever holds an answer of (incarnation, version): reset where that means nothing now."""
    gone = ""
    if held[0] != trust.incarnation:
        gone = f"the snapshot began anew ({held[0]} is gone)"
    elif held[1] > trust.version:
        gone = f"Redis went back (version {held[1]} is gone)"
    if gone and trust.state != states.WARMING:
        told_once = f"{gone}: tokens and versions of before mean nothing now"
        return replace(trust, state=states.RESET, reasons=(told_once, *trust.reasons))
    return trust


def allowed(kind: str, trust: Trust, stale_ok: bool, something: bool) -> Trust:
    """The trust of an answer that may be given; else raises the state's error."""
    if trust.state == states.LIVE and something:
        return trust
    if trust.state == states.LIVE:  # the head appeared between two reads
        raise errors.Busy(f"{kind} is being built at this moment; try again")
    if not stale_ok or not something or trust.state == states.WARMING:
        raise errors.ERROR_OF[trust.state](kind, trust)
    return trust


def part(pipeline: str, data: SnapshotData, namespace: Optional[str], as_of: Optional[float]) -> Part:
    """What was read, narrowed to the namespace that was asked for."""
    objects, corrupt = data.objects, data.corrupt
    if namespace is not None:
        objects = {key: one for key, one in objects.items() if key.partition("/")[0] == namespace}
        corrupt = tuple(key for key in corrupt if key.partition("/")[0] == namespace)
    return Part(pipeline, str(data.token), data.head.verified_rv, objects, corrupt, data.time, as_of)
