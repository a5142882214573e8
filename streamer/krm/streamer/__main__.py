"""`python -m krm.streamer KIND...`: one watch a kind, handed on as numbered batches."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from threading import Event
from typing import Callable, List

from krm.cluster.credentials import connect
from krm.cluster.errors import ClusterError
from krm.cluster.requests import Cluster
from krm.model.durations import parse_duration
from krm.stage.common import FromApiServer
from krm.stage.runner import Loop, Maker, pipelines
from krm.stage.settings import setting
from krm.stage.start import main
from krm.store.connect import Clock, Database
from krm.store.keys import Keys, label
from krm.store.streams import Appender
from krm.streamer.loop import Options, Streamer


@dataclass(frozen=True)
class Settings(FromApiServer):
    """Watch each KIND, and hand its events to the aggregator in numbered batches. It never lists."""

    fresh_within: float = setting(
        0.0,
        "A watch lives so long, and ends with a bookmark; 0 = the server's minute.",
        parse_duration,
    )


def build(settings: Settings, database: Database) -> List[Maker]:
    """A loop a pipeline, all on one connection to the API server's credentials."""
    cluster = connect(settings.kubeconfig or None, settings.context or None, settings.in_cluster, "streamer")
    options = Options(settings.env_values == "keep", int(settings.fresh_within) or None)
    return [
        (label(kind, namespace), _loop(cluster, database, options, Keys(settings.cluster, kind, namespace)))
        for kind, namespace in pipelines(settings.kinds, settings.namespaces)
    ]


def _loop(cluster: Cluster, database: Database, options: Options, keys: Keys) -> Callable[[Event], Loop]:
    return lambda stop: Streamer(cluster, Appender(database, keys), keys, Clock(database, keys.head), options, stop)


if __name__ == "__main__":
    sys.exit(main("streamer", Settings, build, (ClusterError,)))
