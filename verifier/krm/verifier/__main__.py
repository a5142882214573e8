"""`python -m krm.verifier KIND...`: every list of each kind, and the proof of its freshness."""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from typing import Callable, List

from krm.cluster.credentials import connect
from krm.cluster.errors import ClusterError
from krm.cluster.requests import Cluster
from krm.stage.common import FromApiServer
from krm.stage.runner import Loop, Maker, pipelines
from krm.stage.settings import Durations, parse_durations, setting
from krm.stage.start import main
from krm.store.connect import Clock, Database
from krm.store.keys import Keys, label
from krm.store.streams import Appender
from krm.verifier.health import Health
from krm.verifier.loop import Options, Verifier
from krm.verifier.prober import Prober

_A_KIND = "Also for single kinds: 60s,pods=10s."


@dataclass(frozen=True)
class Settings(FromApiServer):
    """List each KIND: at first, each minute by metadata alone, whole where that finds drift, and hand
    the lists to the aggregator. Each 10 s a probe proves how fresh the snapshot is."""

    verify_every: Durations = setting(
        Durations(60.0), f"Between two metadata lists, +-20 %. {_A_KIND}", parse_durations(60.0)
    )
    probe_every: Durations = setting(Durations(10.0), f"Between two probes. {_A_KIND}", parse_durations(10.0))
    audit_every: Durations = setting(
        Durations(3600.0),
        f"Between two audits of the API server's cache against etcd, each followed by a full list. {_A_KIND}",
        parse_durations(3600.0),
    )


def build(settings: Settings, database: Database) -> List[Maker]:
    """Two loops a pipeline: lists, and beside them probes."""
    cluster = connect(settings.kubeconfig or None, settings.context or None, settings.in_cluster, "verifier")
    loops: List[Maker] = []
    for kind, namespace in pipelines(settings.kinds, settings.namespaces):
        keys, health, name = Keys(settings.cluster, kind, namespace), Health(), label(kind, namespace)
        loops.append((name, _lists(cluster, database, settings, keys, health)))
        loops.append((f"{name} probes", _probes(cluster, database, settings, keys, health)))
    return loops


def _lists(
    cluster: Cluster, database: Database, settings: Settings, keys: Keys, health: Health
) -> Callable[[threading.Event], Loop]:
    options = Options(
        settings.verify_every.of(keys.kind), settings.audit_every.of(keys.kind), settings.env_values == "keep"
    )
    return lambda stop: Verifier(
        cluster, Appender(database, keys), keys, Clock(database, keys.head), health, options, stop
    )


def _probes(
    cluster: Cluster, database: Database, settings: Settings, keys: Keys, health: Health
) -> Callable[[threading.Event], Loop]:
    every = settings.probe_every.of(keys.kind)
    return lambda stop: Prober(
        cluster, Appender(database, keys), keys, Clock(database, keys.head), health, every, stop
    )


if __name__ == "__main__":
    sys.exit(main("verifier", Settings, build, (ClusterError,)))
