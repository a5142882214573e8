"""The quick control plane: identity, rights, objects, audit, and that nothing is left behind."""

import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
from controlplane.build import KUBERNETES, find_binary
from controlplane.external import ExternalCluster
from controlplane.kubeapi import ApiError, KubeClient
from controlplane.listeners import listeners
from controlplane.plane import ControlPlane, MissingBinary
from controlplane.processes import Process, ProcessFailure, wait_until

ECHO_STARTED = """
import sys
from pathlib import Path
from controlplane.etcd import Etcd
etcd = Etcd(Path(sys.argv[1]), Path(sys.argv[2]))
etcd.start()
print(etcd.process.pid, flush=True)
sys.stdin.read()
"""

DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(60)
"""


def refusal(client: KubeClient, path: str) -> int:
    """The status that `client` is refused with; the test fails if it is not."""
    with pytest.raises(ApiError) as caught:
        client.get(path)
    return caught.value.status


def test_it_is_the_version_it_was_built_as(control_plane: ControlPlane) -> None:
    assert control_plane.admin.request("GET", "/readyz").body == b"ok"
    version = control_plane.admin.get("/version")
    assert version["gitVersion"] == KUBERNETES[control_plane.version][0]
    assert f"{version['major']}.{version['minor']}" == control_plane.version


def test_every_server_listens_on_loopback_only(control_plane: ControlPlane) -> None:
    addresses = [address for _, address in listeners(control_plane.pids().values())]
    assert len(addresses) >= 3  # etcd for clients and for peers, the API server
    assert set(addresses) == {"127.0.0.1"}


def test_a_foreign_token_is_nobody(control_plane: ControlPlane) -> None:
    stranger = KubeClient(control_plane.url, control_plane.ca_file, "no-such-token")
    assert refusal(stranger, "/api/v1/pods") == 401


def test_a_user_may_nothing_until_granted_and_after_revoked(control_plane: ControlPlane) -> None:
    client = control_plane.client("krm-streamer")
    assert refusal(client, "/api/v1/pods") == 403
    control_plane.grant("krm-streamer", ["list", "watch"], ["pods"])
    assert client.get("/api/v1/pods")["kind"] == "PodList"
    assert refusal(client, "/api/v1/nodes") == 403
    control_plane.revoke("krm-streamer", ["list", "watch"], ["pods"])
    assert refusal(client, "/api/v1/pods") == 403


def test_a_grant_in_a_namespace_ends_at_its_border(control_plane: ControlPlane) -> None:
    inside, outside = control_plane.create_namespaces(2)
    control_plane.grant("krm-verifier", ["list"], ["deployments"], "apps", inside)
    client = control_plane.client("krm-verifier")
    assert client.get(f"/apis/apps/v1/namespaces/{inside}/deployments")["items"] == []
    assert refusal(client, f"/apis/apps/v1/namespaces/{outside}/deployments") == 403
    assert refusal(client, "/apis/apps/v1/deployments") == 403


def test_revoking_one_of_two_grants_leaves_the_other(control_plane: ControlPlane) -> None:
    control_plane.grant("krm-server", ["list"], ["nodes"])
    control_plane.grant("krm-server", ["list", "get"], ["nodes"])
    control_plane.revoke("krm-server", ["list"], ["nodes"])
    assert control_plane.client("krm-server").get("/api/v1/nodes")["kind"] == "NodeList"
    control_plane.revoke("krm-server", ["list", "get"], ["nodes"])
    assert refusal(control_plane.client("krm-server"), "/api/v1/nodes") == 403


def test_a_user_unknown_at_the_start_is_named_in_the_error(control_plane: ControlPlane) -> None:
    with pytest.raises(KeyError, match="no user 'somebody'"):
        control_plane.kubeconfig("somebody")


def test_many_pods_are_real_and_fast(control_plane: ControlPlane) -> None:
    namespaces = control_plane.create_namespaces(4)
    nodes = control_plane.create_nodes(2)
    began = time.monotonic()
    pods = control_plane.create_pods(400, namespaces, nodes)
    assert time.monotonic() - began < 30
    assert len({pod["metadata"]["uid"] for pod in pods}) == 400
    listed = control_plane.admin.get(f"/api/v1/namespaces/{namespaces[0]}/pods")["items"]
    assert len(listed) == 100
    for pod in listed:
        assert 4000 < len(json.dumps(pod, separators=(",", ":"))) < 9000
        assert pod["spec"]["nodeName"] in nodes
        assert pod["metadata"]["managedFields"]
        assert any("value" in variable for variable in pod["spec"]["containers"][0]["env"])


def test_a_custom_resource_comes_and_goes(control_plane: ControlPlane) -> None:
    control_plane.create_crd("widgets", "krm.test", "Widget")
    namespace = control_plane.create_namespaces(1)[0]
    path = f"/apis/krm.test/v1/namespaces/{namespace}/widgets"
    body = {"apiVersion": "krm.test/v1", "kind": "Widget", "metadata": {"name": "one"}, "spec": {"size": 3}}
    assert control_plane.admin.create(path, body)["spec"] == {"size": 3}
    changed = control_plane.admin.patch(f"{path}/one", {"spec": {"size": 4}})
    assert changed["spec"] == {"size": 4}
    changed["spec"]["size"] = 5
    assert control_plane.admin.replace(f"{path}/one", changed)["metadata"]["generation"] == 3
    control_plane.delete_crd("widgets", "krm.test")
    assert refusal(control_plane.admin, path) == 404


def test_the_audit_log_names_who_asked_what(control_plane: ControlPlane) -> None:
    namespace = control_plane.create_namespaces(1)[0]
    path = f"/api/v1/namespaces/{namespace}/pods"
    assert refusal(control_plane.client("krm-none"), path) == 403
    events = [event for event in control_plane.audit_events("krm-none") if event["requestURI"] == path]
    assert [event["verb"] for event in events] == ["list"]
    assert events[0]["responseStatus"]["code"] == 403
    assert events[0]["objectRef"]["namespace"] == namespace
    assert not [event for event in control_plane.audit_events("admin") if event["requestURI"] == path]


def test_a_watch_delivers_what_happens(control_plane: ControlPlane) -> None:
    namespace = control_plane.create_namespaces(1)[0]
    path = f"/api/v1/namespaces/{namespace}/pods"
    version = control_plane.admin.get(path)["metadata"]["resourceVersion"]
    events = control_plane.admin.watch(path, {"resourceVersion": version})
    name = control_plane.create_pods(1, [namespace])[0]["metadata"]["name"]
    event = next(events)
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", name)


def test_a_refused_watch_raises_at_once(control_plane: ControlPlane) -> None:
    with pytest.raises(ApiError) as caught:
        control_plane.client("krm-none").watch("/api/v1/pods")
    assert caught.value.status == 403


def test_kubectl_takes_the_kubeconfig(control_plane: ControlPlane) -> None:
    kubectl = find_binary("kubectl", "1.36")
    if kubectl is None:
        pytest.skip("kubectl is not built: run `make control-plane`")
    config = control_plane.kubeconfig("admin")
    assert config.stat().st_mode & 0o077 == 0
    command = [str(kubectl), f"--kubeconfig={config}", "auth", "whoami"]
    command.append("--output=jsonpath={.status.userInfo.username}")
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "admin"


def test_an_external_cluster_is_read_from_a_kubeconfig(control_plane: ControlPlane) -> None:
    cluster = ExternalCluster(control_plane.kubeconfig("krm-none"))
    try:
        assert cluster.url == control_plane.url
        assert refusal(cluster.admin, "/api/v1/pods") == 403
    finally:
        cluster.close()


def test_a_kubeconfig_in_yaml_with_keys_inline_is_read(control_plane: ControlPlane, tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    authority = base64.b64encode(control_plane.ca_file.read_bytes()).decode()
    path = tmp_path / "config"
    path.write_text(
        f"""\
clusters: [{{name: there, cluster: {{server: "{control_plane.url}", certificate-authority-data: {authority}}}}}]
users: [{{name: me, user: {{token: {control_plane.token("admin")}}}}}]
contexts: [{{name: both, context: {{cluster: there, user: me}}}}]
current-context: both
"""
    )
    cluster = ExternalCluster(path)
    try:
        assert cluster.admin.get("/api/v1/namespaces/default")["metadata"]["name"] == "default"
        assert cluster.kubeconfig("admin") == path
    finally:
        cluster.close()
    assert cluster.ca_file is not None
    assert not cluster.ca_file.exists()


def test_a_server_that_cannot_start_shows_its_log_and_leaves_nothing(
    control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    broken = ControlPlane(control_plane.version, apiserver_flags=["--no-such-flag"])
    with pytest.raises(ProcessFailure, match="unknown flag: --no-such-flag"):
        broken.start()
    assert broken.pids() == {}
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_built_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRM_CONTROL_PLANE_CACHE", str(tmp_path))
    with pytest.raises(MissingBinary, match=r"etcd for Kubernetes 1\.36 is not built"):
        ControlPlane()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl is Linux's")
def test_servers_die_with_a_test_run_that_is_killed(control_plane: ControlPlane, tmp_path: Path) -> None:
    binary = find_binary("etcd", control_plane.version)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    command = [sys.executable, "-c", ECHO_STARTED, str(binary), str(tmp_path)]
    runner = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    assert runner.stdin is not None
    assert runner.stdout is not None
    try:
        etcd = psutil.Process(int(runner.stdout.readline()))
        assert etcd.is_running()
    finally:
        runner.send_signal(signal.SIGKILL)
        runner.wait(10)
        runner.stdin.close()
        runner.stdout.close()
    wait_until(lambda: not etcd.is_running() or etcd.status() == psutil.STATUS_ZOMBIE, 10, "etcd is gone")


def test_a_process_deaf_to_sigterm_is_killed_at_the_deadline(tmp_path: Path) -> None:
    process = Process("deaf", [sys.executable, "-c", DEAF], tmp_path)
    process.start()
    process.wait_ready(lambda: "deaf" in process.tail(), 20)
    process.stop(0.2)
    assert not process.running
