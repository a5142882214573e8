"""krm's server beside a real kube-apiserver with the same 5,000 pods: requests a second, CPU, memory.

Both over TLS with authorisation on, asked by the same `wrk` with the same token in turns, so that neither
runs while the other is measured. Without wrk there are no such lines: `apt-get install wrk`.
"""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

import psutil
from krm.simulator.kubeconfig import make_certificate, write_kubeconfig
from rig import CLUSTER, Pipeline, Row, cpu, redis_server, until

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

PODS, NAMESPACES = 5_000, 20
SECONDS, ROUNDS = 4, 3  # of each run of wrk; runs of each server, in turns, of which the middle one counts
CONNECTIONS = 4
READER = "krm-reader"
ALL, ONE_NAMESPACE = "/api/v1/pods", "/api/v1/namespaces/%s/pods"
GZIP, PLAIN = "gzip", "identity"


class Load(NamedTuple):
    """What one run of wrk saw, and what it cost the server."""

    rate: float  # requests a second
    cpu: float  # milliseconds of CPU a request
    resident: float  # MiB of the process afterwards


class Peer(NamedTuple):
    """A server that is asked."""

    url: str
    token: str
    ca: Path
    process: psutil.Process


@contextmanager
def peers() -> Iterator[Optional[Tuple[Peer, Peer, Any]]]:
    """(the API server, krm, the plane) with the same pods; None with a sentence where something is missing."""
    from controlplane.build import find_binary
    from controlplane.plane import ControlPlane

    if find_binary("kube-apiserver", "1.36") is None:
        print("the server's lines are left out: run `make control-plane` first", file=sys.stderr)
        yield None
        return
    if shutil.which("wrk") is None:
        print("the server's lines are left out: run `apt-get install wrk` first", file=sys.stderr)
        yield None
        return
    with ExitStack() as stack:
        users: Dict[str, List[str]] = {READER: [], "krm-server": []}
        plane = stack.enter_context(ControlPlane("1.36", audit=False, users=users))
        url, _ = stack.enter_context(redis_server())
        for user in ("krm-streamer", "krm-verifier", READER):
            plane.grant(user, ["get", "list", "watch"], ["pods", "namespaces"])
        plane.grant("krm-server", ["create"], ["tokenreviews"], "authentication.k8s.io")
        plane.grant("krm-server", ["create"], ["subjectaccessreviews"], "authorization.k8s.io")
        plane.create_pods(PODS, namespaces=plane.create_namespaces(NAMESPACES))
        kubeconfigs = {stage: str(plane.kubeconfig(f"krm-{stage}")) for stage in ("streamer", "verifier")}
        stages = Pipeline(url, kubeconfigs, ("pods",))
        stack.callback(stages.stop)
        stages.wait_live("pods")
        krm, ca, process = stack.enter_context(server(url, str(plane.kubeconfig("krm-server"))))
        token = plane.token(READER)
        api = Peer(plane.url, token, plane.ca_file, psutil.Process(plane.pids()["apiserver"]))
        yield api, Peer(krm, token, ca, process), plane


@contextmanager
def server(redis: str, kubeconfig: str) -> Iterator[Tuple[str, Path, psutil.Process]]:
    """(URL, its CA, process) of krm's server, over TLS; `kubeconfig`: of who may review, '' = all may read."""
    from redis_servers import free_port

    with tempfile.TemporaryDirectory(prefix="krm-bench-") as folder:
        certificate, key = make_certificate(Path(folder))
        port = free_port()
        command = [sys.executable, "-m", "krm.server", "--redis", redis, "--cluster", CLUSTER, "--port", str(port)]
        command += ["--tls-cert", str(certificate), "--tls-key", str(key), "--log-level", "WARNING"]
        command += _authorisation(kubeconfig)
        child = subprocess.Popen(command)
        url = f"https://127.0.0.1:{port}"
        try:
            until(lambda: _ready(url), "krm server is ready")
            yield url, certificate, psutil.Process(child.pid)
        finally:
            child.terminate()
            child.wait(20)


def _authorisation(kubeconfig: str) -> List[str]:
    """Of whoever `kubeconfig` may ask; '' = nobody is asked."""
    return ["--auth", "kubernetes", "--kubeconfig", kubeconfig] if kubeconfig else ["--auth", "none"]


def _ready(url: str) -> bool:
    try:
        return bool(_open(url + "/readyz", "").status == 200)
    except OSError:
        return False


def _open(url: str, token: str) -> Any:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    return urllib.request.urlopen(request, context=context, timeout=30)


def wrk(peer: Peer, path: str, encoding: str, seconds: int = SECONDS) -> Load:
    """One run. RuntimeError where any answer was no 200."""
    headers = ["-H", f"Authorization: Bearer {peer.token}", "-H", f"Accept-Encoding: {encoding}"]
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "20s", *headers, peer.url + path]
    before = cpu(peer.process)
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = cpu(peer.process) - before
    rate, count = re.search(r"Requests/sec:\s*([\d.]+)", said), re.search(r"(\d+) requests in", said)
    if count and not int(count.group(1)) and seconds < 4 * SECONDS:  # a list may take longer than a run
        return wrk(peer, path, encoding, 4 * SECONDS)
    if "Non-2xx" in said or "Socket errors" in said or not (rate and count) or not int(count.group(1)):
        raise RuntimeError(f"{peer.url}{path}: {said}")
    resident = peer.process.memory_info().rss / 2**20
    return Load(float(rate.group(1)), 1000 * used / int(count.group(1)), resident)


# What is asked, and how many times the API server's requests a second are wanted.
def _questions(plane: Any) -> List[Tuple[str, str, str, float]]:
    space = plane.admin.get("/api/v1/namespaces")["items"]
    name = next(one["metadata"]["name"] for one in space if one["metadata"]["name"].startswith("ns"))
    pods = plane.admin.get(ONE_NAMESPACE % name)["items"]
    return [
        (f"LIST of {len(pods)} pods, gzip", ONE_NAMESPACE % name, GZIP, 60),
        (f"LIST of {len(pods)} pods, plain", ONE_NAMESPACE % name, PLAIN, 8),
        (f"LIST of {PODS:,} pods, gzip", ALL, GZIP, 60),
        (f"LIST of {PODS:,} pods, plain", ALL, PLAIN, 8),
        ("GET of one pod", f"{ONE_NAMESPACE % name}/{pods[0]['metadata']['name']}", PLAIN, 3),
    ]


def rows() -> List[Row]:
    """A line a question, and one of `krm get`."""
    found: List[Row] = []
    with peers() as both:
        if both is None:
            return []
        api, krm, plane = both
        for what, path, encoding, wanted in _questions(plane):
            wrk(krm, path, encoding, 1)  # what it keeps is made
            turns = [(wrk(api, path, encoding), wrk(krm, path, encoding)) for _ in range(ROUNDS)]
            theirs, ours = (sorted(loads, key=lambda one: one.rate)[ROUNDS // 2] for loads in zip(*turns))
            found.append(_row(what, theirs, ours, wanted))
        found.append(_command(krm, plane))
    return found


def _command(krm: Peer, plane: Any) -> Row:
    """`krm get pods -A` from krm's server beside `kubectl get pods -A` from the API server."""
    from controlplane.build import find_binary

    theirs = _spent([str(find_binary("kubectl", "1.36")), "get", "pods", "-A"], str(plane.kubeconfig(READER)))
    with tempfile.TemporaryDirectory(prefix="krm-bench-") as folder:
        path = Path(folder, "kubeconfig")
        write_kubeconfig(path, krm.url, krm.token, krm.ca)
        command = [sys.executable, "-m", "krm.cli.main", "get", "pods", "-A", "--kubeconfig", str(path)]
        ours = _spent(command, str(path))
    seconds, memory = ours[0] / theirs[0], ours[1] / theirs[1]
    return Row(
        f"`krm get pods -A` of {PODS:,}: seconds; MiB",
        f"{ours[0]:.2f}; {ours[1]:,.0f}",
        f"kubectl {theirs[0]:.2f}; {theirs[1]:,.0f}: {seconds:.0%}; {memory:.0%}",
        "<= 20 % of both",
        seconds <= 0.2 and memory <= 0.2,
    )


# Runs its arguments, and says the seconds and the KiB that they took.
_MEASURED = """
import resource, subprocess, sys, time
began = time.monotonic()
status = subprocess.call(sys.argv[1:])
print(time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(status)
"""


def _spent(command: List[str], kubeconfig: str) -> Tuple[float, float]:
    """(seconds, MiB at most) of the quickest of three runs. RuntimeError where it does not show all pods.

    A small process starts it: the kernel counts what the starting one holds as the started one's own.
    """
    best = (float("inf"), 0.0)
    for _ in range(3):
        with tempfile.TemporaryFile() as out:
            environment = {**os.environ, "KUBECONFIG": kubeconfig}
            child = subprocess.run([sys.executable, "-IS", "-c", _MEASURED, *command], stdout=out, env=environment,
                                   stderr=subprocess.PIPE, text=True, check=False)  # fmt: skip
            out.seek(0)
            if child.returncode or sum(1 for _ in out) < PODS:
                raise RuntimeError(f"{command} did not show {PODS} pods: {child.stderr}")
        seconds, kib = child.stderr.split()[-2:]
        best = min(best, (float(seconds), float(kib) / 1024))
    return best


def _row(what: str, theirs: Load, ours: Load, wanted: float) -> Row:
    times = ours.rate / theirs.rate
    return Row(
        f"{what}: requests a second; ms of CPU a request; MiB",
        f"{ours.rate:,.1f}; {ours.cpu:.2f}; {ours.resident:,.0f}",
        f"kube-apiserver {theirs.rate:,.1f}; {theirs.cpu:.2f}; {theirs.resident:,.0f}: {times:,.1f} times",
        f">= {wanted:g} times",
        times >= wanted,
    )
