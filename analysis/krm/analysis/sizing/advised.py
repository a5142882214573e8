"""One workload's rows: whether enough is known, the strategy's advice, its test on the past, its proof. Pure."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.finding import HIGH, LOW, MEDIUM, Evidence
from krm.analysis.inputs import Body
from krm.analysis.limits.pods import in_units
from krm.analysis.sizing import own
from krm.analysis.sizing.backtest import Backtest, Setting, backtest
from krm.analysis.sizing.feasible import Proof, Room
from krm.analysis.sizing.past import HOUR, STEP, Used, span
from krm.analysis.sizing.rows import Recommendation, written
from krm.analysis.sizing.strategies import KRM, Part, advise, memory_before
from krm.analysis.sizing.workloads import BATCH, Key, Workloads, scaling
from krm.model.amounts import CPU, MEMORY, Amounts, Troubles, read
from krm.model.measures import Covers
from krm.model.podresources import LIMITS, REQUESTS
from krm.model.reading import mapping, text
from krm.model.reading import rows as objects

LEAST = 12 * HOUR  # seconds that are known of what runs all the time, before krm advises
LEAST_RUNS = 3  # pods of a Job or a CronJob
LEAST_POINTS = 20  # over all pods
_SURE, _FAIR = 72 * HOUR, 24 * HOUR  # seconds that are known
_WHOLE = 0.9  # share of the points of the span that are there


class Subject(NamedTuple):
    """A workload and what its containers used."""

    key: Key
    used: Mapping[str, Sequence[Used]]  # by container
    workloads: Workloads
    begin: float  # Unix seconds: of the points' window


class _Draft(NamedTuple):
    """Of one container, before anything is proven."""

    name: str
    now: Setting
    advised: Setting
    cpu: Part
    memory: Part
    waits_for: str
    doubts: Tuple[str, ...]


def rows(subject: Subject, room: Room, strategy: str, target: str) -> List[Recommendation]:
    """A row a container, by name. The proof is of all of them together: they are one pod."""
    drafts = {name: _draft(subject, name, strategy, target) for name in sorted(subject.used)}
    proof = _proof(subject, room, drafts)
    return [_row(subject, draft, proof, strategy, target) for draft in drafts.values()]


def _draft(subject: Subject, name: str, strategy: str, target: str) -> _Draft:
    pods, (now, doubts) = subject.used[name], _now(subject, name)
    waits = _waits_for(subject, pods) if strategy == KRM else ""
    if waits:
        nothing = Part(None, None, waits)
        return _Draft(name, now, now, nothing, nothing, waits, doubts)
    parts = {}
    for resource, request, limit in (
        (CPU, now.cpu_request, now.cpu_limit),
        (MEMORY, now.memory_request, now.memory_limit),
    ):
        held = _held_by_hpa(subject, name, resource, request, strategy)
        ratio = limit / request if limit and request else 0.0
        known = [_with_limits(one, now, strategy) for one in pods]
        parts[resource] = held or advise(strategy, target, resource, known, len(subject.used), ratio)
    cpu, memory = parts[CPU], parts[MEMORY]
    advised = Setting(
        now.cpu_request if cpu.request is None else cpu.request,
        now.memory_request if memory.request is None else memory.request,
        now.cpu_limit if cpu.request is None else cpu.limit,
        now.memory_limit if memory.request is None else memory.limit,
    )
    nothing_told = cpu.request is None and memory.request is None
    waits = f"cpu: {cpu.why}; memory: {memory.why}" if nothing_told else ""
    return _Draft(name, now, advised, cpu, memory, waits, (*doubts, *cpu.doubts, *memory.doubts))


def _with_limits(one: Used, now: Setting, strategy: str) -> Used:
    """Kills whose limit nobody told: the one that is set. VPA reckons with the request instead."""
    set_now = (now.memory_limit if strategy == KRM else now.memory_request) or 0.0
    return one._replace(
        kills=tuple((at, limit if limit and strategy == KRM else set_now) for at, limit in one.kills)
    )


def _waits_for(subject: Subject, pods: Sequence[Used]) -> str:
    points = sum(max(len(one.cpu.times), len(one.memory.times)) for one in pods)
    hours = sum(len(one.peaks.ends) for one in pods)
    if not points and not hours:
        return "nothing was measured of it yet"
    if subject.key[1].kind in BATCH:
        runs = len([one for one in pods if len(one.memory.times) or one.peaks.ends])
        if runs < LEAST_RUNS:
            return f"{LEAST_RUNS - runs} more runs: of {runs} something is known"
        return "" if points >= LEAST_POINTS or hours >= LEAST_RUNS else f"points: {points} of {LEAST_POINTS}"
    known = span(pods, subject.begin)
    if known < LEAST:
        return (
            f"{(LEAST - known) / HOUR:.1f} h more of history: {known / HOUR:.1f} h are known of {LEAST / HOUR:.0f}"
        )
    return "" if points + hours >= LEAST_POINTS else f"points: {points} of {LEAST_POINTS}"


def _held_by_hpa(
    subject: Subject, name: str, resource: str, request: Optional[float], strategy: str
) -> Optional[Part]:
    found = scaling(subject.workloads, subject.key, resource, name)
    if found is None:
        return None
    if strategy != KRM:
        return Part(None, None, "HPA detected") if strategy.startswith("krr") else None
    if found.utilization is None:
        return None  # an average value: the request plays no part in it
    field = f"{resource}_request"
    aims = f"HPA {found.hpa} scales at {found.utilization}% of the request"
    at = "" if request is None else f": at {written(field, request * found.utilization / 100)} a pod"
    return Part(None, None, f"{aims}{at}; another request would change when it scales, so there is no advice")


def _now(subject: Subject, name: str) -> Tuple[Setting, Tuple[str, ...]]:
    """As the newest pod has it; without one as the template has it."""
    running = subject.workloads.running.get(subject.key, ())
    found = []
    for holder in sorted(running, key=lambda one: (one.created or 0.0, one.name), reverse=True):
        for container in holder.lasting():
            if container.name == name:
                found.append(_setting(container.in_force[REQUESTS], container.in_force[LIMITS]))
    if found:
        differ = any(one != found[0] for one in found)
        return found[0], ("its pods do not all have the same requests and limits",) if differ else ()
    silent = Troubles("")
    for one in subject.workloads.specs(subject.key):
        if text(one.get("name")) == name:
            resources = mapping(one.get("resources"))
            return _setting(*(read(resources.get(field), silent, field) for field in (REQUESTS, LIMITS))), ()
    return Setting(None, None, None, None), ("what is set now is not known",)


def _setting(requests: Amounts, limits: Amounts) -> Setting:
    return Setting(
        in_units(requests, CPU), in_units(requests, MEMORY), in_units(limits, CPU), in_units(limits, MEMORY)
    )


# The proof --------------------------------------------------------------------------------------


def _proof(subject: Subject, room: Room, drafts: Mapping[str, _Draft]) -> Optional[Proof]:
    """None where nothing is advised, or nothing is known that it could be proven on."""
    if all(draft.waits_for for draft in drafts.values()):
        return None
    old = [holder.body for holder in subject.workloads.running.get(subject.key, ())]
    template = subject.workloads.there.get(subject.key)
    news = [_resized(pod, drafts) for pod in old]
    if not news and template is not None:
        namespace, owner = subject.key
        metadata = {**mapping(template.template.get("metadata")), "namespace": namespace, "name": owner.name}
        news = [_resized({**template.template, "metadata": metadata}, drafts)]
    if not news:
        return None
    surge, replicas = (template.surge, template.replicas) if template else (0, len(old))
    return room.proof(news, old, surge, replicas)


def _resized(pod: Body, drafts: Mapping[str, _Draft]) -> Body:
    """A copy with what is advised; what a kubelet has applied of the old is not in it."""
    spec = dict(mapping(pod.get("spec")))
    for field in ("containers", "initContainers"):
        if field in spec:
            spec[field] = [_sized(one, drafts) for one in objects(spec.get(field))]
    return {**pod, "spec": spec, "status": {}}


def _sized(container: Dict[str, Any], drafts: Mapping[str, _Draft]) -> Dict[str, Any]:
    draft = drafts.get(text(container.get("name")))
    if draft is None or draft.waits_for:
        return container
    resources = mapping(container.get("resources"))
    made = dict(resources)
    for field, cpu, memory in (
        (REQUESTS, draft.advised.cpu_request, draft.advised.memory_request),
        (LIMITS, draft.advised.cpu_limit, draft.advised.memory_limit),
    ):
        rest = {name: value for name, value in mapping(resources.get(field)).items() if name not in (CPU, MEMORY)}
        named = {CPU: written("cpu", cpu), MEMORY: written("memory", memory)}
        made[field] = {**rest, **{name: value for name, value in named.items() if value != "-"}}
    return {**container, "resources": made}


# The row ----------------------------------------------------------------------------------------


def _row(subject: Subject, draft: _Draft, proof: Optional[Proof], strategy: str, target: str) -> Recommendation:
    (namespace, owner), pods = subject.key, subject.used[draft.name]
    sureness, doubts = _sureness(subject, pods, draft, proof)
    tested: Optional[Backtest] = None
    if not draft.waits_for:
        proof = proof or Proof(None, (), (), ("neither a pod nor a template is there to try it with",))
        seen = [_with_limits(one, draft.now, strategy) for one in pods]

        def before(until: float) -> Optional[float]:
            return memory_before(strategy, target, seen, until, len(subject.used))

        tested = backtest([_with_limits(one, draft.now, KRM) for one in pods], draft.now, draft.advised, before)
    return Recommendation(
        namespace, owner.kind, owner.name, draft.name, subject.workloads.is_sidecar(subject.key, draft.name),
        len(subject.workloads.running.get(subject.key, ())),
        draft.now, draft.advised, draft.cpu.request is not None, draft.memory.request is not None,
        draft.cpu.why, draft.memory.why, draft.waits_for, tested,
        proof.feasible if proof and tested else None,
        proof.obstacles if proof and tested else (),
        proof.proven if proof and tested else (),
        _evidence(subject, pods, draft, tested),
        sureness, doubts,
    )  # fmt: skip


def _sureness(
    subject: Subject, pods: Sequence[Used], draft: _Draft, proof: Optional[Proof]
) -> Tuple[str, Tuple[str, ...]]:
    known, doubts = span(pods, subject.begin), list(draft.doubts)
    sureness = HIGH if known >= _SURE else MEDIUM if known >= _FAIR * _WHOLE else LOW
    if known < _SURE:
        doubts.append(f"{known / HOUR:.0f} h are known: what happens once a week is not in it")
    there, of = _points(pods)
    if there < of * _WHOLE:
        doubts.append(f"{of - there} of {of} points are missing")
        sureness = LOW if there < of / 2 else MEDIUM if sureness == HIGH else sureness
    if any(one.kills for one in pods) and sureness == HIGH:
        sureness = MEDIUM
    if proof is not None and not draft.waits_for:
        doubts += proof.doubts
    return (LOW if draft.waits_for else sureness), tuple(dict.fromkeys(doubts))


def _points(pods: Sequence[Used]) -> Tuple[int, int]:
    """Of memory: those that are there, of those between each pod's first and last."""
    there = sum(len(one.memory.times) for one in pods)
    of = sum(
        round((one.memory.times[-1] - one.memory.times[0]) / STEP) + 1 for one in pods if len(one.memory.times)
    )
    return there, of


def _evidence(
    subject: Subject, pods: Sequence[Used], draft: _Draft, tested: Optional[Backtest]
) -> Tuple[Evidence, ...]:
    last = max((one.memory.times[-1] for one in pods if len(one.memory.times)), default=None)
    there, of = _points(pods)
    covers, window = Covers(there, of, "points"), span(pods, subject.begin)
    peak = max((max(one.peaks.values) for one in pods if one.peaks.values), default=None)
    cpu = max((one.ordered[-1] for one in pods if one.ordered), default=None)
    found = [
        Evidence("peak working set", peak, "bytes", "history", last, window, covers),
        Evidence("peak CPU", cpu, "millicores", "history", last, window),
        Evidence("pods that were measured", float(len(pods)), "count", "history", last, window),
    ]
    for field, unit in (("cpu_request", "millicores"), ("memory_request", "bytes"), ("memory_limit", "bytes")):
        found.append(Evidence(f"{field.replace('_', ' ')} now", getattr(draft.now, field), unit, "spec"))
    if tested is not None:
        found.append(Evidence("OOM kills as it is", float(tested.kills_now), "count", "history", last, own.RECENT))
        found.append(Evidence("OOM kills as advised", float(tested.kills), "count", "history", last, own.RECENT))
    return tuple(found)
