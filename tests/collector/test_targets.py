"""Whom the collector asks: a node's own kubelet, at no path that the node chooses."""

from __future__ import annotations

import pytest
from krm.cluster.endpoints import Endpoints, Trust
from krm.collector.facts import NodeFacts
from krm.collector.source import NoData
from krm.collector.sources.asking import body_of
from krm.collector.targets import kubelets


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("10.0.0.1", "https://10.0.0.1:10250"),
        ("fd00::1", "https://[fd00::1]:10250"),
        ("::1", "https://[::1]:10250"),
        ("worker-1.example.org", "https://worker-1.example.org:10250"),
    ],
)
def test_a_kubelet_is_asked_at_its_node_s_address(address: str, url: str) -> None:
    (target,) = kubelets([NodeFacts("n1", address, 10250, True)]).values()
    assert (target.name, target.node, target.url) == ("node n1", "n1", url)


@pytest.mark.parametrize(
    "address",
    ["", "10.0.0.1/x", "api.svc/api/v1/namespaces/kube-system/secrets?x=", "me@host", "host#", "::1]/x:", "h\n",
     "a b", "%2f"],
)  # fmt: skip
def test_a_node_whose_address_is_none_is_silent_and_nobody_is_asked_for_it(address: str) -> None:
    (target,) = kubelets([NodeFacts("n1", address, 10250, True)]).values()
    assert target.url == ""
    with pytest.raises(NoData, match="node n1 has no address that can be asked"):
        body_of(Endpoints(Trust()), target, "/metrics/resource", 1000)
