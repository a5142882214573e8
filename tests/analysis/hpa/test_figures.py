"""Figures of an application whose rate, answer times and queue are known; what is not covered is not told."""

from __future__ import annotations

import math
import random
from typing import Any, Dict, List, Optional, Tuple

import pytest
from krm.analysis.hpa.figures import AGGREGATIONS, Asked, Figure, answer, needs
from krm.analysis.inputs import Track
from krm.collector.sources import app
from krm.collector.sources.scraped import Point, read_page
from krm.model import times
from krm.model.measures import Subject
from paper_inputs import NOW, STEP, a_pod, container, inputs

POINTS = 20  # of 15 s: 5 min
BOUNDS = (
    0.005,
    0.01,
    0.025,
    0.05,
    0.075,
    0.1,
    0.15,
    0.2,
    0.25,
    0.3,
    0.35,
    0.4,
    0.45,
    0.5,
    0.55,
    0.6,
    0.7,
    0.8,
    1.0,
    2.5,
    math.inf,
)


class Application:
    """Answers `rate` requests a second, whose times are exponential with this mean; `queue` items wait."""

    def __init__(self, rate: float, mean: float, queue: float, seed: int) -> None:
        self.rate, self.mean, self.queue = rate, mean, queue
        self.random = random.Random(seed)
        self.times: List[float] = []
        self.buckets = dict.fromkeys(BOUNDS, 0)
        self.count, self.sum = 0, 0.0

    def runs(self, seconds: float) -> None:
        for _ in range(round(self.rate * seconds)):
            time = self.random.expovariate(1 / self.mean)
            self.times.append(time)
            self.count, self.sum = self.count + 1, self.sum + time
            for bound in BOUNDS:
                self.buckets[bound] += time <= bound

    def page(self) -> str:
        name = "http_request_duration_seconds"
        rows = [f'{name}_bucket{{le="{"+Inf" if bound == math.inf else bound}"}} {count}'
                for bound, count in self.buckets.items()]  # fmt: skip
        rows += [f"{name}_count {self.count}", f"{name}_sum {self.sum}", f"queue_depth {self.queue}"]
        return f"# TYPE {name} histogram\n" + "\n".join(rows) + "\n"


def read(application: Application) -> List[Point]:
    return read_page(application.page().encode(), "", app.USUAL.series())


def told(application: Application, pod: str) -> Dict[Tuple[str, str], Track]:
    """As the collector makes it of a page each 15 s."""
    found: Dict[str, List[float]] = {}
    ends = [NOW - STEP * (POINTS - 1 - place) for place in range(POINTS)]
    application.runs(STEP)
    before = app.keep(read(application), ends[0] - STEP)
    for end in ends:
        application.runs(STEP)
        points = read(application)
        now = app.keep(points, end)
        for series, value in app.measured(points, app.USUAL, before, now).items():
            found.setdefault(series, []).append(value)
        before = now
    subject = Subject("shop", pod, f"uid-{pod}", "", "n1")
    return {(series, "pod"): Track(subject, ends, values) for series, values in found.items()}


def deployment(name: str = "web", namespace: str = "shop") -> Dict[str, Any]:
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": name}}}
    return {"metadata": {"namespace": namespace, "name": name}, "spec": spec, "status": {"replicas": 2}}


def pods(*names: str, **more: Any) -> List[Dict[str, Any]]:
    return [a_pod(name, container("app"), labels={"app": "web"}, **more) for name in names]


def asked(metric: str, aggregation: str, namespace: Optional[str] = "shop", window: float = 300.0) -> Asked:
    return Asked(namespace, "web", metric, aggregation, window)


def of(tracks: List[Dict[Any, Track]], metric: str, aggregation: str, **more: Any) -> Figure:
    together: Dict[Any, List[Track]] = {}
    for each in tracks:
        for which, track in each.items():
            together.setdefault(which, []).append(track)
    names = sorted({track.subject.pod for found in together.values() for track in found}) or ["web-0"]
    made = inputs(pods(*names), together, deployments__apps=[deployment()], **more)
    return answer(made, asked(metric, aggregation))


@pytest.mark.parametrize("seed", [1, 2])
def test_an_application_gives_each_figure_within_five_percent(seed: int) -> None:
    print("seed", seed)
    first, second = Application(40.0, 0.12, 6.0, seed), Application(20.0, 0.12, 2.0, seed + 100)
    tracks = [told(first, "web-0"), told(second, "web-1")]
    for aggregation, rate, queue in (("avg", 30, 4), ("p50", 30, 4), ("p90", 40, 6), ("p95", 40, 6),
                                     ("p99", 40, 6), ("max", 40, 6), ("sum", 60, 8)):  # fmt: skip
        assert of(tracks, "requests_per_second", aggregation).value == pytest.approx(rate, rel=0.05)
        assert of(tracks, "queue_depth", aggregation).value == pytest.approx(queue, rel=0.05)
        assert of(tracks, "requests_per_second", aggregation).total == pytest.approx(60, rel=0.05)
    answered = sorted(first.times + second.times)
    assert of(tracks, "response_time", "avg").value == pytest.approx(sum(answered) / len(answered), rel=0.05)
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)):
        truth = answered[math.ceil(share * len(answered)) - 1]
        assert of(tracks, "response_time", name).value == pytest.approx(truth, rel=0.05), name
    figure = of(tracks, "requests_per_second", "p95")
    assert [(row.pod, round(row.value or 0)) for row in figure.rows] == [("web-0", 40), ("web-1", 20)]
    assert (str(figure.pods), figure.points.known, figure.sureness) == ("2 of 2 pods", 2 * POINTS, "high")
    assert (figure.metric, figure.series, figure.unit) == ("requests_per_second", "app/request_rate", "count/s")


def flat(value: float, pod: str = "web-0", count: int = POINTS, **more: Any) -> Dict[Any, Track]:
    subject = Subject("shop", pod, more.get("uid", f"uid-{pod}"), "", "n1")
    ends = [NOW - STEP * (count - 1 - place) for place in range(count)]
    return {(more.get("series", "cpu/usage_rate"), "pod"): Track(subject, ends, [value] * count)}


def test_cpu_is_in_cores_and_any_series_in_its_unit() -> None:
    assert (of([flat(250.0)], "cpu", "avg").value, of([flat(250.0)], "cpu", "avg").unit) == (0.25, "cores")
    assert (of([flat(250.0)], "cpu/usage_rate", "avg").value) == 250.0
    assert of([flat(7.0, series="memory/rss")], "memory/rss", "max").value == 7.0


def test_before_the_window_is_covered_there_is_none() -> None:
    for since, why in ((NOW - 100, "history since 2023-11-14T22:13:20Z"), (None, "there is no history yet")):
        figure = of([flat(1.0)], "cpu", "avg", since=since)
        assert (figure.value, figure.total, figure.rows[0].value, figure.sureness) == (None, None, None, "low")
        assert why in figure.why


def test_a_pod_that_tells_nothing_makes_no_sum() -> None:
    made = inputs(pods("web-0", "web-1"), {k: [v] for k, v in flat(10.0).items()}, deployments__apps=[deployment()])
    figure = answer(made, asked("cpu", "sum"))
    assert (figure.value, figure.total, str(figure.pods)) == (None, None, "1 of 2 pods")
    assert figure.why == "1 of 2 pods: a part of them is no sum"
    assert answer(made, asked("cpu", "avg")).value == 0.01


def test_the_table_shows_the_figure_itself_above_its_pods() -> None:
    lines = str(of([flat(100.0, "web-0"), flat(300.0, "web-1")], "cpu", "max")).splitlines()
    assert [line.split()[1:] for line in lines[1:3]] == [
        ["(max", "of", "a", "pod)", "0.3", "cores", "40", "of", "40", "points"],
        ["(all", "together)", "0.4", "cores", "2", "of", "2", "pods"],
    ]
    assert "it does not cover the window yet" in str(of([flat(1.0)], "cpu", "avg", since=NOW - 100))


def test_there_are_never_more_points_than_there_can_be() -> None:
    """A pod that was started a moment ago: its first points are there before they are due."""
    young = pods("web-0", status={"phase": "Running", "startTime": times.write(NOW - 25)})
    made = inputs(young, {k: [v] for k, v in flat(10.0, count=2).items()}, deployments__apps=[deployment()])
    assert str(answer(made, asked("cpu", "avg")).rows[0].covers) == "2 of 2 points"


def test_points_of_others_and_of_before_are_not_looked_at() -> None:
    old = flat(500.0, uid="another")
    early = {k: v._replace(times=[at - 900 for at in v.times]) for k, v in flat(900.0).items()}
    assert of([flat(100.0), old, early], "cpu", "max").value == pytest.approx(0.1)


def test_the_order_of_everything_is_nothing() -> None:
    tracks = [flat(100.0, "web-0"), flat(300.0, "web-1"), flat(200.0, "web-2")]
    assert of(tracks, "cpu", "p90") == of(tracks[::-1], "cpu", "p90")


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_which_deployment_is_told(aggregation: str) -> None:
    two = [deployment(), deployment(namespace="other")]
    made = inputs(pods("web-0"), {}, deployments__apps=two)
    assert "in several namespaces (other, shop)" in answer(made, asked("cpu", aggregation, None)).why
    none = answer(inputs([], {}, deployments__apps=[]), asked("cpu", aggregation))
    assert (none.why, none.value) == ("there is no deployment web in namespace shop", None)


def test_a_percentile_of_response_times_is_of_its_own_series() -> None:
    wanted = {series for series, _ in needs(asked("response_time", "p90")).points}
    assert wanted == {"app/response_time_p90", "app/request_rate"}
