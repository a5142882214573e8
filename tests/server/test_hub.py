"""A hub's first look; and its threads end with the event loop that owns the replicas: no call waits for ever."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
from typing import Any, List, cast

import pytest
from kept_cluster import KeptCluster
from krm.server.hub import Hub
from krm.store.connect import Database, connect


def hub_of(loop: asyncio.AbstractEventLoop) -> Hub:
    return Hub(cast(Database, None), "paper", loop)


def tried(hub: Hub, work: Any) -> List[BaseException]:
    """What a thread is told that asks for it."""
    told: List[BaseException] = []

    def ask() -> None:
        try:
            hub._on_loop(work)
        except RuntimeError as error:
            told.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    return told


def test_a_loop_that_has_ended_is_an_error_and_leaves_no_work_that_nobody_awaits() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert [type(error) for error in tried(hub_of(loop), int)] == [RuntimeError]
        gc.collect()
    assert [str(one.message) for one in caught if issubclass(one.category, RuntimeWarning)] == []


def test_a_loop_that_ends_before_it_comes_to_the_work_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.new_event_loop()
    hub, done = hub_of(loop), []
    take = loop.call_soon_threadsafe

    def take_and_end(*work: Any) -> Any:
        take(*work)
        loop.close()

    monkeypatch.setattr(loop, "call_soon_threadsafe", take_and_end)
    assert [type(error) for error in tried(hub, lambda: done.append(1))] == [RuntimeError]
    assert done == []


def test_what_the_work_raises_is_raised_to_whoever_asked() -> None:
    loop = asyncio.new_event_loop()
    running = threading.Thread(target=loop.run_forever)
    running.start()
    try:
        hub = hub_of(loop)
        assert hub._on_loop(lambda: threading.current_thread()) is running
        with pytest.raises(asyncio.TimeoutError):  # of the work, not of the waiting for it
            hub._on_loop(late)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        running.join(10)
        loop.close()


def test_the_start_waits_until_every_kind_that_is_announced_is_known(kept: KeptCluster) -> None:
    """Who asks earlier would be told that a kind is not kept: a reader of /krm/v1/ takes that for the truth."""
    for kind in ("pods", "nodes", "services"):
        kept.kind(kind)

    async def first_look() -> List[str]:
        hub = Hub(connect(kept.url, name="test-server"), kept.name, asyncio.get_running_loop())
        hub.start()
        try:
            await hub.looked()
            return [str(kind) for kind in hub.catalog.kinds()]
        finally:
            hub.stop()

    assert asyncio.run(first_look()) == ["nodes", "pods", "services"]


def late() -> None:
    raise asyncio.TimeoutError
