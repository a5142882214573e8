"""Lists and their pages: one version from the first page to the last, whatever happens meanwhile."""

from __future__ import annotations

import base64
import json
from typing import Any, Dict, List, Tuple

import pytest
from krm.model.kinds import Kind, Resource
from krm.model.messages import ADDED, DELETED, MODIFIED
from krm.model.records import Envelope
from krm.server import lists
from krm.server.lists import Forms
from krm.server.negotiation import JSON, TABLE, Form
from krm.server.options import parse
from krm.server.replica import Replica
from krm.server.statuses import ApiError
from krm.server.tables import Tabulator
from krm.server.writing import Writer
from krm.store.read import SnapshotData, Token
from server.replicas import change, forms, head, loaded, pod

PLAIN = Form(JSON)


def ask(replica: Replica, namespace: str = "", form: Form = PLAIN, **query: str) -> Dict[str, Any]:
    options = parse("pods", {name.replace("_", ""): value for name, value in query.items()})
    found: Dict[str, Any] = json.loads(lists.answer(replica, namespace, options, forms(), form, 0.0))
    return found


def names(answer: Dict[str, Any]) -> List[str]:
    return [item["metadata"]["name"] for item in answer["items"]]


def pages(replica: Replica, between: Any, namespace: str = "", **query: str) -> Tuple[List[str], List[str]]:
    """(names, the resourceVersion of each page); `between` happens after each page."""
    answer = ask(replica, namespace, **query)
    found, versions = names(answer), [answer["metadata"]["resourceVersion"]]
    while answer["metadata"].get("continue"):
        between()
        answer = ask(replica, namespace, **{**query, "_continue": answer["metadata"]["continue"]})
        found += names(answer)
        versions.append(answer["metadata"]["resourceVersion"])
    return found, versions


def many() -> Replica:
    return loaded(*[pod(f"ns-{number % 2}/p-{number:02d}", number + 1, f"n={number % 3}") for number in range(20)])


def test_pages_are_of_one_version_while_the_replica_moves_on() -> None:
    replica = many()
    whole, rv = names(ask(replica)), replica.rv
    turns = iter(range(101, 200))

    def between() -> None:
        at = next(turns) * 3
        change(replica, (DELETED, pod(f"ns-1/p-{19 - (at // 3 - 101) * 2:02d}", at)))
        change(replica, (ADDED, pod(f"ns-0/p-00{at}", at + 1)), (MODIFIED, pod("ns-0/p-18", at + 2, "n=9")))

    found, versions = pages(replica, between, limit="3")
    assert found == whole
    assert set(versions) == {rv}
    assert names(ask(replica)) != whole


@pytest.mark.parametrize("limit", ["1", "2", "7", "19", "20", "21"])
@pytest.mark.parametrize("namespace", ["", "ns-1"])
def test_a_paged_list_is_the_whole_list(limit: str, namespace: str) -> None:
    replica = many()
    assert pages(replica, lambda: None, namespace, limit=limit)[0] == names(ask(replica, namespace))


def test_a_selection_is_paged_without_counting_what_remains() -> None:
    replica = many()
    first = ask(replica, limit="2", labelSelector="n in (1,2)")
    assert "remainingItemCount" not in first["metadata"]
    assert ask(replica, limit="2")["metadata"]["remainingItemCount"] == 18
    found, _ = pages(replica, lambda: None, limit="2", labelSelector="n in (1,2)")
    assert found == names(ask(replica, labelSelector="n in (1,2)"))


def test_version_zero_knows_no_limit() -> None:
    assert len(ask(many(), limit="2", resourceVersion="0")["items"]) == 20


def test_an_older_version_is_shown_as_it_was() -> None:
    replica = loaded(pod("a/x", 5), pod("a/y", 6))
    change(replica, (DELETED, pod("a/x", 101)), (MODIFIED, pod("a/y", 102, "new=1")))
    change(replica, (ADDED, pod("a/z", 103)))
    assert names(ask(replica)) == ["y", "z"]
    for query in ({"resourceVersionMatch": "Exact"}, {"limit": "10"}):
        then = ask(replica, resourceVersion="101", **query)
        assert (names(then), then["metadata"]["resourceVersion"]) == (["y"], "101")
        assert then["items"][0]["metadata"]["labels"] == {}
    assert names(ask(replica, resourceVersion="100", resourceVersionMatch="Exact")) == ["x", "y"]
    assert names(ask(replica, resourceVersion="1", resourceVersionMatch="NotOlderThan")) == ["y", "z"]


@pytest.mark.parametrize("query", [{"resourceVersion": "7", "resourceVersionMatch": "Exact"}, {"limit": "1"}])
def test_what_the_log_does_not_lead_back_to_is_410(query: Dict[str, str]) -> None:
    replica = many()
    token = lists.make_token("7", "ns-0/p-00\0", "")
    with pytest.raises(ApiError, match="too old") as caught:
        ask(replica, **(query if "resourceVersion" in query else {**query, "_continue": token}))
    assert (caught.value.code, caught.value.reason) == (410, "Expired")


def test_a_token_of_one_namespace_shows_nothing_of_another() -> None:
    replica = many()
    token = ask(replica, "ns-0", limit="2")["metadata"]["continue"]
    found = ask(replica, "ns-1", _continue=token)
    assert {item["metadata"]["namespace"] for item in found["items"]} <= {"ns-1"}


def test_a_page_that_expired_is_told_with_a_token_that_goes_on_in_the_newest() -> None:
    """As the API server does: who pages through more than the log holds need not begin again."""
    replica = many()
    for namespace, last in (("", "ns-0/p-16"), ("ns-1", "ns-1/p-17")):
        with pytest.raises(ApiError) as caught:
            ask(replica, namespace, _continue=lists.make_token("7", last + "\0", namespace))
        rest = ask(replica, namespace, _continue=caught.value.status()["metadata"]["continue"])
        assert rest["metadata"]["resourceVersion"] == "100"
        whole = names(ask(replica, namespace))
        assert names(rest) == whole[whole.index(last.partition("/")[2]) + 1 :]


def test_an_api_servers_own_token_goes_on_at_its_place() -> None:
    token = encoded(v="meta.k8s.io/v1", rv=100, start="/ns-1/p-17\0")
    assert names(ask(many(), _continue=token)) == ["p-19"]
    token = encoded(v="meta.k8s.io/v1", rv=100, start="/n-1\0")
    assert names(ask(loaded(pod("/n-1", 1), pod("/n-2", 2)), _continue=token)) == ["n-2"]


def encoded(**found: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(found).encode()).rstrip(b"=").decode()


FORGED = [
    ("abc", "continue key is not valid"),
    ("////", "continue key is not valid"),
    ("W10", "continue key is not valid"),
    ("x" * 5000, "continue key is not valid"),
    (encoded(v="meta.k8s.io/v2", rv=100, start="a\0"), "this encoded version meta.k8s.io/v2"),
    (encoded(rv=100, start="a\0"), "does not recognize this encoded version "),
    (encoded(v="meta.k8s.io/v1", rv=0, start="a\0"), "incorrect encoded start resourceVersion"),
    (encoded(v="meta.k8s.io/v1", rv=-1 << 200, start="a\0"), "incorrect encoded start resourceVersion"),
    (encoded(v="meta.k8s.io/v1", rv=1 << 200, start="a\0"), "incorrect encoded start resourceVersion"),
    (encoded(v="meta.k8s.io/v1", rv="100", start="a\0"), "continue key is not valid"),
    (encoded(v="meta.k8s.io/v1", rv=True, start="a\0"), "continue key is not valid"),
    (encoded(v="meta.k8s.io/v1", rv=100, start=""), "continue key is not valid"),
    (encoded(v="meta.k8s.io/v1", rv=100, start="../ns-1/x"), "continue key is not valid"),
    (encoded(v="meta.k8s.io/v1", rv=100, start=["a"]), "continue key is not valid"),
]


@pytest.mark.parametrize(("token", "why"), FORGED)
def test_a_forged_token_is_400(token: str, why: str) -> None:
    with pytest.raises(ApiError) as caught:
        ask(many(), "ns-0", _continue=token)
    assert (caught.value.code, caught.value.reason) == (400, "BadRequest")
    assert "invalid continue token: " in caught.value.message
    assert why in caught.value.message


def test_a_table_has_a_row_an_object_and_the_metadata_of_the_list() -> None:
    table = ask(many(), "", Form(TABLE, "v1"), limit="3")
    assert [row["cells"][0] for row in table["rows"]] == ["p-00", "p-02", "p-04"]
    assert (table["kind"], table["metadata"]["remainingItemCount"]) == ("Table", 17)


def test_rows_that_stand_by_precedence_do_so_within_each_page() -> None:
    """As the API server has flowschemas: the list itself, and where a page ends, go by name."""
    kind = "flowschemas.flowcontrol.apiserver.k8s.io"
    replica, held = Replica(kind), {}
    for number, (name, precedence) in enumerate((("a", 9), ("b", 1), ("c", 5), ("d", 2)), 1):
        body = b'{"metadata":{"name":"%s"},"spec":{"matchingPrecedence":%d}}' % (name.encode(), precedence)
        held[f"/{name}"] = Envelope(str(number), name, b"", 1.0, b"", (), body)
    replica.load(SnapshotData(Token("n", 1), head(100), 10.0, held))
    schemas = Resource(Kind("flowschemas", "flowcontrol.apiserver.k8s.io"), "v1", "FlowSchema", False)
    written = Forms(Writer(schemas), Tabulator(kind))

    def listed(form: Form, **query: str) -> Dict[str, Any]:
        options = parse(kind, query)
        found: Dict[str, Any] = json.loads(lists.answer(replica, "", options, written, form, 0.0))
        return found

    def shown(answer: Dict[str, Any]) -> str:
        return "".join(row["cells"][0] for row in answer["rows"])

    rows = Form(TABLE, "v1")
    assert shown(listed(rows)) == "bdca"
    first = listed(rows, limit="3")
    assert shown(first) == "bca"
    assert shown(listed(rows, limit="3", **{"continue": first["metadata"]["continue"]})) == "d"
    assert names(listed(PLAIN)) == list("abcd")
