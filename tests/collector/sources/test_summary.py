"""/stats/summary: each section with its own time, and what is missing unknown."""

from __future__ import annotations

import json
import time
from typing import Any, Dict, List

import pytest
from cluster.scripted import ScriptedServer, answer
from collector.sources.pages import NODE, NOW
from collector.sources.paper import APP, PROXY, TARGET, UID, Clock, looks, node, subject
from krm.cluster.endpoints import Endpoints, Trust
from krm.collector.source import NoData
from krm.collector.sources import asking
from krm.collector.sources.summary import MAX_PARTS, Summary, samples_of
from krm.model import times
from krm.model.measures import Sample, Subject
from krm.model.metrics import TABLE
from krm.simulator.kubelet_loads import MIB
from krm.simulator.kubelets import Kubelets

PATH = "/stats/summary"


@pytest.fixture(params=["msgspec", "json"], autouse=True)
def decoder(request, monkeypatch) -> None:
    """Both ways to read JSON."""
    if request.param == "json":
        monkeypatch.setattr(asking, "_DECODE", asking._plainly)
    elif asking.msgspec is None:
        pytest.skip("needs msgspec: pip install 'krm[fast]'")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kubelets(clock: Clock):
    with Kubelets([node()], tls=False, clock=clock) as running:
        yield running


def at(seconds: float) -> str:
    return times.write(NOW - seconds)


def page(**pod: Any) -> Dict[str, Any]:
    whole = {"podRef": {"name": "web-0", "namespace": "shop", "uid": UID}, **pod}
    return {"node": {"cpu": {"time": at(1), "usageCoreNanoSeconds": 5}}, "pods": [whole]}


def read(found: object) -> Dict[Subject, List[Sample]]:
    known: Dict[Subject, List[Sample]] = {}
    for sample in samples_of(json.dumps(found).encode(), NODE, NOW):
        known.setdefault(sample.subject, []).append(sample)
    return known


def test_a_simulated_kubelet(kubelets: Kubelets, clock: Clock) -> None:
    found = looks(PATH, samples_of, [30.0], kubelets, clock)
    app, pod, whole = found[subject("app")], found[subject()], found[subject(pod="")]
    exact = {
        "cpu/usage_rate": APP.cpu, "memory/working_set": 200 * MIB, "memory/rss": 120 * MIB,
        "memory/usage": 220 * MIB, "swap/usage": 3 * MIB, "memory/page_faults_rate": APP.faults,
        "memory/major_page_faults_rate": APP.major_faults, "uptime": 630_000,
    }  # fmt: skip
    assert {name: app[name] for name in exact} == pytest.approx(exact)
    assert pod["cpu/usage_rate"] == pytest.approx(APP.cpu + PROXY.cpu)
    assert (pod["network/rx_rate"], pod["network/tx_rate"]) == (10_000.0, 5_000.0)
    assert (pod["network/rx_errors_rate"], pod["network/tx_errors_rate"]) == (1.0, 0.5)
    assert pod["ephemeral_storage/usage"] == pytest.approx(17 * MIB + 63_000, abs=4096)
    assert "pids/usage" not in pod
    assert whole["pids/limit"] == 4194304
    assert whole["network/rx_rate"] == 10_000.0
    assert found[subject("app", resource_id="/")]["filesystem/usage"] == 10 * MIB
    assert found[subject("app", resource_id="logs")]["filesystem/usage"] == pytest.approx(63_000, abs=4096)
    assert set(found[subject(pod="", resource_id="/")]) == {
        "filesystem/usage", "filesystem/limit", "filesystem/available", "filesystem/inodes",
        "filesystem/inodes_free",
    }  # fmt: skip


def test_every_metric_is_in_the_table_with_its_level_and_source(kubelets: Kubelets, clock: Clock) -> None:
    for found, values in looks(PATH, samples_of, [30.0], kubelets, clock).items():
        for name in values:
            assert found.level in TABLE[name].levels, (found, name)
            assert "kubelet/summary" in TABLE[name].sources


def test_a_container_that_restarts_shows_neither_a_negative_nor_a_spike(kubelets: Kubelets, clock: Clock) -> None:
    kubelets.restart("worker-1", "shop/web-0", "app", clock.now + 12.0)
    found = looks(PATH, samples_of, [10.0, 10.0], kubelets, clock)
    assert found[subject("app")]["cpu/usage_rate"] == pytest.approx(250.0)
    assert found[subject()]["network/rx_rate"] == pytest.approx(10_000.0)


def test_sections_of_another_moment_stand_apart() -> None:
    found = read(page(
        startTime=at(60), cpu={"time": at(10), "usageCoreNanoSeconds": 7},
        memory={"time": at(10), "rssBytes": 1}, network={"time": at(3), "name": "eth0", "rxBytes": 9},
        **{"ephemeral-storage": {"time": at(40), "usedBytes": 3}},
    ))  # fmt: skip
    assert [(sample.at - NOW, dict(sample.values)) for sample in found[subject()]] == [
        (-10.0, {"cpu/usage": 7, "memory/rss": 1, "uptime": 50_000}),
        (-3.0, {"network/rx": 9}),
        (-40.0, {"ephemeral_storage/usage": 3}),
    ]
    assert {sample.started for sample in found[subject()]} == {NOW - 60}


@pytest.mark.parametrize("value", [None, "12", -1, True, [], 1e300, 2**70])
def test_what_is_no_number_is_unknown(value: object) -> None:
    found = read(page(memory={"time": at(10), "rssBytes": value, "usageBytes": 5}))
    assert found[subject()][0].values == {"memory/usage": 5}


@pytest.mark.parametrize("written", [None, "", "yesterday", 17, "9999-01-01T00:00:00Z", "1969-01-01T00:00:00Z"])
def test_a_section_without_a_time_is_unknown(written: object) -> None:
    assert subject() not in read(page(memory={"time": written, "rssBytes": 5}))


@pytest.mark.parametrize("ref", [None, {}, [], {"name": "web-0"}, {"name": 1, "namespace": "shop"}])
def test_a_pod_that_is_not_named_is_left_out(ref: object) -> None:
    assert list(read(page(podRef=ref, memory={"time": at(1), "rssBytes": 5}))) == [subject(pod="")]


def test_the_network_of_a_node_without_a_default_is_that_of_its_ways_out() -> None:
    rows = [{"name": name, "rxBytes": 10**n} for n, name in enumerate(["lo", "ens5", "cni0", "ens6"])]
    whole = {"node": {"network": {"time": at(1), "name": "", "interfaces": rows}}}
    assert read(whole)[subject(pod="")][0].values == {"network/rx": 1010}


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[]", b"null", b"{}", b"<html>", b'{"node": NaN}', b'{"node": ' + b"[" * 100_000, b"\xff",
     b'{"node": {"cpu": {"usageCoreNanoSeconds": ' + b"1" * 1_000_000 + b"}}}", b'{"node":1e400}'],
    ids=lambda raw: repr(raw[:12]),
)  # fmt: skip
def test_a_page_that_is_none_is_no_data(raw: bytes) -> None:
    began = time.process_time()
    with pytest.raises(NoData, match="worker-1"):
        samples_of(raw, TARGET, NOW)
    assert time.process_time() - began < 1.0


def test_a_page_of_a_million_parts_is_not_read() -> None:
    rows = [{"name": f"eth{n}"} for n in range(MAX_PARTS + 1)]
    with pytest.raises(NoData, match="parts"):
        read(page(network={"time": at(1), "interfaces": rows}))


def test_a_kubelet_that_answers_500_makes_it_unknown() -> None:
    with ScriptedServer([answer(b'cannot find filesystem info for device "/dev/sda"', 500)]) as server:
        with pytest.raises(NoData, match="unknown") as raised:
            Summary(Endpoints(Trust()))(NODE._replace(url=server.url), NOW)
        assert "answered 500" in str(raised.value)
        assert "sda" not in str(raised.value)


def test_half_a_character_spoils_its_page_and_no_more() -> None:
    """It cannot be written as UTF-8: whoever wrote it on would fail."""
    half = {"name": "\ud800", "cpu": {"time": at(1), "usageCoreNanoSeconds": 5}}
    with pytest.raises(NoData):
        read(page(containers=[half]))
    whole = {**half, "name": "\U0001f600"}
    assert any(subject.container == "\U0001f600" for subject in read(page(containers=[whole])))
