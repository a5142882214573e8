"""Quantities and durations: what Kubernetes itself makes of them (tests/oracles), and the laws of arithmetic."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from krm.model.durations import go_duration
from krm.model.quantities import (
    BINARY,
    DECIMAL,
    EXPONENT,
    ZERO,
    BadQuantity,
    Quantity,
    add,
    parse,
    read,
    scaled,
    subtract,
    total,
    write,
    written_nanos,
)

ORACLE: Any = json.loads((Path(__file__).parent.parent / "oracles" / "quantities.json").read_text())
FORMS = st.sampled_from((DECIMAL, BINARY, EXPONENT))
# What fits between 1n and 999E, in billionths.
NANOS = st.integers(-(10**18), 10**18) | st.integers(-(10**29), 10**29)
QUANTITIES = st.builds(lambda nanos, form: Quantity(Fraction(nanos, 10**9), form), NANOS, FORMS)


def test_the_oracle_is_of_kubernetes() -> None:
    assert (ORACLE["Module"], ORACLE["Version"][:3]) == ("k8s.io/apimachinery", "v0.")
    assert len(ORACLE["Read"]) >= 2000
    assert len(ORACLE["Pairs"]) >= 2000


def test_what_is_read_is_printed_as_kubernetes_prints_it() -> None:
    for one in ORACLE["Read"]:
        found = read(one["Text"])
        assert write(found) == one["Canonical"], one
        if found.value:  # of 0 Kubernetes keeps no form once it was computed with
            assert found.form == one["Form"], one


def test_sums_differences_and_order_are_those_of_kubernetes() -> None:
    for one in ORACLE["Pairs"]:
        first, second = read(one["One"]), read(one["Other"])
        assert write(add(first, second)) == one["Sum"], one
        assert write(subtract(first, second)) == one["Difference"], one
        order = (first.value > second.value) - (first.value < second.value)
        assert order == one["Compare"], one


def test_durations_are_printed_as_go_prints_them() -> None:
    for nanoseconds, text in ORACLE["Durations"].items():
        assert go_duration(int(nanoseconds)) == text


@given(QUANTITIES)
@settings(max_examples=500, deadline=None, print_blob=True)
def test_nothing_is_lost_by_printing(one: Quantity) -> None:
    again = read(write(one))
    assert again.value == one.value or (one.form == BINARY and abs(one.value) >= 1 << 63)
    assert write(again) == write(one) or abs(one.value) < 1024 or one.form == BINARY


@given(st.lists(QUANTITIES, max_size=8))
@settings(max_examples=300, deadline=None, print_blob=True)
def test_a_sum_is_exact_in_any_order(several: list) -> None:  # type: ignore[type-arg]
    assert total(several).value == total(reversed(several)).value == sum(one.value for one in several)


@given(QUANTITIES, QUANTITIES)
@settings(max_examples=300, deadline=None, print_blob=True)
def test_a_difference_undoes_a_sum(one: Quantity, other: Quantity) -> None:
    assert subtract(add(one, other), other).value == one.value


@given(st.integers(-(10**20), 10**20))
@settings(max_examples=300, deadline=None, print_blob=True)
def test_billionths_are_printed_as_the_quantity_of_them(nanos: int) -> None:
    assert written_nanos(nanos) == write(scaled(nanos, -9))


def test_what_is_finer_than_a_billionth_is_rounded_up() -> None:
    assert (write(read("0.1n")), write(read("-0.1n")), write(read("1.0000000001"))) == ("1n", "-1n", "1000000001n")


def test_beyond_its_last_suffix_a_quantity_keeps_it() -> None:
    """Kubernetes prints `1` for 1000E, since it has no suffix for 1e21."""
    assert write(read("1000E")) == "1000E"
    assert write(Quantity(Fraction(1 << 70), BINARY)) == "1024Ei"
    assert write(read("1e21")) == "1e21"


def test_what_is_binary_is_capped() -> None:
    assert read("16Ei").value == (1 << 63) - 1
    assert parse("16Ei") == 1 << 64


@pytest.mark.parametrize("text", ["1e9999999999", "1e-9999999999", "9" * 65, "1e31"])
def test_no_text_costs_more_than_its_length(text: str) -> None:
    with pytest.raises(BadQuantity):
        read(text)


def test_the_sum_of_none_is_zero() -> None:
    assert total([]) == ZERO
    assert write(ZERO) == "0"
