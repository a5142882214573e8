"""/metrics/cadvisor: each cgroup's numbers go to whom they belong, and only what is asked for is read."""

from __future__ import annotations

import time
from typing import Dict, List

import pytest
from collector.sources.pages import AT, MILLIS, NODE, NOW
from collector.sources.paper import APP, PROXY, TARGET, UID, Clock, looks, node, subject
from krm.collector.source import NoData
from krm.collector.sources.cadvisor import samples_of
from krm.model.measures import Sample, Subject
from krm.model.metrics import TABLE
from krm.simulator.kubelet_loads import MIB
from krm.simulator.kubelets import Kubelets

PATH = "/metrics/cadvisor"
POD = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod%s.slice" % UID.replace("-", "_")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kubelets(clock: Clock):
    with Kubelets([node()], tls=False, clock=clock) as running:
        yield running


def cgroup(
    name: str, value: object, container: str = "app", id: str = POD + "/cri-1", called: str = "1", **more: str
) -> str:
    pod = {} if id == "/" else {"namespace": "shop", "pod": "web-0"}
    labels = {
        "container": container,
        "id": id,
        "image": "",
        "name": called,
        "namespace": "",
        "pod": "",
        **pod,
        **more,
    }
    text = ",".join(f'{key}="{labels[key]}"' for key in sorted(labels))
    return f"container_{name}{{{text}}} {value} {MILLIS}\n"


def read(*lines: str) -> Dict[Subject, Sample]:
    found = samples_of("".join(lines).encode(), NODE, NOW)
    assert len({sample.subject for sample in found}) == len(found)
    return {sample.subject: sample for sample in found}


def test_a_container_of_a_simulated_kubelet(kubelets: Kubelets, clock: Clock) -> None:
    found = looks(PATH, samples_of, [30.5], kubelets, clock)[subject("app")]
    exact = {
        "cpu/usage_rate": 250.0, "cpu/throttled_time_rate": 0.05,
        "pressure/cpu_waiting": 0.2, "pressure/cpu_stalled": 0.1, "pressure/memory_waiting": 0.05,
        "pressure/memory_stalled": 0.0, "pressure/io_waiting": 0.4, "pressure/io_stalled": 0.3,
        "memory/working_set": 200 * MIB, "memory/rss": 120 * MIB, "memory/cache": 100 * MIB,
        "memory/usage": 220 * MIB, "swap/usage": 3 * MIB, "pids/usage": 12, "pids/limit": 4096, "uptime": 630_500,
    }  # fmt: skip
    assert {name: found[name] for name in exact} == pytest.approx(exact, rel=1e-6)
    whole = {"memory/page_faults_rate": APP.faults, "memory/major_page_faults_rate": APP.major_faults}
    assert {name: found[name] for name in whole} == pytest.approx(whole, rel=0.05)  # counted in whole ones
    assert found["cpu/throttled_share"] == pytest.approx(0.25, abs=0.01)
    assert found["oom/kills"] == 63


def test_a_pod_and_the_node(kubelets: Kubelets, clock: Clock) -> None:
    found = looks(PATH, samples_of, [30.5], kubelets, clock)
    pod, whole = found[subject()], found[subject(pod="")]
    assert pod["cpu/usage_rate"] == pytest.approx(APP.cpu + PROXY.cpu, rel=1e-6)
    assert whole["cpu/usage_rate"] == pytest.approx(APP.cpu + PROXY.cpu + 150.0, rel=1e-6)
    for known in (pod, whole):
        assert known["network/rx_rate"] == pytest.approx(10_000.0, rel=1e-4)
        assert known["network/tx_rate"] == pytest.approx(5_000.0, rel=1e-4)
        assert known["network/rx_errors_rate"] == pytest.approx(1.0, rel=0.05)
        assert known["network/tx_errors_rate"] == pytest.approx(0.5, rel=0.05)
    disk = found[subject(pod="", resource_id="/dev/vda")]
    assert disk["filesystem/limit"] == 100 * 1024 * MIB
    assert 0 < disk["filesystem/inodes_free"] < disk["filesystem/inodes"]


def test_every_metric_is_in_the_table_with_its_level_and_source(kubelets: Kubelets, clock: Clock) -> None:
    for found, values in looks(PATH, samples_of, [30.5], kubelets, clock).items():
        for name in values:
            assert found.level in TABLE[name].levels, (found, name)
            assert "kubelet/cadvisor" in TABLE[name].sources or name == "uptime"


def test_a_container_that_restarts_shows_neither_a_negative_nor_a_spike(kubelets: Kubelets, clock: Clock) -> None:
    kubelets.restart("worker-1", "shop/web-0", "app", clock.now + 12.0)
    found = looks(PATH, samples_of, [10.0, 10.0], kubelets, clock)[subject("app")]
    # The page's start is cut to a whole second.
    assert 200.0 <= found["cpu/usage_rate"] <= 250.0
    assert found["uptime"] == 8000


def test_a_former_cgroup_that_is_still_there_does_not_count() -> None:
    old, new = {"id": POD + "/cri-1", "called": "1"}, {"id": POD + "/cri-2", "called": "2"}
    lines = [
        cgroup("cpu_usage_seconds_total", 1, cpu="total", **new), cgroup("start_time_seconds", NOW - 10, **new),
        cgroup("cpu_usage_seconds_total", 900, cpu="total", **old), cgroup("start_time_seconds", NOW - 900, **old),
    ]  # fmt: skip
    for order in (lines, lines[::-1]):
        assert read(*order)[subject("app")].values["cpu/usage"] == 1e9


def test_the_sandbox_is_nobody_s_load_and_its_network_is_the_pod_s() -> None:
    sandbox = {"container": "", "id": POD + "/cri-0", "called": "0"}
    found = read(
        cgroup("cpu_usage_seconds_total", 5, container="", id=POD, called="", cpu="total"),
        cgroup("cpu_usage_seconds_total", 0.02, cpu="total", **sandbox),
        cgroup("network_receive_bytes_total", 100, interface="eth0", **sandbox),
        cgroup("network_receive_bytes_total", 11, interface="net1", **sandbox),
        cgroup("network_receive_bytes_total", 5000, interface="lo", **sandbox),
    )
    assert found == {subject(): Sample(subject(), AT, {"cpu/usage": 5e9, "network/rx": 111}, "kubelet/cadvisor")}


def test_of_a_node_the_way_out_counts() -> None:
    def rows(*names: str) -> List[str]:
        return [
            cgroup("network_receive_bytes_total", 10**n, container="", id="/", called="", interface=name)
            for n, name in enumerate(names)
        ]

    whole = subject(pod="")
    assert read(*rows("cni0", "ens5", "flannel.1", "ens6", "br-0"))[whole].values["network/rx"] == 1010
    assert read(*rows("cni0", "eth0", "ens6"))[whole].values["network/rx"] == 10


def test_one_cpu_of_many_and_one_scope_of_two_do_not_count() -> None:
    found = read(
        cgroup("cpu_usage_seconds_total", 3, cpu="cpu00"),
        cgroup("cpu_usage_seconds_total", 7, cpu="total"),
        cgroup("memory_failures_total", 1, failure_type="pgfault", scope="container"),
        cgroup("memory_failures_total", 2, failure_type="pgfault", scope="hierarchy"),
        cgroup("memory_failures_total", 3, failure_type="pgmajfault", scope="hierarchy"),
        cgroup("memory_failures_total", 4, failure_type="other", scope="hierarchy"),
    )
    assert found[subject("app")].values == {
        "cpu/usage": 7e9, "memory/page_faults": 2, "memory/major_page_faults": 3,
    }  # fmt: skip


@pytest.mark.parametrize("zero", ["threads_max", "start_time_seconds"])
def test_a_zero_that_means_none_is_unknown(zero: str) -> None:
    found = read(cgroup("threads", 3), cgroup(zero, 0))[subject("app")]
    assert (found.values, found.started) == ({"pids/usage": 3}, None)


def test_cgroups_of_no_pod_are_left_out() -> None:
    stray = 'container_threads{container="",id="/system.slice",image="",name="",namespace="",pod=""} 9\n'
    assert list(read(stray, cgroup("threads", 3))) == [subject("app")]


def test_a_static_pod_s_uid_is_not_the_api_server_s() -> None:
    """Its cgroup bears the digest of its file; the mirror pod has another uid."""
    found = read(cgroup("threads", 3, id="/kubepods/pod0123456789abcdef0123456789abcdef/cri-1"))
    assert list(found) == [subject("app", uid="")]


@pytest.mark.parametrize(
    "line",
    ["container_threads{", "container_threads 3", 'container_threads{id="x} 3', 'container_threads{a="b"} 3',
     cgroup("threads", "NaN"), cgroup("threads", "-1"), cgroup("threads", "1e400"), cgroup("threads", "x")],
)  # fmt: skip
def test_a_bad_line_costs_no_other(line: str) -> None:
    good = cgroup("threads", 3, container="other", id=POD + "/cri-9")
    assert list(read(line.rstrip() + "\n", good)) == [subject("other")]


def test_a_page_that_is_no_kubelet_s_is_no_data() -> None:
    with pytest.raises(NoData, match="worker-1"):
        read("<html>login</html>\n")


def test_hostile_pages_cost_bounded_time() -> None:
    labels = "".join(f'l{n}="x",' for n in range(100_000))
    pages = [
        b"\n" * 1_000_000,
        b"container_threads{" * 400_000,
        ("container_threads{" + labels + "} 1\n").encode() * 10,
        b'container_threads{id="/",a="' + b"x" * 8_000_000,
    ]
    for page in pages:
        began = time.process_time()
        with pytest.raises(NoData):
            samples_of(page, TARGET, NOW)
        assert time.process_time() - began < 5.0
