"""/metrics/resource: the numbers of a kubelet's page, each with its own time, whatever else is on the page."""

from __future__ import annotations

import time
from typing import Callable, Dict, List

import pytest
from cluster.scripted import ScriptedServer, answer
from collector.sources.pages import AT, MILLIS, NODE, NOW, RESOURCE
from hypothesis import given, settings
from hypothesis import strategies as st
from krm.cluster.endpoints import Endpoints, Trust
from krm.collector.source import NoData, Target
from krm.collector.sources import layout
from krm.collector.sources.resource import Resource, samples_of
from krm.model.measures import Sample, Subject
from krm.model.metrics import TABLE

APP = Subject("shop", "web-0", "", "app", "worker-1")


def read(page: str) -> Dict[Subject, Sample]:
    found = samples_of(page.encode(), NODE, NOW)
    assert len({sample.subject for sample in found}) == len(found)
    return {sample.subject: sample for sample in found}


def cpu(value: str = "1.5", millis: object = MILLIS, container: str = "app") -> str:
    labels = f'container="{container}",namespace="shop",pod="web-0"'
    return f"container_cpu_usage_seconds_total{{{labels}}} {value} {millis}\n"


def test_a_page() -> None:
    started = 1_799_999_995.25
    assert samples_of(RESOURCE.encode(), NODE, NOW) == [
        Sample(APP, AT, {"cpu/usage": 12_345_678_901, "memory/working_set": 134_217_728, "swap/usage": 0,
                         "uptime": 0}, "kubelet/resource", 0.0, started),
        Sample(APP._replace(container="proxy"), AT + 0.25,
               {"cpu/usage": 500_000_000, "memory/working_set": 4096, "uptime": 5500},
               "kubelet/resource", 0.0, 1_799_999_990.0),
        Sample(Subject(node="worker-1"), AT, {"cpu/usage": 1_234_500_000_000, "memory/working_set": 2**31},
               "kubelet/resource"),
        Sample(APP._replace(container=""), AT, {"cpu/usage": 12_900_000_000, "memory/working_set": 135_000_000},
               "kubelet/resource"),
    ]  # fmt: skip


def test_every_metric_is_in_the_table_with_its_level_and_source() -> None:
    for subject, sample in read(RESOURCE).items():
        for name in sample.values:
            assert subject.level in TABLE[name].levels
            assert sample.source in TABLE[name].sources


def test_lines_in_another_order_and_form_say_the_same() -> None:
    rows = [line for line in RESOURCE.splitlines() if not line.startswith("#")]
    usual, unusual = (
        'container="app",namespace="shop",pod="web-0"',
        'pod="web-0", namespace = "shop", container="app",',
    )
    odd = [
        line.replace(usual, unusual)
        .replace("e+0", "E+0").replace("} ", "}\t ")
        for line in reversed(rows)
    ]  # fmt: skip
    assert read("\n".join(odd)) == read(RESOURCE)


def test_a_value_without_a_time_is_of_now() -> None:
    page = cpu(millis="").replace(" \n", "\n")
    assert read(page)[APP].at == NOW


def test_values_of_another_moment_stand_apart() -> None:
    page = cpu() + cpu("4096", MILLIS - 9000).replace("cpu_usage_seconds_total", "memory_working_set_bytes")
    for lines in (page, "\n".join(reversed(page.splitlines()))):
        first, second = sorted(samples_of(lines.encode(), NODE, NOW), key=lambda sample: -sample.at)
        assert (first.at, dict(first.values)) == (AT, {"cpu/usage": 1_500_000_000})
        assert (second.at, dict(second.values)) == (AT - 9, {"memory/working_set": 4096})


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "-1", "1e400", "x", "0x10", "1_0"])
def test_a_value_that_is_none_is_unknown_and_costs_no_other(value: str) -> None:
    found = read(cpu(value) + cpu(container="other"))
    assert [subject.container for subject in found] == ["other"]


@pytest.mark.parametrize("millis", ["0", "-5", "99999999999999", "999999999999999999999", "1.5"])
def test_a_time_that_is_none_makes_its_value_unknown(millis: str) -> None:
    found = read(cpu(millis=millis) + cpu(container="other"))
    assert [subject.container for subject in found] == ["other"]


@pytest.mark.parametrize(
    "line",
    [
        'container_cpu_usage_seconds_total{container="app",namespace="",pod="web-0"} 1 1799999995250',
        'container_cpu_usage_seconds_total{container="",namespace="shop",pod="web-0"} 1 1799999995250',
        'container_cpu_usage_seconds_total{namespace="shop",pod="web-0"} 1 1799999995250',
        'container_cpu_usage_seconds_total{container="app",namespace="shop",pod=""} 1 1799999995250',
        'pod_cpu_usage_seconds_total{container="app",namespace="shop",pod="web-0"} 1 1799999995250',
        'node_cpu_usage_seconds_total{namespace="shop",pod="web-0"} 1 1799999995250',
        "container_cpu_usage_seconds_total 1 1799999995250",
        'container_cpu_usage_seconds_total_more{container="app",namespace="shop",pod="web-0"} 1',
    ],
)
def test_a_line_that_does_not_name_whom_it_is_about_is_left_out(line: str) -> None:
    assert list(read(line + "\n" + cpu(container="other"))) == [APP._replace(container="other")]


def test_names_with_escapes_are_read_as_they_are_meant() -> None:
    page = cpu().replace('"app"', '"a\\"}\\\\\\n"')
    assert [subject.container for subject in read(page)] == ['a"}\\\n']


@pytest.mark.parametrize("page", ["", "\n\n", "<html>login</html>", "# HELP x\n", "go_goroutines 12\n"])
def test_a_page_that_is_no_kubelet_s_is_no_data(page: str) -> None:
    with pytest.raises(NoData, match="worker-1"):
        read(page)


def test_a_kubelet_that_says_it_failed_is_no_data() -> None:
    with pytest.raises(NoData, match="could not read its own"):
        read("resource_scrape_error 1\nscrape_error 1\n")


@settings(deadline=None)
@given(st.text(st.sampled_from('container_cpu_usage_seconds_total{="",pod\\} 1.5e\n#'), max_size=200))
def test_whatever_stands_before_and_behind_spoils_nothing(noise: str) -> None:
    """Noise may only add."""
    found = read(f"{noise}\n{RESOURCE}{noise}")
    assert set(read(RESOURCE)) <= set(found)


def test_a_million_series_cost_memory_and_time_that_are_bounded() -> None:
    labels = "".join(f'l{n}="x",' for n in range(1000))
    many = b"".join(b'container_cpu_usage_seconds_total{container="c%d",namespace="n",pod="p"} 1\n' % n
                    for n in range(250_000))  # fmt: skip
    for page in (many, b"\n" * 1_000_000, b"x" * 4_000_000, (f"x{{{labels}}} 1\n" * 400).encode()):
        began = time.process_time()
        with pytest.raises(NoData):
            samples_of(page, NODE, NOW)
        assert time.process_time() - began < 5.0


def test_the_path_of_a_target_is_asked_and_its_own_is_kept() -> None:
    with ScriptedServer([answer(RESOURCE.encode())]) as server:
        source = Resource(Endpoints(Trust()))
        found: List[Sample] = source(NODE._replace(url=server.url), NOW)
        assert found == samples_of(RESOURCE.encode(), NODE, NOW)
        source(NODE._replace(url=server.url + "/metrics/nodes/worker-1/resource"), NOW)
        assert [request.split(b" ")[1] for request in server.requests] == [
            b"/metrics/resource",
            b"/metrics/nodes/worker-1/resource",
        ]


def test_what_goes_wrong_on_the_way_is_no_data_in_a_sentence() -> None:
    with ScriptedServer([answer(b"", 403)]) as server, pytest.raises(NoData, match="nodes/metrics"):
        Resource(Endpoints(Trust()))(NODE._replace(url=server.url), NOW)
    with pytest.raises(NoData, match="no address"):
        Resource(Endpoints(Trust()))(NODE._replace(url="unix:/x"), NOW)


numbers = st.sampled_from(["0", "1", "17.25", "1.5e+09", "12e3", "NaN", "1e400", "1.2.3", "1_0", "-4", "", "0x1"])
stamps = st.sampled_from(
    [str(MILLIS), str(MILLIS), str(MILLIS + 400), str(MILLIS - 9000), "0", "99999999999999", ""]
)
lines_more = st.sampled_from(["", "", "", "# a comment", "x 1", "x{", cpu(container="new"), 'a{b="c"} NaN'])


@st.composite
def changed_pages(draw) -> str:
    """The kubelet's page with other numbers, mostly sound ones, and now and then another line."""
    rows = []
    for line in RESOURCE.splitlines():
        head, space, value = line.partition("} ") if "}" in line else line.partition(" ")
        if draw(st.integers(0, 9)) == 0 and not line.startswith("#"):
            line = f"{head}{space}{draw(numbers)} {draw(stamps)}".rstrip(" ")
        elif not line.startswith("#"):
            line = f"{head}{space}{value}"
        rows.append(line)
        more = draw(lines_more) if draw(st.integers(0, 19)) == 0 else ""
        rows += [more.rstrip()] if more else []
    return "\n".join(rows) + draw(st.sampled_from(["\n", "\n", "\n", ""]))


def told(read: Callable[[bytes, Target, float], List[Sample]], page: str) -> object:
    try:
        return sorted(read(page.encode(), NODE, NOW), key=repr)
    except NoData as error:
        return str(error)


@settings(deadline=None)
@given(st.lists(changed_pages() | st.just(RESOURCE), min_size=2, max_size=6))
def test_a_page_like_the_former_one_is_read_faster_and_says_the_same(following: List[str]) -> None:
    source = Resource(Endpoints(Trust()))
    for page in following:
        assert told(source.samples_of, page) == told(samples_of, page)


def test_what_is_remembered_of_pages_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr(layout, "MOST", 3)
    source = Resource(Endpoints(Trust()))
    for turn in range(2):
        for name in range(10):
            source.samples_of(RESOURCE.encode(), Target(f"node n{name}", f"n{name}"), NOW + turn)
    assert len(source._layouts._known) == 3
    source.samples_of(RESOURCE.encode(), Target("node late", "late"), NOW + layout.UNUSED + 5)
    assert [name for name, _ in source._layouts._known] == ["node late"]


def test_the_same_page_of_another_node_is_that_node_s() -> None:
    source = Resource(Endpoints(Trust()))
    for name in ("n1", "n2", "n1"):
        assert {sample.subject.node for sample in source.samples_of(RESOURCE.encode(), Target("t", name), NOW)} == {
            name
        }
