"""Who asks to be scraped is scraped, at its own address and nowhere else."""

from __future__ import annotations

from typing import Any, Dict

import pytest
from krm.collector.facts import ContainerFacts, PodFacts, pod_facts
from krm.collector.source import NoData, Target
from krm.collector.sources.annotated import Reach, scrape_targets, scrape_url

OWN = Reach()
ANNOTATED = {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}


def pod(ip: str = "10.1.2.3", host_network: bool = False, **annotations: str) -> PodFacts:
    found = {**ANNOTATED, **{f"prometheus.io/{name}": value for name, value in annotations.items()}}
    runs = (ContainerFacts("web", 1.0),)
    return PodFacts("shop", "web-0", "u-1", "node-1", ip, host_network, False, runs, found, True)


def test_the_pods_that_ask_for_it_and_run_are_asked() -> None:
    asks = pod()
    others = [
        pod()._replace(name="no", annotations={}),
        pod(scrape="false")._replace(name="false"),
        pod()._replace(name="waits", containers=()),
    ]
    assert scrape_targets([asks, *others]) == {
        "pod shop/web-0": Target("pod shop/web-0", "node-1", "shop", "web-0", "u-1")
    }


@pytest.mark.parametrize(
    ("found", "url"),
    [
        (pod(), "http://10.1.2.3:8080/metrics"),
        (pod(scheme="https", port="443", path="/a/b?x=1&y=2"), "https://10.1.2.3:443/a/b?x=1&y=2"),
        (pod("fd12::7"), "http://[fd12::7]:8080/metrics"),
        (pod("FD12:0::7"), "http://[fd12::7]:8080/metrics"),
    ],
)
def test_where_a_pod_is_asked(found: PodFacts, url: str) -> None:
    assert scrape_url(found, OWN, frozenset({"10.9.9.9"})) == url


def test_without_an_annotation_the_one_port_that_it_declares_is_asked() -> None:
    def declaring(*ports: Dict[str, Any]) -> PodFacts:
        return pod_facts(
            {
                "metadata": {"annotations": {"prometheus.io/scrape": "true"}},
                "spec": {"containers": [{"name": "a", "ports": list(ports)}, {"name": "b"}]},
                "status": {"podIP": "10.1.2.3"},
            }
        )

    one, other, udp = {"containerPort": 9090}, {"containerPort": 81}, {"containerPort": 53, "protocol": "UDP"}
    assert scrape_url(declaring(one, udp), OWN, frozenset()) == "http://10.1.2.3:9090/metrics"
    for found in (declaring(), declaring(udp), declaring(one, other)):
        with pytest.raises(NoData, match="does not declare just one port"):
            scrape_url(found, OWN, frozenset())


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1", "this machine itself"),
        ("127.9.9.9", "this machine itself"),
        ("::1", "this machine itself"),
        ("::ffff:127.0.0.1", "this machine itself"),
        ("64:ff9b::7f00:1", "this machine itself"),
        ("2002:7f00:1::", "this machine itself"),
        ("169.254.169.254", "metadata service"),
        ("::ffff:169.254.169.254", "metadata service"),
        ("64:ff9b::a9fe:a9fe", "metadata service"),
        ("fe80::1", "metadata service"),
        ("fd00:ec2::254", "metadata service"),
        ("fd00:0ec2:0::0254", "metadata service"),
        ("100.100.100.200", "metadata service"),
        ("0.0.0.0", "no address of a pod"),
        ("::", "no address of a pod"),
        ("224.0.0.1", "no address of a pod"),
        ("ff02::1", "no address of a pod"),
        ("255.255.255.255", "no address of a pod"),
        ("10.9.9.9", "the address of a node"),
        ("", "no address"),
        ("localhost", "no address"),
        ("10.1.2.3:80", "no address"),
        ("0x7f000001", "no address"),
        ("127.1", "no address"),
        ("10.1.2.3@169.254.169.254", "no address"),
        ("fe80::1%eth0", "metadata service|no address"),
    ],
)
def test_no_address_but_a_pods_own_is_asked(address: str, why: str) -> None:
    with pytest.raises(NoData, match=why):
        scrape_url(pod(address), OWN, frozenset({"10.9.9.9"}))


def test_what_is_allowed_is_asked_and_no_more() -> None:
    loopback = Reach(loopback=True)
    assert scrape_url(pod("127.0.0.1"), loopback, frozenset()) == "http://127.0.0.1:8080/metrics"
    with pytest.raises(NoData, match="metadata"):
        scrape_url(pod("169.254.169.254"), loopback, frozenset())
    with pytest.raises(NoData, match="--scrape-host-network"):
        scrape_url(pod("10.9.9.9", host_network=True), OWN, frozenset({"10.9.9.9"}))
    allowed = Reach(host_network=True)
    assert "//10.9.9.9:" in scrape_url(pod("10.9.9.9", host_network=True), allowed, frozenset({"10.9.9.9"}))
    with pytest.raises(NoData, match="this machine"):
        scrape_url(pod("127.0.0.1", host_network=True), allowed, frozenset())


@pytest.mark.parametrize(
    "annotations",
    [
        {"port": "0"}, {"port": "65536"}, {"port": "80a"}, {"port": "-1"}, {"port": "²"}, {"port": "80/../"},
        {"scheme": "file"}, {"scheme": "HTTP"}, {"scheme": "http://evil"},
        {"path": "metrics"}, {"path": "//evil/x"}, {"path": "/a b"}, {"path": "/a\r\nX: y"}, {"path": "/a#b"},
        {"path": "/@evil"}, {"path": "/" + "a" * 300}, {"path": "/é"}, {"path": "/\\evil"},
    ],
)  # fmt: skip
def test_an_annotation_reaches_no_further_than_its_pod(annotations: Dict[str, str]) -> None:
    with pytest.raises(NoData) as caught:
        scrape_url(pod(**annotations), OWN, frozenset())
    assert len(str(caught.value)) < 150
