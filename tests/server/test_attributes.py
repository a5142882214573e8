"""What a request asks for, as the API server's RequestInfo has it (k8s.io/apiserver, endpoints/request)."""

from __future__ import annotations

from typing import Dict, Tuple

import pytest
from krm.server.attributes import of_path, of_resource
from krm.server.paths import target

# method, path, query -> verb, kind, namespace, name, subresource
CASES = [
    ("GET", "/api/v1/pods", {}, ("list", "pods", "", "", "")),
    ("HEAD", "/api/v1/pods", {}, ("list", "pods", "", "", "")),
    ("GET", "/api/v1/namespaces/a/pods", {"watch": "true"}, ("watch", "pods", "a", "", "")),
    ("GET", "/api/v1/namespaces/a/pods/p", {"watch": "true"}, ("get", "pods", "a", "p", "")),
    ("GET", "/api/v1/namespaces/a/pods/p/log", {}, ("get", "pods", "a", "p", "log")),
    ("GET", "/api/v1/namespaces/a/services/s/proxy/x/y", {}, ("get", "services", "a", "s", "proxy")),
    ("GET", "/api/v1/namespaces", {}, ("list", "namespaces", "", "", "")),
    ("GET", "/api/v1/namespaces/a", {}, ("get", "namespaces", "a", "a", "")),
    ("GET", "/api/v1/namespaces/a/status", {}, ("get", "namespaces", "a", "a", "status")),
    ("GET", "/apis/apps/v1/deployments", {}, ("list", "deployments.apps", "", "", "")),
    ("GET", "/api/v1/watch/namespaces/a/pods/p", {}, ("watch", "pods", "a", "p", "")),
    ("GET", "/api/v1/pods", {"fieldSelector": "metadata.name=p"}, ("list", "pods", "", "p", "")),
    ("GET", "/api/v1/pods", {"fieldSelector": "a=b,metadata.name==p"}, ("list", "pods", "", "p", "")),
    ("GET", "/api/v1/pods", {"fieldSelector": "metadata.name!=p"}, ("list", "pods", "", "", "")),
    ("GET", "/api/v1/pods", {"fieldSelector": "metadata.name=a/b"}, ("list", "pods", "", "", "")),
    ("GET", "/api/v1/pods", {"fieldSelector": "metadata.name=.."}, ("list", "pods", "", "", "")),
    ("POST", "/api/v1/namespaces/a/pods", {}, ("create", "pods", "a", "", "")),
    ("PUT", "/api/v1/namespaces/a/pods/p", {}, ("update", "pods", "a", "p", "")),
    ("PATCH", "/api/v1/namespaces/a/pods/p", {}, ("patch", "pods", "a", "p", "")),
    ("DELETE", "/api/v1/namespaces/a/pods/p", {}, ("delete", "pods", "a", "p", "")),
    ("DELETE", "/api/v1/namespaces/a/pods", {}, ("deletecollection", "pods", "a", "", "")),
]


@pytest.mark.parametrize(("method", "path", "query", "expected"), CASES)
def test_a_request_asks_for_what_the_api_server_would_ask(
    method: str, path: str, query: Dict[str, str], expected: Tuple[str, ...]
) -> None:
    found = target(path)
    assert found is not None
    given = of_resource("c", method, found, query, found.watch or "watch" in query)
    assert (given.verb, str(given.kind), given.namespace, given.name, given.subresource) == expected


def test_selectors_are_part_of_the_question_where_a_collection_is_read() -> None:
    query = {"fieldSelector": "spec.nodeName=n", "labelSelector": "a=b"}
    for path, given in (("/api/v1/pods", ("spec.nodeName=n", "a=b")), ("/api/v1/namespaces/a/pods/p", ("", ""))):
        found = target(path)
        assert found is not None
        asked = of_resource("c", "GET", found, query, False)
        assert (asked.field_selector, asked.label_selector) == given


def test_of_a_path_the_verb_is_the_method() -> None:
    assert of_path("c", "HEAD", "/version").review() == {
        "nonResourceAttributes": {"verb": "head", "path": "/version"}
    }
