"""custom.metrics.k8s.io and external.metrics.k8s.io: paths, words, and no number rather than an old one."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Optional, Sequence

import pytest
from krm.analysis.hpa.names import NAMES
from krm.model.kinds import Kind, Resource
from krm.model.measures import Silence
from krm.model.records import Envelope
from krm.model.served import pack_facts
from krm.server.identity import Attributes, Open, User
from krm.server.replica import Replica
from krm.server.statuses import ApiError
from krm.store.latest import Measured, Pod
from krm.store.latest_reader import Packed
from krm.store.read import SnapshotData, Token
from server.measured_api import answer, catalog_of, nodes_of, pods_of, refusal
from server.measurements import AT, measured, state, turn_of
from server.replicas import head

CUSTOM, OLD, EXTERNAL = (
    "/apis/custom.metrics.k8s.io/v1beta2", "/apis/custom.metrics.k8s.io/v1beta1",
    "/apis/external.metrics.k8s.io/v1beta1",
)  # fmt: skip
SHOP = f"{CUSTOM}/namespaces/shop"
WEB = {"spec": {"selector": {"matchLabels": {"app": "web"}}}}


def told(name: str, at: float = AT, **values: float) -> Pod:
    series = {f"app/{key}": value for key, value in values.items()}
    rows = (Measured("app", at, 5.0, series),)
    return Pod(name, "", "n-1", rows, {"app": (measured(250.0, 2.0**26, at),)})


WEB_0 = told("web-0", request_rate=12.5, response_time=0.25, queue_depth=3)
WEB_1 = told("web-1", request_rate=7.5, response_time=0.75, queue_depth=4)


def turn(*pods: Pod, silences: Sequence[Silence] = ()) -> Packed:
    return turn_of({"shop": list(pods or (WEB_0, WEB_1))}, {}, state(beat=AT + 1, silences=silences))


def deployments(body: Dict[str, Any] = WEB) -> Replica:
    replica, kind = Replica("deployments.apps"), Kind("deployments", "apps")
    packed = json.dumps(body).encode()
    objects = {"shop/web": Envelope("5", "uid", b"", 1.0, b"{}", (), packed)}
    replica.load(SnapshotData(Token("n", 1), head(100), 10.0, objects))
    facts = Resource(kind, "v1", "Deployment", True, "deployment", (), ())
    replica.told(head(100, facts=pack_facts(facts, {"major": "1"})))
    return replica


def get(path: str, found: Optional[Packed] = None, age: float = 0.0) -> Any:
    catalog = catalog_of(found or turn(), pods_of(), nodes_of(), deployments(), age=age)
    reply = answer(catalog, path)
    assert reply.status == 200
    return json.loads(reply.body)


def values(path: str, found: Optional[Packed] = None) -> Dict[str, str]:
    return {one.get("describedObject", {}).get("name", ""): one["value"] for one in get(path, found)["items"]}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"{SHOP}/pods/*/requests_per_second", {"web-0": "12500m", "web-1": "7500m"}),
        (f"{SHOP}/pods/*/app_request_rate", {"web-0": "12500m", "web-1": "7500m"}),
        (f"{SHOP}/pods/*/requests_per_second?labelSelector=z%3D1", {"web-1": "7500m"}),
        (f"{SHOP}/pods/*/requests_per_second?labelSelector=app%3Dnone", {}),
        (f"{SHOP}/pods/web-0/response_time", {"web-0": "250m"}),
        (f"{SHOP}/pods/web-0/cpu", {"web-0": "250m"}),
        (f"{SHOP}/pods/web-0/cpu_usage_rate", {"web-0": "250"}),
        (f"{SHOP}/pods/web-0/memory", {"web-0": "67108864"}),
        (f"{SHOP}/deployments.apps/web/requests_per_second", {"web": "20"}),
        (f"{SHOP}/deployments.apps/web/response_time", {"web": "750m"}),
        (f"{SHOP}/metrics/queue_depth", {"shop": "7"}),
        (f"{EXTERNAL}/namespaces/shop/queue_depth", {"": "7"}),
        (f"{EXTERNAL}/namespaces/shop/queue_depth?labelSelector=z%3D1", {"": "4"}),
        (f"{OLD}/namespaces/shop/pods/web-1/queue_depth", {"web-1": "4"}),
    ],
)
def test_numbers(path: str, expected: Dict[str, str]) -> None:
    assert values(path) == expected


def test_the_forms_are_those_of_the_api() -> None:
    found = get(f"{SHOP}/pods/web-0/queue_depth")
    assert (found["kind"], found["apiVersion"], found["metadata"]) == (
        "MetricValueList", "custom.metrics.k8s.io/v1beta2", {},
    )  # fmt: skip
    pod = {"kind": "Pod", "namespace": "shop", "name": "web-0", "apiVersion": "v1"}
    at, item = "2026-11-28T09:12:35Z", {"describedObject": pod}
    assert found["items"] == [
        {**item, "metric": {"name": "queue_depth", "selector": None}, "timestamp": at, "windowSeconds": 5,
         "value": "3"}
    ]  # fmt: skip
    assert get(f"{OLD}/namespaces/shop/pods/web-0/queue_depth")["items"] == [
        {**item, "metricName": "queue_depth", "timestamp": at, "window": 5, "value": "3", "selector": None}
    ]
    external = get(f"{EXTERNAL}/namespaces/shop/queue_depth")
    assert external["kind"] == "ExternalMetricValueList"
    assert external["items"] == [
        {"metricName": "queue_depth", "metricLabels": {}, "timestamp": at, "window": 5, "value": "7"}
    ]


NOT_THERE = [
    (f"{SHOP}/pods/*/nonsense", 'the server could not find the metric "nonsense"'),
    (f"{SHOP}/pods/bare/queue_depth", 'the server could not find the metric queue_depth for pods "bare"'),
    (f"{SHOP}/pods/pending/queue_depth", 'the server could not find the metric queue_depth for pods "pending"'),
    (f"{SHOP}/pods/none/queue_depth", 'the server could not find the metric queue_depth for pods "none"'),
    (f"{SHOP}/deployments.apps/none/queue_depth", 'deployments.apps "none" not found, or krm does not keep it'),
    (f"{SHOP}/widgets.example.com/x/queue_depth",
     'widgets.example.com "x" not found, or krm does not keep it'),
    (f"{SHOP}/secrets/x/queue_depth", 'secrets "x" not found, or krm does not keep it'),
    (f"{CUSTOM}/namespaces/none/metrics/queue_depth",
     'the server could not find the metric queue_depth for metrics "none"'),
    (f"{EXTERNAL}/namespaces/none/queue_depth", "the server could not find the metric queue_depth for these pods"),
    (f"{CUSTOM}/nodes/n-1/cpu", "the server could not find the requested resource"),
    (f"{EXTERNAL}/namespaces/shop/queue_depth/x", 'the server could not find the metric ""'),
]  # fmt: skip


@pytest.mark.parametrize(("path", "sentence"), NOT_THERE)
def test_what_is_not_there_is_no_number(path: str, sentence: str) -> None:
    catalog = catalog_of(turn(), pods_of(), nodes_of(), deployments())
    code, message, _ = refusal(path, catalog)
    assert code == 404
    # a namespace without measurements is told by its own name
    assert message.replace('metrics "queue_depth"', 'metrics "none"') == sentence


def test_a_value_that_is_old_is_no_value() -> None:
    """60 s after it was read, though the collector still writes: its pod does not answer."""
    for seconds, count in ((50.0, 2), (70.0, 1)):
        found = turn(told("web-0", AT - seconds, queue_depth=3), WEB_1)
        assert len(values(f"{SHOP}/pods/*/queue_depth", found)) == count


def test_a_collector_that_is_away_is_refused() -> None:
    with pytest.raises(ApiError) as caught:
        get(f"{SHOP}/pods/*/queue_depth", age=70.0)
    assert caught.value.code == 503


def test_a_part_of_the_pods_is_no_sum() -> None:
    lost = turn(WEB_0, silences=[Silence("pod shop/web-1", "app", "it does not answer", AT)])
    catalog = catalog_of(lost, pods_of(), nodes_of(), deployments())
    for path in (f"{SHOP}/deployments.apps/web/queue_depth", f"{EXTERNAL}/namespaces/shop/queue_depth"):
        code, message, _ = refusal(path, catalog)
        assert code == 404
        assert "pods give no data (web-1)" in message
    assert values(f"{SHOP}/pods/*/queue_depth", lost) == {"web-0": "3"}


def test_a_pod_that_took_a_name_has_not_its_values() -> None:
    assert values(f"{SHOP}/pods/*/queue_depth", turn(WEB_0._replace(uid="another"), WEB_1)) == {"web-1": "4"}


def test_a_container_without_a_value_makes_no_sum() -> None:
    half = Pod("web-0", "", "n-1", (), {"app": (measured(250.0, None),), "side": (measured(None, 5.0),)})
    assert values(f"{SHOP}/pods/*/cpu", turn(half)) == {}
    assert values(f"{SHOP}/pods/*/cpu", turn(half._replace(containers={"app": half.containers["app"]}))) == {
        "web-0": "250m"
    }


@pytest.mark.parametrize("query", ["metricLabelSelector=a%3Db", "labelSelector=app%3D%3D%3D"])
def test_what_cannot_be_meant_is_400(query: str) -> None:
    catalog = catalog_of(turn(), pods_of(), nodes_of(), deployments())
    assert refusal(f"{SHOP}/pods/*/queue_depth?{query}", catalog)[0] == 400


def test_discovery() -> None:
    groups = {one["name"]: [each["version"] for each in one["versions"]] for one in get("/apis")["groups"]}
    assert groups["custom.metrics.k8s.io"] == ["v1beta2", "v1beta1"]
    assert groups["external.metrics.k8s.io"] == ["v1beta1"]
    for path, prefix, kind in ((CUSTOM, "pods/", "MetricValueList"), (EXTERNAL, "", "ExternalMetricValueList")):
        rows = get(path)["resources"]
        assert {row["name"] for row in rows} == {prefix + name for name in NAMES}
        assert {(row["kind"], row["namespaced"], tuple(row["verbs"])) for row in rows} == {
            (kind, True, ("get", "list"))
        }


def test_without_a_collector_there_is_no_such_group() -> None:
    assert refusal(f"{SHOP}/pods/*/queue_depth", catalog_of(None))[0] == 404
    assert refusal(CUSTOM, catalog_of(None))[0] == 404


def test_rights_are_asked_for_as_the_api_server_asks() -> None:
    asked: List[Attributes] = []

    class Listening(Open):
        async def check(self, user: User, attributes: Attributes) -> None:
            asked.append(attributes)
            raise ApiError(403, "Forbidden", "no", {})

    for path in (f"{SHOP}/pods/*/queue_depth", f"{EXTERNAL}/namespaces/shop/queue_depth"):
        with pytest.raises(ApiError):
            answer(catalog_of(turn(), pods_of()), path, Listening())
    custom, external = asked
    assert (custom.verb, str(custom.kind), custom.namespace, custom.name, custom.subresource) == (
        "get", "pods.custom.metrics.k8s.io", "shop", "*", "queue_depth",
    )  # fmt: skip
    assert (external.verb, str(external.kind), external.namespace) == (
        "list", "queue_depth.external.metrics.k8s.io", "shop",
    )  # fmt: skip
