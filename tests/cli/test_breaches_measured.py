"""`krm breaches` and `krm neighbours` over a real Redis, and a real history behind the collector's own endpoint."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple

import pytest
from kept_cluster import KeptCluster
from krm.client import connect
from krm.collector import certificate
from krm.collector.endpoint import Server
from krm.model import times
from krm.model.measures import Covers, Sample, Subject
from krm.monitor import K8sResourceMonitor
from krm.store.connect import seconds
from krm.store.history.local import LocalHistory
from krm.store.history.summing import Summing
from krm.store.latest import CollectorState, Measured, Pod, pack_pod
from krm.store.latest_writer import LatestWriter, Turn

Krm = Callable[..., "subprocess.CompletedProcess[str]"]
MIB = 1024.0 * 1024.0
STEP = 15.0
STEPS = 80  # 20 minutes
CPU, MEMORY = "cpu/usage_rate", "memory/working_set"
TOKEN = "KRM_HISTORY_TOKEN_FILE"
NAMESPACES = {"web": "shop", "api": "shop", "batch": "lab"}


class Shop(NamedTuple):
    kept: KeptCluster
    token: str
    now: float


def requesting(cpu: str, memory: str, limits: Dict[str, str], started: float) -> Dict[str, Any]:
    resources = {"requests": {"cpu": cpu, "memory": memory}, "limits": limits}
    status = {"phase": "Running", "startTime": times.write(started // 1)}
    return {"spec": {"nodeName": "n1", "containers": [{"name": "app", "resources": resources}]}, "status": status}


def loud(step: int) -> bool:
    """The last two minutes but for the newest half one."""
    return 70 <= step < 78


def used(step: int) -> Dict[str, Dict[str, float]]:
    """While it is loud web is at 199 of its 200 MiB, api waits, and batch takes 3 cores more than it asks for."""
    now = loud(step)
    return {
        "web": {CPU: 100.0, MEMORY: (199 if now else 60) * MIB, "cpu/throttled_share": 0.3 if now else 0.0},
        "api": {CPU: 300.0, MEMORY: 50 * MIB, "pressure/cpu_waiting": 0.4 if now else 0.01},
        "batch": {CPU: 3500.0 if now else 400.0, MEMORY: 50 * MIB, "pressure/cpu_waiting": 0.0},
        "n1": {CPU: 3900.0 if now else 900.0},
    }


def subject_of(name: str) -> Subject:
    if name == "n1":
        return Subject(node="n1")
    namespace = NAMESPACES[name]
    return Subject(namespace, name, f"uid-{namespace}/{name}", "app", "n1")


@pytest.fixture
def shop(kept: KeptCluster, tmp_path: Path) -> Iterator[Shop]:
    token = tmp_path / "token"
    token.write_text("a-token\n")
    now = seconds(kept.database.link().call("TIME"))
    began = now - STEP * STEPS
    kept.kind("pods", {
        "shop/web": requesting("100m", "64Mi", {"cpu": "1", "memory": "200Mi"}, began),
        "shop/api": requesting("500m", "64Mi", {"memory": "1Gi"}, began),
        "lab/batch": requesting("500m", "64Mi", {"memory": "1Gi"}, began),
    })  # fmt: skip
    kept.kind("nodes", {"/n1": {"status": {"allocatable": {"cpu": "4", "memory": "8Gi"}}}})
    history = LocalHistory(str(tmp_path / "history"))
    server = Server(Summing(history), None, "a-token", certificate.made(), ("127.0.0.1", 0))
    try:
        for step in range(STEPS + 1):
            at = began + STEP * step
            history.record(
                [
                    Sample(subject_of(name), at, values, "kubelet/cadvisor", STEP)
                    for name, values in used(step).items()
                ],
                at,
            )
        writer = LatestWriter(kept.database, kept.name)
        assert writer.take()
        pods: Dict[str, Dict[str, Any]] = {"shop": {}, "lab": {}}
        for name, namespace in NAMESPACES.items():
            row = Measured("kubelet/resource", now - 1, STEP, used(STEPS)[name])
            pods[namespace][name] = pack_pod(Pod(name, f"uid-{namespace}/{name}", "n1", (), {"app": (row,)}))
        state = CollectorState(server.address, server.digest, 4.0, (), {}, (), Covers(1, 1, "nodes"))
        writer.write(Turn(pods, {"shop": (), "lab": ()}, {"": ()}, state))
        yield Shop(kept, str(token), now)
    finally:
        server.close()
        history.close()


def test_breaches_over_a_window(shop: Shop, krm: Krm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, shop.token)
    done = krm("breaches", "-A", "--window", "5m", "-o", "json", "--fail-on", "critical")
    assert done.returncode == 4, done.stderr
    answer = json.loads(done.stdout)
    rows = {(row["pod"], row["resource"]): row for row in answer["rows"]}
    web = rows["web", "memory"]
    assert (web["state"], web["against"], web["peak"], web["now"]) == ("at", "limit", 199 * MIB, 60 * MIB)
    assert web["share"] == pytest.approx(8 / 20, abs=0.03)
    assert web["longest"] == 120.0
    assert web["least_left"] == pytest.approx(1 * MIB)
    assert web["points"]["known"] >= 19
    assert rows["web", "cpu"]["throttled"] == pytest.approx(0.3 * 8 / 20, abs=0.02)
    assert (rows["batch", "cpu"]["against"], rows["batch", "cpu"]["state"]) == ("request", "above")
    sureness = {
        one["about"]["name"]: one["sureness"] for one in answer["findings"] if one["rule"] == "limit-breach"
    }
    assert sureness == {"web": "high"}
    table = krm("breaches", "-n", "shop", "-o", "wide").stdout.splitlines()
    assert table[1].split()[:7] == ["shop", "web", "app", "memory", "at", "limit", "60Mi"]


def test_a_window_that_the_history_does_not_cover(shop: Shop, krm: Krm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, shop.token)
    answer = json.loads(krm("breaches", "-A", "--window", "1h", "-o", "json").stdout)
    # The pods are as old as the history: all of their lives is covered.
    assert answer["worth"]["history_since"] == pytest.approx(shop.now - STEP * STEPS, abs=STEP)
    assert {row["pod"]: row["share"] is None for row in answer["rows"]}["web"] is False
    old = requesting("100m", "64Mi", {"cpu": "1", "memory": "64Mi"}, shop.now - 86400)
    shop.kept.kind("pods", {"shop/web": old})
    (row,) = json.loads(krm("breaches", "-A", "--window", "1h", "-o", "json").stdout)["rows"]
    assert (row["share"], row["longest"], row["peak"], row["points"]) == (None, None, None, None)
    assert row["history_since"] == answer["worth"]["history_since"]
    assert (row["state"], row["now"]) == ("approaching", 60 * MIB)


def test_the_facade_says_the_same(shop: Shop, krm: Krm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, shop.token)
    with connect(shop.kept.url, shop.kept.name, history_token_file=shop.token) as client:
        monitor = K8sResourceMonitor(client)
        found = monitor.detect_limit_breaches(threshold_percent=90, time_window="5m")
        harmed = monitor.find_noisy_neighbours(namespace="shop")
    assert {row.pod for row in found.rows} == {"web", "batch"}
    (row,) = harmed.rows
    assert (row.pod, row.by_pod, row.sureness) == ("api", "batch", "high")
    assert row.waited == pytest.approx(0.4)
    assert row.took == 3000
    assert row.longest == 120.0
    assert "nobody knows who waits" in " ".join(harmed.worth.reasons)  # for memory


def test_neighbours_as_a_table(shop: Shop, krm: Krm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN, shop.token)
    done = krm("neighbours", "--no-headers", "--fail-on", "warning")
    assert done.returncode == 4, done.stderr
    rows: List[List[str]] = [line.split() for line in done.stdout.splitlines()]
    assert rows == [["n1", "cpu", "shop/api/app", "waits", "40%", rows[0][5], "lab/batch/app", "3000m", "high"]]
    assert krm("neighbours", "-n", "lab").stdout == ""
