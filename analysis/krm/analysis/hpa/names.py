"""What an HPA's metrics are called, and which of krm's series they are. Pure.

`requests_per_second`, `response_time`, `response_time_p50` (`_p90`, `_p95`, `_p99`), `queue_depth`, `cpu`, `memory`
are names of their own; any other series that pods have is called by its name in krm.model.metrics, `/` written as
`_` (a metric's name is one segment of a URL): memory/rss is `memory_rss`. Values are in the series' unit, `cpu` in
cores, as Kubernetes has it.
"""

from __future__ import annotations

from typing import Dict, Mapping, NamedTuple, Optional, Tuple

from krm.model.measures import POD
from krm.model.metrics import TABLE, Metric


class Named(NamedTuple):
    """One name."""

    name: str
    metric: Metric
    scale: float = 1.0  # what a value in the metric's unit is multiplied with
    unit: str = ""  # of what comes out

    @property
    def source(self) -> str:
        """The series' name in krm.model.metrics."""
        return self.metric.name


# name -> series, scale, unit
_OWN: Mapping[str, Tuple[str, float, str]] = {
    "requests_per_second": ("app/request_rate", 1.0, ""),
    "response_time": ("app/response_time", 1.0, ""),
    **{f"response_time_{share}": (f"app/response_time_{share}", 1.0, "") for share in ("p50", "p90", "p95", "p99")},
    "queue_depth": ("app/queue_depth", 1.0, ""),
    "cpu": ("cpu/usage_rate", 0.001, "cores"),
    "memory": ("memory/working_set", 1.0, ""),
}
OWN: Tuple[str, ...] = tuple(_OWN)


def _all() -> Dict[str, Named]:
    found = {
        name: Named(name, TABLE[series], scale, unit or TABLE[series].unit)
        for name, (series, scale, unit) in _OWN.items()
    }
    for metric in TABLE.values():
        name = metric.name.replace("/", "_")
        if POD in metric.levels and name not in found:
            found[name] = Named(name, metric, 1.0, metric.unit)
    return found


NAMES: Mapping[str, Named] = _all()


def named(text: str) -> Optional[Named]:
    """By a name of this module, or the series' own (app/queue_depth). None = no series of pods."""
    return NAMES.get(text) or NAMES.get(text.replace("/", "_"))
