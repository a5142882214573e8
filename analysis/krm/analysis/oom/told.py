"""OOM kills as findings: one a container that was killed, one a node that ran out of memory. Pure."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple

from krm.analysis.finding import (
    CRITICAL,
    MEDIUM,
    SEVERITIES,
    SURENESS,
    WARNING,
    About,
    Evidence,
    Finding,
)
from krm.analysis.limits import words
from krm.analysis.oom.case import Case
from krm.analysis.oom.cause import NODE, OTHER, OWN, POD
from krm.analysis.oom.growth import LEAK, MINUTE, Neighbour
from krm.model.amounts import MEMORY
from krm.model.trust import LIVE

KILL, NODE_OUT = "oom-kill", "node-out-of-memory"
_NAMED = 3  # neighbours in a sentence


def beside(neighbours: Sequence[Neighbour]) -> str:
    """`shop/db app +120Mi, ...`."""
    return ", ".join(
        f"{one.namespace}/{one.pod} {one.container} +{words.amount(MEMORY, one.grew)}"
        for one in neighbours[:_NAMED]
    )


def findings(cases: Sequence[Case], now: float, state: str) -> Tuple[Finding, ...]:
    """state: of what is known of kills, of krm.model.trust."""
    groups: Dict[About, List[Case]] = {}
    nodes: Dict[str, List[Case]] = {}
    for one in sorted(cases, key=lambda case: (case.at, case.id)):
        groups.setdefault(_about(one), []).append(one)
        if one.cause == NODE:
            nodes.setdefault(one.node, []).append(one)
    found = [_of_series(about, group, now, state) for about, group in groups.items()]
    found += [_of_node(node, group, now, state) for node, group in nodes.items()]
    return tuple(sorted(found, key=lambda one: (-SEVERITIES.index(one.severity), one.id, one.sentence)))


def _of_series(about: About, group: Sequence[Case], now: float, state: str) -> Finding:
    last = group[-1]
    repeated = sum(one.cause in (OWN, POD) for one in group) > 1
    gone = last.there is False
    sureness, doubts = _sure(group, state)
    return Finding(
        rule=KILL,
        severity=CRITICAL if (repeated or last.cause == NODE) and not gone else WARNING,
        about=about,
        sentence=_sentence(group, now),
        evidence=_evidence(group),
        sureness=sureness,
        doubts=doubts,
        would_change=last.would_change,
    )


def _about(case: Case) -> About:
    """A pod that came again under its name is the same."""
    if case.pod:
        return About("pod", case.namespace, case.pod, case.container, MEMORY)
    return About("node", "", case.node, case.container_id[:12], case.process or "a process")


def _sentence(group: Sequence[Case], now: float) -> str:
    last, first = group[-1], group[0]
    who = f"{last.namespace}/{last.pod}" if last.pod else f"node {last.node}: {last.process or 'a process'}"
    who += f" container {last.container}" if last.container else ""
    ago = words.span(max(0.0, now - last.at))
    times = f"killed {ago} ago" if len(group) == 1 else f"killed {len(group)} times, the last {ago} ago"
    if len(group) > 1:
        times += f", one each {words.span((last.at - first.at) / (len(group) - 1))}"
    said = [f"{who} was {times}", _cause(last)]
    if last.child:
        said.append(f"{last.process or 'a process'} of it was killed and the container goes on")
    if last.pattern == LEAK and last.leak is not None:
        rates = (
            words.amount(MEMORY, rate * 3600) for rate in (last.leak.per_second, last.leak.low, last.leak.high)
        )
        said.append("it leaks {} an hour ({} to {}), watched for {}".format(*rates, words.span(last.leak.span)))
    elif last.pattern and last.rose is not None:
        said.append(f"it rose by {words.amount(MEMORY, last.rose)} in the last minute")
    if last.cause == NODE and last.neighbours:
        said.append(f"beside it grew {beside(last.neighbours)}")
    if last.there is False:
        said.append("the pod is gone")
    return ", ".join(said)


def _cause(case: Case) -> str:
    limit = "" if case.limit is None else f" of {words.amount(MEMORY, case.limit)}"
    if case.cause == OWN:
        return f"at its own limit{limit}"
    if case.cause == POD:
        return f"at the limit of its pod{limit}"
    if case.cause == NODE:
        what = "what the node may give to pods was used up" if case.limited else "the node had no memory left"
        return f"node pressure: {what}{limit if case.limited else ''}"
    if case.cause == OTHER:
        return f"at the limit{limit} of {case.limited or 'another cgroup'}"
    return "whose limit was hit is not known"


def _evidence(group: Sequence[Case]) -> Tuple[Evidence, ...]:
    last = group[-1]
    source = _source(last)
    found = [
        Evidence("kills", float(len(group)), "count", source, last.at, last.at - group[0].at),
        Evidence("limit that was hit", last.limit, "bytes", source, last.at),
        Evidence("peak working set before", last.peak, "bytes", "agent, history", last.at, MINUTE),
        Evidence("rise of the working set", last.rose, "bytes", "agent, history", last.at, MINUTE),
        Evidence("waiting for memory", last.waiting, "share", "agent", last.at, MINUTE),
        Evidence("available on the node", _number(last.node_available), "bytes", "agent", last.at, MINUTE),
    ]
    if last.leak is not None:
        for what, rate in (("slope", last.leak.per_second), ("lowest", last.leak.low), ("highest", last.leak.high)):
            found.append(
                Evidence(f"leak, {what}", rate, "bytes/s", "history", last.at, last.leak.span, last.leak.points)
            )
    for one in last.neighbours[:_NAMED]:
        what = f"growth of {one.namespace}/{one.pod} {one.container}"
        found.append(Evidence(what, one.grew, "bytes", "history", last.at, MINUTE, last.neighbours_covered))
    return tuple(found)


def _of_node(node: str, group: Sequence[Case], now: float, state: str) -> Finding:
    last = group[-1]
    sureness, doubts = _sure(group, state)
    many = f"{len(group)} processes were" if len(group) > 1 else "a process was"
    said = (
        f"node {node} ran out of memory: {many} killed for it, the last {words.span(max(0.0, now - last.at))} ago"
    )
    grew = beside(last.neighbours)
    return Finding(
        rule=NODE_OUT,
        severity=CRITICAL,
        about=About("node", "", node, "", MEMORY),
        sentence=said + (f", while {grew}" if grew else ""),
        evidence=(
            Evidence("kills", float(len(group)), "count", _source(last), last.at, last.at - group[0].at),
            Evidence("available on the node", _number(last.node_available), "bytes", "agent", last.at, MINUTE),
            Evidence("waiting for memory on the node", last.node_waiting, "share", "agent", last.at, MINUTE),
        ),
        sureness=sureness,
        doubts=doubts,
        would_change="requests of what pods use, or fewer of them here: `krm nodes evictions` says who goes next",
    )


def _source(case: Case) -> str:
    return case.witnesses[0] if case.witnesses else "nobody"


def _sure(group: Sequence[Case], state: str) -> Tuple[str, Tuple[str, ...]]:
    last = group[-1]
    doubts = list(last.doubts)
    sureness = last.sureness
    if state != LIVE:
        doubts.append(f"kills are {state}: there may be newer ones")
        sureness = min(sureness, MEDIUM, key=SURENESS.index)
    if {one.cause for one in group} != {last.cause}:
        doubts.append("not all of its kills have this cause")
    return sureness, tuple(doubts)


def _number(value: Optional[int]) -> Optional[float]:
    return None if value is None else float(value)
