"""Line protocol: what goes in comes out of a real InfluxDB and VictoriaMetrics, whatever the names hold."""

from __future__ import annotations

import json
import time
from pathlib import Path
from urllib.parse import quote, urlencode

import metric_servers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from krm.model.measures import Subject
from krm.store.history import influxql, lines, promql
from krm.store.history.asked import Query
from redis_servers import until

HOSTILE = [
    "web 0", "a,b", "c=d", 'say "no"', "it's", "back\\slash", "ends\\", "\\", "line\nend", "tab\there", "\r\n",
    "%0A", "100%", "ünï☃", "\u2028", "a=b,c d", "' OR 1=1 --", "'; DROP DATABASE k8s; --", '"} or {__name__=~".+"',
    "${x}",
    "$(id)", "\\n", "\\'", '\\"', "/etc/../x", ".*", "|", "\x00", "\x7f", "-", "#", "{}", "\ud800",
]  # fmt: skip
NAMES = st.text(max_size=60)


def test_a_line_is_as_heapster_wrote_it() -> None:
    subject = Subject("shop", "web-0", "u0", "app", "node 1", "/dev/a=b")
    tags = lines.tags_of(subject, "kubelet/resource")
    point = lines.Point("cpu/usage_rate", tags, {"value": 12.5, "sum": 125, "seconds": 10.0}, 1700000000.1234)
    assert lines.line(point) == (
        "cpu/usage_rate,container_name=app,namespace_name=shop,nodename=node\\ 1,pod_id=u0,pod_name=web-0,"
        "resource_id=/dev/a\\=b,source=kubelet/resource,type=pod_container "
        "value=12.5,sum=125.0,seconds=10.0 1700000000123"
    )
    assert [dict(lines.tags_of(one))["type"] for one in (Subject(), Subject(node="n"), Subject("shop"))] == [
        "cluster", "node", "ns",
    ]  # fmt: skip


@given(NAMES)
def test_every_name_comes_back(name: str) -> None:
    assert lines.untagged(lines.tagged(name)) == name
    subject = Subject("shop", name, "u", name, name, name)
    assert lines.subject_of({tag: lines.tagged(value) for tag, value in lines.tags_of(subject)}) == subject


@given(NAMES, NAMES)
def test_two_names_never_become_one(one: str, other: str) -> None:
    assert (lines.tagged(one) == lines.tagged(other)) == (one == other)


@given(st.lists(st.tuples(NAMES, NAMES), max_size=4))
def test_a_point_is_one_line_whatever_it_holds(names: list) -> None:
    for pod, field in names:
        tags = lines.tags_of(Subject("shop", pod or "x", "u"))
        text, lost = lines.text([lines.Point("m", tags, {"value": 1.0, "text": field}, 1.0)])
        assert (text.count(b"\n"), lost) == (1, 0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_not_written(value: float) -> None:
    point = lines.Point("m", (), {"value": value, "sum": 1.0}, 1.0)
    assert lines.line(point) == "m sum=1.0 1000"
    assert lines.text([point._replace(fields={"value": value})]) == (b"", 1)


def test_an_endless_name_costs_its_own_point_alone() -> None:
    endless = lines.tags_of(Subject("shop", "x" * (lines.MOST_TAG + 1)))
    text, lost = lines.text([lines.Point("m", endless, {"value": 1}, 1), lines.Point("m", (), {"value": 2}, 1)])
    assert (text, lost) == (b"m value=2.0 1000\n", 1)


@given(NAMES)
def test_a_quoted_value_ends_where_it_ends(name: str) -> None:
    for quoted, mark in ((influxql.quoted, "'"), (influxql.named, '"'), (promql.quoted, '"')):
        text = quoted(name)
        assert text[0] == text[-1] == mark
        inside = text[1:-1].replace("\\\\", "").replace("\\" + mark, "")
        assert mark not in inside
        assert not inside.endswith("\\")
        assert "\n" not in text


def points(at: float) -> bytes:
    found = []
    for number, name in enumerate(HOSTILE):
        subject = Subject("shop", name, str(number), "", "n", name)
        fields = {"value": float(number), "sum": 1.0, "seconds": 1.0}
        found.append(lines.Point("cpu/usage_rate", lines.tags_of(subject, name), fields, at))
    text, lost = lines.text(found)
    assert lost == 0
    return text


def test_influxdb_holds_every_name_and_finds_it(tmp_path: Path) -> None:
    now = time.time()
    with metric_servers.influx(tmp_path) as server:
        ask = metric_servers.ask
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        create = influxql.create("k8s")
        assert ask(server.port, "POST", "/query", urlencode({"q": create}), form)[0] == 200
        status, said = ask(server.port, "POST", "/write?db=k8s&precision=ms", points(now))
        assert (status, said) == (204, b"")
        for number, name in enumerate(HOSTILE):
            query = Query("cpu/usage_rate", "pod", now - 60, now + 60, pod=name)
            asked = urlencode({"q": influxql.points(query), "db": "k8s", "epoch": "ms"})
            status, body = ask(server.port, "POST", "/query", asked, form)
            found = influxql.read(json.loads(body), 1)[0]
            assert [lines.subject_of(rows.tags).pod for rows in found] == [name]
            assert [rows.values[0][1] for rows in found] == [float(number)]


def test_victoriametrics_holds_every_name_and_finds_it(tmp_path: Path) -> None:
    now = time.time()
    with metric_servers.victoria(tmp_path) as server:
        ask = metric_servers.ask
        assert ask(server.port, "POST", "/write?precision=ms", points(now))[0] == 204

        def found(name: str) -> list:
            query = Query("cpu/usage_rate", "pod", now - 60, now + 60, pod=name, allowed=("shop", "x|y.*"))
            path = (
                f"/api/v1/export?match[]={quote(promql.selector(query, 'value'))}&start={now - 60}&end={now + 60}"
            )
            return list(promql.read_export(ask(server.port, "GET", path)[1], "cpu/usage_rate"))

        server.flush()
        until("they are seen", lambda: found(HOSTILE[-1]))
        for number, name in enumerate(HOSTILE):
            assert [(lines.subject_of(one.tags).pod, one.values) for one in found(name)] == [
                (name, [float(number)])
            ]
