"""A real Alertmanager takes what krm posts, and shows it as active until it is over; the fake judges as it does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest
import redis_servers
from fake_alertmanager import PATH, wrong
from kept_cluster import KeptCluster, wait_until
from krm.analysis.alerting import advance
from krm.analysis.alertmessages import posted, resent
from krm.cli.alert_post import NotTaken, Post
from paper_findings import finding, kept_quota, told

COMMAND = "apt-get install prometheus-alertmanager"
CONFIG = "route:\n  receiver: none\nreceivers:\n- name: none\n"
Krm = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its URL."""
    binary = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if binary is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no alertmanager on PATH: {COMMAND}")
        pytest.skip(f"no alertmanager on PATH: {COMMAND}")
    folder: Path = tmp_path_factory.mktemp("alertmanager")
    (folder / "config.yml").write_text(CONFIG)
    port = redis_servers.free_port()
    url = f"http://127.0.0.1:{port}"
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            [binary, f"--config.file={folder}/config.yml", f"--storage.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        wait_until(lambda: _ready(url), 30)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def active(url: str, cluster: str) -> List[Any]:
    with urllib.request.urlopen(f"{url}/api/v2/alerts?filter=cluster%3D{cluster}", timeout=5) as answer:
        found: List[Any] = json.loads(answer.read())
    return found


def test_what_fires_is_active_there_and_over_when_it_resolves(manager: str) -> None:
    post, now = Post(manager, "--alertmanager", "/api/v2/alerts"), time.time() - 5

    def send(rows: Any) -> None:
        post(json.dumps(rows).encode())

    first = advance({}, [told(finding('we"ird\\né'))], now)
    send(posted(first.changes, "one", 240.0))
    wait_until(lambda: [row["labels"]["name"] for row in active(manager, "one")] == ['we"ird\\né'])
    send(resent(first.firing.values(), "one", now + 1, 240.0))
    assert len(active(manager, "one")) == 1
    worse = advance(first.firing, [told(finding('we"ird\\né', "critical"))], now + 2)
    send(posted(worse.changes, "one", 240.0))
    wait_until(lambda: [row["labels"]["severity"] for row in active(manager, "one")] == ["critical"])
    gone = advance(advance(worse.firing, [told()], now + 3).firing, [told()], now + 4)
    send(posted(gone.changes, "one", 240.0))
    wait_until(lambda: active(manager, "one") == [])


@pytest.mark.parametrize(
    "body",
    [
        [{"labels": {"alertname": "x"}}],
        [],
        {},
        [{"labels": {}}],
        [{"labels": {"a-b": "x"}}],
        [{"labels": {"alertname": ""}}],
        [{"labels": {"alertname": "x", "é": "x"}}],
        [{"labels": {"alertname": "x"}, "startsAt": "2026-01-01T00:00:02Z", "endsAt": "2026-01-01T00:00:01Z"}],
        [{"labels": {"alertname": "x"}, "startsAt": "2026-01-01T00:00:01Z", "endsAt": "2026-01-01T00:00:01Z"}],
    ],
)
def test_the_fake_judges_as_the_real_one(manager: str, body: Any) -> None:
    post = Post(manager, "--alertmanager", PATH)
    if wrong(body):
        with pytest.raises(NotTaken, match="answered 4"):
            post(json.dumps(body).encode())
    else:
        post(json.dumps(body).encode())


def test_the_command_posts_what_fires(kept: KeptCluster, krm: Krm, manager: str) -> None:
    for kind in ("pods", "nodes", "namespaces"):
        kept.kind(kind)
    kept.kind("resourcequotas", {"shop/q": kept_quota("9")})
    done = krm("alerts", "--stale-ok", "--alertmanager", manager)
    assert [json.loads(line)["rule"] for line in done.stdout.splitlines()] == ["quota-threshold"]
    found: Dict[str, Any] = wait_until(lambda: active(manager, kept.name))[0]
    assert found["labels"]["alertname"] == "quota-threshold"
    assert "90% of pods" in found["annotations"]["summary"]
