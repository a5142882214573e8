"""What an aggregator reads in one turn may be of two kinds; each version that it publishes must be whole."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Dict, List, Tuple

from krm.aggregator.loop import Aggregator
from krm.model.messages import ADDED, BOOKMARK, FULL, MODIFIED, Batch, Item, ListEnd, Page
from krm.model.records import object_digest
from krm.store.connect import Clock, connect
from krm.store.keys import Keys
from krm.store.read import Reader
from krm.store.streams import Appender
from redis_servers import one

CANON = "canon v1"


def item(type_: str, name: str, rv: int) -> Item:
    body = b'{"metadata":{"name":"%s","resourceVersion":"%d"}}' % (name.encode(), rv)
    return Item(type_, f"web/{name}", str(rv), f"uid-{name}", object_digest(body), b"", (), body, 1.0)


def a_list(incarnation: str, name: str, want: str, rv: int, items: Tuple[Item, ...]) -> List[Any]:
    page = Page(incarnation, name, want, FULL, True, "cache", 0, str(rv), "0", float(rv), CANON, "uid", items)
    return [page, ListEnd(incarnation, name, 1, len(items))]


def test_events_and_a_repair_read_in_one_turn_are_two_whole_versions(tmp_path: Path) -> None:
    with one(tmp_path) as server:
        database, keys = connect(server.url, name="test"), Keys("paper", "pods")
        aggregator = Aggregator(database, keys, True, Clock(database, keys.head), threading.Event())
        appender, reader = Appender(database, keys), Reader(database, keys)
        head = aggregator._take_over()
        assert head is not None
        aggregator._load(head)
        fresh = appender.read_head()
        assert fresh is not None
        for message in a_list(fresh.next, "first", fresh.want, 10, (item(ADDED, "a", 5),)):
            appender.append_list(message, "")
        aggregator.turn()
        incarnation = fresh.next
        appender.append_event(Batch(incarnation, "s", 0, "10", CANON, "uid", ()), "")
        bookmark = Item(BOOKMARK, "", "20")
        appender.append_event(Batch(incarnation, "s", 1, "10", CANON, "uid", (bookmark,)), "")
        aggregator.turn()

        seen: List[Dict[str, str]] = []
        publish = aggregator._writer.publish

        def published(publication: Any) -> None:
            publish(publication)
            data = reader.snapshot()  # Corrupt where what is published does not fit its digest
            assert data is not None
            seen.append({key: envelope.rv for key, envelope in data.objects.items()})

        aggregator._writer.publish = published  # type: ignore[method-assign]
        appender.append_event(Batch(incarnation, "s", 2, "10", CANON, "uid", (item(MODIFIED, "a", 25),)), "")
        for message in a_list(incarnation, "second", "", 20, (item(ADDED, "a", 5), item(ADDED, "b", 15))):
            appender.append_list(message, "")
        aggregator.turn()
        assert seen == [{"web/a": "25"}, {"web/a": "25", "web/b": "15"}]
