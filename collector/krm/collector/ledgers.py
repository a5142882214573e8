"""The OOM kills of all nodes: what agents, kubelets' counters and pods' statuses tell, one event a kill.

A ledger a node (krm.model.kill_ledger), so that what one node tells leaves those of others alone. No clock, no I/O.
"""

from __future__ import annotations

from typing import Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from krm.collector.facts import PodFacts
from krm.collector.processes import LONGEST_WINDOW, STANDS_STILL, Standing
from krm.collector.sources.agent_seen import KillPage, Missing
from krm.model.kill_ledger import MOST, Ledger
from krm.model.kills import KUBELET, STATUS, Evidence
from krm.model.measures import Sample
from krm.store.latest_seen import GONE, MAX_KILLS, NO_AGENT, READ, SILENT, NodeKills, pack_kills

OOM_KILLS = "oom/kills"
FORGET_EVERY = 60.0  # seconds between two looks for what is too old
SIGKILLED = 137  # exit code: 128 and the signal's number
SECOND = 1.0  # seconds: a status' times are cut to whole ones

_Named = Tuple[str, str, str, str]  # namespace, pod, uid, container


class _Count(NamedTuple):
    value: float
    at: float
    started: Optional[float]


class _Counts(NamedTuple):
    """What one kubelet's counters said last."""

    at: float  # the newest moment of them
    of: Mapping[_Named, _Count]


class _Heard(NamedTuple):
    """An agent's newest answer."""

    at: float  # Unix seconds, own clock
    missing: Missing  # what it cannot see
    turn: float  # that it told of, by the node's clock
    moved: float  # own clock: when that turn was told first


_NEVER = _Heard(0.0, (), 0.0, 0.0)


class Ledgers:
    """Of the whole cluster."""

    def __init__(self) -> None:
        self.packed: Dict[str, bytes] = {}  # node -> for Redis
        self._ledgers: Dict[str, Ledger] = {}
        self._counts: Dict[str, _Counts] = {}
        self._heard: Dict[str, _Heard] = {}
        self._told: Dict[str, Tuple[Standing, Missing, Ledger]] = {}  # of what is packed
        self._forgot = 0.0

    def restore(self, node: str, ledger: Ledger) -> None:
        """As the collector before this one left it."""
        self._ledgers[node] = ledger

    def agent(self, node: str, page: KillPage, now: float) -> None:
        """An agent's ledger, as it is now. One whose turns stand still may answer all the same: that is no news."""
        former = self._heard.get(node)
        moved = now if former is None or former.turn != page.at else former.moved
        self._heard[node] = _Heard(now, page.missing, page.at, moved)
        ledger = self._of(node).tell(page.kills, now, whole=len(page.kills) < MAX_KILLS)
        self._ledgers[node] = ledger if page.since is None else ledger.seen_by_agent(page.since, page.at)

    def counters(self, node: str, samples: Iterable[Sample], now: float) -> None:
        """The kubelet's counters of kills, as one look at its cadvisor gave them."""
        former = self._counts.get(node)
        of: Dict[_Named, _Count] = {}
        rises: List[Evidence] = []
        for sample in samples:
            value, subject = sample.values.get(OOM_KILLS), sample.subject
            if value is None or not subject.container:
                continue
            named = (subject.namespace, subject.pod, subject.uid, subject.container)
            of[named] = count = _Count(value, sample.at, sample.started)
            after, kills = _rise(former, named, count)
            if kills > 0:
                rises.append(
                    Evidence(
                        KUBELET, node, sample.at, after, min(int(kills), MOST), namespace=subject.namespace,
                        pod=subject.pod, pod_uid=subject.uid, container=subject.container,
                        key=f"{KUBELET}/{'/'.join(named)}/{sample.at:.3f}",
                    )
                )  # fmt: skip
        self._counts[node] = _Counts(max((one.at for one in of.values()), default=now), of)
        if rises:
            self._ledgers[node] = self._of(node).add(rises, now)

    def statuses(self, pods: Iterable[PodFacts], now: float) -> None:
        """Pods whose status tells of a container that ended so."""
        told: Dict[str, List[Evidence]] = {}
        for pod in pods:
            if pod.node:
                told.setdefault(pod.node, []).extend(_ended(pod))
        for node, evidence in told.items():
            self._ledgers[node] = self._of(node).add(evidence, now)

    def turn(self, standings: Mapping[str, Standing], lasts: float, now: float) -> None:
        """As of NodesProcesses. A node that has gone is told while its kills are kept."""
        if not 0 <= now - self._forgot < FORGET_EVERY:
            self._forgot = now
            self._ledgers = {node: ledger.add((), now) for node, ledger in self._ledgers.items()}
        gone = {node: (GONE, "the cluster has it no more") for node in self._ledgers if node not in standings}
        self._counts = {node: one for node, one in self._counts.items() if node in standings}
        self._heard = {node: one for node, one in self._heard.items() if node in standings}
        packed: Dict[str, bytes] = {}
        told: Dict[str, Tuple[Standing, Missing, Ledger]] = {}
        for node, (state, why) in {**standings, **gone}.items():
            ledger = self._of(node)
            if node in gone and not ledger.kills:
                self._ledgers.pop(node, None)
                continue
            heard = self._heard.get(node, _NEVER)
            is_told = state not in (NO_AGENT, GONE) and abs(now - heard.at) <= lasts
            if is_told and abs(now - heard.moved) > LONGEST_WINDOW:
                is_told, state, why = False, SILENT, STANDS_STILL
            standing = (READ, "") if is_told else (SILENT, why) if state == READ else (state, why)
            one = told[node] = (standing, heard.missing if is_told else (), ledger)
            former = self._told.get(node)
            # A ledger to which nothing was added is the same object.
            same = former is not None and former[:2] == one[:2] and former[2] is ledger
            packed[node] = (
                self.packed[node] if same else pack_kills(NodeKills(node, *standing, missing=one[1]), ledger)
            )
        self.packed, self._told = packed, told

    def kills(self) -> int:
        """How many are kept."""
        return sum(len(ledger.kills) for ledger in self._ledgers.values())

    def forget(self) -> None:
        """Another collector goes on: this one begins with what that one leaves."""
        self.packed, self._ledgers, self._counts, self._heard, self._told = {}, {}, {}, {}, {}

    def _of(self, node: str) -> Ledger:
        return self._ledgers.get(node) or _EMPTY


_EMPTY = Ledger()


def _ended(pod: PodFacts) -> Iterator[Evidence]:
    for one in pod.containers:
        for ended in one.killed:
            if ended.at is not None:
                # Runtimes say OOMKilled, too, where a child was killed at some time before the container ended by
                # itself: then it was between its start and its end, and nobody says when.
                whole = ended.code == SIGKILLED
                since = ended.at if whole or ended.started is None else ended.started
                yield Evidence(
                    STATUS, pod.node, ended.at + SECOND, since, container_id=ended.id, pod_uid=pod.uid,
                    namespace=pod.namespace, pod=pod.name, container=one.name, container_ended=whole or None,
                    elsewhere=bool(pod.runtime),
                )  # fmt: skip


def _rise(former: Optional[_Counts], named: _Named, count: _Count) -> Tuple[float, float]:
    """Since when, and by how many. A counter that is seen for the first time says nothing of when, unless it began
    after the look before; one that fell began anew, nobody knows when: its kubelet was restarted."""
    before = None if former is None else former.of.get(named)
    if before is not None and before.started == count.started:
        return before.at, count.value - before.value
    if former is not None and count.started is not None and count.started > former.at:
        return count.started, count.value
    return count.at, 0.0
