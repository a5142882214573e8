"""`krm.client.connect(url)`: reading a cluster's state as krm keeps it in Redis.

    with connect("redis://127.0.0.1:6379") as client:
        pods = client.snapshot("pods", namespace="web")     # one consistent version
        for pod in pods.items(label_selector="app=shop"):
            print(pod.name, pod.spec.node_name, pod.verified)
        for change in client.watch("pods", since=pods.token):
            print(change.type, change.object.key)

Every answer has `.trust`. Where the kind is not live, reading raises the state's error (the tree is in
krm.client.errors) unless `stale_ok=True`. A client is not for several threads.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, AsyncIterator, Callable, Generator, List, Optional, Sequence, Tuple

from krm.client.direct import told
from krm.client.directory import Directory
from krm.client.errors import BadRequest
from krm.client.locate import Place, locate
from krm.client.measuring import Measuring
from krm.client.moments import Moment
from krm.client.names import resolve
from krm.client.objects import Difference, KubernetesObject
from krm.client.pipelines import Pipelines, allowed, part
from krm.client.selection import Selection
from krm.client.snapshot import Snapshot, join_tokens
from krm.client.source import KindStatus, Source
from krm.client.watch import Change, Changes, Watch
from krm.client.worst import worst
from krm.model.cells import Printer
from krm.model.trust import Trust, judge
from krm.store import connect as store
from krm.store.read import Token

if TYPE_CHECKING:
    from krm.client.tables import Table


def connect(
    url: Optional[str] = None,
    cluster: Optional[str] = None,
    name: str = "krm-client",
    *,
    token: str = "",
    ca: str = "",
    kubeconfig: str = "",
    context: str = "",
    history_token_file: str = "",
) -> Client:
    """Reaches Redis, or a krm server, and finds the cluster there.

    url: of Redis, or http(s):// of a server; default KRM_REDIS, else the `krm up` of this machine. cluster:
    default KRM_CLUSTER, else the only one in that Redis, or the server's first. name: shown in Redis' CLIENT LIST.
    history_token_file: of the token that opens the history of measurements; default KRM_HISTORY_TOKEN_FILE, else
    that of the `krm up` of this machine.
    Of a server: token (bearer), ca (PEM file, default the system's), or a kubeconfig (path) and a context of it.
    Raises Unreachable, Refused, UnknownCluster, BadRequest (the URL), Nowhere.
    """
    place = Place("", cluster) if kubeconfig and url is None else locate(url, cluster)
    if kubeconfig or place.url.lower().startswith(("http:", "https:")):
        from krm.client.remote import open_remote  # who reads from Redis needs no HTTP

        return Client(open_remote(place.url, place.cluster, token, ca, kubeconfig, context))
    if token or ca or context:
        raise BadRequest("token, ca and context are for a krm server (https://...); Redis' own stand in its URL")
    with told():
        database = store.connect(place.url, name=name)
    return Client(
        Directory(database, place.cluster, place.pipelines), history_token_file or place.history_token_file
    )


class Client(Measuring):
    """One cluster. Built by `connect`."""

    def __init__(self, directory: Source, history_token_file: str = "") -> None:
        super().__init__(directory, history_token_file)
        self._pipelines = Pipelines(directory)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the sockets."""
        super().close()
        self._pipelines.close()
        self.directory.close()

    @property
    def cluster(self) -> str:
        """The cluster's name."""
        return self.directory.cluster

    @property
    def warnings(self) -> Sequence[str]:
        """What connect found doubtful about this Redis, a sentence each."""
        return self.directory.warnings

    def kinds(self) -> List[str]:
        """Names of the kinds that krm keeps of this cluster."""
        return self.directory.kinds()

    def status(self, kind: Optional[str] = None, namespace: Optional[str] = None) -> List[KindStatus]:
        """What each kind, or this one, is worth now: a row a pipeline. Never raises for a state."""
        if kind is None:
            return self.directory.status()
        kind, namespace = self._named(kind, namespace)
        pipelines = [(kind, pipeline) for pipeline in self._pipelines.of(kind, namespace)]
        return self.directory.status(pipelines, namespace)

    def trust(self, kind: str, namespace: Optional[str] = None) -> Trust:
        """What this kind, or one namespace of it, is worth now. Never raises for a state."""
        return worst([(status.namespace, status.trust) for status in self.status(kind, namespace)])

    def resolve(self, word: str) -> str:
        """`po` -> pods, `deploy` -> deployments.apps, by what this Redis keeps. Raises BadRequest."""
        kept = self.directory.kinds()
        kind = resolve(word, kept)
        return kind if kind in kept else resolve(word, self.directory.kinds(anew=True))

    def namespaced(self, kind: str) -> Optional[bool]:
        """Whether the kind has namespaces; None where that is not known yet. Raises UnknownKind.

        Of a kind that has none, reads ignore a namespace.
        """
        return self._pipelines.namespaced(self.resolve(kind))

    def _named(self, word: str, namespace: Optional[str]) -> Tuple[str, Optional[str]]:
        """The kind and the namespace to read."""
        kind = self.resolve(word)
        return kind, self._pipelines.scope(kind, namespace)

    def snapshot(
        self, kind: str, namespace: Optional[str] = None, verified_only: bool = False, stale_ok: bool = False
    ) -> Snapshot:
        """All objects of a kind (or of one namespace) at one version.

        verified_only: each object at the newest version that a list of the API server confirmed.
        Raises NotTrusted's classes, Busy, Expired (verified_only further back than is kept), Damaged,
        UnknownKind, Unreachable.
        """
        kind, namespace = self._named(kind, namespace)
        parts, trusts = [], []
        for pipeline in self._pipelines.of(kind, namespace):
            reader = self._pipelines.reader(kind, pipeline)
            data = reader.verified(namespace) if verified_only else reader.snapshot(namespace)
            head, now = (data.head, data.time) if data is not None else reader.head(namespace)
            trusts.append((pipeline, self._pipelines.judged(kind, pipeline, head, now)))
            if data is not None:
                parts.append(part(pipeline, data, namespace, data.time))
        return Snapshot(kind, parts, allowed(kind, worst(trusts), stale_ok, len(parts) == len(trusts)))

    def table(
        self, kind: str, namespace: Optional[str] = None, label_selector: str = "", field_selector: str = "",
        stale_ok: bool = False,
    ) -> Table:  # fmt: skip
        """The rows that kubectl prints of a kind at one version. Raises as `snapshot`, and BadRequest."""
        from krm.client.tables import read

        kind, namespace = self._named(kind, namespace)
        return read(self._pipelines, kind, Selection(kind, label_selector, field_selector, namespace), stale_ok)

    def printer(self, kind: str, namespace: Optional[str] = None) -> Printer:
        """How kubectl shows the kind's objects. Raises UnknownKind, Refused, Unreachable."""
        kind, namespace = self._named(kind, namespace)
        return self._pipelines.reader(kind, self._pipelines.of(kind, namespace)[0]).printer(namespace)

    def at(self, kind: str, moment: Moment, namespace: Optional[str] = None, stale_ok: bool = False) -> Snapshot:
        """The kind as it was: at a token, a version, a time (datetime, seconds, RFC 3339) or a span ago (`5m`).

        `trust` is of now: what is known about the past may be as old. Raises Expired (not kept, the
        message names the oldest that is), BadRequest, and as `snapshot`.
        """
        kind, namespace = self._named(kind, namespace)
        parts, trusts = [], []
        for pipeline, token, when in self._pipelines.moment(kind, moment, namespace):
            data = self._pipelines.reader(kind, pipeline).at(token, namespace)
            trusts.append((pipeline, self._pipelines.judged(kind, pipeline, data.head, data.time)))
            as_of = data.published_at if when is None else when
            parts.append(part(pipeline, data, namespace, as_of))
        return Snapshot(kind, parts, allowed(kind, worst(trusts), stale_ok, True))

    def diff(
        self,
        kind: str,
        a: Moment,
        b: Optional[Moment] = None,
        namespace: Optional[str] = None,
        stale_ok: bool = False,
    ) -> List[Difference]:
        """What differs between two moments (b: default now), sorted by key. Raises as `at`."""
        kind, namespace = self._named(kind, namespace)
        allowed(kind, self.trust(kind, namespace), stale_ok, True)
        ends = (
            {end.pipeline: end.token for end in self._pipelines.moment(kind, b, namespace)}
            if b is not None
            else self._pipelines.now(kind, namespace)
        )
        found = []
        for pipeline, start, _ in self._pipelines.moment(kind, a, namespace):
            pairs = self._pipelines.reader(kind, pipeline).diff(start, ends[pipeline], namespace)
            verified_rv = self._pipelines.head(kind, pipeline, namespace)[0].verified_rv
            for key, pair in pairs.items():
                sides = [KubernetesObject(kind, key, one, verified_rv) if one else None for one in pair]
                found.append(Difference(key, sides[0], sides[1]))
        return sorted(found, key=lambda difference: difference.key.encode())

    def watch(
        self,
        kind: str,
        since: Optional[str] = None,
        namespace: Optional[str] = None,
        label_selector: str = "",
        field_selector: str = "",
        stale_ok: bool = False,
        timeout: Optional[float] = None,
        on_trust: Optional[Callable[[Trust], None]] = None,
    ) -> Generator[Change, None, None]:
        """Every change after the token `since` (default: from now on), each once, in order; for `timeout` seconds.

        What enters the selectors is ADDED, what leaves them DELETED. A kind that stops being live ends
        the watch with its state's error, unless stale_ok. on_trust: is given what the kind is worth, at
        least once a second. Raises Expired where the place is no longer kept or the snapshot was
        rebuilt: read a snapshot and watch from its token.
        """
        kind, namespace = self._named(kind, namespace)
        selection = Selection(kind, label_selector, field_selector, namespace)
        allowed(kind, self.trust(kind, namespace), stale_ok, True)
        watch = self._open_watch(kind, since, selection)
        deadline = None if timeout is None else time.monotonic() + timeout
        return self._follow(watch, kind, stale_ok, deadline, on_trust or _ignored)

    def awatch(
        self,
        kind: str,
        since: Optional[str] = None,
        namespace: Optional[str] = None,
        label_selector: str = "",
        field_selector: str = "",
        stale_ok: bool = False,
        timeout: Optional[float] = None,
        on_trust: Optional[Callable[[Trust], None]] = None,
    ) -> AsyncIterator[Change]:
        """The same as an async iterator: `async for change in client.awatch("pods")`. Raises as `watch`.

        It is opened here and now, in a few round trips; then it waits in a thread of its own, where on_trust
        is called too.
        """
        from krm.client.awatch import bridged  # asyncio costs as much as the rest of this library

        def opened(each_turn: Callable[[Trust], None]) -> Generator[Change, None, None]:
            return self.watch(kind, since, namespace, label_selector, field_selector, stale_ok, timeout, each_turn)

        return bridged(opened, on_trust or _ignored)

    def _follow(
        self, watch: Watch, kind: str, stale_ok: bool, deadline: Optional[float], on_trust: Callable[[Trust], None]
    ) -> Generator[Change, None, None]:
        try:
            while True:
                left = 1.0 if deadline is None else min(1.0, deadline - time.monotonic())
                if left <= 0:
                    return
                yield from watch.turn(left)
                trusts = [(namespace, judge(head, now)) for namespace, head, now in watch.heads()]
                on_trust(allowed(kind, worst(trusts), stale_ok, True))
        finally:
            watch.close()

    def _open_watch(self, kind: str, since: Optional[str], selection: Selection) -> Watch:
        places = self._pipelines.places(kind, since, selection.namespace)
        return Watch(self.directory, kind, places, selection)

    def changes(
        self, kind: str, since: Optional[str] = None, namespace: Optional[str] = None, stale_ok: bool = False
    ) -> Changes:
        """What was published after the token `since` (default: all that is kept), up to now. Raises as `watch`."""
        kind, namespace = self._named(kind, namespace)
        allowed(kind, self.trust(kind, namespace), stale_ok, True)
        if since is None:
            since = self._first_place(kind, namespace)
        found: List[Change] = []
        watch = self._open_watch(kind, since, Selection(kind, "", "", namespace))
        try:
            found.extend(watch.turn(0))
            while not watch.caught_up():
                found.extend(watch.turn(0))
            return Changes(kind, found, watch.token)
        finally:
            watch.close()

    def oldest(self, kind: str, namespace: Optional[str] = None) -> str:
        """The token of the oldest moment that `at` and `diff` can read. Changes may be kept from further back."""
        kind, namespace = self._named(kind, namespace)
        tokens = []
        for pipeline in self._pipelines.of(kind, namespace):
            self._pipelines.head(kind, pipeline, namespace)  # raises where nothing was listed yet
            tokens.append((pipeline, str(self._pipelines.reader(kind, pipeline).oldest(namespace))))
        return join_tokens(tokens)

    def _first_place(self, kind: str, namespace: Optional[str]) -> str:
        """From which all that is kept of the changes follows."""
        tokens = []
        for pipeline in self._pipelines.of(kind, namespace):
            head, _ = self._pipelines.head(kind, pipeline, namespace)
            tokens.append((pipeline, str(Token(head.incarnation, head.oldest))))
        return join_tokens(tokens)

    def checked_trust(self, kind: str, namespace: Optional[str] = None, stale_ok: bool = False) -> Trust:
        """As `trust`; raises the state's error where it is not live, unless stale_ok."""
        return allowed(kind, self.trust(kind, namespace), stale_ok, True)

    def get(self, kind: str, name: str, namespace: str = "", stale_ok: bool = False) -> Optional[KubernetesObject]:
        """One object by its key alone, without reading the others; None where there is none.

        Raises as `snapshot`; BadRequest where the kind has namespaces and none was named.
        """
        kind = self.resolve(kind)
        known = self._pipelines.namespaced(kind, namespace or None)
        if not namespace:
            self._refuse_namespaced(kind, bool(known))
        elif known is False:
            namespace = ""
        pipeline = self._pipelines.of(kind, namespace or None)[0]
        (head, now), envelope = self._pipelines.reader(kind, pipeline).get(namespace, name)
        allowed(kind, self._pipelines.judged(kind, pipeline, head, now), stale_ok, bool(head and head.incarnation))
        if envelope is None or head is None:
            if not namespace and known is None:  # then its objects tell
                kept = self.snapshot(kind, stale_ok=stale_ok).items()
                self._refuse_namespaced(kind, any(one.namespace for one in kept))
            return None
        return KubernetesObject(kind, f"{namespace}/{name}", envelope, head.verified_rv)

    def _refuse_namespaced(self, kind: str, namespaced: bool) -> None:
        """None would read as if the object did not exist."""
        if namespaced:
            raise BadRequest(f"{kind} are namespaced: give namespace=")


def _ignored(_: Trust) -> None:
    """Of a watch whose caller asks for errors alone."""
