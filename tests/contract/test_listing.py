"""What a LIST means in each mode: judged on the simulator and on a real API server alike."""

from __future__ import annotations

from typing import List, Tuple

import pytest
from contract.api import PARTIAL, PARTIAL_LIST, Api

FAR = 1 << 40  # a revision that no test reaches


def three(api: Api) -> List[str]:
    """Create a, b, c; answers their versions in that order."""
    return [api.put_map(name)["metadata"]["resourceVersion"] for name in "abc"]


def test_an_unset_version_shows_the_latest_write(api: Api) -> None:
    versions = three(api)
    reply = api.get(api.maps)
    assert reply.names == ["a", "b", "c"]
    assert int(reply.version) >= int(versions[-1])


def test_items_of_built_in_kinds_lack_their_type_and_are_written_as_go_does(api: Api) -> None:
    three(api)
    reply = api.get(api.maps)
    assert reply.body.startswith(b'{"kind":"ConfigMapList","apiVersion":"v1","metadata":{"resourceVersion":"')
    assert reply.body.endswith(b"]}\n")
    assert list(reply.json["items"][0]) == ["metadata", "data"]
    assert b"a\\u003cb \\u0026 c\\u003ed" in reply.body
    one = api.get(api.maps + "/a")
    assert one.body.startswith(b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","namespace":"')
    assert list(one.json["metadata"])[:5] == ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"]


def test_version_zero_ignores_the_limit(api: Api) -> None:
    versions = three(api)
    # The cache may be behind for a moment; a watch cache that has answered for c has it.
    api.get(api.maps, resourceVersion=versions[-1], resourceVersionMatch="NotOlderThan")
    reply = api.get(api.maps, resourceVersion="0", limit=1)
    assert reply.names == ["a", "b", "c"]
    assert "continue" not in reply.json["metadata"]


def test_not_older_than_shows_at_least_that_version(api: Api) -> None:
    versions = three(api)
    for match in ("NotOlderThan", None):
        reply = api.get(api.maps, resourceVersion=versions[-1], resourceVersionMatch=match)
        assert reply.names == ["a", "b", "c"]
        assert int(reply.version) >= int(versions[-1])


def test_exact_shows_the_past(api: Api) -> None:
    versions = three(api)
    reply = api.get(api.maps, resourceVersion=versions[1], resourceVersionMatch="Exact")
    assert (reply.names, reply.version) == (["a", "b"], versions[1])


def test_a_version_with_a_limit_and_no_match_is_exact(api: Api) -> None:
    versions = three(api)
    reply = api.get(api.maps, resourceVersion=versions[1], limit=500)
    assert (reply.names, reply.version) == (["a", "b"], versions[1])


def test_pages_are_read_at_the_version_of_the_first(api: Api) -> None:
    three(api)
    first = api.get(api.maps, limit=2)
    assert first.names == ["a", "b"]
    assert first.json["metadata"]["remainingItemCount"] == 1
    api.put_map("bb")
    api.remove("c")
    second = api.get(api.maps, limit=2, **{"continue": first.json["metadata"]["continue"]})
    assert (second.names, second.version) == (["c"], first.version)
    assert "continue" not in second.json["metadata"]


def test_pages_of_a_selection_do_not_tell_how_many_remain(api: Api) -> None:
    for name in "abc":
        api.put_map(name, half="first")
    first = api.get(api.maps, limit=2, labelSelector="half=first")
    assert first.names == ["a", "b"]
    assert "continue" in first.json["metadata"]
    assert "remainingItemCount" not in first.json["metadata"]


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("tier=web", ["a"]),
        ("tier!=web", ["b", "c"]),
        ("tier in (web,data)", ["a", "b"]),
        ("tier", ["a", "b"]),
        ("tier notin (web)", ["b", "c"]),
        ("!tier", ["c"]),
        ("tier==web,rank=1", ["a"]),
        ("tier=web,!rank", []),
    ],
)
def test_label_selectors(api: Api, selector: str, found: List[str]) -> None:
    api.put_map("a", tier="web", rank="1")
    api.put_map("b", tier="data")
    api.put_map("c")
    assert api.get(api.maps, labelSelector=selector).names == found


def test_field_selectors(api: Api) -> None:
    three(api)
    assert api.get(api.maps, fieldSelector="metadata.name=b").names == ["b"]
    assert api.get(api.maps, fieldSelector="metadata.name!=b").names == ["a", "c"]
    everywhere = api.get("/api/v1/configmaps", fieldSelector="metadata.namespace=" + api.namespace)
    assert everywhere.names == ["a", "b", "c"]


def test_metadata_alone(api: Api) -> None:
    three(api)
    listed = api.get(api.maps, PARTIAL_LIST)
    assert listed.json["kind"] == "PartialObjectMetadataList"
    item = listed.json["items"][0]
    assert list(item) == ["kind", "apiVersion", "metadata"]
    assert (item["kind"], item["apiVersion"]) == ("PartialObjectMetadata", "meta.k8s.io/v1")
    assert api.get(api.maps + "/a", PARTIAL).json == item


NO_NUMBER = (
    "invalid resource version: resourceVersion: "
    'Invalid value: "%s": strconv.ParseUint: parsing "%s": invalid syntax'
)
INVALID = 'ListOptions.meta.k8s.io "" is invalid: '
REFUSED: List[Tuple[dict, int, str, str]] = [
    ({"resourceVersion": "abc"}, 400, "BadRequest", NO_NUMBER % ("abc", "abc")),
    ({"resourceVersion": "-1"}, 400, "BadRequest", NO_NUMBER % ("-1", "-1")),
    (
        {"resourceVersionMatch": "Exact"},
        422,
        "Invalid",
        INVALID + "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden "
        "unless resourceVersion is provided",
    ),
    (
        {"resourceVersionMatch": "Exact", "resourceVersion": "0"},
        422,
        "Invalid",
        INVALID + 'resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is '
        'forbidden for resourceVersion "0"',
    ),
    (
        {"resourceVersionMatch": "Foo", "resourceVersion": "1"},
        422,
        "Invalid",
        INVALID + 'resourceVersionMatch: Unsupported value: "Foo": supported values: "Exact", "NotOlderThan", ""',
    ),
    (
        {"sendInitialEvents": "true"},
        422,
        "Invalid",
        INVALID + "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list",
    ),
    (
        {"continue": "abc"},
        400,
        "BadRequest",
        "invalid continue token: continue key is not valid: invalid character 'i' looking for beginning of value",
    ),
    ({"limit": "x"}, 400, "BadRequest", 'strconv.ParseInt: parsing "x": invalid syntax'),
    (
        {"fieldSelector": "spec.foo=1"},
        400,
        "BadRequest",
        '"spec.foo" is not a known field selector: only "metadata.name", "metadata.namespace"',
    ),
    ({"fieldSelector": "foo"}, 400, "BadRequest", "invalid selector: 'foo'; can't understand 'foo'"),
]


@pytest.mark.parametrize(("query", "code", "reason", "message"), REFUSED, ids=lambda value: str(value)[:40])
def test_refusals(api: Api, query: dict, code: int, reason: str, message: str) -> None:
    if message.startswith("invalid resource version"):
        api.since(34)  # 1.30 says 500 to a list, as all do to a watch
    reply = api.get(api.maps, **query)
    status = api.status_of(reply)
    assert (reply.status, status.get("reason"), status["message"]) == (code, reason, message)
    if code == 422:
        causes = status["details"]["causes"]
        assert (status["details"]["group"], status["details"]["kind"]) == ("meta.k8s.io", "ListOptions")
        assert all(message.endswith(cause["message"]) for cause in causes)


@pytest.mark.parametrize("selector", ["a in", "!!a", "a===b", "a in (b"])
def test_a_bad_label_selector(api: Api, selector: str) -> None:
    status = api.status_of(api.get(api.maps, labelSelector=selector))
    assert (status["code"], status["reason"]) == (400, "BadRequest")
    assert status["message"].startswith("unable to parse requirement: ")


def test_continue_with_a_version_is_refused(api: Api) -> None:
    versions = three(api)
    token = api.get(api.maps, limit=1).json["metadata"]["continue"]
    status = api.status_of(api.get(api.maps, limit=1, resourceVersion=versions[0], **{"continue": token}))
    assert (status["code"], status["reason"]) == (400, "BadRequest")
    assert status["message"] == "specifying resource version is not allowed when using continue"
    reply = api.get(api.maps, resourceVersion=versions[0], resourceVersionMatch="Exact", **{"continue": token})
    assert reply.status == 422
    assert "resourceVersionMatch is forbidden when continue is provided" in api.status_of(reply)["message"]


@pytest.mark.parametrize("match", [None, "NotOlderThan", "Exact"])
def test_a_version_that_lies_ahead_times_out(api: Api, match: str) -> None:
    if match == "Exact":
        api.since(34)  # 1.30 answers 500 with etcd's words
    reply = api.get(api.maps, resourceVersion=FAR, resourceVersionMatch=match)
    status = api.status_of(reply)
    assert (status["code"], status["reason"]) == (504, "Timeout")
    assert status["message"].startswith("Timeout: Too large resource version: %d, current: " % FAR)
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    assert status["details"] == {"causes": [cause], "retryAfterSeconds": 1}
    assert reply.headers["retry-after"] == "1"


def test_what_is_compacted_is_gone(compactable: Api) -> None:
    """With events: the one kind for which the real server keeps no cache."""
    api = compactable
    events = "/api/v1/namespaces/%s/events" % api.namespace
    about = {"namespace": api.namespace}
    for name in ("e1", "e2"):
        reply = api.ask("POST", events, {"metadata": {"name": name}, "involvedObject": about})
        assert reply.status == 201, reply.body
    first = api.get(events, limit=1)
    for name in ("e3", "e4"):
        reply = api.ask("POST", events, {"metadata": {"name": name}, "involvedObject": about})
    latest = reply.json["metadata"]["resourceVersion"]
    api.compact()

    status = api.status_of(api.get(events, limit=1, **{"continue": first.json["metadata"]["continue"]}))
    assert (status["code"], status["reason"]) == (410, "Expired")
    assert status["message"].startswith("The provided continue parameter is too old to display a consistent list")
    rest = api.get(events, **{"continue": status["metadata"]["continue"]})
    assert rest.names == ["e2", "e3", "e4"], "the inconsistent remainder is of now"

    status = api.status_of(api.get(events, resourceVersion=first.version, resourceVersionMatch="Exact"))
    assert (status["code"], status["reason"]) == (410, "Expired")
    assert status["message"] == "The resourceVersion for the provided list is too old."
    assert api.get(events, resourceVersion=latest, resourceVersionMatch="Exact").names == ["e1", "e2", "e3", "e4"]

    watched = api.watch(events, first.version)
    assert watched.status == 200
    assert [line["type"] for line in watched.lines] == ["ERROR"]
    assert (watched.lines[0]["object"]["code"], watched.lines[0]["object"]["reason"]) == (410, "Expired")


def test_a_kind_that_is_not_served(api: Api) -> None:
    page = api.get("/apis/nowhere.example.com/v1/widgets")
    assert (page.status, page.body) == (404, b"404 page not found\n")
    assert page.headers["content-type"] == "text/plain; charset=utf-8"
    status = api.status_of(api.get("/apis/apps/v1/widgets"))
    assert (status["reason"], status["message"]) == ("NotFound", "the server could not find the requested resource")
    status = api.status_of(api.get(api.maps + "/none"))
    assert (status["message"], status["details"]) == (
        'configmaps "none" not found',
        {"name": "none", "kind": "configmaps"},
    )


def test_writes_are_refused_alike(api: Api) -> None:
    api.put_map("a")
    again = api.status_of(api.ask("POST", api.maps, {"metadata": {"name": "a"}}))
    assert (again["code"], again["reason"], again["message"]) == (
        409,
        "AlreadyExists",
        'configmaps "a" already exists',
    )
    old = api.status_of(api.ask("PUT", api.maps + "/a", {"metadata": {"name": "a", "resourceVersion": "1"}}))
    assert (old["code"], old["reason"]) == (409, "Conflict")
    assert "the object has been modified" in old["message"]
    nowhere = api.status_of(api.ask("POST", "/api/v1/namespaces/none/configmaps", {"metadata": {"name": "a"}}))
    assert (nowhere["code"], nowhere["message"]) == (404, 'namespaces "none" not found')


def test_an_unchanged_write_makes_no_version(api: Api) -> None:
    before = api.put_map("a", tier="web")["metadata"]["resourceVersion"]
    assert api.label("a", tier="web")["metadata"]["resourceVersion"] == before


def test_discovery_names_the_kinds(api: Api) -> None:
    assert api.get("/api").json["versions"] == ["v1"]
    core = {each["name"]: each for each in api.get("/api/v1").json["resources"]}
    assert core["pods"]["shortNames"] == ["po"]
    assert core["pods"]["categories"] == ["all"]
    assert core["namespaces"]["namespaced"] is False
    apps = api.get("/apis/apps/v1").json
    assert (apps["groupVersion"], apps["kind"]) == ("apps/v1", "APIResourceList")
    groups = api.get("/apis").json["groups"]
    served = {version["groupVersion"] for group in groups for version in group["versions"]}
    assert {"apps/v1", "batch/v1", "autoscaling/v2", "networking.k8s.io/v1", "discovery.k8s.io/v1"} <= served
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    found = api.get("/api", accept)
    assert found.json["kind"] == "APIGroupDiscoveryList"
    assert "as=APIGroupDiscoveryList" in found.headers["content-type"]
    resources = {each["resource"]: each for each in found.json["items"][0]["versions"][0]["resources"]}
    assert resources["pods"]["scope"] == "Namespaced"
    assert resources["nodes"]["responseKind"] == {"group": "", "version": "", "kind": "Node"}
    apps = next(each for each in api.get("/apis", accept).json["items"] if each["metadata"]["name"] == "apps")
    found_apps = {each["resource"]: each for each in apps["versions"][0]["resources"]}
    assert found_apps["deployments"]["responseKind"] == {"group": "", "version": "", "kind": "Deployment"}


def test_the_cluster_has_an_identity(api: Api) -> None:
    found = api.get("/api/v1/namespaces/kube-system").json
    assert len(found["metadata"]["uid"]) == 36
    assert api.get("/readyz").body == b"ok"
    assert api.get("/version").json["gitVersion"].startswith("v1.")
