"""Breaches over a window: each number was computed by hand. 20 points of 15 s; 3 of them may be on their way."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence

import pytest
from krm.analysis.finding import CRITICAL, HIGH, INFO, LOW, MEDIUM, WARNING
from krm.analysis.inputs import Inputs, Track
from krm.analysis.limits import breaches, words
from krm.analysis.limits.breaches import Asked, Breaches
from paper_inputs import (
    CPU,
    GAP,
    MEMORY,
    MIB,
    NOW,
    THROTTLED,
    a_pod,
    container,
    inputs,
    now_of,
    track,
)

WEB = container("app", {"cpu": "200m", "memory": "100Mi"}, {"cpu": "1", "memory": "200Mi"})


def ask(given: Inputs, threshold: float = 0.9, namespace: Optional[str] = None) -> Breaches:
    return breaches.answer(given, Asked(namespace, threshold, 300.0))


def memory(values: Sequence[float], **more: Any) -> List[Track]:
    return [track([value * MIB for value in values], **more)]


def given_memory(values: Sequence[float], pod: Any = None, **more: Any) -> Inputs:
    newest = [now_of("web-0", "app", cpu=100, memory=values[-1] * MIB)] if values[-1] == values[-1] else []
    return inputs([pod or a_pod("web-0", WEB)], {(MEMORY, "container"): memory(values)}, newest, **more)


def test_memory_that_is_near_its_limit() -> None:
    found = ask(given_memory([50] * 10 + [185, 190, 192, 100, 181, 100, 100, 100, 100, 120]))
    (row,) = found.rows
    assert (row.resource, row.against, row.state) == ("memory", "limit", "approaching")
    assert (row.allowed, row.peak, row.now) == (200 * MIB, 192 * MIB, 120 * MIB)
    assert (row.share, row.longest) == (4 / 20, 45.0)
    assert (row.left, row.least_left) == (80 * MIB, 8 * MIB)
    assert row.points == (20, 20, "points")
    assert row.ratio == 192 / 200
    (finding,) = found.findings
    assert (finding.rule, finding.severity, finding.sureness) == ("limit-breach", WARNING, HIGH)
    assert finding.sentence == (
        "shop/web-0 container app: memory near its limit of 200Mi, peak 192Mi, at 90% or above for 20% of 5m, "
        "45s at a time, 120Mi now, 80Mi before the kernel kills"
    )
    assert {one.what: one.value for one in finding.evidence}["least distance"] == 8 * MIB
    assert finding.would_change


@pytest.mark.parametrize(
    ("peak", "state", "severity"),
    [(179.9, None, ""), (180, "approaching", WARNING), (197.9, "approaching", WARNING), (198, "at", CRITICAL),
     (200, "at", CRITICAL), (201, "above", CRITICAL)],
)  # fmt: skip
def test_the_borders_of_the_states(peak: float, state: Optional[str], severity: str) -> None:
    # Above 100 % of its request it is anyway: that is told where the limit is not.
    found = ask(given_memory([50] * 18 + [peak, 150]))
    limit = [row for row in found.rows if row.against == "limit"]
    assert [row.state for row in limit] == ([state] if state else [])
    if state:
        assert found.findings[0].severity == severity


def test_a_request_that_is_exceeded_is_told_apart_and_is_worse_where_the_node_is_pressed() -> None:
    given = given_memory([90] * 15 + [100, 100.5, 120, 110, 100])
    (row,) = ask(given).rows
    assert (row.against, row.state, row.share, row.longest) == ("request", "above", 3 / 20, 45.0)
    assert (row.left, row.least_left, row.throttled) == (None, None, None)
    (finding,) = ask(given).findings
    assert (finding.rule, finding.severity) == ("request-exceeded", INFO)
    assert "whether its node is under memory pressure is not known" in finding.doubts
    pressed = [
        {"metadata": {"name": "n1"}, "status": {"conditions": [{"type": "MemoryPressure", "status": "True"}]}}
    ]
    (finding,) = ask(given_memory([90] * 17 + [120, 110, 100], nodes=pressed)).findings
    assert (finding.severity, finding.sureness, finding.doubts) == (WARNING, HIGH, ())


def cpu(used: Sequence[float], throttled: Optional[Sequence[float]], pod: Any = None) -> Inputs:
    tracks = {(CPU, "container"): [track(used)]}
    if throttled is not None:
        tracks[THROTTLED, "container"] = [track(throttled)]
    one = pod or a_pod("web-0", container("app", {"cpu": "900m", "memory": "1Gi"}, {"cpu": "1", "memory": "1Gi"}))
    return inputs([one], tracks, [now_of("web-0", "app", cpu=used[-1])])


def test_cpu_that_is_throttled_is_at_its_limit_whatever_it_used() -> None:
    (row,) = ask(cpu([300] * 20, [0] * 10 + [0.04, 0.5, 0.5, 0.6, 0, 0.4] + [0] * 4)).rows
    assert (row.state, row.share, row.longest) == ("at", 4 / 20, 45.0)
    assert row.throttled == pytest.approx(2.04 / 20)
    (finding,) = ask(cpu([300] * 20, [0] * 10 + [0.5] * 10)).findings
    assert (finding.severity, finding.sureness) == (WARNING, HIGH)
    assert "50% of 5m" in finding.sentence
    assert "25% of its periods throttled" in finding.sentence
    (finding,) = ask(cpu([300] * 20, [0] * 19 + [0.5])).findings
    assert finding.severity == INFO
    assert ask(cpu([300] * 20, [0.049] * 20)).rows == ()


def test_cpu_near_its_limit_and_the_edges_of_a_rate() -> None:
    (row,) = ask(cpu([300] * 19 + [950], [0] * 20)).rows
    assert (row.state, row.throttled) == ("approaching", 0.0)
    (row,) = ask(cpu([300] * 19 + [1009], [0] * 20)).rows  # a rate over 15 s has two edges of a period in it
    assert row.state == "at"
    (finding,) = ask(cpu([300] * 19 + [1100], None)).findings
    assert (finding.severity, finding.sureness) == (WARNING, MEDIUM)
    assert "whether it was throttled is not known" in finding.doubts
    assert any("it was lowered, or is not enforced" in doubt for doubt in finding.doubts)


def test_a_limit_that_was_another_one_is_compared_as_it_was_then() -> None:
    """It was 400Mi until a resize, 200Mi since: 300Mi before was not above."""
    values = [300] * 10 + [120] * 10
    tracks = {
        (MEMORY, "container"): memory(values),
        ("memory/limit", "container"): memory([400] * 10 + [200] * 10),
        ("memory/request", "container"): memory([100] * 20),
    }
    newest = [now_of("web-0", "app", memory=120 * MIB)]
    (row,) = ask(inputs([a_pod("web-0", WEB)], tracks, newest)).rows
    assert row.against == "request"
    tracks["memory/limit", "container"] = memory([300] * 10 + [200] * 10)
    (row,) = ask(inputs([a_pod("web-0", WEB)], tracks, newest)).rows
    assert (row.state, row.ratio, row.share, row.least_left) == ("at", 1.0, 0.5, 0)
    tracks["memory/limit", "container"] = memory([200.0004] * 20)  # as the history rounds it
    (row,) = ask(inputs([a_pod("web-0", WEB)], tracks, newest)).rows
    assert (row.state, row.ratio) == ("above", 1.5)


def test_what_the_kubelet_applied_is_in_force_and_not_what_is_asked_for() -> None:
    applied = {"name": "app", "state": {"running": {}}, "resources": {
        "limits": {"cpu": "1", "memory": "130Mi"}, "requests": {"cpu": "200m", "memory": "100Mi"}}}  # fmt: skip
    pod = a_pod("web-0", WEB, status={"containerStatuses": [applied]})
    (row,) = ask(given_memory([125] * 20, pod)).rows
    assert (row.allowed, row.state) == (130 * MIB, "approaching")


def test_a_limit_of_the_pod_as_a_whole_and_sidecars() -> None:
    sidecar = container("proxy", restartPolicy="Always")
    once = container("setup", {"memory": "1Mi"}, {"memory": "1Mi"})
    pod = a_pod("web-0", container("app"), spec={
        "initContainers": [sidecar, once], "resources": {"limits": {"memory": "200Mi"}}})  # fmt: skip
    tracks = {(MEMORY, "container"): [
        *memory([100] * 20), *memory([90] * 10 + [GAP] * 5 + [85] * 5, name="proxy"),
    ]}  # fmt: skip
    newest = [now_of("web-0", "app", memory=100 * MIB), now_of("web-0", "proxy", memory=85 * MIB)]
    (row,) = ask(inputs([pod], tracks, newest)).rows
    assert (row.container, row.state, row.peak, row.now) == ("", "approaching", 190 * MIB, 185 * MIB)
    assert (row.share, row.points) == (1.0, (15, 20, "points"))
    assert row.longest == 150.0  # a gap ends a run
    # One of the two is not measured: the other alone is not the pod.
    alone = [now_of("web-0", "app", memory=199 * MIB)]
    assert ask(inputs([pod], {(MEMORY, "container"): memory([199] * 20)}, alone)).rows == ()


def test_ephemeral_storage_and_pids_where_they_are_known() -> None:
    pod = a_pod("web-0", container("app", None, {"ephemeral-storage": "1Gi"}))
    newest = [
        now_of("web-0", "", ephemeral_storage__usage=1100 * MIB),
        now_of("web-0", "app", pids__usage=96, pids__limit=100),
    ]
    found = ask(inputs([pod], {("ephemeral_storage/usage", "pod"): memory([1000] * 20, name="")}, newest))
    rows = {row.resource: (row.container, row.state, row.now) for row in found.rows}
    assert rows == {"ephemeral-storage": ("", "above", 1100 * MIB), "pids": ("app", "approaching", 96)}
    assert {one.about.part: one.severity for one in found.findings if one.rule == "limit-breach"} == {
        "ephemeral-storage": CRITICAL, "pids": WARNING,
    }  # fmt: skip


def test_where_the_history_does_not_cover_the_window_the_newest_values_tell_alone() -> None:
    (row,) = (found := ask(given_memory([250] * 10 + [190] * 10, since=NOW - 150))).rows
    assert (row.share, row.longest, row.peak, row.points, row.least_left) == (None,) * 5
    assert (row.history_since, row.now, row.state) == (NOW - 150, 190 * MIB, "approaching")
    (finding,) = found.findings
    assert finding.sureness == MEDIUM
    assert finding.doubts[0].startswith("history since 2023-11-14T22:12:30Z")
    assert ask(given_memory([250] * 10 + [10] * 10, since=None)).rows == ()
    (row,) = ask(given_memory([150] * 19 + [190], since=NOW - 290)).rows
    assert row.share == 1 / 20
    # A pod that is younger than the history is covered by it.
    young = a_pod("web-0", WEB, age=120.0)
    (row,) = ask(given_memory([190] * 5, young, since=NOW - 150)).rows
    assert row.points == (5, 5, "points")


@pytest.mark.parametrize(
    ("gaps", "sureness"), [(1, HIGH), (2, HIGH), (3, MEDIUM), (9, MEDIUM), (10, LOW), (16, LOW)]
)
def test_missing_points_lower_sureness_and_are_shown(gaps: int, sureness: str) -> None:
    (finding,) = (found := ask(given_memory([GAP] * gaps + [190] * (20 - gaps)))).findings
    assert found.rows[0].points == (20 - gaps, 20, "points")
    assert found.rows[0].share == 1.0
    assert finding.sureness == sureness
    assert finding.doubts == (f"{gaps} of 20 points of the window are missing",)


def test_points_that_may_be_on_their_way_are_not_missing() -> None:
    given = given_memory([190] * 17 + [GAP] * 3)
    assert ask(given).rows[0].points == (17, 17, "points")
    assert ask(given).findings[0].doubts == ("what it uses now is not known",)


def test_another_pod_that_had_the_name_is_another_one() -> None:
    tracks = {(MEMORY, "container"): [*memory([50] * 20), *memory([250] * 20, uid="another")]}
    given = inputs([a_pod("web-0", WEB)], tracks, [now_of("web-0", "app", node="n9", memory=250 * MIB)])
    assert ask(given).rows == ()


def test_what_cannot_be_judged_is_told() -> None:
    found = ask(inputs([a_pod("web-0", WEB), a_pod("bad", container("app", {"cpu": "much"}))]))
    assert found.rows == ()
    assert "4 of 4 limits and requests cannot be judged: nothing is measured there" in found.worth.reasons
    assert any("'much' is no quantity" in reason for reason in found.worth.reasons)


def test_malformed_objects_stop_nobody() -> None:
    pods = [
        a_pod("web-0", WEB),
        {},
        {"metadata": 1, "spec": [], "status": "x"},
        a_pod("odd", {"name": 3, "resources": 4}),
    ]
    given = given_memory([190] * 20)
    given.state.kinds["pods"] = pods  # type: ignore[index]
    assert [row.pod for row in ask(given).rows] == ["web-0"]


def test_the_table_and_a_namespace() -> None:
    found = ask(given_memory([190] * 20))
    assert found.cells()[1] == [
        "shop", "web-0", "app", "memory", "approaching limit", "190Mi", "200Mi", "100%", "-", "10Mi",
    ]  # fmt: skip
    assert found.cells(wide=True)[1][-5:] == ["190Mi", "5m", "20/20", "n1", "pod/web-0"]
    assert found.to_dict()["rows"][0]["points"] == {"known": 20, "of": 20, "what": "points"}
    assert ask(given_memory([190] * 20), namespace="lab").rows == ()


def test_a_threshold_above_all_leaves_out_what_is_at_its_limit() -> None:
    assert ask(given_memory([199] * 20), threshold=2.0).rows == ()
    (row,) = ask(given_memory([199] * 20), threshold=1.5).rows
    assert row.against == "request"


def test_amounts_as_people_read_them() -> None:
    amounts = {250.4: "250m", 2.5: "2.5m", -0.04: "0m", -500.4: "-500m", 0.0: "0m"}
    assert {value: words.amount("cpu", value) for value in amounts} == amounts
    sizes = {0.0: "0", 1536.0: "1.5Ki", 194.5 * MIB: "194.5Mi", -2048 * MIB: "-2Gi"}
    assert {value: words.amount("memory", value) for value in sizes} == sizes
    assert [words.share(value) for value in (0.973, 0.0931, 0.0, None)] == ["97%", "9.3%", "0%", "-"]
