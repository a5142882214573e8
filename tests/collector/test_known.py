"""What is followed of the snapshots: an object that cannot be read costs itself alone."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest
from krm.collector.facts import node_facts, pod_facts
from krm.collector.known import Known
from krm.model.records import Envelope
from krm.store.connect import Database
from krm.store.keys import Keys


@pytest.mark.parametrize("body", [b"[]", b"null", b'"x"', b"1", b"{", b"[" * 100_000, b"\xff"])
@pytest.mark.parametrize("reduce", [pod_facts, node_facts])
def test_an_object_that_is_none_stops_no_thread(body: bytes, reduce: Any) -> None:
    known = Known(cast(Database, None), Keys("c", "pods"), reduce, threading.Event())
    assert known._kept("shop/odd", Envelope("5", "u", b"", 1.0, b"", (), body)) is None
