"""The Redis servers that the store's contract is held against, each started once a session."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any, Dict, Iterator

import pytest
import redis_servers
from krm.store import fake
from krm.store.connect import Database, connect
from krm.store.keys import Keys

_numbers = itertools.count()


@pytest.fixture(scope="session")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """kind of server -> its URL; started when first asked for."""
    started: Dict[str, str] = {}
    with contextlib.ExitStack() as stack:

        def url(kind: str) -> str:
            if kind not in started:
                if kind == "fake":
                    started[kind] = stack.enter_context(fake.running())
                    return started[kind]
                if redis_servers.REDIS is None:
                    pytest.skip("no redis-server on PATH")
                folder = tmp_path_factory.mktemp(kind)
                if kind == "one":
                    started[kind] = stack.enter_context(redis_servers.one(folder)).url
                elif kind == "cluster":
                    started[kind] = redis_servers.cluster_url(stack.enter_context(redis_servers.cluster(folder)))
                else:
                    started[kind] = stack.enter_context(redis_servers.sentinel(folder))[0]
            return started[kind]

        yield url


@pytest.fixture(params=["one", "cluster", "sentinel", "fake"])
def database(request: pytest.FixtureRequest, urls: Any) -> Database:
    """Each server in turn."""
    return connect(urls(request.param), name="krm-test")


@pytest.fixture
def real(urls: Any) -> Database:
    """One real server."""
    return connect(urls("one"), name="krm-test")


@pytest.fixture
def keys() -> Keys:
    """A kind that no other test uses."""
    return Keys(f"test-{next(_numbers)}", "pods")
