"""Why an HPA did, or did not, scale: the controller's turn reproduced, and held against what the HPA itself says.

The numbers are krm's own of this moment; the controller's are of its last turn, and maybe of another adapter. What
differs is told, and which of the two it is. What the controller remembers (krm.analysis.hpa.behavior) nobody can
read: what the HPA's conditions say of it is taken. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.answer import Answer, Column
from krm.analysis.finding import CRITICAL, HIGH, INFO, LOW, MEDIUM, WARNING, About, Evidence, Finding
from krm.analysis.hpa.behavior import Asked as AskedFor
from krm.analysis.hpa.behavior import Memory
from krm.analysis.hpa.measured import OWN, Source, current_of, told
from krm.analysis.hpa.replica import ABLE, ACTIVE, LIMITED, Decision, Scale, decide
from krm.analysis.hpa.spec import Spec, milli, read_spec
from krm.analysis.hpa.targets import KINDS, chosen, named_of, namespace_of, selector_of
from krm.analysis.inputs import Body, Inputs, Needs
from krm.analysis.worth import worth_of
from krm.model import times
from krm.model.measures import CONTAINER, POD
from krm.model.quantities import BadQuantity
from krm.model.reading import integer, mapping, rows, text
from krm.model.selectors import LabelSelector

HPAS = "horizontalpodautoscalers.autoscaling"
TARGETS = ("deployments.apps", "statefulsets.apps", "replicasets.apps")
_NEAR = 0.1  # share: the numbers of two moments, and of two adapters, that are no difference
_RESCALED = "SuccessfulRescale"  # reason of the controller's event


class Asked(NamedTuple):
    """Of whom."""

    namespace: Optional[str]  # None = all
    hpa: str  # a name; '' = all of them


@dataclass(frozen=True)
class StepRow:
    """One thing that was done to the number of replicas."""

    what: str
    replicas: Optional[int]  # None = not known
    why: str


@dataclass(frozen=True)
class Difference:
    """What the HPA says otherwise than krm's replay."""

    what: str
    hpa: str
    krm: str


@dataclass(frozen=True)
class Explained:
    """Of one HPA."""

    namespace: str
    hpa: str
    target: str  # Deployment/web
    current: Optional[int]  # replicas of the target; None = krm does not know it
    desired: Optional[int]  # by krm's replay; None = no decision
    told: Optional[int]  # status.desiredReplicas
    reason: str  # why, in one sentence
    steps: Tuple[StepRow, ...]
    conditions: Mapping[str, str]  # type -> `True ReadyForNewScale: ...`, as the HPA has them
    sources: Mapping[str, str]  # metric -> whose number it is
    differences: Tuple[Difference, ...]
    last_scaled: Optional[float]  # Unix seconds
    last_scaling: str  # in the controller's words: `New size: 4; reason: ...`; '' = no event of it is kept


@dataclass(frozen=True)
class Explanation(Answer):
    """Of all that were asked for; of one by name its table shows the steps."""

    COLUMNS: ClassVar[Tuple[Column, ...]] = ()
    NOTHING: ClassVar[str] = "there is no such HorizontalPodAutoscaler"

    rows: Tuple[Explained, ...]
    one: bool  # asked for by name

    @property
    def table(self) -> Sequence[Any]:
        if not self.one:
            return self.rows
        return [step for row in self.rows for step in (*row.steps, *_last(row))]

    def cells(self, wide: bool = False) -> List[List[str]]:
        columns = _STEPS if self.one else _HPAS
        shown = [column for column in columns if wide or not column.wide]
        found = [[column.cell(row) for column in shown] for row in self.table]
        return [[column.heading for column in shown], *found] if found else []


def _last(row: Explained) -> List[StepRow]:
    found = [
        StepRow("differs", None, f"{one.what}: the HPA says {one.hpa}, krm {one.krm}") for one in row.differences
    ]
    if row.last_scaled is not None:
        why = f"at {times.write(row.last_scaled)}" + (f": {row.last_scaling}" if row.last_scaling else "")
        found.append(StepRow("last scaling", row.told, why))
    return found


def _count(value: Optional[int]) -> str:
    return "-" if value is None else str(value)


_HPAS = (
    Column("NAMESPACE", lambda row: row.namespace),
    Column("HPA", lambda row: row.hpa),
    Column("TARGET", lambda row: row.target),
    Column("REPLICAS", lambda row: _count(row.current)),
    Column("DESIRED", lambda row: _count(row.desired)),
    Column("HPA SAYS", lambda row: _count(row.told)),
    Column("WHY", lambda row: row.reason),
)
_STEPS = (
    Column("STEP", lambda row: row.what),
    Column("REPLICAS", lambda row: _count(row.replicas)),
    Column("WHY", lambda row: row.why),
)


def needs(asked: Asked) -> Needs:
    """What it is made of."""
    more = (*TARGETS, "events")
    return Needs((HPAS, "pods"), more, newest=(CONTAINER, POD), namespace=asked.namespace)


def answer(inputs: Inputs, asked: Asked) -> Explanation:
    """Pure."""
    hpas = [body for body in inputs.state.objects(HPAS) if asked.hpa in ("", named_of(body))]
    hpas = [body for body in hpas if asked.namespace in (None, namespace_of(body))]
    found = [_explained(inputs, body) for body in sorted(hpas, key=lambda one: (namespace_of(one), named_of(one)))]
    findings = [finding for row, body in found for finding in _findings(row, body, inputs.now)]
    return Explanation(
        worth_of(inputs, needs(asked)), tuple(findings), tuple(row for row, _ in found), bool(asked.hpa)
    )


class Target(NamedTuple):
    """What is scaled."""

    replicas: int
    status_replicas: int
    pods: Sequence[Body]
    selector: LabelSelector


def target_of(inputs: Inputs, spec: Spec) -> Optional[Target]:
    """None: krm does not keep it, or it is not there."""
    for body in inputs.state.maybe(KINDS.get(spec.target_kind, "")) or ():
        if (namespace_of(body), named_of(body)) == (spec.namespace, spec.target_name):
            selector = selector_of(body)
            if selector is None:
                return None
            replicas = mapping(body.get("spec")).get("replicas")
            count = 1 if replicas is None else integer(replicas)
            pods = chosen(inputs.state.objects("pods"), spec.namespace, selector)
            return Target(count, integer(mapping(body.get("status")).get("replicas")), pods, selector)
    return None


def _explained(inputs: Inputs, body: Body) -> Tuple[Explained, Body]:
    spec, status = read_spec(body), mapping(body.get("status"))
    target, conditions = target_of(inputs, spec), _conditions(status)
    decision: Optional[Decision] = None
    sources: List[Source] = []
    memory, is_known = _memory(spec, status, conditions, inputs.now)
    if target is not None:
        sources = [told(one, target.pods, inputs.newest, status, target.status_replicas) for one in spec.metrics]
        scale = Scale(target.replicas, target.status_replicas, target.pods)
        reported, rivals = [one.reported for one in sources], _rivals(inputs, spec, target)
        decision = decide(spec, scale, reported, memory, inputs.now, rivals=rivals)
    said = status.get("desiredReplicas")
    row = Explained(
        spec.namespace, spec.name, f"{spec.target_kind}/{spec.target_name}",
        None if target is None else target.replicas,
        None if decision is None or decision.error else decision.desired,
        said if isinstance(said, int) else None,
        _reason(spec, decision),
        _steps(decision, is_known),
        {name: f"{one[0]} {one[1]}: {one[2]}" for name, one in conditions.items()},
        {one.label: source.source or "nobody" for one, source in zip(spec.metrics, sources)},
        tuple(_differences(spec, status, decision, conditions)) if decision is not None else (),
        times.known(status.get("lastScaleTime")),
        _event(inputs, spec),
    )  # fmt: skip
    return row, body


def _rivals(inputs: Inputs, spec: Spec, target: Target) -> List[str]:
    """Other HPAs that scale the same thing."""
    found = []
    for body in inputs.state.objects(HPAS):
        other = read_spec(body)
        same = (other.namespace, other.target_kind, other.target_name) == (
            spec.namespace, spec.target_kind, spec.target_name,
        )  # fmt: skip
        if same and other.name != spec.name and target.pods:
            found.append(other.key)
    return found


def _conditions(status: Mapping[str, Any]) -> Dict[str, Tuple[str, str, str]]:
    return {
        text(one.get("type")): (text(one.get("status")), text(one.get("reason")), text(one.get("message")))
        for one in rows(status.get("conditions"))
    }


def _memory(
    spec: Spec, status: Mapping[str, Any], conditions: Mapping[str, Tuple[str, str, str]], now: float
) -> Tuple[Memory, bool]:
    """What the HPA's conditions betray of what its controller remembers, and whether its size is known.

    An earlier recommendation holds the present one: it is status.desiredReplicas, unless that was limited in turn;
    then it was more than there may be, and nobody knows how many."""
    said, (able, limited) = status.get("desiredReplicas"), (conditions.get(name) for name in (ABLE, LIMITED))
    held = able is not None and able[1] in ("ScaleDownStabilized", "ScaleUpStabilized")
    if held and limited is not None and limited[:2] == ("True", "TooManyReplicas"):
        return Memory(asked=(AskedFor(spec.most + 1, now),)), False
    if held and isinstance(said, int):
        return Memory(asked=(AskedFor(said, now),)), True
    return Memory(asked=(AskedFor(0, float("-inf")),)), True  # it has been there for long: this is no first turn


def _steps(decision: Optional[Decision], is_known: bool) -> Tuple[StepRow, ...]:
    """What is not known is not told as a number."""
    rows_ = [StepRow(*step) for step in decision.steps] if decision is not None else []
    if is_known:
        return tuple(rows_)
    why = "its controller remembers that more than maxReplicas was asked for, within its stabilisation window"
    kept = [one for one in rows_ if one.what not in ("behaviour", "result")]
    ends = [one for one in rows_ if one.what == "result"]
    return (*kept, StepRow("behaviour", decision.desired if decision is not None else None, why), *ends)


def _reason(spec: Spec, decision: Optional[Decision]) -> str:
    if decision is None:
        return f"krm does not know {spec.target_kind} {spec.target_name}: it is not there, or not kept"
    return decision.error or decision.steps[-1].why


def _differences(
    spec: Spec, status: Mapping[str, Any], decision: Decision, conditions: Mapping[str, Tuple[str, str, str]]
) -> List[Difference]:
    found = []
    said = status.get("desiredReplicas")
    if isinstance(said, int) and not decision.error and said != decision.desired:
        found.append(Difference("desired replicas", str(said), str(decision.desired)))
    for one, proposal in zip(spec.metrics, decision.proposals):
        current = current_of(one, status)
        for field, value in (("averageUtilization", proposal.utilization), ("averageValue", proposal.average),
                             ("value", proposal.value)):  # fmt: skip
            other = _milli(current.get(field), field == "averageUtilization")
            if value is not None and other is not None and abs(value - other) > _NEAR * max(abs(value), abs(other)):
                scale = 1 if field == "averageUtilization" else 1000
                found.append(Difference(f"{field} of {one.label}", f"{other / scale:.6g}", f"{value / scale:.6g}"))
    for name in (ACTIVE, LIMITED):
        has, wants = conditions.get(name), decision.conditions.get(name)
        if has is not None and wants is not None and (has[0], has[1]) != (str(wants.status), wants.reason):
            found.append(Difference(name, f"{has[0]} {has[1]}", f"{wants.status} {wants.reason}"))
    return found


def _milli(value: Any, is_whole: bool) -> Optional[int]:
    if value is None or is_whole:
        return value if isinstance(value, int) else None
    try:
        return milli(value)
    except BadQuantity:
        return None


def _event(inputs: Inputs, spec: Spec) -> str:
    """What the controller wrote when it last scaled; '' where no such event is kept."""
    found = []
    for one in inputs.state.maybe("events") or ():
        about = mapping(one.get("involvedObject")) or mapping(one.get("regarding"))
        whom = tuple(about.get(name) for name in ("kind", "namespace", "name"))
        if one.get("reason") == _RESCALED and whom == ("HorizontalPodAutoscaler", spec.namespace, spec.name):
            at = times.known(one.get("lastTimestamp")) or times.known(one.get("eventTime")) or 0.0
            found.append((at, text(one.get("message")) or text(one.get("note"))))
    return max(found)[1] if found else ""


# Findings --------------------------------------------------------------------------------------


def _findings(row: Explained, body: Body, now: float) -> List[Finding]:
    about = About(HPAS, row.namespace, row.hpa)
    conditions = _conditions(mapping(body.get("status")))
    found = []
    for name, bad, rule, severity, hint in _RULES:
        status, reason, message = conditions.get(name, ("", "", ""))
        if status == bad and (name != LIMITED or reason == "TooManyReplicas"):
            evidence = _evidence(row, now)
            sentence = f"HPA {row.namespace}/{row.hpa}: {reason}: {message}"
            found.append(Finding(rule, severity, about, sentence, evidence, HIGH, (), hint))
    if any(one.what == "desired replicas" for one in row.differences):
        sentence = f"HPA {row.namespace}/{row.hpa} wants {row.told} replicas, by krm's numbers it is {row.desired}"
        sureness = MEDIUM if set(row.sources.values()) == {OWN} else LOW
        doubts = ("its numbers are of its last turn, krm's of now", "what its controller remembers nobody can read")
        found.append(
            Finding("hpa-differs", INFO, about, sentence, _evidence(row, now), sureness, doubts,
                    "its next turn, 15 s later, brings them together unless another adapter tells other numbers")
        )  # fmt: skip
    return found


_RULES = (
    (
        ABLE,
        "False",
        "hpa-unable",
        CRITICAL,
        "the target must be there, and its scale must be readable and writable",
    ),
    (ACTIVE, "False", "hpa-inactive", WARNING, "its metrics must be served, and its pods must have requests"),
    (LIMITED, "True", "hpa-at-maximum", WARNING, "a larger maxReplicas, larger requests, or a higher target"),
)


def _evidence(row: Explained, now: float) -> Tuple[Evidence, ...]:
    return (
        Evidence("replicas", row.current, "count", "spec", now),
        Evidence("desired replicas of the HPA", row.told, "count", "status", now),
        Evidence("desired replicas by krm's replay", row.desired, "count", "replay", now),
    )
