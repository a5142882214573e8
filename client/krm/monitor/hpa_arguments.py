"""Arguments of the questions about HPAs: what is wrong names what is allowed."""

from __future__ import annotations

from typing import Optional, Tuple

from krm.client.client import Client
from krm.client.errors import BadObject, BadRequest


def name(text: str, what: str) -> str:
    """Raises BadRequest."""
    if not isinstance(text, str) or not text:
        raise BadRequest(f"{what}={text!r}: a name is meant")
    return text


def metric_type(text: str) -> str:
    """Raises BadRequest."""
    from krm.analysis.hpa.figures import allowed, series_of

    if not isinstance(text, str) or series_of(text) is None:
        raise BadRequest(f"metric_type={text!r}: one of {allowed()} is meant")
    return text


def aggregation(text: str, metric: str) -> str:
    """Raises BadRequest."""
    from krm.analysis.hpa.figures import AGGREGATIONS, SUM, series_of
    from krm.monitor.arguments import one_of

    found, named = one_of(text, AGGREGATIONS, "aggregation"), series_of(metric)
    if found == SUM and named is not None and not named.metric.adds_up:
        allowed = ", ".join(one for one in AGGREGATIONS if one != SUM)
        raise BadRequest(f"aggregation={found!r}: a sum of {metric} says nothing: one of {allowed} is meant")
    return found


def points_of(client: Client, namespace: Optional[str], hpa: str) -> Tuple[Tuple[str, str], ...]:
    """Series and level of the metrics that these HPAs scale on. Raises KrmError."""
    from krm.analysis.hpa.load import needed
    from krm.analysis.hpa.spec import read_spec

    found = set()
    for one in client.snapshot("horizontalpodautoscalers.autoscaling", namespace, stale_ok=True).items():
        try:
            spec = read_spec(one.body())
        except BadObject:
            continue  # gather tells of it
        if hpa in ("", spec.name):
            found |= set(needed(spec.metrics))
    return tuple(sorted(found))
