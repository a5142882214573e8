"""The simulator's world with the whole pipeline behind proxies, and readers on it: one object to do harm to."""

from __future__ import annotations

import contextlib
import random
import time
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from faults.pipeline import CLUSTER, Pipeline
from faults.proxy import Proxy
from faults.readers import Answer, SnapshotReader, WatchReader
from faults.truth import Truth
from faults.validators import Violation, all_laws, counted
from krm.cluster.credentials import connect as connect_cluster
from krm.cluster.discovery import discover
from krm.cluster.errors import ClusterError
from krm.cluster.listing import consistent, list_pages
from krm.cluster.requests import Cluster
from krm.model.canonical import Canonicaliser
from krm.model.head import Head
from krm.model.kinds import parse_kind
from krm.model.trust import LIVE, judge
from krm.simulator.churn import Churn
from krm.simulator.kubeconfig import write_kubeconfig
from krm.simulator.populate import populate
from krm.simulator.routes import Timing
from krm.simulator.server import Server
from krm.simulator.world import World
from krm.store.connect import Database
from krm.store.errors import StoreError
from krm.store.keys import Keys
from krm.store.read import Reader
from redis_servers import until

# Seconds within which everything must be right again once nothing is wrong any more: the take-over of a dead
# aggregator (2), a backoff (2), a list and its wait for the watch (3 + 4), twice, on two busy cores.
HEALED_WITHIN = 30.0


class View:
    """What one kind's readers see, asked by hand."""

    def __init__(self, database: Database, keys: Keys, cluster: Cluster) -> None:
        self.keys = keys
        self._reader = Reader(database, keys)
        self._cluster = cluster
        self.difference = "never read"

    def head(self) -> Head:
        """An empty one where there is none, or where Redis does not answer."""
        with contextlib.suppress(StoreError):
            return self._reader.head().head or Head()
        return Head()

    def state(self) -> str:
        """As trust judges now; `StoreError`s class where Redis does not answer."""
        try:
            read = self._reader.head()
        except StoreError as error:
            return type(error).__name__
        return judge(read.head, read.time).state

    def held(self) -> Optional[Dict[str, Tuple[str, str, bytes]]]:
        """key -> (rv, uid, canonical bytes); None where nothing can be read."""
        try:
            data = self._reader.snapshot()
        except StoreError as error:
            self.difference = f"{type(error).__name__}: {error}"
            return None
        if data is None:
            self.difference = "no snapshot"
            return None
        return {key: (one.rv, one.uid, one.body) for key, one in data.objects.items()}

    def listed(self) -> Dict[str, Tuple[str, str, bytes]]:
        """What the API server lists now, in canonical form."""
        resource = discover(self._cluster, parse_kind(self.keys.kind))
        canonicaliser = Canonicaliser(resource, False)
        found = {}
        for page in list_pages(self._cluster, resource, consistent(), lambda raw: canonicaliser.page(raw, 0.0)):
            found.update({item.key: (item.rv, item.uid, item.body) for item in page.items})
        return found

    def equal(self) -> bool:
        """Whether the snapshot holds exactly what the API server lists, byte for byte."""
        held = self.held()
        if held is None:
            return False
        try:
            listed = self.listed()
        except ClusterError as error:
            self.difference = f"{type(error).__name__}: {error}"
            return False
        wrong = [key for key in sorted({*held, *listed}) if held.get(key) != listed.get(key)]
        self.difference = f"{len(wrong)} objects: " + ", ".join(
            f"{key} {held.get(key, ('-',))[0]} != {listed.get(key, ('-',))[0]}" for key in wrong[:5]
        )
        return not wrong

    def converged(self) -> bool:
        """Equal, live, and nothing owed any more."""
        head, state = self.head(), self.state()
        if state != LIVE or head.gap_open or head.want or head.next:
            reasons = judge(head, time.time()).reasons
            self.difference = f"{state} {reasons}, gap {head.gap_open}, want {head.want!r}, next {head.next!r}"
            return False
        return self.equal()

    def wait_converged(self, deadline: float = HEALED_WITHIN) -> float:
        """Seconds that it took. AssertionError with what differs."""
        began = time.monotonic()
        while not self.converged():
            assert time.monotonic() - began < deadline, (
                f"{self.keys.kind} is not right {deadline} s after the last fault: {self.difference}"
            )
            time.sleep(0.05)
        return time.monotonic() - began


class Paper:
    """A world, its server, a proxy a stage, the pipeline, and what its readers wrote down."""

    def __init__(
        self,
        folder: Path,
        kinds: Sequence[str] = ("pods",),
        bugs: Optional[Mapping[str, str]] = None,
        seed: int = 1,
        pods: int = 40,
        verify_every: float = 2.0,
        timing: Optional[Timing] = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.kinds, self.random = folder, tuple(kinds), random.Random(seed)
        self.world = World(seed)
        populate(self.world, nodes=4, pods=pods, namespaces=3)
        self.truth = Truth(self.world)
        self.churn = Churn(self.world, 0.0, seed=seed)
        self.server = Server(self.world, timing=timing or Timing(too_large_wait=1.0, hang=3.0, bookmark=1.0))
        self._bugs, self._verify_every = bugs, verify_every
        self._stack = contextlib.ExitStack()
        self.snapshot_readers: List[SnapshotReader] = []
        self.watch_readers: List[WatchReader] = []
        self.redis_went_back = False
        self._drift: Dict[str, Dict[str, int]] = {}
        self._losses: Dict[str, int] = {}

    def __enter__(self) -> Paper:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.server)
            self.proxies = {
                stage: stack.enter_context(Proxy(self.server.port)) for stage in ("streamer", "verifier")
            }
            configs = {stage: self.folder / f"{stage}.kubeconfig" for stage in self.proxies}
            for stage, path in configs.items():
                write_kubeconfig(path, self.proxies[stage].url)
            straight = self.folder / "straight.kubeconfig"
            write_kubeconfig(straight, self.server.url)
            self.cluster = connect_cluster(str(straight), None, False, "faults")
            self.pipeline = stack.enter_context(
                Pipeline(self.folder, self.kinds, configs, self._bugs, self._verify_every)
            )
            self.database = self.pipeline.database()
            self.views = {kind: self.view(kind) for kind in self.kinds}
            stack.callback(self.churn.stop)
            self.churn.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(BaseException):
            self.finish_readers()
        self._stack.close()

    def view(self, kind: str) -> View:
        return View(self.database, self.pipeline.keys(kind), self.cluster)

    # Traffic and readers -------------------------------------------------------------------------

    def live(self, deadline: float = HEALED_WITHIN) -> None:
        """Every kind is live."""
        for kind, view in self.views.items():
            until(f"{kind} is live ({view.state()})", lambda view=view: view.state() == LIVE, deadline)

    def record(self) -> None:
        """Begin new readers: two of snapshots and one of changes a kind."""
        self._note_losses()
        self._losses = {kind: len(self.truth.lost(kind)) for kind in self.kinds}
        self._drift = {kind: view.head().drift for kind, view in self.views.items()}
        self.snapshot_readers, self.watch_readers, self.redis_went_back = [], [], False
        for kind in self.kinds:
            keys = self.pipeline.keys(kind)
            spaces = tuple(sorted({key.partition("/")[0] for key in self.world.keys(kind) if "/" in key})) or ("",)
            self.snapshot_readers += [
                SnapshotReader(self.database, keys),
                SnapshotReader(self.database, keys, spaces),
            ]
            self.watch_readers.append(WatchReader(self.database, keys))
        for reader in [*self.snapshot_readers, *self.watch_readers]:
            reader.start()

    def finish_readers(self) -> None:
        for reader in [*self.snapshot_readers, *self.watch_readers]:
            reader.finish()

    def answers(self, kind: str) -> List[Answer]:
        return [answer for reader in self.snapshot_readers if reader.kind == kind for answer in reader.answers]

    def violations(self, judge_truth: bool = True) -> List[Violation]:
        """What all validators say of what was recorded; readers must have finished."""
        self._note_losses()
        found: List[Violation] = []
        for kind in self.kinds:
            lives = [life for reader in self.watch_readers if reader.kind == kind for life in reader.lives]
            readers = [reader.answers for reader in self.snapshot_readers if reader.kind == kind]
            found += all_laws(kind, self.truth if judge_truth else None, lives, readers, self.redis_went_back)
            if len(self.truth.lost(kind)) == self._losses.get(kind) and not self.truth.doubts:
                found += counted(kind, self._drift[kind], self.views[kind].head().drift)
        return found

    def told(self, violations: Sequence[Violation]) -> str:
        """For a failure's message."""
        return "\n".join([f"{len(violations)} violations", *map(str, violations[:10]), self.pipeline.log()])

    def _note_losses(self) -> None:
        self.truth.eaten = {}
        for eaten in self.proxies["streamer"].eaten:
            for kind in self.kinds:  # one counter serves all kinds: a revision belongs to one of them alone
                self.truth.eaten.setdefault(kind, set()).add(eaten.rv)

    def wait_converged(self, deadline: float = HEALED_WITHIN) -> float:
        """Seconds until every kind equals the API server's list; churn must rest."""
        try:
            return sum(self.views[kind].wait_converged(deadline) for kind in self.kinds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.pipeline.log()}") from None

    @contextlib.contextmanager
    def traffic(self, rate: float = 60.0) -> Iterator[None]:
        """Events of all kinds, `rate` a second."""
        self.churn.rate = rate
        try:
            yield
        finally:
            self.churn.rate = 0.0

    def heal(self) -> None:
        """Nothing is wrong any more, and every stage runs once."""
        self.world.faults.heal()
        self.server.resume()
        for proxy in self.proxies.values():
            proxy.heal()
        if self.pipeline.redis.process is None:
            self.pipeline.start_redis()
        for name in list(self.pipeline.children):
            self.pipeline.resume(name)
            if name.endswith("+"):
                self.pipeline.stop(name)
        for stage in ("aggregator", "verifier", "streamer"):
            if not self.pipeline.runs(stage):
                self.pipeline.start(stage)


def wait(what: str, condition: Callable[[], object], deadline: float = HEALED_WITHIN) -> None:
    """As redis_servers.until, for conditions whose value does not matter."""
    until(what, lambda: bool(condition()), deadline)


__all__ = ["CLUSTER", "HEALED_WITHIN", "Paper", "View", "wait"]
