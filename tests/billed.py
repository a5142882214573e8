"""Hours, prices and labels of bills, for tests."""

from __future__ import annotations

import json
from typing import Any, List

from krm.analysis.billing.bill import Bill, Labels, Options, derive
from krm.analysis.billing.hours import Amounts, ClaimHour, Hour, NodeHour, PodHour
from krm.analysis.billing.months import HOUR, month_of
from krm.analysis.billing.prices import Prices, read_prices
from krm.analysis.worth import Worth

OCTOBER = month_of("2026-10")
LIVE = Worth("live", (), None, None, None, None, 0.0)
GIB = 2**30
CORE, GIBS = 3600 * 10**6, 3600 * GIB  # an hour of one core, and of one GiB
LABELS = Labels(
    {"big": {"pool": "spot"}}, {"shop": {"team": "red", "cc": "4711"}, "bank": {}}, {"bank/api/u2": "blue"}
)


def prices(**more: Any) -> Prices:
    rows = [
        {"node_labels": {"pool": "spot"}, "cpu_core_hour": "0.01", "memory_gib_hour": "0.001"},
        {
            "cpu_core_hour": "0.03",
            "memory_gib_hour": "0.004",
            "gpu_mb_hour": "0.0001",
            "storage_gib_hour": "0.0001",
        },
    ]
    return read_prices(json.dumps({"currency": "EUR", "prices": rows, **more}).encode())


def pod(namespace: str, name: str, node: str, requested: Amounts, used: Amounts, uid: str = "u") -> PodHour:
    return PodHour(namespace, name, uid, node, requested, used)


def bill(hours: List[Hour], options: Options = Options(), told: Prices = prices()) -> Bill:  # noqa: B008
    return derive("prod", OCTOBER, hours, told, LABELS, options, LIVE)


def hour(number: int, nodes: List[NodeHour], pods: List[PodHour], claims: List[ClaimHour] = []) -> Hour:  # noqa: B006
    return Hour(OCTOBER.begin + number * HOUR, HOUR, tuple(nodes), tuple(pods), tuple(claims))


NODE = NodeHour("one", Amounts(10 * CORE, 100 * GIBS))
SHOP = pod("shop", "web", "one", Amounts(2 * CORE, 10 * GIBS), Amounts(3 * CORE, 5 * GIBS))
BANK = pod("bank", "api", "one", Amounts(1 * CORE, 20 * GIBS), Amounts(0, 40 * GIBS), "u2")
