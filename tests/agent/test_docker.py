"""Docker's API: names, figures and ends of containers, as dockerd 20.10 tells and cri-dockerd labels them."""

from __future__ import annotations

import contextlib
import copy
import http.server
import json
import socket
import socketserver
import threading
from pathlib import Path
from typing import Any, Dict, Iterator, List
from urllib.parse import parse_qs, urlsplit

import pytest
from agent.paper_grpc import HELLO, PaperCri
from krm.agent.runtime import cri, docker
from krm.agent.runtime.docker import CALLS, Docker
from krm.agent.runtime.runtime_door import open_runtime
from krm.agent.runtime.runtimes import RuntimeSilent
from krm.agent.seen import Named
from krm.model import times
from krm.model.kills import DOCKER

RECORDED = Path(__file__).parent / "recorded" / "docker.json"
UID = "5f0c5e9c-6c8e-4a57-9d0e-2f6f6f3c1a11"
POD = "io.kubernetes.pod."


class PaperDocker(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """`answers`: path -> what is sent as JSON; an int is sent as a status, bytes as they are. GET alone."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, path: Path, answers: Dict[str, Any]) -> None:
        super().__init__(str(path), _Handler)
        self.path, self.answers = str(path), answers
        self.calls: List[str] = []  # method and path, with its query
        self.open: List[Any] = []

    def rows(self, query: Dict[str, List[str]]) -> List[Any]:
        wanted = json.loads(query["filters"][0])["status"] if "filters" in query else None
        return [row for row in self.answers["/containers/json"] if wanted is None or row["State"] in wanted]

    def handle_error(self, *_: Any) -> None:
        """Clients hang up, as they may."""

    def hang_up(self) -> None:
        while self.open:
            with contextlib.suppress(OSError):  # it is closed already
                self.open.pop().shutdown(socket.SHUT_RDWR)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: PaperDocker

    def setup(self) -> None:
        super().setup()
        self.server.open.append(self.connection)

    def do_GET(self) -> None:
        self.server.calls.append(f"{self.command} {self.path}")
        address = urlsplit(self.path)
        found = self.server.answers.get(address.path, 404)
        if address.path == "/containers/json" and isinstance(found, list):
            found = self.server.rows(parse_qs(address.query))
        if isinstance(found, bytes):
            self.wfile.write(found)
            self.close_connection = True
            return
        status = found if isinstance(found, int) else 200
        body = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "docker.sock"


@pytest.fixture
def dockerd(path: Path) -> Iterator[PaperDocker]:
    """dockerd 20.10, as it answered (tests/node/record_runtimes.py)."""
    server = PaperDocker(path, json.loads(RECORDED.read_text()))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    server.hang_up()
    server.server_close()
    thread.join(5)


def row(dockerd: PaperDocker, name: str) -> Dict[str, Any]:
    """Its row in the list."""
    (found,) = (one for one in dockerd.answers["/containers/json"] if one["Names"] == [f"/{name}"])
    return found


def state(dockerd: PaperDocker, name: str) -> Dict[str, Any]:
    found: Dict[str, Any] = dockerd.answers[f"/containers/{row(dockerd, name)['Id']}/json"]["State"]
    return found


def test_names_of_containers_of_no_pod(dockerd: PaperDocker) -> None:
    runtime = Docker(dockerd.path, "worker-1")
    assert runtime.name == "docker 20.10.24+dfsg1"
    names = runtime.names()
    assert sorted(one.container for one in names.values()) == ["child", "holding", "killed", "web"]
    assert names[row(dockerd, "web")["Id"]] == Named("", "", "web", "", image="krm.test/busybox:1")


def test_names_of_pods_of_cri_dockerd(dockerd: PaperDocker) -> None:
    labels = {
        f"{POD}name": "web-0",
        f"{POD}namespace": "shop",
        f"{POD}uid": UID,
        "io.kubernetes.container.name": "web",
    }
    row(dockerd, "web")["Labels"] = {**labels, "io.kubernetes.docker.type": "container"}
    pause = {**labels, "io.kubernetes.container.name": "POD", "io.kubernetes.docker.type": "podsandbox"}
    row(dockerd, "holding")["Labels"] = pause
    names = Docker(dockerd.path, "worker-1").names()
    assert names[row(dockerd, "web")["Id"]] == Named("shop", "web-0", "web", UID, image="krm.test/busybox:1")
    assert names[row(dockerd, "holding")["Id"]] == Named("shop", "web-0", "", UID, sandbox=True)


def test_stats_are_of_containers_that_run(dockerd: PaperDocker) -> None:
    stats = Docker(dockerd.path, "worker-1").stats()
    assert set(stats) == {row(dockerd, name)["Id"] for name in ("holding", "web")}
    holding = stats[row(dockerd, "holding")["Id"]]
    assert 20 * 2**20 <= holding.figures["memory_working_set"] < 22 * 2**20
    assert 20 * 2**20 <= holding.figures["memory_rss"] <= holding.figures["memory_usage"]
    assert holding.figures["cpu_usage_ns"] > 0
    told = dockerd.answers[f"/containers/{row(dockerd, 'holding')['Id']}/stats"]["read"]
    assert holding.cpu_at == holding.memory_at == times.parse(told)


# A container's memory as Docker tells it, and the working set and rss that it is.
MEMORY = (
    # Version 2 knows no total_*.
    ({"usage": 1000, "stats": {"inactive_file": 300, "anon": 500}}, 700, 500),
    # Version 1: what is below it counts.
    (
        {"usage": 1000, "stats": {"inactive_file": 0, "total_inactive_file": 300, "rss": 1, "total_rss": 500}},
        700,
        500,
    ),
    ({"usage": 1000, "stats": {"inactive_file": 3000, "anon": 0}}, 0, 0),
    ({"usage": 1000}, None, None),
    ({"stats": {"inactive_file": 300}}, None, None),
    ({"usage": -5, "stats": {"inactive_file": "300", "anon": True}}, None, None),
    ({}, None, None),
    (None, None, None),
)


@pytest.mark.parametrize(("memory", "working_set", "rss"), MEMORY)
def test_memory_of_both_versions(dockerd: PaperDocker, memory: Any, working_set: Any, rss: Any) -> None:
    container = row(dockerd, "web")["Id"]
    dockerd.answers[f"/containers/{container}/stats"]["memory_stats"] = memory
    figures = Docker(dockerd.path, "worker-1").stats()[container].figures
    assert (figures.get("memory_working_set"), figures.get("memory_rss")) == (working_set, rss)
    assert "cpu_usage_ns" in figures


def test_a_container_that_ended_meanwhile_has_no_figures(dockerd: PaperDocker) -> None:
    """Docker then tells zeros of the year 1."""
    container = row(dockerd, "web")["Id"]
    dockerd.answers[f"/containers/{container}/stats"].update(
        read="0001-01-01T00:00:00Z", memory_stats={}, cpu_stats={"cpu_usage": {"total_usage": 0}}
    )
    assert Docker(dockerd.path, "worker-1").stats()[container].figures == {}
    del dockerd.answers[f"/containers/{container}/stats"]
    assert list(Docker(dockerd.path, "worker-1").stats()) == [row(dockerd, "holding")["Id"]]


def test_many_containers_are_asked_at_once(dockerd: PaperDocker) -> None:
    """All wait for the same tick: asked one after the other, a hundred would take Docker a minute and a half."""
    together = threading.Barrier(docker.AT_ONCE)
    template, told = row(dockerd, "web"), dockerd.answers[f"/containers/{row(dockerd, 'web')['Id']}/stats"]

    class Waiting(dict):  # type: ignore[type-arg]
        def get(self, name: str, default: Any = None) -> Any:
            if name.endswith("/stats"):
                together.wait(10)
                return told
            return super().get(name, default)

    ids = [f"{number:064x}" for number in range(2 * docker.AT_ONCE)]
    dockerd.answers = Waiting(dockerd.answers)
    dockerd.answers["/containers/json"] = [{**template, "Id": one} for one in ids]
    assert sorted(Docker(dockerd.path, "worker-1").stats()) == ids


def test_oom_kills(dockerd: PaperDocker) -> None:
    """Of a child's too, whose container ended of something else, later."""
    killed, child = Docker(dockerd.path, "worker-1").ended()
    assert (killed.container, killed.container_ended) == ("killed", True)
    assert (child.container, child.container_ended) == ("child", None)
    for evidence in (killed, child):
        assert (evidence.witness, evidence.node, evidence.container_id) == (
            DOCKER,
            "worker-1",
            row(dockerd, evidence.container)["Id"],
        )
        assert evidence.after < evidence.at < evidence.after + 10
    assert killed.at == times.parse(state(dockerd, "killed")["FinishedAt"])


def test_exit_code_137_alone_is_no_evidence(dockerd: PaperDocker) -> None:
    """As dockerd 20.10 has told of some OOM kills; and of each `docker kill`."""
    state(dockerd, "killed")["OOMKilled"] = False
    assert [one.container for one in Docker(dockerd.path, "worker-1").ended()] == ["child"]


def test_a_container_that_is_started_and_killed_again_is_told_again(dockerd: PaperDocker) -> None:
    runtime = Docker(dockerd.path, "worker-1", clock=lambda: 2e9)
    first, child = runtime.ended()
    state(dockerd, "killed").update(StartedAt="2027-01-01T00:00:00Z", FinishedAt="2027-01-01T00:00:05.5Z")
    asked = len(dockerd.calls)
    again = runtime.ended()[-1]
    assert (again.container_id, again.after) == (first.container_id, times.parse("2027-01-01T00:00:00Z"))
    assert again.at == times.parse("2027-01-01T00:00:05.5Z")
    # What was not ended by SIGKILL, and a while ago, is not asked of again.
    assert not [call for call in dockerd.calls[asked:] if child.container_id in call]


def test_only_calls_that_read_can_be_sent(dockerd: PaperDocker) -> None:
    runtime = Docker(dockerd.path, "worker-1")
    runtime.names(), runtime.stats(), runtime.ended()
    ids = [one["Id"] for one in dockerd.answers["/containers/json"]]
    sent = {call.partition("?")[0] for call in dockerd.calls}
    assert sent <= {f"GET {call.replace('ID', one)}" for call in CALLS for one in ids}
    assert set(CALLS) == {"/version", "/containers/json", "/containers/ID/stats", "/containers/ID/json"}
    before = len(dockerd.calls)
    for call, container in (
        ("/containers/ID/kill", ids[0]),
        ("/containers/create", ""),
        ("/containers/ID/json", "../images"),
        ("/containers/ID/json", ""),
        ("/version", ids[0]),
        ("/images/json", ""),
    ):
        with pytest.raises(ValueError, match="calls that only read"):
            runtime._get(call, 1e12, container)
    assert len(dockerd.calls) == before


CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
BROKEN = (
    (500, "with status 500"),
    (HELLO, "is no HTTP"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{]", "is no JSON"),
    (b"HTTP/1.1 301 Moved\r\nLocation: /x\r\n\r\n{}", "with status 301"),
    (CLOSING + b"[" * 200_000, "is no JSON"),
    (CLOSING + b'[{"Id": "' + b"a" * 64, "is no JSON"),  # it breaks off
    (CLOSING + b" " * (docker.MAX_ANSWER + 1), f"more than {docker.MAX_ANSWER} bytes"),
    (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000, "is no JSON"),
    (b"HTTP/1.1 20", "is no HTTP"),
    (b"", "is no HTTP"),
)


@pytest.mark.parametrize(("raw", "said"), BROKEN, ids=[str(raw)[:40] for raw, _ in BROKEN])
def test_what_is_no_answer(dockerd: PaperDocker, raw: Any, said: str) -> None:
    runtime = Docker(dockerd.path, "worker-1")
    good = copy.copy(dockerd.answers)
    dockerd.answers["/containers/json"] = raw
    with pytest.raises(RuntimeSilent, match=said):
        runtime.names()
    dockerd.answers = good
    assert len(runtime.names()) == 4


def test_a_daemon_that_does_not_answer(path: Path, dockerd: PaperDocker, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = Docker(dockerd.path, "worker-1")
    over = threading.Event()
    monkeypatch.setattr(docker, "SECONDS", 0.2)

    class Stuck(dict):  # type: ignore[type-arg]
        def get(self, *_: Any) -> Any:
            over.wait(10)
            return 500

    dockerd.answers = Stuck()
    try:
        with pytest.raises(RuntimeSilent, match="no answer came in time"):
            runtime.names()
    finally:
        over.set()


def test_a_container_that_is_stuck_holds_up_no_other(dockerd: PaperDocker, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = Docker(dockerd.path, "worker-1")
    over, stuck = threading.Event(), row(dockerd, "web")["Id"]
    monkeypatch.setattr(docker, "SECONDS", 0.3)

    class Stuck(dict):  # type: ignore[type-arg]
        def get(self, name: str, default: Any = None) -> Any:
            if stuck in name:
                over.wait(10)
            return super().get(name, default)

    listed = dockerd.answers["/containers/json"]
    dockerd.answers = Stuck(dockerd.answers)
    try:
        for order in (listed, listed[::-1]):
            dockerd.answers["/containers/json"] = order
            assert list(runtime.stats()) == [row(dockerd, "holding")["Id"]]
    finally:
        over.set()


def test_rows_that_are_none_are_left_out(dockerd: PaperDocker) -> None:
    good = dockerd.answers["/containers/json"]
    bad: List[Any] = [{"Id": "../x", "State": "running"}, {"State": "exited"}, {"Id": 5, "State": "running"}]
    dockerd.answers["/containers/json"] = [*bad, *good, *bad]
    runtime = Docker(dockerd.path, "worker-1")
    assert (len(runtime.names()), len(runtime.stats()), len(runtime.ended())) == (4, 2, 2)
    for nothing in ([], {}, "x", None):
        dockerd.answers["/containers/json"] = nothing
        assert (runtime.names(), runtime.stats(), runtime.ended()) == ({}, {}, [])


def test_the_door_finds_out_which_of_the_two_it_is(dockerd: PaperDocker, tmp_path: Path) -> None:
    assert open_runtime(dockerd.path, "worker-1").name == "docker 20.10.24+dfsg1"
    with PaperCri(tmp_path / "cri.sock", {"Version": b"\x12\x05cri-o\x1a\x031.0"}) as server:
        assert open_runtime(server.path, "worker-1").name == "cri-o 1.0"
        server.answers.clear()
        with pytest.raises(RuntimeSilent, match=r"knows neither .* and asked as Docker: .* is no HTTP"):
            open_runtime(server.path, "worker-1")
    dockerd.answers["/version"] = {"Version": "1"}
    with pytest.raises(RuntimeSilent, match=r"does not speak HTTP/2.*is not Docker"):
        open_runtime(dockerd.path, "worker-1")
    with pytest.raises(RuntimeSilent) as error:
        open_runtime(str(tmp_path / "none.sock"), "worker-1")
    assert str(error.value).count("there is no") == 1


def test_who_does_not_answer_is_not_asked_as_docker_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cri, "SECONDS", 0.2)
    monkeypatch.setattr(docker, "SECONDS", 60.0)
    with PaperCri(tmp_path / "cri.sock", {"Version": lambda *_: b""}) as server:
        with pytest.raises(RuntimeSilent, match="no answer came in time"):
            open_runtime(server.path, "worker-1")
        assert server.connections == 1
