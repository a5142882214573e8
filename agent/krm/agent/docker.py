"""Docker's HTTP API over its unix socket: containers of dockershim, cri-dockerd, and of nobody but Docker.

Only CALLS can be sent, all of them GET; none of them changes anything.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple
from urllib.parse import urlencode

from krm.agent.places import is_id
from krm.agent.runtimes import KILLED, SETTLED_SECONDS, RuntimeSilent, RuntimeStats
from krm.agent.seen import Named
from krm.agent.unix_socket import UnixSocket, connect
from krm.model import times
from krm.model.kills import DOCKER, Evidence
from krm.model.reading import mapping, rows, text, texts

VERSION, CONTAINERS, STATS, STATUS = CALLS = (
    "/version", "/containers/json", "/containers/ID/stats", "/containers/ID/json",
)  # fmt: skip
SECONDS = 4.0  # of one call
ALL_SECONDS = 8.0  # of all calls of stats() or ended(): one a container
MAX_ANSWER = 8 * 1024 * 1024  # bytes: 1,000 containers are about 3 MiB
MAX_TEXT = 4096  # characters of a name
MOST_ASKED = 200  # ended containers that are looked at in one turn; the others in the next ones
# Docker tells of a container at its next tick, which is up to a second away, two without one-shot (before 20.10):
# so many are asked at once.
AT_ONCE = 64
_KUBERNETES = "io.kubernetes."
# Docker's names, of cgroup v2 and v1, and the figure.
_MEMORY = (
    (("anon", "total_rss"), "memory_rss"),
    (("pgfault", "total_pgfault"), "memory_page_faults"),
    (("pgmajfault", "total_pgmajfault"), "memory_major_page_faults"),
)
_INACTIVE = ("inactive_file", "total_inactive_file")


class _Refused(RuntimeSilent):
    """Docker answered that it does not: it is still there."""


class _Connection(http.client.HTTPConnection):
    sock: Optional[UnixSocket]
    auto_open = 0  # it knows the way to no server but the one that `sock` is connected to


class _Ended(NamedTuple):
    evidence: Optional[Evidence]  # None: no OOM kill
    settled: bool  # it will not be said differently


class Docker:
    """A Runtime (runtimes.py)."""

    def __init__(self, path: str, node: str, clock: Callable[[], float] = time.time) -> None:
        """Asks for the version. Raises RuntimeSilent. `clock`: Unix seconds."""
        self._path, self._node, self._clock = path, node, clock
        self._connection: Optional[_Connection] = None
        self._ended: Dict[str, _Ended] = {}
        version = mapping(self._get(VERSION, time.monotonic() + SECONDS))
        if not text(version.get("ApiVersion")):
            raise RuntimeSilent(f"what listens at {path} is not Docker: its version names no API")
        self.name = f"docker {text(version.get('Version'))}".strip()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def names(self) -> Mapping[str, Named]:
        return {text(row.get("Id")): _named(row) for row in self._listed()}

    def stats(self) -> Mapping[str, RuntimeStats]:
        """One call a container. Those that Docker does not get to in ALL_SECONDS are not told of."""
        running = [text(row.get("Id")) for row in self._listed(status=["running"])]
        deadline = time.monotonic() + ALL_SECONDS
        found: Dict[str, RuntimeStats] = {}
        for first in range(0, len(running), AT_ONCE):
            if time.monotonic() > deadline:
                break
            found.update(self._stats(running[first : first + AT_ONCE], deadline))
        return found

    def _stats(self, containers: Sequence[str], deadline: float) -> Dict[str, RuntimeStats]:
        """Each on a connection of its own, so that all wait for the same tick."""
        asked: List[Tuple[str, _Connection]] = []
        found: Dict[str, RuntimeStats] = {}
        try:
            for container in containers:
                asked.append((container, self._opened(deadline)))
                asked[-1][1].request("GET", _path(STATS, container, {"stream": "false", "one-shot": "true"}))
            for container, connection in asked:
                try:
                    found[container] = _stats(mapping(self._answer(STATS, connection)))
                except _Refused:  # it was removed since it was listed
                    continue
        except (OSError, http.client.HTTPException) as error:
            raise self._silent(STATS, error) from error
        finally:
            for _, connection in asked:
                connection.close()
        return found

    def ended(self) -> List[Evidence]:
        """A container that was started anew keeps its id: what SIGKILL ended is looked at each time."""
        listed = {text(row.get("Id")): row for row in self._listed(status=["exited", "dead"])}
        self._ended = {container: said for container, said in self._ended.items() if container in listed}
        deadline = time.monotonic() + ALL_SECONDS
        asked = [one for one, row in listed.items() if one not in self._ended or not self._ended[one].settled]
        for container in asked[:MOST_ASKED]:
            if time.monotonic() > deadline:
                break
            try:
                told = mapping(self._get(STATUS, deadline, container))
            except _Refused:
                self._ended.pop(container, None)
                continue
            self._ended[container] = self._status(container, mapping(told.get("State")), _named(listed[container]))
        found = [said.evidence for said in self._ended.values() if said.evidence is not None]
        return sorted(found, key=lambda evidence: (evidence.at, evidence.container_id))

    def _status(self, container: str, state: Mapping[str, Any], named: Named) -> _Ended:
        """Exit code 137 alone is no evidence: whoever sends SIGKILL makes it."""
        started, finished = _moment(state.get("StartedAt")), _moment(state.get("FinishedAt"))
        if finished is None or state.get("Running") is True:
            return _Ended(None, False)
        killed = state.get("ExitCode") == KILLED
        settled = not killed and self._clock() - finished > SETTLED_SECONDS
        if state.get("OOMKilled") is not True:
            return _Ended(None, settled)
        evidence = Evidence(
            witness=DOCKER,
            node=self._node,
            at=finished,
            after=finished if started is None else min(started, finished),
            container_id=container,
            pod_uid=named.pod_uid,
            namespace=named.namespace,
            pod=named.pod,
            container=named.container,
            container_ended=True if killed else None,
        )
        return _Ended(evidence, settled)

    def _listed(self, **filters: List[str]) -> List[Dict[str, Any]]:
        query = {"all": "true", **({"filters": json.dumps(filters)} if filters else {})}
        told = self._get(CONTAINERS, time.monotonic() + SECONDS, **query)
        return [row for row in rows(told) if is_id(text(row.get("Id")))]

    def _get(self, call: str, deadline: float, container: str = "", **query: str) -> Any:
        """JSON, decoded. A connection that ended since the last call is made anew, once."""
        path, deadline = _path(call, container, query), min(deadline, time.monotonic() + SECONDS)
        for again in (True, False):
            kept = self._connection is not None and self._connection.sock is not None
            try:
                connection = self._kept(deadline)
                connection.request("GET", path)
                return self._answer(call, connection)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                # RemoteDisconnected is of this kind too; no answer in time is not.
                if not (again and kept and isinstance(error, ConnectionError)):
                    raise self._silent(call, error) from error
        raise AssertionError("the second time raises or returns")

    def _kept(self, deadline: float) -> _Connection:
        if self._connection is None or self._connection.sock is None:
            self._connection = self._opened(deadline)
        else:
            self._connection.sock.deadline = deadline
        return self._connection

    def _opened(self, deadline: float) -> _Connection:
        connection = _Connection("localhost")
        connection.sock = connect(self._path, deadline)
        return connection

    def _answer(self, call: str, connection: _Connection) -> Any:
        """JSON, decoded. Raises _Refused, RuntimeSilent, OSError and HTTPException."""
        response = connection.getresponse()
        raw = response.read(MAX_ANSWER + 1)
        if len(raw) > MAX_ANSWER:
            connection.close()
            raise RuntimeSilent(f"Docker at {self._path} answered {call} with more than {MAX_ANSWER} bytes")
        if response.status in (404, 409):
            raise _Refused(f"Docker at {self._path} answered {call} with status {response.status}")
        if response.status != 200:
            raise RuntimeSilent(f"Docker at {self._path} answered {call} with status {response.status}")
        try:
            return json.loads(raw)
        except (ValueError, RecursionError):
            raise RuntimeSilent(f"Docker at {self._path} answered {call} with something that is no JSON") from None

    def _silent(self, call: str, error: Exception) -> RuntimeSilent:
        return RuntimeSilent(f"Docker at {self._path} did not answer {call}: {_why(error)}")


def _path(call: str, container: str, query: Mapping[str, str]) -> str:
    if call not in CALLS or ("ID" in call) != bool(container) or (container and not is_id(container)):
        raise ValueError(f"{call} of {container!r} is not among the calls that only read")
    return call.replace("ID", container) + (f"?{urlencode(query)}" if query else "")


def _named(row: Mapping[str, Any]) -> Named:
    """A row of the list. A container of no pod has Docker's own name of it."""
    labels, image = mapping(row.get("Labels")), _short(row.get("Image"))
    uid = _short(labels.get(_KUBERNETES + "pod.uid"))
    if not uid:
        names = texts(row.get("Names"))
        return Named("", "", _short(names[0]).lstrip("/") if names else "", "", image=image)
    is_sandbox = labels.get(_KUBERNETES + "docker.type") == "podsandbox"
    return Named(
        _short(labels.get(_KUBERNETES + "pod.namespace")),
        _short(labels.get(_KUBERNETES + "pod.name")),
        "" if is_sandbox else _short(labels.get(_KUBERNETES + "container.name")),
        uid,
        is_sandbox,
        "" if is_sandbox else image,
    )


def _stats(told: Mapping[str, Any]) -> RuntimeStats:
    """Docker reads all of it at one moment; of a container that ended meanwhile it tells none."""
    at = _moment(told.get("read"))
    if at is None:
        return RuntimeStats({}, None, None)
    memory = mapping(told.get("memory_stats"))
    details = mapping(memory.get("stats"))
    usage, inactive = _count(memory.get("usage")), _first(details, _INACTIVE)
    figures = {figure: _first(details, names) for names, figure in _MEMORY}
    figures["cpu_usage_ns"] = _count(mapping(mapping(told.get("cpu_stats")).get("cpu_usage")).get("total_usage"))
    figures["memory_usage"] = usage
    if usage is not None and inactive is not None:
        figures["memory_working_set"] = max(0, usage - inactive)
    return RuntimeStats({name: value for name, value in figures.items() if value is not None}, at, at)


def _first(values: Mapping[str, Any], names: Sequence[str]) -> Optional[int]:
    """Version 1 has two kinds of a name, of which the hierarchical one counts; version 2 the short one alone."""
    counts = [_count(values.get(name)) for name in reversed(names)]
    return next((count for count in counts if count is not None), None)


def _count(value: Any) -> Optional[int]:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**64 else None


def _moment(value: Any) -> Optional[float]:
    """Unix seconds; None where Docker has none, which it writes as the year 1."""
    seconds = times.known(value)
    return seconds if seconds is not None and seconds > 0 else None


def _short(value: Any) -> str:
    return text(value)[:MAX_TEXT]


def _why(error: Exception) -> str:
    if isinstance(error, socket.timeout):
        return "no answer came in time"
    if isinstance(error, http.client.HTTPException):
        return "what came is no HTTP, or breaks off"
    return getattr(error, "strerror", None) or str(error)
