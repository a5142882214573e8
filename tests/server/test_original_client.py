"""The original's published client against krm: its six calls give what krm keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
from kept_cluster import KeptCluster, pod
from original_client import BUCKET, NAMED, NUMBERED, TOLD, ask, ingress, workload
from server_process import running, tell_facts


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_its_six_calls_give_what_krm_keeps(kept: KeptCluster, original_client: Path, tmp_path: Path) -> None:
    kept.kind("pods", {"a/web-1": pod(node="n1", app="web"), "a/job": pod(node="n2", app="job")})
    kept.kind("nodes", {"/n1": {"status": {"capacity": {"cpu": "4"}}}, "/n2": {}})
    kept.kind("services", {"a/web": {"spec": {"ports": [{"port": 80}]}}, "b/api": {"spec": {"ports": []}}})
    ingresses = {"a/web": {"spec": ingress(NUMBERED, NAMED)}, "b/files": {"spec": ingress(BUCKET, BUCKET)}}
    kept.kind("ingresses.networking.k8s.io", ingresses)
    kept.kind("persistentvolumeclaims", {"a/data": {"labels": {"disk": "ssd"}}, "a/logs": {}})
    deployments = {
        f"a/{app}": {"labels": {"app": app}, "spec": workload(app=app), "status": {"readyReplicas": 1}}
        for app in ("web", "api")
    }
    kept.kind("deployments.apps", deployments)
    tell_facts(kept)
    with running(kept) as server:
        server.ready()
        assert ask(original_client, tmp_path, server.port) == TOLD
