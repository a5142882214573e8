"""Thresholds, eviction order and oom_score_adj: what the kubelet's own packages make of a table of cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest
from krm.analysis.nodes import ranking, thresholds
from krm.analysis.nodes.ranking import Candidate, candidate, oom_scores, qos_of, ranked
from krm.analysis.nodes.thresholds import BadThreshold, rows_of, thresholds_of
from krm.model.amounts import MEMORY, STORAGE
from krm.model.kubelets import KubeletConfig, NodeKubelet, config_of
from krm.model.podresources import pod_resources
from krm.model.quantities import parse

ORACLE = json.loads((Path(__file__).parents[2] / "oracles" / "eviction.json").read_text(encoding="utf-8"))
Case = Dict[str, Any]


def named(part: str) -> List[Any]:
    return [pytest.param(one["Asked"], one["Told"], id=one["Asked"]["Name"]) for one in ORACLE[part]]


def used(case: Case, pod: Case) -> Optional[float]:
    """As the kubelet adds it up; of what krm has only sums, tests of krm's own answer tell."""
    told = case["Usage"].get(pod["metadata"]["uid"])
    if told is None:
        return None
    if case["Signal"] == "memory.available":
        return float(told.get("Memory", 0))
    if case["Signal"] == "pid.available":
        return float(told.get("Processes", 0))
    inodes = "inodes" in case["Signal"]
    local = {one["name"] for one in pod["spec"].get("volumes", ()) if "emptyDir" in one}
    volumes = told.get("VolumeInodes" if inodes else "Volumes", {})
    rootfs, logs = (told.get(name, 0) for name in (("RootfsInodes", "LogInodes") if inodes else ("Rootfs", "Logs")))
    scratch = sum(value for name, value in volumes.items() if name in local)
    if case["ImageFs"] and not case["ContainerFs"]:
        return float(rootfs if case["Signal"].startswith("imagefs") else logs + scratch)
    return float(rootfs + logs + scratch)


def candidates(case: Case) -> List[Candidate]:
    resource = {"memory.available": MEMORY, "pid.available": ""}.get(case["Signal"], STORAGE)
    return [candidate(pod, pod_resources(pod)).of(resource, used(case, pod)) for pod in case["Pods"]]


@pytest.mark.parametrize(("asked", "told"), named("Ranks"))
def test_the_order_is_the_kubelets(asked: Case, told: Case) -> None:
    order = ranked(candidates(asked), asked["Signal"])
    keys = [ranking._key(one, asked["Signal"]) for one in order]
    mine, theirs = [one.uid for one in order], told["Order"]
    # Among equals Go's sort leaves the order open: they are compared as sets.
    groups: List[List[str]] = []
    for place, key in enumerate(keys):
        if place and key == keys[place - 1]:
            groups[-1].append(mine[place])
        else:
            groups.append([mine[place]])
    for group in groups:
        assert set(theirs[: len(group)]) == set(group)
        theirs = theirs[len(group) :]
    assert {one.uid for one in order if one.protected} == set(told["Protected"])
    if all(len(group) == 1 for group in groups):
        assert next((one.uid for one in order if not one.protected), "") == told["Victim"]


def test_nearly_no_case_leaves_the_order_open() -> None:
    ties = 0
    for one in ORACLE["Ranks"]:
        keys = [ranking._key(each, one["Asked"]["Signal"]) for each in candidates(one["Asked"])]
        ties += len(set(keys)) < len(keys)
    assert len(ORACLE["Ranks"]) >= 70
    assert ties <= 5


@pytest.mark.parametrize(("asked", "told"), named("Configs"))
def test_thresholds_are_read_as_the_kubelet_reads_them(asked: Case, told: Case) -> None:
    names = ("Hard", "Soft", "SoftGrace", "MinimumReclaim")
    config = KubeletConfig(*[asked.get(name, {}) for name in names], enforced=tuple(asked.get("Enforce", ())))
    if told["Error"]:
        with pytest.raises(BadThreshold):
            rows_of(config)
        kept = thresholds_of(NodeKubelet("n", config, 1.0))
        assert (kept.own, kept.rows) == (False, tuple(rows_of(thresholds.DEFAULTS)))
        assert "defaults" in kept.why
        return
    mine = sorted(
        (row.signal, row.grace, row.amount.of(asked["Capacities"][row.signal]), row.reclaim is not None)
        for row in rows_of(config)
    )
    assert mine == sorted(
        (row["Signal"], row["GraceSeconds"], row["Quantity"], row["MinReclaim"] is not None)
        for row in told["Thresholds"]
    )
    for row in told["Thresholds"]:
        (one,) = [
            each for each in rows_of(config) if (each.signal, each.grace) == (row["Signal"], row["GraceSeconds"])
        ]
        if row["MinReclaim"] is not None and one.reclaim is not None:
            wanted = row["MinReclaim"]
            mine_too = one.reclaim.quantity if one.reclaim.quantity is not None else round(one.reclaim.share, 6)
            assert mine_too == (parse(wanted) if one.reclaim.quantity is not None else float(wanted))


@pytest.mark.parametrize(
    ("page", "hard"),
    list(zip(ORACLE["Configz"], [thresholds.DEFAULT_HARD, {"memory.available": "1Gi"}, {}])),
    ids=["defaults", "one", "none"],
)
def test_a_page_of_a_kubelets_own_making_is_read(page: Case, hard: Dict[str, str]) -> None:
    config = config_of(page)
    assert config is not None
    assert config.hard == hard
    assert (config.pressure_transition, config.max_pods, config.enforced) == ("5m0s", 110, ("pods",))
    found = thresholds_of(NodeKubelet("n", config, 1.0))
    assert found.own
    assert {row.signal for row in found.rows} == {*hard, *(["allocatableMemory.available"] if hard else [])}
    assert found.transition == 300


def test_the_defaults_are_the_kubelets() -> None:
    assert ORACLE["Defaults"] == thresholds.DEFAULT_HARD


@pytest.mark.parametrize(
    ("kubelet", "why"),
    [
        (None, "was not asked"),
        (NodeKubelet("n", None), "not answered yet"),
        (NodeKubelet("n", None, None, "403: forbidden"), "403"),
    ],
)
def test_where_a_kubelet_does_not_tell_defaults_are_taken_and_said_so(
    kubelet: Optional[NodeKubelet], why: str
) -> None:
    found = thresholds_of(kubelet)
    assert not found.own
    assert why in found.why
    assert {row.signal for row in found.rows} == {*thresholds.DEFAULT_HARD, thresholds.ALL_PODS}


@pytest.mark.parametrize(("asked", "told"), named("Oom"))
def test_oom_scores_are_the_kubelets(asked: Case, told: Case) -> None:
    assert qos_of(asked["Pod"]) == told["Qos"]
    assert oom_scores(asked["Pod"], pod_resources(asked["Pod"]), asked["MemoryCapacity"]) == told["Scores"]


def test_without_the_capacity_a_burstable_score_is_not_known() -> None:
    pods = {one["Asked"]["Name"]: one["Asked"]["Pod"] for one in ORACLE["Oom"]}
    for name, score in (("burstable", None), ("best effort", 1000)):
        assert oom_scores(pods[name], pod_resources(pods[name]), None) == {"app": score}
