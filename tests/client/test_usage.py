"""What the library says of usage: sums of what is known, times of the source, windows of points."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest
from kept_cluster import KeptCluster
from krm.client import connect
from krm.client.errors import BadRequest, NoMeasurements
from krm.client.usage import Span, span_of
from krm.collector import certificate
from krm.collector.endpoint import Server
from krm.model.measures import Covers, Sample, Subject
from krm.store.history.local import LocalHistory
from krm.store.history.summing import Summing
from krm.store.latest import CollectorState, Measured, Pod, pack_pod
from krm.store.latest_writer import LatestWriter, Turn

CPU = "cpu/usage_rate"


def test_a_span_is_of_the_points_that_there_are() -> None:
    assert span_of([math.nan, math.nan]) is None
    assert span_of([]) is None
    assert span_of([3.0, math.nan, 1.0]) == Span(2.0, 3.0, 3.0, 2, 3)
    assert span_of([3.0], 240) == Span(3.0, 3.0, 3.0, 1, 240)
    assert span_of([float(value) for value in range(1, 101)]) == Span(50.5, 95.0, 100.0, 100, 100)


def test_usage_history_and_totals_through_the_collectors_endpoint(kept: KeptCluster, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a-token\n")
    history = LocalHistory(str(tmp_path / "history"))
    server = Server(Summing(history), None, "a-token", certificate.made(), ("127.0.0.1", 0))
    try:
        now = time.time()
        for step in range(20, -1, -1):
            if step > 14:  # another pod of that name, until then
                gone = Subject("shop", "web", "v", "app", "n9")
                history.record([Sample(gone, now - 15 * step, {CPU: 900.0}, "x", 15.0)], now - 15 * step)
            sample = Sample(Subject("shop", "web", "u", "app", "n1"), now - 15 * step, {CPU: 100.0}, "x", 15.0)
            history.record([sample], now - 15 * step)
        writer = LatestWriter(kept.database, kept.name)
        assert writer.take()
        measured = Measured("kubelet/resource", now - 3, 4.0, {CPU: 100.0, "memory/working_set": 5.0})
        web = Pod("web", "u", "n1", (), {"app": (measured,)})
        state = CollectorState(server.address, server.digest, 4.0, (), {}, (), Covers(1, 1, "nodes"))
        writer.write(Turn({"shop": {"web": pack_pod(web)}}, {"shop": ()}, {"": ()}, state))
        with connect(kept.url, kept.name, history_token_file=str(token)) as client:
            usage = client.usage("pods", window="2m")
            (row,) = usage.rows
            assert (usage.state, row.cpu, row.memory, row.at) == ("live", 100.0, 5.0, now - 3)
            assert row.spans[CPU].average == pytest.approx(100.0)
            (long,) = client.usage("pods", window="1h").rows
            assert long.spans[CPU].average == pytest.approx(100.0)  # its own, not its forerunner's
            assert long.spans[CPU].of == 240
            assert long.spans[CPU].points <= 22
            assert "memory/working_set" not in row.spans
            points = client.history(CPU, "containers", begin="2m", pod="web")
            assert {value for value in points.series[0].values if value == value} == {100.0}
            (total,) = client.totals(CPU, begin="3m", namespace="shop").totals
            assert total.sum == pytest.approx(100.0 * 180, rel=0.1)
            with pytest.raises(BadRequest, match="no metric"):
                client.history("cpu/nothing")
            with pytest.raises(BadRequest, match="not measured of a pod"):
                client.history("cpu/node_capacity", "pods")
            pandas = pytest.importorskip("pandas")
            assert list(usage.to_dataframe("pandas")["cpu"]) == [100.0]
            assert isinstance(points.to_dataframe("pandas"), pandas.DataFrame)
        with connect(kept.url, kept.name) as client, pytest.raises(NoMeasurements, match="token"):
            client.history(CPU)
    finally:
        server.close()
        history.close()
