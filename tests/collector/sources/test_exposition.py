"""The text format: what prometheus-client's parser gives for a sound page, and patience with a bad one."""

from __future__ import annotations

import math
import time
from typing import Dict, List, Optional, Tuple

import pytest
from collector.sources.pages import RESOURCE
from hypothesis import given, settings
from hypothesis import strategies as st
from krm.collector.source import NoData
from krm.collector.sources.exposition import MAX_LINE, MAX_LINES, line_of, lines, page_of
from prometheus_client.parser import text_string_to_metric_families

Row = Tuple[str, Dict[str, str], float, Optional[float]]


def theirs(page: str) -> List[Row]:
    return [
        (sample.name, dict(sample.labels), float(sample.value), sample.timestamp)
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    ]


def ours(page: str) -> List[Row]:
    return [
        (line.name, line.labels, line.value, None if line.millis is None else line.millis / 1000)
        for line in lines(page)
    ]


def same(first: List[Row], second: List[Row]) -> bool:
    """NaN equals NaN."""
    return repr(first) == repr(second)


def written(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return ("+Inf" if value > 0 else "-Inf") if math.isinf(value) else repr(value)


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


names = st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,12}_x", fullmatch=True)
label_names = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_]{0,8}", fullmatch=True)
label_values = st.text(
    st.one_of(st.sampled_from('{}",=\\\n #az'), st.characters(exclude_categories=["Cs", "Cc"])), max_size=12
)
spaces = st.sampled_from(["", " "])
gaps = st.sampled_from([" ", "  "])


@st.composite
def pages(draw) -> str:
    text = []
    for _ in range(draw(st.integers(0, 6))):
        labels = draw(st.dictionaries(label_names, label_values, max_size=4))
        pairs = [f'{name}{draw(spaces)}={draw(spaces)}"{escaped(value)}"' for name, value in labels.items()]
        inner = ("," + draw(spaces)).join(pairs) + (draw(st.sampled_from(["", ","])) if pairs else "")
        line = draw(names) + (f"{{{inner}}}" if pairs or draw(st.booleans()) else "")
        line += draw(gaps) + written(draw(st.floats()))
        millis = draw(st.none() | st.integers(-(10**13), 10**13))
        text.append(line + ("" if millis is None else f"{draw(gaps)}{millis}"))
        text += draw(st.sampled_from([[], ["# a comment"], [""]]))
    return "\n".join(text) + draw(st.sampled_from(["", "\n"]))


@settings(deadline=None)
@given(pages())
def test_a_sound_page_is_what_the_parser_of_prometheus_says(page: str) -> None:
    assert same(ours(page), theirs(page))


def test_a_kubelet_s_page_too() -> None:
    assert same(ours(RESOURCE), theirs(RESOURCE))
    assert len(ours(RESOURCE)) == 13


@pytest.mark.parametrize(
    "line",
    ["", "# HELP x y", "x", "x{", 'x{a="b"', 'x{a="b} 1', "x{a=b} 1", 'x{a="b",a="c"} 1', "x 1 2 3", "x 1_0",
     "1x 1", "x one", 'x{a="b"}{c="d"} 1', "x 1 1e3", "x 1 " + "9" * 30, "<html>"],
)  # fmt: skip
def test_what_is_no_line_is_none_and_costs_no_other(line: str) -> None:
    assert line_of(line) is None
    assert [found.name for found in lines(f"first 1\n{line}\nlast 2\n")] == ["first", "last"]


@pytest.mark.parametrize(
    "line",
    ['x{a="' + "y" * (MAX_LINE + 1) + '"} 1', "x{" + 'a="b",' * 10_000 + "} 1", "x" * 1_000_000, "{" * 1_000_000,
     'x{a="' * 200_000, "x{" + 'a="\\\\' * 3_000, "x " + "1" * 16_000],
    ids=lambda line: line[:8],
)  # fmt: skip
def test_an_endless_line_costs_no_time(line: str) -> None:
    began = time.process_time()
    line_of(line)
    assert time.process_time() - began < 0.5


def test_a_page_of_too_many_lines_is_not_read() -> None:
    page_of(b"\n" * MAX_LINES, "page")
    with pytest.raises(NoData, match="lines"):
        page_of(b"\n" * (MAX_LINES + 1), "page")


def test_bytes_that_are_no_utf_8_do_not_matter_elsewhere() -> None:
    page = page_of(b'x{a="\xff"} 1\ny 2\n', "page")
    assert [line.name for line in lines(page)] == ["x", "y"]
