"""Filters of volumes: claims that are not bound, volumes of another node or zone, drivers that take no more. Pure.

Inline volumes of clouds (awsElasticBlockStore and its like) and storage capacity as CSI drivers publish it are
not judged: `doubts` says so of a pod that this could concern.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from krm.analysis.inputs import Body
from krm.analysis.scheduling.board import Board, World
from krm.analysis.scheduling.parsed import Node, Pod
from krm.analysis.scheduling.selecting import any_term_matches, label_selector, node_terms
from krm.model.quantities import BadQuantity, parse
from krm.model.reading import mapping, rows, text, texts

FOREIGN_NODE = "node(s) didn't match PersistentVolume's node affinity"
NO_VOLUME = "node(s) didn't find available persistent volumes to bind"
NO_SUCH_VOLUME = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
ZONE = "node(s) had no available volume zone"
ONE_POD = (
    "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode"
    " already in-use by another pod"
)
TOO_MANY = "node(s) exceed max volume count"
NOT_BOUND = "pod has unbound immediate PersistentVolumeClaims"

_GA = {
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
}
_ZONES = (*_GA.values(), *_GA)
_BOUND = "pv.kubernetes.io/bind-completed"
_SELECTED = "volume.kubernetes.io/selected-node"
_CLASS = "volume.beta.kubernetes.io/storage-class"
_NONE = "kubernetes.io/no-provisioner"
_INLINE = ("awsElasticBlockStore", "gcePersistentDisk", "rbd", "iscsi", "azureDisk", "cinder")


class Claim(NamedTuple):
    """A claim of the pod."""

    name: str
    is_ephemeral: bool  # made for this pod, and named after it
    body: Optional[Body]  # None = it is not there


class Volumes:
    """Of one pod on one board. Without a claim nothing of it is looked at."""

    def __init__(self, board: Board, pod: Pod) -> None:
        self._board, self._pod, self._world = board, pod, board.world
        self._claims = claims_of(pod, board.world) if board.world.claims is not None else []
        self.doubts = tuple(_doubts(pod, board.world))

    def refused(self) -> str:
        """Why it can run nowhere, in the scheduler's words; '' = it is not so."""
        for claim in self._claims:
            if claim.body is None and not claim.is_ephemeral:
                return f'persistentvolumeclaim "{claim.name}" not found'
        for claim in self._claims:
            why = self._unfit(claim)
            if why:
                return why
        if any(self._waits(claim) and not self._is_late(claim) for claim in self._claims):
            return NOT_BOUND
        return self._missing_volume()

    def _unfit(self, claim: Claim) -> str:
        if claim.body is None:
            return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{claim.name}"'
        if mapping(claim.body.get("status")).get("phase") == "Lost":
            return f'persistentvolumeclaim "{claim.name}" bound to non-existent persistentvolume "{_volume(claim)}"'
        if mapping(claim.body.get("metadata")).get("deletionTimestamp"):
            return f'persistentvolumeclaim "{claim.name}" is being deleted'
        return ""

    def _missing_volume(self) -> str:
        """VolumeZone looks for the volumes of claims, but for ephemeral ones."""
        if self._world.volumes is None:
            return ""
        for claim in self._claims:
            name = _volume(claim)
            if name and not claim.is_ephemeral and name not in self._world.volumes:
                return f'persistentvolume "{name}" not found'
        return ""

    def is_taken(self) -> bool:
        """Whether a claim that one pod alone may use is used by another."""
        names = {
            claim.name
            for claim in self._claims
            if "ReadWriteOncePod" in texts(mapping((claim.body or {}).get("spec")).get("accessModes"))
        }
        return bool(names) and any(
            other.namespace == self._pod.namespace and names & set(_claim_names(other))
            for node in self._board.nodes
            for other in self._board.pods_on(node)
        )

    def exceeds(self, node: Node) -> bool:
        """Whether a driver would have to attach more than it can."""
        body = mapping((self._world.csi_nodes or {}).get(node.name))
        limits: Dict[str, int] = {}
        for driver in rows(mapping(body.get("spec")).get("drivers")):
            count = mapping(driver.get("allocatable")).get("count")
            if isinstance(count, int):
                limits[text(driver.get("name"))] = count
        if not limits or not self._claims:
            return False
        there: Set[Tuple[str, str]] = set()
        for other in self._board.pods_on(node.name):
            there |= self._attached(claims_of(other, self._world))
        new = self._attached(self._claims) - there
        return any(
            driver in limits and _count(there, driver) + _count(new, driver) > limits[driver] for driver, _ in new
        )

    def _attached(self, claims: Sequence[Claim]) -> Set[Tuple[str, str]]:
        """(driver, volume) of each."""
        found = set()
        for claim in claims:
            if claim.body is None:
                continue
            csi = mapping(mapping(self._volume_body(claim).get("spec")).get("csi"))
            driver, handle = text(csi.get("driver")), text(csi.get("volumeHandle"))
            if not _volume(claim):
                driver = text(self._class(claim).get("provisioner"))
                handle = f"{self._pod.namespace}/{claim.name}"
            if driver and handle and driver != _NONE:
                found.add((driver, handle))
        return found

    def binding(self, node: Node) -> List[str]:
        """VolumeBinding's reasons."""
        bound = [claim for claim in self._claims if not self._waits(claim)]
        late = [claim for claim in self._claims if self._waits(claim)]
        reasons = []
        volumes = self._world.volumes
        if volumes is not None:
            for claim in bound:
                if _volume(claim) not in volumes:
                    return [NO_SUCH_VOLUME]
                if not _is_near(volumes[_volume(claim)], node):
                    reasons.append(FOREIGN_NODE)
                    break
            if late and not self._can_bind(late, node):
                reasons.append(NO_VOLUME)
        return reasons

    def _can_bind(self, claims: Sequence[Claim], node: Node) -> bool:
        chosen: Set[str] = set()
        for claim in sorted(claims, key=_size):
            selected = mapping(mapping((claim.body or {}).get("metadata")).get("annotations")).get(_SELECTED)
            if selected is not None and selected != node.name:
                return False
            name = None if selected is not None else self._free_volume(claim, node, chosen)
            if name is not None:
                chosen.add(name)
            elif not self._can_provision(claim, node):
                return False
        return True

    def _free_volume(self, claim: Claim, node: Node, chosen: Set[str]) -> Optional[str]:
        """The smallest that fits; None = there is none."""
        spec = mapping((claim.body or {}).get("spec"))
        selector = label_selector(spec.get("selector"))
        found = []
        for name, volume in (self._world.volumes or {}).items():
            its, metadata = mapping(volume.get("spec")), mapping(volume.get("metadata"))
            reference = mapping(its.get("claimRef"))
            own = (reference.get("namespace"), reference.get("name")) == (self._pod.namespace, claim.name)
            if name in chosen or (reference and not own) or metadata.get("deletionTimestamp"):
                continue
            if (its.get("volumeMode") or "Filesystem") != (spec.get("volumeMode") or "Filesystem"):
                continue
            if _capacity(volume) < _size(claim) or not _is_near(volume, node):
                continue
            if own:
                return name
            if mapping(volume.get("status")).get("phase") != "Available" or _class_of(volume) != _class_of(
                claim.body
            ):
                continue
            if selector is not None and not selector.matches(mapping(metadata.get("labels"))):
                continue
            if set(texts(spec.get("accessModes"))) <= set(texts(its.get("accessModes"))):
                found.append((_capacity(volume), name))
        return min(found)[1] if found else None

    def _can_provision(self, claim: Claim, node: Node) -> bool:
        kind = self._class(claim)
        if text(kind.get("provisioner")) in ("", _NONE):
            return False
        terms = rows(kind.get("allowedTopologies"))
        return not terms or any(
            all(
                node.labels.get(text(one.get("key"))) in texts(one.get("values"))
                for one in rows(term.get("matchLabelExpressions"))
            )
            for term in terms
        )

    def is_elsewhere(self, node: Node) -> bool:
        """VolumeZone: whether a volume is labelled for other zones than the node is."""
        if not any(key in node.labels for key in _ZONES):
            return False
        for claim in self._claims:
            labels = {} if claim.is_ephemeral else _labels(self._volume_body(claim))
            for key in _ZONES:
                if key in labels:
                    here = node.labels.get(key, node.labels.get(_GA.get(key, key)))
                    if here is None or here not in labels[key].split("__"):
                        return True
        return False

    def _class(self, claim: Claim) -> Mapping[str, Any]:
        return mapping((self._world.classes or {}).get(_class_of(claim.body)))

    def _volume_body(self, claim: Claim) -> Mapping[str, Any]:
        return mapping((self._world.volumes or {}).get(_volume(claim)))

    def _waits(self, claim: Claim) -> bool:
        annotations = mapping(mapping((claim.body or {}).get("metadata")).get("annotations"))
        return claim.body is not None and not (_volume(claim) and _BOUND in annotations)

    def _is_late(self, claim: Claim) -> bool:
        """Whether its class binds it when its pod finds a node. A class that is not known is taken to."""
        if _volume(claim):
            return False
        if self._world.classes is None:
            return True
        return self._class(claim).get("volumeBindingMode") == "WaitForFirstConsumer"


def claims_of(pod: Pod, world: World) -> List[Claim]:
    """In the order of its volumes."""
    found = []
    for volume in rows(mapping(pod.body.get("spec")).get("volumes")):
        name = text(mapping(volume.get("persistentVolumeClaim")).get("claimName"))
        is_ephemeral = isinstance(volume.get("ephemeral"), dict)
        if is_ephemeral:
            name = f"{pod.name}-{text(volume.get('name'))}"
        if name:
            found.append(Claim(name, is_ephemeral, (world.claims or {}).get(f"{pod.namespace}/{name}")))
    return found


def _claim_names(pod: Pod) -> List[str]:
    volumes = rows(mapping(pod.body.get("spec")).get("volumes"))
    return [text(mapping(volume.get("persistentVolumeClaim")).get("claimName")) for volume in volumes]


def _doubts(pod: Pod, world: World) -> List[str]:
    volumes = rows(mapping(pod.body.get("spec")).get("volumes"))
    told = []
    if any(volume.get(name) for volume in volumes for name in _INLINE):
        told.append(f"pod {pod}: volumes of clouds and disks that are not claims were not judged")
    if not any(volume.get("persistentVolumeClaim") or volume.get("ephemeral") for volume in volumes):
        return told
    unknown = [
        what
        for what, known in (
            ("claims", world.claims),
            ("volumes", world.volumes),
            ("storage classes", world.classes),
            ("CSINodes", world.csi_nodes),
        )
        if known is None
    ]
    if unknown:
        told.append(f"pod {pod}: its volumes were judged without {', '.join(unknown)}, which are not known")
    if any(_is_provisioned(claim, world) for claim in claims_of(pod, world)):
        told.append(f"pod {pod}: whether the driver of its claims has storage left was not judged")
    return told


def _is_provisioned(claim: Claim, world: World) -> bool:
    """Whether a driver would have to make its volume."""
    kind = mapping((world.classes or {}).get(_class_of(claim.body)))
    return claim.body is not None and not _volume(claim) and text(kind.get("provisioner")) not in ("", _NONE)


def _volume(claim: Claim) -> str:
    return text(mapping((claim.body or {}).get("spec")).get("volumeName"))


def _class_of(body: Optional[Body]) -> str:
    annotations = mapping(mapping((body or {}).get("metadata")).get("annotations"))
    return text(annotations.get(_CLASS)) or text(mapping((body or {}).get("spec")).get("storageClassName"))


def _labels(body: Body) -> Mapping[str, str]:
    labels: Mapping[str, str] = mapping(mapping(body.get("metadata")).get("labels"))
    return labels


def _is_near(volume: Body, node: Node) -> bool:
    required = mapping(mapping(mapping(volume.get("spec")).get("nodeAffinity")).get("required"))
    return not required or any_term_matches(node_terms(required.get("nodeSelectorTerms")), node.labels)


def _size(claim: Claim) -> float:
    return _storage(mapping(mapping((claim.body or {}).get("spec")).get("resources")).get("requests"))


def _capacity(volume: Body) -> float:
    return _storage(mapping(volume.get("spec")).get("capacity"))


def _storage(amounts: Any) -> float:
    try:
        return float(parse(mapping(amounts).get("storage", "0")))
    except (BadQuantity, TypeError):
        return 0.0


def _count(attached: Set[Tuple[str, str]], driver: str) -> int:
    return sum(one == driver for one, _ in attached)
