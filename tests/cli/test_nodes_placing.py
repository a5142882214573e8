"""`krm nodes fragmentation` and `krm nodes drain`: tables, exit codes, wrong arguments, and what is not there."""

from __future__ import annotations

import json
import subprocess
from typing import Any, Callable, List

import pytest
from kept_cluster import KeptCluster
from krm.client.client import connect
from krm.client.errors import BadRequest
from krm.monitor import K8sResourceMonitor
from oracles.scheduler import bodies

Krm = Callable[..., "subprocess.CompletedProcess[str]"]


def parts(body: Any) -> Any:
    """But for its metadata, which its keeper writes."""
    return {name: part for name, part in body.items() if name != "metadata"}


@pytest.fixture
def nodes(kept: KeptCluster) -> KeptCluster:
    """n1 has 1 core left of 4, n2 has 3; nobody owns the pods."""
    kept.kind("nodes", {"/n1": parts(bodies.node("n1")), "/n2": parts(bodies.node("n2"))})
    kept.kind("pods", {
        "shop/web": parts(bodies.pod(on="n1", requests={"cpu": "3"})),
        "shop/db": parts(bodies.pod(on="n2", requests={"cpu": "1"})),
    })  # fmt: skip
    return kept


def test_fragmentation(nodes: KeptCluster, krm: Krm) -> None:
    """Typical pods ask for 3 and for 1: half of n1's core is too small, and nothing of n2's three."""
    done = krm("nodes", "fragmentation")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["NODE", "RESOURCE", "FREE", "FRAGMENTED", "SHARE"],
        ["(all)", "cpu", "4", "500m", "12%"],
        ["n1", "cpu", "1", "500m", "50%"],
        ["n2", "cpu", "3", "0", "0%"],
    ], done
    assert done.returncode == 0
    shapes = krm("nodes", "fragmentation", "--by", "shape", "--no-headers").stdout.splitlines()
    assert [line.split()[-7:] for line in shapes] == [
        ["cpu=1", "1", "50%", "4", "2", "cpu=3", "n2"],
        ["cpu=3", "1", "50%", "1", "1", "cpu=3", "n2"],
    ]


def test_a_shape_that_fits_nowhere_is_a_finding(nodes: KeptCluster, krm: Krm) -> None:
    done = krm("nodes", "fragmentation", "--shape", "cpu=4", "--fail-on", "info")
    assert done.returncode == 4
    assert "no node takes one more pod like cpu=4; the largest of its proportions that fits is cpu=3" in done.stderr


def test_drain(nodes: KeptCluster, krm: Krm) -> None:
    done = krm("nodes", "drain", "n1", "--fail-on", "warning")
    assert [line.split()[:4] for line in done.stdout.splitlines()] == [
        ["NAMESPACE", "POD", "FATE", "TO"],
        ["shop", "web", "lost", "-"],
    ], done
    assert done.returncode == 4
    assert "nodes may be" not in done.stderr
    answer = json.loads(krm("nodes", "drain", "n1", "-o", "json").stdout)
    assert (answer["node"], answer["fits"]) == ("n1", True)


@pytest.mark.parametrize("arguments", [
    ["drain"], ["drain", "n9"], ["fragmentation", "n1"], ["pressure", "n1"], ["fragmentation", "--by", "pod"],
    ["fragmentation", "--shape", "cpu"], ["fragmentation", "--shape", "cpu=0"], ["drain", "n1", "n2"],
])  # fmt: skip
def test_wrong_arguments_are_2_and_a_sentence(nodes: KeptCluster, krm: Krm, arguments: List[str]) -> None:
    done = krm("nodes", *arguments)
    assert (done.returncode, done.stdout) == (2, ""), done
    assert "Traceback" not in done.stderr


def test_nothing_found_and_nothing_there(kept: KeptCluster, krm: Krm) -> None:
    kept.kind("nodes", {"/n1": parts(bodies.node("n1"))})
    kept.kind("pods")
    for arguments, why in ((["fragmentation"], "no typical shape"), (["drain", "n1"], "no pod is on this node")):
        done = krm("nodes", *arguments)
        assert (done.returncode, done.stdout) == (0, ""), done
        assert why in done.stderr
        gone = krm("nodes", *arguments, "--redis", "unix:///no/such.sock")
        assert (gone.returncode, gone.stdout) == (1, "")
        assert "cannot be reached" in gone.stderr


def test_nodes_that_are_not_live_are_3(nodes: KeptCluster, krm: Krm) -> None:
    nodes.kind("nodes", {"/n1": parts(bodies.node("n1"))}).head(watch_error="Forbidden")
    for arguments in (["fragmentation"], ["drain", "n1"]):
        assert krm("nodes", *arguments).returncode == 3


def test_the_facade_refuses_wrong_arguments(nodes: KeptCluster) -> None:
    with connect(nodes.url) as client:
        monitor: Any = K8sResourceMonitor(client)
        for call, wrong in (
            (monitor.analyze_fragmentation, {"by": "pod"}),
            (monitor.analyze_fragmentation, {"shapes": "cpu=1"}),
            (monitor.analyze_fragmentation, {"shapes": ["cpu=x"]}),
            (monitor.check_drain, {"node": ""}),
            (monitor.check_drain, {"node": "n9"}),
        ):
            with pytest.raises(BadRequest):
                call(**wrong)
        assert monitor.analyze_fragmentation(shapes=["cpu=1"]).shapes[0].fits == 4
