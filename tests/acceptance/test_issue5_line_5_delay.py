"""Issue 5, line 5: behind a proxy that adds 2 s to the watch ADDED is 2 s late within 1 s, wherever it is told."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any, Dict, Optional

import metric_servers
import pytest
import redis_servers
from acceptance.product import Product, product
from acceptance.simulated import Simulated
from acceptance.slow_watch import slow_watch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
ADDS, WITHIN = 2.0, 1.0  # seconds
PODS = 24
# Seconds between two pods: no part of a second, so that they are made at every point of one.
BETWEEN = 0.37
BEFORE = 40  # pods that a list brings: they were made before the watch began
DOCS = Path(__file__).resolve().parents[2] / "docs" / "history.md"


def test_two_seconds_read_as_two_seconds(redis_server: redis_servers.Server, tmp_path: Path) -> None:
    with metric_servers.influx(tmp_path) as influx, product(tmp_path / "krm", redis_server) as krm:
        simulated = Simulated(krm, "--churn", "0", "--pods", str(BEFORE))
        with slow_watch("127.0.0.1", simulated.port, ADDS) as port:
            kubeconfig = simulated.kubeconfig.read_text().replace(f":{simulated.port}", f":{port}")
            through = krm.folder / "through.kubeconfig"
            through.write_text(kubeconfig)
            _followed(krm, simulated, through, influx.port, redis_servers.free_port())


def _followed(krm: Product, simulated: Simulated, kubeconfig: Path, influx: int, metrics: int) -> None:
    where = ("--kubeconfig", str(kubeconfig))
    krm.stage("streamer", ["pods"], *where)
    krm.stage("verifier", ["pods"], *where)
    krm.stage("aggregator", ["pods"], "--metrics-port", str(metrics))
    krm.stage(
        "collector",
        [],
        *where,
        "--history",
        f"influxdb://127.0.0.1:{influx}/k8s",
        "--history-spool",
        str(krm.folder),
    )
    krm.wait_state("pods", "live", 60.0)
    time.sleep(ADDS)  # what is made from here on is made within the session, whoever heard last that it is open
    for number in range(PODS):
        _make(simulated, f"late-{number}")
        time.sleep(BETWEEN)
    krm.wait("all are told", lambda: _shown(krm).get("points") == PODS, 30.0)
    assert _shown(krm)["p50"] == pytest.approx(ADDS, abs=WITHIN)
    assert _shown(krm)["negative"] == 0
    table = krm.krm("status").stdout
    assert re.search(r"STREAM-P50/P99\n", table)
    assert re.search(r"^pods .* [12]\.\ds/[123]\.\ds$", table, re.MULTILINE), table
    buckets = _buckets(metrics)
    assert buckets["+Inf"] == PODS
    assert buckets["1.0"] <= PODS / 2 <= buckets["3.0"], buckets  # the median lies between them
    found = krm.wait("InfluxDB has them", lambda: _asked(influx), 90.0)
    assert found == pytest.approx(ADDS, abs=WITHIN)
    assert _answer(influx, 'SELECT COUNT("delay") FROM "streamed_data"')[0][1] == PODS
    assert _answer(influx, 'SELECT FIRST("resolution") FROM "streamed_data"')[0][1] == 1


def _make(simulated: Simulated, name: str) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "app", "image": "app"}]},
    }
    simulated.ask("POST", "/api/v1/namespaces/default/pods", pod)


def _shown(krm: Product) -> Dict[str, Any]:
    delays = krm.status()["pods"]["trust"]["stream_delay"] or {}
    found: Dict[str, Any] = delays.get("ADDED", {})
    return found


def _buckets(port: int) -> Dict[str, float]:
    status, page = metric_servers.ask(port, "GET", "/metrics")
    assert status == 200
    rows = re.findall(r"^krm_stream_delay_seconds_bucket\{(.*)\} (\S+)$", page.decode(), re.MULTILINE)
    added = [(labels, float(count)) for labels, count in rows if 'event="ADDED"' in labels and "pods" in labels]
    return {re.search(r'le="(.*?)"', labels).group(1): count for labels, count in added}  # type: ignore[union-attr]


def _asked(influx: int) -> Optional[float]:
    """p50 of ADDED pods by the very query of docs/history.md, once all points are there."""
    lines = DOCS.read_text(encoding="utf-8").splitlines()
    statement = next(line.strip() for line in lines if "PERCENTILE" in line and "streamed_data" in line)
    counted = _answer(influx, 'SELECT COUNT("delay") FROM "streamed_data"')
    rows = _answer(influx, statement, {"event": "ADDED", "resource": "pods"})
    return float(rows[0][1]) if rows and counted and counted[0][1] >= PODS else None


def _answer(influx: int, statement: str, tags: Optional[Dict[str, str]] = None) -> Any:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    status, body = metric_servers.ask(influx, "POST", "/query", f"db=k8s&q={statement}", form)
    assert status == 200, body
    for series in json.loads(body)["results"][0].get("series", []):
        if tags is None or series.get("tags") == tags:
            return series["values"]
    return []
