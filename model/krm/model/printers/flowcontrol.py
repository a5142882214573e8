"""The columns of flowcontrol.apiserver.k8s.io."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

from krm.model.cells import NONE, Cell, Object, Printer, age, layout, name_of, parts
from krm.model.reading import integer, mapping, rows, text


def _schema(obj: Object, now: float) -> List[Cell]:
    spec, status = parts(obj)
    method = spec.get("distinguisherMethod")
    dangling = [text(one.get("status")) for one in rows(status.get("conditions")) if one.get("type") == "Dangling"]
    return [
        name_of(obj),
        text(mapping(spec.get("priorityLevelConfiguration")).get("name")),
        integer(spec.get("matchingPrecedence")),
        text(method.get("type")) if isinstance(method, dict) else NONE,
        age(obj, now),
        (dangling or ["?"])[0],
    ]


def _precedence(obj: Object) -> Tuple[int, str]:
    """Rows stand in the order in which requests are matched."""
    return integer(mapping(obj.get("spec")).get("matchingPrecedence")), name_of(obj)


def _level(obj: Object, now: float) -> List[Cell]:
    spec, _ = parts(obj)
    limited: Any = spec.get("limited")
    queuing = mapping(mapping(limited).get("limitResponse")).get("queuing")
    shares = _numbers(limited, "nominalConcurrencyShares")
    queues = _numbers(queuing, "queues", "handSize", "queueLengthLimit")
    return [name_of(obj), text(spec.get("type")), *shares, *queues, age(obj, now)]


def _numbers(found: Any, *names: str) -> List[Cell]:
    """These fields of an object; of one that is not there none."""
    return [integer(found.get(name)) if isinstance(found, dict) else NONE for name in names]


PRINTERS: Dict[str, Printer] = {
    "flowschemas.flowcontrol.apiserver.k8s.io": Printer(
        layout("Name|PriorityLevel|MatchingPrecedence|DistinguisherMethod|Age|MissingPL"),
        _schema,
        order=_precedence,
    ),
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io": Printer(
        layout("Name|Type|NominalConcurrencyShares|Queues|HandSize|QueueLengthLimit|Age"), _level
    ),
}
