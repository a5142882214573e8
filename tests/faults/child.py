"""`python -m faults.child STAGE BUG ARGUMENTS`: a stage with a test's patience, and what is planted in it.

The product has no switch for either: what is set here is set from outside, before the stage begins.
"""

from __future__ import annotations

import faulthandler
import importlib
import runpy
import signal
import sys
from typing import Dict, Tuple

# (module, constant, value): the waits of a long-running process, made short enough for a round of seconds.
# Order matters: a module that copies a constant on import comes after the one that owns it.
_PATIENCE: Dict[str, Tuple[Tuple[str, str, float], ...]] = {
    "aggregator": (
        ("krm.aggregator.lists", "WAIT_FOR_FRONTIER", 3.0),
        ("krm.aggregator.loop", "TAKE_OVER_AFTER", 2.0),
        ("krm.stage.runner", "RESTART_MOST", 1.0),
    ),
    "streamer": (
        ("krm.cluster.requests", "ANSWER_TIMEOUT", 5.0),
        ("krm.cluster.backoff", "FIRST", 0.1),
        ("krm.cluster.backoff", "CAP", 0.8),
        ("krm.cluster.watching", "INACTIVITY", 4.0),
        ("krm.cluster.watching", "HEADERS_TIMEOUT", 4.0),
        ("krm.streamer.loop", "ACCEPT_WITHIN", 3.0),
        ("krm.stage.runner", "RESTART_MOST", 1.0),
    ),
    "verifier": (
        ("krm.cluster.requests", "ANSWER_TIMEOUT", 5.0),
        ("krm.cluster.backoff", "FIRST", 0.1),
        ("krm.cluster.backoff", "CAP", 0.8),
        ("krm.verifier.loop", "SERVE_AGAIN", 4.0),
        ("krm.verifier.prober", "REPORT_EVERY", 0.5),
        ("krm.verifier.prober", "PROBE_TIMEOUT", 3.0),
        ("krm.stage.runner", "RESTART_MOST", 1.0),
    ),
}


def main() -> None:
    faulthandler.register(signal.SIGUSR1)  # every thread's stack into the log: what a stage waits for
    stage, bug = sys.argv[1:3]
    for module, constant, value in _PATIENCE[stage]:
        owner = importlib.import_module(module)
        assert hasattr(owner, constant), f"{module}.{constant} is gone: this harness must follow"
        setattr(owner, constant, value)
    if bug.startswith("die "):
        importlib.import_module("faults.deaths").Death.parse(bug).plant()
    elif bug:
        importlib.import_module("faults.seeded").STAGE_BUGS[bug].plant()
    sys.argv = [f"krm {stage}", *sys.argv[3:]]
    runpy.run_module(f"krm.{stage}", run_name="__main__")


if __name__ == "__main__":
    main()
