"""Bills: lines add up to the assets to the cent, in any order; gaps are lines; what is not known is no 0."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from decimal import Decimal
from typing import Dict, List

import pytest
from billed import BANK, CORE, GIBS, LABELS, LIVE, NODE, OCTOBER, SHOP, bill, hour, pod, prices
from hypothesis import given, settings
from hypothesis import strategies as st
from krm.analysis.billing.bill import GAP, STORAGE, USE, Bill, Options, derive, document, opened
from krm.analysis.billing.hours import WHOSE, Amounts, ClaimHour, Hour, NodeHour, PodHour
from krm.analysis.billing.ledger import APART, MAX, REQUEST, SHARED, USAGE
from krm.analysis.billing.prices import BadPrices, read_prices
from krm.analysis.billing.shares import rounded, share_out


def costs(found: Bill) -> Dict[str, Decimal]:
    return {f"{row.kind} {row.name}".strip(): row.cost for row in found.rows if row.cost is not None}


def test_by_hand_with_idle_apart() -> None:
    """100 alike hours: 10 cores at .03 and 100 GiB at .004 are .70 an hour.

    shop: max(2, 3) = 3 cores, max(10, 5) = 10 GiB: .09 + .04 = .13. bank: 1 core, 40 GiB: .03 + .16 = .19.
    Idle: 6 cores, 50 GiB: .18 + .20 = .38.
    """
    found = bill([hour(number, [NODE], [SHOP, BANK]) for number in range(100)])
    assert costs(found) == {"use bank": Decimal("19.00"), "use shop": Decimal("13.00"), "idle": Decimal("38.00")}
    assert (found.total, found.currency, found.hours) == (Decimal("70.00"), "EUR", 100)
    shop = next(row for row in found.rows if row.name == "shop")
    assert (shop.core_seconds, shop.gib_seconds) == (3 * 3600 * 100, 10 * 3600 * 100)


def test_idle_shared_by_who_was_there() -> None:
    """CPU .30 by 3 to 1: .225 and .075. Memory .40 by 10 to 40: .08 and .32."""
    found = bill([hour(number, [NODE], [SHOP, BANK]) for number in range(100)], Options(idle=SHARED))
    assert costs(found) == {"use bank": Decimal("39.50"), "use shop": Decimal("30.50")}


@pytest.mark.parametrize(
    ("charge", "shop", "bank"),
    [(MAX, "13.00", "19.00"), (REQUEST, "10.00", "11.00"), (USAGE, "11.00", "16.00")],
)
def test_what_is_charged_for(charge: str, shop: str, bank: str) -> None:
    """Request: 2 cores + 10 GiB; 1 core + 20 GiB. Usage: 3 cores + 5 GiB; 40 GiB."""
    found = costs(bill([hour(number, [NODE], [SHOP, BANK]) for number in range(100)], Options(charge=charge)))
    assert (found["use shop"], found["use bank"]) == (Decimal(shop), Decimal(bank))


def test_a_node_costs_what_its_labels_say_and_only_while_it_was_there() -> None:
    """A spot node of 10 cores that was there for half an hour: 5 core-hours at .01."""
    found = bill([hour(0, [NodeHour("big", Amounts(5 * CORE, 0))], [])])
    assert costs(found) == {"idle": Decimal("0.05")}


def test_a_price_that_changes_in_the_month() -> None:
    rows = [
        {"until": "2026-10-16T00:00:00Z", "cpu_core_hour": "1"},
        {"from": "2026-10-16T00:00:00Z", "cpu_core_hour": "2"},
    ]
    told = read_prices(json.dumps({"currency": "EUR", "prices": rows}).encode())
    node = NodeHour("one", Amounts(CORE, None))
    found = bill([hour(number, [node], []) for number in range(OCTOBER.hours)], told=told)
    assert found.total == 15 * 24 * 1 + 16 * 24 * 2


def test_pods_that_take_more_than_the_node_has_share_its_cost() -> None:
    greedy = pod("shop", "web", "one", Amounts(15 * CORE, None), Amounts())
    other = pod("bank", "api", "one", Amounts(5 * CORE, None), Amounts())
    found = bill([hour(0, [NodeHour("one", Amounts(10 * CORE, None))], [greedy, other])])
    assert costs(found) == {"use shop": Decimal("0.22"), "use bank": Decimal("0.08")}
    assert "more than the node has" in found.notes[-1]


def test_by_pod_by_label_and_cost_centre() -> None:
    hours = [hour(0, [NODE], [SHOP, BANK])]
    assert set(costs(bill(hours, Options(by="pod")))) == {"use shop/web", "use bank/api", "idle"}
    by_label = bill(hours, Options(by="label:team"))
    assert set(costs(by_label)) == {"use red", "use blue", "idle"}
    centred = bill(hours, Options(cost_centre="cc"))
    assert {row.name: row.cost_centre for row in centred.rows if row.kind == USE} == {"shop": "4711", "bank": ""}


def test_storage_is_a_line_a_namespace() -> None:
    claims = [ClaimHour("shop", "data", "fast", 50 * GIBS), ClaimHour("shop", "logs", "", 50 * GIBS)]
    found = bill([hour(number, [NODE], [], claims) for number in range(10)])
    line = next(row for row in found.rows if row.kind == STORAGE)
    assert (line.name, line.storage_gib_hours, line.cost) == ("shop", 1000, Decimal("0.10"))


def test_what_is_lacking_is_a_line_without_a_cost() -> None:
    nowhere = pod("shop", "gone", "lost", Amounts(CORE, GIBS), Amounts())
    unknown = pod("shop", "dark", "one", Amounts(), Amounts())
    short = hour(0, [NODE, NodeHour("gpu", Amounts(None, None, 1000))], [SHOP, nowhere, unknown])._replace(
        covered=600
    )
    told = read_prices(b'{"currency": "EUR", "prices": [{"cpu_core_hour": "0.03", "memory_gib_hour": "0.004"}]}')
    gaps = [row for row in bill([short], told=told).rows if row.kind == GAP]
    assert all(row.cost is None and row.core_seconds is None for row in gaps)
    assert [row.name for row in gaps] == ["history", "gpu_mb_hour gpu", "node", "pods"]
    assert gaps[0].note == f"{OCTOBER.end - OCTOBER.begin - 600} s were not measured"


def test_what_the_history_lost_is_a_line_and_no_idle_that_nobody_notices() -> None:
    note = "sums of namespace shop in the hour of 2026-10-01T00:00:00Z are damaged and set aside"
    found = bill([hour(0, [NODE], [BANK])._replace(notes=(note,))])
    assert [row.note for row in found.rows if row.kind == GAP][1:] == [note]


def test_a_month_without_any_history_is_no_bill_of_nothing() -> None:
    found = bill([])
    assert (found.total, found.hours) == (Decimal("0.00"), 0)
    assert [row.kind for row in found.rows] == [GAP]


def test_of_a_month_that_goes_on_only_what_has_been_can_be_missing() -> None:
    hours = [hour(number, [NODE], []) for number in range(3)]
    now = OCTOBER.begin + 5 * 3600
    found = derive("prod", OCTOBER, hours, prices(), LABELS, Options(), LIVE, now)
    assert [row.note for row in found.rows if row.kind == GAP] == ["7200 s were not measured"]
    assert found.notes == ("the month goes on: the bill is of its time up to 2026-10-01T05:00:00Z",)
    after = derive("prod", OCTOBER, hours, prices(), LABELS, Options(), LIVE, OCTOBER.end + 1)
    assert document(after) == document(bill(hours))


AMOUNTS = st.builds(
    Amounts,
    st.one_of(st.none(), st.integers(0, 70 * CORE)),
    st.one_of(st.none(), st.integers(0, 600 * GIBS)),
    st.one_of(st.none(), st.integers(0, 80_000 * 3_600_000)),
)
NODES = st.builds(NodeHour, st.sampled_from(["one", "two", "big"]), AMOUNTS)
PODS = st.builds(
    PodHour,
    st.sampled_from(["shop", "bank", "lab"]), st.sampled_from("abcde"), st.sampled_from(["u1", "u2"]),
    st.sampled_from(["one", "two", "big", "lost"]), AMOUNTS, AMOUNTS,
)  # fmt: skip
CLAIMS = st.builds(
    ClaimHour, st.sampled_from(["shop", "bank"]), st.just("c"), st.sampled_from(["", "fast"]), st.integers(0, 9**15)
)


def made(number: int, nodes: List[NodeHour], pods: List[PodHour], claims: List[ClaimHour]) -> Hour:
    """Of one node, and of one pod on it, there is one an hour."""
    by_node, by_pod = {node.node: node for node in nodes}, {WHOSE(pod): pod for pod in pods}
    return hour(number, list(by_node.values()), list(by_pod.values()), claims)


HOURS = st.builds(
    made, st.integers(0, 743), st.lists(NODES, max_size=3), st.lists(PODS, max_size=6), st.lists(CLAIMS, max_size=2)
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(HOURS, max_size=6, unique_by=lambda one: one.begin),
    st.sampled_from([MAX, REQUEST, USAGE]),
    st.sampled_from([APART, SHARED]),
    st.sampled_from(["namespace", "pod", "label:team"]),
    st.integers(0, 4),
    st.randoms(use_true_random=False),
)
def test_lines_add_up_to_the_assets_to_the_smallest_unit_in_any_order(
    hours: List[Hour], charge: str, idle: str, by: str, decimals: int, shuffled: random.Random
) -> None:
    options, told = Options(by, charge, idle, "cc"), prices(decimals=decimals)
    found = bill(hours, options, told)
    assert sum(row.cost for row in found.rows if row.cost is not None) == found.total
    exact = sum(
        capacity * float(told.of(price, one.begin, LABELS.nodes.get(node.node, {})) or 0) / per
        for one in hours
        for node in one.nodes
        for capacity, price, per in zip(
            node.capacity, ("cpu_core_hour", "memory_gib_hour", "gpu_mb_hour"), (CORE, GIBS, 3_600_000)
        )
        if capacity
    )
    exact += sum(claim.held * 0.0001 / GIBS for one in hours for claim in one.claims)
    assert float(found.total) == pytest.approx(exact, abs=0.6 * 10**-decimals, rel=1e-9)
    mixed = [
        one._replace(
            nodes=tuple(shuffled.sample(one.nodes, len(one.nodes))),
            pods=tuple(shuffled.sample(one.pods, len(one.pods))),
        )
        for one in shuffled.sample(hours, len(hours))
    ]
    assert document(bill(mixed, options, told)) == document(found)


def test_the_canonical_text_is_a_bill_again_and_says_nothing_of_when_it_was_made() -> None:
    found = bill([hour(number, [NODE], [SHOP, BANK]) for number in range(3)])
    text = document(found)
    assert document(opened(text.decode())) == text
    later = replace(found, worth=replace(LIVE, now=99.0, state="stale"))
    assert document(later) == text


def test_shares() -> None:
    assert share_out(10, {"a": 1, "b": 1, "c": 1}) == {"a": 4, "b": 3, "c": 3}
    assert share_out(0, {"a": 1}) == {"a": 0}
    assert [rounded(value, 10) for value in (4, 5, 6, 15, 25)] == [0, 0, 1, 2, 2]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "no JSON"),
        (b"[]", "an object"),
        (b'{"currency": "EUR", "prices": []}', "a list of 1"),
        (b'{"currency": "", "prices": [{"cpu_core_hour": "1"}]}', '"currency"'),
        (b'{"currency": "EUR", "decimals": 9, "prices": [{"cpu_core_hour": "1"}]}', '"decimals"'),
        (b'{"currency": "EUR", "prices": [{"cpu_core_hour": 1}]}', "a price is a text"),
        (b'{"currency": "EUR", "prices": [{"cpu_core_hour": "-1"}]}', "from 0 on"),
        (b'{"currency": "EUR", "prices": [{"cpu_core_hour": "NaN"}]}', "a price is a text"),
        (b'{"currency": "EUR", "prices": [{"cpu_core_hour": "1e99"}]}', "at most 12 digits"),
        (b'{"currency": "EUR", "prices": [{"cpu": "1"}]}', "no such field"),
        (b'{"currency": "EUR", "prices": [{}]}', "has no price"),
        (b'{"currency": "EUR", "prices": [{"cpu_core_hour": "1", "from": "May"}]}', "a time is meant"),
        (b'{"currency": "EUR", "prices": [{"cpu_core_hour": "1", "node_labels": []}]}', "an object of texts"),
        (
            b'{"currency": "E", "prices": [{"cpu_core_hour": "1", "from": "2026-02-01T00:00:00Z",'
            b' "until": "2026-01-01T00:00:00Z"}]}',
            "until is not after from",
        ),
        (b"[" * 100_000, "no JSON"),
    ],
)
def test_a_bad_file_of_prices_says_where(text: bytes, sentence: str) -> None:
    with pytest.raises(BadPrices, match=sentence.replace('"', ".")):
        read_prices(text)
