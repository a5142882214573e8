"""One turn of the exporter: objects, what the copies are worth, findings; as families. The clock is Redis'."""

from __future__ import annotations

import time
from collections import Counter
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.alerting import Told
from krm.client.client import Client
from krm.client.errors import BadObject, KrmError
from krm.client.snapshot import Snapshot
from krm.client.source import KindStatus
from krm.model.trust import ABSENT, FORBIDDEN, RESET, STATES, TRUNCATED
from krm.monitor.exporter import objects
from krm.monitor.exporter.families import GAUGE, MOST, Family, Row, Samples
from krm.monitor.monitor import K8sResourceMonitor
from krm.monitor.questions import ask_all

# Such a copy says nothing of the cluster: its objects are not told.
_LOST = frozenset((ABSENT, FORBIDDEN, TRUNCATED))
_OURS = ("cluster", "kind", "namespace")
_FINDINGS = "rules x 3 severities x namespaces"
_ONE, _A_COPY, _A_QUESTION = "one", "one a copy", "one a question"
KRM: Tuple[Row, ...] = (
    Row("krm_findings", GAUGE, "Findings that a person should know, as krm's questions tell them now.",
        ("rule", "severity", "namespace"), _FINDINGS),
    Row("krm_question_live", GAUGE, "1 where a question has a live answer; 0 where it is not live, or has none.",
        ("question",), _A_QUESTION),
    Row("krm_snapshot_age_seconds", GAUGE, "Since it was proven current.", _OURS, _A_COPY),
    Row("krm_snapshot_verified_age_seconds", GAUGE, "Since a list confirmed it.", _OURS, _A_COPY),
    Row("krm_snapshot_objects", GAUGE, "Objects held.", _OURS, _A_COPY),
    Row("krm_snapshot_state", GAUGE, "1 for the state that it is in.", (*_OURS, "state"), "six a copy"),
)  # fmt: skip
OWN: Tuple[Row, ...] = (
    Row("krm_exporter_up", GAUGE, "1 where krm could be asked in the last turn.", (), _ONE),
    Row("krm_exporter_turn_timestamp_seconds", GAUGE, "When the last turn that told something began.", (), _ONE),
    Row("krm_exporter_turn_seconds", GAUGE, "How long it took.", (), _ONE),
    Row("krm_exporter_series", GAUGE, "Samples that are told.", (), _ONE),
    Row("krm_exporter_dropped_series", GAUGE, "Samples above the bound of their family, which are not told.",
        ("family",), "one a family"),
)  # fmt: skip
ROWS: Tuple[Row, ...] = (*objects.ROWS, *KRM, *OWN)


class Page(NamedTuple):
    """What one turn told."""

    families: Tuple[Family, ...]
    why: str  # a sentence where krm could not be asked


def turn(client: Client, most: int = MOST, thresholds: Sequence[float] = (80, 95)) -> Page:
    """Everything anew. Where krm cannot be asked there is nothing but that: no old sample stands for a new one."""
    began, clock = time.time(), time.monotonic()
    samples, why = Samples((*objects.ROWS, *KRM), most), ""
    try:
        statuses = client.status()
        _copies(client.cluster, statuses, samples)
        _objects(client, statuses, samples)
        _findings(ask_all(K8sResourceMonitor(client), None, thresholds), samples)
    except KrmError as error:
        why, samples = str(error), Samples(())
    found = samples.families()
    own = Samples(OWN)
    own.add("krm_exporter_up", not why)
    if not why:
        own.add("krm_exporter_turn_timestamp_seconds", began)
        own.add("krm_exporter_turn_seconds", time.monotonic() - clock)
    own.add("krm_exporter_series", sum(len(one.samples) for one in found))
    for one in found:
        own.add("krm_exporter_dropped_series", one.dropped, one.row.name)
    return Page((*found, *own.families()), why)


def _copies(cluster: str, statuses: Sequence[KindStatus], samples: Samples) -> None:
    for one in statuses:
        place, trust = (one.cluster or cluster, one.kind, one.namespace), one.trust
        samples.add("krm_snapshot_age_seconds", trust.age, *place)
        since = None if trust.verified_at is None else one.now - trust.verified_at
        samples.add("krm_snapshot_verified_age_seconds", since, *place)
        samples.add("krm_snapshot_objects", one.objects, *place)
        for state in STATES:
            if state != RESET:  # a reader's own
                samples.add("krm_snapshot_state", trust.state == state, *place, state)


def _objects(client: Client, statuses: Sequence[KindStatus], samples: Samples) -> None:
    """Of kinds that are kept of the whole cluster, or of namespaces: whatever is held, unless it says nothing."""
    held = [one for one in statuses if one.kind in objects.KINDS and one.trust.state not in _LOST]
    for one in held:
        try:
            snapshot = client.snapshot(one.kind, one.namespace or None, stale_ok=True)
        except KrmError:
            continue  # its state says so
        objects.tell(one.kind, _bodies(snapshot), samples)


def _bodies(snapshot: Snapshot) -> List[Dict[str, object]]:
    bodies: List[Dict[str, object]] = []
    for one in snapshot.items():
        try:
            bodies.append(one.body())
        except BadObject:  # damaged: it is left out, and krm explain-trust says so
            continue
    return bodies


def _findings(told: Sequence[Told], samples: Samples) -> None:
    """Of live answers alone: who alerts on a finding must not be told that it is over where nobody knows."""
    counted: Counter[Tuple[str, str, str]] = Counter()
    for one in told:
        samples.add("krm_question_live", one.live, one.question)
        for finding in one.answer.findings if one.answer is not None and one.live else ():
            counted[finding.rule, finding.severity, finding.about.namespace] += 1
    for labels, count in counted.items():
        samples.add("krm_findings", count, *labels)


def found(page: Page, name: str) -> Optional[Family]:
    """A family by its name."""
    return next((one for one in page.families if one.row.name == name), None)
