"""/metrics/cadvisor and /stats/summary of simulated kubelets: each number is what the loads come to."""

from __future__ import annotations

import json
import re
from typing import Any, Dict, List, Set

import pytest
from krm.simulator.kubelet_cadvisor import PAUSE, digest
from krm.simulator.kubelet_loads import MIB, Life, Load, Pressure
from krm.simulator.kubelet_nodes import GIB, Container, Node, Pod, Volume
from krm.simulator.kubelet_serving import Kubelet
from krm.simulator.kubelet_used import SYSTEM_DISK
from simulator.kubelet_samples import CADVISOR, SUMMARY, T0, Clock, Key, of, samples

UID = "0f5bd0b1-3c1f-4c62-8ac5-0d7a7a7a5b11"
WEB = Load(
    cpu=250.0, memory=100.0 * MIB, rss=70.0 * MIB, cache=50.0 * MIB, swap=2.0 * MIB, kernel=0.2,
    throttled=0.3, throttled_time=0.05, faults=20.0, major_faults=0.5, rx=1000.0, tx=3000.0, rx_errors=0.1,
    tx_errors=0.2, reads=40960.0, writes=8192.0, rootfs=5.0 * MIB, logs=100.0, oom_kills=0.01, processes=3,
    threads=17, pressure=Pressure(0.2, 0.1, 0.03, 0.02, 0.4, 0.3),
)  # fmt: skip
LOG = Load(cpu=10.0, memory=20.0 * MIB, rx=10.0)
SYSTEM = Load(cpu=100.0, memory=float(GIB), rx=500.0, processes=100, faults=5.0)
POD_PATH = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod%s.slice" % UID.replace("-", "_")
AGO = 1000.0  # seconds that all has run


def kubelet(**options: Any) -> Kubelet:
    web = Container("web", Life(T0, WEB), cpu_limit=500.0, memory_limit=256 * MIB)
    log = Container("log", Life(T0, LOG), image="registry.example/log:2")
    volumes = (Volume("scratch", 10 * MIB), Volume("data", 3 * GIB, 10 * GIB, claim="data-web-0"))
    pods = [Pod("shop", "web-0", [web, log], UID, volumes=volumes)]
    node = Node("node-1", pods, cores=4, memory=16 * GIB, system=SYSTEM, **options)
    clock = Clock()
    clock.now = T0 + AGO
    return Kubelet(node, clock)


def web(page: bytes, name: str, **extra: str) -> Any:
    found = digest(UID, "web", 0)
    where = {
        "container": "web",
        "id": "%s/cri-containerd-%s.scope" % (POD_PATH, found),
        "image": "registry.example/team/app:1.0.0",
        "name": found,
        "namespace": "shop",
        "pod": "web-0",
    }
    return of(page, "container_" + name, **where, **extra)


def of_pod(page: bytes, name: str, **extra: str) -> float:
    where = {"container": "", "id": POD_PATH, "image": "", "name": "", "namespace": "shop", "pod": "web-0"}
    return of(page, "container_" + name, **where, **extra).value


def of_root(page: bytes, name: str, **extra: str) -> float:
    where = dict.fromkeys(("container", "image", "name", "namespace", "pod"), "")
    return of(page, "container_" + name, id="/", **where, **extra).value


DISK = {"device": "/dev/vda"}
SENT = "container_network_transmit_bytes_total"


@pytest.mark.parametrize(
    ("name", "extra", "value"),
    [
        ("cpu_usage_seconds_total", {"cpu": "total"}, 250.0),
        ("cpu_user_seconds_total", {}, 200.0),
        ("cpu_system_seconds_total", {}, 50.0),
        ("cpu_cfs_periods_total", {}, 10_000),
        ("cpu_cfs_throttled_periods_total", {}, 3_000),
        ("cpu_cfs_throttled_seconds_total", {}, 50.0),
        ("memory_usage_bytes", {}, 120 * MIB),
        ("memory_working_set_bytes", {}, 100 * MIB),
        ("memory_rss", {}, 70 * MIB),
        ("memory_cache", {}, 50 * MIB),
        ("memory_total_inactive_file_bytes", {}, 20 * MIB),
        ("memory_total_active_file_bytes", {}, 30 * MIB),
        ("memory_swap", {}, 2 * MIB),
        ("memory_failures_total", {"failure_type": "pgfault", "scope": "container"}, 20_000),
        ("memory_failures_total", {"failure_type": "pgmajfault", "scope": "hierarchy"}, 500),
        ("fs_reads_bytes_total", DISK, 40_960_000),
        ("fs_reads_total", DISK, 10_000),
        ("fs_writes_bytes_total", DISK, 8_192_000),
        ("pressure_cpu_waiting_seconds_total", {}, 200.0),
        ("pressure_cpu_stalled_seconds_total", {}, 100.0),
        ("pressure_memory_waiting_seconds_total", {}, 30.0),
        ("pressure_memory_stalled_seconds_total", {}, 20.0),
        ("pressure_io_waiting_seconds_total", {}, 400.0),
        ("pressure_io_stalled_seconds_total", {}, 300.0),
        ("oom_events_total", {}, 10),
        ("processes", {}, 3),
        ("threads", {}, 17),
        ("start_time_seconds", {}, T0),
        ("spec_cpu_quota", {}, 50_000),
        ("spec_memory_limit_bytes", {}, 256 * MIB),
    ],
)
def test_a_container_on_the_cadvisor_page(name: str, extra: Dict[str, str], value: float) -> None:
    sample = web(kubelet().page(CADVISOR), name, **extra)
    assert sample.value == pytest.approx(value, rel=1e-12)
    stamped = name not in ("start_time_seconds", "spec_cpu_quota", "spec_memory_limit_bytes")
    assert (sample.timestamp is not None) == stamped
    assert not stamped or float(sample.timestamp) == T0 + AGO


def test_pods_and_the_node_on_the_cadvisor_page() -> None:
    page = kubelet().page(CADVISOR)
    assert of_pod(page, "cpu_usage_seconds_total", cpu="total") == 260.0
    assert of_pod(page, "memory_working_set_bytes") == 120 * MIB
    assert of_root(page, "cpu_usage_seconds_total", cpu="total") == 360.0
    assert of_root(page, "memory_working_set_bytes") == GIB + 120 * MIB
    assert of_root(page, "network_receive_bytes_total", interface="eth0") == 1_510_000
    assert of_root(page, "fs_limit_bytes", device="/dev/vda") == 100 * GIB
    assert of_root(page, "fs_usage_bytes", device="/dev/vda") == SYSTEM_DISK + 5 * MIB + 100_000
    ids = dict.fromkeys(("boot_id", "machine_id", "system_uuid"), "node-1")
    assert of(page, "machine_memory_bytes", **ids).value == 16 * GIB


def test_families_and_lines_come_in_the_order_in_which_go_writes_them() -> None:
    families: List[str] = []
    keys: List[List[str]] = []
    for line in kubelet().page(CADVISOR).decode().splitlines():
        if line.startswith("# HELP"):
            families.append(line.split()[2])
            keys = []
        elif not line.startswith("#"):
            keys.append(re.findall('="([^"]*)"', line))
            assert keys == sorted(keys), line
    assert families == sorted(families)
    assert len(families) > 60


def test_network_is_told_of_the_sandbox_and_the_root_alone() -> None:
    found = samples(kubelet().page(CADVISOR))
    rows = [(dict(labels), sample.value) for (name, labels), sample in found.items() if name == SENT]
    sandbox = digest(UID, "sandbox")
    assert [(row["id"], row["name"], row["container"], row["image"], value) for row, value in rows] == [
        ("/", "", "", "", 3_000_000),
        ("%s/cri-containerd-%s.scope" % (POD_PATH, sandbox), sandbox, "", PAUSE, 3_000_000),
    ]


def test_a_container_without_a_limit_has_no_quota() -> None:
    with_quota = {
        dict(labels)["container"]
        for name, labels in samples(kubelet().page(CADVISOR))
        if name == "container_cpu_cfs_periods_total"
    }
    assert with_quota == {"web"}  # and so its pod has none either


def test_a_restarted_container_has_other_series() -> None:
    found = kubelet()
    found.node.pods["shop/web-0"].container("web").life.restart(T0 + 900)
    page = found.page(CADVISOR)
    used = {
        dict(labels)["name"]: sample.value
        for (name, labels), sample in samples(page).items()
        if name == "container_cpu_usage_seconds_total" and dict(labels)["container"] == "web"
    }
    assert used == {digest(UID, "web", 1): 25.0}
    assert of_pod(page, "cpu_usage_seconds_total", cpu="total") == 260.0


def test_cgroups_may_be_named_as_cgroupfs_names_them() -> None:
    ids = {dict(labels).get("id") for _, labels in samples(kubelet(systemd=False).page(CADVISOR))}
    path = "/kubepods/burstable/pod" + UID
    inside = {"%s/%s" % (path, digest(UID, *parts)) for parts in (("sandbox",), ("web", 0), ("log", 0))}
    assert ids == {None, "/", "/kubepods", "/kubepods/burstable", path, *inside}


def summary(found: Kubelet) -> Any:
    return json.loads(found.page(SUMMARY))


AT = "2027-01-15T08:16:40Z"  # T0 + AGO
BEGUN = "2027-01-15T08:00:00Z"


def test_a_container_in_the_summary() -> None:
    pod = summary(kubelet())["pods"][0]
    assert pod["podRef"] == {"name": "web-0", "namespace": "shop", "uid": UID}
    assert [container["name"] for container in pod["containers"]] == ["log", "web"]
    found = pod["containers"][1]
    assert (found["startTime"], found["cpu"]["time"]) == (BEGUN, AT)
    assert found["cpu"]["usageNanoCores"] == 250_000_000
    assert found["cpu"]["usageCoreNanoSeconds"] == 250_000_000_000
    psi = found["cpu"]["psi"]
    assert psi["some"] == {"total": 200_000_000, "avg10": 20, "avg60": 20, "avg300": 20}
    assert psi["full"]["total"] == 100_000_000
    assert found["memory"]["psi"]["some"]["total"] == 30_000_000
    assert found["io"]["psi"]["full"]["avg60"] == 30
    memory = {name: value for name, value in found["memory"].items() if name not in ("time", "psi")}
    assert memory == {
        "availableBytes": 156 * MIB,
        "usageBytes": 120 * MIB,
        "workingSetBytes": 100 * MIB,
        "rssBytes": 70 * MIB,
        "pageFaults": 20_000,
        "majorPageFaults": 500,
    }
    assert found["swap"]["swapUsageBytes"] == 2 * MIB
    assert found["rootfs"]["usedBytes"] == 5 * MIB
    assert found["logs"]["usedBytes"] == 100_000
    assert "availableBytes" not in pod["containers"][0]["memory"]  # it has no limit


def test_a_pod_in_the_summary() -> None:
    pod = summary(kubelet())["pods"][0]
    assert pod["cpu"]["usageCoreNanoSeconds"] == 260_000_000_000
    assert pod["memory"]["workingSetBytes"] == 120 * MIB
    counted = {"name": "eth0", "rxBytes": 1_010_000, "rxErrors": 100, "txBytes": 3_000_000, "txErrors": 200}
    assert pod["network"] == {"time": AT, **counted, "interfaces": [counted]}
    assert pod["process_stats"] == {"process_count": 4}
    assert pod["ephemeral-storage"]["usedBytes"] == 15 * MIB + 100_000  # the claim's bytes are not of the node
    scratch, data = pod["volume"]
    assert (scratch["name"], scratch["usedBytes"], "pvcRef" in scratch) == ("scratch", 10 * MIB, False)
    assert data["pvcRef"] == {"name": "data-web-0", "namespace": "shop"}
    assert (data["capacityBytes"], data["availableBytes"]) == (10 * GIB, 7 * GIB)


def test_the_node_in_the_summary() -> None:
    node = summary(kubelet())["node"]
    assert (node["nodeName"], node["startTime"]) == ("node-1", BEGUN)
    assert node["cpu"]["usageCoreNanoSeconds"] == 360_000_000_000
    assert node["memory"]["workingSetBytes"] == GIB + 120 * MIB
    assert node["memory"]["availableBytes"] == 15 * GIB - 120 * MIB
    assert node["network"]["rxBytes"] == 1_510_000
    used = SYSTEM_DISK + 5 * MIB + 100_000
    disk = node["fs"]
    assert (disk["capacityBytes"], disk["usedBytes"], disk["availableBytes"]) == (100 * GIB, used, 100 * GIB - used)
    assert disk["inodes"] == disk["inodesFree"] + disk["inodesUsed"]
    assert node["rlimit"]["curproc"] == 104
    assert node["runtime"]["imageFs"]["capacityBytes"] == 100 * GIB
    names = [each["name"] for each in node["systemContainers"]]
    assert names == ["kubelet", "pods"]
    assert node["systemContainers"][1]["cpu"]["usageCoreNanoSeconds"] == 260_000_000_000


# As the Go types have them.
PARTS = {
    "node": "nodeName systemContainers startTime cpu memory io network fs runtime rlimit swap",
    "pod": "podRef startTime containers cpu memory io network volume ephemeral-storage process_stats swap",
    "container": "name startTime cpu memory io rootfs logs swap",
}


def test_the_summary_has_its_parts_in_the_order_of_the_go_types() -> None:
    whole = summary(kubelet())
    assert list(whole) == ["node", "pods"]
    pod = whole["pods"][0]
    found = {"node": whole["node"], "pod": pod, "container": pod["containers"][1]}
    assert {name: " ".join(part) for name, part in found.items()} == PARTS


def test_what_the_pages_say_of_one_moment_is_the_same() -> None:
    found = kubelet()
    page, whole = found.page(CADVISOR), summary(found)
    container = whole["pods"][0]["containers"][1]
    assert web(page, "memory_rss").value == container["memory"]["rssBytes"]
    assert web(page, "cpu_usage_seconds_total", cpu="total").value * 1e9 == container["cpu"]["usageCoreNanoSeconds"]
    assert web(page, "pressure_io_waiting_seconds_total").value * 1e6 == container["io"]["psi"]["some"]["total"]


def test_all_times_are_by_the_clock_of_the_node() -> None:
    found = kubelet(skew=-3600.0)
    page, whole = found.page(CADVISOR), summary(found)
    used = web(page, "cpu_usage_seconds_total", cpu="total")
    assert (used.value, float(used.timestamp)) == (250.0, T0 + AGO - 3600.0)
    starts = {s.value for (name, _), s in samples(page).items() if name == "container_start_time_seconds"}
    assert starts == {T0 - 3600.0}
    assert whole["node"]["startTime"] == whole["pods"][0]["startTime"] == "2027-01-15T07:00:00Z"
    assert whole["pods"][0]["containers"][1]["startTime"] == "2027-01-15T07:00:00Z"
    assert whole["pods"][0]["containers"][1]["cpu"]["time"] == "2027-01-15T07:16:40Z"


def test_every_counter_of_the_pages_only_grows() -> None:
    found = kubelet()
    before: Dict[Key, float] = {}
    kinds: Set[str] = set()
    for later in (0.0, 0.004, 17.3, 4000.9):
        found.clock.now = T0 + AGO + later  # type: ignore[attr-defined]
        now = samples(found.page(CADVISOR))
        counted = {key: sample.value for key, sample in now.items() if key[0].endswith("_total")}
        kinds |= {name for name, _ in counted}
        assert all(value >= before.get(key, 0) for key, value in counted.items())
        before = counted
    assert len(kinds) > 35


def test_pages_without_a_pod_are_pages() -> None:
    clock = Clock()
    empty = Kubelet(Node("node-1", start=T0), clock)
    clock.now = T0 + 10
    assert json.loads(empty.page(SUMMARY))["pods"] == []
    names: List[str] = [name for name, _ in samples(empty.page(CADVISOR))]
    assert "container_network_receive_bytes_total" in names
