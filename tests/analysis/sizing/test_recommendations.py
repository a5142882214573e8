"""Recommendations: numbers computed by hand, what is waited for, HPAs, and what does not depend on order."""

from __future__ import annotations

import random
from typing import Any, Dict, List

import pytest
from krm.analysis.finding import HIGH, LOW, MEDIUM
from krm.analysis.inputs import History, HourTrack, Inputs
from krm.analysis.sizing import recommendations
from krm.analysis.sizing.backtest import Setting
from krm.analysis.sizing.recommendations import Asked, Recommendations
from krm.analysis.sizing.rows import Recommendation
from krm.model.kills import Kill
from krm.model.measures import Subject
from paper_inputs import CPU, GAP, MEMORY, MIB, NOW, STEP, container, track
from paper_sizing import APP, DAY, HASH, node, web

GIB = 1024 * MIB
POD = f"web-{HASH}-00000"


def ask(given: Inputs, **asked: Any) -> Recommendations:
    return recommendations.answer(given, Asked("shop", **asked))


def row_of(given: Inputs, **asked: Any) -> Recommendation:
    (row,) = ask(given, **asked).rows
    return row


def stairs(low: float, high: float, share: float) -> List[float]:
    """`high` for the last `share` of each hour."""
    rare = int(240 * share)
    return ([low] * (240 - rare) + [high] * rare) * 24


def with_tracks(given: Inputs, tracks: Dict[Any, Any], begin: float = NOW - 86400, **more: Any) -> Inputs:
    return given._replace(history=History(begin, NOW, tracks, more.get("hours"), since=begin))


# (target, CPU, memory request, memory limit): 100m for 90 % of each hour and 300m for 10 %, 200 MiB at most.
# The mean of each hour is 120m, which is more than P80 and P85 of the points.
TABLE = (
    ("balanced", 138, 210, 270),  # 120 x 1.15; 200 x 1.05, 200 x 1.35
    ("performance", 345, 270, 270),  # P95 = 300 x 1.15; 200 x 1.35
    ("cost", 120, 200, 230),  # 120; 200, 200 x 1.15
)


@pytest.mark.parametrize(("target", "cpu", "asked", "limit"), TABLE)
def test_the_rules_by_hand(target: str, cpu: int, asked: int, limit: int) -> None:
    row = row_of(web(stairs(100, 300, 0.1), [150.0] * (DAY - 1) + [200.0]), target=target)
    assert row.advised == Setting(cpu, asked * MIB, None, limit * MIB)
    assert row.now == Setting(1000, GIB, 2000, GIB)
    assert (row.cpu_advised, row.memory_advised, row.waits_for) == (True, True, "")
    tested = row.backtest
    assert tested is not None
    assert tested.pod_hours == 48
    assert tested.cpu_saved == pytest.approx((1000 - cpu) / 1000 * 48)
    assert tested.memory_saved == pytest.approx((GIB - asked * MIB) / GIB * 48)
    assert (tested.kills, tested.kills_now, tested.throttled) == (0, 0, 0)


def test_krr_limit_would_throttle() -> None:
    """P66 and P96 of all points: 100m and 300m for 10 % of the time, at the limit for 4.8 h of 48."""
    row = row_of(web(stairs(100, 300, 0.1), [150.0] * DAY), strategy="krr-limit")
    assert (row.advised.cpu_request, row.advised.cpu_limit) == (100, 300)
    assert row.backtest is not None
    assert row.backtest.throttled == pytest.approx(4.8 * 60)


def test_what_was_held_out_shows_advice_that_would_have_killed() -> None:
    """25 hours are touched; of the first 19 the peak is 100 MiB, x1.35 below the 200 MiB of the six after them."""
    row = row_of(web([100.0] * DAY, [100.0] * (DAY - 240) + [200.0] * 240))
    assert row.backtest is not None
    assert (row.backtest.held_out_hours, row.backtest.held_out_kills) == (12, 4)
    assert row.backtest.kills == 0  # with all that is known now it would not have


def kill(at: float = NOW - 600, limit: int = int(GIB)) -> Kill:
    return Kill("1", "n1", at, at, pod_uid=f"uid-{POD}", namespace="shop", pod=POD, container="app", limit=limit)


def test_an_oom_kill_raises_the_limit_and_lowers_sureness() -> None:
    row = row_of(web([100.0] * DAY, [1000.0] * DAY, kills=[kill()]))
    assert row.advised.memory_limit == 1536 * MIB  # 1 GiB x 1.5
    assert row.backtest is not None
    assert (row.backtest.kills_now, row.backtest.kills) == (1, 0)
    assert any("killed for want of memory" in doubt for doubt in row.doubts)
    (found,) = [
        one for one in ask(web([100.0] * DAY, [1000.0] * DAY, kills=[kill()])).findings if one.rule == "undersized"
    ]
    assert "1 OOM kills in a day" in found.sentence


def test_a_kill_whose_limit_nobody_told_was_at_the_one_that_is_set() -> None:
    row = row_of(web([100.0] * DAY, [1000.0] * DAY, kills=[kill(limit=0)]))
    assert row.advised.memory_limit == 1536 * MIB


def test_what_leaks_is_told_and_has_room_for_a_day() -> None:
    values = [200 + 100 * place / DAY for place in range(DAY)]  # 100 MiB a day
    row = row_of(web([100.0] * DAY, values))
    assert row.advised.memory_limit is not None
    assert 390 * MIB * 1.35 <= row.advised.memory_limit <= 415 * MIB * 1.35
    assert any("it grows by" in doubt and "leak" in doubt for doubt in row.doubts)


@pytest.mark.parametrize(("points", "waits"), [(240, "11.0 h more"), (12 * 240 - 1, "0.0 h more"), (12 * 240, "")])
def test_no_advice_on_too_little(points: int, waits: str) -> None:
    answer = ask(web([100.0] * points, [200.0] * points))
    (row,) = answer.rows
    assert (row.waits_for[: len(waits)] == waits, row.backtest is None) == (True, bool(waits))
    if waits:
        assert row.advised == row.now
        assert answer.findings == ()
        assert row.sureness == LOW
        assert f"none: {waits}" in str(answer)  # what is set must not look like advice
    else:
        assert "cpu, memory" in str(answer)


def test_nothing_measured_is_not_zero() -> None:
    row = row_of(with_tracks(web([], []), {}))
    assert row.waits_for == "nothing was measured of it yet"
    assert row.advised == row.now


def hpa(**metric: Any) -> Dict[str, Any]:
    target = {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 9}
    resource = {"type": "Resource", "resource": {"name": "cpu", "target": metric}}
    return {"metadata": {"namespace": "shop", "name": "h"}, "spec": {**target, "metrics": [resource]}}


def test_an_hpa_on_utilisation_holds_its_resource() -> None:
    given = web(
        [100.0] * DAY, [200.0] * DAY,
        horizontalpodautoscalers__autoscaling=[hpa(type="Utilization", averageUtilization=60)],
    )  # fmt: skip
    row = row_of(given)
    assert (row.cpu_advised, row.memory_advised) == (False, True)
    assert (row.advised.cpu_request, row.advised.cpu_limit) == (1000, 2000)
    assert row.cpu_why.startswith("HPA h scales at 60% of the request: at 600m a pod")
    assert row_of(given, strategy="krr").cpu_why == "HPA detected"


def test_an_hpa_on_an_average_value_does_not() -> None:
    given = web(
        [100.0] * DAY, [200.0] * DAY,
        horizontalpodautoscalers__autoscaling=[hpa(type="AverageValue", averageValue="500m")],
    )  # fmt: skip
    assert row_of(given).cpu_advised


def test_jobs_of_a_cronjob_are_one_workload() -> None:
    """Three runs of 10 minutes each, whose pods and jobs are gone: their names tell whose they were."""
    cron = {
        "metadata": {"namespace": "shop", "name": "sum"},
        "spec": {"jobTemplate": {"spec": {"template": {"spec": {"containers": [APP]}}}}},
    }
    given = web([100.0] * DAY, [200.0] * DAY, cronjobs__batch=[cron])
    runs = [f"sum-{number}-abcd{number % 10}" for number in (2900001, 2900002, 2900003)]
    cpu = [track([900.0] * 40, run, end=NOW - 3600 * place) for place, run in enumerate(runs)]
    memory = [track([300 * MIB] * 40, run, end=NOW - 3600 * place) for place, run in enumerate(runs)]
    answer = ask(with_tracks(given, {(CPU, "container"): cpu, (MEMORY, "container"): memory}))
    row = next(row for row in answer.rows if row.kind == "cronjob.batch")
    assert (row.name, row.pods, row.waits_for) == ("sum", 0, "")
    assert row.advised.memory_limit == 405 * MIB
    two = with_tracks(given, {(CPU, "container"): cpu[:2], (MEMORY, "container"): memory[:2]})
    row = next(row for row in ask(two).rows if row.kind == "cronjob.batch")
    assert row.waits_for == "1 more runs: of 2 something is known"


def test_a_week_of_hours_is_heard() -> None:
    given = web([100.0] * DAY, [200.0] * DAY)
    subject = Subject("shop", POD, f"uid-{POD}", "app", "n1")
    ends = [(NOW // 3600 - 30 - place) * 3600 for place in range(100)][::-1]
    hours = {
        (CPU, "container"): [HourTrack(subject, ends, [400.0] * 100, [500.0] * 100, [3600.0] * 100)],
        (MEMORY, "container"): [HourTrack(subject, ends, [300 * MIB] * 100, [400 * MIB] * 100, [3600.0] * 100)],
    }
    found = row_of(with_tracks(given, dict(given.history._tracks), hours=hours))
    assert found.advised == Setting(460, 420 * MIB, None, 540 * MIB)
    assert "hours of the last week" in found.cpu_why
    assert found.sureness == HIGH
    assert row_of(given).sureness == MEDIUM


# Order, batching, the window ---------------------------------------------------------------------


def pieces(draw: random.Random, given: Inputs) -> Inputs:
    """The same points in other order, in pieces, some told twice, with some outside the window."""
    tracks: Dict[Any, List[Any]] = {}
    for which, each in given.history._tracks.items():
        made = []
        for one in each:
            cut = draw.randrange(1, len(one.times))
            made += [one._replace(times=one.times[:cut], values=one.values[:cut])]
            made += [one._replace(times=one.times[cut:], values=one.values[cut:])]
            made += [one._replace(times=one.times[cut : cut + 9], values=one.values[cut : cut + 9])]
            old = [given.history.begin - STEP * number for number in range(9, -1, -1)]
            made += [one._replace(times=old, values=[1e12] * 10)]
        draw.shuffle(made)
        tracks[which] = made
    kinds = {kind: draw.sample(list(bodies), len(bodies)) for kind, bodies in given.state.kinds.items()}
    state = type(given.state)(kinds, given.state.trust, given.state.lacks)
    return with_tracks(given._replace(state=state), tracks)


@pytest.mark.parametrize("strategy", ["krm", "krr", "vpa"])
def test_order_and_batching_change_nothing(strategy: str) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    draw = random.Random(seed)
    cpu = [draw.uniform(50, 400) for _ in range(DAY)]
    given = web(cpu, [draw.uniform(100, 300) for _ in range(DAY)], kills=[kill()])
    assert ask(pieces(draw, given), strategy=strategy).rows == ask(given, strategy=strategy).rows


# What goes wrong ---------------------------------------------------------------------------------


def test_gaps_lower_sureness_and_are_shown() -> None:
    cpu, memory = [100.0] * DAY, [200.0] * DAY
    for place in range(1, DAY - 1):
        if place % 3:
            cpu[place] = memory[place] = GAP
    row = row_of(web(cpu, memory))
    assert row.advised.memory_limit == 270 * MIB  # the numbers stand
    assert row.sureness == LOW
    assert any("points are missing" in doubt for doubt in row.doubts)
    covers = next(one.covers for one in row.evidence if one.what == "peak working set")
    assert covers is not None
    assert not covers.whole


def test_pods_that_are_gone_count_and_others_namespaces_do_not() -> None:
    given = web([100.0] * DAY, [200.0] * DAY)
    gone = track([500 * MIB] * DAY, f"web-{'a' * 9}-zzzzz")
    alien = track([900 * MIB] * DAY, POD, namespace="other")
    tracks = {which: list(each) for which, each in given.history._tracks.items()}
    tracks[MEMORY, "container"] += [gone, alien]
    assert row_of(with_tracks(given, tracks)).advised.memory_limit == 675 * MIB


def test_points_of_a_clock_that_runs_ahead_are_left_out() -> None:
    given = web([100.0] * DAY, [200.0] * DAY)
    tracks = {which: list(each) for which, each in given.history._tracks.items()}
    tracks[MEMORY, "container"].append(track([900 * MIB] * 10, POD, end=NOW + 3600))
    assert row_of(with_tracks(given, tracks)).advised.memory_limit == 270 * MIB


def test_a_restart_does_not_make_growth() -> None:
    """It grew to 400 MiB, began anew at 200, and stays there."""
    memory = [200 + 200 * place / (DAY / 2) for place in range(DAY // 2)] + [200.0] * (DAY // 2)
    row = row_of(web([100.0] * DAY, memory))
    assert row.advised.memory_limit == 540 * MIB  # 400 x 1.35
    assert not any("it grows" in doubt for doubt in row.doubts)


def test_nothing_but_oom_kills_is_no_advice() -> None:
    given = with_tracks(web([], [], kills=[kill()]), {})
    for strategy in ("krm", "vpa", "krr"):
        row = row_of(given, strategy=strategy)
        assert row.waits_for, strategy
        assert row.advised == row.now


def test_one_malformed_object_stops_nothing() -> None:
    broken: List[Any] = [{}, {"metadata": 7}, {"metadata": {"name": "x", "namespace": "shop"}, "spec": "?"}]
    given = web([100.0] * DAY, [200.0] * DAY)
    kinds = {kind: [*bodies, *broken] for kind, bodies in given.state.kinds.items() if kind != "nodes"}
    state = type(given.state)({**given.state.kinds, **kinds}, given.state.trust, given.state.lacks)
    answer = ask(given._replace(state=state))
    row = next(row for row in answer.rows if row.name == "web")
    assert row.advised.memory_limit == 270 * MIB


def test_a_selector_chooses_workloads() -> None:
    given = web([100.0] * DAY, [200.0] * DAY)
    assert len(ask(given, selector="app=web").rows) == 1
    assert ask(given, selector="app!=web").rows == ()


def test_pods_of_two_containers_are_proven_together() -> None:
    side = container("side", {"cpu": "100m", "memory": "64Mi"})
    given = web([100.0] * DAY, [200.0] * DAY, nodes=[node(memory="500Mi")])
    for pod in given.state.kinds["pods"]:
        pod["spec"]["containers"].append(side)
    first, second = ask(given).rows
    assert (first.container, second.container, second.waits_for) == (
        "app",
        "side",
        "nothing was measured of it yet",
    )
    assert first.feasible is False  # 210 + 64 MiB, twice, beside one of the old
