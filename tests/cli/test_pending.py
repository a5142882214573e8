"""`krm pending`: the table, one pod node by node, exit codes, wrong arguments, and what is not there."""

from __future__ import annotations

import json
import subprocess
from typing import Any, Callable

import pytest
from kept_cluster import KeptCluster
from oracles.scheduler import bodies

Krm = Callable[..., "subprocess.CompletedProcess[str]"]


def kept_body(body: Any) -> Any:
    """But for its metadata, which its keeper writes."""
    parts = {name: part for name, part in body.items() if name != "metadata"}
    return {**parts, "labels": body["metadata"]["labels"]}


@pytest.fixture
def waiting(kept: KeptCluster) -> KeptCluster:
    kept.kind(
        "nodes", {"/n1": kept_body(bodies.node("n1")), "/n2": kept_body(bodies.node("n2", unschedulable=True))}
    )
    kept.kind("pods", {
        "shop/web": kept_body(bodies.pod(requests={"cpu": "8"})),
        "shop/db": kept_body(bodies.pod(on="n1")),
        "mail/in": kept_body(bodies.pod(requests={"cpu": "3"})),
    })  # fmt: skip
    return kept


def test_each_pod_that_waits_and_what_would_place_it(waiting: KeptCluster, krm: Krm) -> None:
    done = krm("pending", "-A")
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["NAMESPACE", "POD"], ["mail", "in"], ["shop", "web"]], done
    assert "1 Insufficient cpu, 1 node(s) were unschedulable" in lines[2]
    assert "lower its request of cpu from 8 to 4: then n1 holds it" in lines[2]
    assert "and fits on n1 as things are now" in done.stderr
    assert done.returncode == 0
    assert "poddisruptionbudgets.policy" in done.stderr  # not kept, and that is told
    assert "persistentvolumes" not in done.stderr  # no pod that waits has a claim
    assert krm("pending", "-n", "shop", "--fail-on", "warning").returncode == 4
    assert krm("pending", "-n", "shop", "--fail-on", "critical").returncode == 0


def test_one_pod_node_by_node(waiting: KeptCluster, krm: Krm) -> None:
    done = krm("pending", "web", "-n", "shop", "--no-headers")
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        ["n1", "NodeResourcesFit"],
        ["n2", "NodeUnschedulable"],
    ]
    answer = json.loads(krm("pending", "web", "-n", "shop", "-o", "json").stdout)
    assert answer["rows"][0]["message"].startswith("0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were")
    assert answer["findings"][0]["evidence"][1]["value"] == 1.0
    assert krm("pending", "web", "-n", "shop", "-o", "name").stdout == "pod shop/web\n"


@pytest.mark.parametrize("arguments", [["a", "b"], ["-o", "html"], ["--fail-on", "some"]])
def test_wrong_arguments_are_2(waiting: KeptCluster, krm: Krm, arguments: Any) -> None:
    done = krm("pending", *arguments)
    assert (done.returncode, done.stdout) == (2, "")


def test_nothing_found_and_nothing_there(waiting: KeptCluster, krm: Krm) -> None:
    for arguments, why in (
        (["-n", "other"], "no pod waits for a node"),
        (["db", "-n", "shop"], "no such pod waits"),
    ):
        done = krm("pending", *arguments)
        assert (done.returncode, done.stdout) == (0, "")
        assert why in done.stderr
    gone = krm("pending", "--redis", "unix:///no/such.sock")
    assert (gone.returncode, gone.stdout) == (1, "")
    assert "cannot be reached" in gone.stderr


def test_nodes_that_may_not_be_read_are_no_answer(kept: KeptCluster, krm: Krm) -> None:
    kept.kind("pods", {"shop/web": kept_body(bodies.pod())})
    done = krm("pending")
    assert (done.returncode, done.stdout) == (1, "")
    assert "nodes" in done.stderr


def test_pods_that_are_not_live_are_3(waiting: KeptCluster, krm: Krm) -> None:
    waiting.kind("pods", {"shop/web": kept_body(bodies.pod(requests={"cpu": "8"}))}).head(watch_error="Forbidden")
    assert krm("pending").returncode == 3
