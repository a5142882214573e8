"""Values that one source read at times of their own, as samples."""

from __future__ import annotations

import re
from typing import Dict, Iterable, List, Mapping, Optional, Tuple

from krm.model.measures import Sample, Subject

SAME_MOMENT = 1.0  # seconds: values of a subject that are no further apart are one sample, at the first's time
AHEAD = 24 * 3600.0  # seconds that a node's clock may be ahead; beyond that a time is no time

Part = Tuple[float, Mapping[str, float]]  # Unix seconds, metric -> value
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch


def joined(subject: Subject, parts: Iterable[Part], source: str, started: Optional[float] = None) -> List[Sample]:
    """A sample a moment; `uptime` in each that holds CPU or, where none does, in the first."""
    samples: List[Sample] = []
    for at, values in parts:
        if not values:
            continue
        for index, sample in enumerate(samples):
            if -SAME_MOMENT <= at - sample.at <= SAME_MOMENT:
                samples[index] = sample._replace(values={**sample.values, **values})
                break
        else:
            samples.append(Sample(subject, at, dict(values), source, 0.0, started))
    if samples and started is not None and samples[0].at >= started and not subject.resource_id:
        first = samples[0]
        samples[0] = first._replace(values={**first.values, "uptime": uptime(first.at, started)})
    return samples


def uptime(at: float, started: float) -> float:
    """Whole milliseconds."""
    return round((at - started) * 1000.0)


def uid_of(text: str) -> str:
    """A pod's uid as the API server has it; '' for that of a static pod, which only its kubelet calls so."""
    uid = text.replace("_", "-")
    return uid if _UUID(uid) else ""


# Interfaces of a node that carry what others carry too, or none of the network: bridges, tunnels, pods' ends.
_INNER = re.compile(
    r"lo|veth|docker|cni|cbr|br-|bridge|flannel|cali|cilium|lxc|vxlan|weave|kube-|nodelocaldns|dummy|tunl|tap|"
    r"virbr|ovs|antrea|genev|wg|ip6tnl|sit|gre|ifb"
).match

Traffic = Dict[str, float]  # network/rx, rx_errors, tx, tx_errors


def traffic_of(interfaces: Mapping[str, Traffic], of_node: bool) -> Traffic:
    """What went over all interfaces of a pod, or over those that lead out of a node: eth0 where there is one, as
    kubelets count it, else all that are no bridge, tunnel or pod's end. {} where none is known."""
    if of_node and "eth0" in interfaces:
        return dict(interfaces["eth0"])
    total: Traffic = {}
    for name, traffic in interfaces.items():
        if name == "lo" or (of_node and _INNER(name)):
            continue
        for metric, value in traffic.items():
            total[metric] = total.get(metric, 0.0) + value
    return total
