"""A file of prices: what an hour of a core, of a GiB, of a MB of GPU memory and of storage costs. Pure.

    {"currency": "EUR", "decimals": 2, "prices": [
      {"from": "2026-01-01T00:00:00Z", "until": "2027-01-01T00:00:00Z", "node_labels": {"pool": "spot"},
       "cpu_core_hour": "0.0105", "memory_gib_hour": "0.0014", "gpu_mb_hour": "0.00002"},
      {"cpu_core_hour": "0.031611", "memory_gib_hour": "0.004237", "storage_gib_hour": "0.00011"}]}

The first row that holds for an hour's begin and a node's labels is taken. Prices are texts: a number of JSON may
not be what was written.
"""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from krm.model import times
from krm.model.reading import mapping, rows

# What is priced, and the unit of its price.
CPU, MEMORY, GPU, STORAGE = "cpu_core_hour", "memory_gib_hour", "gpu_mb_hour", "storage_gib_hour"
RESOURCES = (CPU, MEMORY, GPU, STORAGE)
MAX_BYTES = 1024 * 1024
MAX_ROWS = 10_000
# Digits of a price before and behind the point: more are no price, and would make sums slow.
_BEFORE, _BEHIND = 12, 12
_FIELDS = frozenset({"from", "until", "node_labels", "storage_class", *RESOURCES})


class BadPrices(ValueError):
    """The file is no file of prices; the text says where and why."""


class Row(NamedTuple):
    """One row. Bounds are Unix seconds; None = open."""

    begin: Optional[float]
    until: Optional[float]
    labels: Tuple[Tuple[str, str], ...]
    storage_class: str  # of storage; '' = any
    prices: Mapping[str, Decimal]  # of RESOURCES those that it says

    def holds(self, at: float, labels: Mapping[str, str], storage_class: str) -> bool:
        """Whether it is for this moment and node, or class of storage."""
        if (self.begin is not None and at < self.begin) or (self.until is not None and at >= self.until):
            return False
        if self.storage_class and self.storage_class != storage_class:
            return False
        return all(labels.get(name) == value for name, value in self.labels)


class Prices(NamedTuple):
    """A file's content."""

    currency: str
    decimals: int  # of its smallest unit: 2 = cents
    rows: Tuple[Row, ...]
    digest: str  # SHA-256 of the file, hex

    def of(self, resource: str, at: float, labels: Mapping[str, str], storage_class: str = "") -> Optional[Decimal]:
        """An hour's; None = no row says it."""
        for row in self.rows:
            if resource in row.prices and row.holds(at, labels, storage_class):
                return row.prices[resource]
        return None


def read_prices(text: bytes) -> Prices:
    """Raises BadPrices."""
    if len(text) > MAX_BYTES:
        raise BadPrices(f"a file of prices has at most {MAX_BYTES} bytes, not {len(text)}")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadPrices(f"no JSON: {error}") from None
    if not isinstance(document, dict) or set(document) - {"currency", "decimals", "prices"}:
        raise BadPrices('an object with "currency", "decimals" and "prices" is meant')
    currency, decimals = document.get("currency"), document.get("decimals", 2)
    if not (isinstance(currency, str) and 0 < len(currency) <= 16 and currency.isprintable()):
        raise BadPrices('"currency": a text such as EUR is meant')
    if isinstance(decimals, bool) or not isinstance(decimals, int) or not 0 <= decimals <= 6:
        raise BadPrices('"decimals": a number from 0 to 6 is meant')
    told = document.get("prices")
    found = rows(told)
    if not isinstance(told, list) or not found or len(found) != len(told) or len(found) > MAX_ROWS:
        raise BadPrices(f'"prices": a list of 1 to {MAX_ROWS} objects is meant')
    return Prices(
        currency,
        decimals,
        tuple(_row(one, number) for number, one in enumerate(found, 1)),
        sha256(text).hexdigest(),
    )


def _row(one: Dict[str, Any], number: int) -> Row:
    where = f"row {number} of prices"
    unknown = sorted(set(one) - _FIELDS)
    if unknown:
        raise BadPrices(f"{where}: {', '.join(unknown)}: no such field; there are {', '.join(sorted(_FIELDS))}")
    labels = mapping(one.get("node_labels"))
    storage_class = one.get("storage_class", "")
    if not isinstance(one.get("node_labels", {}), dict) or not all(
        isinstance(value, str) for value in labels.values()
    ):
        raise BadPrices(f"{where}: node_labels: an object of texts is meant")
    if not isinstance(storage_class, str):
        raise BadPrices(f"{where}: storage_class: a text is meant")
    begin, until = (_moment(one.get(name), f"{where}: {name}") for name in ("from", "until"))
    if begin is not None and until is not None and until <= begin:
        raise BadPrices(f"{where}: until is not after from")
    prices = {name: _price(one[name], f"{where}: {name}") for name in RESOURCES if name in one}
    if not prices:
        raise BadPrices(f"{where} has no price: {', '.join(RESOURCES)}")
    return Row(begin, until, tuple(sorted(labels.items())), storage_class, prices)


def _moment(value: Any, where: str) -> Optional[float]:
    if value is None:
        return None
    moment = times.known(value) if isinstance(value, str) else None
    if moment is None:
        raise BadPrices(f"{where}: a time is meant, e.g. 2026-10-01T00:00:00Z")
    return moment


def _price(value: Any, where: str) -> Decimal:
    try:
        price = Decimal(value) if isinstance(value, str) else None
    except InvalidOperation:
        price = None
    if price is None or not price.is_finite() or price.is_signed():
        raise BadPrices(f'{where}: a price is a text such as "0.031611", from 0 on')
    digits: List[int] = [price.adjusted(), -int(price.as_tuple().exponent)]
    if digits[0] >= _BEFORE or digits[1] > _BEHIND:
        raise BadPrices(f"{where}: at most {_BEFORE} digits before and {_BEHIND} behind the point")
    return price
