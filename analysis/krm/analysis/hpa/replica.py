"""One turn of the HPA controller of kube-controller-manager 1.36, reproduced: what it did, and why. Pure.

The largest proposal of all metrics wins. Where a metric has none, the others may still scale up, never down. Then
come stabilisation, the rate of change and least and most replicas (krm.analysis.hpa.behavior). Equal to the real
controller in the scenarios of tests/oracles/hpa.json.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.hpa.behavior import Memory, normalize, remembered
from krm.analysis.hpa.calculator import Proposal, Tolerances, World, propose
from krm.analysis.hpa.reported import Reported
from krm.analysis.hpa.spec import (
    CONTAINER_RESOURCE,
    EXTERNAL,
    FIELDS,
    OBJECT,
    PODS,
    RESOURCE,
    USUAL,
    Settings,
    Spec,
)
from krm.analysis.inputs import Body

ABLE, ACTIVE, LIMITED = "AbleToScale", "ScalingActive", "ScalingLimited"
_FAILED: Mapping[str, str] = {
    RESOURCE: "FailedGetResourceMetric", CONTAINER_RESOURCE: "FailedGetContainerResourceMetric",
    PODS: "FailedGetPodsMetric", OBJECT: "FailedGetObjectMetric", EXTERNAL: "FailedGetExternalMetric",
}  # fmt: skip


class Scale(NamedTuple):
    """Of the target."""

    replicas: int  # spec.replicas
    status_replicas: int  # status.replicas
    pods: Sequence[Body]  # that its selector takes
    selector: str = "x"  # '' = it has none


class Condition(NamedTuple):
    """One of the HPA's status.conditions."""

    status: bool
    reason: str
    message: str


class Step(NamedTuple):
    """One thing that was done to the number of replicas."""

    what: str  # current, bounds, metric, largest, behaviour, result
    replicas: Optional[int]  # after it; None = not known
    why: str  # a sentence


class Decision(NamedTuple):
    """Of one turn."""

    current: int
    desired: int  # what the target is scaled to; `current` where nothing is done
    rescale: bool
    reason: str  # of the scaling, in the controller's words; '' = none
    error: str  # why nothing could be reckoned; '' = it could
    proposals: Tuple[Proposal, ...]
    conditions: Mapping[str, Condition]  # that this turn sets; others stay as they were
    steps: Tuple[Step, ...]
    memory: Memory


def decide(
    spec: Spec,
    scale: Scale,
    reported: Sequence[Reported],
    memory: Memory,
    now: float,
    settings: Settings = USUAL,
    rivals: Sequence[str] = (),
) -> Decision:
    """reported: one a metric of the spec, in its order. rivals: other HPAs whose selectors take the same pods."""
    memory = memory.begun(scale.replicas, now)
    turn = _Turn(spec, scale, memory)
    turn.step("current", scale.replicas, f"{spec.target_kind} {spec.target_name} has {scale.replicas} replicas")
    if scale.replicas == 0:
        return turn.disabled()
    if scale.replicas > spec.most:
        return turn.bounded(spec.most, "Current number of replicas above Spec.MaxReplicas", now)
    if scale.replicas < spec.least:
        return turn.bounded(spec.least, "Current number of replicas below Spec.MinReplicas", now)
    why = _selector_trouble(spec, scale, rivals)
    if why is not None:
        return turn.failed(why[1], Condition(False, *why), ())
    tolerances = _tolerances(spec, settings)
    world = World(scale.replicas, scale.status_replicas, scale.pods, tolerances, now, settings)
    proposals = tuple(propose(one, told, world) for one, told in zip(spec.metrics, reported))
    return turn.reckoned(proposals, now, settings)


def _tolerances(spec: Spec, settings: Settings) -> Tolerances:
    down = spec.down.tolerance if spec.down is not None else None
    up = spec.up.tolerance if spec.up is not None else None
    usual = settings.tolerance
    return Tolerances(usual if down is None else down, usual if up is None else up)


def _selector_trouble(spec: Spec, scale: Scale, rivals: Sequence[str]) -> Optional[Tuple[str, str]]:
    if not scale.selector:
        return "InvalidSelector", "the HPA target's scale is missing a selector"
    if rivals and scale.pods:
        names = " ".join(sorted((spec.key, *rivals)))
        return "AmbiguousSelector", f"pods by selector {scale.selector} are controlled by multiple HPAs: [{names}]"
    return None


class _Turn:
    """What is built up on the way to one decision."""

    def __init__(self, spec: Spec, scale: Scale, memory: Memory) -> None:
        self.spec, self.current, self.memory = spec, scale.replicas, memory
        self.steps: List[Step] = []
        message = "the HPA controller was able to get the target's current scale"
        self.conditions: Dict[str, Condition] = {ABLE: Condition(True, "SucceededGetScale", message)}

    def step(self, what: str, replicas: Optional[int], why: str) -> None:
        self.steps.append(Step(what, replicas, why))

    def disabled(self) -> Decision:
        message = "scaling is disabled since the replica count of the target is zero"
        self.conditions[ACTIVE] = Condition(False, "ScalingDisabled", message)
        self.step("result", 0, message)
        return self._decision(0, "", "", ())

    def bounded(self, desired: int, reason: str, now: float) -> Decision:
        """Before any metric is looked at."""
        self.step("bounds", desired, reason)
        return self._scaled(desired, reason, (), now)

    def failed(self, error: str, condition: Condition, proposals: Tuple[Proposal, ...]) -> Decision:
        self.conditions[ACTIVE] = condition
        self.step("result", None, f"no decision: {error}")
        return self._decision(self.current, "", error, proposals)

    def reckoned(self, proposals: Tuple[Proposal, ...], now: float, settings: Settings) -> Decision:
        """From what each metric asks for."""
        for one in proposals:
            why = "; ".join(one.steps) if one.replicas is not None else f"no proposal: {one.error}"
            self.step("metric", one.replicas, f"{one.name}: {why}")
        broken = [one for one in proposals if one.replicas is None]
        largest = _largest(proposals)
        wanted = (largest.replicas or 0) if largest is not None else 0
        if len(broken) >= len(proposals) or (broken and wanted < self.current):
            return self._broken(broken, proposals)
        name = largest.name if largest is not None else ""
        told = f"the HPA was able to successfully calculate a replica count from {name}"
        self.conditions[ACTIVE] = Condition(True, "ValidMetricFound", told)
        if len(proposals) > 1:
            self.step("largest", wanted, f"the largest proposal wins: {name}")
        reason = f"{name if wanted > 0 else ''} above target" if wanted > self.current else ""
        reason = "All metrics below target" if wanted < self.current else reason
        normal = normalize(self.spec, self.memory, self.current, wanted, now, settings)
        self.memory = normal.memory
        self.conditions[ABLE] = Condition(True, *normal.able)
        self.conditions[LIMITED] = Condition(*normal.limited)
        for told in normal.steps:
            self.step("behaviour", normal.stabilized if told is not normal.steps[-1] else normal.replicas, told)
        if normal.replicas == self.current:
            self.step("result", self.current, _unchanged(wanted, self.current))
            return self._decision(self.current, "", "", proposals)
        return self._scaled(normal.replicas, reason, proposals, now)

    def _broken(self, broken: Sequence[Proposal], proposals: Tuple[Proposal, ...]) -> Decision:
        first = broken[0]
        message = f"the HPA was unable to compute the replica count: {first.error}"
        condition = Condition(False, _FAILED.get(first.spec.type, "InvalidMetricSourceType"), message)
        why = f"{len(broken)} of {len(proposals)} metrics are not known"
        if len(broken) < len(proposals):
            why += ", and the others ask for fewer replicas: nothing is scaled down on a part of them"
        return self.failed(f"{why}: {first.error}", condition, proposals)

    def _scaled(self, desired: int, reason: str, proposals: Tuple[Proposal, ...], now: float) -> Decision:
        message = f"the HPA controller was able to update the target scale to {desired}"
        self.conditions[ABLE] = Condition(True, "SucceededRescale", message)
        self.memory = remembered(self.spec, self.memory, self.current, desired, now)
        self.step("result", desired, f"is to scale from {self.current} to {desired}: {reason}")
        return self._decision(desired, reason, "", proposals)

    def _decision(self, desired: int, reason: str, error: str, proposals: Tuple[Proposal, ...]) -> Decision:
        rescale = desired != self.current
        return Decision(
            self.current,
            desired,
            rescale,
            reason,
            error,
            proposals,
            self.conditions,
            tuple(self.steps),
            self.memory,
        )


def _largest(proposals: Sequence[Proposal]) -> Optional[Proposal]:
    """The first of the largest; the controller takes any in the place of one that asks for 0."""
    found: Optional[Proposal] = None
    for one in proposals:
        if one.replicas is not None and (found is None or not found.replicas or one.replicas > found.replicas):
            found = one
    return found


def _unchanged(wanted: int, current: int) -> str:
    if wanted == current:
        return f"{current} replicas are what the metrics ask for: nothing is done"
    return f"the metrics ask for {wanted}, but it stays at {current}"


def current_metrics(decision: Decision) -> List[Dict[str, Any]]:
    """As the controller writes status.currentMetrics, with numbers in thousandths; {} for what it has not."""
    found: List[Dict[str, Any]] = []
    for one in decision.proposals:
        values = {"averageUtilization": one.utilization, "averageValue": one.average, "value": one.value}
        known = {name: value for name, value in values.items() if value is not None}
        found.append({"type": one.spec.type, "field": FIELDS.get(one.spec.type, ""), **known} if known else {})
    return found
