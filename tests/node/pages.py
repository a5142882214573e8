"""Reading pages of a kubelet and answers of metrics.k8s.io without krm's collector, which is what is tested."""

from typing import Dict, List, NamedTuple, Optional, Tuple

from controlplane.kubeapi import Json
from krm.model.durations import parse_duration
from krm.model.times import parse
from prometheus_client.parser import text_string_to_metric_families


class Value(NamedTuple):
    """A series' value; time: seconds since the epoch by the page, None where the page has none."""

    labels: Dict[str, str]
    value: float
    time: Optional[float]


def values(page: bytes, series: str, **labels: str) -> List[Value]:
    """Those of the series with at least these labels."""
    found: List[Value] = []
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            if sample.name == series and labels.items() <= sample.labels.items():
                # The parser has taken milliseconds to seconds.
                moment = None if sample.timestamp is None else float(sample.timestamp)
                found.append(Value(sample.labels, sample.value, moment))
    return found


def value(page: bytes, series: str, **labels: str) -> Value:
    """The one value with these labels; a test fails where there are none or two."""
    found = values(page, series, **labels)
    assert len(found) == 1, f"{series} {labels}: {found}"
    return found[0]


def window(metrics: Json) -> Tuple[float, float]:
    """Begin and end of a NodeMetrics or PodMetrics, in seconds since the epoch."""
    end = parse(metrics["timestamp"])
    return end - parse_duration(metrics["window"]), end
