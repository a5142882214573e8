"""Processes, and what kubelets, container runtimes and pods use beside their containers: answers of agents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Dict, List, Optional, Tuple

from krm.analysis.answer import Answer, Column
from krm.analysis.limits.words import amount
from krm.analysis.worth import Worth
from krm.client.client import Client
from krm.client.seen import Process
from krm.client.usage import Used
from krm.model.amounts import CPU, MEMORY
from krm.model.measures import Covers
from krm.model.trust import LIVE

UNKNOWN = "-"


def _cpu(value: Optional[float]) -> str:
    return UNKNOWN if value is None else amount(CPU, value)


def _memory(value: Optional[float]) -> str:
    return UNKNOWN if value is None else amount(MEMORY, value)


@dataclass(frozen=True)
class Processes(Answer):
    """An answer: a row a process, by pod and container."""

    NOTHING: ClassVar[str] = "no processes are known here"
    COLUMNS: ClassVar[Tuple[Column, ...]] = (
        Column("NAMESPACE", lambda row: row.namespace or UNKNOWN),
        Column("POD", lambda row: row.pod or UNKNOWN),
        Column("CONTAINER", lambda row: row.container or UNKNOWN),
        Column("PID", lambda row: str(row.pid)),
        Column("NAME", lambda row: row.name),
        Column("CPU", lambda row: _cpu(row.cpu)),
        Column("RSS", lambda row: _memory(row.rss)),
        Column("THREADS", lambda row: str(row.threads), True),
        Column("NODE", lambda row: row.node, True),
        Column("COMMAND", lambda row: row.command or UNKNOWN, True),
    )

    rows: Tuple[Process, ...]
    nodes: Optional[Covers]  # whose processes are known, of how many


@dataclass(frozen=True)
class Overhead:
    """What one node uses beside its pods' containers. CPU in millicores, memory in bytes; None = not known."""

    node: str
    cpu: Optional[float]  # of kubelet and container runtime, shims too
    memory: Optional[float]  # resident
    cpu_reserved: Optional[float]  # capacity less allocatable: what is set aside for them and the system
    memory_reserved: Optional[float]
    pods_cpu: Optional[float]  # of its pods beyond their containers
    pods_memory: Optional[float]
    pods_cpu_declared: Optional[float]  # by their RuntimeClasses; None = no pod has any
    pods_memory_declared: Optional[float]
    covers: Covers  # pods whose overhead is known, of those on the node
    at: Optional[float]  # Unix seconds by the source's clock


@dataclass(frozen=True)
class Overheads(Answer):
    """An answer: a row a node."""

    NOTHING: ClassVar[str] = "no nodes are measured"
    COLUMNS: ClassVar[Tuple[Column, ...]] = (
        Column("NODE", lambda row: row.node),
        Column("RUNTIME(cpu)", lambda row: _cpu(row.cpu)),
        Column("RUNTIME(memory)", lambda row: _memory(row.memory)),
        Column("RESERVED(cpu)", lambda row: _cpu(row.cpu_reserved)),
        Column("RESERVED(memory)", lambda row: _memory(row.memory_reserved)),
        Column("PODS(cpu)", lambda row: _cpu(row.pods_cpu)),
        Column("PODS(memory)", lambda row: _memory(row.pods_memory)),
        Column("DECLARED(cpu)", lambda row: _cpu(row.pods_cpu_declared), True),
        Column("DECLARED(memory)", lambda row: _memory(row.pods_memory_declared), True),
        Column("KNOWN", lambda row: str(row.covers), True),
    )

    rows: Tuple[Overhead, ...]
    nodes: Optional[Covers]  # that are measured, of how many


def processes(client: Client, namespace: Optional[str], pod: str, node: str, host: bool) -> Processes:
    """Raises KrmError."""
    found = client.processes(namespace, pod, node, host)
    worth = _worth(found.state, found.reasons, [row.at for row in found.rows], found.now)
    return Processes(worth, (), found.rows, found.nodes)


def overhead(client: Client, node: str) -> Overheads:
    """node: '' = each. Raises KrmError."""
    nodes, pods = client.usage("nodes", name=node), client.usage("pods")
    by_node: Dict[str, List[Used]] = {}
    for pod in pods.rows:
        by_node.setdefault(pod.node, []).append(pod)
    rows = tuple(_row(one, by_node.get(one.name, [])) for one in nodes.rows)
    reasons = list(nodes.reasons) + [one for one in pods.reasons if one not in nodes.reasons]
    unknown = [row.node for row in rows if row.memory is None]
    if unknown:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        reasons.append(f"no agent tells what the runtime of {', '.join(unknown[:3])}{more} uses")
    state = next((one.state for one in (nodes, pods) if one.state != LIVE), LIVE)
    return Overheads(
        _worth(state, tuple(reasons), [row.at for row in rows if row.at is not None], nodes.now),
        (),
        rows,
        nodes.nodes,
    )


def _row(node: Used, pods: List[Used]) -> Overhead:
    def of_pods(metric: str) -> Optional[float]:
        known = [pod.values[metric] for pod in pods if metric in pod.values]
        return sum(known) if known else None

    get = node.values.get
    known = sum("overhead/memory" in pod.values for pod in pods)
    return Overhead(
        node.name, get("runtime/cpu_usage_rate"), get("runtime/memory"), get("cpu/node_reserved"),
        get("memory/node_reserved"), of_pods("overhead/cpu_usage_rate"), of_pods("overhead/memory"),
        of_pods("overhead/cpu_request"), of_pods("overhead/memory_request"),
        Covers(known, len(pods), "pods"), node.at,
    )  # fmt: skip


def _worth(state: str, reasons: Tuple[str, ...], times: List[float], now: float) -> Worth:
    """Of what agents and the collector tell: no snapshot is in it."""
    return Worth(state, reasons, None, None, max(times, default=None), None, now)
