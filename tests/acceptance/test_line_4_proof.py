"""Line 4, what only a real API server shows: no proof of freshness without etcd, and lists of a quiet kind.

Lost events and deletions, and what they are counted as, are walks of tests/faults/test_walks.py.
"""

from __future__ import annotations

import time
from typing import Iterator

import pytest
import redis_servers
from acceptance.product import Product, product
from acceptance.rights import grant, start_stages
from controlplane.plane import ControlPlane
from krm.client.client import connect

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]
KINDS = ("pods", "nodes", "events", "deployments.apps")


@pytest.fixture(scope="module")
def krm(
    own_control_plane: ControlPlane, redis_server: redis_servers.Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Product]:
    """With the intervals that are krm's own, but for the lists."""
    plane = own_control_plane
    plane.create_pods(10)
    grant(plane, [("pods", ""), ("nodes", ""), ("events", ""), ("deployments", "apps")])
    with product(tmp_path_factory.mktemp("proof"), redis_server) as made:
        start_stages(made, plane, KINDS, "--verify-every", "2s")
        for kind in KINDS:
            made.wait_state(kind, "live", 40.0)
        yield made


def test_each_list_of_a_quiet_kind_moves_verified_at_and_nothing_else(krm: Product) -> None:
    def facts() -> dict[str, object]:
        trust = krm.status()["deployments.apps"]["trust"]
        return {name: trust[name] for name in ("verified_at", "version", "incarnation", "drift")}

    seen = [facts()]
    while len(seen) < 4:
        last = seen[-1]["verified_at"]
        krm.wait("another list", lambda last=last: facts()["verified_at"] != last, 8.0)
        seen.append(facts())
    times = [float(str(one.pop("verified_at"))) for one in seen]
    assert times == sorted(times)
    assert seen[1:] == seen[:-1]


def test_with_etcd_stopped_every_kind_is_stale_within_30_s_and_heals(
    krm: Product, own_control_plane: ControlPlane
) -> None:
    began = time.monotonic()
    own_control_plane.pause("etcd")
    try:
        with connect(krm.redis.url, krm.cluster) as reader:  # a command a look would measure how long Python starts

            def stale() -> bool:
                return all(reader.trust(kind).state == "stale" for kind in KINDS)

            krm.wait("every kind is stale", stale, 40.0)
        took = time.monotonic() - began
        answer = krm.krm("get", "pods", "-A")
        assert (answer.returncode, answer.stdout) == (3, "")
        # Bookmarks and lists from the cache may go on: they prove nothing.
        assert "no proof of freshness" in answer.stderr
    finally:
        own_control_plane.resume("etcd")
    assert took <= 30.0
    for kind in KINDS:
        krm.wait_state(kind, "live", 75.0)
    assert {kind: row["trust"]["drift"] for kind, row in krm.status().items() if row["trust"]["drift"]} == {}
