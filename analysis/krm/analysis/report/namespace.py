"""A namespace on one page: what runs, what it uses of what it asked for, what is the matter, what is not known.

Of the past it takes points of the namespace as a whole and one sum a container, so that a day of 250 pods is read
in little time. Breaches are judged by what is used now; `krm breaches --window` looks back.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.inputs import Body, History, Inputs, Needs, of_namespace
from krm.analysis.limits import breaches
from krm.analysis.limits.efficiency import METRICS
from krm.analysis.limits.pods import Holder, holders
from krm.analysis.oom import cases
from krm.analysis.oom.cases import OomEvents
from krm.analysis.quota import usage
from krm.analysis.quota.rows import Quotas
from krm.analysis.report.charts import charts, points_of
from krm.analysis.report.figures import Measured, measured_of, together
from krm.analysis.report.rows import NamespaceReport, Together, Waiting, Workload
from krm.analysis.worth import Worth, worth_of
from krm.model import times
from krm.model.amounts import CPU, MEMORY
from krm.model.measures import CONTAINER, NAMESPACE, POD
from krm.model.podstatus import pod_status
from krm.model.reading import mapping, rows, text

# Seconds. Longer than a day there are no points, and nothing of pods that have gone.
LONGEST = 86400.0
THRESHOLD = 0.9  # share of a limit
THRESHOLDS = (0.80, 0.95)  # of quotas
_NOW = 300.0  # seconds that breaches are told of where there is no past
COSTS = "what it costs: prices are not in the cluster; `krm bill --prices FILE` derives it"


class Asked(NamedTuple):
    """Which namespace."""

    namespace: str
    window: float = LONGEST  # seconds, at most LONGEST


def needs(asked: Asked) -> Needs:
    """What it is made of."""
    of_breaches = breaches.needs(_breaches(asked))
    of_quotas = usage.needs(_quotas(asked))
    lines = [(metric, NAMESPACE) for metric in (*METRICS.values(), "pods/count")]
    lines += [(f"{resource}/{field}", NAMESPACE) for resource in (CPU, MEMORY) for field in ("request", "limit")]
    kinds = (*of_breaches.more_kinds, *of_quotas.kinds, *of_quotas.more_kinds)
    return Needs(
        ("pods",),
        tuple(kind for place, kind in enumerate(kinds) if kind not in ("pods", *kinds[:place])),
        points=(*lines, *of_quotas.points),
        window=asked.window,
        newest=(CONTAINER, POD, NAMESPACE),
        kills=True,
        namespace=asked.namespace,
        sums=tuple((metric, CONTAINER) for metric in METRICS.values()),
    )


def _breaches(asked: Asked) -> breaches.Asked:
    return breaches.Asked(asked.namespace, THRESHOLD, _NOW)


def _quotas(asked: Asked) -> usage.Asked:
    return usage.Asked(asked.namespace, asked.window, THRESHOLDS)


def answer(inputs: Inputs, asked: Asked) -> NamespaceReport:
    """Pure. Raises NotKnown without pods."""
    pods = of_namespace(inputs.state.objects("pods"), asked.namespace)
    held = holders(inputs.state, asked.namespace)
    measured = measured_of(inputs, held)
    kills = _kills(inputs, asked)
    near = breaches.answer(inputs._replace(history=History(inputs.now - _NOW, inputs.now, {})), _breaches(asked))
    quotas = _of_quotas(inputs, asked)
    worth = worth_of(inputs, needs(asked))
    own = tuple(reason for reason in near.worth.reasons if reason not in worth.reasons)
    found = (*near.findings, *(kills.findings if kills else ()), *(quotas.findings if quotas else ()))
    return NamespaceReport(
        worth,
        found,
        asked.namespace,
        asked.window,
        rows=_workloads(held, measured, kills),
        totals=tuple(_total(inputs, asked, together(held, "", resource, measured)) for resource in (CPU, MEMORY)),
        statuses=_statuses(pods),
        breaches=near.rows,
        quotas=None if quotas is None else quotas.rows,
        kills=None if kills is None else kills.rows,
        waiting=_waiting(pods, inputs.now),
        charts=charts(inputs.history, asked.namespace, inputs.now, asked.window),
        cost=None,
        lacks=_lacks(worth, own, inputs, asked),
    )


def _total(inputs: Inputs, asked: Asked, of: Together) -> Together:
    """With mean and peak of the namespace as a whole: its containers' peaks are of different moments, their means
    leave out who has gone."""
    points = points_of(inputs.history, METRICS[of.resource], asked.namespace, inputs.now, asked.window)
    values = [value for _, value in points]
    if not values:
        return replace(of, peak=None)
    return replace(of, mean=math.fsum(values) / len(values), peak=max(values))


def _workloads(held: Sequence[Holder], measured: Measured, kills: Optional[OomEvents]) -> Tuple[Workload, ...]:
    groups: Dict[str, List[Holder]] = {}
    for one in held:
        groups.setdefault(str(one.owner), []).append(one)
    found = []
    for name, members in sorted(groups.items()):
        states = [pod_status(dict(one.body)) for one in members]
        names = {one.name for one in members}
        found.append(
            Workload(
                name,
                len(members),
                sum(_is_ready(one.body) for one in members),
                sum(one.restarts for one in states),
                None if kills is None else sum(one.pod in names for one in kills.rows),
                *(together(members, name, resource, measured) for resource in (CPU, MEMORY)),
            )
        )
    return tuple(found)


def _is_ready(pod: Body) -> bool:
    conditions = rows(mapping(pod.get("status")).get("conditions"))
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def _statuses(pods: Sequence[Body]) -> Tuple[Tuple[str, int], ...]:
    counts: Dict[str, int] = {}
    for pod in pods:
        status = pod_status(dict(pod)).status or "Unknown"
        counts[status] = counts.get(status, 0) + 1
    return tuple(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _waiting(pods: Sequence[Body], now: float) -> Tuple[Waiting, ...]:
    found = []
    for pod in pods:
        metadata, spec, status = (mapping(pod.get(part)) for part in ("metadata", "spec", "status"))
        if text(spec.get("nodeName")) or text(status.get("phase")) not in ("", "Pending"):
            continue
        created = times.known(metadata.get("creationTimestamp"))
        said = next(
            (
                text(one.get("message"))
                for one in rows(status.get("conditions"))
                if one.get("type") == "PodScheduled"
            ),
            "",
        )
        found.append(
            Waiting(text(metadata.get("name")), None if created is None else max(0.0, now - created), said)
        )
    return tuple(sorted(found, key=lambda one: (-(one.waits or 0.0), one.pod)))


def _kills(inputs: Inputs, asked: Asked) -> Optional[OomEvents]:
    """Of the window. None: nobody tells of kills."""
    if inputs.kills.state == "absent":
        return None
    begin = inputs.now - asked.window
    rows = [one for one in inputs.kills.rows if begin < one.at <= inputs.now]
    return cases.answer(inputs._replace(kills=inputs.kills._replace(rows=rows)), cases.Asked(asked.namespace))


def _of_quotas(inputs: Inputs, asked: Asked) -> Optional[Quotas]:
    known = inputs.state.maybe("resourcequotas") is not None
    return usage.answer(inputs, _quotas(asked)) if known else None


def _lacks(worth: Worth, own: Sequence[str], inputs: Inputs, asked: Asked) -> Tuple[str, ...]:
    found = [*worth.reasons, *own]
    since = inputs.history.since
    if since is None:
        found.append("there is no history: means, peaks and charts are not known")
    elif since > inputs.now - asked.window + 60:
        found.append(f"history since {times.write(since // 1)}: the window begins before it")
    if not _exists(inputs, asked):
        found.append(f"namespace {asked.namespace} is not in the cluster, as far as krm keeps namespaces")
    return (*found, COSTS)


def _exists(inputs: Inputs, asked: Asked) -> bool:
    spaces = inputs.state.maybe("namespaces")
    if spaces is None:
        return True
    return any(text(mapping(one.get("metadata")).get("name")) == asked.namespace for one in spaces)
