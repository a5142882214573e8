"""The POST API as people ask it: curl itself, over a real port, and the server as a process with its settings."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Iterator, List, Tuple

import pytest
from kept_cluster import KeptCluster, pod
from krm.collector import certificate
from krm.collector.endpoint import Server as Endpoint
from krm.model.measures import Covers, Sample, Subject
from krm.server import listening
from krm.store.connect import connect
from krm.store.history.asked import NoHistory
from krm.store.history.local import LocalHistory
from krm.store.history.summing import Summing
from krm.store.latest import CollectorState
from krm.store.latest_writer import LatestWriter, Turn
from server.classic_bench import Bench
from server_process import command, running, tell_facts

NAME, PASSWORD = ("-H", "X-USERNAME: sifac"), ("-H", "X-PASSWORD: hunter2")
EXAMPLE = """{
  "agg":"pod-by-namespace",
  "timeBeginInterval": "2017-12-01",
  "timeEndInterval": "2017-12-31"
}"""


def curl(*arguments: str) -> Tuple[int, Any]:
    """The status and the JSON of its answer."""
    if shutil.which("curl") is None:
        message = "there is no curl: apt-get install curl"
        if os.environ.get("CI") == "true":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "20", "-w", "\n%{http_code}", *arguments],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server with a history, on a port of its own, in a thread of this process."""
    bench, ready = Bench(), threading.Event()
    ports: List[listening.Port] = []

    def serve() -> None:
        async def run() -> int:
            ports.append(listening.Port(bench.app.app, "127.0.0.1", 0))
            ready.set()
            await ports[0].serve()
            return 0

        listening.run(run())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert ready.wait(10)
    yield ports[0].url
    ports[0].stop()
    thread.join(10)


def test_the_example_of_the_classic_applications_readme(url: str) -> None:
    arguments = ("-X", "POST", f"{url}/api/cpu/usage_rate", *PASSWORD, *NAME, "-d", EXAMPLE)
    assert curl(*arguments) == (200, {"code": 200, "message": "Query returns empty set"})
    newer = EXAMPLE.replace("2017-12-01", "2018-01-01").replace("2017-12-31", "2018-01-02")
    assert curl(*arguments[:-1], newer) == (
        200,
        [{"time": "2018-01-01T00:00:00Z", "sum": 6090, "namespace_name": "default", "pod_name": "web-0"}],
    )


@pytest.mark.parametrize(
    "how", [("-d", ""), ("-X", "POST"), ("-X", "POST", "-H", "Content-Type: application/json")]
)
def test_a_post_without_a_body_has_the_defaults(url: str, how: Tuple[str, ...]) -> None:
    status, rows = curl(*how, f"{url}/api/cpu/usage_rate", *NAME, *PASSWORD)
    assert (status, [row["value"] for row in rows]) == (200, [103, 102, 101, 100])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("/api/cpu/usage_rate",), 400, "Bad request"),
        (("-X", "PUT", "-d", "{}", "/api/cpu/usage_rate", *NAME, *PASSWORD), 400, "Bad request"),
        (("-d", "{}", "/api/cpu/usage_rate"), 401, "You are not authorized"),
        (("-d", "{}", "/api/cpu/usage_rate", *NAME), 401, "You are not authorized"),
        (("-d", "{}", "/api/cpu/usage_rate", *NAME, "-H", "X-PASSWORD: x"), 401,
         "Username and password is not recognized"),
        (("-d", "{}", "/api/", *NAME, *PASSWORD), 404, "Request not found"),
        (("-d", "{}", "/api/cpu/used", *NAME, *PASSWORD), 404, "Request not found"),
        (("-d", "limit=1", "/api/uptime", *NAME, *PASSWORD), 400, "the body is no JSON"),
        (("-d", "{}", "/api/uptime", *NAME, *PASSWORD), 200, "Query returns empty set"),
    ],
)  # fmt: skip
def test_errors(url: str, arguments: Tuple[str, ...], code: int, message: str) -> None:
    told = curl(*[url + one if one.startswith("/") else one for one in arguments])
    assert told == (code, {"code": code, "message": message})


def test_a_body_of_megabytes_is_refused_and_the_next_request_is_answered(url: str, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(b" " * 2_000_000)
    post = (f"{url}/api/uptime", *NAME, *PASSWORD)
    for chunked in ((), ("-H", "Transfer-Encoding: chunked")):
        status, told = curl(*post, "--data-binary", f"@{large}", *chunked)
        assert (status, told["code"]) == (413, 413)
        assert curl(*post, "-d", "{}")[0] == 200


def test_the_commands_of_the_docs_are_answered(url: str) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "post-api.md").read_text(encoding="utf-8")
    found = re.findall(r"^    (curl (?:.*\\\n)*.*)$", text, re.MULTILINE)
    assert len(found) >= 4
    for command_line in found:
        _, *arguments = shlex.split(command_line.replace("\\\n", " "))
        status, _ = curl(*[one.replace("http://127.0.0.1:8443", url) for one in arguments])
        assert status == 200, command_line


# As a process


@pytest.fixture
def pods(kept: KeptCluster) -> KeptCluster:
    kept.kind("pods", {"default/a": pod()})
    tell_facts(kept)
    return kept


def asked(url: str, name: str, password: str) -> Tuple[int, str]:
    status, told = curl(
        "-d", "{}", f"{url}/api/uptime", "-H", f"X-USERNAME: {name}", "-H", f"X-PASSWORD: {password}"
    )
    return status, told["message"]


AWAY, WRONG = (500, "Can't connect to influxdb"), (401, "Username and password is not recognized")


def test_accounts_of_the_environment_of_files_and_of_flags(pods: KeptCluster, tmp_path: Path) -> None:
    """Nobody keeps a history here: who is let in is told so."""
    secret, file = tmp_path / "password", tmp_path / "accounts.csv"
    secret.write_text("of-a-file\n")
    file.write_text("team,a-longer-one,default\n")
    file.chmod(0o600)
    with running(pods) as server:
        assert asked(server.url, "root", "root") == WRONG
    classic = {"API_USERNAME": "root", "API_PASSWORD": "hunter2"}
    with running(pods, "--api-accounts", str(file), environment=classic) as server:
        assert asked(server.url, "root", "hunter2") == AWAY
        assert asked(server.url, "team", "a-longer-one") == AWAY
        assert asked(server.url, "team", "hunter2") == WRONG
        assert not any("hunter2" in line or "a-longer-one" in line for line in server.lines)
    with running(pods, "--api-username", "me", "--api-password-file", str(secret), environment=classic) as server:
        assert asked(server.url, "me", "of-a-file") == AWAY
        assert asked(server.url, "root", "hunter2") == WRONG
    files = {"API_USERNAME": "root", "API_PASSWORD_FILE": str(secret), "KRM_NO_KUBERNETES_ROOT": "true"}
    with running(pods, environment=files) as server:
        assert asked(server.url, "root", "of-a-file") == AWAY
        assert curl(f"{server.url}/api/v1/pods") == (400, {"code": 400, "message": "Bad request"})
        assert curl(f"{server.url}/clusters/{pods.name}/api/v1/pods")[0] in (200, 503)


def test_a_process_reads_the_collectors_history(pods: KeptCluster, tmp_path: Path) -> None:
    """The collector's own endpoint over a file, found by what stands in Redis."""
    history = LocalHistory(str(tmp_path / "history"))
    now = time.time()
    app = Subject("default", "web-0", "u1", "app", "n1")  # as the collector records: pods follow from containers
    for turn in range(80):
        at = now - 1200 + 15 * turn
        each = ((app, 150.0), (app._replace(container="proxy"), 50.0))
        history.record(
            [Sample(who, at, {"cpu/usage_rate": cpu}, "kubelet/resource", 15.0) for who, cpu in each], at
        )
    endpoint = Endpoint(Summing(history), None, "of the collector", certificate.made(), ("127.0.0.1", 0))
    token = tmp_path / "token"
    token.write_text("of the collector\n")
    tell_history(pods, endpoint.address, endpoint.digest)
    environment = {"API_USERNAME": "sifac", "API_PASSWORD": "hunter2"}
    try:
        with running(pods, "--history-token-file", str(token), environment=environment) as server:
            post = (f"{server.url}/api/cpu/usage_rate", *NAME, *PASSWORD, "-d")
            status, rows = curl(*post, '{"limit":3}')
            assert (status, [(row["value"], row["container_name"]) for row in rows]) == (
                200, [(200, None), (150, "app"), (50, "proxy")],
            )  # fmt: skip
            status, (row,) = curl(*post, '{"agg":"all-namespace","timeBeginInterval":"now-10m"}')
            assert (status, row["namespace_name"]) == (200, "default")
            assert row["sum"] == pytest.approx(200 * 600, rel=0.05)  # its end is the newest sample
            endpoint.close()
            assert curl(*post, "{}") == (500, {"code": 500, "message": "Can't connect to influxdb"})
            assert not any("of the collector" in line for line in server.lines)
    finally:
        endpoint.close()
        history.close()


class Stuck:
    """A history that never answers."""

    def __init__(self) -> None:
        self.asked, self.free = threading.Event(), threading.Event()

    def range(self, _: Any) -> Any:
        self.asked.set()
        self.free.wait(60)
        raise NoHistory("it was stuck")

    totals = range


def test_a_history_that_does_not_answer_keeps_no_server_from_ending(pods: KeptCluster, tmp_path: Path) -> None:
    stuck, token = Stuck(), tmp_path / "token"
    token.write_text("of the collector")
    endpoint = Endpoint(stuck, None, "of the collector", certificate.made(), ("127.0.0.1", 0))
    tell_history(pods, endpoint.address, endpoint.digest)
    environment = {"API_USERNAME": "sifac", "API_PASSWORD": "hunter2", "KRM_HISTORY_TOKEN_FILE": str(token)}
    try:
        with running(pods, environment=environment) as server:
            connection = server.connection()
            connection.request("POST", "/api/uptime", "{}", {"X-USERNAME": "sifac", "X-PASSWORD": "hunter2"})
            assert stuck.asked.wait(20)
            server.process.terminate()
            assert server.process.wait(10) == 0  # 5 s are promised, where nothing else runs
            connection.close()
    finally:
        stuck.free.set()
        endpoint.close()


def tell_history(kept: KeptCluster, address: str, digest: str) -> None:
    writer = LatestWriter(connect(kept.url, name="collector"), kept.name)
    assert writer.take()
    writer.write(Turn({}, {}, {}, CollectorState(address, digest, 4.0, (), {}, (), Covers(1, 1, "nodes"))))


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (["--api-accounts", "/no/file"], {}, "accounts /no/file: it cannot be opened"),
        (["--api-username", "me"], {}, "--api-password-file or API_PASSWORD is missing"),
        ([], {"API_PASSWORD": "x", "API_PASSWORD_FILE": "y"}, "are both set: which one is meant?"),
        ([], {"API_USERNAME_FILE": "/no/file"}, "/no/file: it cannot be read"),
    ],
)
def test_what_accounts_are_refused_at_the_start(
    kept: KeptCluster, arguments: List[str], environment: Any, said: str
) -> None:
    done = subprocess.run(
        command(kept, *arguments), capture_output=True, text=True, timeout=60, env={**os.environ, **environment}
    )
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_help_says_where_accounts_come_from_and_that_one_sees_everything() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "krm.server", "--help"], capture_output=True, text=True, timeout=60
    )
    for wanted in ("API_USERNAME", "API_PASSWORD", "sees every namespace", "401 to all", "--api-accounts"):
        assert wanted in " ".join(done.stdout.split())
