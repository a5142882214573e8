"""Pages of both formats are read as they are meant, and hostile ones cost little."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from krm.collector.source import NoData
from krm.collector.sources import scraped
from krm.collector.sources.scraped import Point, finite, read_page

TEXT, OPENMETRICS = "text/plain; version=0.0.4; charset=utf-8", "application/openmetrics-text; version=1.0.0"
NAMES = ("http_requests_total", "t_seconds", "t_seconds_bucket", "t_seconds_sum", "t_seconds_count", "depth")
PAGE = """\
# HELP http_requests_total All requests.
# TYPE http_requests_total counter
http_requests_total{code="200",path="/a,b}"} 10 1700000000000
http_requests_total{code="500",path="say \\"x\\" \\\\ \\n"} 2
# TYPE unknown gauge
unknown{a="b"} 1
# TYPE t_seconds histogram
t_seconds_bucket{le="0.1"} 3
t_seconds_bucket{le="+Inf"} 4
t_seconds_sum 0.5
t_seconds_count 4
# TYPE depth gauge
depth NaN
"""
OPEN_PAGE = """\
# TYPE http_requests counter
# HELP http_requests All requests.
http_requests_total{code="200"} 10.0 # {trace_id="x"} 1.0 1700000000.0
http_requests_created{code="200"} 1700000000.0
# TYPE unknown gauge
unknown 1
# TYPE t_seconds histogram
t_seconds_bucket{le="0.1"} 3
t_seconds_bucket{le="+Inf"} 4
t_seconds_count 4
t_seconds_sum 0.5
# TYPE depth gauge
depth 7
# EOF
"""


def named(points: List[Point]) -> Dict[Tuple[str, str], float]:
    return {(point.name, json.dumps(point.labels, sort_keys=True)): point.value for point in points}


def read(page: Any, content_type: str = TEXT) -> Dict[Tuple[str, str], float]:
    return named(read_page(page if isinstance(page, bytes) else page.encode(), content_type, NAMES))


def test_a_page_of_text() -> None:
    assert read(PAGE) == {
        ("http_requests_total", '{"code": "200", "path": "/a,b}"}'): 10,
        ("http_requests_total", json.dumps({"code": "500", "path": 'say "x" \\ \n'})): 2,
        ("t_seconds_bucket", '{"le": "0.1"}'): 3,
        ("t_seconds_bucket", '{"le": "+Inf"}'): 4,
        ("t_seconds_sum", "{}"): 0.5,
        ("t_seconds_count", "{}"): 4,
    }
    assert read(PAGE, "") == read(PAGE), "an exporter that tells no type"
    assert read(PAGE.replace("\n", "\r\n")) == read(PAGE)


def test_a_page_of_openmetrics() -> None:
    assert read(OPEN_PAGE, OPENMETRICS) == {
        ("http_requests_total", '{"code": "200"}'): 10,
        ("t_seconds_bucket", '{"le": "0.1"}'): 3,
        ("t_seconds_bucket", '{"le": "+Inf"}'): 4,
        ("t_seconds_count", "{}"): 4,
        ("t_seconds_sum", "{}"): 0.5,
        ("depth", "{}"): 7,
    }


def test_a_family_of_openmetrics_is_read_whole_though_one_series_of_it_is_asked_for() -> None:
    found = read_page(OPEN_PAGE.encode(), OPENMETRICS, ["t_seconds_count"])
    assert ("t_seconds_count", "{}") in named(found)


@pytest.mark.parametrize(
    ("page", "content_type", "why"),
    [
        (OPEN_PAGE.replace("# EOF\n", ""), OPENMETRICS, "breaks off"),
        ("<html>", "text/html", "'text/html', which is no exposition format"),
        ("depth x\n", TEXT, "line 1 of its page"),
        ("depth 1\ndepth{ 1\n", TEXT, "line 2 of its page"),
        ('depth{a="b} 1\n', TEXT, "line 1 of its page"),
        ("depth\n", TEXT, "line 1 of its page"),
        (b"depth 1\xff\n", TEXT, "no UTF-8"),
        ("depth 1\ndepth 2\n", TEXT, "a series of depth twice"),
        ('depth{a="1",b="2"} 1\ndepth{b="2",a="1"} 1\n', TEXT, "twice"),
        ('depth{a="%s"} 1\n' % ("x" * 2000), TEXT, "longer than 1024 characters"),
        ("# TYPE depth gauge\ndepth 1\n\n# EOF\n", OPENMETRICS, ""),
        ("# TYPE depth gauge\ndepth 1\ndepth 1 1e400\n# EOF\n", OPENMETRICS, "line"),
    ],
)
def test_what_is_none_of_the_format_is_refused_whole_with_a_sentence(
    page: Any, content_type: str, why: str
) -> None:
    if not why:
        assert read(page, content_type) == {("depth", "{}"): 1}
        return
    with pytest.raises(NoData, match=why) as caught:
        read(page, content_type)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf", "1e400", "-1e400", "9" * 400, "9" * 5000])
def test_what_is_no_finite_number_is_not_known(value: str) -> None:
    assert read(f"depth {value}\nhttp_requests_total 3\n") == {("http_requests_total", "{}"): 3}


def test_what_nobody_asked_for_may_be_broken() -> None:
    assert read('other{{{ x\n{"quoted.name"} 5\ndepth 1\n') == {("depth", "{}"): 1}


def many(count: int, line: str) -> bytes:
    return "".join(line % number for number in range(count)).encode()


def wide(labels: int, value: str) -> str:
    return ",".join(f'l{one}="{value}"' for one in range(labels))


# name -> its body, and what the text reader says of it: '' = it may be read, if it is in time
HOSTILE: Dict[str, Tuple[Callable[[], bytes], str]] = {
    "a million labels": (lambda: f"depth{{{wide(10**6, 'v')}}} 1\n".encode(), "longer than 4194304 bytes"),
    "all labels that fit a line": (lambda: f"depth{{{wide(800, 'v')}}} 1\n".encode(), "more than 40 labels"),
    "a million series": (lambda: many(10**6, 'depth{l="%d"} 1\n'), "longer than 4194304 bytes"),
    "a million short lines": (lambda: b"a 1\n" * 10**6, "more than 100000 lines"),
    "too many series": (lambda: many(90_000, 'depth{l="%d"} 1\n'), "more than 10000 series"),
    "an endless line": (lambda: b'depth{l="' + b"x" * (4 * 2**20 - 100), "a line of 4194213 bytes"),
    "one series again and again": (lambda: b"depth 1\n" * 9000, "a series of depth twice"),
    "more than a page may be": (lambda: b"depth 1\n" * (2**23 // 8), "longer than 4194304 bytes"),
    "what the parsers are slow at": (lambda: many(400, f'depth{{n="%d",{wide(38, BACKSLASHES)}}} 1\n'), ""),
    "nothing but quotes": (lambda: (b"depth{" + b'"' * 8000 + b"\n") * 500, "line 1 of"),
    "nothing but braces": (lambda: (b"depth" + b"{" * 8000 + b"\n") * 500, "line 1 of"),
    "numbers without end": (lambda: many(500, 'depth{n="%d"} ' + "9" * 8000 + "\n"), ""),
    "all that a page may be": (lambda: many(9999, f'depth{{n="%d",{wide(12, "x" * 20)}}} 1\n'), ""),
}
BACKSLASHES = '\\"' * 90
# VmHWM is of this program alone; ru_maxrss would begin with what pytest had when it forked.
CHILD = """
import json, re, sys, time
from krm.collector.source import NoData
from krm.collector.sources.scraped import read_page

def peak():
    return int(re.search("VmHWM:\\s+([0-9]+) kB", open("/proc/self/status").read()).group(1)) / 1024

read_page(b"depth 1\\n", "", ["depth"])
with open(sys.argv[1], "rb") as file:
    body = file.read()
for kind in sys.argv[2:]:
    before, start = peak(), time.process_time()
    try:
        read_page(body, kind, ["depth"])
        why = ""
    except NoData as error:
        why = str(error)
    print(json.dumps([why, time.process_time() - start, peak() - before]))
"""


# What uses up its time takes as many seconds of a busy machine as that has others to serve.
SLOW = ("what the parsers are slow at", "all that a page may be")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in HOSTILE]
)
def test_a_hostile_page_costs_bounded_memory_and_time(name: str, tmp_path: Path) -> None:
    made, expected = HOSTILE[name]
    (tmp_path / "body").write_bytes(made() + b"\n# EOF\n")
    command = [sys.executable, "-c", CHILD, str(tmp_path / "body"), TEXT, OPENMETRICS]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100)
    (tmp_path / "body").unlink()
    assert ran.returncode == 0, ran.stderr
    text, openmetrics = map(json.loads, ran.stdout.splitlines())
    assert expected in text[0]
    for why, seconds, mib in (text, openmetrics):
        assert mib < 40, ("MiB beside the body", why)
        assert seconds < 3, ("seconds of CPU: 2 at most, and a line that has begun", why)


def test_the_time_is_looked_at_before_each_line() -> None:
    ticks = iter(range(100))
    with pytest.raises(NoData, match="takes longer than 2 s"):
        read_page(b"".join(b'depth{n="%d"} 1\n' % n for n in range(50)), "", ["depth"], lambda: float(next(ticks)))
    assert next(ticks) < 6


@given(
    st.lists(
        st.one_of(
            st.sampled_from([*PAGE.splitlines(), *OPEN_PAGE.splitlines()]),
            st.text(alphabet='depth{}=", \\\n#1eE+.-_NaIf\x00é', max_size=40).map(lambda text: "depth" + text),
        ),
        max_size=12,
    ),
    st.sampled_from([TEXT, OPENMETRICS]),
)
@settings(max_examples=300, deadline=None)
def test_whatever_stands_there_is_points_or_a_sentence(lines: List[str], content_type: str) -> None:
    try:
        points = read_page("\n".join([*lines, "# EOF\n"]).encode(), content_type, NAMES)
    except NoData:
        return
    assert all(finite(point.value) is not None for point in points)
    assert len(points) == len(named(points))


def test_limits_are_those_that_are_written_down() -> None:
    assert (scraped.MAX_BYTES, scraped.MAX_SERIES) == (4 * 1024 * 1024, 10_000)
    assert read("".join(f'depth{{n="{n}"}} 1\n' for n in range(10_000))) != {}
