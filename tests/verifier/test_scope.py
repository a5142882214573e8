"""A kind without namespaces in a pipeline of one: never listed, and the report says why."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from krm.cluster.credentials import connect
from krm.model.head import Head
from krm.simulator.kubeconfig import write_kubeconfig
from krm.simulator.server import Server
from krm.simulator.world import World
from krm.store.keys import Keys
from krm.verifier.health import Health
from krm.verifier.loop import Options, Verifier


class Wanted:
    """A store whose aggregator waits for its first list, and that takes no page."""

    def read_head(self) -> Head:
        return Head(next="n", want="full 1")


def test_a_cluster_scoped_kind_is_forbidden_where_krm_runs_with_namespaces(tmp_path: Path) -> None:
    health, stop = Health(), threading.Event()
    store: Any = Wanted()
    with Server(World(seed=1)) as server:
        write_kubeconfig(tmp_path / "config", server.url)
        cluster = connect(str(tmp_path / "config"), None, False, "verifier")
        keys = Keys("paper", "nodes", "team-a")
        verifier = Verifier(cluster, store, keys, store, health, Options(), stop)
        # `run` waits out a backoff after the error, on this very event: that is where it is stopped.
        verifier._pause = lambda why, at_least: stop.set()  # type: ignore[method-assign]
        verifier.run()
    assert (health.error, health.unserved, health.resource) == ("OutOfScope", False, None)
