"""Pods above their own limit of ephemeral storage: a kubelet evicts them whatever the node has left. Pure.

The limit is the sum of its containers', where one of them has any; what counts are writable layers, logs and
emptyDirs together. A container above its own limit, and an emptyDir above its sizeLimit, are evicted alike: krm
does not measure these apart. Static and critical pods stay.
"""

from __future__ import annotations

from typing import Iterable, Iterator, Mapping, Sequence, Tuple

from krm.analysis.finding import CRITICAL, HIGH, LOW, WARNING, About, Evidence, Finding
from krm.analysis.inputs import Inputs, Reading
from krm.analysis.nodes.ranking import protected_by
from krm.analysis.nodes.standing import READY, Standing
from krm.analysis.nodes.texts import percent, size
from krm.model.amounts import NANO, STORAGE
from krm.model.podresources import LIMITS
from krm.model.reading import mapping, text
from krm.model.trust import LIVE

NEAR = 0.9  # share of the limit
RULE = "pod-storage-limit"
USED = "ephemeral_storage/usage"


def storage_findings(
    nodes: Iterable[Standing], inputs: Inputs, readings: Mapping[Tuple[str, str], Reading]
) -> Sequence[Finding]:
    """`readings`: of all pods. A pod that is not measured has none."""
    stale = any(one.state != LIVE for one in inputs.state.trust.values())
    return [finding for node in nodes for finding in _of_node(node, readings, stale)]


def unmeasured(nodes: Iterable[Standing], readings: Mapping[Tuple[str, str], Reading]) -> Iterator[str]:
    """What the ids begin with that findings of such pods would have."""
    for pod in (one for node in nodes for one in node.pods):
        metadata = mapping(pod.get("metadata"))
        namespace, name = text(metadata.get("namespace")), text(metadata.get("name"))
        reading = readings.get((namespace, name))
        if reading is None or USED not in reading.values:
            yield f"{RULE}/pod/{namespace}/{name}"


def _of_node(node: Standing, readings: Mapping[Tuple[str, str], Reading], stale: bool) -> Iterator[Finding]:
    for pod, held in zip(node.pods, node.held):
        metadata = mapping(pod.get("metadata"))
        namespace, name = text(metadata.get("namespace")), text(metadata.get("name"))
        reading = readings.get((namespace, name))
        amount = held.totals[LIMITS].get(STORAGE)
        used = None if reading is None else reading.values.get(USED)
        if reading is None or used is None or not amount or used < NEAR * amount / NANO or protected_by(pod):
            continue
        limit, over = amount / NANO, round(used) * NANO > amount
        does = "its kubelet evicts it" if over else "above it its kubelet evicts it"
        doubts = [*(["objects are not live"] if stale else []), *node.doubts]
        if node.state != READY:
            doubts.append(f"its node {node.name} is {node.state}")
        yield Finding(
            RULE,
            CRITICAL if over else WARNING,
            About("pod", namespace, name, part=STORAGE),
            f"pod {namespace}/{name} uses {size(used)} of ephemeral storage, {percent(used / limit)} of its limit"
            f" {size(limit)}: {does}",
            (
                Evidence("used", used, "bytes", reading.source, reading.at),
                Evidence("limit", limit, "bytes", "spec"),
            ),
            LOW if doubts else HIGH,
            tuple(doubts),
            "a higher limit, or less in its writable layers, logs and emptyDirs",
        )
