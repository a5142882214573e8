"""Kubelets' settings: read of /configz, kept apart from numbers, and a refusal is told and is no silence."""

from __future__ import annotations

import contextlib
import json
from typing import Any, Dict, Iterator, List, Tuple

import pytest
from cluster.scripted import ScriptedServer, answer
from krm.cluster.endpoints import Endpoints, Trust
from krm.collector.configured import LASTS, Configured
from krm.collector.schedule import Job, Name, Outcome, ask
from krm.collector.source import NoData, Target
from krm.collector.sources.configz import EVERY, NAME, Configz
from krm.collector.sources.summary import Summary
from krm.model.kubelets import KubeletConfig, NodeKubelet, config_of
from krm.store.latest_kubelets import unpack_kubelet

NOW = 1_800_000_000.0
TOLD = {
    "evictionHard": {"memory.available": "100Mi", "nodefs.available": "10%"},
    "evictionSoft": {"memory.available": "1Gi"},
    "evictionSoftGracePeriod": {"memory.available": "1m30s"},
    "evictionMinimumReclaim": {"memory.available": "500Mi"},
    "evictionPressureTransitionPeriod": "5m0s",
    "enforceNodeAllocatable": ["pods"],
    "maxPods": 110,
    "staticPodPath": "/etc/kubernetes/manifests",
}
CONFIG = KubeletConfig(
    {"memory.available": "100Mi", "nodefs.available": "10%"},
    {"memory.available": "1Gi"},
    {"memory.available": "1m30s"},
    {"memory.available": "500Mi"},
    "5m0s",
    110,
    ("pods",),
)


@contextlib.contextmanager
def kubelet(status: int, body: bytes) -> Iterator[Tuple[Configz, Target, ScriptedServer]]:
    with ScriptedServer([answer(body, status)] * 3) as server:
        yield Configz(Endpoints(Trust())), Target("node n1", "n1", url=server.url), server


def took(kept: Configured, job: Job, at: float = NOW) -> List[Outcome]:
    return kept.take([ask(job, lambda: at)])


def told(kept: Configured, *jobs: Job) -> Dict[str, NodeKubelet]:
    names: List[Name] = [job.name for job in jobs]
    return {node: unpack_kubelet(node, packed) for node, packed in kept.told(names).items()}


def test_settings_are_read_and_nothing_else_is_kept() -> None:
    with kubelet(200, json.dumps({"kubeletconfig": TOLD}).encode()) as (source, target, _):
        kept, job = Configured(source), Job(source, target, EVERY)
        assert took(kept, job) == []
        assert told(kept, job) == {"n1": NodeKubelet("n1", CONFIG, NOW)}
        assert told(kept) == {}  # a node that is asked no more is forgotten


def test_a_refusal_is_told_and_is_nobodys_silence() -> None:
    with kubelet(403, b"Forbidden (user=krm, verb=get, resource=nodes, subresource(s)=[configz proxy])") as (
        source,
        target,
        _,
    ):
        kept, job = Configured(source), Job(source, target, EVERY)
        assert took(kept, job) == []  # nothing goes on to where silences are kept
        (one,) = told(kept, job).values()
    assert one.config is None
    assert "nodes/configz" in one.why
    assert NAME == "kubelet/configz"


def test_what_was_read_counts_for_two_looks_more_and_then_it_is_not_known() -> None:
    with kubelet(200, json.dumps({"kubeletconfig": TOLD}).encode()) as (source, target, _):
        kept, job = Configured(source), Job(source, target, EVERY)
        took(kept, job)
    for later, config in ((LASTS - 1, CONFIG), (LASTS + 1, None)):
        took(kept, job, NOW + later)  # nobody listens any more
        (one,) = told(kept, job).values()
        assert one.config == config
        assert one.why


def test_numbers_pass_by() -> None:
    summary = Job(Summary(Endpoints(Trust())), Target("node n1", "n1", url="http://127.0.0.1:1"), 15.0)
    outcome = Outcome(summary, NOW, [], "away")
    assert Configured(None).take([outcome]) == [outcome]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"kubeletconfig": 7}', b"<html>"])
def test_what_is_no_kubelets_page_is_no_settings(body: bytes) -> None:
    with kubelet(200, body) as (source, target, _), pytest.raises(NoData, match="kubeletconfig"):
        source(target, NOW)


@pytest.mark.parametrize(
    ("spoilt", "config"),
    [
        ({}, KubeletConfig({})),
        ({"evictionHard": 7, "maxPods": "many", "enforceNodeAllocatable": "pods"}, KubeletConfig({})),
        ({"evictionHard": {"memory.available": 5}, "maxPods": -1}, KubeletConfig({})),
        ({"evictionHard": {"memory.available": "x" * 500}}, KubeletConfig({"memory.available": "x" * 64})),
    ],
)
def test_a_field_of_another_type_is_not_told(spoilt: Dict[str, Any], config: KubeletConfig) -> None:
    assert config_of({"kubeletconfig": spoilt}) == config
