"""The original's published client, unchanged, in a venv of its own with the kubernetes package that it asks for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

import pytest

CLIENT = "kubernetes-resource-monitor==1.0.5"
# What is asked of it; the answers come back as JSON.
_SCRIPT = """
import json, sys
from krm_client.krm_client import KRMClient

client = KRMClient("127.0.0.1", int(sys.argv[1]))

def told(found):
    return [type(found).__name__, [f"{one.metadata.namespace or ''}/{one.metadata.name}" for one in found.items]]

def backend(one):
    return [one.service_name, one.service_port]

ingresses = client.get_ingress().items
print(json.dumps({
    "pods": told(client.get_pods()),
    "pods of a node": told(client.get_pods(node="n1")),
    "pods of all": told(client.get_pods(name="web-1", namespace="a", node="n1", label_selector="app=web")),
    "pods of a set": told(client.get_pods(label_selector="app in (api,job),!legacy")),
    "pods of none": told(client.get_pods(namespace="none")),
    "nodes": told(client.get_nodes()),
    "services": told(client.get_services(namespace="a")),
    "ingress": told(client.get_ingress(name="web")),
    "backends": [backend(path.backend) for one in ingresses for path in one.spec.rules[0].http.paths],
    "default": [backend(one.spec.backend) for one in ingresses],
    "pvcs": told(client.get_pvcs(label_selector="disk")),
    "deployments": told(client.get_deployments(namespace="a", label_selector="app=web")),
    "fields": [[one.spec.node_name, one.status.phase, one.status.container_statuses[0].restart_count,
                one.metadata.creation_timestamp.year] for one in client.get_pods(name="web-1").items],
}))
"""
# What it is told of a cluster with these objects and, but for pods, with no others.
TOLD: Dict[str, Any] = {
    "pods": ["V1PodList", ["a/job", "a/web-1"]],
    "pods of a node": ["V1PodList", ["a/web-1"]],
    "pods of all": ["V1PodList", ["a/web-1"]],
    "pods of a set": ["V1PodList", ["a/job"]],
    "pods of none": ["V1PodList", []],
    "nodes": ["V1NodeList", ["/n1", "/n2"]],
    "services": ["V1ServiceList", ["a/web"]],
    "ingress": ["ExtensionsV1beta1IngressList", ["a/web"]],
    "backends": [["web", 80], ["", 0]],
    "default": [["api", "http"], ["", 0]],
    "pvcs": ["V1PersistentVolumeClaimList", ["a/data"]],
    "deployments": ["ExtensionsV1beta1DeploymentList", ["a/web"]],
    "fields": [["n1", "Running", 2, 2026]],
}
NUMBERED = {"service": {"name": "web", "port": {"number": 80}}}
NAMED = {"service": {"name": "api", "port": {"name": "http"}}}
BUCKET = {"resource": {"kind": "Bucket", "name": "b", "apiGroup": "example.com"}}


@pytest.fixture(scope="session")
def original_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a venv that holds the client; without PyPI the test is skipped, in CI it fails."""
    folder = Path(tmp_path_factory.mktemp("original"))
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=120)
    python = folder / "bin" / "python"
    command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", CLIENT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    if done.returncode:
        why = f"PyPI does not give it: python -m venv V && V/bin/pip install {CLIENT}\n{done.stderr[-800:]}"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    return python


def ask(python: Path, folder: Path, port: int) -> Dict[str, Any]:
    """What a server without TLS and tokens tells it."""
    script = folder / "calls.py"
    script.write_text(_SCRIPT)
    done = subprocess.run([str(python), str(script), str(port)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    told: Dict[str, Any] = json.loads(done.stdout)
    return told


def workload(**labels: str) -> Dict[str, Any]:
    """A deployment's spec."""
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "nginx:1"}]}}
    return {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}


def ingress(backend: Dict[str, Any], default: Dict[str, Any]) -> Dict[str, Any]:
    """An ingress' spec."""
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    return {"defaultBackend": default, "rules": [{"host": "x.example.com", "http": {"paths": [path]}}]}
