"""The newest measurements, followed in a real Redis: each turn is seen, and what is not told grows old."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from typing import Any, Callable, Iterator, List, NamedTuple

import pytest
from kept_cluster import KeptCluster, wait_until
from krm.server.measured import Measured
from krm.server.newest import Newest
from krm.store.connect import connect
from krm.store.keys import latest_key
from krm.store.latest import pack_pod, unpack_pod
from krm.store.latest_writer import LatestWriter, Turn
from served_cluster import Served
from server.measurements import measured, pod, state

PATH = "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods"


def write(writer: LatestWriter, millicores: float) -> None:
    pods = {"shop": {"web-0": pack_pod(pod("web-0", {"app": [measured(millicores, 1024.0)]}))}}
    writer.write(Turn(pods, {}, {"n-1": [measured(1.0, 1.0)]}, state()))


class Followed(NamedTuple):
    newest: Newest
    looks: List[int]  # one more with each
    thread: Measured

    @property
    def cpu(self) -> float:
        """What the one container of the newest turn uses; -1 = nothing was seen yet."""
        packed = self.newest.packed
        if packed is None:
            return -1.0
        return unpack_pod("web-0", packed.pods["shop"]["web-0"]).containers["app"][0].values["cpu/usage_rate"]

    def look(self) -> None:
        """Until it has looked again."""
        looks = len(self.looks)
        wait_until(lambda: len(self.looks) > looks + 2, 10)


@contextlib.contextmanager
def following(kept: KeptCluster) -> Iterator[Followed]:
    """A follower whose event loop is a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def on_loop(work: Callable[[], Any]) -> Any:
        async def run() -> Any:
            return work()

        return asyncio.run_coroutine_threadsafe(run(), loop).result(10)

    newest, looks = Newest(), []
    database = connect(kept.url, name="test-measured")
    thread_of = Measured(database, kept.name, newest, on_loop, lambda: looks.append(1))
    thread_of.start()
    try:
        yield Followed(newest, looks, thread_of)
    finally:
        thread_of.stop()
        thread_of.join(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def test_each_turn_is_seen_and_nothing_is_read_twice(kept: KeptCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("krm.server.measured.LOOK_EVERY", 0.02)
    writer = LatestWriter(kept.database, kept.name)
    with following(kept) as one:
        one.look()
        assert one.newest.packed is None
        assert writer.take()
        for millicores in (1.0, 2.0, 3.0):
            write(writer, millicores)
            wait_until(lambda: one.cpu == millicores, 10)  # noqa: B023 (it is called in this round alone)
        held = one.newest.packed
        one.look()
        assert one.newest.packed is held
        collector = one.newest.collector
        assert collector is not None
        assert 0 <= one.newest.now() - collector.beat < 10


def test_where_redis_is_emptied_what_was_measured_stays_and_grows_old(
    kept: KeptCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("krm.server.measured.LOOK_EVERY", 0.02)
    writer = LatestWriter(kept.database, kept.name)
    assert writer.take()
    write(writer, 5.0)
    with following(kept) as one:
        wait_until(lambda: one.cpu == 5.0, 10)
        link = kept.database.link()
        link.call("DEL", latest_key(kept.name, "collector"))
        one.look()
        assert one.cpu == 5.0
        link.call("HSET", latest_key(kept.name, "collector"), "holder", "", "beat", "x", "turn", "9")
        wait_until(lambda: one.thread.error == "Corrupt", 10)
        assert one.cpu == 5.0
        link.close()


def test_a_server_answers_from_what_it_followed(kept: KeptCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("krm.server.measured.LOOK_EVERY", 0.02)
    pods = kept.kind("pods")
    pods.begin({"shop/web-0": {"labels": {"app": "web"}, "status": {"phase": "Running"}}})
    pods.serve()
    writer = LatestWriter(kept.database, kept.name)
    with Served(kept.url, [kept.name]) as served:
        assert served.get(kept, PATH, "t").status == 404
        assert writer.take()
        write(writer, 12.0)
        wait_until(lambda: served.get(kept, PATH, "t").status == 200, 10)
        found = served.get(kept, PATH, "t")
        assert found.headers["Krm-State"] == "live"
        item = found.json()["items"][0]
        assert item["metadata"]["labels"] == {"app": "web"}
        (line,) = re.findall(
            r"krm_measurements_age_seconds{.*} (.*)", served.get(kept, "/metrics", "t").body.decode()
        )
        assert 0 <= float(line) < 10
        assert item["containers"] == [{"name": "app", "usage": {"cpu": "12m", "memory": "1Ki"}}]
