"""What a real API server writes into objects as they come and go, and what follows of it for stream delays."""

from __future__ import annotations

import json
import queue
import threading
import time
from typing import Any, Dict, Iterator, List, Tuple

import pytest
from controlplane.plane import ControlPlane
from krm.aggregator.delays import StreamDelays, created_of
from krm.aggregator.state import Applied, Row
from krm.model import messages
from krm.model.canonical import Canonicaliser
from krm.model.delays import ADDED, DELETED, DELETION
from krm.model.kinds import Resource, parse_kind
from krm.model.messages import Item

pytestmark = [pytest.mark.controlplane, pytest.mark.slow]
PENDING = 3.0  # seconds from the request to delete to the end
FINALIZERS = {"metadata": {"finalizers": ["example.com/wait"]}}
NO_FINALIZERS: Dict[str, Any] = {"metadata": {"finalizers": None}}
GRACE = {"gracePeriodSeconds": 30}


def test_deletions_of_pods_say_how_long_they_took_and_only_immediate_ones_how_late_they_were_told(
    control_plane: ControlPlane,
) -> None:
    admin = control_plane.admin
    (namespace,), (node,) = control_plane.create_namespaces(1), control_plane.create_nodes(1)
    pods = f"/api/v1/namespaces/{namespace}/pods"
    events = Heard(admin.watch(pods, timeout=20))
    since = time.time() // 1
    names = [pod["metadata"]["name"] for pod in control_plane.create_pods(3, [namespace], [node])]
    graceful, forced, held = (f"{pods}/{name}" for name in names)
    admin.patch(held, FINALIZERS)
    admin.delete(graceful, GRACE)
    admin.delete(held, {"gracePeriodSeconds": 0})
    time.sleep(PENDING)
    admin.delete(graceful, {"gracePeriodSeconds": 0})
    admin.patch(held, NO_FINALIZERS)
    admin.delete(forced, {"gracePeriodSeconds": 0})
    told = taken(Canonicaliser(Resource(parse_kind("pods"), "v1", "Pod", True)), events.all(3), since)
    assert [seconds for series, _, seconds in told if series == ADDED] == pytest.approx([0.5] * 3, abs=1.5)
    ended = {name: seconds for series, name, seconds in told if series == DELETION}
    assert ended[names[0]] == pytest.approx(PENDING + 0.5, abs=1.5)
    assert ended[names[1]] == pytest.approx(0.5, abs=1.5)
    assert ended[names[2]] == pytest.approx(PENDING + 0.5, abs=1.5)
    late = {name: seconds for series, name, seconds in told if series == DELETED}
    assert late == {names[1]: ended[names[1]]}


def test_times_are_found_in_what_the_api_server_writes_without_reading_it_whole(
    control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A built-in kind's fields stand in one order, a custom resource's in another."""
    admin = control_plane.admin
    control_plane.create_crd("clocks", "time.example.com", "Clock")
    (namespace,) = control_plane.create_namespaces(1)
    annotations = {"creationTimestamp": "2001-01-01T00:00:00Z", "text": 'a "quoted\\ one'}
    clock = {
        "apiVersion": "time.example.com/v1",
        "kind": "Clock",
        "metadata": {"name": "c", "annotations": annotations, "labels": {"a": "b"}},
    }
    made = admin.create(f"/apis/time.example.com/v1/namespaces/{namespace}/clocks", clock)
    canonical = Canonicaliser(Resource(parse_kind("clocks.time.example.com"), "v1", "Clock", True))
    monkeypatch.setattr("krm.aggregator.delays._metadata", lambda body: {})
    created = created_of(canonical.item(json.dumps(made, separators=(",", ":")).encode()).body)
    assert created == pytest.approx(time.time(), abs=5.0)


class Heard:
    """Events of a watch, each with the time at which it came."""

    def __init__(self, events: Iterator[Dict[str, Any]]) -> None:
        self._events = events
        self._came: queue.Queue[Tuple[bytes, float]] = queue.Queue()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        for event in self._events:
            self._came.put((json.dumps(event, separators=(",", ":")).encode(), time.time()))

    def all(self, gone: int) -> Iterator[Tuple[bytes, float]]:
        """Until `gone` objects are deleted."""
        while gone:
            line, at = self._came.get(timeout=20)
            gone -= line.startswith(b'{"type":"DELETED"')
            yield line, at


def taken(
    canonicaliser: Canonicaliser, heard: Iterator[Tuple[bytes, float]], since: float
) -> List[Tuple[str, str, float]]:
    """(series, name, seconds) that follow."""
    delays = StreamDelays()
    told: List[Tuple[str, str, float]] = []
    rows: Dict[str, Row] = {}
    for line, at in heard:
        item = canonicaliser.event(line, at)
        assert isinstance(item, Item)
        delays.take([Applied(item, rows.get(item.key), item.type)], since)
        told += [(one.series, item.key.partition("/")[2], one.seconds) for one in delays.drain()]
        if item.type == messages.DELETED:
            del rows[item.key]
        else:
            rows[item.key] = Row(item.rv, item.uid, item.digest)
    return told
