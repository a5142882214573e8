"""Applications' own series, two pages at a time, against values that were worked out by hand."""

from __future__ import annotations

import math
import random
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import pytest
from krm.collector.facts import ContainerFacts, PodFacts
from krm.collector.source import NoData
from krm.collector.sources import annotated, app, scraping
from krm.collector.sources.annotated import Reach, pod_target
from krm.collector.sources.app import Names, keep, measured, names_for, quantile
from krm.collector.sources.scraped import read_page
from krm.collector.sources.scraping import Scraper
from krm.model.measures import Subject
from krm.model.metrics import TABLE

NOW = 1_800_000_000.0


def values(before: Optional[str], now: str, names: Names = app.USUAL, seconds: float = 10.0) -> Dict[str, float]:
    """Of two pages, `seconds` apart; `app/` left out."""
    pages = [None if page is None else read_page(page.encode(), "", names.series()) for page in (before, now)]
    first = None if pages[0] is None else keep(pages[0], NOW - seconds)
    points = pages[1] or []
    return {name[4:]: value for name, value in measured(points, names, first, keep(points, NOW)).items()}


def test_requests_a_second_over_all_series() -> None:
    before = 'http_requests_total{code="200"} 100\nhttp_requests_total{code="500"} 5\n'
    now = 'http_requests_total{code="200"} 140\nhttp_requests_total{code="500"} 6\n'
    assert values(before, now) == {"request_rate": 4.1}
    assert values(None, now) == {}, "one page says nothing of a rate"


def test_of_the_names_for_one_thing_the_first_counts_and_rpc_is_another_thing() -> None:
    before = "http_requests_total 0\nhttp_request_duration_seconds_count 0\ngrpc_server_handled_total 7\n"
    now = "http_requests_total 20\nhttp_request_duration_seconds_count 20\ngrpc_server_handled_total 17\n"
    assert values(before, now)["request_rate"] == 3.0


def test_a_counter_that_went_down_gives_no_rate_until_the_next_page() -> None:
    pages = ["http_requests_total 1000\n", "http_requests_total 3\n", "http_requests_total 13\n"]
    assert values(pages[0], pages[1]) == {}
    assert values(pages[1], pages[2]) == {"request_rate": 1.0}


def test_a_process_that_started_anew_gives_no_rate_though_its_counter_is_higher() -> None:
    started = "process_start_time_seconds %d\nhttp_requests_total %d\nqueue_depth 3\n"
    assert values(started % (100, 10), started % (200, 5000)) == {"queue_depth": 3}
    assert values(started % (100, 10), started % (100, 20)) == {"queue_depth": 3, "request_rate": 1.0}


def test_a_series_that_was_not_there_counts_from_the_next_page_on() -> None:
    before = 'http_requests_total{path="/a"} 10\n'
    now = 'http_requests_total{path="/a"} 20\nhttp_requests_total{path="/b"} 9999\n'
    assert values(before, now) == {"request_rate": 1.0}
    assert values("depth 1\n", now) == {}, "all of them are new"


HISTOGRAM = """\
http_request_duration_seconds_bucket{h="a",le="0.1"} %d
http_request_duration_seconds_bucket{h="a",le="0.5"} %d
http_request_duration_seconds_bucket{h="a",le="1"} %d
http_request_duration_seconds_bucket{h="a",le="+Inf"} %d
http_request_duration_seconds_count{h="a"} %d
http_request_duration_seconds_sum{h="a"} %f
"""


def test_response_times_are_of_what_happened_between_the_pages() -> None:
    """80 of 100 within .1 s, 90 within .5, all within 1: the 95th is half way between .5 and 1."""
    found = values(HISTOGRAM % (1000, 1000, 1000, 1000, 1000, 5), HISTOGRAM % (1080, 1090, 1100, 1100, 1100, 25))
    assert found == {
        "request_rate": 10.0, "response_time": pytest.approx(0.2), "response_time_p50": pytest.approx(0.0625),
        "response_time_p90": pytest.approx(0.5), "response_time_p95": 0.75,
        "response_time_p99": pytest.approx(0.95),
    }  # fmt: skip


def test_where_nothing_happened_there_is_no_response_time() -> None:
    page = HISTOGRAM % (1, 2, 3, 4, 4, 1)
    assert values(page, page) == {"request_rate": 0.0}


def test_histograms_of_several_handlers_are_one() -> None:
    """`a` answers 10 within .1 s; `b` 10 between .1 and .5 s: the 95th of the 20 is at 19, 9/10 into b's bucket."""
    both = HISTOGRAM + HISTOGRAM.replace('"a"', '"b"')
    zero = (0, 0, 0, 0, 0, 0)
    found = values(both % (*zero, *zero), both % (10, 10, 10, 10, 10, 0.5, 0, 10, 10, 10, 10, 3.5))
    assert found["response_time_p95"] == pytest.approx(0.1 + 0.4 * 0.9)
    assert found["response_time"] == pytest.approx(0.2)


def test_milliseconds_are_milliseconds() -> None:
    name = "http_server_duration_milliseconds"
    before = f'{name}_bucket{{le="100"}} 0\n{name}_bucket{{le="+Inf"}} 0\n{name}_count 0\n{name}_sum 0\n'
    now = f'{name}_bucket{{le="100"}} 10\n{name}_bucket{{le="+Inf"}} 10\n{name}_count 10\n{name}_sum 500\n'
    found = values(before, now)
    assert found["response_time"] == pytest.approx(0.05)
    assert found["response_time_p95"] == pytest.approx(0.095)


SUMMARY = """\
http_request_duration_seconds{quantile="0.5"} 0.1
http_request_duration_seconds{quantile="0.95"} 0.4
http_request_duration_seconds_sum %f
http_request_duration_seconds_count %d
"""


def test_a_summary_gives_its_mean_and_its_quantile_where_it_stands_alone() -> None:
    assert values(SUMMARY % (10, 100), SUMMARY % (11, 110)) == {
        "request_rate": 1.0, "response_time": pytest.approx(0.1), "response_time_p50": 0.1,
        "response_time_p95": 0.4,
    }  # fmt: skip
    two = SUMMARY + SUMMARY.replace("{", '{h="b",').replace("_sum", '_sum{h="b"}').replace(
        "_count", '_count{h="b"}'
    )
    found = values(two % (10, 100, 10, 100), two % (11, 110, 11, 110))
    assert "response_time_p95" not in found, "quantiles cannot be put together"
    assert found["response_time"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("page", "depth"),
    [
        ('celery_queue_length{queue_name="a"} 3\ncelery_queue_length{queue_name="b"} 4\n', 7),
        ('rq_jobs{status="queued",queue="a"} 2\nrq_jobs{status="finished",queue="a"} 900\n', 2),
        ('sidekiq_queue_size{name="default"} 11\n', 11),
        ('rabbitmq_queue_messages_ready{queue="a"} 5\nrabbitmq_queue_messages_ready{queue="b"} 0\n', 5),
        ("queue_depth 0\n", 0),
        ("queue_depth -1\n", None),
        ("queue_depth NaN\n", None),
    ],
)
def test_what_waits(page: str, depth: Optional[float]) -> None:
    assert values(None, page).get("queue_depth") == depth


def test_a_pod_may_name_its_own_series() -> None:
    told = {
        "krm.io/request-rate": "my_counter",
        "krm.io/response-time": "my_time_ms_bucket",
        "krm.io/queue-depth": 'my_gauge{state="waiting"}',
    }
    names = names_for(told)
    page = (
        'my_counter_total %d\nhttp_requests_total %d\nmy_gauge{state="waiting"} 2\nmy_gauge{state="done"} 7\n'
        "my_time_ms_count %d\nmy_time_ms_sum %d\n"
    )
    assert values(page % (0, 0, 0, 0), page % (10, 500, 10, 50), names) == {
        "request_rate": 1.0, "queue_depth": 2, "response_time": 0.005,
    }  # fmt: skip


@pytest.mark.parametrize("told", ["", "a b", "a{b=c}", 'a{b="c"', "0a", "a" * 600, 'a{b="c\\""}', "a{}", 'a{="b"}'])
def test_what_names_no_series_is_told(told: str) -> None:
    if not told:
        assert names_for({"krm.io/queue-depth": told}) == app.USUAL
        return
    with pytest.raises(NoData, match="names no series"):
        names_for({"krm.io/queue-depth": told})


INF = math.inf


@pytest.mark.parametrize(
    ("share", "buckets", "expected"),
    [
        # observations up to .1, .2, all: rank 5 of 10 is the last of those up to .1
        (0.5, {0.1: 5, 0.2: 8, INF: 10}, 0.1),
        (0.25, {0.1: 5, 0.2: 8, INF: 10}, 0.05),  # half of the first bucket, from 0
        (0.65, {0.1: 5, 0.2: 8, INF: 10}, 0.15),  # rank 6.5: half way from 5 to 8
        (0.95, {0.1: 5, 0.2: 8, INF: 10}, 0.2),  # beyond the last bound: that bound
        (0.5, {-1: 5, 1: 8, INF: 10}, -1),  # a first bound that is not above 0
        (0.5, {0.1: 0, INF: 0}, None),  # nothing was observed
        (0.5, {0.1: 5, 0.2: 8}, None),  # no last bucket
        (0.5, {INF: 8}, None),
        (0.9, {0.1: 5, 0.2: 4, 0.4: 10, INF: 10}, 0.2 + 0.2 * 4 / 5),  # one that went down is taken as even
    ],
)
def test_quantiles_are_as_histogram_quantile_has_them(
    share: float, buckets: Dict[float, float], expected: Optional[float]
) -> None:
    found = quantile(share, buckets)
    assert found == (None if expected is None else pytest.approx(expected))


def test_a_quantile_lies_in_the_bucket_that_holds_it() -> None:
    seed = random.randrange(10**9)
    print("seed", seed)
    chance = random.Random(seed)
    for _ in range(300):
        bounds = sorted({round(chance.uniform(0.01, 10), 2) for _ in range(chance.randint(1, 12))})
        seen = sorted(chance.uniform(0, bounds[-1]) for _ in range(chance.randint(1, 200)))
        buckets = {bound: float(sum(one <= bound for one in seen)) for bound in [*bounds, INF]}
        found, share = None, chance.uniform(0.01, 0.99)
        found = quantile(share, buckets)
        exact = seen[min(len(seen) - 1, max(0, math.ceil(share * len(seen)) - 1))]
        upper = next(bound for bound in bounds if bound >= exact)
        lower = max([0.0, *[bound for bound in bounds if bound < upper]])
        assert found is not None
        assert lower <= found <= upper


class Pages:
    """What a pod answers, in order, in place of the network."""

    def __init__(self, *pages: Any) -> None:
        self.pages, self.asked = list(pages), []  # type: ignore[var-annotated]

    def __call__(self, url: str, limit: int, deadline: float) -> Tuple[bytes, str]:
        self.asked.append((url, limit, deadline - time.monotonic()))
        page = self.pages.pop(0)
        if isinstance(page, Exception):
            raise page
        return page.encode(), "text/plain"


def facts(**changes: Any) -> PodFacts:
    annotations = {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}
    runs = (ContainerFacts("web", 1.0),)
    pod = PodFacts("shop", "web-0", "u-1", "node-1", "10.1.2.3", False, False, runs, annotations, True)
    return pod._replace(**changes)


def scraper(pages: Pages, pod: Optional[PodFacts]) -> Scraper:
    return Scraper(lambda namespace, name: pod, pages, lambda: frozenset())


def test_a_pod_is_asked_twice_and_its_rate_is_a_sample() -> None:
    pages = Pages("http_requests_total 10\n", "http_requests_total 60\nqueue_size 4\n")
    ask, target = scraper(pages, facts()), pod_target(facts())
    assert ask(target, NOW) == []
    (sample,) = ask(target, NOW + 10)
    assert sample.subject == Subject("shop", "web-0", "u-1", "", "node-1")
    assert sample.source == ask.name == "app"
    assert sample.at == pytest.approx(NOW + 10, abs=0.5)
    assert sample.window == pytest.approx(10, abs=0.5)
    assert sample.values["app/request_rate"] == pytest.approx(5, rel=0.05)
    assert sample.values["app/queue_depth"] == 4
    for name in sample.values:
        assert ask.name in TABLE[name].sources
        assert sample.subject.level in TABLE[name].levels
    assert pages.asked[0][:2] == ("http://10.1.2.3:8080/metrics", 4 * 1024 * 1024)
    assert 4 < pages.asked[0][2] <= 5


def test_what_waits_is_of_an_instant_where_there_was_no_page_before() -> None:
    (sample,) = scraper(Pages("queue_size 4\n"), facts())(pod_target(facts()), NOW)
    assert (sample.values, sample.window) == ({"app/queue_depth": 4}, 0.0)


def test_what_failed_costs_no_more_than_its_own_turn() -> None:
    pages = Pages("http_requests_total 10\n", NoData("it does not answer"), "http_requests_total 30\n")
    ask, target = scraper(pages, facts()), pod_target(facts())
    ask(target, NOW)
    with pytest.raises(NoData, match="does not answer"):
        ask(target, NOW + 10)
    assert ask(target, NOW + 20)[0].values["app/request_rate"] == pytest.approx(1, rel=0.05)


def test_a_page_from_long_ago_gives_no_rate() -> None:
    pages = Pages("http_requests_total 10\n", "http_requests_total 30\n")
    ask, target = scraper(pages, facts()), pod_target(facts())
    ask(target, NOW)
    assert ask(target, NOW + 600) == []


def test_a_pod_that_is_gone_or_another_one_is_not_asked() -> None:
    pages = Pages()
    for pod in (None, facts(uid="u-2")):
        with pytest.raises(NoData, match="no such pod"):
            scraper(pages, pod)(pod_target(facts()), NOW)
    with pytest.raises(NoData, match="this machine"):
        scraper(pages, facts(ip="127.0.0.1"))(pod_target(facts()), NOW)
    assert pages.asked == []


def test_series_that_a_pod_names_and_does_not_have_are_told() -> None:
    named = facts(annotations={**facts().annotations, "krm.io/queue-depth": "mine"})
    with pytest.raises(NoData, match="no series of the names"):
        scraper(Pages("go_goroutines 3\n"), named)(pod_target(facts()), NOW)
    assert scraper(Pages("go_goroutines 3\n"), facts())(pod_target(facts()), NOW) == []


def test_what_all_pods_together_may_keep_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scraping, "MAX_KEPT", 25)
    page = "".join(f'http_requests_total{{n="{n}"}} 1\n' for n in range(10))
    pods = [facts(name=f"web-{n}", uid=f"u-{n}") for n in range(3)]
    ask = Scraper(lambda _, name: pods[int(name[-1])], Pages(*[page] * 5), frozenset, Reach())
    for pod in pods[:2]:
        ask(pod_target(pod), NOW)
    with pytest.raises(NoData, match="more than 25 series together"):
        ask(pod_target(pods[2]), NOW)
    ask(pod_target(pods[0]), NOW + 10)  # who has a place keeps it
    ask(pod_target(pods[2]), NOW + 125)  # the others were not seen for two minutes


def test_the_usual_names_are_all_named_once() -> None:
    names: List[str] = [one.name for group in app.REQUESTS for one in group]
    assert len(names) == len(set(names))
    assert {"http_requests_total", "http_server_requests_seconds_count", "grpc_server_handled_total"} <= set(names)
    assert len({one.name for one in app.TIMES}) == len(app.TIMES)


def test_the_docs_name_every_usual_name_and_annotation() -> None:
    page = (Path(__file__).parents[3] / "docs" / "applications.md").read_text(encoding="utf-8")
    counters = {one.name for group in app.REQUESTS for one in group if not one.name.endswith("_count")}
    for name in counters | {one.name for one in (*app.TIMES, *app.QUEUES)}:
        assert f"`{name}" in page, name
    for name in (*app.HINTS, annotated.SCRAPE, annotated.PORT, annotated.PATH, annotated.SCHEME):
        assert f"{name}:" in page, name
