"""How many replicas one metric asks for: the replica calculator of kube-controller-manager 1.36. Pure.

desired = ceil(ratio x pods), where the ratio is usage to target, unless it is within the tolerance. What is not
known of a pod is taken so that it slows the change down: 0 where more replicas are asked for, the whole target (of
a utilisation at least 100 %) where fewer are. Numbers are thousandths, and divided as Go divides: cut off.
"""

from __future__ import annotations

from math import ceil
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.hpa.pods import Cannot, Groups, group, ready_count, requests
from krm.analysis.hpa.reported import PodValue, Reported
from krm.analysis.hpa.spec import CONTAINER_RESOURCE, EXTERNAL, OBJECT, PODS, RESOURCE, MetricSpec, Settings
from krm.analysis.inputs import Body

_MOST = 2**31 - 1  # replicas: an int32


class Tolerances(NamedTuple):
    """Shares."""

    down: float
    up: float

    def within(self, ratio: float) -> bool:
        return 1.0 - self.down <= ratio <= 1.0 + self.up


class World(NamedTuple):
    """What every metric of one HPA is reckoned with."""

    replicas: int  # spec.replicas of the target's scale
    status_replicas: int  # status.replicas of it
    pods: Sequence[Body]  # that its selector takes
    tolerances: Tolerances
    now: float
    settings: Settings


class Proposal(NamedTuple):
    """Of one metric."""

    spec: MetricSpec
    replicas: Optional[int]  # None = there is none
    error: str = ""  # why there is none
    utilization: Optional[int] = None  # per cent of the request
    average: Optional[int] = None  # thousandths, a pod
    value: Optional[int] = None  # thousandths, of all
    ratio: Optional[float] = None  # usage to target
    corrected: Optional[float] = None  # the same with what was taken for pods that are not known
    groups: Optional[Groups] = None
    steps: Tuple[str, ...] = ()  # what was done, a sentence each

    @property
    def name(self) -> str:
        """As the controller names the metric in its reasons."""
        spec = self.spec
        if spec.type in (RESOURCE, CONTAINER_RESOURCE):
            if spec.average is not None:
                return f"{spec.name} resource"
            kind = "container resource" if spec.type == CONTAINER_RESOURCE else "resource"
            return f"{spec.name} {kind} utilization (percentage of request)"
        if spec.type == PODS:
            return f"pods metric {spec.name}"
        if spec.type == OBJECT and spec.target_type == "Value":
            return f"{spec.object_kind} metric {spec.name}"
        return f"external metric {spec.name}({_selector(spec.selector)})"


def _selector(selector: Mapping[str, Any]) -> str:
    """As Go prints a *metav1.LabelSelector with %+v."""
    if not selector:
        return "nil"
    labels = "".join(f"{key}: {value}," for key, value in sorted((selector.get("matchLabels") or {}).items()))
    told = "".join(
        "LabelSelectorRequirement{Key:%s,Operator:%s,Values:[%s],},"
        % (one.get("key"), one.get("operator"), " ".join(one.get("values") or ()))
        for one in selector.get("matchExpressions") or ()
    )
    head = "&LabelSelector{MatchLabels:map[string]string{%s}" % labels
    return f"{head},MatchExpressions:[]LabelSelectorRequirement{{{told}}},}}"


def propose(spec: MetricSpec, reported: Reported, world: World) -> Proposal:
    """Of one metric; never raises."""
    try:
        if reported.error:
            raise Cannot(_fetching(spec, reported.error))
        if spec.type in (RESOURCE, CONTAINER_RESOURCE):
            if spec.average is not None:
                return _plain(spec, dict(reported.pods or {}), spec.average, world, spec.name)
            if spec.utilization is not None:
                return _utilization(spec, dict(reported.pods or {}), spec.utilization, world)
        elif spec.type == PODS and spec.average is not None:
            return _plain(spec, dict(reported.pods or {}), spec.average, world, "")
        elif spec.type in (OBJECT, EXTERNAL):
            return _of_all(spec, reported, world)
        raise Cannot(_no_target(spec))
    except Cannot as error:
        return Proposal(spec, None, f"{_failing(spec)}{error}")


def _fetching(spec: MetricSpec, error: str) -> str:
    if spec.type in (RESOURCE, CONTAINER_RESOURCE):
        return f"unable to get metrics for resource {spec.name}: {error}"
    if spec.type == EXTERNAL:
        return f"unable to get external metric {spec.name}: {error}"
    return f"unable to get metric {spec.name}: {error}"


def _failing(spec: MetricSpec) -> str:
    if spec.type in (RESOURCE, CONTAINER_RESOURCE):
        return f"failed to get {spec.name} {'usage' if spec.average is not None else 'utilization'}: "
    return ""


def _no_target(spec: MetricSpec) -> str:
    if spec.type in (RESOURCE, CONTAINER_RESOURCE):
        return "invalid resource metric source: neither an average utilization target nor an average value was set"
    return f"invalid {spec.type.lower()} metric source: neither a value target nor an average value target was set"


# Of each pod -----------------------------------------------------------------------------------


def _utilization(spec: MetricSpec, values: Dict[str, PodValue], target: int, world: World) -> Proposal:
    groups = _taken(values, world, spec.name)
    asked = requests(world.pods, spec.container, spec.name)
    ratio, percent, average = _share(values, asked, target)
    fall_back = max(100, target)
    missing = {name: asked[name] * fall_back // 100 for name in groups.missing}
    told = f"usage is {percent} % of the request, the target is {target} %: ratio {ratio:.4g}"

    def again() -> float:
        return _share(values, asked, target)[0]

    found = Proposal(spec, None, utilization=percent, average=average, ratio=ratio, groups=groups, steps=(told,))
    return _rounded(found, groups, values, missing, world, again, f"{fall_back} % of their request")


def _plain(spec: MetricSpec, values: Dict[str, PodValue], target: int, world: World, resource: str) -> Proposal:
    groups = _taken(values, world, resource)
    average = _mean(values)
    ratio = average / target
    missing = dict.fromkeys(groups.missing, target)
    told = f"the average over {len(values)} pods is {_number(average)}"
    told += f", the target is {_number(target)}: ratio {ratio:.4g}"

    def again() -> float:
        return _mean(values) / target

    found = Proposal(spec, None, average=average, ratio=ratio, groups=groups, steps=(told,))
    return _rounded(found, groups, values, missing, world, again, "the target")


def _taken(values: Dict[str, PodValue], world: World, resource: str) -> Groups:
    """The groups; values of ignored and unready pods are taken out."""
    if not world.pods:
        raise Cannot("no pods returned by selector while calculating replica count")
    groups = group(world.pods, values, resource, world.now, world.settings)
    for name in groups.ignored + groups.unready:
        values.pop(name, None)
    if not values:
        raise Cannot("did not receive metrics for targeted pods (pods might be unready)")
    return groups


def _rounded(
    found: Proposal,
    groups: Groups,
    values: Dict[str, PodValue],
    missing: Mapping[str, int],
    world: World,
    again: Callable[[], float],
    fall: str,
) -> Proposal:
    """From the ratio to replicas. again: the ratio of `values` as they are then."""
    ratio, steps = found.ratio or 0.0, list(found.steps)
    steps += _told(groups)
    grows_unready = bool(groups.unready) and ratio > 1.0
    if not grows_unready and not groups.missing:
        if world.tolerances.within(ratio):
            return found._replace(replicas=world.replicas, steps=(*steps, _too_small(ratio, world)))
        replicas = _int32(ratio * len(groups.counted))
        return found._replace(replicas=replicas, steps=(*steps, _product(ratio, len(groups.counted), replicas)))
    if groups.missing and ratio != 1.0:
        values.update({name: PodValue(value if ratio < 1.0 else 0) for name, value in missing.items()})
        steps.append(f"{len(missing)} pods without a value are taken to use {fall if ratio < 1.0 else 'nothing'}")
    if grows_unready:
        values.update({name: PodValue(0) for name in groups.unready})
        steps.append(f"{len(groups.unready)} pods that are not ready are taken to use nothing")
    new = again()
    steps.append(f"with these the ratio is {new:.4g}")
    found = found._replace(corrected=new)
    if world.tolerances.within(new) or (ratio < 1.0 < new) or (new < 1.0 < ratio):
        why = _too_small(new, world) if world.tolerances.within(new) else "that is the other direction: no change"
        return found._replace(replicas=world.replicas, steps=(*steps, why))
    replicas = _int32(new * len(values))
    if (new < 1.0 and replicas > world.replicas) or (new > 1.0 and replicas < world.replicas):
        steps.append(f"ratio x {len(values)} pods would turn the direction: no change")
        return found._replace(replicas=world.replicas, steps=tuple(steps))
    return found._replace(replicas=replicas, steps=(*steps, _product(new, len(values), replicas)))


def _share(values: Mapping[str, PodValue], asked: Mapping[str, int], target: int) -> Tuple[float, int, int]:
    """Ratio, per cent, thousandths a pod."""
    known = [name for name in values if name in asked]
    total, requested = sum(values[name].value for name in known), sum(asked[name] for name in known)
    if not requested:
        raise Cannot("no metrics returned matched known pods")
    percent = _quotient(total * 100, requested)
    return percent / target, percent, _quotient(total, len(known))


def _mean(values: Mapping[str, PodValue]) -> int:
    return _quotient(sum(one.value for one in values.values()), len(values))


# Of all ----------------------------------------------------------------------------------------


def _of_all(spec: MetricSpec, reported: Reported, world: World) -> Proposal:
    """Object and external metrics: one number for the whole target."""
    usage = reported.value if spec.type == OBJECT else sum(reported.values or ())
    if usage is None:
        raise Cannot("it is not known")
    is_value = spec.value is not None and (spec.type == EXTERNAL or spec.target_type == "Value")
    if spec.average is not None and (spec.type == EXTERNAL or not is_value):
        return _per_pod(spec, usage, spec.average, world)
    if spec.value is None or not is_value:
        raise Cannot(_no_target(spec))
    ratio = usage / spec.value
    told = f"the value is {_number(usage)}, the target is {_number(spec.value)}: ratio {ratio:.4g}"
    found = Proposal(spec, None, value=usage, ratio=ratio, steps=(told,))
    if world.replicas == 0:
        return found._replace(replicas=_int32(ratio), steps=(told, "from no replicas the ratio itself is taken"))
    if world.tolerances.within(ratio):
        return found._replace(replicas=world.replicas, steps=(told, _too_small(ratio, world)))
    ready = ready_count(world.pods)
    replicas = _int32(ratio * ready)
    return found._replace(replicas=replicas, steps=(told, _product(ratio, ready, replicas, "ready pods")))


def _per_pod(spec: MetricSpec, usage: int, target: int, world: World) -> Proposal:
    """It is divided by status.replicas, ready or not."""
    replicas = world.status_replicas
    if not replicas:
        found = Proposal(spec, _int32(usage / target))
        return found._replace(
            steps=(f"{_number(usage)} / {_number(target)} = {found.replicas}: nobody has it yet",)
        )
    ratio, average = usage / (target * replicas), -(-usage // replicas)
    told = (f"{_number(usage)} for {replicas} replicas, the target is {_number(target)} each: ratio {ratio:.4g}",)
    found = Proposal(spec, replicas, average=average, ratio=ratio, steps=told)
    if world.tolerances.within(ratio):
        return found._replace(steps=(*told, _too_small(ratio, world)))
    replicas = _int32(usage / target)
    return found._replace(replicas=replicas, steps=(*told, f"{_number(usage)} / {_number(target)} = {replicas}"))


# Words and numbers -----------------------------------------------------------------------------


def _told(groups: Groups) -> List[str]:
    parts = [f"{len(groups.counted)} pods count"]
    for names, what in ((groups.unready, "are not ready"), (groups.missing, "have no value"),
                        (groups.ignored, "are deleted or failed")):  # fmt: skip
        if names:
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            parts.append(f"{len(names)} {what} ({shown})")
    return ["; ".join(parts)]


def _too_small(ratio: float, world: World) -> str:
    side = f"{world.tolerances.up:.4g} up" if ratio >= 1 else f"{world.tolerances.down:.4g} down"
    return f"ratio {ratio:.4g} is within the tolerance of {side}: no change"


def _product(ratio: float, pods: int, replicas: int, what: str = "pods") -> str:
    return f"ratio {ratio:.4g} x {pods} {what} = {replicas}, rounded up"


def _number(milli: int) -> str:
    return f"{milli / 1000:.6g}"


def _quotient(number: int, by: int) -> int:
    """Cut off towards 0."""
    return number // by if number >= 0 else -(-number // by)


def _int32(value: float) -> int:
    return min(_MOST, ceil(value))
