"""`krm top`: kubectl's columns, what is not known is not 0, and a collector that is away is never fresh."""

from __future__ import annotations

import json
import subprocess
from typing import Any, Callable, Dict, Optional, Tuple

import pytest
from kept_cluster import KeptCluster, pod
from krm.model.measures import Covers, Silence
from krm.store.latest import CollectorState, Measured, Pod, pack_pod
from krm.store.latest_writer import LatestWriter, Turn

Krm = Callable[..., "subprocess.CompletedProcess[str]"]
MIB = 1024 * 1024
STATE = CollectorState("", "", 4.0, (), {"kubelet/resource": "ok"}, (), Covers(2, 2, "nodes"))


def told(cpu: float, memory: float, covers: Optional[Covers] = None, **more: float) -> Tuple[Measured, ...]:
    values = {"cpu/usage_rate": cpu, "memory/working_set": memory * MIB}
    return (Measured("kubelet/resource", 1000.0, 4.0, values, covers), Measured("state", 1000.0, 0.0, _held(more)))


def _held(more: Dict[str, float]) -> Dict[str, float]:
    return {name.replace("__", "/"): value for name, value in more.items()}


def a_turn(state: CollectorState = STATE) -> Turn:
    two = {"app": told(250.4, 100, cpu__request=500.0, memory__limit=200.0 * MIB), "side": told(10, 5)}
    web = Pod("web-0", "u1", "n1", (Measured("state", 1.0, 0.0, {"cpu/request": 600.0}),), two)
    half = Pod("half", "u2", "n2", (), {"app": told(700, 1)}, ("side",))
    packed = {"shop": {one.name: pack_pod(one) for one in (web, half)}}
    nodes = {
        "n1": told(1000, 2048, cpu__node_allocatable=4000.0, memory__node_allocatable=8192.0 * MIB),
        "n2": (Measured("sum", 1.0, 0.0, {"cpu/node_allocatable": 4000.0}),),
        "": told(1000, 2048),
    }
    return Turn(packed, {"shop": told(960.4, 106, Covers(1, 2, "pods"))}, nodes, state)


@pytest.fixture
def writer(kept: KeptCluster) -> LatestWriter:
    kept.kind("pods", {"shop/web-0": pod(app="web"), "shop/half": pod(app="half")})
    made = LatestWriter(kept.database, kept.name)
    assert made.take()
    return made


def rows(done: Any) -> list[list[str]]:
    return [line.split() for line in done.stdout.splitlines()]


def test_pods_nodes_and_containers_as_kubectl_prints_them(writer: LatestWriter, krm: Krm) -> None:
    writer.write(a_turn())
    done = krm("top", "pods", "-n", "shop")
    assert rows(done) == [
        ["NAME", "CPU(cores)", "MEMORY(bytes)"], ["half", "700m", "1Mi"], ["web-0", "261m", "105Mi"],
    ]  # fmt: skip
    assert "half (1 of 2 containers)" in done.stderr
    assert rows(krm("top", "pods", "-A", "--sort-by", "memory"))[1] == ["shop", "web-0", "261m", "105Mi"]
    assert rows(krm("top", "po", "web-0", "-n", "shop", "--containers", "--no-headers")) == [
        ["web-0", "app", "251m", "100Mi"], ["web-0", "side", "10m", "5Mi"],
    ]  # fmt: skip
    assert rows(krm("top", "nodes")) == [
        ["NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"],
        ["n1", "1000m", "25%", "2048Mi", "25%"],
        ["n2", "<unknown>", "<unknown>", "<unknown>", "<unknown>"],
    ]
    assert rows(krm("top", "ns"))[1] == ["shop", "961m", "106Mi"]
    assert rows(krm("top", "pods", "-n", "shop", "--sum"))[-1] == ["961m", "106Mi"]
    wide = rows(krm("top", "pods", "web-0", "-n", "shop", "-o", "wide"))
    assert dict(zip(*wide))["CPU/REQ"] == "43%"
    assert dict(zip(*wide))["NODE"] == "n1"


def test_what_the_runtime_and_a_pods_overhead_use_is_wide_where_an_agent_tells(
    writer: LatestWriter, krm: Krm
) -> None:
    writer.write(a_turn())
    assert "RUNTIME(cores)" not in rows(krm("top", "nodes", "-o", "wide"))[0]
    turn = a_turn()
    runtime = Measured("agent", 1.0, 5.0, {"runtime/cpu_usage_rate": 30.0, "runtime/memory": 90.0 * MIB})
    shims = Measured("agent", 1.0, 5.0, {"runtime/memory": 70.0 * MIB}, None, "containerd-shim")
    reserved = Measured("state", 1.0, 0.0, {"cpu/node_reserved": 80.0, "memory/node_reserved": 100.0 * MIB})
    overhead = Measured("agent", 1.0, 5.0, {"overhead/cpu_usage_rate": 2.0, "overhead/memory": 9.0 * MIB})
    web = Pod("web-0", "u1", "n1", (overhead,), {"app": told(1, 1)})
    nodes = {**turn.nodes, "n1": (*turn.nodes["n1"], runtime, shims, reserved)}
    writer.write(turn._replace(nodes=nodes, pods={"shop": {"web-0": pack_pod(web)}}))
    heads, n1, n2 = rows(krm("top", "nodes", "-o", "wide"))
    names = ("RUNTIME(cores)", "RUNTIME(bytes)", "RESERVED(cores)", "RESERVED(bytes)")
    assert [n1[heads.index(name)] for name in names] == ["30m", "90Mi", "80m", "100Mi"]
    assert [n2[heads.index(name)] for name in names] == ["<unknown>"] * 4
    wide = dict(zip(*rows(krm("top", "pods", "web-0", "-n", "shop", "-o", "wide"))))
    assert (wide["OVERHEAD(cores)"], wide["OVERHEAD(bytes)"]) == ("2m", "9Mi")


def test_a_label_chooses(writer: LatestWriter, krm: Krm) -> None:
    writer.write(a_turn())
    assert [row[0] for row in rows(krm("top", "pods", "-n", "shop", "-l", "app=web"))] == ["NAME", "web-0"]


def test_a_node_without_data_is_told_with_its_reason(writer: LatestWriter, krm: Krm) -> None:
    silence = Silence("node n2", "kubelet/resource", "it refused the connection", 1.0)
    writer.write(a_turn(STATE._replace(nodes=Covers(1, 2, "nodes"), silences=(silence,))))
    done = krm("top", "nodes")
    assert done.returncode == 0
    assert "only 1 of 2 nodes are measured" in done.stderr
    assert "node n2: no data: it refused the connection" in done.stderr


def test_a_collector_that_is_away_or_never_ran_shows_nothing_as_fresh(
    writer: LatestWriter, kept: KeptCluster, krm: Krm
) -> None:
    absent = krm("top", "nodes")
    assert (absent.returncode, absent.stdout) == (3, "")
    assert "no collector runs" in absent.stderr
    writer.write(a_turn())
    key = "krm:{%s}:latest:collector" % kept.name
    link = kept.database.link(key)
    link.call("HSET", key, "beat", str(float(link.call("HGET", key, "beat")) - 100))
    stale = krm("top", "nodes")
    assert (stale.returncode, stale.stdout) == (3, "")
    assert "its newest turn is 10" in stale.stderr
    assert "--stale-ok shows what was measured last" in stale.stderr
    shown = krm("top", "nodes", "--stale-ok")
    assert shown.returncode == 3
    assert rows(shown)[1][0] == "n1"
    assert json.loads(krm("top", "nodes", "-o", "json").stdout)["state"] == "stale"


def test_wrong_words_and_nothing_found(writer: LatestWriter, krm: Krm) -> None:
    writer.write(a_turn())
    assert krm("top", "services").returncode == 2
    assert krm("top", "pods", "--window", "soon").returncode == 2
    none = krm("top", "pods", "nobody", "-n", "shop")
    assert none.returncode == 1
    assert "nobody is not measured" in none.stderr
    assert "no pods are measured here" in krm("top", "pods", "-n", "other").stderr
    assert "nobody is not measured in namespace shop" in none.stderr
    refused = krm("top", "nodes", "--containers")
    assert (refused.returncode, "--containers is of pods" in refused.stderr) == (2, True)
    without = krm("top", "pods", "-n", "shop", "--window", "5m")
    assert without.returncode == 1
    assert "no history" in without.stderr
    assert dict(zip(*rows(without)[:2]))["CPU(cores)"] == "700m"
    assert dict(zip(*rows(without)[:2]))["CPU(avg)"] == "<unknown>"


def test_without_a_live_snapshot_no_row_means_nothing_and_that_is_told(writer: LatestWriter, krm: Krm) -> None:
    sources = {"snapshot of nodes": "no snapshot was read yet", "kubelet/resource": "ok"}
    writer.write(Turn({}, {}, {"": ()}, STATE._replace(sources=sources, nodes=Covers(0, 0, "nodes"))))
    for what in ("nodes", "pods"):
        assert "the snapshot of nodes is not live: no snapshot was read yet" in krm("top", what).stderr
    assert "the snapshot of nodes is not live: no snapshot was read yet" in krm("status").stdout


def test_the_sum_of_nothing_that_is_known_is_not_0(writer: LatestWriter, krm: Krm) -> None:
    dark = Pod("dark", "u3", "n2", (), {}, ("app",))
    writer.write(Turn({"shop": {"dark": pack_pod(dark)}}, {"shop": ()}, {"": ()}, STATE))
    assert rows(krm("top", "pods", "-n", "shop", "--sum"))[-1] == ["<unknown>", "<unknown>"]


def test_a_sum_says_what_it_is_of_and_of_nothing_is_unknown(writer: LatestWriter, krm: Krm) -> None:
    writer.write(a_turn())
    both = krm("top", "nodes", "--sum")
    assert rows(both)[-1] == ["1000m", "2048Mi"]
    assert "the sum is of what is known: 1 of 2 rows are whole" in both.stderr
    assert rows(krm("top", "nodes", "n2", "--sum"))[-1] == ["<unknown>", "<unknown>"]
    assert "the sum" not in krm("top", "nodes", "n1", "--sum").stderr


def test_status_and_doctor_say_whether_it_is_measured(writer: LatestWriter, kept: KeptCluster, krm: Krm) -> None:
    def last() -> str:
        return str(krm("status").stdout.splitlines()[-1])

    assert last().startswith("measurements: absent: no collector runs")
    assert "ok   measurements: absent" in krm("doctor").stdout
    writer.write(a_turn())
    assert last() == "measurements: live; 2 of 2 nodes are measured"
    assert "ok   measurements: live; 2 of 2 nodes are measured" in krm("doctor").stdout
    silence = Silence("node n2", "kubelet/resource", "it refused the connection", 1.0)
    writer.write(a_turn(STATE._replace(nodes=Covers(1, 2, "nodes"), silences=(silence,))))
    lacking = (
        "live; 1 of 2 nodes are measured; no data from 1: node n2 (kubelet/resource: it refused the connection)"
    )
    assert last() == f"measurements: {lacking}"
    assert f"FAIL measurements: {lacking}" in krm("doctor").stdout
    told = json.loads(krm("status", "-o", "json").stdout)["measurements"]
    assert (told["state"], told["nodes"]) == ("live", {"measured": 1, "of": 2})
    assert told["silences"][0]["target"] == "node n2"
    writer.write(a_turn(STATE._replace(agents=Covers(2, 2, "nodes"))))
    assert last() == "measurements: live; 2 of 2 nodes are measured; agents answer on 2 of 2 nodes"
    writer.write(a_turn(STATE._replace(agents=Covers(1, 2, "nodes"))))
    assert (
        "FAIL measurements: live; 2 of 2 nodes are measured; agents answer on 1 of 2 nodes" in krm("doctor").stdout
    )
    writer.write(a_turn(STATE._replace(agents=Covers(0, 2, "nodes"))))
    assert last() == "measurements: live; 2 of 2 nodes are measured"
    writer.write(a_turn(STATE._replace(history=("the disk is full",))))
    assert last() == "measurements: live; 2 of 2 nodes are measured; history: the disk is full"
    assert "FAIL measurements: live" in krm("doctor").stdout
    key = "krm:{%s}:latest:collector" % kept.name
    link = kept.database.link(key)
    link.call("HSET", key, "beat", str(float(link.call("HGET", key, "beat")) - 100))
    assert last().startswith("measurements: stale: the collector is away: its newest turn is 10")
    assert "nodes" not in last()
    away = json.loads(krm("status", "-o", "json").stdout)["measurements"]
    assert (away["state"], away["nodes"]) == ("stale", None)
    assert "FAIL measurements: stale" in krm("doctor").stdout
