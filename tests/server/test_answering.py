"""What an answer is made of: statuses, objects and lists as bytes, discovery, what is kept, and its worth."""

from __future__ import annotations

import asyncio
import json
import zlib
from typing import Any, Dict, List

import pytest
from krm.model.kinds import Kind, Resource
from krm.model.records import Envelope
from krm.model.served import Facts
from krm.server import discovery, statuses, trusted
from krm.server.catalog import Served
from krm.server.kept import OVERHEAD, Kept, gzipped
from krm.server.negotiation import JSON, METADATA, Form, clauses
from krm.server.people import indented
from krm.server.replica import Replica
from krm.server.statuses import ApiError
from krm.server.writing import Page, Writer, at_version, event
from server.replicas import PODS, WIDGETS, head, loaded, pod

PLAIN = Form(JSON)

# --- statuses

_HEAD = '{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",'
STATUSES = [
    (
        statuses.not_found(Kind("pods", ""), "x"),
        '"message":"pods \\"x\\" not found","reason":"NotFound","details":{"name":"x","kind":"pods"},"code":404}',
    ),
    (
        statuses.not_found(Kind("deployments", "apps"), "x"),
        '"message":"deployments.apps \\"x\\" not found","reason":"NotFound",'
        '"details":{"name":"x","group":"apps","kind":"deployments"},"code":404}',
    ),
    (
        statuses.unknown_resource(),
        '"message":"the server could not find the requested resource","reason":"NotFound","details":{},"code":404}',
    ),
    (statuses.unauthorized(), '"message":"Unauthorized","reason":"Unauthorized","code":401}'),
    (
        statuses.forbidden("u", "list", Kind("pods", ""), "a"),
        '"message":"pods is forbidden: User \\"u\\" cannot list resource \\"pods\\" in API group \\"\\" in the'
        ' namespace \\"a\\"","reason":"Forbidden","details":{"kind":"pods"},"code":403}',
    ),
    (
        statuses.too_large_version(9, "5"),
        '"message":"Timeout: Too large resource version: 9, current: 5","reason":"Timeout","details":{"causes":'
        '[{"reason":"ResourceVersionTooLarge","message":"Too large resource version"}],'
        '"retryAfterSeconds":1},"code":504}',
    ),
    (
        statuses.too_old(5, 9),
        '"message":"too old resource version: 5 (9)","reason":"Expired","code":410}',
    ),
    (statuses.bad_request("<&>"), '"message":"\\u003c\\u0026\\u003e","reason":"BadRequest","code":400}'),
]  # fmt: skip


@pytest.mark.parametrize(("error", "want"), STATUSES)
def test_a_status_is_written_as_the_api_server_writes_it(error: ApiError, want: str) -> None:
    assert error.body().decode() == _HEAD + want + "\n"


def test_a_path_that_leads_nowhere_is_text() -> None:
    error = statuses.page_not_found()
    assert (error.code, error.body(), error.media) == (404, b"404 page not found\n", "text/plain; charset=utf-8")


# --- bytes

POD = b'{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"},"spec":{}}'
WIDGET = b'{"apiVersion":"krm.test/v1","kind":"Widget","metadata":{"name":"w"}}'


def held(body: bytes) -> Envelope:
    return Envelope("5", "u", b"", 1.0, b"", (), body)


def test_a_built_in_kind_says_its_kind_first_and_not_in_lists() -> None:
    writer = Writer(PODS)
    assert writer.object(PLAIN, held(POD)) == b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"x"},"spec":{}}'
    assert writer.list(PLAIN, Page("9", "T", 3), [writer.item(PLAIN, held(POD))]) == (
        b'{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"9","continue":"T","remainingItemCount":3},'
        b'"items":[{"metadata":{"name":"x"},"spec":{}}]}\n'
    )


def test_a_custom_resource_is_a_map_in_the_order_of_its_keys() -> None:
    writer = Writer(WIDGETS)
    assert writer.object(PLAIN, held(WIDGET)) == WIDGET
    assert writer.list(PLAIN, Page("9"), [WIDGET]) == (
        b'{"apiVersion":"krm.test/v1","items":[' + WIDGET + b'],"kind":"WidgetList",'
        b'"metadata":{"continue":"","resourceVersion":"9"}}\n'
    )


def test_metadata_alone() -> None:
    writer, form = Writer(PODS), Form(METADATA, "v1")
    item = b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"x"}}'
    assert writer.item(form, held(POD)) == item
    assert writer.list(form, Page("9"), [item]).startswith(
        b'{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"9"},"items":['
    )


def test_events_are_lines() -> None:
    assert event("M", b"{}") == b'{"type":"MODIFIED","object":{}}\n'


def test_a_bookmark_shows_an_object_of_nothing_but_a_version() -> None:
    writer = Writer(PODS)
    shown = b'{"kind":"%s","apiVersion":"%s","metadata":{"resourceVersion":"9"}}'
    assert writer.object(PLAIN, writer.mark("9")) == shown % (b"Pod", b"v1")
    metadata = writer.object(Form(METADATA, "v1"), writer.mark("9"))
    assert metadata == shown % (b"PartialObjectMetadata", b"meta.k8s.io/v1")


def test_what_left_a_selection_is_the_old_object_at_the_new_version() -> None:
    found = json.loads(at_version(pod("a/x", 5, "a=1"), "9").body)
    assert (found["metadata"]["resourceVersion"], found["metadata"]["labels"]) == ("9", {"a": "1"})


INDENTED: List[Any] = [
    {}, [], {"a": {}}, {"a": []}, [[], {}, [1]],
    {"a": [1, 2.50, True, None, "x: {[,]}\\\" \u00e9"], "b": {"c": {"d": ""}}},
]  # fmt: skip


@pytest.mark.parametrize("value", INDENTED)
def test_what_people_read_is_indented_and_nothing_else(value: Any) -> None:
    compact = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    assert indented(compact + b"\n") == json.dumps(value, indent=2, ensure_ascii=False).encode()


def test_numbers_stay_as_they_were_written() -> None:
    assert indented(b'{"a":1e+21,"b":1.50,"c":-0}') == b'{\n  "a": 1e+21,\n  "b": 1.50,\n  "c": -0\n}'


# --- discovery


def served(resource: Resource) -> Served:
    facts = Facts(
        resource.version, resource.object_kind, resource.namespaced, resource.singular, resource.short_names,
        resource.categories, {},
    )  # fmt: skip
    return Served(resource, facts, ())


ALL = [served(PODS), served(WIDGETS)]


def test_discovery_names_what_is_kept_and_nothing_else() -> None:
    def document(path: str) -> Dict[str, Any]:
        return discovery.document(path, ALL, "h:1") or {}

    assert document("/api")["versions"] == ["v1"]
    assert [group["name"] for group in document("/apis")["groups"]] == ["krm.test"]
    assert document("/api/v1")["resources"] == [
        {
            "name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod",
            "verbs": ["get", "list", "watch"], "shortNames": ["po"], "categories": ["all"],
        }
    ]  # fmt: skip
    assert [one["name"] for one in document("/apis/krm.test/v1")["resources"]] == ["widgets"]
    for path in ("/apis/apps", "/apis/apps/v1", "/apis/krm.test/v2", "/api/v2", "/api/v1/x"):
        assert document(path) == {}


def test_aggregated_discovery_is_for_who_prefers_it() -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    assert discovery.aggregated_version(clauses(accept)) == "v2"
    assert discovery.aggregated_version(clauses("application/json," + accept)) == ""
    assert discovery.aggregated_version(clauses("application/yaml")) == ""
    (core,) = discovery.aggregated("/api", ALL, "v2")["items"]
    assert core["versions"][0]["resources"][0]["responseKind"] == {"group": "", "version": "", "kind": "Pod"}
    (others,) = discovery.aggregated("/apis", ALL, "v2")["items"]
    assert others["versions"][0]["resources"][0]["responseKind"]["group"] == "krm.test"


# --- kept bodies


def test_a_body_is_made_once_a_version() -> None:
    kept, made = Kept(4000), []

    def make() -> bytes:
        made.append(1)
        return b"x" * 100

    for version in (1, 1, 2, 2, 1):
        assert kept.body("q", version, make).plain == b"x" * 100
    assert (len(made), kept.size) == (3, 100 + OVERHEAD)


def test_the_budget_holds_and_what_was_asked_for_longest_ago_goes_first() -> None:
    kept = Kept(250 + 2 * OVERHEAD)
    for question in "abac":
        kept.body(question, 1, lambda: b"x" * 100)
        assert kept.size <= 250 + 2 * OVERHEAD
    made: List[str] = []
    for question in "acb":
        kept.body(question, 1, lambda question=question: made.append(question) or b"x" * 100)  # type: ignore[misc]
    assert made == ["b"]


def test_what_is_larger_than_the_budget_is_answered_and_not_kept() -> None:
    kept = Kept(50 + OVERHEAD)
    assert len(kept.body("q", 1, lambda: b"x" * 100).plain) == 100
    assert kept.size == 0


def test_many_who_ask_at_once_share_one_gzip(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: List[int] = []
    monkeypatch.setattr("krm.server.kept.gzipped", lambda plain: calls.append(1) or gzipped(plain))
    kept = Kept(10_000)
    body = kept.body("q", 1, lambda: b"x" * 1000)

    async def ask() -> List[bytes]:
        return list(await asyncio.gather(*(kept.compressed(body) for _ in range(20))))

    found = asyncio.run(ask())
    assert {zlib.decompress(one, 31) for one in found} == {b"x" * 1000}
    assert len(calls) == 1
    assert kept.size == OVERHEAD + 1000 + len(found[0])


# --- what an answer is worth


def told(replica: Replica, now: float) -> List[str]:
    return trusted.warnings(replica, replica.trust(now))


def test_a_live_answer_says_how_old_it_is_and_warns_of_nothing() -> None:
    replica = loaded(pod("a/x", 5))
    assert trusted.headers(replica, trusted.checked(replica, 12.5)) == {
        "Krm-Version": "n:1",
        "Krm-Resource-Version": "100",
        "Krm-Age-Seconds": "2.500",
        "Krm-Verified-At": "1970-01-01T00:00:10Z",
        "Krm-State": "live",
    }
    assert told(replica, 12.5) == []


def test_unknown_is_unknown_and_never_a_number() -> None:
    replica = loaded(pod("a/x", 5))
    replica.told(head(100, current_as_of=None, verified_at=None))
    found = trusted.headers(replica, replica.trust(11.0))
    assert (found["Krm-Age-Seconds"], found["Krm-Verified-At"]) == ("unknown", "unknown")


def test_a_stale_answer_says_why() -> None:
    (sentence,) = told(loaded(pod("a/x", 5)), 500.0)
    assert sentence.startswith("krm: pods may be older than they look: ")


def test_what_was_never_read_is_503_and_not_empty() -> None:
    with pytest.raises(ApiError, match="cannot be read from krm now") as caught:
        trusted.checked(Replica("pods"), 10.0)
    assert (caught.value.code, caught.value.retry_after) == (503, 1)


def test_a_warning_fits_a_header() -> None:
    header = trusted.warning_header('a "b"\\\r\nX: y' + "z" * 1000)
    assert header.startswith('299 krm "a \\"b\\"\\\\  X: yzz')
    assert len(header) < 500
    assert "\n" not in header
