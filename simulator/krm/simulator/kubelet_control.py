"""/simulator/kubelets: the levers of simulated kubelets over HTTP."""

from __future__ import annotations

import base64
from typing import Any, Callable, Dict

from .kubelet_loads import Load, Pressure, Wave
from .kubelet_serving import Fault
from .kubelets import Kubelets
from .wire import Object


def describe(kubelets: Kubelets) -> Object:
    """Of each node: where its kubelet listens, how often each page was asked for, what is wrong with it."""
    return {
        name: {
            "url": kubelets.url(name),
            "requests": kubelets.requests(name),
            "faults": {path: [fault.kind, fault.value] for path, fault in kubelets.faults(name).items()},
        }
        for name in kubelets.names
    }


def command(kubelets: Kubelets, asked: Object) -> Object:
    """action: step restart kill revive fault heal, of a node. KeyError, ValueError, TypeError for what is none."""
    action = _ACTIONS.get(str(asked["action"]))
    if action is None:
        raise ValueError("no action is called %r" % asked["action"])
    action(kubelets, str(asked["node"]), asked)
    return {}


def changed(load: Load, changes: Dict[str, Any]) -> Load:
    """The load with fields of Load replaced; wave and pressure come as objects of their fields, or null."""
    changes = dict(changes)
    if changes.get("wave"):
        changes["wave"] = Wave(**changes["wave"])
    if changes.get("pressure"):
        changes["pressure"] = Pressure(**changes["pressure"])
    return load._replace(**changes)


def _step(kubelets: Kubelets, node: str, asked: Object) -> None:
    """pod: NAMESPACE/NAME, container, load: what changes; at: Unix seconds, now without."""
    pod, container = str(asked["pod"]), str(asked["container"])
    load = changed(kubelets.load(node, pod, container), asked["load"])
    kubelets.step(node, pod, container, load, asked.get("at"))


def _restart(kubelets: Kubelets, node: str, asked: Object) -> None:
    kubelets.restart(node, str(asked["pod"]), str(asked["container"]), asked.get("at"))


def _fault(kubelets: Kubelets, node: str, asked: Object) -> None:
    """path, fault: a kind of Fault, value, and bytes in base64."""
    body = base64.b64decode(asked.get("bytes", ""))
    kubelets.fault(node, str(asked["path"]), Fault(str(asked["fault"]), float(asked.get("value", 0.0)), body))


_ACTIONS: Dict[str, Callable[[Kubelets, str, Object], None]] = {
    "step": _step,
    "restart": _restart,
    "fault": _fault,
    "heal": lambda kubelets, node, _: kubelets.heal(node),
    "kill": lambda kubelets, node, _: kubelets.kill(node),
    "revive": lambda kubelets, node, _: kubelets.revive(node),
}
