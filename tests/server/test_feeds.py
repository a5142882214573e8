"""What a feed makes of a server that was held up, and of entries that cannot be read."""

from __future__ import annotations

import asyncio
import gc
import time
import warnings
from dataclasses import replace
from typing import Any, Callable, List

import pytest
from kept_cluster import KeptCluster, pod, wait_until
from kind_pen import Pen
from krm.server.feeds import PROMPT, Feed, offset_of
from krm.server.hub import Hub
from krm.server.replica import Replica
from krm.store.connect import connect
from krm.store.keys import Keys
from krm.store.publish import Writer
from served_cluster import Served, quick


def replica_of(served: Served, kept: KeptCluster) -> Replica:
    (replica,) = served.hubs[kept.name].catalog.all()
    return replica


def test_the_clock_goes_on_while_a_feed_catches_up(kept: KeptCluster) -> None:
    """Each turn brings 100 versions, and a head that has run ahead of them: it proves nothing, but for the time."""
    pods = kept.kind("pods", {"a/x": pod()})
    link, late = kept.database.link(), 1.5
    with Served(kept.url, [kept.name]) as served:
        served.settle(kept)
        hub, replica = served.hubs[kept.name], replica_of(served, kept)
        ring = hub.changed
        errors: List[float] = []
        begin = replica.token.version

        def held_up(one: Replica) -> None:
            if not errors:  # the loop stands still, and the feed with it
                began = pods.now()
                for _ in range(350):
                    pods.publish(("a/x", pod()))
                wait_until(lambda: pods.now() - began > late)
            seconds, micros = link.call("TIME")
            errors.append(hub.now(one) - int(seconds) - int(micros) / 1e6)
            ring(one)

        hub.changed = held_up
        wait_until(lambda: replica.token.version == begin + 350)
        assert len(errors) >= 4
        assert max(abs(error) for error in errors[1:]) < late / 2, errors


def test_an_answer_that_was_held_up_counts_from_the_asking() -> None:
    now = time.monotonic()
    assert abs(offset_of(1000.0, now) - (1000.0 - now)) < PROMPT
    assert offset_of(1000.0, now - 60) == 1000.0 - (now - 60)


def test_an_entry_that_cannot_be_read_is_passed_by_a_load(kept: KeptCluster) -> None:
    """Read again and again it stops the kind until it is trimmed, though the snapshot behind it is whole."""
    database, keys = connect(kept.url, name="krm-test"), Keys(kept.name, "pods")
    pen, replica, loads = Pen(Writer(database, keys, "ME")), Replica("pods"), set()
    pen.begin(["a/x"])

    def changed(one: Replica, _: float) -> None:
        loads.add(one.epoch)

    feed = Feed(database, keys, replica, lambda work: work(), changed)
    feed.start()
    try:
        wait_until(lambda: replica.objects == pen.objects)
        pen.publish(("a/y", True))
        wait_until(lambda: replica.objects == pen.objects)
        before = set(loads)
        pen.writer.publish(replace(pen.publication(("a/y", False), ("a/z", True)), entry=b"rotten"))
        wait_until(lambda: replica.objects == pen.objects)
        for _ in range(3):  # and what comes behind it is followed, not loaded
            pen.publish(("a/x", True))
            wait_until(lambda: replica.objects == pen.objects)
        assert len(loads - before) == 1
        assert feed.error == ""
    finally:
        feed.stop()
        feed.join(10)


def test_a_thread_that_outlives_the_event_loop_says_nothing_on_stderr(kept: KeptCluster) -> None:
    loop = asyncio.new_event_loop()
    hub = Hub(kept.database, kept.name, loop)
    loop.close()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with pytest.raises(RuntimeError):
            hub._on_loop(lambda: None)
        gc.collect()
    assert [str(one.message) for one in said] == []


def test_a_cluster_of_which_nothing_is_in_redis_is_told_once(
    kept: KeptCluster, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most often it is a wrong --cluster."""
    quick(monkeypatch)
    with Served(kept.url, [kept.name]) as served:
        wait_until(lambda: caplog.messages)
        kept.kind("pods", {"a/x": pod()})
        served.settle(kept)
    (said,) = [message for message in caplog.messages if "is in this Redis" in message]
    assert f"nothing of {kept.name} is in this Redis yet" in said


def test_the_kinds_of_one_look_are_there_together(kept: KeptCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where some are there, those that are not are 404: client-go lists anew after that."""
    quick(monkeypatch)
    kinds = ("pods", "nodes", "services", "deployments.apps")
    for kind in kinds:
        kept.kind(kind, {})
    counts: List[int] = []
    on_loop = Hub._on_loop

    def counted(hub: Hub, work: Callable[[], Any]) -> Any:
        done = on_loop(hub, work)
        counts.append(len(hub.catalog.kinds()))
        return done

    monkeypatch.setattr(Hub, "_on_loop", counted)
    with Served(kept.url, [kept.name]) as served:
        wait_until(lambda: len(served.hubs[kept.name].catalog.kinds()) == len(kinds))
    assert set(counts) - {0} == {len(kinds)}  # none of them may be there yet: others look too
