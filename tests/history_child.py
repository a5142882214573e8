"""A writer of a history that somebody kills: `python history_child.py FILE BEGIN END`.

It records a load that anybody can compute, as fast as it can, with a clock of its own, and prints the
time of each flush that was done.
"""

from __future__ import annotations

import sys
from typing import List

from krm.model.measures import Sample, Subject
from krm.store.history.local import LocalHistory

EVERY = 10.0  # seconds between two turns
PODS = [Subject(f"team-{number % 3}", f"web-{number}", f"u{number}", "", "n1") for number in range(12)]
RATE, GAUGE, COUNTER = "cpu/usage_rate", "memory/working_set", "cpu/usage"


def rate(number: int, at: float) -> float:
    """Millicores of a pod in the ten seconds before `at`; whole tenths."""
    return float((at // EVERY * 7 + number * 131) % 400)


def turn(at: float) -> List[Sample]:
    """What all pods say at `at`."""
    return [
        Sample(
            pod,
            at,
            {RATE: rate(number, at), GAUGE: 4096.0 * (number + 1), COUNTER: at * 1e5 * (number + 1)},
            "kubelet/resource",
            EVERY,
        )
        for number, pod in enumerate(PODS)
    ]


def main() -> None:
    """Until END, or its end."""
    path, at, end = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
    history = LocalHistory(path)
    flush = history.flush

    def told() -> bool:
        done = flush()
        print(history._live.now, flush=True)
        return done

    history.flush = told  # type: ignore[method-assign]
    while at < end:
        at += EVERY
        history.record(turn(at), at)
    history.close()


if __name__ == "__main__":
    main()
