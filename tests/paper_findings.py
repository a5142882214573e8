"""Inputs of questions, written by hand: objects of a cluster that is on paper alone, and points of its past."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from krm.analysis.alerting import Told
from krm.analysis.answer import Answer
from krm.analysis.finding import WARNING, About, Finding
from krm.analysis.inputs import History, HourTrack, Inputs, Kills, Newest, State, Track, Which
from krm.analysis.worth import Worth
from krm.model.head import Head
from krm.model.measures import Subject
from krm.model.trust import LIVE, Trust, judge

NOW = 1_800_000_000.0  # a multiple of 15 s
STEP, DAY, GIB = 15.0, 86400.0, 1024**3


def trust(state: str = LIVE, reasons: Tuple[str, ...] = ()) -> Trust:
    """Of a kind."""
    good = Head(
        version=1, incarnation="00", rv="1", beat=NOW, probed_at=NOW, streamer_at=NOW, current_as_of=NOW - 1,
        verified_at=NOW - 9,
    )  # fmt: skip
    found = judge(good, NOW)
    assert found.state == LIVE, found
    return replace(found, state=state, reasons=reasons)


def quota(
    name: str, hard: Any, used: Any = None, namespace: str = "shop", **spec: Any
) -> Dict[str, Any]:  # fmt: skip
    """used None: its controller has not counted it."""
    status = {} if used is None else {"hard": hard, "used": used}
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"hard": hard, **spec}, "status": status}


def pod(
    name: str, namespace: str = "shop", requests: Any = None, limits: Any = None, **spec: Any
) -> Dict[str, Any]:
    """One container."""
    resources = {"requests": requests or {}, "limits": limits or {}}
    return {
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}"},
        "spec": {"containers": [{"name": "app", "resources": resources}], **spec},
        "status": {"phase": "Running"},
    }


def named(name: str, **status: Any) -> Dict[str, Any]:
    """A namespace or a node."""
    return {"metadata": {"name": name}, "status": status}


def series(subject: Subject, values: Sequence[float], end: float = NOW, step: float = STEP) -> Track:
    """Points that end at `end`."""
    return Track(subject, [end - step * back for back in range(len(values) - 1, -1, -1)], list(values))


def of_quota(name: str, resource: str, namespace: str = "shop") -> Subject:
    return Subject(namespace, resource_id=f"{name}/{resource}")


def inputs(
    kinds: Mapping[str, Sequence[Any]],
    tracks: Optional[Mapping[Which, Sequence[Track]]] = None,
    hours: Optional[Mapping[Which, Sequence[HourTrack]]] = None,
    states: Optional[Mapping[str, str]] = None,
    lacks: Optional[Mapping[str, str]] = None,
    newest: Optional[Newest] = None,
    kills: Optional[Kills] = None,
    now: float = NOW,
    since: Optional[float] = NOW - 30 * DAY,
) -> Inputs:
    """states: of kinds that are not live."""
    trusts = {kind: trust((states or {}).get(kind, LIVE)) for kind in kinds}
    past = History(now - DAY, now, tracks or {}, hours, since)
    return Inputs(
        now, "paper", State(kinds, trusts, lacks or {}), past, newest or Newest({}), kills or Kills()
    )  # fmt: skip


def found(answer: Any, rule: str) -> List[Any]:
    """Findings of this rule."""
    return [one for one in answer.findings if one.rule == rule]


def finding(name: str = "web-0", severity: str = WARNING, rule: str = "limit-breach") -> Finding:
    """Of a pod's memory."""
    return Finding(rule, severity, About("pod", "shop", name, "app", "memory"), f"{name} is at 97 %", (), "high")


def told(*findings: Finding, state: str = "live", reasons: Tuple[str, ...] = (), question: str = "all") -> Told:
    """An answer with these."""
    return Told(question, Answer(Worth(state, reasons, 1.0, 1.0, None, None, 2.0), findings))


def kept_quota(pods: str) -> Dict[str, Any]:
    """Of 10 pods, but for its metadata, which its keeper writes."""
    made = quota("q", {"pods": "10"}, {"pods": pods})
    return {"spec": made["spec"], "status": made["status"]}
