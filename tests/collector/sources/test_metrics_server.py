"""metrics.k8s.io: rates with the window and the time that metrics-server gave them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict

import pytest
from cluster.scripted import ScriptedServer, answer, status_body
from krm.collector.source import NoData
from krm.collector.sources.metrics_server import MetricsServer, nodes_of, pods_of
from krm.collector.targets import CLUSTER
from krm.model.measures import Sample, Subject
from krm.model.times import parse

STAMP = "2026-11-28T09:00:00Z"
AT = parse(STAMP)
USAGE = {"cpu": "123456789n", "memory": "131072Ki"}


def listed(*items: Any) -> bytes:
    return json.dumps({"kind": "List", "items": items}).encode()


def node(**changed: Any) -> Dict[str, Any]:
    return {"metadata": {"name": "worker-1"}, "timestamp": STAMP, "window": "10.062s", "usage": USAGE, **changed}


def pod(**changed: Any) -> Dict[str, Any]:
    containers = [{"name": "app", "usage": USAGE}, {"name": "proxy", "usage": {"cpu": "1", "memory": "1Mi"}}]
    metadata = {"name": "web-0", "namespace": "shop"}
    return {"metadata": metadata, "timestamp": STAMP, "window": "1m0.5s", "containers": containers, **changed}


def test_nodes_and_containers() -> None:
    assert list(nodes_of(listed(node()))) == [
        Sample(
            Subject(node="worker-1"), AT, {"cpu/usage_rate": 123.456789, "memory/working_set": 134217728.0},
            "metrics.k8s.io", 10.062,
        )
    ]  # fmt: skip
    assert [(found.subject, found.at, found.window, dict(found.values)) for found in pods_of(listed(pod()))] == [
        (
            Subject("shop", "web-0", "", "app"),
            AT,
            60.5,
            {"cpu/usage_rate": 123.456789, "memory/working_set": 2.0**27},
        ),
        (
            Subject("shop", "web-0", "", "proxy"),
            AT,
            60.5,
            {"cpu/usage_rate": 1000.0, "memory/working_set": 2.0**20},
        ),
    ]


@pytest.mark.parametrize(
    "bad",
    [None, 7, [], {}, {"metadata": 1}, node(timestamp=None), node(timestamp="soon"), node(usage=None),
     node(usage={"cpu": "x", "memory": "1e9999999999"}), node(usage={"cpu": "-1"}), node(metadata={"name": 3})],
)  # fmt: skip
def test_what_cannot_be_read_is_left_out_and_costs_no_other(bad: Any) -> None:
    assert [found.subject.node for found in nodes_of(listed(bad, node()))] == ["worker-1"]
    assert len(list(pods_of(listed(bad, pod())))) == 2


def test_one_value_that_is_no_quantity_is_unknown_alone() -> None:
    (found,) = nodes_of(listed(node(usage={"cpu": "1.5", "memory": "much"}, window="soon")))
    assert (dict(found.values), found.window) == ({"cpu/usage_rate": 1500.0}, 0.0)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"items": null}', b"404 page not found"])
def test_what_is_no_list_is_no_data(raw: bytes) -> None:
    with pytest.raises(NoData, match="APIService"):
        list(nodes_of(raw))


def test_it_is_asked_through_the_api_server(tmp_path: Path) -> None:
    with ScriptedServer([answer(listed(node()))], [answer(listed(pod()))]) as server:
        found = MetricsServer(server.cluster(tmp_path))(CLUSTER, AT + 5)
        assert len(found) == 3
        assert [request.split(b" ")[1] for request in server.requests] == [
            b"/apis/metrics.k8s.io/v1beta1/nodes", b"/apis/metrics.k8s.io/v1beta1/pods",
        ]  # fmt: skip


def test_without_metrics_server_it_is_no_data_in_a_sentence(tmp_path: Path) -> None:
    unavailable = answer(status_body(503, "ServiceUnavailable"), 503)
    with ScriptedServer([unavailable]) as server, pytest.raises(NoData) as raised:
        MetricsServer(server.cluster(tmp_path))(CLUSTER, AT)
    assert "the cluster: GET /apis/metrics.k8s.io/v1beta1/nodes was answered 503" in str(raised.value)
