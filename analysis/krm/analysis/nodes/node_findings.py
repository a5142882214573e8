"""What is the matter with nodes: away, under pressure, not measured, full, out of balance, about to evict. Pure."""

from __future__ import annotations

from typing import Iterable, Iterator, List, Optional, Sequence, Tuple

from krm.analysis.finding import CRITICAL, HIGH, INFO, LOW, MEDIUM, WARNING, About, Evidence, Finding
from krm.analysis.inputs import Inputs
from krm.analysis.nodes.evictions import findings_of as evicting
from krm.analysis.nodes.hints import Imbalance
from krm.analysis.nodes.predicting import Eviction
from krm.analysis.nodes.standing import PRESSURES, READY, UNKNOWN, Resource, Standing
from krm.analysis.nodes.texts import amount, percent, span
from krm.model.trust import LIVE

FULL = 0.95  # share of an allocatable resource that is requested
APART = 0.4  # share: nodes whose requests are so far apart are out of balance
_SEVERE = {CRITICAL: 0, WARNING: 1, INFO: 2}


def findings_of(
    nodes: Sequence[Standing],
    evictions: Iterable[Sequence[Eviction]],
    imbalance: Optional[Imbalance],
    inputs: Inputs,
) -> Tuple[Finding, ...]:
    """The most severe first."""
    found: List[Finding] = []
    sure = HIGH if all(trust.state == LIVE for trust in inputs.state.trust.values()) else LOW
    for node in nodes:
        found += _conditions(node, sure, inputs.now)
        found += _unmeasured(node, inputs)
        found += [_full(node, one, sure) for one in node.resources if (one.reserved or 0.0) >= FULL]
    found += evicting([one for rows in evictions for one in rows], inputs.now)
    if imbalance is not None and imbalance.spread >= APART:
        found.append(_imbalance(imbalance, sure))
    return tuple(sorted(found, key=lambda one: (_SEVERE[one.severity], one.rule, str(one.about))))


def _conditions(node: Standing, sure: str, now: float) -> Iterator[Finding]:
    for one in node.conditions:
        away = one.type == "Ready" and one.status != "True"
        if not away and not (one.type in PRESSURES and one.status == "True"):
            continue
        long = "" if one.since is None else f" for {span(now - one.since)}"
        told = f"{one.type} is {one.status}{long}" + (f" ({one.reason})" if one.reason else "")
        doubts = () if one.since is None or one.since <= now + 30 else ("its time lies ahead of krm's clock",)
        evidence = Evidence(one.type, float(one.status == "True"), "share", "status", one.since)
        yield Finding(
            "node-not-ready" if away else "node-pressure",
            CRITICAL,
            About("node", name=node.name, part=one.type),
            f"node {node.name}: {told}; {len(node.pods)} pods are on it",
            (evidence, Evidence("pods", float(len(node.pods)), "count", "state")),
            MEDIUM if doubts and sure == HIGH else sure,
            doubts,
            "its kubelet must report again" if away and one.status == "Unknown"
            else "what its Ready condition names" if away
            else "the condition lasts at least five minutes after what is short was freed",
        )  # fmt: skip


def _unmeasured(node: Standing, inputs: Inputs) -> Iterator[Finding]:
    if node.measured_at is not None or node.state == UNKNOWN:
        return
    if inputs.newest.state != LIVE:
        return  # none is measured: the answer's worth says that
    yield Finding(
        "node-unmeasured",
        WARNING if node.state == READY else INFO,
        About("node", name=node.name),
        f"node {node.name}: what it uses is not known: {'; '.join(node.doubts)}",
        (Evidence("measured", None, "seconds", "collector"),),
        HIGH,
        (),
        "whom the collector asks, and why it is silent: krm top nodes",
    )


def _full(node: Standing, one: Resource, sure: str) -> Finding:
    requested, allocatable = amount(one.requested, one.unit), amount(one.allocatable, one.unit)
    return Finding(
        "node-full",
        INFO,
        About("node", name=node.name, part=one.name),
        f"node {node.name}: {percent(one.reserved)} of {one.name} is requested: {requested} of {allocatable}",
        (
            Evidence("requested", one.requested, one.unit, "spec"),
            Evidence("allocatable", one.allocatable, one.unit, "status"),
            Evidence("used", one.used, one.unit, "kubelet", node.measured_at),
        ),
        sure,
        () if one.used is not None else ("what is used of it is not known",),
        f"no pod that requests more than {amount(max(0.0, one.free or 0.0), one.unit)} of {one.name} fits any more",
    )


def _imbalance(one: Imbalance, sure: str) -> Finding:
    return Finding(
        "node-imbalance",
        INFO,
        About("cluster", part=one.resource),
        f"of {one.resource} {percent(one.fullest_share)} is requested on {one.fullest} and"
        f" {percent(one.emptiest_share)} on {one.emptiest}",
        (
            Evidence(f"requested on {one.fullest}", one.fullest_share, "share", "spec"),
            Evidence(f"requested on {one.emptiest}", one.emptiest_share, "share", "spec"),
        ),
        sure,
        (),
        f"pods that move from {one.fullest} to {one.emptiest}, or topology spread constraints",
    )
