"""`krm processes` and `krm kills`: who runs and who was killed, and in whose words what is missing is told."""

from __future__ import annotations

import json
import subprocess
from typing import Any, Callable, List

import pytest
from kept_cluster import KeptCluster, pod
from krm.store.keys import latest_key
from krm.store.latest_seen import NO_AGENT, NodeProcesses
from seen_in_redis import N1, write

Krm = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def kept_pods(kept: KeptCluster) -> KeptCluster:
    kept.kind("pods", {"shop/web-0": pod(app="web")})
    return kept


def rows(done: Any) -> List[List[str]]:
    return [line.split() for line in done.stdout.splitlines()]


def test_processes_of_pods_and_of_the_host(kept_pods: KeptCluster, krm: Krm) -> None:
    write(kept_pods.database, kept_pods.name)
    done = krm("processes", "-n", "shop")
    assert rows(done) == [
        ["POD", "CONTAINER", "PID", "PROCESS", "CPU(cores)", "MEMORY(bytes)"],
        ["web-0", "-", "4700", "pause", "0m", "500Ki"],
        ["web-0", "web", "4711", "nginx", "251m", "64Mi"],
        ["web-0", "web", "4712", "worker^[[31m", "<unknown>", "600Ki"],
    ]
    assert done.returncode == 0
    assert "agents tell of processes of 1 of 4 nodes" in done.stderr
    assert "nodes w1, w2: no agent: it runs Windows" in done.stderr
    assert [row[3] for row in rows(krm("processes", "-A", "--sort-by", "memory", "--no-headers"))] == [
        "4711", "5000", "4712", "4700",
    ]  # fmt: skip
    assert [row[3] for row in rows(krm("processes", "-A", "--sort-by", "cpu", "--no-headers"))] == [
        "4711", "5000", "4700", "4712",
    ]  # fmt: skip
    assert rows(krm("processes", "--host"))[1] == ["n1", "900", "kubelet", "32m", "90Mi"]
    done = krm("processes", "--host", "-o", "wide")
    assert "in container dead00beef00" in done.stdout
    assert "not seen by agents (n1): io of processes: it needs CAP_SYS_PTRACE" in done.stderr
    wide = krm("processes", "--pod", "web-0", "-n", "shop", "-o", "wide").stdout.splitlines()
    assert "INSIDE" in wide[0]
    assert "pause" in wide[1]
    assert "init" in wide[2]
    found = json.loads(krm("processes", "-A", "-o", "json").stdout)
    assert found["gaps"][1] == {"node": "w1", "state": "no agent", "why": "it runs Windows"}
    assert len(found["rows"]) == 4


def test_kills(kept_pods: KeptCluster, krm: Krm) -> None:
    write(kept_pods.database, kept_pods.name)
    done = krm("kills", "-A")
    assert [row[1:] for row in rows(done)] == [
        ["NAMESPACE", "POD", "CONTAINER", "PROCESS", "MEMORY(bytes)", "CAUSE", "ENDED"],
        ["shop", "web-0", "web", "worker", "248Mi", "container", "limit", "256Mi", "no"],
        ["-", "-", "-", "backup", "1Mi", "node-wide", "<unknown>"],
        ["lab", "job", "run", "<unknown>", "<unknown>", "<unknown>", "yes"],
    ]
    assert done.returncode == 0
    assert len(rows(krm("kills", "-n", "shop", "--no-headers"))) == 1
    wide = krm("kills", "-A", "-o", "wide").stdout
    assert "working set 255Mi, waiting 31%, node has 6144Mi" in wide
    assert "kernel log, cgroup" in wide
    assert "(within 15s)" in wide
    assert json.loads(krm("kills", "-A", "-o", "json").stdout)["rows"][0]["process"] == "worker"
    done = krm("kills", "-n", "elsewhere")
    assert (done.stdout, done.returncode) == ("", 0)
    assert "no OOM kills of the last day are known here" in done.stderr


def test_empty_states(kept_pods: KeptCluster, krm: Krm) -> None:
    for command in ("processes", "kills"):
        done = krm(command)
        assert (done.stdout, done.returncode) == ("", 3)
        assert "no collector runs" in done.stderr
    why = "no agent runs on it: there is no krm-agent pod in namespace krm"
    writer = write(kept_pods.database, kept_pods.name, [NodeProcesses("n1", NO_AGENT, why)], [])
    for command, code in (("processes", 3), ("kills", 0)):
        done = krm(command)
        assert (done.stdout, done.returncode) == ("", code)
        assert "no agent runs: nobody tells of" in done.stderr
        assert why in done.stderr
    assert krm("processes", "--pod", "web-0", "-n", "shop").returncode == 3
    writer.give_up()
    write(kept_pods.database, kept_pods.name, [N1], [])
    done = krm("processes", "--pod", "nosuch", "-n", "shop")
    assert done.returncode == 1
    assert "no process of pod nosuch is known in namespace shop" in done.stderr
    assert krm("processes", "--host", "-n", "shop").returncode == 2


def test_a_collector_that_is_away_is_never_fresh(kept_pods: KeptCluster, krm: Krm) -> None:
    write(kept_pods.database, kept_pods.name, [N1])
    key = latest_key(kept_pods.name, "collector")
    link = kept_pods.database.link(key)
    link.call("HSET", key, "beat", str(float(link.call("HGET", key, "beat")) - 3 * 3600))
    done = krm("processes", "-A")
    assert (done.stdout, done.returncode) == ("", 3)
    assert "--stale-ok" in done.stderr
    done = krm("processes", "-A", "--stale-ok")
    assert done.returncode == 3
    assert len(rows(done)) == 5
