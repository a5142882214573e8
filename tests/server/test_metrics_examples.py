"""The example of docs/metrics-api.md runs as it stands, with the official client."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from kept_cluster import KeptCluster, wait_until
from krm.simulator.kubeconfig import write_kubeconfig
from krm.store.latest import pack_pod
from krm.store.latest_writer import LatestWriter, Turn
from server.measurements import AT, measured, pod, state
from server_process import running, tell_facts

_PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "metrics-api.md"
_EXAMPLE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
MIB = 2.0**20


def test_the_official_client_reads_what_pods_and_nodes_use(
    kept: KeptCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("kubernetes")
    running_pod = {"labels": {"app": "web"}, "status": {"phase": "Running"}}
    kept.kind("pods", {"shop/web-0": running_pod, "shop/web-1": running_pod, "shop/other": {}})
    kept.kind("nodes", {"/n-1": {}})
    tell_facts(kept)
    web = pod("web-0", {"app": [measured(250.0, 64 * MIB)], "side": [measured(1.0, 1536.0)]})
    half = pod("web-1", {"app": [measured(1.5, MIB)]}, lacks=["side"])
    writer = LatestWriter(kept.database, kept.name)
    assert writer.take()
    packed = {"shop": {one.name: pack_pod(one) for one in (web, half)}}
    writer.write(Turn(packed, {}, {"n-1": [measured(2000.0, 2.0**33, AT)]}, state()))
    with running(kept) as server:
        server.ready()
        wait_until(lambda: server.get("/apis/metrics.k8s.io/v1beta1/nodes/n-1").status == 200, 10)
        monkeypatch.chdir(tmp_path)
        write_kubeconfig(tmp_path / "krm.kubeconfig", server.url)
        (example,) = _EXAMPLE.findall(_PAGE.read_text(encoding="utf-8"))
        exec(compile(example, "metrics-api.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == [
        "web-0 251m 67110400 9.996s lacks nothing",
        "web-1 1500u 1Mi 9.996s lacks side",
        "{'app': 0.25, 'side': 0.001}",
        "n-1 {'cpu': '2', 'memory': '8Gi'} 2026-11-28T09:12:35Z",
    ]
