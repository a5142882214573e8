"""/metrics: what is counted, who may see it, and that no caller can make it grow."""

from __future__ import annotations

import math
from typing import Any, Dict, List, Tuple

import pytest
from kept_cluster import pod
from krm.server.kept import Kept
from krm.server.metrics import Metrics
from krm.server.statuses import ApiError
from paper_app import NOW, PaperApp

parser = pytest.importorskip("prometheus_client.parser")

Samples = Dict[Tuple[str, Tuple[Tuple[str, str], ...]], float]


@pytest.fixture
def app() -> PaperApp:
    app = PaperApp("paper", "other")
    app.kind("pods", {"a/x": pod(), "a/y": pod()})
    app.kind("nodes", current_as_of=None, verified_at=None)
    app.kind("services", cluster="other")
    app.warming("deployments.apps")
    return app


def samples(text: bytes) -> Samples:
    found: Samples = {}
    for family in parser.text_string_to_metric_families(text.decode()):
        for one in family.samples:
            found[one.name, tuple(sorted(one.labels.items()))] = one.value
    return found


def scraped(app: PaperApp, target: str = "/metrics") -> Samples:
    got = app.ask(target)
    assert (got.status, got.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return samples(got.body)


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]


def test_what_is_unknown_is_nan_and_never_0(app: PaperApp) -> None:
    found = scraped(app)
    pods = {"cluster": "paper", "kind": "pods", "namespace": ""}
    assert value(found, "krm_snapshot_age_seconds", **pods) == 1.0
    assert value(found, "krm_snapshot_verified_age_seconds", **pods) == 2.0
    assert (value(found, "krm_snapshot_objects", **pods), value(found, "krm_snapshot_version", **pods)) == (2, 1)
    assert value(found, "krm_snapshot_state", state="live", **pods) == 1
    nodes = {**pods, "kind": "nodes"}
    assert math.isnan(value(found, "krm_snapshot_age_seconds", **nodes))
    assert math.isnan(value(found, "krm_snapshot_verified_age_seconds", **nodes))
    assert value(found, "krm_snapshot_objects", **nodes) == 0  # known to be none
    warming = {**pods, "kind": "deployments.apps"}
    for name in ("krm_snapshot_age_seconds", "krm_snapshot_objects", "krm_snapshot_version"):
        assert math.isnan(value(found, name, **warming))
    assert value(found, "krm_snapshot_state", state="warming", **warming) == 1
    assert math.isnan(value(found, "krm_measurements_age_seconds", cluster="paper"))
    app.now = NOW + 100
    found = scraped(app)
    assert value(found, "krm_snapshot_age_seconds", **pods) == 101.0
    assert value(found, "krm_snapshot_state", state="stale", **pods) == 1
    assert value(found, "krm_snapshot_state", state="live", **pods) == 0


def test_requests_are_counted_by_verb_kind_and_code(app: PaperApp) -> None:
    for target in ("/api/v1/pods", "/api/v1/namespaces/a/pods", "/pods", "/api/v1/namespaces/a/pods/x"):
        assert app.ask(target).status == 200
    assert app.ask("/api/v1/namespaces/a/pods/none").status == 404
    app.gate.refused = [("list", "nodes", "")]
    assert app.ask("/nodes").status == 403
    assert app.ask("/api/v1/pods", "DELETE").status == 405
    assert app.ask("/apis/metrics.k8s.io/v1beta1/pods").status == 404  # no collector has written
    found = scraped(app)

    def count(**labels: str) -> float:
        return value(found, "krm_server_requests_total", cluster="paper", **labels)

    assert count(verb="list", kind="pods", code="200") == 3
    assert count(verb="get", kind="pods", code="200") == 1
    assert count(verb="get", kind="pods", code="404") == 1
    assert count(verb="list", kind="nodes", code="403") == 1
    assert count(verb="deletecollection", kind="pods", code="405") == 1
    assert count(verb="list", kind="pods.metrics.k8s.io", code="404") == 1
    whole = value(found, "krm_server_request_seconds_bucket", cluster="paper", verb="list", le="+Inf")
    assert whole == value(found, "krm_server_request_seconds_count", cluster="paper", verb="list") == 5
    assert 0 < value(found, "krm_server_request_seconds_sum", cluster="paper", verb="list") < 5


def test_no_caller_can_make_the_page_grow(app: PaperApp) -> None:
    def ask(n: int) -> None:
        for target in (
            f"/api/v1/kind{n}", f"/apis/g{n}/v1/k", f"/clusters/c{n}/pods", f"/x{n}", f"/pods?namespace=n{n}",
            f"/api/v1/namespaces/n{n}/pods", f"/pods?p{n}=1", f"/apis/apps/v{n}/deployments",
            f"/apis/metrics.k8s.io/v1/k{n}",
        ):  # fmt: skip
            app.ask(target)
            app.ask(target, f"M{n}")

    def series() -> List[Any]:
        return sorted(key for key in scraped(app) if key[0].startswith("krm_"))

    ask(0)
    series()  # itself a request
    before = series()
    for n in range(1, 50):
        ask(n)
    assert series() == before


def test_a_cluster_sees_its_own_figures_and_only_who_may_get_the_path(app: PaperApp) -> None:
    app.ask("/clusters/other/services")
    assert {dict(labels).get("cluster") for _, labels in scraped(app, "/clusters/other/metrics")} == {"other", None}
    assert "other" not in {dict(labels).get("cluster") for _, labels in scraped(app)}
    app.gate.refused = [("get", "", "")]
    refused = app.ask("/metrics")
    assert refused.status == 403
    assert b"krm_" not in refused.body
    asked = app.gate.asked[-1]
    assert (asked.cluster, asked.verb, asked.path) == ("paper", "get", "/metrics")


def test_a_missing_package_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ApiError, match=r"krm\[server\]"):
        Metrics(Kept(1)).page()
