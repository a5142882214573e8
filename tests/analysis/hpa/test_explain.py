"""Why an HPA did or did not scale: krm's numbers through the controller's turn, held against the HPA's status."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

import pytest
from krm.analysis.hpa.explain import Asked, Explained, answer
from krm.analysis.inputs import Inputs
from krm.model import times
from paper_inputs import MIB, NOW, a_pod, container, inputs, now_of

READY = {"type": "Ready", "status": "True", "lastTransitionTime": times.write(NOW - 3000)}


def web(count: int, **request: str) -> List[Dict[str, Any]]:
    asked = request or {"cpu": "100m", "memory": "100Mi"}
    return [
        a_pod(f"web-{number}", container("app", asked), labels={"app": "web"}, status={"conditions": [READY]})
        for number in range(count)
    ]


def deployment(replicas: int) -> Dict[str, Any]:
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}}
    return {"metadata": {"namespace": "shop", "name": "web"}, "spec": spec, "status": {"replicas": replicas}}


def cpu(target: int = 50) -> Dict[str, Any]:
    return {"type": "Resource", "resource": {"name": "cpu", "target": {
        "type": "Utilization", "averageUtilization": target}}}  # fmt: skip


def rps(target: str = "10", name: str = "requests_per_second") -> Dict[str, Any]:
    return {"type": "Pods", "pods": {"metric": {"name": name}, "target": {
        "type": "AverageValue", "averageValue": target}}}  # fmt: skip


def hpa(*metrics: Dict[str, Any], status: Optional[Dict[str, Any]] = None, **spec: Any) -> Dict[str, Any]:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    whole = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 10, "metrics": list(metrics), **spec}
    return {"metadata": {"namespace": "shop", "name": "web"}, "spec": whole, "status": status or {}}


def condition(name: str, status: str, reason: str) -> Dict[str, str]:
    return {"type": name, "status": status, "reason": reason, "message": f"because of {reason}"}


def world(body: Dict[str, Any], pods: Sequence[Dict[str, Any]], newest: Sequence[Any], **more: Any) -> Inputs:
    kinds: Dict[str, Any] = {"horizontalpodautoscalers__autoscaling": [body], "deployments__apps": more.pop(
        "deployments", [deployment(len(pods))])}  # fmt: skip
    return inputs(pods, None, newest, **{**kinds, **more})


def one(given: Inputs) -> Explained:
    found = answer(given, Asked("shop", "web"))
    return found.rows[0]


def test_cpu_of_krms_own_kubelets_is_reckoned_as_the_controller_does() -> None:
    newest = [now_of(f"web-{number}", "app", cpu=90.0, memory=50 * MIB) for number in range(4)]
    row = one(world(hpa(cpu()), web(4), newest))
    assert (row.current, row.desired, row.sources) == (4, 8, {"cpu": "krm's own measurements"})
    assert [step.what for step in row.steps] == ["current", "metric", "result"]
    assert "usage is 90 % of the request, the target is 50 %: ratio 1.8" in row.steps[1].why
    assert row.steps[-1].why.startswith("is to scale from 4 to 8: cpu resource utilization")


def test_a_custom_series_of_krm() -> None:
    newest = [now_of(f"web-{number}", "", app__request_rate=15.0) for number in range(2)]
    row = one(world(hpa(rps()), web(2), newest))
    assert (row.desired, row.sources) == (3, {"requests_per_second": "krm's own measurements"})


def test_a_metric_that_krm_does_not_have_is_taken_from_the_status() -> None:
    current = {"type": "External", "external": {"metric": {"name": "sqs"}, "current": {"averageValue": "30"}}}
    metric = {"type": "External", "external": {"metric": {"name": "sqs"}, "target": {
        "type": "AverageValue", "averageValue": "10"}}}  # fmt: skip
    row = one(world(hpa(metric, status={"currentMetrics": [current]}), web(2), []))
    assert (row.desired, row.sources) == (4, {"sqs": "the HPA's own status"})
    assert "the rate of change allows at most 4 from 2" in row.steps[-2].why
    unknown = one(world(hpa(metric), web(2), []))
    assert (unknown.desired, unknown.sources) == (None, {"sqs": "nobody"})
    assert "krm does not know sqs, and the HPA tells of no value" in unknown.reason


def test_what_the_hpa_says_otherwise_is_told() -> None:
    newest = [now_of(f"web-{number}", "app", cpu=90.0) for number in range(4)]
    current = {"type": "Resource", "resource": {"name": "cpu", "current": {
        "averageUtilization": 50, "averageValue": "50m"}}}  # fmt: skip
    status = {
        "desiredReplicas": 4,
        "currentMetrics": [current],
        "conditions": [
            condition("ScalingActive", "True", "ValidMetricFound"),
            condition("ScalingLimited", "True", "TooFewReplicas"),
        ],
    }
    found = answer(world(hpa(cpu(), status=status), web(4), newest), Asked("shop", "web"))
    told = {one.what: (one.hpa, one.krm) for one in found.rows[0].differences}
    assert told == {
        "desired replicas": ("4", "8"), "averageUtilization of cpu": ("50", "90"),
        "averageValue of cpu": ("0.05", "0.09"),
        "ScalingLimited": ("True TooFewReplicas", "False DesiredWithinRange"),
    }  # fmt: skip
    finding = found.findings[0]
    assert (finding.rule, finding.severity, len(finding.evidence)) == ("hpa-differs", "info", 3)
    assert any("differs" in line for line in str(found).splitlines())


def test_an_hpa_that_is_held_by_what_was_asked_for_before() -> None:
    newest = [now_of(f"web-{number}", "app", cpu=10.0) for number in range(4)]
    status = {"desiredReplicas": 4, "conditions": [condition("AbleToScale", "True", "ScaleDownStabilized")]}
    row = one(world(hpa(cpu(), status=status), web(4), newest))
    assert (row.desired, row.differences) == (4, ())
    assert "4 was asked for within the last 300 s: 4 instead of 1" in row.steps[2].why
    assert one(world(hpa(cpu()), web(4), newest)).desired == 1


def test_what_its_controller_remembers_is_no_number_where_nobody_knows_it() -> None:
    newest = [now_of(f"web-{number}", "app", cpu=50.0) for number in range(4)]
    conditions = [condition("AbleToScale", "True", "ScaleDownStabilized"),
                  condition("ScalingLimited", "True", "TooManyReplicas")]  # fmt: skip
    row = one(
        world(hpa(cpu(), maxReplicas=4, status={"desiredReplicas": 4, "conditions": conditions}), web(4), newest)
    )
    assert (row.desired, row.differences) == (4, ())
    behaviour = [step for step in row.steps if step.what == "behaviour"]
    assert [(step.replicas, "more than maxReplicas" in step.why) for step in behaviour] == [(4, True)]
    assert not any(step.replicas == 5 for step in row.steps)


@pytest.mark.parametrize(
    ("name", "status", "reason", "rule", "severity"),
    [
        ("AbleToScale", "False", "FailedGetScale", "hpa-unable", "critical"),
        ("ScalingActive", "False", "FailedGetResourceMetric", "hpa-inactive", "warning"),
        ("ScalingLimited", "True", "TooManyReplicas", "hpa-at-maximum", "warning"),
        ("ScalingLimited", "True", "ScaleUpLimit", "", ""),
        ("AbleToScale", "True", "ReadyForNewScale", "", ""),
    ],
)
def test_conditions_are_findings(name: str, status: str, reason: str, rule: str, severity: str) -> None:
    body = hpa(cpu(), status={"conditions": [condition(name, status, reason)]})
    found = answer(world(body, web(2), []), Asked(None, ""))
    assert [(one.rule, one.severity) for one in found.findings] == ([(rule, severity)] if rule else [])


def test_the_last_scaling_is_in_the_controllers_words() -> None:
    about = {"kind": "HorizontalPodAutoscaler", "namespace": "shop", "name": "web"}
    events = [
        {"reason": "SuccessfulRescale", "involvedObject": about, "message": text, "lastTimestamp": times.write(at)}
        for at, text in ((NOW - 900, "New size: 9"), (NOW - 60, "New size: 4; reason: x above target"))
    ]
    status = {"desiredReplicas": 4, "lastScaleTime": times.write(NOW - 60)}
    given = world(hpa(cpu(), status=status), web(4), [], events=events)
    row = one(given)
    assert (row.last_scaled, row.last_scaling) == (NOW - 60, "New size: 4; reason: x above target")
    assert "last scaling   4" in str(answer(given, Asked("shop", "web")))


def test_what_cannot_be_known_is_said() -> None:
    gone = one(world(hpa(cpu()), web(2), [], deployments=[]))
    assert (gone.current, gone.desired) == (None, None)
    assert gone.reason == "krm does not know Deployment web: it is not there, or not kept"
    silent = one(world(hpa(cpu()), web(2), []))
    assert silent.desired is None
    assert "no decision: 1 of 1 metrics are not known" in silent.steps[-1].why


@pytest.mark.parametrize("field", ["spec", "status", "metadata"])
def test_a_malformed_hpa_does_not_stop_the_others(field: str) -> None:
    bad = {**hpa(cpu()), field: 5}
    given = world(hpa(cpu()), web(2), [])
    given.state.kinds["horizontalpodautoscalers.autoscaling"] = [bad, hpa(cpu())]  # type: ignore[index]
    assert len(answer(given, Asked(None, "")).rows) == 2
