"""What a node's agent serves at /v1/processes and /v1/kills (docs/dev/agent-protocol.md).

Whose a process or a kill is, the snapshots say, as of containers: what the agent calls it counts for nothing, so
that one that lies, lies about its own node alone. A row of which a field is none is left out, and counted.
"""

from __future__ import annotations

import threading
import time
from typing import (
    Any,
    Callable,
    Dict,
    FrozenSet,
    Generic,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Tuple,
    TypeVar,
)

from krm.cluster.endpoints import Endpoints
from krm.collector.facts import PodFacts
from krm.collector.source import NoData, Target
from krm.collector.sources.agent import PORT, Owner, document, moment, number, owner_of, owners_of
from krm.collector.sources.annotated import Reach, alive, own_url
from krm.collector.sources.asking import body_of
from krm.model.kills import (
    ANCESTOR_LIMIT,
    CONTAINER_LIMIT,
    MOST_BEFORE,
    NODE_WIDE,
    POD_LIMIT,
    UNKNOWN,
    WITNESSES,
    Kill,
    Moment,
)
from krm.model.measures import Sample
from krm.model.reading import rows, text
from krm.store.latest_seen import MAX_KILLS, Running

PROCESSES, KILLS = "agent/processes", "agent/kills"  # as sources are called
PROCESSES_PATH, KILLS_PATH = "/v1/processes", "/v1/kills"
MOST_BYTES = {PROCESSES_PATH: 16 * 1024 * 1024, KILLS_PATH: 4 * 1024 * 1024}
MAX_PROCESSES, MAX_TOLD_KILLS = 20_000, 1000  # of a document: one that tells of more is refused
MAX_MISSING = 50
_MAX_TEXT, _MAX_NAME, _MAX_COMMAND = 300, 64, 4096  # characters
_MAX_PID = 2**22  # of Linux
_MAX_COUNT = 2**63
TIMEOUT = 4.0  # seconds
_SCOPES = frozenset({CONTAINER_LIMIT, POD_LIMIT, ANCESTOR_LIMIT, NODE_WIDE})
Missing = Tuple[Tuple[str, str], ...]
T = TypeVar("T")


class ProcessPage(NamedTuple):
    """The processes of a node at one moment, without rates."""

    at: float  # Unix seconds by the node's clock
    processes: Tuple[Running, ...]
    refused: int  # rows that are none
    missing: Missing


class KillPage(NamedTuple):
    """The kills that an agent knows, the newest last."""

    at: float
    kills: Tuple[Kill, ...]
    refused: int
    missing: Missing
    since: Optional[float] = None  # Unix seconds since when the agent misses none; None = it may


Read = Callable[[bytes, str, Iterable[PodFacts], float], T]


class AgentPages(Generic[T]):
    """A Source that gives no samples: what it read is taken from `came`. Threads may call it at once."""

    def __init__(
        self,
        name: str,
        path: str,
        read: Read[T],
        door: Endpoints,
        look: Callable[[str, str], Optional[PodFacts]],
        pods_of: Callable[[str], Iterable[PodFacts]],
        nodes: Callable[[], FrozenSet[str]],
        reach: Reach,
    ) -> None:
        """`pods_of`: node -> its pods, those that have ended too. The rest as in krm.collector.sources.agent."""
        self.name, self._path, self._read = name, path, read
        self._door, self._look, self._pods_of = door, look, pods_of
        self._nodes, self._reach = nodes, reach
        self._lock = threading.Lock()
        self._came: Dict[str, T] = {}

    def __call__(self, target: Target, now: float) -> List[Sample]:
        agent = alive(self._look, target)
        url = own_url(agent, self._reach, self._nodes(), "https", agent.port or PORT, self._path)
        began = time.monotonic()
        raw = body_of(self._door, target._replace(url=url), self._path, MOST_BYTES[self._path], TIMEOUT, gzip=True)
        page = self._read(raw, target.node, self._pods_of(target.node), now + time.monotonic() - began)
        with self._lock:
            self._came[target.node] = page
        return []

    def came(self) -> Dict[str, T]:
        """The newest page of each node that answered since the last call."""
        with self._lock:
            came, self._came = self._came, {}
            return came


def processes_of(raw: bytes, node: str, pods: Iterable[PodFacts], now: float) -> ProcessPage:
    """`pods`: those of the node. `now`: Unix seconds. Raises NoData where the document is none of this node."""
    page, at = document(raw, node, now)
    told = _rows(page, "processes", MAX_PROCESSES)
    owners = owners_of(pods, former=True)
    found: Dict[Tuple[int, int], Running] = {}
    for row in told:
        process = _process(row, owners, now)
        if process is not None:
            found.setdefault((process.pid, process.started_ticks), process)
    return ProcessPage(at, tuple(found.values()), len(told) - len(found), _missing(page))


def kills_of(raw: bytes, node: str, pods: Iterable[PodFacts], now: float) -> KillPage:
    """As `processes_of`. Of more than MAX_KILLS the newest."""
    page, at = document(raw, node, now)
    told = _rows(page, "kills", MAX_TOLD_KILLS)
    owners = owners_of(pods, former=True)
    found: Dict[str, Kill] = {}
    for row in told:
        kill = _kill(row, node, owners, now)
        if kill is not None:
            found[kill.id] = kill
    kills = sorted(found.values(), key=lambda kill: kill.at)[-MAX_KILLS:]
    return KillPage(at, tuple(kills), len(told) - len(found), _missing(page), moment(page.get("since"), now))


def _rows(page: Mapping[str, Any], name: str, most: int) -> List[Dict[str, Any]]:
    told = page.get(name)
    if not isinstance(told, list):
        raise NoData(f"its agent's document has no {name}")
    if len(told) > most:
        raise NoData(f"its agent tells of {len(told)} {name}: at most {most} are read")
    return [row if isinstance(row, dict) else {} for row in told]


def _process(row: Mapping[str, Any], owners: Mapping[str, Owner], now: float) -> Optional[Running]:
    """None = the row is no process."""
    pid, ticks, ppid = (_count(row.get(name)) for name in ("pid", "started_ticks", "ppid"))
    threads, rss, cpu = (_count(row.get(name)) for name in ("threads", "rss", "cpu_ns"))
    started = moment(row.get("started"), now)
    if not pid or pid > _MAX_PID or ticks is None or rss is None or cpu is None or started is None:
        return None
    container_id = _short(row.get("container_id"))
    owner = owner_of(container_id, row, owners)
    return Running(
        pid, ticks, ppid or 0, _short(row.get("name"), _MAX_NAME), _short(row.get("state"), 1), threads or 0, rss,
        cpu, started, None, None, _count(row.get("pid_inside")), _count(row.get("pid_depth")) or 1,
        _count(row.get("uid")), *_whose(owner), container_id, _uid(row, owner),
        row.get("is_pause") is True, row.get("is_init") is True, _short(row.get("shares_pids_with")),
        _short(row.get("command"), _MAX_COMMAND),
    )  # fmt: skip


def _kill(row: Mapping[str, Any], node: str, owners: Mapping[str, Owner], now: float) -> Optional[Kill]:
    """None = the row is no kill of this node."""
    name, at = _short(row.get("id")), moment(row.get("at"), now)
    witnesses = row.get("witnesses")
    if not name or at is None or row.get("node") != node or not isinstance(witnesses, list):
        return None
    container_id = _short(row.get("container_id"))
    owner = owner_of(container_id, row, owners)
    namespace, pod, container = _whose(owner)
    ended = row.get("container_ended")
    scope = _short(row.get("scope"))
    return Kill(
        id=name,
        node=node,
        at=at,
        after=min(at, moment(row.get("after"), now) or at),
        container_id=container_id,
        pod_uid=_uid(row, owner),
        namespace=namespace,
        pod=pod,
        container=container,
        pid=_count(row.get("pid")),
        process=_short(row.get("process"), _MAX_NAME),
        rss=_count(row.get("rss")),
        scope=scope if scope in _SCOPES else UNKNOWN,
        limited=_short(row.get("limited")),
        limit=_count(row.get("limit")),
        container_ended=ended if isinstance(ended, bool) else None,
        witnesses=tuple(one for one in WITNESSES if one in witnesses[: len(WITNESSES)]),
        before=tuple(_moments(row.get("before"), now)),
    )


def _moments(told: Any, now: float) -> List[Moment]:
    found = []
    for row in rows(told)[-MOST_BEFORE:]:
        at = moment(row.get("at"), now)
        if at is not None:
            sizes = [_count(row.get(name)) for name in ("working_set", "usage", "node_available")]
            waiting, node_waiting = number(row.get("waiting")), number(row.get("node_waiting"))
            found.append(Moment(at, sizes[0], sizes[1], waiting, sizes[2], node_waiting))
    return found


def _whose(owner: Optional[Owner]) -> Tuple[str, str, str]:
    """Namespace, pod and container."""
    return ("", "", "") if owner is None else (owner.pod.namespace, owner.pod.name, owner.container)


def _uid(row: Mapping[str, Any], owner: Optional[Owner]) -> str:
    """The API's, where the pod is known: a static pod's cgroup is called otherwise."""
    return _short(row.get("pod_uid")) if owner is None else owner.pod.uid


def _missing(page: Mapping[str, Any]) -> Missing:
    told = [(_short(row.get("what")), _short(row.get("why"), _MAX_TEXT)) for row in rows(page.get("missing"))]
    return tuple(one for one in dict.fromkeys(told) if one[0])[:MAX_MISSING]


def _count(value: Any) -> Optional[int]:
    """A whole number that is not negative; None for what is none."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _MAX_COUNT:
        return None
    return value


def _short(value: Any, most: int = _MAX_TEXT) -> str:
    return text(value)[:most]
