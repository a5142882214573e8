"""CSV as accounting wants it."""

from __future__ import annotations

import csv
import io

import pytest
from billed import BANK, NODE, SHOP, bill, hour
from krm.analysis.billing.bill import Options
from krm.analysis.billing.csvout import FIELDS, read_columns, to_csv


def test_all_fields_and_a_row_a_line() -> None:
    found = bill([hour(0, [NODE], [SHOP, BANK])])
    rows = list(csv.DictReader(io.StringIO(to_csv(found))))
    assert tuple(rows[0]) == FIELDS
    assert [row["name"] for row in rows] == ["bank", "shop", "", "history"]
    assert (rows[3]["cost"], rows[3]["kind"]) == ("", "gap")


def test_columns_are_what_the_file_says() -> None:
    columns = read_columns(
        b'[{"header": "Kostenstelle", "field": "cost_centre"}, {"header": "Kreis", "text": "1000"},'
        b' {"header": "Betrag", "field": "cost"}]'
    )
    text = to_csv(bill([hour(0, [NODE], [SHOP])], Options(cost_centre="cc")), columns)
    assert text.splitlines()[:2] == ["Kostenstelle,Kreis,Betrag", "4711,1000,0.13"]


@pytest.mark.parametrize(
    "text",
    [b"", b"{}", b"[]", b'[{"header": "a"}]', b'[{"header": "a", "field": "price"}]', b'[{"field": "cost"}]'],
)
def test_bad_columns(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"columns|column 1"):
        read_columns(text)


def test_a_label_is_no_formula() -> None:
    from dataclasses import replace

    found = bill([hour(0, [NODE], [SHOP])])
    evil = replace(found, rows=tuple(replace(row, name="=HYPERLINK(1)") for row in found.rows))
    assert ",'=HYPERLINK(1)," in to_csv(evil)
