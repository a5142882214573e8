"""metrics.k8s.io, custom.metrics.k8s.io, external.metrics.k8s.io behind an API server, with a scenario's numbers.

Numbers are set by namespace; every answer is written down with its moment.
"""

import json
import ssl
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple

from authorities import Authority
from controlplane.kubeapi import Json, KubeClient

GROUPS = {"metrics.k8s.io": "v1beta1", "custom.metrics.k8s.io": "v1beta2", "external.metrics.k8s.io": "v1beta1"}


class Answered(NamedTuple):
    """One question that the controller asked."""

    at: float
    path: str
    code: int
    body: Json


def moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class FakeMetrics:
    """A server on loopback. `numbers`: namespace -> what is served there; `answers`: namespace -> what was."""

    def __init__(self, folder: Path) -> None:
        self.numbers: Dict[str, Json] = {}
        self.answers: Dict[str, List[Answered]] = {}
        self._lock = threading.Lock()
        pair = Authority(folder, "fake").server("fake")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(pair.cert), str(pair.key))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]

    def __enter__(self) -> "FakeMetrics":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def register(self, admin: KubeClient) -> None:
        """A Service without a cluster network: the API server goes to its external name as it stands."""
        spec = {"type": "ExternalName", "externalName": "127.0.0.1"}
        admin.create("/api/v1/namespaces/kube-system/services", {"metadata": {"name": "fake"}, "spec": spec})
        for group, version in GROUPS.items():
            body = {
                "metadata": {"name": f"{version}.{group}"},
                "spec": {
                    "group": group,
                    "version": version,
                    "groupPriorityMinimum": 100,
                    "versionPriority": 100,
                    "insecureSkipTLSVerify": True,
                    "service": {"namespace": "kube-system", "name": "fake", "port": self.port},
                },
            }
            admin.create("/apis/apiregistration.k8s.io/v1/apiservices", body)

    def _handler(self) -> Any:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                code, body = fake._answer(self.path)
                data = json.dumps(body).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: Any) -> None:
                pass

        return Handler

    def _answer(self, target: str) -> Tuple[int, Json]:
        parts = urllib.parse.urlsplit(target)
        segments = [urllib.parse.unquote(one) for one in parts.path.strip("/").split("/")]
        if len(segments) < 5 or segments[0] != "apis" or segments[3] != "namespaces":
            return _discovery(segments)
        group, namespace, rest = segments[1], segments[4], segments[5:]
        numbers = self.numbers.get(namespace, {})
        now = time.time()
        code, body = _numbers(group, namespace, rest, numbers, now)
        with self._lock:
            self.answers.setdefault(namespace, []).append(Answered(now, target, code, body))
        return code, body


def _discovery(segments: List[str]) -> Tuple[int, Json]:
    if len(segments) == 3 and GROUPS.get(segments[1]) == segments[2]:
        return 200, {"kind": "APIResourceList", "groupVersion": "/".join(segments[1:]), "resources": []}
    return 404, _status(404, "not found")


def _status(code: int, message: str) -> Json:
    reason = {404: "NotFound", 403: "Forbidden", 500: "InternalError"}.get(code, "")
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }


def _numbers(group: str, namespace: str, rest: List[str], numbers: Json, now: float) -> Tuple[int, Json]:
    if group == "metrics.k8s.io":
        served = numbers.get("resource", {})
        if isinstance(served, int):
            return served, _status(served, "broken on purpose")
        items = [_pod_metrics(namespace, name, one, now) for name, one in served.items()]
        return 200, {
            "kind": "PodMetricsList",
            "apiVersion": "metrics.k8s.io/v1beta1",
            "metadata": {},
            "items": items,
        }
    if group == "external.metrics.k8s.io":
        served = numbers.get("external", {}).get(rest[0])
        if served is None or isinstance(served, int):
            return served or 404, _status(served or 404, "broken on purpose")
        items = [
            {"metricName": rest[0], "metricLabels": {}, "timestamp": moment(now - 1), "value": one}
            for one in served
        ]
        return 200, _list("ExternalMetricValueList", "external.metrics.k8s.io/v1beta1", items)
    resource, name, metric = (rest + ["", "", ""])[:3]
    served = numbers.get("pods" if name == "*" else "object", {}).get(metric)
    if served is None or isinstance(served, int):
        return served or 404, _status(served or 404, "broken on purpose")
    values = served if name == "*" else {name: served}
    kind = "Pod" if name == "*" else {"services": "Service", "namespaces": "Namespace"}.get(resource, "Ingress")
    items = [
        {
            "describedObject": {"kind": kind, "namespace": namespace, "name": each, "apiVersion": "v1"},
            "metric": {"name": metric, "selector": None},
            "timestamp": moment(now - 1),
            "value": value,
        }
        for each, value in values.items()
    ]
    return 200, _list("MetricValueList", "custom.metrics.k8s.io/v1beta2", items)


def _list(kind: str, version: str, items: List[Json]) -> Json:
    return {"kind": kind, "apiVersion": version, "metadata": {}, "items": items}


def _pod_metrics(namespace: str, name: str, one: Json, now: float) -> Json:
    containers = [{"name": each, "usage": usage} for each, usage in one["use"].items()]
    return {
        "metadata": {"name": name, "namespace": namespace},
        "timestamp": moment(now - one.get("age", 1)),
        "window": f"{one.get('window', 15)}s",
        "containers": containers,
    }
