"""Simulated kubelets: what their pages say is what their loads come to, and every fault is the asked one."""

from __future__ import annotations

import gzip
import http.client
import random
import socket
import ssl
import time
from typing import Iterator, List, Tuple

import pytest
from krm.simulator.access import Access, Rule
from krm.simulator.kubelet_loads import CPU, MIB, PERIOD, Life, Load, Wave
from krm.simulator.kubelet_nodes import Container, Node, Pod, pod
from krm.simulator.kubelet_serving import Fault, Kubelet
from krm.simulator.kubelets import Kubelets
from prometheus_client.samples import Sample
from simulator.kubelet_samples import CADVISOR, RESOURCE, SUMMARY, T0, Clock, needs_openssl, of, samples


@pytest.fixture
def clock() -> Clock:
    return Clock()


def node(name: str = "node-1", **options: float) -> Node:
    containers = {"web": Load(cpu=250.0, memory=64 * MIB, swap=4096), "log": Load(cpu=3.0, memory=10 * MIB)}
    made = Node(name, [pod("shop", "web-0", T0, containers)], system=Load(cpu=100.0, memory=900 * MIB))
    made.skew, made.interval = options.get("skew", 0.0), options.get("interval", 0.0)
    return made


@pytest.fixture
def plain(clock: Clock) -> Iterator[Kubelets]:
    with Kubelets([node()], tls=False, clock=clock) as kubelets:
        yield kubelets


WEB = {"namespace": "shop", "pod": "web-0", "container": "web"}


def ask(
    kubelets: Kubelets, path: str = RESOURCE, name: str = "node-1", timeout: float = 5.0, token: str = ""
) -> Tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", kubelets.port(name), timeout=timeout)
    try:
        connection.request("GET", path, headers={"Authorization": "Bearer " + token} if token else {})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_the_resource_page_says_what_the_loads_come_to(plain: Kubelets, clock: Clock) -> None:
    clock.now = T0 + 600.5
    page = ask(plain)[1]
    stamp = pytest.approx(clock.now, abs=1e-6)
    cpu = of(page, "container_cpu_usage_seconds_total", **WEB)
    assert (cpu.value, cpu.timestamp) == (0.25 * 600.5, stamp)
    assert of(page, "container_memory_working_set_bytes", **WEB).value == 64 * MIB
    assert of(page, "container_swap_usage_bytes", **WEB).value == 4096
    start = of(page, "container_start_time_seconds", **WEB)
    assert (start.value, start.timestamp) == (T0, None)
    whole = {"namespace": "shop", "pod": "web-0"}
    assert of(page, "pod_cpu_usage_seconds_total", **whole).value == pytest.approx(0.253 * 600.5, abs=1e-9)
    assert of(page, "pod_memory_working_set_bytes", **whole).value == 74 * MIB
    assert of(page, "node_cpu_usage_seconds_total").value == pytest.approx(0.353 * 600.5, abs=1e-9)
    assert of(page, "node_memory_working_set_bytes").value == 974 * MIB
    assert of(page, "resource_scrape_error").value == 0


def test_the_resource_page_is_written_as_a_kubelet_writes_it(plain: Kubelets, clock: Clock) -> None:
    clock.now = T0 + 8_000_000
    lines = ask(plain)[1].decode().splitlines()
    assert lines[:4] == [
        "# HELP container_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the container in "
        "core-seconds",
        "# TYPE container_cpu_usage_seconds_total counter",
        'container_cpu_usage_seconds_total{container="log",namespace="shop",pod="web-0"} 24000 1808000000000',
        'container_cpu_usage_seconds_total{container="web",namespace="shop",pod="web-0"} 2e+06 1808000000000',
    ]
    assert 'container_memory_working_set_bytes{container="web",namespace="shop",pod="web-0"} 6.7108864e+07' in (
        line.rpartition(" ")[0] for line in lines
    )
    assert 'container_start_time_seconds{container="web",namespace="shop",pod="web-0"} 1.8e+09' in lines


def test_a_steady_load_grows_at_exactly_its_rate_whenever_it_is_looked_at(plain: Kubelets, clock: Clock) -> None:
    points: List[Sample] = []
    for later in (0.0, 1.2345678, 14.9999, 15.0, 3600.1, 86400.77):
        clock.now = T0 + later
        points.append(of(plain.page("node-1", RESOURCE), "container_cpu_usage_seconds_total", **WEB))
    for before, after in zip(points, points[1:]):
        passed = round((float(after.timestamp or 0) - float(before.timestamp or 0)) * 1000)
        assert round((after.value - before.value) * 1e9) == passed * 250_000


def test_a_step_changes_the_rate_and_a_restart_begins_at_0(plain: Kubelets, clock: Clock) -> None:
    plain.step("node-1", "shop/web-0", "web", Load(cpu=1000.0, memory=96 * MIB), at=T0 + 100)
    plain.restart("node-1", "shop/web-0", "web", at=T0 + 200)

    def seen(later: float) -> Tuple[float, float, float]:
        clock.now = T0 + later
        page = plain.page("node-1", RESOURCE)
        names = ("container_cpu_usage_seconds_total", "container_start_time_seconds")
        used, start = (of(page, name, **WEB).value for name in names)
        whole = of(page, "pod_cpu_usage_seconds_total", namespace="shop", pod="web-0").value
        return used, start - T0, round(whole - 0.003 * later, 6)

    assert seen(99) == (24.75, 0, 24.75)
    assert seen(110) == (35.0, 0, 35.0)
    assert seen(199.999) == (124.999, 0, 124.999)
    assert seen(200) == (0, 200, 125.0)
    assert seen(203) == (3.0, 200, 128.0)  # the pod's cgroup counts on
    assert seen(110) == (35.0, 0, 35.0)  # and the past is as it was


def test_what_happens_to_a_life_may_be_told_in_any_order_and_for_ever() -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    rng = random.Random(seed)
    turns = [
        (T0 + rng.uniform(0, 1000), rng.choice((None, Load(cpu=float(rng.randrange(900)))))) for _ in range(40)
    ]
    restarts, steps = [at for at, load in turns if load is None], [(at, load) for at, load in turns if load]
    planned, told = Life(T0, Load(), restarts, steps), Life(T0, Load())
    for at, load in turns:
        if load is None:
            told.restart(at)
        else:
            told.step(at, load)
    for later in range(0, 1100, 7):
        one, other = (life.at(int((T0 + later) * 1000)) for life in (planned, told))
        assert one.counts() == pytest.approx(other.counts(), rel=1e-12)
        assert one.wholes() == pytest.approx(other.wholes(), rel=1e-12)
        assert (one.epoch.run, one.epoch.started) == (other.epoch.run, other.epoch.started)
    for index in range(1000):  # it is not kept all
        told.restart(T0 + 2000 + index)
    assert len(told._epochs) < 200
    assert told.at(int((T0 + 3000) * 1000)).epoch.run == 1000 + len(restarts)


def test_samples_are_taken_at_intervals_and_by_the_clock_of_the_node() -> None:
    clock, made = Clock(), node(interval=10.0, skew=-90.0)
    with Kubelets([made], tls=False, clock=clock) as kubelets:
        kubelets.restart("node-1", "shop/web-0", "web", at=T0 + 61.0)
        stamps = set()
        for later in range(20, 60):
            clock.now = T0 + later
            cpu = of(kubelets.page("node-1", RESOURCE), "container_cpu_usage_seconds_total", **WEB)
            stamp = float(cpu.timestamp or 0) + 90.0
            stamps.add(stamp)
            assert 0 <= clock.now - stamp < 10.0
            assert cpu.value == pytest.approx((stamp - T0) * 0.25, abs=1e-6)
        assert len(stamps) in (4, 5)
        clock.now = T0 + 61.5
        page = kubelets.page("node-1", RESOURCE)
        assert of(page, "container_start_time_seconds", **WEB).value == T0 + 61.0 - 90.0
        assert of(page, "container_cpu_usage_seconds_total", **WEB).value <= 0.125


def test_pods_come_and_go_and_the_node_counts_on(plain: Kubelets, clock: Clock) -> None:
    def seen(later: float) -> Tuple[List[str], float]:
        clock.now = T0 + later
        page = plain.page("node-1", RESOURCE)
        pods = [labels for name, labels in samples(page) if name == "pod_cpu_usage_seconds_total"]
        return [dict(labels)["pod"] for labels in pods], of(page, "node_cpu_usage_seconds_total").value

    plain.add("node-1", pod("shop", "brief", T0 + 10, {"x": Load(cpu=1000.0)}, until=T0 + 15))
    assert seen(9) == (["web-0"], pytest.approx(0.353 * 9))
    assert seen(12) == (["brief", "web-0"], pytest.approx(0.353 * 12 + 2))
    assert seen(20) == (["web-0"], pytest.approx(0.353 * 20 + 5))
    with pytest.raises(KeyError):
        plain.add("node-1", pod("shop", "brief", T0 + 14, {"x": Load()}))
    plain.add("node-1", pod("shop", "brief", T0 + 25, {"x": Load(cpu=1000.0)}, until=T0 + 26, uid="another"))
    assert seen(12) == (["brief", "web-0"], pytest.approx(0.353 * 12 + 2))  # the past is as it was
    assert seen(25.5) == (["brief", "web-0"], pytest.approx(0.353 * 25.5 + 5.5))
    plain.remove("node-1", "shop/web-0", at=T0 + 30)
    assert seen(40) == ([], pytest.approx(0.353 * 30 + 0.1 * 10 + 6))
    clock.now = T0 + 500
    plain.add("node-1", pod("shop", "web-0", T0 + 500, {"web": Load(cpu=10.0)}))
    plain.remove("node-1", "shop/web-0")  # long after the first: that one is a sum by now
    assert seen(500) == ([], pytest.approx(0.353 * 30 + 0.1 * 470 + 6))


@pytest.mark.parametrize("wave", [Wave(60.0, 0.8), Wave(60.0, 1.0, duty=0.1), Wave(7.0, 0.5, 0.5, begin=3.0)])
def test_a_wave_moves_the_rate_and_never_its_mean_nor_backwards(wave: Wave) -> None:
    life = Life(T0, Load(cpu=500.0, wave=wave))
    begin = int(T0 * 1000)
    used = [life.at(begin + ms).counted(CPU) for ms in range(0, 420_000, 250)]
    steps = [after - before for before, after in zip(used, used[1:])]
    assert min(steps) >= -1.0  # nanoseconds: what a float of that size can tell
    assert max(steps) > 1.3 * 500_000 * 250
    assert life.at(begin + 420_000).counted(CPU) == pytest.approx(500e3 * 420_000, rel=1e-9)
    assert life.at(begin + 20_000).counted(PERIOD) == pytest.approx(200)  # the quota's periods know no wave
    # The counter is the integral of the rate that the life tells.
    told = sum(life.at(begin + ms).rate for ms in range(0, 420_000, 5)) * 5 * 1000
    assert told == pytest.approx(500e3 * 420_000, rel=1e-3)


def test_a_leak_grows_until_it_is_full_and_goes_with_a_restart() -> None:
    life = Life(T0, Load(memory=100.0 * MIB, leak=1.0 * MIB, leaked=50.0 * MIB), restarts=[T0 + 100])
    sizes = [life.at(int((T0 + later) * 1000)).amounts().memory / MIB for later in (0, 10, 99, 100, 105)]
    assert sizes == [100, 110, 150, 100, 105]


@pytest.mark.parametrize(
    ("fault", "status"), [(Fault("status", 500), 500), (Fault("status", 404), 404), (Fault("body", body=b"x"), 200)]
)
def test_an_endpoint_answers_what_it_is_told_to_until_it_is_healed(
    plain: Kubelets, fault: Fault, status: int
) -> None:
    plain.fault("node-1", RESOURCE, fault)
    answered = ask(plain)
    assert answered[0] == status
    assert fault.kind != "body" or answered[1] == b"x"
    assert ask(plain, "/healthz") == (200, b"ok")
    plain.heal("node-1")
    assert b"container_cpu" in ask(plain)[1]
    assert plain.requests("node-1") == {RESOURCE: 2, "/healthz": 1}


def test_an_endpoint_hangs_is_slow_or_cuts_what_it_says(plain: Kubelets) -> None:
    plain.fault("node-1", RESOURCE, Fault("hang"))
    with pytest.raises(socket.timeout):
        ask(plain, timeout=0.3)
    plain.fault("node-1", RESOURCE, Fault("slow", 0.3))
    begun = time.monotonic()
    assert ask(plain)[0] == 200
    assert time.monotonic() - begun >= 0.3
    plain.fault("node-1", RESOURCE, Fault("cut", 0.5))
    with pytest.raises(http.client.IncompleteRead) as cut:
        ask(plain)
    assert abs(len(cut.value.partial) - (cut.value.expected or 0)) <= 1
    with pytest.raises(ValueError):
        plain.fault("node-1", RESOURCE, Fault("unheard of"))


def test_requests_that_come_at_once_are_answered_in_their_order(plain: Kubelets) -> None:
    plain.fault("node-1", RESOURCE, Fault("slow", 0.05))
    with socket.create_connection(("127.0.0.1", plain.port("node-1")), timeout=5) as line:
        asked = [RESOURCE, *["/healthz"] * 2000, "/none"]
        line.sendall("".join("GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path for path in asked).encode())
        answers = b""
        while b"404 page not found\n" not in answers:
            answers += line.recv(65536)
    first, *rest = answers.split(b"HTTP/1.1 ")[1:]
    assert first.startswith(b"200")
    assert [each[:3] for each in rest] == [b"200"] * 2000 + [b"404"]


def test_metrics_are_packed_for_who_asks_and_the_summary_never_is(plain: Kubelets) -> None:
    for path, packed in ((RESOURCE, "gzip"), (CADVISOR, "gzip"), (SUMMARY, None)):
        connection = http.client.HTTPConnection("127.0.0.1", plain.port("node-1"), timeout=5)
        connection.request("GET", path, headers={"Accept-Encoding": "gzip"})
        response = connection.getresponse()
        body = response.read()
        assert response.getheader("Content-Encoding") == packed
        assert (gzip.decompress(body) if packed else body) == plain.page("node-1", path)
        connection.close()


def test_a_killed_kubelet_refuses_ends_what_was_open_and_comes_back(plain: Kubelets) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", plain.port("node-1"), timeout=5)
    connection.request("GET", RESOURCE)
    connection.getresponse().read()
    plain.kill("node-1")
    assert connection.sock.recv(1) == b""
    connection.close()
    with pytest.raises(ConnectionRefusedError):
        ask(plain)
    plain.revive("node-1")
    assert ask(plain)[0] == 200


@needs_openssl
def test_it_speaks_tls_with_a_certificate_that_can_be_trusted(clock: Clock) -> None:
    with Kubelets([node()], clock=clock) as kubelets:
        assert kubelets.url("node-1") == "https://127.0.0.1:%d" % kubelets.port("node-1")
        strict = ssl.create_default_context(cafile=str(kubelets.ca))
        connection = http.client.HTTPSConnection("127.0.0.1", kubelets.port("node-1"), context=strict, timeout=5)
        for _ in range(3):  # over one connection
            connection.request("GET", RESOURCE)
            response = connection.getresponse()
            assert (response.status, response.getheader("Content-Encoding")) == (200, None)
            assert b"node_cpu_usage_seconds_total" in response.read()
        connection.close()
        stranger = http.client.HTTPSConnection("127.0.0.1", kubelets.port("node-1"), timeout=5)
        with pytest.raises(ssl.SSLError):
            stranger.request("GET", RESOURCE)


def test_whoever_is_unknown_gets_401_and_who_may_not_403(clock: Clock) -> None:
    access = Access()
    access.allow("good", "reader", [Rule(("get",), ("nodes/metrics",))])
    access.allow("weak", "other", [Rule(("get",), ("nodes/stats",))])
    with Kubelets([node()], tls=False, access=access, clock=clock) as kubelets:
        assert ask(kubelets, token="good")[0] == 200
        assert ask(kubelets) == (401, b"Unauthorized")
        assert ask(kubelets, token="made-up") == (401, b"Unauthorized")
        text = b"Forbidden (user=other, verb=get, resource=nodes, subresource(s)=[metrics])\n"
        assert ask(kubelets, token="weak") == (403, text)
        access.revoke("good")
        assert ask(kubelets, token="good")[0] == 401


def test_its_objects_name_the_ports_and_the_pods() -> None:
    web = Container("web", Life(T0, Load(cpu=250.0)), cpu_limit=500.0, memory_limit=128 * MIB)
    nodes = [Node("node-1", [Pod("shop", "web-0", [web], uid="u-1", labels={"app": "web"})]), node("node-2")]
    with Kubelets(nodes, tls=False) as kubelets:
        found = kubelets.objects()
        assert [(each["kind"], each["metadata"]["name"]) for each in found] == [
            ("Namespace", "shop"), ("Node", "node-1"), ("Node", "node-2"), ("Pod", "web-0"), ("Pod", "web-0"),
        ]  # fmt: skip
        status = found[1]["status"]
        assert status["daemonEndpoints"]["kubeletEndpoint"]["Port"] == kubelets.port("node-1")
        assert {"type": "InternalIP", "address": "127.0.0.1"} in status["addresses"]
        made = found[3]
        assert (made["metadata"]["uid"], made["spec"]["nodeName"]) == ("u-1", "node-1")
        assert made["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "500m", "memory": str(128 * MIB)}


def test_a_pod_takes_the_uid_that_an_api_server_gave_it(plain: Kubelets) -> None:
    assert b"given" not in plain.page("node-1", SUMMARY)
    plain.adopt("node-1", "shop/web-0", "given")
    assert b'"uid": "given"' in plain.page("node-1", SUMMARY)
    assert b"podgiven" in plain.page("node-1", CADVISOR)


@pytest.mark.parametrize(("path", "limit"), [(RESOURCE, 3.0), (SUMMARY, 12.0), (CADVISOR, 30.0)])
def test_a_page_of_fifty_pods_is_cheap(path: str, limit: float) -> None:
    """limit: milliseconds of CPU, six times what it took on the machine that it was written on."""
    clock, best = Clock(), 1e9
    pods = [pod("shop", "web-%d" % index, T0, {"web": Load(cpu=100.0 + index)}) for index in range(50)]
    kubelet = Kubelet(Node("node-1", pods), clock)
    for later in range(20):
        clock.now = T0 + 100 + later
        begun = time.thread_time()
        kubelet.page(path)
        best = min(best, (time.thread_time() - begun) * 1e3)
    assert best < limit
