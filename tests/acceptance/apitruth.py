"""What the API server itself says, in the form that docs/formats.md calls canonical. None of krm's code is used."""

from __future__ import annotations

import threading
import time
from typing import Any, Dict, List, Set, Tuple

from acceptance.product import key_of
from controlplane.kubeapi import ApiError
from controlplane.objects import pod_body
from controlplane.plane import ControlPlane

PLACEHOLDER = "[redacted by krm]"
THREADS = 3
AT_MOST = 120.0  # seconds that a churn takes
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def redacted(value: Any) -> Any:
    """A copy without environment values, at any depth."""
    if isinstance(value, list):
        return [redacted(item) for item in value]
    if not isinstance(value, dict):
        return value
    copy = {name: redacted(item) for name, item in value.items()}
    if isinstance(copy.get("env"), list):
        copy["env"] = [
            {**item, "value": PLACEHOLDER} if isinstance(item, dict) and {"name", "value"} <= set(item) else item
            for item in copy["env"]
        ]
    return copy


def canonical(item: Dict[str, Any], api_version: str, kind: str) -> Dict[str, Any]:
    """One object of a list as krm keeps it."""
    kept: Dict[str, Any] = redacted({"apiVersion": api_version, "kind": kind, **item})
    metadata = kept["metadata"]
    metadata.pop("managedFields", None)
    annotations = metadata.get("annotations", {})
    if annotations.pop(LAST_APPLIED, None) is not None and not annotations:
        del metadata["annotations"]
    return kept


def listed(plane: ControlPlane, path: str) -> Dict[str, Any]:
    """The API server's own list by namespace/name: consistent, without a page."""
    answer = plane.admin.get(path)
    kind = answer["kind"][: -len("List")]
    return {key_of(item): canonical(item, answer["apiVersion"], kind) for item in answer["items"]}


class Churn:
    """Threads that create, patch and delete pods as fast as the API server takes it."""

    def __init__(self, plane: ControlPlane, namespaces: List[str], nodes: List[str], prefix: str = "churn") -> None:
        self._plane, self._namespaces, self._nodes = plane, namespaces, nodes
        self._prefix = prefix
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(THREADS)]
        self.done: Dict[str, int] = {"created": 0, "patched": 0, "deleted": 0}
        self.errors: List[str] = []
        self._deleted: Set[str] = set()
        self._counting = threading.Lock()

    def run(self, seconds: float, least: int = 0) -> None:
        """Returns when the last write was answered. Raises the first unexpected refusal.

        least: of each kind of write, on a machine that is slow too; within AT_MOST seconds.
        """
        began = time.monotonic()
        for thread in self._threads:
            thread.start()
        time.sleep(seconds)
        while min(self.done.values()) < least and time.monotonic() - began < AT_MOST:
            time.sleep(0.5)
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert not self.errors, self.errors[:3]

    def _run(self, number: int) -> None:
        mine: List[Tuple[str, str]] = []  # (namespace, name)
        turn = 0
        while not self._stop.is_set():
            turn += 1
            namespace = self._namespaces[turn % len(self._namespaces)]
            folder = f"/api/v1/namespaces/{namespace}/pods"
            try:
                if turn % 4 == 0 and mine:
                    place, name = mine.pop(0)
                    # Half at once, half with the grace in which kwok plays the kubelet.
                    body = {"gracePeriodSeconds": 0} if turn % 8 else {}
                    self._plane.admin.delete(f"/api/v1/namespaces/{place}/pods/{name}", body)
                    self._count("deleted")
                elif turn % 4 == 1 or not mine:
                    name = f"{self._prefix}-{number}-{turn:05d}"
                    self._plane.admin.create(folder, pod_body(name, self._nodes[turn % len(self._nodes)]))
                    mine.append((namespace, name))
                    self._count("created")
                else:
                    place, name = mine[turn % len(mine)]
                    labels = {"metadata": {"labels": {"turn": str(turn)}}}
                    self._plane.admin.patch(f"/api/v1/namespaces/{place}/pods/{name}", labels)
                    self._count("patched")
            except ApiError as error:
                if error.status not in (404, 409):  # a pod that kwok or the collector took away meanwhile
                    self.errors.append(str(error))
                    return

    def _count(self, what: str) -> None:
        with self._counting:
            self.done[what] += 1
