"""How often somebody may ask: a bucket of tokens each, refilled at a steady rate. Pure but for its clock."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import Callable, Tuple

# Buckets that are held; the one that was used longest ago makes room. Each costs some 200 bytes.
MOST_BUCKETS = 20_000


class Buckets:
    """One bucket a key. It belongs to the event loop."""

    def __init__(self, burst: int, every: float, clock: Callable[[], float]) -> None:
        """`burst`: tokens in a full bucket. `every`: seconds in which one comes back."""
        self._burst, self._every, self._clock = float(burst), every, clock
        self._held: OrderedDict[str, Tuple[float, float]] = OrderedDict()  # key -> (tokens, at)

    def take(self, key: str) -> float:
        """0 = one was taken; else the seconds until there is one."""
        tokens, now = self._tokens(key)
        if tokens < 1.0:
            return (1.0 - tokens) * self._every
        self._put(key, tokens - 1.0, now)
        return 0.0

    def give(self, key: str) -> None:
        """The one that was taken was not needed."""
        tokens, now = self._tokens(key)
        self._put(key, tokens + 1.0, now)

    def _tokens(self, key: str) -> Tuple[float, float]:
        now = self._clock()
        tokens, at = self._held.get(key, (self._burst, now))
        return min(self._burst, tokens + (now - at) / self._every), now

    def _put(self, key: str, tokens: float, now: float) -> None:
        if tokens >= self._burst:
            self._held.pop(key, None)
            return
        self._held[key] = (tokens, now)
        self._held.move_to_end(key)
        if len(self._held) > MOST_BUCKETS:
            self._held.popitem(last=False)


def network(peer: str) -> str:
    """Whose bucket a peer's address is: of IPv6 a /64, which one machine has as a whole."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address.packed[:8] + bytes(8), 64)))
    return str(address)
