"""Docker's HTTP API over its unix socket: containers of dockershim, cri-dockerd, and of nobody but Docker.

Only CALLS can be sent, all of them GET; none of them changes anything. They are sent as HTTP/1.0, a connection
each: then an answer ends where its connection does, and costs half of what the standard library's client takes.
"""

from __future__ import annotations

import json
import socket
import time
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence
from urllib.parse import urlencode

from krm.agent.cgroupfs.places import is_id
from krm.agent.runtime.runtimes import KILLED, SETTLED_SECONDS, RuntimeLate, RuntimeSilent, RuntimeStats
from krm.agent.runtime.unix_socket import UnixSocket, connect
from krm.agent.seen import Named
from krm.model import times
from krm.model.kills import DOCKER, Evidence
from krm.model.reading import mapping, rows, text, texts

VERSION, CONTAINERS, STATS, STATUS = CALLS = (
    "/version", "/containers/json", "/containers/ID/stats", "/containers/ID/json",
)  # fmt: skip
SECONDS = 4.0  # of one call
ALL_SECONDS = 8.0  # of all calls of stats() or ended(): one a container
READY_SECONDS = 0.02  # for an answer that is there already, after another one was waited for in vain
MAX_ANSWER = 8 * 1024 * 1024  # bytes: 1,000 containers are about 3 MiB
MAX_TEXT = 4096  # characters of a name
MOST_ASKED = 200  # ended containers that are looked at in one turn; the others in the next ones
# Docker tells of a container at its next tick, which is up to a second away, two without one-shot (before 20.10):
# so many are asked at once.
AT_ONCE = 64
_ONE_SHOT = "?stream=false&one-shot=true"
_NO_SUCH = (404, 409)  # it is not there any more, or is being removed
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


class _Ended(NamedTuple):
    evidence: Optional[Evidence]  # None: no OOM kill
    settled: bool  # it will not be said differently


class Docker:
    """A Runtime (runtimes.py)."""

    def __init__(self, path: str, node: str, clock: Callable[[], float] = time.time) -> None:
        """Asks for the version. Raises RuntimeSilent. `clock`: Unix seconds."""
        self._path, self._node, self._clock = path, node, clock
        self._ended: Dict[str, _Ended] = {}
        version = mapping(self._get(VERSION, time.monotonic() + SECONDS))
        if not text(version.get("ApiVersion")):
            raise RuntimeSilent(f"what listens at {path} is not Docker: its version names no API")
        self.name = f"docker {text(version.get('Version'))}".strip()

    def close(self) -> None:
        """There is no connection that is kept."""

    def names(self) -> Mapping[str, Named]:
        return {text(row.get("Id")): _named(row) for row in self._listed()}

    def stats(self) -> Mapping[str, RuntimeStats]:
        """One call a container. Those that Docker does not tell of in time are left out."""
        running = [text(row.get("Id")) for row in self._listed("running")]
        deadline = time.monotonic() + ALL_SECONDS
        found: Dict[str, RuntimeStats] = {}
        for first in range(0, len(running), AT_ONCE):
            if time.monotonic() > deadline:
                break
            at_once = running[first : first + AT_ONCE]
            found.update(self._stats(at_once, min(deadline, time.monotonic() + SECONDS)))
        return found

    def _stats(self, containers: Sequence[str], deadline: float) -> Dict[str, RuntimeStats]:
        """All are asked before the first is heard, so that they wait for the same tick."""
        asked: List[UnixSocket] = []
        found: Dict[str, RuntimeStats] = {}
        try:
            for container in containers:
                asked.append(self._sent(STATS, container, _ONE_SHOT, deadline))
            for container, opened in zip(containers, asked):
                opened.deadline = max(deadline, time.monotonic() + READY_SECONDS)
                try:
                    found[container] = _stats(mapping(self._answer(STATS, opened)))
                except (_Refused, RuntimeLate):  # it was removed since it was listed; or one that holds up no other
                    continue
        finally:
            for opened in asked:
                opened.close()
        return found

    def ended(self) -> List[Evidence]:
        """A container that was started anew keeps its id: what SIGKILL ended is looked at each time."""
        listed = {text(row.get("Id")): row for row in self._listed("exited", "dead")}
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

    def _listed(self, *states: str) -> List[Dict[str, Any]]:
        """Containers that are in one of these states; none given: all."""
        query = {"all": "true", **({"filters": json.dumps({"status": states})} if states else {})}
        told = self._get(CONTAINERS, time.monotonic() + SECONDS, query=f"?{urlencode(query)}")
        return [row for row in rows(told) if is_id(text(row.get("Id")))]

    def _get(self, call: str, deadline: float, container: str = "", query: str = "") -> Any:
        """JSON, decoded."""
        opened = self._sent(call, container, query, min(deadline, time.monotonic() + SECONDS))
        try:
            return self._answer(call, opened)
        finally:
            opened.close()

    def _sent(self, call: str, container: str, query: str, deadline: float) -> UnixSocket:
        """A connection on which this was asked."""
        if call not in CALLS or ("ID" in call) != bool(container) or (container and not is_id(container)):
            raise ValueError(f"{call} of {container!r} is not among the calls that only read")
        path = call.replace("ID", container) + query
        opened = connect(self._path, deadline)
        try:
            opened.sendall(b"GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n" % path.encode("ascii"))
        except OSError as error:
            opened.close()
            raise self._silent(call, error) from error
        return opened

    def _answer(self, call: str, opened: UnixSocket) -> Any:
        """JSON, decoded. Raises _Refused where there is no such container, RuntimeSilent."""
        try:
            raw = self._read(call, opened)
        except OSError as error:
            raise self._silent(call, error) from error
        head, _, body = raw.partition(b"\r\n\r\n")
        begin = head[:12].split(b" ")
        if len(begin) != 2 or not begin[0].startswith(b"HTTP/1.") or len(begin[1]) != 3 or not begin[1].isdigit():
            raise RuntimeSilent(f"what listens at {self._path} answered {call} with something that is no HTTP")
        status = int(begin[1])
        if status in _NO_SUCH:
            raise _Refused(f"Docker at {self._path} answered {call} with status {status}")
        if status != 200:
            raise RuntimeSilent(f"Docker at {self._path} answered {call} with status {status}")
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise RuntimeSilent(f"Docker at {self._path} answered {call} with something that is no JSON") from None

    def _read(self, call: str, opened: UnixSocket) -> bytes:
        """All until its end."""
        raw = bytearray()
        while len(raw) <= MAX_ANSWER:
            received = opened.recv(65_536)
            if not received:
                return bytes(raw)
            raw += received
        raise RuntimeSilent(f"Docker at {self._path} answered {call} with more than {MAX_ANSWER} bytes")

    def _silent(self, call: str, error: OSError) -> RuntimeSilent:
        begin = f"Docker at {self._path} did not answer {call}"
        if isinstance(error, socket.timeout):
            return RuntimeLate(f"{begin}: no answer came in time")
        return RuntimeSilent(f"{begin}: {error.strerror or error}")


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
