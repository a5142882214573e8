"""`krm quota`: the table, exit codes, what is asked wrongly, what is not there."""

from __future__ import annotations

import json
import subprocess
from typing import Any, Callable, List

import pytest
from kept_cluster import KeptCluster, pod
from krm.monitor import K8sResourceMonitor
from paper_findings import quota


def spec(name: str, hard: Any, used: Any = None) -> Any:
    """A quota but for its metadata, which its keeper writes."""
    made = quota(name, hard, used)
    return {"spec": made["spec"], "status": made["status"]}


Krm = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def quotas(kept: KeptCluster) -> KeptCluster:
    kept.kind(
        "resourcequotas",
        {"shop/q": spec("q", {"pods": "10", "limits.memory": "1Gi"}, {"pods": "9", "limits.memory": "1Gi"})},
    )
    kept.kind("pods", {"shop/web-0": pod()})
    kept.kind("namespaces", {"/shop": {}, "/free": {}})
    kept.kind("nodes", {"/n1": {"status": {"allocatable": {"pods": "110"}}}})
    return kept


def test_a_row_a_resource_and_exit_code_4(quotas: KeptCluster, krm: Krm) -> None:
    done = krm("quota", "-A")
    assert [line.split()[:6] for line in done.stdout.splitlines()] == [
        ["NAMESPACE", "QUOTA", "RESOURCE", "USED", "HARD", "USED%"],
        ["shop", "q", "limits.memory", "1Gi", "1Gi", "100%"],
        ["shop", "q", "pods", "9", "10", "90%"],
    ], done
    assert done.returncode == 0
    assert "is used up: 1Gi of 1Gi" in done.stderr
    assert "quota/used of each namespace" in done.stderr  # there is no history, and that is told
    assert krm("quota", "--fail-on", "critical").returncode == 4
    assert krm("quota", "--thresholds", "101,102", "--fail-on", "critical").returncode == 0
    answer = json.loads(krm("quota", "-o", "json").stdout)
    assert answer["rows"][1]["free"] == "1"
    assert answer["quotas"][0]["pods"] == ["web-0"]


@pytest.mark.parametrize(
    "arguments",
    [["--window", "soon"], ["--window", "0s"], ["--thresholds", "x"],
     ["--thresholds", "0"], ["--thresholds", "1,2,3,4,5,6"], ["-o", "html"]],
)  # fmt: skip
def test_wrong_arguments_are_2_and_a_sentence(quotas: KeptCluster, krm: Krm, arguments: List[str]) -> None:
    done = krm("quota", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_nothing_found_and_nothing_there(kept: KeptCluster, krm: Krm) -> None:
    for kind in ("resourcequotas", "namespaces", "pods", "nodes"):
        kept.kind(kind)
    done = krm("quota")
    assert (done.returncode, done.stdout) == (0, "")
    assert "there is no ResourceQuota here" in done.stderr
    gone = krm("quota", "--redis", "unix:///no/such.sock")
    assert (gone.returncode, gone.stdout) == (1, "")
    assert "cannot be reached" in gone.stderr


def test_quotas_that_are_not_live_are_3(quotas: KeptCluster, krm: Krm) -> None:
    quotas.kind("resourcequotas", {"shop/q": spec("q", {"pods": "10"}, {"pods": "9"})}).head(
        watch_error="Forbidden"
    )
    done = krm("quota")
    assert (done.returncode, done.stdout) == (3, "")
    assert krm("quota", "--stale-ok").stdout


def test_the_facade_refuses_wrong_arguments(kept: KeptCluster) -> None:
    monitor: Any = K8sResourceMonitor()
    for wrong in ({"time_window": "1y"}, {"thresholds": "80"}, {"thresholds": ()}, {"thresholds": (0,)}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            monitor.get_quota_usage(**wrong)
