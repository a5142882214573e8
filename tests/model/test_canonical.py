"""Canonical bytes: the same object gives the same bytes, secrets never pass, one bad object stops nothing."""

from __future__ import annotations

import copy
import json
from typing import Any, Dict, List, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from krm.model import codec, messages, records, redaction
from krm.model.canonical import Bookmark, Canonicaliser, Status
from krm.model.kinds import Kind, Resource
from krm.model.messages import Item
from krm.model.refusals import UnparsableLine, UnparsablePage

from model import pods

CODECS = [one for one in (codec.MSGSPEC, codec.STDLIB) if one is not None]
each_codec = pytest.mark.parametrize("which", CODECS, ids=[one.name for one in CODECS])
WIDGETS = Resource(Kind("widgets", "example.com"), "v1", "Widget", True)
EVENTS = Resource(Kind("events", ""), "v1", "Event", True)


def item(line: bytes, which: codec.Codec = codec.STDLIB, resource: Resource = pods.PODS, **kw: Any) -> Item:
    found = Canonicaliser(resource, codec=which, **kw).event(line)
    assert isinstance(found, Item)
    return found


def widget(**fields: Any) -> Dict[str, Any]:
    metadata = {"name": "w", "namespace": "shop", "uid": "u", "resourceVersion": "7"}
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": metadata, **fields}


def line_of(obj: Any, type: str = "ADDED") -> bytes:
    return pods.compact({"type": type, "object": obj})


@each_codec
def test_a_watched_pod_becomes_an_item_of_its_own_words(which: codec.Codec) -> None:
    pod = pods.pod()
    found = Canonicaliser(pods.PODS, codec=which).event(pods.watched(pod), received_at=12.5)
    assert isinstance(found, Item)
    assert found[:4] == ("M", "shop/web-0", "1000", pod["metadata"]["uid"])
    assert json.loads(found.labels) == pod["metadata"]["labels"]
    assert found.fields == (
        "node-1",
        "Always",
        "default-scheduler",
        "default",
        "false",
        "Running",
        "10.1.0.7",
        "",
        "",
    )
    assert found.received_at == 12.5
    assert found.digest == records.object_digest(found.body)
    expected = {"apiVersion": "v1", "kind": "Pod", **copy.deepcopy(pod)}
    del expected["metadata"]["managedFields"], expected["metadata"]["annotations"]
    for container in expected["spec"]["containers"]:
        for variable in container["env"]:
            if "value" in variable:
                variable["value"] = redaction.PLACEHOLDER
    assert found.body == pods.compact(expected)


@each_codec
def test_watched_and_listed_give_the_same_bytes(which: codec.Codec) -> None:
    objects = [pods.pod("web-%d" % n, rv=str(1000 + n)) for n in range(3)]
    canonicaliser = Canonicaliser(pods.PODS, codec=which)
    page = canonicaliser.page(pods.listed(objects, token="abc") + b"\n")
    assert (page.rv, page.continue_token, page.remaining, page.bad) == ("2000", "abc", 7, [])
    assert page.items == [canonicaliser.event(pods.watched(one, "ADDED")) for one in objects]
    # Whether kind or apiVersion comes first, or last, changes nothing.
    swapped = {**objects[0], "apiVersion": "v1", "kind": "Pod"}
    assert canonicaliser.event(line_of(swapped)) == page.items[0]


def test_both_codecs_give_the_same_items() -> None:
    body = pods.listed([pods.pod("web-%d" % n, rv=str(1000 + n), managed=n) for n in range(20)])
    assert len({tuple(Canonicaliser(pods.PODS, codec=one).page(body).items) for one in CODECS}) == 1


def test_canon_tells_settings_and_version_apart() -> None:
    resources = [pods.PODS, pods.NODES, WIDGETS, WIDGETS._replace(version="v2")]
    canons = [Canonicaliser(one, keep).canon for one in resources for keep in (False, True)]
    assert canons[0] == canons[2], "the kind is in the key, not in canon"
    assert len(set(canons)) == 6
    assert Canonicaliser(WIDGETS).canon.split(" ")[1] == "example.com/v1"


# --- redaction


def redacted(value: Any) -> Any:
    """What redaction means, told by objects."""
    if isinstance(value, list):
        return [redacted(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: variables(one) if key == "env" and isinstance(one, list) else redacted(one)
        for key, one in value.items()
    }


def variables(rows: List[Any]) -> List[Any]:
    hidden = []
    for row in rows:
        found = redacted(row)
        if isinstance(row, dict) and "name" in row and "value" in row:
            found["value"] = redaction.PLACEHOLDER
        hidden.append(found)
    return hidden


KEYS = st.sampled_from(["env", "name", "value", "valueFrom", "a", "é", 'q"', "Env", "env\\", "metadata"])
LEAF = st.sampled_from(["s", '"env":[', '\\"env":[{"name":"a","value":"b"}]', "", "é", 1, None, True, 1.5])
TREES = st.recursive(
    LEAF, lambda inside: st.lists(inside, max_size=3) | st.dictionaries(KEYS, inside, max_size=4), max_leaves=20
)
VARIABLES = st.lists(
    st.fixed_dictionaries({"name": LEAF}, optional={"value": TREES, "valueFrom": TREES}) | TREES, max_size=3
)
OBJECTS = st.dictionaries(KEYS, TREES | st.fixed_dictionaries({"env": VARIABLES}), max_size=4)


@given(OBJECTS, st.booleans(), st.sampled_from(["", " ", "\n "]))
@settings(max_examples=400, deadline=None, print_blob=True)
def test_env_values_are_replaced_at_any_depth_and_nothing_else(
    tree: Dict[str, Any], escape: bool, spaces: str
) -> None:
    raw = json.dumps(tree, ensure_ascii=escape, separators=("," + spaces, ":" + spaces)).encode()
    for which in CODECS:
        assert json.loads(redaction.clean(which, raw, False)) == redacted(tree)


@given(OBJECTS)
@settings(max_examples=200, deadline=None, print_blob=True)
def test_no_spelling_of_the_key_hides_a_value(tree: Dict[str, Any]) -> None:
    plain = json.dumps(tree)
    for letter, escape in (("e", "\\u0065"), ("n", "\\u006E"), ("v", "\\u0076")):
        disguised = plain.replace('"env"', '"%s"' % "env".replace(letter, escape)).replace(
            '"value"', '"valu\\u0065"'
        )
        for which in CODECS:
            assert json.loads(redaction.clean(which, disguised.encode(), False)) == redacted(json.loads(disguised))


@each_codec
def test_value_from_stays_in_the_form_that_the_server_writes(which: codec.Codec) -> None:
    source = b'{"name":"A","valueFrom":{"ref":{"name":"a","value":"kept"}}}'
    raw = b'{"env":[%s,{"name":"B","value":"hunter2"},%s]}' % (source, source)
    expected = b'{"env":[%s,{"name":"B","value":"%s"},%s]}' % (source, redaction.PLACEHOLDER.encode(), source)
    assert redaction.clean(which, raw, False) == expected


@each_codec
def test_the_secret_is_in_no_part_of_an_item(which: codec.Codec) -> None:
    pod = pods.pod()
    assert pods.SECRET.encode() in pods.watched(pod)
    found = item(pods.watched(pod), which)
    assert pods.SECRET.encode() not in messages.pack(messages.Batch("", "", 0, "", "", "", (found,)))
    kept = item(pods.watched(pod), which, keep_env=True)
    assert b'"value":"hunter2-0"' in kept.body
    assert b"last-applied" not in kept.body


@each_codec
def test_a_template_deep_in_a_custom_resource_is_redacted_too(which: codec.Codec) -> None:
    template = {"env": [{"value": "hunter2", "name": "A", "more": {"env": [{"name": "B", "value": "hunter2"}]}}]}
    found = item(line_of(widget(spec={"jobs": [{"template": [template]}]})), which, WIDGETS)
    assert b"hunter2" not in found.body
    assert found.body.count(redaction.PLACEHOLDER.encode()) == 2


@each_codec
def test_dropped_metadata_under_any_spelling(which: codec.Codec) -> None:
    obj = line_of(widget()).replace(
        b'"uid"',
        b'"managed\\u0046ields":[{"hunter2":1}],"annotations":{"kubectl.kubernetes.io\\/last\\u002dapplied-configuration":'
        b'"hunter2","keep":"\\u003cme"},"uid"',
    )
    found = item(obj, which, WIDGETS)
    assert b"hunter2" not in found.body
    assert json.loads(found.body)["metadata"]["annotations"] == {"keep": "<me"}


@each_codec
def test_other_annotations_stay_byte_for_byte(which: codec.Codec) -> None:
    obj = widget()
    obj["metadata"]["annotations"] = {"a": '{"x":1}', redaction.LAST_APPLIED: "{}", "b": "é"}
    assert b'"annotations":{"a":"{\\"x\\":1}","b":"\xc3\xa9"}' in item(line_of(obj), which, WIDGETS).body


# --- what is refused

HOSTILE: List[Tuple[str, bytes, str]] = [
    ("deep", b'"spec":' + b'{"a":' * 200 + b"1" + b"}" * 200, "TooDeep"),
    ("very deep", b'"spec":' + b"[" * 100_000 + b"]" * 100_000, "TooDeep"),
    ("long integer", b'"spec":{"n":%s}' % (b"9" * 5000), "LongNumber"),
    ("NaN", b'"spec":NaN', "NotJson"),
    ("not UTF-8", b'"spec":"\xff hunter2"', "NotUtf8"),
    ("lone surrogate", b'"spec":"\\ud800"', "NotJson"),
    ("control character", b'"spec":"\x01"', "NotJson"),
    ("another kind", b'"kind":"Gadget"', "OtherKind"),
    ("another version", b'"apiVersion":"example.com/v2"', "OtherKind"),
    ("slash in the name", b'"metadata":{"name":"a/b","namespace":"s","uid":"u","resourceVersion":"7"}', "BadName"),
    ("new line", b'"metadata":{"name":"a\\nb","namespace":"s","uid":"u","resourceVersion":"7"}', "BadName"),
    ("NUL", b'"metadata":{"name":"a\\u0000","namespace":"s","uid":"u","resourceVersion":"7"}', "BadName"),
    ("long name", b'"metadata":{"name":"%s","namespace":"s","uid":"u","resourceVersion":"7"}' % (b"a" * 254),
    "BadName"),
    ("no namespace", b'"metadata":{"name":"a","uid":"u","resourceVersion":"7"}', "BadName"),
    ("no name", b'"metadata":{"namespace":"s","uid":"u","resourceVersion":"7"}', "BadName"),
    ("no uid", b'"metadata":{"name":"a","namespace":"s","resourceVersion":"7"}', "BadUid"),
    ("no version", b'"metadata":{"name":"a","namespace":"s","uid":"u"}', "MalformedVersion"),
    ("version 0", b'"metadata":{"name":"a","namespace":"s","uid":"u","resourceVersion":"0"}', "MalformedVersion"),
    ("version by number", b'"metadata":{"name":"a","namespace":"s","uid":"u","resourceVersion":7}', "NotText"),
    ("no metadata", b'"metadata":null', "NoMetadata"),
    ("labels of numbers",
    b'"metadata":{"name":"a","namespace":"s","uid":"u","resourceVersion":"7","labels":{"x":1}}', "BadLabels"),
    ("labels of 300 KB",
    b'"metadata":{"name":"a","namespace":"s","uid":"u","resourceVersion":"7","labels":{"x":"%s"}}'
     % (b"x" * 300_000), "TooManyLabels"),
    ("too large", b'"spec":"%s"' % (b"x" * messages.MAX_OBJECT), "TooLarge"),
]  # fmt: skip
hostile = pytest.mark.parametrize(("extra", "error"), [one[1:] for one in HOSTILE], ids=[one[0] for one in HOSTILE])


def spoiled(extra: bytes) -> bytes:
    # The last duplicate of a key wins, so that `extra` replaces what it names.
    return pods.compact(widget()).rstrip(b"}") + b"}," + extra + b"}"


@each_codec
@hostile
def test_a_hostile_line_is_refused_by_class_without_content(which: codec.Codec, extra: bytes, error: str) -> None:
    line = b'{"type":"ADDED","object":%s}' % spoiled(extra)
    with pytest.raises(UnparsableLine) as caught:
        Canonicaliser(WIDGETS, codec=which).event(line, received_at=3.0)
    bad = caught.value.bad
    assert bad.error.startswith(error), bad.error
    assert (bad.length, bad.at) == (len(line), 3.0)
    assert "hunter2" not in repr(bad)
    assert len(bad.error) <= 200


@each_codec
@hostile
@pytest.mark.parametrize("typed", [True, False], ids=["typed list", "custom list"])
def test_one_bad_object_in_a_list_stops_no_other(which: codec.Codec, extra: bytes, error: str, typed: bool) -> None:
    good = [pods.compact(widget(spec={"n": n})).replace(b'"name":"w"', b'"name":"w%d"' % n) for n in range(3)]
    items = b",".join([good[0], spoiled(extra), *good[1:]])
    head, tail = (
        b'{"kind":"WidgetList","apiVersion":"example.com/v1","metadata":{"resourceVersion":"9"},"items":[',
        b"]}",
    )
    if not typed:
        head, tail = (
            b'{"apiVersion":"example.com/v1","items":[',
            b'],"kind":"WidgetList","metadata":{"resourceVersion":"9"}}',
        )
    page = Canonicaliser(WIDGETS, codec=which).page(head + items + tail)
    assert [one.key for one in page.items] == ["shop/w0", "shop/w1", "shop/w2"]
    assert [bad.error.split(":")[0] for bad in page.bad] == [error]
    assert page.rv == "9"


@each_codec
@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"null", b"[]", b"x", b'{"type":"ADDED"}', b'{"type":"ADDED","object":5}',
    b'{"type":"GONE","object":{}}',
     b'{"object":{}}', b'{"type":"BOOKMARK","object":{"metadata":{}}}', b'{"type":"ERROR","object":[]}', b"\xff"],
)  # fmt: skip
def test_a_line_that_is_no_event_is_a_gap(which: codec.Codec, line: bytes) -> None:
    with pytest.raises(UnparsableLine):
        Canonicaliser(WIDGETS, codec=which).event(line)


@each_codec
def test_a_watch_cut_at_any_byte_is_refused_or_whole(which: codec.Codec) -> None:
    line = pods.watched(pods.pod(managed=2))
    canonicaliser = Canonicaliser(pods.PODS, codec=which)
    for end in range(0, len(line), 7):
        with pytest.raises(UnparsableLine):
            canonicaliser.event(line[:end])


@each_codec
@pytest.mark.parametrize(
    "body",
    [b"", b"404 page not found", b"{}", b'{"items":[]}', b'{"metadata":{"resourceVersion":"0"},"items":[]}',
     b'{"metadata":{"resourceVersion":"9"}}', b'{"metadata":{"resourceVersion":"9"},"items":[{}}',
     b'{"kind":"L","apiVersion":"v1","metadata":{"resourceVersion":"9"},"items":[{"a":"]}',
     b'{"kind":"L","apiVersion":"v1","metadata":{"resourceVersion":"9"},"items":[1],"x":[2]}'],
)  # fmt: skip
def test_a_body_that_is_no_list_is_refused_whole(which: codec.Codec, body: bytes) -> None:
    with pytest.raises(UnparsablePage) as caught:
        Canonicaliser(pods.PODS, codec=which).page(body)
    assert caught.value.bad.length == len(body)


@each_codec
def test_an_empty_list_is_empty(which: codec.Codec) -> None:
    canonicaliser = Canonicaliser(pods.PODS, codec=which)
    for items in (b"[]", b"null", b"[ ]"):
        body = b'{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"9"},"items":%s}' % items
        assert canonicaliser.page(body) == ("9", "", None, [], [])


@each_codec
def test_items_whose_text_looks_like_the_border_of_items_are_kept_whole(which: codec.Codec) -> None:
    trap = '},{"metadata":{"name":'
    objects = [pods.pod("web-%d" % n, managed=1) for n in range(3)]
    objects[1]["spec"]["note"] = trap
    objects[2]["spec"]["claims"] = [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]
    page = Canonicaliser(pods.PODS, codec=which).page(pods.listed(objects))
    assert [one.key for one in page.items] == ["shop/web-0", "shop/web-1", "shop/web-2"]
    assert page.bad == []
    assert json.loads(page.items[1].body)["spec"]["note"] == trap


@given(st.lists(st.integers(0, 2), max_size=4), st.sampled_from(["", " ", "\n"]), st.booleans())
@settings(max_examples=60, deadline=None, print_blob=True)
def test_lists_in_any_dress_give_the_same_items(shape: List[int], spaces: str, sort: bool) -> None:
    objects = [pods.pod("web-%d" % n, managed=size) for n, size in enumerate(shape)]
    body = json.loads(pods.listed(objects))
    dressed = json.dumps(body, separators=("," + spaces, ":"), sort_keys=sort).encode()
    for which in CODECS:
        canonicaliser = Canonicaliser(pods.PODS, codec=which)
        page = canonicaliser.page(dressed)
        assert page.bad == []
        plain = canonicaliser.page(pods.listed(objects))
        assert [json.loads(one.body) for one in page.items] == [json.loads(one.body) for one in plain.items]


# --- bookmarks, errors, metadata


@each_codec
def test_bookmarks_and_their_end_of_initial_events(which: codec.Codec) -> None:
    canonicaliser = Canonicaliser(pods.PODS, codec=which)
    bookmark = {"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": "77", "creationTimestamp": None}}
    assert canonicaliser.event(line_of(bookmark, "BOOKMARK")) == Bookmark("77", False)
    bookmark["metadata"]["annotations"] = {"k8s.io/initial-events-end": "true"}
    found = canonicaliser.event(line_of(bookmark, "BOOKMARK"))
    assert found == Bookmark("77", True)
    assert isinstance(found, Bookmark)
    assert found.item(1.0) == Item("B", "", "77", received_at=1.0)


@each_codec
def test_an_error_line_is_its_status(which: codec.Codec) -> None:
    status = {"kind": "Status", "status": "Failure", "message": "too old", "reason": "Expired", "code": 410}
    assert Canonicaliser(pods.PODS, codec=which).event(line_of(status, "ERROR")) == Status(
        410, "Expired", "too old"
    )
    assert Canonicaliser(pods.PODS, codec=which).event(line_of({}, "ERROR")) == Status(0, "", "")


@each_codec
def test_a_metadata_page_holds_keys_versions_and_uids(which: codec.Codec) -> None:
    objects = [
        {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": pods.pod()["metadata"]}
    ]
    page = Canonicaliser(pods.PODS, codec=which).metadata_page(
        pods.listed(objects, kind="PartialObjectMetadataList")
    )
    assert page.items == [Item("A", "shop/web-0", "1000", objects[0]["metadata"]["uid"])]


@each_codec
def test_cluster_scoped_keys_and_selectable_fields(which: codec.Codec) -> None:
    metadata = {"name": "node-1", "uid": "u", "resourceVersion": "5"}
    node = {"kind": "Node", "apiVersion": "v1", "metadata": metadata, "spec": {"unschedulable": True}}
    assert item(line_of(node), which, pods.NODES)[1] == "/node-1"
    assert item(line_of(node), which, pods.NODES).fields == ("true",)
    del node["spec"]
    assert item(line_of(node), which, pods.NODES).fields == ("false",)
    event = {**widget(), "kind": "Event", "apiVersion": "v1", "involvedObject": {"kind": "Pod", "name": "w\u00e9b"}}
    event.update(reason="Killing", type="Normal", reportingComponent="kubelet", source={})
    fields = item(line_of(event), which, EVENTS).fields
    assert fields == ("Pod", "", "w\u00e9b", "", "", "", "", "Killing", "kubelet", "kubelet", "Normal")


@each_codec
def test_a_line_with_more_fields_than_kubernetes_writes_is_still_an_event(which: codec.Codec) -> None:
    plain = pods.watched(pods.pod())
    more = plain[:-1] + b',"cluster":"a"}'
    spaced = plain.replace(b'"type":', b' "type" : ', 1) + b" \r"
    assert item(plain, which) == item(more, which) == item(spaced, which)
