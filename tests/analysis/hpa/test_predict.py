"""The next scaling: at the moment and to the size that a known load leads to, or `no basis`."""

from __future__ import annotations

import random
from typing import Any, Dict, List, Sequence

import pytest
from analysis.hpa.test_explain import cpu, deployment, hpa, rps, web
from krm.analysis.hpa.load import needed
from krm.analysis.hpa.predict import Asked, Prediction, answer
from krm.analysis.hpa.spec import read_spec
from krm.analysis.inputs import Track
from krm.model.measures import Subject
from paper_inputs import NOW, STEP, inputs

HOURS = 6
RATE = ("app/request_rate", "pod")


def track(values: Sequence[float], pod: str = "web-7d4b9c6f5-x2x9z") -> Track:
    ends = [NOW - STEP * (len(values) - 1 - place) for place in range(len(values))]
    return Track(Subject("shop", pod, "", "", "n1"), ends, list(values))


def predicted(values: Sequence[float], replicas: int = 4, horizon: float = 3600.0, **spec: Any) -> Prediction:
    metrics = spec.pop("metrics", [rps()])
    body = hpa(*metrics, **spec)
    given = inputs(
        web(replicas), {RATE: [track(values)]}, window=24 * 3600.0,
        horizontalpodautoscalers__autoscaling=[body], deployments__apps=[deployment(replicas)],
    )  # fmt: skip
    points = tuple(needed(read_spec(body).metrics))
    return answer(given, Asked("shop", "web", horizon, points)).rows[0]


def line(last: float, an_hour: float, noise: float = 0.5, seed: int = 1) -> List[float]:
    """Six hours of a load that is `last` now and grows by `an_hour`."""
    source, count = random.Random(seed), int(HOURS * 3600 / STEP)
    return [last - an_hour * (count - 1 - place) * STEP / 3600 + source.gauss(0, noise) for place in range(count)]


def test_a_load_that_grows_scales_when_it_leaves_the_tolerance() -> None:
    """4 replicas bear 40; 44 is reached 40 minutes from now at 6 an hour, and needs 5."""
    row = predicted(line(40.0, 6.0))
    assert (row.direction, row.to, row.metric) == ("up", 5, "requests_per_second")
    assert row.at == pytest.approx(NOW + 2400, abs=400)
    assert row.earliest is not None
    assert row.latest is not None
    assert row.earliest <= NOW + 2400 <= row.latest
    assert row.tested is not None
    assert row.tested.held >= 0.6 * row.tested.forecasts


def test_a_load_that_falls_scales_down_after_the_window() -> None:
    row = predicted(line(40.0, -6.0), horizon=2 * 3600.0)
    assert (row.direction, row.to) == ("down", 3)
    assert row.at == pytest.approx(NOW + 300 + 10 / 6 * 3600, abs=900)


def test_a_load_that_stays_is_no_scaling() -> None:
    row = predicted(line(40.0, 0.0))
    assert (row.direction, row.to, row.at) == ("none", None, None)
    assert predicted(line(40.0, 6.0), horizon=600.0).direction == "none"


def test_what_has_left_it_already_is_due_now() -> None:
    row = predicted(line(57.0, 0.0))
    assert (row.direction, row.to, row.at) == ("up", 6, NOW)


def test_more_than_the_most_is_told() -> None:
    body = hpa(rps(), maxReplicas=4)
    given = inputs(web(4), {RATE: [track(line(57.0, 0.0))]}, window=24 * 3600.0,
                   horizontalpodautoscalers__autoscaling=[body], deployments__apps=[deployment(4)])  # fmt: skip
    found = answer(given, Asked(None, "", 3600.0, (RATE,)))
    assert [(one.rule, one.severity) for one in found.findings] == [("hpa-maximum-ahead", "warning")]
    assert found.rows[0].why == "6 replicas will be needed, and maxReplicas is 4"


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([1.0] * 100, "no basis: 5 means of 5 min of requests_per_second, an hour is needed"),
        ([], "no basis: 0 means of 5 min of requests_per_second, an hour is needed"),
    ],
)
def test_too_little_is_no_basis(values: List[float], why: str) -> None:
    row = predicted(values)
    assert (row.direction, row.to) == ("", None)
    assert row.why.split(": ")[0] == why.split(": ")[0]


def test_a_response_time_and_what_krm_does_not_have_are_no_basis() -> None:
    for metric in (rps("1", "response_time"), rps("1", "of_somebody_else")):
        row = predicted(line(40.0, 6.0), metrics=[metric])
        assert row.direction == ""
        assert "is not krm's to know" in row.why


def test_down_needs_all_metrics_and_up_any() -> None:
    both = [rps(), rps("1", "of_somebody_else")]
    assert predicted(line(40.0, 6.0), metrics=both).direction == "up"
    assert predicted(line(40.0, -6.0), metrics=both, horizon=7200.0).direction == ""


def test_noise_without_a_trend_that_jumps_about_is_told_as_uncertain_or_not_at_all() -> None:
    source = random.Random(3)
    wild = [max(0.0, source.gauss(38, 15)) for _ in range(int(HOURS * 240))]
    assert predicted(wild).direction in ("", "none")


def test_a_step_at_which_a_pod_has_a_gap_is_left_out() -> None:
    nan = float("nan")
    half = [20.0] * 1440
    broken = [nan if place % 7 == 0 else 20.0 for place in range(1440)]
    tracks: Dict[Any, Any] = {RATE: [track(half), track(broken, "web-7d4b9c6f5-aaaaa")]}
    kinds = {"horizontalpodautoscalers__autoscaling": [hpa(rps())], "deployments__apps": [deployment(4)]}
    given = inputs(web(4), tracks, window=24 * 3600.0, **kinds)
    row = answer(given, Asked("shop", "web", 3600.0, (RATE,))).rows[0]
    assert row.direction == "none", "20 + 20 are 40 at every step, not 20 at some"


def test_utilisation_needs_requests() -> None:
    body = hpa(cpu())
    given = inputs(web(4, memory="1Mi"), {("cpu/usage_rate", "pod"): [track(line(40.0, 6.0))]}, window=24 * 3600.0,
                   horizontalpodautoscalers__autoscaling=[body], deployments__apps=[deployment(4)])  # fmt: skip
    row = answer(given, Asked("shop", "web", 3600.0, (("cpu/usage_rate", "pod"),))).rows[0]
    assert row.why.startswith("missing request for cpu")
