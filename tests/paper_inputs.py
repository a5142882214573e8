"""Inputs of the analysis, written by hand: pods, nodes, tracks of points, newest values. Times are round."""

from __future__ import annotations

import math
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from krm.analysis.inputs import History, Inputs, Kills, Newest, Reading, State, Track, Which
from krm.model import times
from krm.model.kills import Kill
from krm.model.measures import CONTAINER, POD, Subject
from krm.model.trust import LIVE, Trust

NOW = 1_700_000_100.0  # a whole step
STEP = 15.0
MIB = 1024.0 * 1024.0
CPU, MEMORY, THROTTLED = "cpu/usage_rate", "memory/working_set", "cpu/throttled_share"
GAP = math.nan
Amounts = Mapping[str, str]


def container(
    name: str, requests: Optional[Amounts] = None, limits: Optional[Amounts] = None, **more: Any
) -> Dict[str, Any]:
    resources = {field: dict(one) for field, one in (("requests", requests), ("limits", limits)) if one}
    return {"name": name, "resources": resources, **more}


def a_pod(
    name: str,
    *containers: Dict[str, Any],
    namespace: str = "shop",
    node: str = "n1",
    age: float = 3600.0,
    spec: Optional[Dict[str, Any]] = None,
    status: Optional[Dict[str, Any]] = None,
    **metadata: Any,
) -> Dict[str, Any]:
    """Made `age` seconds before NOW, and running since then."""
    made = times.write(NOW - age)
    return {
        "metadata": {
            "namespace": namespace, "name": name, "uid": f"uid-{name}", "creationTimestamp": made, **metadata,
        },
        "spec": {"nodeName": node, "containers": list(containers), **(spec or {})},
        "status": {"phase": "Running", "startTime": made, **(status or {})},
    }  # fmt: skip


def owned(kind: str, name: str, version: str = "apps/v1") -> List[Dict[str, Any]]:
    return [{"kind": kind, "name": name, "apiVersion": version, "controller": True}]


def trust(state: str = LIVE, *reasons: str) -> Trust:
    return Trust(
        state, reasons, 1, "i", "1", NOW, NOW, 0.0, NOW, "1", "etcd", False, 0, None, None, None, None
    )  # fmt: skip


def track(
    values: Sequence[float],
    pod: str = "web-0",
    name: str = "app",
    namespace: str = "shop",
    node: str = "n1",
    uid: Optional[str] = None,
    end: float = NOW,
) -> Track:
    """Points that end at `end`, a step apart."""
    ends = [end - STEP * (len(values) - 1 - place) for place in range(len(values))]
    subject = Subject(namespace, pod, f"uid-{pod}" if uid is None and pod else uid or "", name, node)
    return Track(subject, ends, list(values))


def now_of(
    pod: str, name: str, namespace: str = "shop", node: str = "n1", at: float = NOW - 5, **values: float
) -> Reading:
    """cpu, memory, or any metric with __ for its slash."""
    words = {"cpu": CPU, "memory": MEMORY}
    told = {words.get(word, word.replace("__", "/")): value for word, value in values.items()}
    return Reading(Subject(namespace, pod, "", name, node), told, at, 15.0, "kubelet/resource", "")


def inputs(
    pods: Iterable[Dict[str, Any]],
    tracks: Optional[Mapping[Which, Sequence[Track]]] = None,
    newest: Sequence[Reading] = (),
    window: float = 300.0,
    since: Optional[float] = NOW - 86400,
    kills: Sequence[Kill] = (),
    **kinds: Sequence[Dict[str, Any]],
) -> Inputs:
    """kinds: with __ for each dot."""
    all_kinds = {"pods": list(pods), **{kind.replace("__", "."): rows for kind, rows in kinds.items()}}
    levels: Dict[str, Tuple[Reading, ...]] = {CONTAINER: (), POD: ()}
    for reading in newest:
        levels[reading.subject.level] = (*levels.get(reading.subject.level, ()), reading)
    return Inputs(
        NOW,
        "paper",
        State(all_kinds, {kind: trust() for kind in all_kinds}, {}),
        History(NOW - window, NOW, tracks or {}, since=since),
        Newest(levels) if newest else Newest({}, LIVE),
        Kills(tuple(kills)),
    )
