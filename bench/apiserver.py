"""What reading costs the API server: one and 100 readers of krm, and 100 clients that list for themselves.

On a real kube-apiserver with 5,000 pods. 100 clients that each list all of them every 10 s ask for
more than two cores can answer, so one of their lists is measured and counted as often as they would ask.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Callable, List

import psutil
from krm.store.connect import connect
from krm.store.keys import Keys
from krm.store.read import Reader
from rig import CLUSTER, Pipeline, Row, cpu, redis_server

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

PODS, NAMESPACES = 5_000, 20
WINDOW = 120.0  # seconds, as the goal is stated
READERS, EVERY = 100, 10.0  # clients, seconds between two reads of each
LISTS = 6  # official lists that the mean is taken of


def rows(window: float = WINDOW) -> List[Row]:
    """One line; [] with a sentence where the control plane is not built."""
    from controlplane.build import find_binary
    from controlplane.plane import ControlPlane

    if find_binary("kube-apiserver", "1.36") is None:
        print("the API server's lines are left out: run `make control-plane` first", file=sys.stderr)
        return []
    with ControlPlane("1.36", audit=False) as plane, redis_server() as (url, _):
        for user in ("krm-streamer", "krm-verifier"):
            plane.grant(user, ["get", "list", "watch"], ["pods", "namespaces"])
        plane.create_pods(PODS, namespaces=plane.create_namespaces(NAMESPACES))
        server = psutil.Process(plane.pids()["apiserver"])
        official = _mean_of_lists(str(plane.kubeconfig("admin")), server)
        time.sleep(5.0)  # the garbage of those lists is collected on the account of nobody
        idle = _over(server, window, lambda _: None)
        kubeconfigs = {
            "streamer": str(plane.kubeconfig("krm-streamer")),
            "verifier": str(plane.kubeconfig("krm-verifier")),
        }
        stages = Pipeline(url, kubeconfigs, ("pods",))
        try:
            stages.wait_live("pods")
            one = _over(server, window, lambda stop: _readers(url, 1, stop)) - idle
            many = _over(server, window, lambda stop: _readers(url, READERS, stop)) - idle
        finally:
            stages.stop()
    asked = READERS * window / EVERY * official
    share = many / asked
    return [
        Row(
            f"API server CPU s in {window:.0f} s, idle {idle:.1f} taken off: krm with 1 and {READERS} readers",
            f"{one:.2f}; {many:.2f}",
            f"{READERS} official clients: {asked:,.0f} ({official:.3f} a list of {PODS:,}): {share:.2%}",
            "<= 2 %",
            share <= 0.02,
        )
    ]


def _over(server: psutil.Process, window: float, load: Callable[[threading.Event], None]) -> float:
    """CPU seconds of the API server while `load` goes on."""
    stop = threading.Event()
    before = cpu(server)
    worker = threading.Thread(target=load, args=(stop,), daemon=True)
    worker.start()
    time.sleep(window)
    used = cpu(server) - before
    stop.set()
    worker.join(30)
    return used


def _readers(url: str, count: int, stop: threading.Event) -> None:
    """`count` readers, each of all pods every 10 s, one after the other: Redis does the work."""
    readers = [Reader(connect(url, name="krm-bench"), Keys(CLUSTER, "pods")) for _ in range(count)]
    while not stop.is_set():
        for reader in readers:
            reader.snapshot()
            if stop.wait(EVERY / count):
                return


def _mean_of_lists(kubeconfig: str, server: psutil.Process) -> float:
    """CPU seconds of the API server for one list of all pods by the official client."""
    from kubernetes import client, config

    api = client.CoreV1Api(config.new_client_from_config(kubeconfig))
    api.list_pod_for_all_namespaces()
    before = cpu(server)
    for _ in range(LISTS):
        api.list_pod_for_all_namespaces()
    return (cpu(server) - before) / LISTS
