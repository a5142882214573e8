"""`krm breaches` and `krm neighbours`: tables, exit codes, what is asked wrongly, what is not there."""

from __future__ import annotations

import json
import subprocess
from typing import Any, Callable, List

import pytest
from kept_cluster import KeptCluster
from krm.model.measures import Covers
from krm.monitor import K8sResourceMonitor
from krm.store.latest import CollectorState, Measured, Pod, pack_pod
from krm.store.latest_writer import LatestWriter, Turn

Krm = Callable[..., "subprocess.CompletedProcess[str]"]
MIB = 1024 * 1024
STATE = CollectorState("", "", 4.0, (), {"kubelet/resource": "ok"}, (), Covers(1, 1, "nodes"))
COMMANDS = ["breaches", "neighbours", "efficiency"]
FULL = {"cpu": "1", "memory": "200Mi"}


def spec(limits: Any) -> Any:
    return {"nodeName": "n1", "containers": [{"name": "app", "resources": {"requests": limits, "limits": limits}}]}


@pytest.fixture
def shop(kept: KeptCluster) -> KeptCluster:
    """One pod at 195 of its 200 MiB now; of the past nothing is known."""
    pending = {"type": "PodResizePending", "status": "True", "reason": "Infeasible", "message": "no such node"}
    status = {"phase": "Running", "startTime": "2026-01-01T00:00:00Z", "conditions": [pending]}
    kept.kind("pods", {"shop/web": {"spec": spec(FULL), "status": status}, "lab/bare": {"spec": spec({})}})
    kept.kind("nodes", {"/n1": {"status": {"allocatable": {"cpu": "4", "memory": "8Gi"}}}})
    writer = LatestWriter(kept.database, kept.name)
    assert writer.take()
    now = seconds_of(kept)
    measured = Measured("kubelet/resource", now, 4.0, {"cpu/usage_rate": 100.0, "memory/working_set": 195.0 * MIB})
    web = Pod("web", "uid-shop/web", "n1", (), {"app": (measured,)})
    writer.write(Turn({"shop": {"web": pack_pod(web)}}, {"shop": ()}, {"": ()}, STATE))
    return kept


def seconds_of(kept: KeptCluster) -> float:
    from krm.store.connect import seconds

    return seconds(kept.database.link().call("TIME"))


def rows(done: Any) -> List[List[str]]:
    return [line.split() for line in done.stdout.splitlines()]


def test_the_newest_values_tell_where_there_is_no_history(shop: KeptCluster, krm: Krm) -> None:
    done = krm("breaches", "-A")
    assert rows(done)[1:] == [
        ["shop", "web", "app", "memory", "approaching", "limit", "195Mi", "200Mi", "-", "-", "5Mi"],
    ], done  # fmt: skip
    assert done.returncode == 0
    assert "cpu/usage_rate of each container: " in done.stderr  # there is no history, and that is told
    assert "a resize is Infeasible" in done.stderr
    assert "lab/bare container app: no cpu request, no memory request" in done.stderr
    assert krm("breaches", "--fail-on", "warning").returncode == 4
    assert krm("breaches", "--fail-on", "critical").returncode == 0
    assert krm("breaches", "-n", "lab", "--no-headers").stdout == ""
    answer = json.loads(krm("breaches", "-n", "shop", "-o", "json").stdout)
    assert (answer["rows"][0]["share"], answer["rows"][0]["points"]) == (None, None)
    assert answer["findings"][0]["sureness"] == "medium"
    assert krm("breaches", "-n", "shop", "-o", "name").stdout.splitlines()[0] == (
        "pod shop/web container app memory"
    )


def test_nobody_is_accused_without_pressure(shop: KeptCluster, krm: Krm) -> None:
    done = krm("neighbours")
    assert (done.returncode, done.stdout) == (0, "")
    assert "nobody knows who waits: n1" in done.stderr
    assert "nobody that is measured was harmed" in done.stderr
    assert "no such node" in krm("neighbours", "--node", "n9").stderr


def test_efficiency_by_level(shop: KeptCluster, krm: Krm) -> None:
    done = krm("efficiency", "-n", "shop", "--by", "cluster")
    assert [row[-5:] for row in rows(done)] == [
        ["REQUESTED", "USED", "USED%", "WASTED", "MEASURED"],
        ["1000m", "100m", "10%", "900m", "1/1"],
        ["200Mi", "195Mi", "98%", "5Mi", "1/1"],
    ]
    assert done.returncode == 0
    assert [row[1] for row in rows(krm("efficiency", "--no-headers"))] == ["pod/bare"] * 2 + ["pod/web"] * 2
    without = krm("efficiency", "-n", "shop", "--by", "namespace", "--window", "1h", "--no-headers")
    assert rows(without)[0] == ["shop", "shop", "cpu", "-", "-", "-", "-", "0/1"]
    assert "there is no history: it does not cover the window" in without.stderr


@pytest.mark.parametrize(
    "arguments",
    [["breaches", "--threshold", "0"], ["breaches", "--threshold", "much"], ["breaches", "--threshold", "1001"],
     ["breaches", "--window", "soon"], ["breaches", "--window", "0s"], ["breaches", "-o", "html"],
     ["breaches", "--fail-on", "ever"], ["neighbours", "--window", "5"], ["neighbours", "n1"],
     ["efficiency", "--by", "shop"], ["efficiency", "--window", "1"]],
)  # fmt: skip
def test_wrong_arguments_are_2_and_a_sentence(shop: KeptCluster, krm: Krm, arguments: List[str]) -> None:
    done = krm(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_found_nothing_there_and_not_live(kept: KeptCluster, krm: Krm, command: str) -> None:
    pods = kept.kind("pods")
    writer = LatestWriter(kept.database, kept.name)
    assert writer.take()
    writer.write(Turn({}, {}, {"": ()}, STATE))
    done = krm(command)
    assert (done.returncode, done.stdout) == (0, ""), done
    gone = krm(command, "--redis", "unix:///no/such.sock")
    assert (gone.returncode, gone.stdout) == (1, "")
    assert "cannot be reached" in gone.stderr
    pods.head(watch_error="Forbidden")
    done = krm(command)
    assert (done.returncode, done.stdout) == (3, "")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(kept: KeptCluster, krm: Krm, command: str) -> None:
    done = krm(command, "--help")
    assert done.returncode == 0
    assert f"krm {command} -n shop" in done.stdout


def test_the_facade_refuses_wrong_arguments() -> None:
    monitor: Any = K8sResourceMonitor()
    for wrong in ({"threshold_percent": "90"}, {"threshold_percent": True}, {"time_window": "5"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            monitor.detect_limit_breaches(**wrong)
    with pytest.raises(ValueError, match="time_window"):
        monitor.find_noisy_neighbours(time_window="1y")
    with pytest.raises(ValueError, match="by='shop': one of container, pod, workload"):
        monitor.get_efficiency(by="shop")


def test_a_namespace_that_is_not_there_is_no_all_is_well(kept: KeptCluster, krm: Krm) -> None:
    kept.kind("pods", {})
    kept.kind("namespaces", {"/shop": {}})
    for command in (("breaches", "-n", "shp"), ("quota", "-n", "shp"), ("pending", "-n", "shp")):
        done = krm(*command)
        assert (done.returncode, done.stdout) == (1, ""), command
        assert "there is no namespace shp" in done.stderr
    assert "no namespace" not in krm("breaches", "-n", "shop", "--stale-ok").stderr
