"""Redis and real control planes for the acceptance tests."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest
import redis_servers


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis_servers.Server]:
    with redis_servers.one(Path(tmp_path_factory.mktemp("redis"))) as running:
        yield running
