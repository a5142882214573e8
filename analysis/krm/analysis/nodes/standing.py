"""How each node stands: what it has, what is requested and used of it, and what its kubelet says. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.inputs import Body, Inputs, Reading
from krm.model import times
from krm.model.amounts import CPU, MEMORY, MILLI, NANO, STORAGE, Amounts, Troubles, add, is_extended, read
from krm.model.measures import NODE, POD
from krm.model.metrics import BYTES, COUNT, MILLICORES
from krm.model.podresources import REQUESTS, PodResources, has_ended, pod_resources
from krm.model.reading import mapping, rows, text

PODS = "pods"
READY, NOT_READY, UNKNOWN = "ready", "not ready", "unknown"  # unknown: its kubelet does not report any more
# Seconds. The newest reading of a kubelet is at most two looks old, one of metrics-server a minute or two; what is
# older says nothing of now.
FRESHEST = 180.0
# Seconds that a node's clock may be ahead before its times are doubted.
AHEAD = 30.0
PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure")
_WAITING = tuple(f"pressure/{of}_{how}" for of in ("cpu", "memory", "io") for how in ("waiting", "stalled"))


@dataclass(frozen=True)
class Resource:
    """One resource of a node. Amounts in `unit`; None = not known."""

    name: str  # cpu, memory, ephemeral-storage, pods, nvidia.com/gpu
    unit: str  # millicores, bytes, count
    capacity: Optional[float]
    allocatable: Optional[float]
    requested: Optional[float]  # by pods that have not ended
    used: Optional[float]  # of extended resources nobody tells

    @property
    def free(self) -> Optional[float]:
        """What the scheduler may still give away; below 0 where more is requested than there is."""
        if self.allocatable is None or self.requested is None:
            return None
        return self.allocatable - self.requested

    @property
    def reserved(self) -> Optional[float]:
        """Requested / allocatable."""
        return _share(self.requested, self.allocatable)

    @property
    def busy(self) -> Optional[float]:
        """Used / allocatable."""
        return _share(self.used, self.allocatable)


@dataclass(frozen=True)
class Condition:
    """What a node's status says of it."""

    type: str
    status: str  # True, False, Unknown
    since: Optional[float]  # Unix seconds by the kubelet's clock, or the controller's where the kubelet is away
    reason: str


class Standing(NamedTuple):
    """One node."""

    name: str
    state: str  # READY, NOT_READY, UNKNOWN
    cordoned: bool
    taints: Tuple[str, ...]  # those that keep pods away: key=value:NoSchedule
    conditions: Tuple[Condition, ...]
    resources: Tuple[Resource, ...]
    waiting: Mapping[str, float]  # PSI: metric -> share of time, where it is told
    measured_at: Optional[float]  # Unix seconds by the node's clock; None = it is not measured now
    doubts: Tuple[str, ...]
    pods: Tuple[Body, ...]  # on it, that have not ended
    held: Tuple[PodResources, ...]  # by each of these

    def resource(self, name: str) -> Optional[Resource]:
        """None: it has none of it."""
        return next((one for one in self.resources if one.name == name), None)


def _share(part: Optional[float], whole: Optional[float]) -> Optional[float]:
    return None if part is None or not whole else part / whole


def standings(inputs: Inputs) -> List[Standing]:
    """By name. Raises NotKnown without nodes or pods."""
    by_node: Dict[str, List[Body]] = {}
    for pod in inputs.state.objects("pods"):
        node = text(mapping(pod.get("spec")).get("nodeName"))
        if node and not has_ended(dict(pod)):
            by_node.setdefault(node, []).append(pod)
    measured = {one.subject.node: one for one in inputs.newest.readings.get(NODE, ())}
    found = []
    for body in inputs.state.objects("nodes"):
        name = text(mapping(body.get("metadata")).get("name"))
        if name:
            pods = sorted(by_node.get(name, ()), key=_name)
            found.append(_standing(name, body, pods, measured.get(name), inputs.now))
    return sorted(found, key=lambda one: one.name)


def _name(pod: Body) -> Tuple[str, str]:
    metadata = mapping(pod.get("metadata"))
    return text(metadata.get("namespace")), text(metadata.get("name"))


def pod_readings(inputs: Inputs) -> Dict[Tuple[str, str], Reading]:
    """(namespace, pod) -> what it uses now; what is too old is not in it."""
    return {
        (one.subject.namespace, one.subject.pod): one
        for one in inputs.newest.readings.get(POD, ())
        if _usable(one, inputs.now)
    }


def _usable(reading: Reading, now: float) -> bool:
    return reading.at is not None and now - reading.at <= FRESHEST


def _standing(name: str, node: Body, pods: List[Body], reading: Optional[Reading], now: float) -> Standing:
    spec, status = mapping(node.get("spec")), mapping(node.get("status"))
    conditions = tuple(_conditions(status))
    troubles = Troubles(f"node {name}")
    usable = reading if reading is not None and _usable(reading, now) else None
    doubts: List[str] = []
    if reading is None or reading.at is None:
        doubts.append("nothing is measured of it")
    elif usable is None:
        doubts.append(f"its newest measurement is {now - reading.at:.0f} s old: what it uses now is not known")
    elif reading.at - now > AHEAD:
        doubts.append(f"its clock is {reading.at - now:.0f} s ahead of krm's")
    values = {} if usable is None else usable.values
    held = tuple(pod_resources(dict(pod)) for pod in pods)
    resources = _resources(status, held, values, troubles)
    doubts += troubles.told
    return Standing(
        name, _state(conditions), spec.get("unschedulable") is True, tuple(_taints(spec)), conditions, resources,
        {metric: values[metric] for metric in _WAITING if metric in values},
        None if usable is None else usable.at, tuple(doubts), tuple(pods), held,
    )  # fmt: skip


def _state(conditions: Iterable[Condition]) -> str:
    ready = next((one.status for one in conditions if one.type == "Ready"), "Unknown")
    return {"True": READY, "False": NOT_READY}.get(ready, UNKNOWN)


def _conditions(status: Mapping[str, Any]) -> Iterable[Condition]:
    for one in sorted(rows(status.get("conditions")), key=lambda row: text(row.get("type"))):
        yield Condition(
            text(one.get("type")),
            text(one.get("status")),
            times.known(one.get("lastTransitionTime")),
            text(one.get("reason")),
        )


def _taints(spec: Mapping[str, Any]) -> Iterable[str]:
    for one in rows(spec.get("taints")):
        effect, value = text(one.get("effect")), text(one.get("value"))
        if effect in ("NoSchedule", "NoExecute"):
            yield f"{text(one.get('key'))}{'=' + value if value else ''}:{effect}"


def _resources(
    status: Mapping[str, Any], pods: Sequence[PodResources], values: Mapping[str, float], troubles: Troubles
) -> Tuple[Resource, ...]:
    capacity, allocatable = (
        _listed(mapping(status.get(field)), troubles, field) for field in ("capacity", "allocatable")
    )
    requested: Amounts = {}
    for held in pods:
        add(requested, held.totals[REQUESTS])
        troubles.told += held.troubles
    used = {CPU: "cpu/usage_rate", MEMORY: "memory/working_set", STORAGE: "ephemeral_storage/usage"}
    names = [CPU, MEMORY, STORAGE, *sorted(name for name in {*capacity, *allocatable} if is_extended(name))]
    found = [
        Resource(
            name, _unit(name), _in_units(name, capacity.get(name)), _in_units(name, allocatable.get(name)),
            _in_units(name, requested.get(name, 0)), values.get(used.get(name, "")),
        )
        for name in names
    ]  # fmt: skip
    counted = [_in_units(PODS, listed.get(PODS)) for listed in (capacity, allocatable)]
    found.append(Resource(PODS, COUNT, counted[0], counted[1], float(len(pods)), float(len(pods))))
    return tuple(found)


def _listed(resources: Mapping[str, Any], troubles: Troubles, field: str) -> Amounts:
    """With the number of pods, which is no pod's resource."""
    amounts = read(dict(resources), troubles, field)
    if PODS in resources:
        amounts[PODS] = read({"krm/pods": resources[PODS]}, troubles, field)["krm/pods"]
    return amounts


def _unit(name: str) -> str:
    return MILLICORES if name == CPU else BYTES if name in (MEMORY, STORAGE) else COUNT


def _in_units(name: str, value: Optional[int]) -> Optional[float]:
    return None if value is None else value / (MILLI if name == CPU else NANO)
