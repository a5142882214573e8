"""`krm recommend`: the table, patches, exit codes, wrong arguments, what is not there; from a real history."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any, Callable, Iterator, List, cast

import pytest
import yaml
from kept_cluster import KeptCluster
from krm.collector import certificate
from krm.collector.endpoint import Server
from krm.model.measures import Covers, Sample, Subject
from krm.monitor import K8sResourceMonitor
from krm.store.history.backup import copied
from krm.store.history.local import LocalHistory
from krm.store.history.summing import Summing
from krm.store.latest import CollectorState
from krm.store.latest_writer import LatestWriter, Turn

Krm = Callable[..., "subprocess.CompletedProcess[str]"]
MIB = 1024.0 * 1024.0
HOURS = 14
RESOURCES = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}
APP = {"name": "app", "resources": RESOURCES}


def load(history: LocalHistory, now: float) -> None:
    """Fourteen hours of 100 millicores and 200 MiB, that end now."""
    app = Subject("shop", "web-0", "u1", "app", "n1")
    at = now - HOURS * 3600
    while at < now:
        at += 15.0
        values = {"cpu/usage_rate": 100.0, "memory/working_set": 200 * MIB}
        history.record([Sample(app, at, values, "kubelet/resource", 15.0)], at)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recorded") / "history"
    history = LocalHistory(str(path))
    load(history, time.time())
    history.close()
    return path


@pytest.fixture
def sized(
    kept: KeptCluster, krm: Krm, recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[KeptCluster]:
    """krm: whose environment is cleared first."""
    token = tmp_path / "token"
    token.write_text("t\n")
    monkeypatch.setenv("KRM_HISTORY_TOKEN_FILE", str(token))
    history = LocalHistory(str(recorded))
    server = Server(Summing(history), lambda: copied(str(recorded)), "t", certificate.made(), ("127.0.0.1", 0))
    writer = LatestWriter(kept.database, kept.name)
    assert writer.take()
    state = CollectorState(server.address, server.digest, 4.0, (), {}, (), Covers(1, 1, "nodes"))
    writer.write(Turn({}, {}, {"": ()}, state))
    owner = [{"kind": "ReplicaSet", "apiVersion": "apps/v1", "name": "web-5d4f8c7b9", "controller": True}]
    metadata = {"namespace": "shop", "name": "web-0", "uid": "u1", "resourceVersion": "7", "ownerReferences": owner}
    labels = {"pod-template-hash": "5d4f8c7b9"}
    spec = {"nodeName": "n1", "containers": [APP]}
    kept.kind(
        "pods",
        {"shop/web-0": {"metadata": {**metadata, "labels": labels}, "spec": spec, "status": {"phase": "Running"}}},
    )
    web = {"namespace": "shop", "name": "web", "uid": "u2", "resourceVersion": "8", "labels": {"app": "web"}}
    template = {"spec": {"containers": [APP]}}
    kept.kind("deployments.apps", {"shop/web": {"metadata": web, "spec": {"replicas": 1, "template": template}}})
    allocatable = {"cpu": "4", "memory": "8Gi", "pods": "110"}
    kept.kind("nodes", {"/n1": {"status": {"allocatable": allocatable}}})
    for kind in ("limitranges", "resourcequotas"):
        kept.kind(kind)
    yield kept
    writer.give_up()
    writer.close()
    server.close()
    history.close()


def test_the_table_and_exit_code_4(sized: KeptCluster, krm: Krm) -> None:
    done = krm("recommend", "-n", "shop")
    assert done.returncode == 0, done
    heading, row = done.stdout.splitlines()
    assert heading.split()[:3] == ["NAMESPACE", "WORKLOAD", "CONTAINER"]
    assert " ".join(row.split()).startswith("shop deployment/web app 1 -> 115m - 1Gi -> 210Mi 1Gi -> 270Mi +12."), (
        row
    )
    assert "asks for 1 of cpu, 115m are enough" in done.stderr
    assert krm("recommend", "-n", "shop", "--fail-on", "info").returncode == 4
    answer = json.loads(krm("recommend", "-A", "-o", "json").stdout)
    (found,) = answer["rows"]
    assert found["backtest"]["kills"] == 0
    assert found["backtest"]["held_out_hours"] > 0
    assert found["proven"] == ["1 pods fit on n1, 1 beside the old ones"]


def test_patches_are_what_kubectl_takes(sized: KeptCluster, krm: Krm) -> None:
    done = krm("recommend", "-n", "shop", "-o", "patch")
    (patch,) = yaml.safe_load_all(done.stdout)
    resources = {"requests": {"cpu": "115m", "memory": "210Mi"}, "limits": {"memory": "270Mi"}}
    assert patch == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"template": {"spec": {"containers": [{"name": "app", "resources": resources}]}}},
    }
    made = yaml.safe_load(krm("recommend", "-n", "shop", "-o", "kustomize").stdout)
    assert made["kind"] == "Kustomization"
    (one,) = made["patches"]
    assert one["target"]["kind"] == "Deployment"
    assert yaml.safe_load(one["patch"]) == patch


def test_the_selector_and_strategies(sized: KeptCluster, krm: Krm) -> None:
    assert "deployment/web" in krm("recommend", "-n", "shop", "-l", "app=web").stdout
    other = krm("recommend", "-n", "shop", "-l", "app=db")
    assert (other.returncode, other.stdout) == (0, "")
    assert "there is no workload here" in other.stderr
    assert "1 -> 126m" in krm("recommend", "-n", "shop", "--strategy", "vpa").stdout
    assert "1Gi -> 230Mi" in krm("recommend", "-n", "shop", "--strategy", "krr").stdout


@pytest.mark.parametrize(
    "arguments", [["--target", "cheap"], ["--strategy", "guess"], ["-l", "=b"], ["-o", "html"]]
)
def test_wrong_arguments_are_2_and_a_sentence(sized: KeptCluster, krm: Krm, arguments: List[str]) -> None:
    done = krm("recommend", *arguments)
    assert (done.returncode, done.stdout) == (2, ""), done
    assert "Traceback" not in done.stderr


def test_nothing_found_and_nothing_there(kept: KeptCluster, krm: Krm) -> None:
    kept.kind("pods")
    done = krm("recommend")
    assert (done.returncode, done.stdout) == (0, ""), done
    assert "there is no workload here" in done.stderr
    gone = krm("recommend", "--redis", "unix:///no/such.sock")
    assert (gone.returncode, gone.stdout) == (1, "")
    assert "cannot be reached" in gone.stderr


def test_advice_on_a_past_that_nobody_can_tell_is_none(kept: KeptCluster, krm: Krm) -> None:
    """Workloads are known, and no collector is there to say what they use."""
    kept.kind("pods", {"shop/web-0": {"spec": {"containers": [APP]}, "status": {"phase": "Running"}}})
    done = krm("recommend", "-A")
    assert (done.returncode, done.stdout) == (3, ""), done
    assert "no collector" in done.stderr


def test_what_is_not_live_is_3_and_no_patch(sized: KeptCluster, krm: Krm) -> None:
    sized.kind("pods", {"shop/web-0": {"spec": {"containers": [APP]}}}).head(watch_error="Forbidden")
    for more in ([], ["-o", "patch"], ["-o", "kustomize"]):
        done = krm("recommend", "-n", "shop", *more)
        assert (done.returncode, done.stdout) == (3, ""), done
        assert "--stale-ok shows it" in done.stderr
    assert "pod/web-0" in krm("recommend", "-n", "shop", "--stale-ok").stdout


def test_the_facade_refuses_wrong_arguments() -> None:
    monitor: Any = K8sResourceMonitor(cast(Any, object()))
    for wrong in ({"optimization_target": "cheap"}, {"strategy": "guess"}, {"selector": "=b"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            monitor.get_resource_recommendations(**wrong)
