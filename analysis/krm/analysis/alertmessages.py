"""Alerts as others take them: a JSON line, Alertmanager's v2 API, a webhook. Pure."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Optional

from krm.analysis.alerting import RESOLVED, Alert, Change
from krm.analysis.plain import plain
from krm.model import times

_MOST_TEXT = 1000  # characters of a label or an annotation: what an object's text may add to a message


def message(change: Change, cluster: str) -> Dict[str, Any]:
    """A state change: what a JSON line and a webhook's body hold."""
    alert = change.alert
    return {
        "state": change.state,
        "at": times.write(change.at),
        "since": times.write(alert.since),
        "cluster": cluster,
        "question": alert.question,
        "was": change.was or None,  # the severity before, where that is what changed
        "id": alert.finding.id,
        **plain(alert.finding),
    }


def labels(alert: Alert, cluster: str, severity: str = "") -> Dict[str, str]:
    """What Alertmanager knows an alert by: the same for as long as it fires with this severity."""
    finding, about = alert.finding, alert.finding.about
    found = {
        "alertname": finding.rule, "severity": severity or finding.severity, "cluster": cluster,
        "kind": about.kind, "namespace": about.namespace, "name": about.name, "container": about.container,
        "part": about.part,
    }  # fmt: skip
    return {name: value[:_MOST_TEXT] for name, value in found.items() if value}


def posted(changes: Iterable[Change], cluster: str, hold: float) -> List[Dict[str, Any]]:
    """Of state changes, for POST /api/v2/alerts. hold: seconds after which one that is not sent again is over."""
    rows: List[Dict[str, Any]] = []
    for change in changes:
        if change.was:  # with another severity it is another alert there, and the one before is over
            rows.append(_row(change.alert, cluster, change.at, None, change.was))
        over = change.state == RESOLVED
        rows.append(_row(change.alert, cluster, change.at, None if over else hold))
    return rows


def resent(firing: Iterable[Alert], cluster: str, now: float, hold: float) -> List[Dict[str, Any]]:
    """What still fires, so that it does."""
    return [_row(alert, cluster, now, hold) for alert in firing]


def _row(alert: Alert, cluster: str, at: float, hold: Optional[float], severity: str = "") -> Dict[str, Any]:
    """hold None: it is over at `at`."""
    finding = alert.finding
    told = {
        "summary": finding.sentence,
        "sureness": finding.sureness,
        "doubts": "; ".join(finding.doubts),
        "what_to_do": finding.would_change,
    }
    return {
        "labels": labels(alert, cluster, severity),
        "annotations": {name: text[:_MOST_TEXT] for name, text in told.items() if text},
        "startsAt": times.write(alert.since),
        "endsAt": times.write(at if hold is None else at + hold),
    }
