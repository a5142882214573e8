"""`python -m krm.aggregator KIND...`: merges what streamers and verifiers hand over, a thread a kind."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from threading import Event
from typing import Callable, List

from krm.aggregator.loop import Aggregator
from krm.stage.common import Common
from krm.stage.runner import Loop, Maker, pipelines
from krm.stage.settings import parse_flag, setting
from krm.stage.start import main
from krm.store.connect import Clock, Database
from krm.store.keys import Keys, label


@dataclass(frozen=True)
class Settings(Common):
    """Merge the events and lists of each KIND into versioned snapshots in Redis. One process a cluster
    and kind does the work; a second one stands by."""

    past: bool = setting(True, "Keep what changes replaced, for reads of the past.", parse_flag)


def build(settings: Settings, database: Database) -> List[Maker]:
    """A loop a pipeline."""
    return [
        (label(kind, namespace), _loop(database, settings.past, Keys(settings.cluster, kind, namespace)))
        for kind, namespace in pipelines(settings.kinds, settings.namespaces)
    ]


def _loop(database: Database, past: bool, keys: Keys) -> Callable[[Event], Loop]:
    return lambda stop: Aggregator(database, keys, past, Clock(database, keys.head), stop)


if __name__ == "__main__":
    sys.exit(main("aggregator", Settings, build))
