"""What `kubectl get pods` says of a pod: ready, status, restarts. The rules are kubectl's, quirks included.

Statuses are walked as the API server's printer does: init containers first to last up to the first that is
unfinished, then containers last to first, where the last one that is not running names the pod's status.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional

from krm.model import times
from krm.model.reading import integer, mapping, rows, text

_TERMINAL = ("Failed", "Succeeded")


class PodStatus(NamedTuple):
    """One pod, as kubectl counts it."""

    ready: int  # containers, restartable init containers included
    containers: int
    status: str  # Running, CrashLoopBackOff, Init:1/3, Terminating, ...
    restarts: int
    restarted_at: Optional[float]  # end of the newest finished run, epoch seconds


class _Tally:
    """Restarts of a group of containers, and when the newest of them ended."""

    def __init__(self) -> None:
        self.restarts = 0
        self.at: Optional[float] = None

    def add(self, status: Dict[str, Any]) -> None:
        self.restarts += integer(status.get("restartCount"))
        ended = times.known(mapping(mapping(status.get("lastState")).get("terminated")).get("finishedAt"))
        if ended is not None and (self.at is None or self.at < ended):
            self.at = ended


def pod_status(pod: Dict[str, Any]) -> PodStatus:
    """`pod`: the decoded object."""
    metadata, spec, status = (mapping(pod.get(part)) for part in ("metadata", "spec", "status"))
    conditions = rows(status.get("conditions"))
    init_specs = rows(spec.get("initContainers"))
    sidecars = {text(one.get("name")) for one in init_specs if one.get("restartPolicy") == "Always"}
    reason = text(status.get("reason")) or text(status.get("phase"))
    if any(one.get("type") == "PodScheduled" and one.get("reason") == "SchedulingGated" for one in conditions):
        reason = "SchedulingGated"

    everything, restartable = _Tally(), _Tally()
    ready, unfinished = 0, ""
    for position, one in enumerate(rows(status.get("initContainerStatuses"))):
        sidecar = text(one.get("name")) in sidecars
        everything.add(one)
        if sidecar:
            restartable.add(one)
        if sidecar and one.get("started") is True and not _succeeded(one):
            ready += one.get("ready") is True
            continue
        unfinished = _init_reason(one, position, len(init_specs))
        if unfinished:
            break
    reason = unfinished or reason
    counted = everything
    if not unfinished or _first_is_true(conditions, "Initialized"):
        counted = restartable
        statuses = rows(status.get("containerStatuses"))
        for one in statuses:
            counted.add(one)
        ready += sum(map(_runs_ready, statuses))
        reason = _containers_reason(statuses, reason, conditions)
    if metadata.get("deletionTimestamp") is not None:
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif status.get("phase") not in _TERMINAL:
            reason = "Terminating"
    containers = len(rows(spec.get("containers"))) + sum(
        [one.get("restartPolicy") == "Always" for one in init_specs]
    )
    return PodStatus(ready, containers, reason, counted.restarts, counted.at)


def _state(status: Dict[str, Any], name: str) -> Optional[Dict[str, Any]]:
    state = mapping(status.get("state")).get(name)
    return state if isinstance(state, dict) else None


def _succeeded(status: Dict[str, Any]) -> bool:
    terminated = _state(status, "terminated")
    return terminated is not None and integer(terminated.get("exitCode")) == 0


def _init_reason(status: Dict[str, Any], position: int, total: int) -> str:
    """'' where this init container is done."""
    terminated, waiting = _state(status, "terminated"), _state(status, "waiting")
    if terminated is not None:
        return "" if _succeeded(status) else "Init:" + _ended(terminated)
    why = text((waiting or {}).get("reason"))
    if why and why != "PodInitializing":
        return "Init:" + why
    return "Init:%d/%d" % (position, total)


def _ended(terminated: Dict[str, Any]) -> str:
    signal = integer(terminated.get("signal"))
    code = "Signal:%d" % signal if signal else "ExitCode:%d" % integer(terminated.get("exitCode"))
    return text(terminated.get("reason")) or code


def _runs_ready(status: Dict[str, Any]) -> bool:
    waits = text((_state(status, "waiting") or {}).get("reason"))
    ended = _state(status, "terminated") is not None
    return not waits and not ended and status.get("ready") is True and _state(status, "running") is not None


def _containers_reason(statuses: List[Dict[str, Any]], reason: str, conditions: List[Dict[str, Any]]) -> str:
    failed = ""
    for one in reversed(statuses):
        waits = text((_state(one, "waiting") or {}).get("reason"))
        terminated = _state(one, "terminated")
        if waits:
            reason = waits
        elif terminated is not None:
            reason = _ended(terminated)
            failed = reason if integer(terminated.get("exitCode")) else failed
    if reason != "Completed":
        return reason
    running = any(map(_runs_ready, statuses))
    if running and any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions):
        return "Running"
    return failed or ("NotReady" if running else reason)


def _first_is_true(conditions: List[Dict[str, Any]], type_: str) -> bool:
    for one in conditions:
        if one.get("type") == type_:
            return one.get("status") == "True"
    return False
