"""What the body of a POST asks for: the parameters as the classic application had them, and hostile bodies."""

from __future__ import annotations

import json
import random
import time
from typing import Any, Dict

import pytest
from krm.model import times
from krm.model.metrics import TABLE
from krm.server import classic_dates
from krm.server.classic_asked import (
    ALL_NAMESPACE,
    ALL_POD,
    MAX_BODY,
    POD_BY_NAMESPACE,
    POINTS,
    Asked,
    BadBody,
    asked,
    body,
)

CPU = TABLE["cpu/usage_rate"]
NOW = times.parse("2018-01-01T12:34:56Z")


def of(raw: bytes) -> Asked:
    return asked(CPU, body(raw), NOW)


@pytest.mark.parametrize("raw", [b"", b"  \r\n\t", b"{}", b'{"namespace":null,"limit":null,"agg":null}'])
def test_an_empty_body_asks_for_the_newest_hundred_points_of_the_last_hour(raw: bytes) -> None:
    assert of(raw) == Asked(CPU, POINTS, "default", 100, NOW - 3600, NOW, NOW)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"namespace": "shop"}, {"namespace": "shop"}),
        ({"limit": 7}, {"limit": 7}),
        ({"limit": "7"}, {"limit": 7}),
        ({"limit": " 7 "}, {"limit": 7}),
        ({"limit": 7.0}, {"limit": 7}),
        ({"agg": "pod-by-namespace"}, {"agg": POD_BY_NAMESPACE, "namespace": "default"}),
        ({"agg": "all-namespace", "namespace": "shop"}, {"agg": ALL_NAMESPACE, "namespace": ""}),
        ({"agg": "all-pod", "namespace": "shop"}, {"agg": ALL_POD, "namespace": ""}),
        ({"agg": "All-Pod"}, {"agg": POINTS}),
        ({"agg": ""}, {"agg": POINTS}),
        ({"agg": 7}, {"agg": POINTS}),
        ({"agg": ["all-pod"]}, {"agg": POINTS}),
        ({"agg": {"all-pod": 1}}, {"agg": POINTS}),
        ({"unknown": {"x": [1]}, "Namespace": "x"}, {"namespace": "default"}),
        ({"timeBeginInterval": "2017-12-31"}, {"begin": times.parse("2017-12-31T00:00:00Z"), "end": NOW}),
        ({"timeEndInterval": "2018-01-01"}, {"begin": NOW - 3600, "end": times.parse("2018-01-01T00:00:00Z")}),
        # What an aggregation ignores is not looked at, wrong or not.
        ({"agg": "pod-by-namespace", "limit": "many"}, {"agg": POD_BY_NAMESPACE}),
        ({"agg": "all-pod", "limit": -1, "namespace": 7}, {"agg": ALL_POD, "namespace": ""}),
        ({"agg": "all-namespace", "limit": [], "namespace": "'"}, {"agg": ALL_NAMESPACE, "namespace": ""}),
    ],
)
def test_each_parameter_is_read_and_what_is_ignored_is_not(given: Dict[str, Any], wanted: Dict[str, Any]) -> None:
    found = of(json.dumps(given).encode())._asdict()
    assert {name: found[name] for name in wanted} == wanted


def test_the_example_covers_1_december_to_the_end_of_the_30th() -> None:
    raw = b'{"agg":"pod-by-namespace","timeBeginInterval":"2017-12-01","timeEndInterval":"2017-12-31"}'
    found = of(raw)
    assert (found.begin, found.end) == (times.parse("2017-12-01T00:00:00Z"), times.parse("2017-12-31T00:00:00Z"))
    last = times.parse("2017-12-30T23:59:59Z")
    assert found.begin <= last < found.end


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2017-12-01", "2017-12-01T00:00:00Z"),
        (" 2017-12-01 ", "2017-12-01T00:00:00Z"),
        ("2016-02-29", "2016-02-29T00:00:00Z"),
        ("2017-12-01T10:20:30Z", "2017-12-01T10:20:30Z"),
        ("2017-12-01t10:20:30z", "2017-12-01T10:20:30Z"),
        ("2017-12-01T10:20:30.5Z", "2017-12-01T10:20:30.5Z"),
        ("2017-12-01T00:00:00+01:00", "2017-11-30T23:00:00Z"),
        ("2017-12-01T00:00:00-05:30", "2017-12-01T05:30:00Z"),
        ("2017-12-01 10:20:30", "2017-12-01T10:20:30Z"),
        ("2017-12-01 10:20:30.123456", "2017-12-01T10:20:30.123456Z"),
        ("2017-12-01T10:20", "2017-12-01T10:20:00Z"),
        ("now", "2018-01-01T12:34:56Z"),
        ("now()", "2018-01-01T12:34:56Z"),
        ("NOW", "2018-01-01T12:34:56Z"),
        ("now-60m", "2018-01-01T11:34:56Z"),
        ("now()-60m", "2018-01-01T11:34:56Z"),
        ("now() - 1h", "2018-01-01T11:34:56Z"),
        ("now-1h30m", "2018-01-01T11:04:56Z"),
        ("now-30d", "2017-12-02T12:34:56Z"),
        ("now-90", "2018-01-01T12:33:26Z"),
        ("now+10s", "2018-01-01T12:35:06Z"),
    ],
)
def test_moments_in_every_form(text: str, wanted: str) -> None:
    assert classic_dates.parse(text, NOW) == pytest.approx(times.parse(wanted), abs=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "", "yesterday", "2017-13-01", "2017-02-29", "2017-12-1", "2017-12-01T25:00:00Z", "17-12-01",
        "2017-12-01T00:00:00+99:00", "now-", "now--5m", "now-5w", "now-1000d", "nowish", "1512086400",
        "2017-12-01' OR time > 0 --", "\u0662017-12-01", "x" * 100_000, "now-" + "9" * 60 + "d",
    ],
)  # fmt: skip
def test_what_names_no_moment_is_refused(text: str) -> None:
    with pytest.raises(BadBody, match="timeBeginInterval is no date"):
        asked(CPU, {"timeBeginInterval": text}, NOW)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"namespace=default", "no JSON"),
        (b'{"namespace":"default"', "no JSON"),
        (b"{'namespace':'default'}", "no JSON"),
        (b"\xff\xfe{}", "no JSON"),
        (b'{"namespace":"\xff"}', "no JSON"),
        ('{"namespace":"a"}'.encode("utf-16"), "no JSON"),
        (b"[" * 60_000, "no JSON"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "no JSON"),
        (b"[]", "no JSON object"),
        (b'[{"namespace":"a"}]', "no JSON object"),
        (b'"all-pod"', "no JSON object"),
        (b"7", "no JSON object"),
        (b"null", "no JSON object"),
        (b'{"limit":NaN}', "NaN is no number"),
        (b'{"limit":-Infinity}', "-Infinity is no number"),
        (b'{"limit":1e400}', "limit is no whole number"),
        (b'{"limit":"1e400"}', "limit is no whole number"),
        (b'{"limit":0}', "limit is no whole number from 1 on"),
        (b'{"limit":-5}', "limit is no whole number"),
        (b'{"limit":"-5"}', "limit is no whole number"),
        (b'{"limit":"0"}', "limit is no whole number"),
        (b'{"limit":1.5}', "limit is no whole number"),
        (b'{"limit":"ten"}', "limit is no whole number"),
        (b'{"limit":""}', "limit is no whole number"),
        (b'{"limit":true}', "limit is no whole number"),
        (b'{"limit":[100]}', "limit is no whole number"),
        ('{"limit":"\u0661\u0660"}'.encode(), "limit is no whole number"),
        (b'{"limit":"100; DROP MEASUREMENT x"}', "limit is no whole number"),
        (b'{"namespace":""}', "namespace is no name"),
        (b'{"namespace":7}', "namespace is no name"),
        (b'{"namespace":["a","b"]}', "namespace is no name"),
        (b'{"namespace":"*"}', "namespace is no name"),
        (b"{\"namespace\":\"default' OR 'a'='a\"}", "namespace is no name"),
        (b'{"namespace":"a\\" or 1=1 --"}', "namespace is no name"),
        (b'{"namespace":"a\\u0000"}', "namespace is no name"),
        (b'{"namespace":"a\\n"}', "namespace is no name"),
        (b'{"namespace":"../kube-system"}', "namespace is no name"),
        (b'{"namespace":"Default"}', "namespace is no name"),
        (b'{"namespace":"' + b"a" * 64 + b'"}', "namespace is no name"),
        (b'{"timeBeginInterval":1512086400}', "timeBeginInterval is no text"),
        (b'{"timeEndInterval":{}}', "timeEndInterval is no text"),
        (b'{"timeEndInterval":"tomorrow"}', "timeEndInterval is no date"),
        (b'{"namespace":"a","namespace":"b"}', "namespace stands in the body more than once"),
        (b'{"limit":1,"x":2,"limit":1}', "limit stands in the body more than once"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_a_sentence(raw: bytes, says: str) -> None:
    with pytest.raises(BadBody, match=says) as caught:
        of(raw)
    assert len(str(caught.value)) < 200


def test_a_number_of_60000_digits_costs_no_time() -> None:
    before = time.process_time()
    with pytest.raises(BadBody, match="limit"):
        of(b'{"limit":' + b"9" * (MAX_BODY - 100) + b"}")
    assert of(b'{"limit":' + b"9" * 30 + b"}").limit == int(1e30)
    assert time.process_time() - before < 1.0


def test_no_bytes_are_anything_but_an_answer_or_a_refusal() -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    rng = random.Random(seed)
    model = (
        b'{"agg":"all-pod","namespace":"default","limit":"100","timeBeginInterval":"now-60m","x":[1,2.5e3,null]}'
    )
    for _ in range(3000):
        raw = bytearray(model)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(raw))
            raw[at : at + rng.randrange(3)] = bytes(rng.choices(b'{}[]":,\\0e9-.\xff\x00ntaZ', k=rng.randrange(3)))
        try:
            found = of(bytes(raw))
        except BadBody:
            continue
        assert found.agg in (POINTS, POD_BY_NAMESPACE, ALL_NAMESPACE, ALL_POD)
        assert found.agg in (ALL_NAMESPACE, ALL_POD) or found.namespace
