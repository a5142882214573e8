"""Line 3: at, diff and watch equal the simulator's true history for every kept version, and say Expired with
the oldest beyond it. The truth is asked of the world itself, in this process."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Tuple

import pytest
import redis_servers
from acceptance.product import Product, product
from krm.client import Client, connect
from krm.client.errors import Expired
from krm.client.watch import Change
from krm.simulator.churn import Churn
from krm.simulator.kubeconfig import write_kubeconfig
from krm.simulator.populate import populate
from krm.simulator.server import Server
from krm.simulator.world import World
from krm.store.connect import connect as connect_store
from krm.store.keys import Keys
from krm.store.read import change_rows

# One worker takes them all: each would write a history of its own.
pytestmark = pytest.mark.xdist_group("history")

Versions = Dict[str, Tuple[str, str]]  # key -> (resourceVersion, uid)


class Kept(NamedTuple):
    """A pipeline whose churn has ended, and the world that it kept."""

    krm: Product
    world: World
    client: Client
    frontiers: Dict[int, str]  # version -> F once it is applied


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, redis_server: redis_servers.Server) -> Iterator[Kept]:
    folder = Path(tmp_path_factory.mktemp("history"))
    world = World(seed=7)
    populate(world, 3, 60, 2)
    with Server(world) as server, product(folder, redis_server) as krm:
        kubeconfig = folder / "kubeconfig"
        write_kubeconfig(kubeconfig, server.url)
        krm.stage("aggregator", ["pods"])
        for stage in ("verifier", "streamer"):
            krm.stage(stage, ["pods"], "--kubeconfig", str(kubeconfig))
        krm.wait_state("pods", "live")
        churn = Churn(world, weights={"pods": 1.0}, seed=7)
        client = connect(redis_server.url, cluster=krm.cluster)
        for _ in range(60):  # portions, so that there are many versions
            churn.turn(5)
            last = world.revision
            krm.wait("the portion is kept", lambda last=last: int(client.trust("pods").resource_version) >= last)
        yield Kept(krm, world, client, frontiers(redis_server.url, krm.cluster))


def frontiers(url: str, cluster: str) -> Dict[int, str]:
    """F of each version, as the change entries tell it."""
    keys = Keys(cluster, "pods")
    rows = connect_store(url, name="test").link(keys.changes).call("XRANGE", keys.changes, "-", "+")
    return {version: entry.rv for version, entry in change_rows(rows)}


def truth(world: World, rv: str) -> Versions:
    """What the world held at `rv`."""
    found = {}
    for key, stored in world.stored_at("pods", int(rv)).items():
        metadata = json.loads(stored.body())["metadata"]
        found[key] = (metadata["resourceVersion"], metadata["uid"])
    return found


def held(client: Client, version: int) -> Versions:
    """What krm says it held at `version`."""
    items = client.at("pods", str(version)).items()
    return {f"{item.namespace}/{item.name}": (item.resource_version, item.uid) for item in items}


def test_there_are_versions_enough_to_mean_something(kept: Kept) -> None:
    assert len(kept.frontiers) >= 40
    assert kept.client.trust("pods").drift == {}


def test_at_every_kept_version_the_state_is_the_true_one(kept: Kept) -> None:
    for version, rv in kept.frontiers.items():
        assert held(kept.client, version) == truth(kept.world, rv), f"version {version}, rv {rv}"


def test_between_any_two_versions_the_difference_is_the_true_one(kept: Kept) -> None:
    draw = random.Random(7)
    pairs = draw.sample(list(itertools.permutations(kept.frontiers, 2)), 40)
    for a, b in pairs:
        before, after = truth(kept.world, kept.frontiers[a]), truth(kept.world, kept.frontiers[b])
        wanted = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        found = kept.client.diff("pods", str(a), str(b))
        assert {one.key for one in found} == wanted, f"{a} to {b}"
        for one in found:
            assert (one.before is None, one.after is None) == (one.key not in before, one.key not in after)


def test_a_watch_from_any_version_on_tells_each_true_change_once_in_order(kept: Kept) -> None:
    newest = max(kept.frontiers)
    last = kept.frontiers[newest]
    for version in (min(kept.frontiers), newest // 2, newest - 1):
        since = int(kept.frontiers[version])
        wanted = [
            (change.type, change.key, str(change.revision))
            for change in kept.world.history("pods", since)
            if change.revision <= int(last)
        ]
        token = str(kept.client.at("pods", str(version)).token)
        found = changes(kept.client.watch("pods", since=token, timeout=10.0), len(wanted))
        assert [row[:3] for row in found] == wanted, f"from version {version}"


def changes(watch: Iterator[Change], count: int) -> List[Tuple[str, str, str]]:
    """The first `count` of a watch."""
    found = []
    for change in itertools.islice(watch, count):
        object_ = change.object
        found.append((change.type, f"{object_.namespace}/{object_.name}", object_.resource_version))
    return found


def test_beyond_what_is_kept_the_oldest_is_named(kept: Kept) -> None:
    with pytest.raises(Expired, match=r"oldest"):
        kept.client.at("pods", "0")
    with pytest.raises(Expired):
        kept.client.at("pods", str(max(kept.frontiers) + 1000))
