"""Every test with `client` runs twice: reading from Redis, and from a krm server over HTTP."""

from __future__ import annotations

from typing import Any, Iterator

import pytest
from kept_cluster import KeptCluster
from krm.client.client import Client, connect
from served_cluster import Served, Settled, quick


@pytest.fixture(params=["redis", "http"])
def client(request: pytest.FixtureRequest, kept: KeptCluster, monkeypatch: Any) -> Iterator[Client]:
    if request.param == "redis":
        with connect(kept.url, kept.name) as connected:
            yield connected
        return
    quick(monkeypatch)
    settled = Settled(kept, lambda: Served(kept.url, [kept.name]).__enter__())
    yield settled  # type: ignore[misc]
    settled.end()
