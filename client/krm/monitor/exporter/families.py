"""Families of samples, with a bound on how many there are of each. Pure values; what writes them is serving.py."""

from __future__ import annotations

from typing import Dict, Iterable, List, NamedTuple, Optional, Tuple

from krm.model.safetext import safe

GAUGE, COUNTER = "gauge", "counter"
# Samples of one family: 5,000 pods have 25,000 of kube_pod_status_phase.
MOST = 50_000
_LONGEST = 256  # characters of a label's value: what Kubernetes names has at most 253
Labels = Tuple[str, ...]


class Row(NamedTuple):
    """One family, as docs/exporter.md has it."""

    name: str
    kind: str
    about: str
    labels: Labels
    bound: str  # how many samples there are at most, in words


class Family(NamedTuple):
    """Samples of one row, in order of their labels."""

    row: Row
    samples: Dict[Labels, float]
    dropped: int  # samples that were above the bound


class Samples:
    """Gathers families. What is not known is not added; a second sample of the same labels is none."""

    def __init__(self, rows: Iterable[Row], most: int = MOST) -> None:
        self._rows = {row.name: row for row in rows}
        self._found: Dict[str, Dict[Labels, float]] = {name: {} for name in self._rows}
        self._most = most

    def add(self, name: str, value: Optional[float], *labels: str) -> None:
        """value: None = not known."""
        if len(labels) != len(self._rows[name].labels):
            raise ValueError(f"{name} has other labels")
        if value is not None:
            self._found[name].setdefault(tuple(map(_shown, labels)), float(value))

    def families(self) -> List[Family]:
        """Those that have a sample. Which ones stay within the bound depends on their labels alone."""
        found = []
        for name, row in self._rows.items():
            samples = self._found[name]
            if samples:
                kept = sorted(samples.items())[: self._most]
                found.append(Family(row, dict(kept), len(samples) - len(kept)))
        return found


def _shown(value: str) -> str:
    """Without what a terminal or a page would take for a command."""
    return safe(value)[:_LONGEST]
