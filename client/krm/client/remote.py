"""Reading from a krm server over HTTP: the other source behind `Client` (krm.client.source).

Everything is asked for unjudged and taken apart as krm.client.wire has it: heads, envelopes and changes, as
Redis would give them. What they are worth is judged above, by the same code for both.
"""

from __future__ import annotations

import json
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Type
from urllib.parse import quote

from krm.client import errors, wire
from krm.client.errors import KrmError
from krm.client.http import Http, Response, error_of, message, tls_context
from krm.client.selection import Selection
from krm.client.source import KindStatus, Pair, Pipeline, Published, Source, Tabulated
from krm.model.cells import Printer
from krm.model.head import Head
from krm.model.messages import EVENT_TYPES
from krm.model.records import Envelope
from krm.model.trust import judge
from krm.store.read import HeadRead, SnapshotData, Token

_BASE = "/krm/v1/"
# Seconds that one turn of a watch waits at the server: heads are compared as often as at Redis.
_TURN = 1.0
# A server's word for what went wrong -> the error that it is of.
_BY_NAME: Dict[str, Type[KrmError]] = {
    one.__name__: one
    for one in (
        errors.BadRequest,
        errors.UnknownKind,
        errors.Expired,
        errors.Damaged,
        errors.Busy,
        errors.Unreachable,
    )
}
_BY_NAME["RequestEntityTooLarge"] = errors.TooMuch  # as Kubernetes calls it
_TYPES = {name: type_ for type_, name in EVENT_TYPES.items()}


class Door:
    """One server's /krm/v1/, asked and checked. Errors are krm.client.errors', told as the server told them."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self.name = http.name

    def close(self) -> None:
        self._http.close()

    def json(self, path: str, **query: Optional[str]) -> Dict[str, Any]:
        """Raises as `lines`."""
        response = self._ask(path, query)
        try:
            found = json.loads(response.body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise errors.Damaged(f"{self.name} answered {path} with no JSON object: is it krm's server?")
        return found

    def lines(self, path: str, **query: Optional[str]) -> wire.Answer:
        """Raises Refused, BadRequest, UnknownKind, Expired, Busy, Damaged, Unreachable."""
        return wire.read(self.body(path, **query))

    def body(self, path: str, **query: Optional[str]) -> bytes:
        """Raises as `lines`, but for Damaged."""
        return self._ask(path, query).body

    def _ask(self, path: str, query: Mapping[str, Optional[str]]) -> Response:
        response = self._http.ask(_BASE + path, query)
        if response.status == 200:
            return response
        reason = _reason(response)
        if reason in _BY_NAME:
            raise _BY_NAME[reason](message(response))
        raise error_of(response.status)(f"{self.name} answered {response.status}: {message(response)}")


class Remote(Source):
    """One cluster's kinds at a krm server. Not for several threads."""

    def __init__(self, http: Http, named: Optional[str] = None) -> None:
        """`named`: the cluster that the URL was made for. Raises UnknownCluster, Refused, Unreachable."""
        self._door = Door(http)
        try:
            cluster = wire.text(self._door.json("kinds"), "cluster")
        except errors.UnknownKind as error:
            if named is None:
                raise errors.Unreachable(f"{http.name} serves no /krm/v1/: is it krm's server?") from error
            raise errors.UnknownCluster(f"{http.name} keeps no cluster {named}") from error
        super().__init__(cluster, http.name, ())

    def close(self) -> None:
        """Ends the sockets."""
        self._door.close()

    @property
    def door(self) -> Door:
        """For what is read beside kinds."""
        return self._door

    def clusters(self) -> List[str]:
        """Those that the server shows to this caller."""
        return sorted(wire.text(row, "name") for row in _rows(self._door.json("clusters"), "clusters"))

    def pipeline(self, kind: str, namespace: str) -> Pipeline:
        """A reader of one pipeline."""
        return RemotePipeline(self._door, kind, namespace)

    def status(
        self, pipelines: Optional[Sequence[Tuple[str, str]]] = None, namespace: Optional[str] = None
    ) -> List[KindStatus]:
        """What each pipeline's head says now; without `pipelines` those that the caller may list in whole."""
        kinds = sorted({kind for kind, _ in pipelines}) if pipelines is not None else []
        kind = kinds[0] if len(kinds) == 1 else None
        found = {
            (one.kind, one.namespace): one
            for one in map(_status, _rows(self._door.json("status", kind=kind, namespace=namespace), "kinds"))
        }
        if pipelines is None:
            return [found[key] for key in sorted(found)]
        missing = [f"{kind}@{space}" if space else kind for kind, space in pipelines if (kind, space) not in found]
        if missing:
            raise errors.Refused(
                f"{self.shown} does not say what {', '.join(missing)} is worth: you may not list it"
            )
        return [found[key] for key in pipelines]

    def _announced(self) -> List[Tuple[str, str]]:
        rows = _rows(self._door.json("kinds"), "kinds")
        return sorted((wire.text(row, "kind"), wire.text(row, "namespace")) for row in rows)


class RemotePipeline:
    """As krm.client.source.Pipeline."""

    def __init__(self, door: Door, kind: str, pipeline: str) -> None:
        self._door, self._kind, self._pipeline = door, kind, pipeline
        self._held: Optional[str] = None  # token of the newest answer: another server may not have come as far

    def head(self, namespace: Optional[str]) -> HeadRead:
        query = {"kind": self._kind, "namespace": self._asked(namespace)}
        for row in _rows(self._door.json("status", **query), "kinds"):
            if wire.text(row, "namespace") == self._pipeline:
                return HeadRead(wire.head_of(row.get("head")), wire.number(row, "now"))
        return HeadRead(None, 0.0)

    def get(self, namespace: str, name: str) -> Tuple[HeadRead, Optional[Envelope]]:
        answer = self._now("objects", namespace or None, name=name)
        read = HeadRead(wire.head_of(answer.facts.get("head")), wire.number(answer.facts, "now"))
        for line in answer.lines:
            key, envelope = wire.envelope_of(line)
            if key != f"{namespace}/{name}" or not wire.fits(envelope):
                raise errors.Damaged(f"{self._kind} {namespace}/{name}: the server gave other bytes than it names")
            return read, envelope
        return read, None

    def snapshot(self, namespace: Optional[str]) -> Optional[SnapshotData]:
        return _data(self._now("snapshots", namespace))

    def table(self, namespace: Optional[str], selection: Selection) -> Tabulated:
        body = self._door.body(
            f"snapshots/{self._kind}", namespace=self._asked(namespace), cells="true", unjudged="true",
            held=self._held, labelSelector=selection.label_selector or None,
            fieldSelector=selection.field_selector or None,
        )  # fmt: skip
        facts, columns, rows = wire.read_rows(body)
        self._held = wire.text(facts, "token") or self._held
        head, something = wire.head_of(facts.get("head")), bool(wire.text(facts, "token"))
        return Tabulated(head, wire.number(facts, "now"), something, columns, rows, wire.texts(facts, "damaged"))

    def printer(self, namespace: Optional[str]) -> Printer:
        from krm.client import printers  # the columns of all kinds, which few readers print

        if printers.is_built_in(self._kind):
            return printers.printer(self._kind)
        found = self._door.json(f"columns/{self._kind}", namespace=self._asked(namespace))
        return printers.printer(self._kind, wire.printed_of(found.get("printed")))

    def verified(self, namespace: Optional[str]) -> Optional[SnapshotData]:
        return _data(self._lines("snapshots", namespace, verified="true"))

    def at(self, token: Token, namespace: Optional[str]) -> SnapshotData:
        data = _data(self._lines("snapshots", namespace, at=str(token)))
        if data is None:
            raise errors.Expired(f"{self._kind}: there is no snapshot yet")
        return data

    def version_at(self, when: float, namespace: Optional[str]) -> Token:
        query = {"namespace": self._asked(namespace), "at": f"{when:.6f}"}
        return _token(self._door.json(f"versions/{self._kind}", **query))

    def oldest(self, namespace: Optional[str]) -> Token:
        return _token(self._door.json(f"versions/{self._kind}", namespace=self._asked(namespace)))

    def diff(self, a: Token, b: Token, namespace: Optional[str]) -> Dict[str, Pair]:
        found: Dict[str, Pair] = {}
        for line in self._lines("diffs", namespace, a=str(a), b=str(b)).lines:
            key, envelope = wire.envelope_of(line)
            if not wire.fits(envelope):
                raise errors.Damaged(f"{self._kind} {key}: the bytes of a difference do not fit their digest")
            before, after = found.get(key, (None, None))
            found[key] = (envelope, after) if line[0].get("side") == "before" else (before, envelope)
        return found

    def follow(self, since: str, selection: Selection) -> RemoteFollowed:
        return RemoteFollowed(self._door, self._kind, self._asked(selection.namespace), since, selection)

    def close(self) -> None:
        """Its sockets are the source's."""

    def _asked(self, namespace: Optional[str]) -> Optional[str]:
        return self._pipeline or namespace

    def _now(self, what: str, namespace: Optional[str], **query: Optional[str]) -> wire.Answer:
        """Never from before what was given last, where the server that answers can come as far."""
        answer = self._lines(what, namespace, held=self._held, **query)
        self._held = wire.text(answer.facts, "token") or self._held
        return answer

    def _lines(self, what: str, namespace: Optional[str], **query: Optional[str]) -> wire.Answer:
        asked = self._asked(namespace)
        return self._door.lines(f"{what}/{self._kind}", namespace=asked, unjudged="true", **query)


class RemoteFollowed:
    """As krm.client.source.Followed: each turn asks for one page, and waits for it at the server."""

    def __init__(self, door: Door, kind: str, namespace: Optional[str], since: str, selection: Selection) -> None:
        self._door, self._path, self._namespace = door, f"changes/{kind}", namespace
        self._labels, self._fields = selection.label_selector or None, selection.field_selector or None
        self.place = since
        self.head: Optional[Head] = None
        self.time = 0.0
        self.caught_up = False

    def turn(self, block: float) -> Iterator[Published]:
        answer = self._door.lines(
            self._path,
            since=self.place,
            namespace=self._namespace,
            labelSelector=self._labels,
            fieldSelector=self._fields,
            wait=f"{min(block, _TURN):.3f}" if block > 0 else None,
            unjudged="true",
        )
        facts = answer.facts
        self.head, self.time = wire.head_of(facts.get("head")), wire.number(facts, "now")
        self.caught_up = facts.get("caught_up") is True
        end = wire.text(facts, "token")
        for line in answer.lines:
            published = wire.published_of(line, _TYPES)
            self.place = published.after
            yield published
        self.place = end

    def close(self) -> None:
        """Its sockets are the source's."""


def open_remote(
    url: str, cluster: Optional[str], token: str, ca: str, kubeconfig: str, context: str = ""
) -> Remote:
    """The source of a URL, or of a kubeconfig's context ('' = its current one).

    Raises BadRequest, NeedsPackage, and as Remote.
    """
    if kubeconfig:
        if url or token or ca:
            raise errors.BadRequest("a kubeconfig names the server, its CA and the token: give no others beside it")
        from krm.client.kubeconfig import access

        url, token, tls, namespace = access(kubeconfig, context)
    elif context:
        raise errors.BadRequest("a context is one of a kubeconfig: name that too")
    else:
        tls, namespace = tls_context(ca) if url.lower().startswith("https:") else None, None
    named = "/clusters/" in url
    if cluster is not None and not named:
        url = f"{url.rstrip('/')}/clusters/{quote(cluster, safe='')}"
    remote = Remote(Http(url, token, tls), cluster)
    remote.namespace = namespace
    if cluster not in (None, remote.cluster):
        remote.close()
        raise errors.UnknownCluster(f"{remote.shown} is the cluster {remote.cluster}, not {cluster}")
    return remote


def _data(answer: wire.Answer) -> Optional[SnapshotData]:
    """None where there is nothing to read. Raises Damaged."""
    facts = answer.facts
    head = wire.head_of(facts.get("head"))
    if head is None or not wire.text(facts, "token"):
        return None
    objects: Dict[str, Envelope] = {}
    damaged = list(wire.texts(facts, "damaged"))
    for line in answer.lines:
        key, envelope = wire.envelope_of(line)
        if wire.fits(envelope):
            objects[key] = envelope
        else:
            damaged.append(key)
    return SnapshotData(
        _token(facts), head, wire.number(facts, "now"), objects, tuple(sorted(damaged)),
        wire.maybe_number(facts, "published_at"),
    )  # fmt: skip


def _token(facts: Mapping[str, Any]) -> Token:
    try:
        return Token.parse(wire.text(facts, "token"))
    except ValueError as error:
        raise errors.Damaged(f"the server's answer: {error}") from None


def _status(row: Mapping[str, Any]) -> KindStatus:
    head, now = wire.head_of(row.get("head")), wire.number(row, "now")
    return KindStatus(wire.text(row, "kind"), wire.text(row, "namespace"), judge(head, now), head, now)


def _rows(facts: Mapping[str, Any], name: str) -> List[Dict[str, Any]]:
    rows = facts.get(name)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise errors.Damaged(f"the server's answer lacks {name}")
    return rows


def _reason(response: Response) -> str:
    """The server's word for what went wrong, '' = none."""
    try:
        found = json.loads(response.body)
    except (ValueError, RecursionError):
        return ""
    reason = found.get("reason") if isinstance(found, dict) else ""
    return reason if isinstance(reason, str) else ""
