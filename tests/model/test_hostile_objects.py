"""Objects that an API server takes and that somebody made to hide a secret, to pass a cap, or to cost time."""

from __future__ import annotations

import json
import time
from typing import Any, Dict, List

import pytest
from krm.model import codec, messages, nesting, records, redaction
from krm.model.canonical import Canonicaliser
from krm.model.kinds import Kind, Resource
from krm.model.messages import Batch, Item
from krm.model.refusals import Refused

CODECS = [one for one in (codec.MSGSPEC, codec.STDLIB) if one is not None]
each_codec = pytest.mark.parametrize("which", CODECS, ids=lambda one: one.name)
PODS = Resource(Kind("pods", ""), "v1", "Pod", True)
WIDGETS = Resource(Kind("widgets", "example.com"), "v1", "Widget", True)
# Seconds of CPU within which an object of 2 MB is read: some 20 times what it takes, a hundredth of what it took.
QUICK = 3.0


def pod(spec: Any, **metadata: Any) -> bytes:
    meta: Dict[str, Any] = {"name": "x", "namespace": "d", "uid": "u", "resourceVersion": "5", **metadata}
    return raw({"kind": "Pod", "apiVersion": "v1", "metadata": meta, "spec": spec})


def raw(obj: Any) -> bytes:
    return json.dumps(obj, separators=(",", ":")).encode()


def passes_on(item: Item) -> None:
    """What the stages and Redis do with an item, to the reader of a change."""
    message = messages.unpack(messages.pack(Batch("n", "s", 0, "1", "canon", "uid", (item,))))
    assert message.items == (item,)  # type: ignore[union-attr]
    envelope = records.Envelope(item.rv, item.uid, item.digest, 1.0, item.labels, item.fields, item.body)
    packed = records.pack_envelope(envelope)
    change = records.Change("A", item.key, packed, "", "", b"", ())
    entry = records.pack_change_entry(records.ChangeEntry(1.0, "5", False, 0.0, (change,)))
    assert records.checked_envelope(records.unpack_change_entry(entry).changes[0].envelope) == envelope


@each_codec
def test_an_object_that_redaction_makes_too_large_is_refused_by_name(which: codec.Codec) -> None:
    env = [{"name": f"A{n}", "value": "b"} for n in range(95_000)]
    large = pod({"containers": [{"name": "c", "env": env}]})
    assert len(large) < messages.MAX_OBJECT
    with pytest.raises(Refused) as refused:
        Canonicaliser(PODS, codec=which).item(large)
    assert (refused.value.error, refused.value.key, refused.value.rv) == ("TooLarge", "d/x", "5")


@each_codec
@pytest.mark.parametrize("labels", [{}, {"a": "b" * 200_000}], ids=["bare", "with labels"])
def test_the_largest_object_that_is_taken_reaches_a_reader(which: codec.Codec, labels: Dict[str, str]) -> None:
    canonicaliser = Canonicaliser(PODS, codec=which)
    low, high = messages.MAX_OBJECT - 500_000, messages.MAX_OBJECT  # taken; refused
    while high - low > 1:
        middle = (low + high) // 2
        try:
            canonicaliser.item(pod({"x": "y" * middle}, labels=labels))
            low = middle
        except Refused:
            high = middle
    passes_on(canonicaliser.item(pod({"x": "y" * low}, labels=labels)))


@each_codec
@pytest.mark.parametrize(
    "written",
    [
        b'"managedFields": [{"a":1}],"uid"',
        b'"managedFields" :[{"a":1}],"uid"',
        b'"annotations":{"managedFields":"x"},"managedFields":[{"a":1}],"uid"',
        b'"managedFields":[{"a":1}],"managedFields":[2],"uid"',
        b'"managedFields":[{"a":"]"}] ,"uid"',
    ],
)
def test_managed_fields_leave_sound_json_however_they_are_written(which: codec.Codec, written: bytes) -> None:
    line = pod({"nodeName": "n"}).replace(b'"uid"', written, 1)
    found = Canonicaliser(PODS, codec=which).item(line)
    metadata = json.loads(found.body)["metadata"]
    assert "managedFields" not in metadata
    assert metadata.get("annotations") in (None, {"managedFields": "x"})
    assert found == Canonicaliser(PODS, codec=codec.STDLIB).item(line)


LAST = {redaction.LAST_APPLIED: "CANARY"}


@each_codec
@pytest.mark.parametrize(
    ("tree", "left"),
    [
        ({"template": {"metadata": {"annotations": LAST}}}, {"template": {"metadata": {}}}),
        (
            {"template": {"metadata": {"labels": {}, "annotations": {"a": "b", **LAST}}}},
            {"template": {"metadata": {"labels": {}, "annotations": {"a": "b"}}}},
        ),
        ({"annotations": {**LAST, "z": "y"}, "b": [{"c": LAST}]}, {"annotations": {"z": "y"}, "b": [{"c": {}}]}),
        ({redaction.LAST_APPLIED: {"no": "string CANARY"}, "k": 1}, {"k": 1}),
        ({"text": '"%s":"x"' % redaction.LAST_APPLIED}, {"text": '"%s":"x"' % redaction.LAST_APPLIED}),
    ],
)
@pytest.mark.parametrize("keep", [False, True], ids=["redacted", "env kept"])
def test_last_applied_is_removed_wherever_it_stands(which: codec.Codec, tree: Any, left: Any, keep: bool) -> None:
    for spaces in ((",", ":"), (", ", " : ")):
        line = json.dumps(
            {
                "apiVersion": "example.com/v1",
                "kind": "Widget",
                "metadata": {"name": "x", "namespace": "d", "uid": "u", "resourceVersion": "5"},
                "spec": tree,
            },
            separators=spaces,
        ).encode()
        body = Canonicaliser(WIDGETS, keep, which).item(line).body
        assert json.loads(body)["spec"] == left
        assert b"CANARY" not in body


@each_codec
def test_a_key_that_stands_twice_hides_no_last_applied(which: codec.Codec) -> None:
    twice = b'"annotations":{"%s":"CANARY"},' % redaction.LAST_APPLIED.encode()
    line = pod({}).replace(b'"uid"', twice + twice + b'"uid"', 1)
    assert b"CANARY" not in Canonicaliser(PODS, codec=which).item(line).body


@each_codec
@pytest.mark.parametrize(
    "spec",
    [
        b"[%s]" % b",".join([b'{"env":[0]}'] * 60_000),
        b"[%s]" % b",".join([b'{"env":[{"name":"a\\"","value":"b"}]}'] * 20_000),
        b'{"a":' * 90 + b"[%s]" % b",".join([b"[]"] * 480_000) + b"}" * 90,
        b'"%s"' % (b'\\"' * 200_000),
    ],
    ids=["unusual env arrays", "quotes in env names", "wide and deep", "escaped quotes"],
)
def test_no_shape_of_an_object_costs_more_than_its_size(which: codec.Codec, spec: bytes) -> None:
    line = pod("SPEC").replace(b'"SPEC"', spec)
    canonicaliser, began = Canonicaliser(PODS, codec=which), time.process_time()
    canonicaliser.item(line)
    assert time.process_time() - began < QUICK


@each_codec
def test_a_string_without_an_end_is_refused_at_once(which: codec.Codec) -> None:
    line = pod("SPEC").replace(b'"SPEC"}', b'"' + b'\\"9' * 300_000 + b"9" * 400)
    began = time.process_time()
    with pytest.raises(codec.NotJson):
        Canonicaliser(PODS, codec=which).item(line)
    assert time.process_time() - began < QUICK


def test_levels_counted_in_one_pass_are_those_counted_level_by_level(monkeypatch: pytest.MonkeyPatch) -> None:
    values: List[bytes] = [b'{"a":[%s]}' % (b"[" * n + b"]" * n) for n in range(120)]
    values += [b'["%s",{}]' % (b"[" * 300), b'{"a":"\\"[[[","b":[%s]}' % (b"[" * 97 + b"]" * 97)]
    for value in values:
        verdicts = []
        for most in (0, 10**9):
            monkeypatch.setattr(nesting, "_SPLIT_MOST", most)
            try:
                nesting.check_depth(codec.STDLIB, value, codec.MAX_DEPTH)
                verdicts.append("fits")
            except codec.NotJson as error:
                verdicts.append(error.error)
        assert verdicts[0] == verdicts[1], value[:50]
