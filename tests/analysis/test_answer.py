"""Answers print well, never harm a terminal, and become plain values and DataFrames of fixed columns."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Optional, Tuple

import pytest
from krm.analysis.answer import Answer, Column
from krm.analysis.finding import WARNING, About, Evidence, Finding
from krm.analysis.worth import Worth
from krm.model.measures import Covers

PACKAGES = ("pandas", "polars")


class Where(NamedTuple):
    zone: str
    rank: Optional[int]


@dataclass(frozen=True)
class Row:
    name: str
    used: Optional[float]  # bytes
    count: int
    sure: Optional[bool]
    where: Optional[Where]
    names: Tuple[str, ...]


@dataclass(frozen=True)
class Rows(Answer):
    COLUMNS: ClassVar[Tuple[Column, ...]] = (
        Column("NAME", lambda row: row.name),
        Column("USED", lambda row: "-" if row.used is None else f"{row.used:g}"),
        Column("COUNT", lambda row: str(row.count), wide=True),
    )
    NOTHING: ClassVar[str] = "nobody is there"

    rows: Tuple[Row, ...]


LIVE = Worth("live", (), 100.0, 90.0, None, None, 101.0)
ONE = Row("a\x1b[2J", 2.5, 3, None, Where("z", None), ("x", "y"))
FINDING = Finding(
    "limit-breach", WARNING, About("pod", "shop", "web-0", "app", "memory"), "web-0 is at \x1b]0;x\x07 97 %",
    (Evidence("working set", float("nan"), "bytes", "agent", 1.0, 300.0, Covers(19, 20, "points")),),
    "low", ("1 gap",),
)  # fmt: skip


def test_it_prints_its_table_its_findings_and_what_it_lacks() -> None:
    worth = Worth("stale", ("pods: no beat for 7 s",), None, None, None, None, 101.0)
    lines = str(Rows(worth, (FINDING,), (ONE,))).splitlines()
    assert [line.split() for line in lines[:2]] == [["NAME", "USED"], ["a^[[2J", "2.5"]]
    assert lines[2:] == ["warning: web-0 is at ^[]0;x\\x07 97 %", "the answer is stale", "pods: no beat for 7 s"]


def test_a_live_answer_with_gaps_says_them() -> None:
    worth = Worth("live", ("metrics of 1 of 3 nodes",), None, None, None, None, 101.0)
    assert str(Rows(worth, (), ())).splitlines() == ["nobody is there", "metrics of 1 of 3 nodes"]


def test_nothing_that_an_object_says_moves_a_terminal() -> None:
    shown = str(Rows(LIVE, (FINDING,), (ONE,)))
    assert not any(ord(character) < 32 and character != "\n" for character in shown)


def test_plain_values_are_json() -> None:
    found = Rows(LIVE, (FINDING,), (ONE,)).to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["rows"][0]["where"] == {"zone": "z", "rank": None}
    assert found["rows"][0]["names"] == ["x", "y"]
    assert found["findings"][0]["evidence"][0]["value"] is None
    assert found["findings"][0]["evidence"][0]["covers"] == {"known": 19, "of": 20, "what": "points"}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_frame_has_a_row_a_row_with_all_fields(package: str) -> None:
    pytest.importorskip(package)
    two = ONE.__class__("b", None, 4, True, None, ())
    frame: Any = Rows(LIVE, (), (ONE, two)).to_dataframe(package)
    assert list(frame.columns) == ["name", "used", "count", "sure", "where_zone", "where_rank", "names"]
    assert list(frame["count"]) == [3, 4]
    assert [list(names) for names in frame["names"]] == [["x", "y"], []]
    assert int(frame["used"].isnull().sum() if package == "pandas" else frame["used"].null_count()) == 1


@pytest.mark.parametrize("package", PACKAGES)
def test_no_rows_have_the_columns_and_types_of_many(package: str) -> None:
    pytest.importorskip(package)
    full: Any = Rows(LIVE, (), (ONE,)).to_dataframe(package)
    empty: Any = Rows(LIVE, (), ()).to_dataframe(package)
    assert list(empty.columns) == list(full.columns)
    for name in ("name", "used", "count", "sure", "where_zone", "where_rank"):
        assert empty[name].dtype == full[name].dtype, name


def test_another_package_is_refused() -> None:
    with pytest.raises(ValueError, match="neither pandas nor polars"):
        Rows(LIVE, (), ()).to_dataframe("numpy")
