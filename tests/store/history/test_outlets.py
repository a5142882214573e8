"""Prometheus remote write into a real Prometheus and VictoriaMetrics, OTLP into a receiver that decodes it."""

from __future__ import annotations

import gzip
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Dict, Iterator, List
from urllib.parse import quote

import metric_servers
import pytest
from krm.model.measures import Sample, Subject
from krm.store.errors import BadUrl
from krm.store.history import outlets
from krm.store.history.asked import Query
from krm.store.history.local import LocalHistory
from redis_servers import until

WEB = Subject("shop", 'web "0"\\\n', "u", "app", "n1")
SECRET = "s3cr3t"
UNKNOWN = "2 values are of no metric in the table, or no numbers"
REFUSED = "refused, the last one: it answered 400"


def samples(at: float) -> List[Sample]:
    values = {"cpu/usage_rate": 12.5, "cpu/usage": 1e9, "no/metric": 1.0, "memory/rss": float("nan")}
    return [
        Sample(WEB, at, values, "kubelet/resource", 10.0, at - 100),
        Sample(Subject(), at, {"pods/count": 3}, "state"),
    ]


def asked(server: metric_servers.Server, expression: str) -> List[Any]:
    status, body = metric_servers.ask(server.port, "GET", f"/api/v1/query?query={quote(expression)}")
    assert status == 200, body
    return list(json.loads(body)["data"]["result"])


@pytest.mark.parametrize("kind", ["prometheus", "victoria"])
def test_remote_write_arrives_with_the_samples_own_time(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.exporter.prometheus_remote_write")
    at = round(time.time() - 20, 3)
    with getattr(metric_servers, kind)(tmp_path) as server:
        outlet = outlets.remote_write(f"http://127.0.0.1:{server.port}/api/v1/write", pause=0.05)
        outlet.record(samples(at), at)
        until("it is sent", lambda: outlet.health() and len(outlet._sender._waiting) == 0)  # type: ignore[arg-type]
        server.flush()
        found = until("it is there", lambda: asked(server, "krm_cpu_usage_rate[5m]"))
        assert len(found) == 1
        assert found[0]["values"] == [[at, "12.5"]]
        assert found[0]["metric"] == {
            "__name__": "krm_cpu_usage_rate", "namespace_name": "shop", "pod_name": 'web "0"\\\n', "pod_id": "u",
            "container_name": "app", "nodename": "n1", "type": "pod_container", "source": "kubelet/resource",
        }  # fmt: skip
        assert until("so is this", lambda: asked(server, "krm_pods_count[5m]"))[0]["values"] == [[at, "3"]]
        assert [one.split(": ")[1] for one in outlet.health()] == [
            "2 values are of no metric in the table, or no numbers"
        ]
        if kind == "prometheus":  # which takes no sample that is older than one it has: told, and others go on
            outlet.record(samples(at - 3 * 3600), at)
            until(
                "it is told",
                lambda: any("refused, the last one: it answered 400" in one for one in outlet.health()),
            )
            outlet.record(samples(at + 5), at)
            until("the next is there", lambda: len(asked(server, "krm_cpu_usage_rate[5m]")[0]["values"]) == 2)
        outlet.close()


class Receiver(BaseHTTPRequestHandler):
    got: List[Any] = []
    answers: List[int] = []
    headers_got: List[Dict[str, str]] = []

    def do_POST(self) -> None:
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = Receiver.answers.pop(0) if Receiver.answers else 200
        if status == 200:
            assert self.path == "/v1/metrics"
            Receiver.got.append(ExportMetricsServiceRequest.FromString(gzip.decompress(body)))
        Receiver.headers_got.append(dict(self.headers))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[int]:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    Receiver.got, Receiver.answers, Receiver.headers_got = [], [], []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield int(server.server_address[1])
    server.shutdown()
    server.server_close()


def test_otlp_arrives_as_opentelemetry_names_things(receiver: int) -> None:
    outlet = outlets.otlp(f"http://krm:{SECRET}@127.0.0.1:{receiver}/v1/metrics", pause=0.05)
    at = 1700000000.25
    outlet.record(samples(at), at)
    request = until("it is there", lambda: Receiver.got)[0]
    metrics = {one.name: one for one in request.resource_metrics[0].scope_metrics[0].metrics}
    assert set(metrics) == {"krm.cpu.usage_rate", "krm.cpu.usage", "krm.pods.count"}
    point = metrics["krm.cpu.usage_rate"].gauge.data_points[0]
    assert (point.as_double, point.time_unix_nano) == (12.5, 1700000000250000000)
    assert {one.key: one.value.string_value for one in point.attributes} == {
        "k8s.namespace.name": "shop", "k8s.pod.name": 'web "0"\\\n', "k8s.pod.uid": "u",
        "k8s.container.name": "app",
        "k8s.node.name": "n1", "krm.level": "container", "krm.source": "kubelet/resource",
    }  # fmt: skip
    counter = metrics["krm.cpu.usage"]
    assert (counter.unit, counter.sum.is_monotonic) == ("ns", True)
    assert counter.sum.data_points[0].start_time_unix_nano == 1699999900250000000
    assert Receiver.headers_got[0]["Authorization"].startswith("Basic ")
    assert not any(SECRET in one for one in outlet.health())
    outlet.close()


def test_what_a_receiver_refuses_for_good_holds_up_nothing(receiver: int) -> None:
    Receiver.answers = [400]
    outlet = outlets.otlp(f"http://127.0.0.1:{receiver}/v1/metrics", pause=0.05)
    outlet.record(samples(1700000000.0), 1700000000.0)
    until("it is told", lambda: any(REFUSED in one for one in outlet.health()))
    outlet.record(samples(1700000010.0), 1700000010.0)
    until("the next is there", lambda: len(Receiver.got) == 1)
    outlet.close()


@pytest.mark.parametrize("make", [outlets.remote_write, outlets.otlp])
def test_a_place_that_is_away_is_told_and_waited_for(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    outlet = make(f"http://krm:{SECRET}@127.0.0.1:1/x", pause=0.05)
    outlet.record(samples(1700000000.0), 1700000000.0)
    until("it is told", lambda: any("does not answer" in one for one in outlet.health()), 40)
    assert not any(SECRET in one for one in outlet.health())
    assert SECRET not in caplog.text
    outlet.close(0.1)


@pytest.mark.parametrize("url", ["", "tcp://x/", "http://", "http://a b/", f"http://u:{SECRET}@h:99999/x"])
@pytest.mark.parametrize("make", [outlets.remote_write, outlets.otlp])
def test_a_bad_url_is_a_sentence(make: Any, url: str) -> None:
    with pytest.raises(BadUrl) as caught:
        make(url)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(("make", "extra"), [(outlets.remote_write, "remote-write"), (outlets.otlp, "otlp")])
def test_a_missing_library_is_a_sentence(make: Any, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(BadUrl, match=rf"pip install 'krm\[{extra}\]'"):
        make("http://127.0.0.1:1/x")


def test_beside_a_history_others_are_told_the_same(receiver: int, tmp_path: Path) -> None:
    history = LocalHistory(str(tmp_path / "history.db"))
    outlet = outlets.otlp(f"http://127.0.0.1:{receiver}/v1/metrics", pause=0.05)
    several = outlets.Several([history, outlet])
    several.record(samples(1700000000.0), 1700000000.0)
    until("it is there", lambda: Receiver.got)
    asked = Query("cpu/usage_rate", "container", 1700000000 - 60, 1700000000 + 60)
    assert [one.maximum for one in history.totals(asked).totals] == [12.5]
    assert len(several.health()) == len(history.health()) + len(outlet.health())
    outlet.close()
    history.close()
