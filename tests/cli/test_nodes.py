"""`krm nodes`: the tables, exit codes, what is asked wrongly, what is not there."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any, Callable, List

import pytest
from kept_cluster import KeptCluster
from krm.model.kubelets import KubeletConfig, NodeKubelet
from krm.model.measures import Covers
from krm.monitor import K8sResourceMonitor
from krm.store.latest import CollectorState, Measured, pack_pod
from krm.store.latest import Pod as Told
from krm.store.latest_kubelets import pack_kubelet
from krm.store.latest_writer import LatestWriter, Turn
from paper_kubelets import GI, MI, node, pod

Krm = Callable[..., "subprocess.CompletedProcess[str]"]
STATE = CollectorState("", "", 3600.0, (), {}, (), Covers(2, 2, "nodes"))


def parts(body: Any) -> Any:
    return {"spec": body["spec"], "status": body["status"]}


def measured(kept: KeptCluster) -> None:
    """n1 is full of `hungry`, n2 empty."""
    now = time.time()

    def used(value: float) -> Any:
        return (Measured("kubelet/resource", now, 10.0, {"cpu/usage_rate": 500.0, "memory/working_set": value}),)

    told = Told("hungry", "uid-hungry", "n1", (), {"app": used(50 * GI)})
    settings = NodeKubelet("n1", KubeletConfig({"memory.available": "1Gi"}), now)
    writer = LatestWriter(kept.database, kept.name)
    assert writer.take()
    writer.write(
        Turn({"shop": {"hungry": pack_pod(told)}}, {}, {"n1": used(64 * GI - 500 * MI), "n2": used(GI)}, STATE,
             kubelets={"n1": pack_kubelet(settings)})
    )  # fmt: skip


@pytest.fixture
def nodes(kept: KeptCluster) -> KeptCluster:
    kept.kind("nodes", {f"/{name}": parts(node(name)) for name in ("n1", "n2")})
    kept.kind("pods", {"shop/hungry": parts(pod("hungry", "n1", "45Gi"))})
    measured(kept)
    return kept


def test_a_row_a_node_with_its_hint_and_its_eviction(nodes: KeptCluster, krm: Krm) -> None:
    done = krm("nodes")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["NODE", "STATUS", "PRESSURE", "CPU(req/used)", "MEMORY(req/used)", "STORAGE(req/used)", "PODS", "EVICTS",
         "HINT"],
        ["n1", "ready", "100", "0%/3%", "75%/106%", "0%/-", "1/110", "memory.available", "avoid"],
        ["n2", "ready", "3", "0%/3%", "0%/2%", "0%/-", "0/110", "-", "prefer"],
    ], done  # fmt: skip
    assert done.returncode == 0
    assert "node n1 evicts: memory.available is 500Mi, below 1Gi; shop/hungry goes first" in done.stderr
    assert krm("nodes", "--fail-on", "critical").returncode == 4
    wide = krm("nodes", "pressure", "-o", "wide").stdout
    assert "memory.available is below its threshold" in wide


def test_evictions_by_what_a_kubelet_says_and_by_defaults(nodes: KeptCluster, krm: Krm) -> None:
    answer = json.loads(krm("nodes", "evictions", "-o", "json").stdout)
    rows = {(row["node"], row["signal"]): row for row in answer["rows"]}
    one = rows["n1", "memory.available"]
    assert (one["state"], one["own"], one["threshold"]) == ("met", True, GI)
    assert [(each["place"], each["pod"]) for each in one["victims"]] == [(1, "hungry")]
    other = rows["n2", "memory.available"]
    assert (other["state"], other["own"], other["threshold"], other["at"]) == ("steady", False, 100 * MI, None)
    assert any("was not asked" in doubt for doubt in other["doubts"])
    assert rows["n2", "nodefs.available"]["state"] == "unknown"
    table = krm("nodes", "evictions")
    assert table.stdout.splitlines()[1].split()[:5] == ["n1", "memory.available", "500Mi", "1Gi", "met"]
    assert krm("nodes", "evictions", "--fail-on", "warning").returncode == 4
    assert krm("nodes", "evictions", "-o", "name").stdout.split() == ["node", "n1", "memory.available"]


@pytest.mark.parametrize(
    "arguments", [["everything"], ["--window", "soon"], ["evictions", "--window", "0s"], ["-o", "html"]]
)
def test_wrong_arguments_are_2_and_a_sentence(nodes: KeptCluster, krm: Krm, arguments: List[str]) -> None:
    done = krm("nodes", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("what", ["pressure", "evictions"])
def test_nothing_found_and_nothing_there(kept: KeptCluster, krm: Krm, what: str) -> None:
    for kind in ("pods", "nodes"):
        kept.kind(kind)
    nothing = krm("nodes", what, "--stale-ok")
    assert nothing.stdout == ""
    assert nothing.returncode == 3  # no collector runs: what is used is not known
    gone = krm("nodes", what, "--redis", "unix:///no/such.sock")
    assert (gone.returncode, gone.stdout) == (1, "")
    assert "cannot be reached" in gone.stderr


def test_nodes_that_are_not_live_are_3(nodes: KeptCluster, krm: Krm) -> None:
    nodes.kind("nodes", {"/n1": parts(node("n1"))}).head(watch_error="Forbidden")
    assert (krm("nodes").returncode, krm("nodes").stdout) == (3, "")
    assert krm("nodes", "--stale-ok").stdout


def test_the_facade_refuses_wrong_arguments(nodes: KeptCluster) -> None:
    monitor: Any = K8sResourceMonitor()
    for wrong in ({"time_window": "1y"}, {"include_scheduling_hints": "yes"}, {"predict_evictions": 1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            monitor.analyze_node_pressure(**wrong)
    with pytest.raises(ValueError, match="time_window"):
        monitor.predict_evictions(time_window="")
