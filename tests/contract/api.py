"""One plain HTTP client for the simulator and the real API server, so that one test judges both."""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional
from urllib.parse import urlencode, urlsplit

import pytest

Json = Dict[str, Any]
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
PARTIAL = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"


@dataclass
class Reply:
    """status, headers in lower case, and the body as it came."""

    status: int
    headers: Dict[str, str]
    body: bytes

    @property
    def json(self) -> Json:
        parsed: Json = json.loads(self.body)
        return parsed

    @property
    def names(self) -> List[str]:
        """Of a list's items, in order."""
        return [item["metadata"]["name"] for item in self.json["items"]]

    @property
    def version(self) -> str:
        return str(self.json["metadata"]["resourceVersion"])

    @property
    def lines(self) -> List[Json]:
        """A watch's events."""
        return [json.loads(line) for line in self.body.splitlines()]


@dataclass
class Api:
    """A cluster to ask. `real` tells which of the two it is, where a test needs to know."""

    name: str
    url: str
    token: str = ""
    ca: Optional[Path] = None
    compact: Callable[[], object] = field(default=lambda: None)
    namespace: str = ""

    @property
    def real(self) -> bool:
        return self.name == "real"

    def since(self, minor: int) -> None:
        """Skip where the real server is older than 1.`minor` and known to differ; the simulator is a 1.36."""
        found = int(self.get("/version").json["minor"].rstrip("+"))
        if found < minor:
            pytest.skip("Kubernetes 1.%d answers otherwise than 1.%d" % (found, minor))

    @property
    def maps(self) -> str:
        """The path of this test's config maps, the one kind that nothing else writes to."""
        return "/api/v1/namespaces/%s/configmaps" % self.namespace

    def ask(
        self, method: str, path: str, body: Optional[Json] = None, accept: str = "application/json", **query: object
    ) -> Reply:
        """One request on a connection of its own. Query names as the API spells them; None is left out."""
        split = urlsplit(self.url)
        if split.scheme == "https":
            context = ssl.create_default_context(cafile=str(self.ca))
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                split.hostname or "", split.port, timeout=30, context=context
            )
        else:
            connection = http.client.HTTPConnection(split.hostname or "", split.port, timeout=30)
        headers = {"Accept": accept}
        if self.token:
            headers["Authorization"] = "Bearer " + self.token
        if body is not None:
            kind = "merge-patch+json" if method == "PATCH" else "json"
            headers["Content-Type"] = "application/" + kind
        text = urlencode({name: value for name, value in query.items() if value is not None})
        target = path + ("?" + text if text else "")
        try:
            connection.request(method, target, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, found, answer.read())
        finally:
            connection.close()

    def get(self, path: str, accept: str = "application/json", **query: object) -> Reply:
        return self.ask("GET", path, None, accept, **query)

    def watch(self, path: str, version: Optional[str], seconds: int = 1, **query: object) -> Reply:
        """A whole watch, until the server ends it after `seconds`."""
        return self.get(path, watch="true", resourceVersion=version, timeoutSeconds=seconds, **query)

    def put_map(self, name: str, **labels: str) -> Json:
        """Create a config map; answers it."""
        body: Json = {"metadata": {"name": name, "labels": labels}, "data": {"text": "a<b & c>d"}}
        reply = self.ask("POST", self.maps, body)
        assert reply.status == 201, reply.body
        return reply.json

    def label(self, name: str, **labels: str) -> Json:
        reply = self.ask("PATCH", self.maps + "/" + name, {"metadata": {"labels": labels}})
        assert reply.status == 200, reply.body
        return reply.json

    def remove(self, name: str) -> None:
        reply = self.ask("DELETE", self.maps + "/" + name)
        assert reply.status == 200, reply.body

    def status_of(self, reply: Reply) -> Json:
        """What a refusal says, checked to be a whole metav1.Status."""
        status = reply.json
        assert list(status)[:5] == ["kind", "apiVersion", "metadata", "status", "message"], status
        assert (status["kind"], status["apiVersion"], status["status"]) == ("Status", "v1", "Failure")
        assert status["code"] == reply.status
        return status
