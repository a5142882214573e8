"""`krm report`: every format, exit codes, what is asked wrongly, what is not there."""

from __future__ import annotations

import json
import subprocess
from typing import Callable, Iterator, List

import pytest
from kept_cluster import KeptCluster, pod
from krm.monitor import K8sResourceMonitor
from paper_findings import kept_quota

Krm = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def shop(kept: KeptCluster) -> Iterator[KeptCluster]:
    kept.kind("pods", {"shop/web-0": pod(), "shop/<b>": pod("Pending", ""), "other/x": pod()})
    kept.kind("resourcequotas", {"shop/q": kept_quota("10")})
    kept.kind("namespaces", {"/shop": {}})
    with kept.alive():
        yield kept


def test_every_format(shop: KeptCluster, krm: Krm) -> None:
    text = krm("report", "shop", "--stale-ok")
    assert text.stdout.startswith("Namespace shop, the last 24h\n\nTRUST\n"), text
    assert "web-0" in text.stdout
    assert "pod/x" not in text.stdout
    page = krm("report", "shop", "--stale-ok", "-o", "html").stdout
    assert page.startswith("<!DOCTYPE html>")
    assert "<b>" not in page
    assert krm("report", "shop", "--stale-ok", "-o", "markdown").stdout.startswith("# Namespace shop")
    answer = json.loads(krm("report", "shop", "-o", "json").stdout)
    assert answer["quotas"][0]["used"] == "10"
    assert answer["cost"] is None
    assert answer["totals"][0]["mean"] is None


@pytest.mark.parametrize(
    "arguments",
    [[], ["a", "b"], ["Shop"], ["shop", "--window", "25h"], ["shop", "--window", "x"], ["shop", "-o", "pdf"]],
)
def test_wrong_arguments_are_2_and_a_sentence(shop: KeptCluster, krm: Krm, arguments: List[str]) -> None:
    done = krm("report", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_nothing_found_and_nothing_there(shop: KeptCluster, krm: Krm) -> None:
    done = krm("report", "empty", "--stale-ok")
    assert "no pod is in this namespace" in done.stdout
    assert "namespace empty is not in the cluster" in done.stdout
    gone = krm("report", "shop", "--redis", "unix:///no/such.sock")
    assert (gone.returncode, gone.stdout) == (1, "")
    assert "cannot be reached" in gone.stderr


def test_exit_codes(shop: KeptCluster, krm: Krm) -> None:
    # Nobody measures here: that state is the report's.
    assert krm("report", "shop").returncode == 3
    assert krm("report", "shop").stdout == ""
    assert krm("report", "shop", "--stale-ok").returncode == 3


def test_the_facade_refuses_wrong_arguments() -> None:
    monitor = K8sResourceMonitor()
    with pytest.raises(ValueError, match="namespace"):
        monitor.get_namespace_report("No Such")
    with pytest.raises(ValueError, match="24h at most"):
        monitor.get_namespace_report("shop", "2d")
