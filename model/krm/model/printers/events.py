"""The columns of events, which two groups serve."""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

from krm.model import times
from krm.model.cells import Cell, Object, Printer, layout, name_of, since
from krm.model.reading import integer, mapping, text


def _event(obj: Object, now: float) -> List[Cell]:
    first, last, count = _seen(obj)
    about = mapping(obj.get("involvedObject"))
    target = text(about.get("kind")).lower()
    if text(about.get("name")):
        target += "/" + text(about.get("name"))
    return [
        since(last, now),
        text(obj.get("type")),
        text(obj.get("reason")),
        target,
        text(about.get("fieldPath")),
        _source(obj),
        text(obj.get("message")).strip(),
        since(first, now),
        count,
        name_of(obj),
    ]


def _seen(obj: Object) -> Tuple[Optional[float], Optional[float], int]:
    """First and last, and how often; of events in both of Kubernetes' forms."""
    first, last = times.known(obj.get("firstTimestamp")), times.known(obj.get("lastTimestamp"))
    first = times.known(obj.get("eventTime")) if first is None else first
    series = mapping(obj.get("series"))
    if series:
        return first, times.known(series.get("lastObservedTime")), integer(series.get("count"))
    return first, first if last is None else last, integer(obj.get("count")) or 1


def _source(obj: Object) -> str:
    source = mapping(obj.get("source"))
    component = text(source.get("component")) or text(obj.get("reportingComponent"))
    instance = text(source.get("host")) or text(obj.get("reportingInstance"))
    return "%s, %s" % (component, instance) if instance else component


# What events.k8s.io calls otherwise than the core group.
_NEW_NAMES = {
    "involvedObject": "regarding", "message": "note", "reportingComponent": "reportingController",
    "source": "deprecatedSource", "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp", "count": "deprecatedCount",
}  # fmt: skip


def _new_event(obj: Object, now: float) -> List[Cell]:
    return _event({**obj, **{old: obj.get(new) for old, new in _NEW_NAMES.items()}}, now)


_COLUMNS = layout("Last Seen|Type|Reason|Object|*Subobject|*Source|Message|*First Seen|*Count|*Name")
PRINTERS: Dict[str, Printer] = {
    "events": Printer(_COLUMNS, _event),
    "events.events.k8s.io": Printer(_COLUMNS, _new_event),
}
