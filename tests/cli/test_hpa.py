"""`krm hpa explain|predict|metrics`: tables, exit codes, what is asked wrongly, what is not there."""

from __future__ import annotations

import json
import subprocess
from typing import Any, Callable, Dict, List

import pytest
from kept_cluster import KeptCluster, pod
from krm.client.errors import BadRequest
from krm.model.measures import Covers
from krm.monitor import K8sResourceMonitor
from krm.store.latest import CollectorState
from krm.store.latest_writer import LatestWriter, Turn

Krm = Callable[..., "subprocess.CompletedProcess[str]"]
HPAS = "horizontalpodautoscalers.autoscaling"


def spec(name: str = "web") -> Dict[str, Any]:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    metric = {"type": "Pods", "pods": {"metric": {"name": "sales"}, "target": {
        "type": "AverageValue", "averageValue": "10"}}}  # fmt: skip
    current = {"type": "Pods", "pods": {"metric": {"name": "sales"}, "current": {"averageValue": "15"}}}
    limited = {"type": "ScalingLimited", "status": "True", "reason": "TooManyReplicas", "message": "too many"}
    return {
        "spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 5, "metrics": [metric]},
        "status": {
            "currentReplicas": 2,
            "desiredReplicas": 2,
            "currentMetrics": [current],
            "conditions": [limited],
        },
    }


@pytest.fixture
def hpas(kept: KeptCluster) -> KeptCluster:
    kept.kind(HPAS, {"shop/web": spec()})
    labelled = {**pod(), "labels": {"app": "web"}}
    kept.kind("pods", {"shop/web-0": labelled, "shop/web-1": labelled})
    web = {"spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}}, "status": {"replicas": 2}}
    kept.kind("deployments.apps", {"shop/web": web})
    writer = LatestWriter(kept.database, kept.name)
    assert writer.take()
    state = CollectorState("", "", 10.0, (), {"kubelet": "ok"}, (), Covers(1, 1, "nodes"))
    writer.write(Turn({}, {}, {}, state))
    return kept


def test_explain_tells_every_hpa_and_the_steps_of_one(hpas: KeptCluster, krm: Krm) -> None:
    done = krm("hpa", "explain", "-A")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["NAMESPACE", "HPA", "TARGET", "REPLICAS", "DESIRED", "HPA", "SAYS", "WHY"]
    assert rows[1][:6] == ["shop", "web", "Deployment/web", "2", "3", "2"], done
    assert done.returncode == 0
    one = krm("hpa", "explain", "web", "-n", "shop")
    assert [line.split()[0] for line in one.stdout.splitlines()] == [
        "STEP", "current", "metric", "result", "differs", "differs",
    ]  # fmt: skip
    assert "the average over 2 pods is 15, the target is 10: ratio 1.5" in one.stdout
    assert krm("hpa", "explain", "--fail-on", "warning").returncode == 4
    assert krm("hpa", "explain", "--fail-on", "critical").returncode == 0
    answer = json.loads(krm("hpa", "explain", "-o", "json").stdout)
    assert answer["rows"][0]["sources"] == {"sales": "the HPA's own status"}


def test_predict_and_metrics_say_what_they_lack(hpas: KeptCluster, krm: Krm) -> None:
    done = krm("hpa", "predict", "-o", "wide")
    assert "no basis" in done.stdout
    assert "is not krm's to know" in done.stdout
    figure = json.loads(krm("hpa", "metrics", "web", "-n", "shop", "-o", "json").stdout)
    assert (figure["value"], figure["metric"], len(figure["rows"])) == (None, "requests_per_second", 2)
    assert figure["why"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["explain", "-o", "html"], "invalid choice"),
        (["guess"], "invalid choice"),
        (["predict", "--horizon", "soon"], "horizon='soon': write Ns, Nm, Nh or Nd"),
        (["metrics"], "of which deployment?"),
        (["metrics", "web", "--metric", "nonsense"],
         "metric_type='nonsense': one of requests_per_second, response_time, queue_depth, cpu, memory, or"),
        (["metrics", "web", "--aggregation", "p42"],
         "aggregation='p42': one of avg, p50, p90, p95, p99, max, sum is meant"),
        (["metrics", "web", "--metric", "response_time", "--aggregation", "sum"], "says nothing: one of avg, p50"),
        (["metrics", "web", "--window", "0s"], "no time at all"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_2_and_name_the_allowed_ones(
    hpas: KeptCluster, krm: Krm, arguments: List[str], sentence: str
) -> None:
    done = krm("hpa", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr


def test_wrong_arguments_are_value_errors(hpas: KeptCluster) -> None:
    monitor = K8sResourceMonitor()
    for wrong in ({"metric_type": "x"}, {"aggregation": "x"}, {"time_window": "x"}, {"deployment": ""}):
        with pytest.raises(ValueError, match=r"is meant|write Ns") as caught:
            monitor.generate_hpa_metrics(**{"deployment": "web", **wrong})
        assert isinstance(caught.value, BadRequest)


def test_nothing_found_and_nothing_there(hpas: KeptCluster, krm: Krm) -> None:
    for what in ("explain", "predict"):
        done = krm("hpa", what, "none", "-A")
        assert (done.returncode, done.stdout) == (0, "")
        assert "there is no such HorizontalPodAutoscaler" in done.stderr
        gone = krm("hpa", what, "--redis", "unix:///no/such.sock")
        assert (gone.returncode, gone.stdout) == (1, "")
        assert "cannot be reached" in gone.stderr


def test_a_copy_that_is_not_live_is_3(hpas: KeptCluster, krm: Krm) -> None:
    hpas.kind(HPAS, {"shop/web": spec()}).head(watch_error="Forbidden")
    done = krm("hpa", "explain")
    assert (done.returncode, done.stdout) == (3, "")
    assert krm("hpa", "explain", "--stale-ok").stdout
