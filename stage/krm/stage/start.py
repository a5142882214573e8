"""How every stage process starts: settings, logging, Redis, then its loops."""

from __future__ import annotations

import logging
import os
import sys
from threading import Event
from typing import Any, Callable, List, Tuple, Type

from krm.stage.runner import Maker, Runner, configure_logging, die_with_parent
from krm.stage.settings import parse_settings
from krm.store.connect import Database, connect
from krm.store.errors import StoreError, Unavailable

# Seconds between attempts to reach Redis at the start.
RETRY = 0.5

log = logging.getLogger("krm")


def main(
    stage: str,
    settings_class: Type[Any],
    build: Callable[[Any, Database], List[Maker]],
    refusals: Tuple[Type[Exception], ...] = (),
) -> int:
    """Runs until SIGTERM. Status 2 for bad settings, 1 where the start is refused, with a sentence.

    `settings_class` is a Common; `build` gives the loops' makers and may raise ValueError, StoreError or
    one of `refusals`.
    """
    settings = parse_settings(settings_class, sys.argv[1:], os.environ, f"krm {stage}")
    configure_logging(stage, settings.log_level)
    die_with_parent()
    runner = Runner()
    try:
        database = _redis(settings.redis, stage, runner.stop)
        return runner.run(build(settings, database), settings.metrics_address, settings.metrics_port)
    except (StoreError, ValueError, OSError) + refusals as error:
        print(f"krm {stage}: {error}", file=sys.stderr)
        return 1


def _redis(url: str, stage: str, stop: Event) -> Database:
    """Waits for a Redis that is away; refuses at once what waiting cannot mend."""
    while True:
        try:
            database = connect(url, name=f"krm-{stage}")
        except Unavailable as error:
            log.warning("%s", error)
            if stop.wait(RETRY):
                raise
        else:
            for warning in database.warnings:
                log.warning("%s", warning)
            return database
