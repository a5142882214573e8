"""Bytes of the API server to bytes that are kept: a LIST of 5,000 pods, and one watch event.

Peers: the official client's typed list and its Watch. Floor: reading and splitting the same bytes.
"""

from __future__ import annotations

import statistics
from typing import Any, Callable, List

from krm.cluster.credentials import connect
from krm.cluster.listing import consistent, list_pages
from krm.cluster.requests import Cluster
from krm.cluster.watching import Watch, WatchClosed
from krm.model.canonical import Canonicaliser
from krm.model.kinds import Resource, parse_kind
from krm.simulator.world import World
from rig import Row, simulated, simulated_apart, spent

PODS = 5_000
EVENTS = 5_000
RESOURCE = Resource(parse_kind("pods"), "v1", "Pod", True)


def rows() -> List[Row]:
    """Two lines."""
    return [*_lists(), *_events()]


def _median(work: Callable[[], Any], runs: int = 3) -> float:
    work()  # warm
    return statistics.median(spent(work) for _ in range(runs))


def _lists() -> List[Row]:
    canonical = Canonicaliser(RESOURCE)
    with simulated_apart(PODS) as kubeconfig:
        cluster = connect(kubeconfig)
        floor = _median(lambda: list(list_pages(cluster, RESOURCE, consistent(), _Split)))
        kept = _median(lambda: list(list_pages(cluster, RESOURCE, consistent(), canonical.page)))
        official = spent(lambda: _official_list(kubeconfig))
    return [
        Row(
            f"LIST of {PODS:,} pods to kept bytes, CPU s",
            f"{kept:.3f}",
            f"official client {official:.2f}: {official / kept:.0f} times; reading and splitting {floor:.3f}",
            ">= 20 times less (goal 40)",
            official / kept >= 20,
        )
    ]


class _Split:
    """The floor: a page's bytes, its version and token found without decoding."""

    def __init__(self, body: bytes) -> None:
        metadata = body[: body.index(b'"items"')]
        self.rv = _between(metadata, b'"resourceVersion":"')
        self.continue_token = _between(metadata, b'"continue":"')
        self.items = body.split(b'{"metadata":')


def _between(raw: bytes, before: bytes) -> str:
    _, found, rest = raw.partition(before)
    return rest[: rest.index(b'"')].decode() if found else ""


def _official_list(kubeconfig: str) -> None:
    from kubernetes import client, config

    api = client.CoreV1Api(config.new_client_from_config(kubeconfig))
    token = None
    while True:
        page = api.list_pod_for_all_namespaces(limit=500, _continue=token)
        token = page.metadata._continue
        if not token:
            return


def _events() -> List[Row]:
    with simulated(500) as (world, kubeconfig):
        lines = _lines(world, connect(kubeconfig))
    canonical = Canonicaliser(RESOURCE)
    mine = _median(lambda: [canonical.event(line) for line in lines]) / len(lines) * 1e6
    official = spent(lambda: _official_events(lines)) / len(lines) * 1e6
    size = sum(map(len, lines)) / len(lines) / 1000
    return [
        Row(
            f"a watch event of {size:.1f} KB, line to canonical bytes, CPU us",
            f"{mine:.0f}",
            f"official Watch's decoding {official:.0f}: {official / mine:.0f} times; client-go's informer 270-333",
            "<= 60 (goal 30)",
            mine <= 60,
        )
    ]


def _lines(world: World, cluster: Cluster) -> List[bytes]:
    """Recorded from a real connection."""
    watch = Watch(cluster, RESOURCE, None, str(world.revision), 30)
    world.burst("pods", EVENTS)
    lines: List[bytes] = []
    try:
        while len(lines) < EVENTS:
            lines += watch.poll(5.0)
    except WatchClosed:
        pass
    finally:
        watch.close()
    return lines


def _official_events(lines: List[bytes]) -> None:
    """What the official Watch does with each line: text, JSON, a typed object."""
    from kubernetes import watch

    decoder = watch.Watch()
    for line in lines:
        decoder.unmarshal_event(line.decode(), "V1Pod")
