"""The processes of all nodes as their agents told them last, with what each used of the CPU. No clock, no I/O."""

from __future__ import annotations

from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

from krm.collector.sources.agent_seen import ProcessPage
from krm.store.latest_seen import NO_AGENT, READ, SILENT, NodeProcesses, Running, pack_processes

# Packed bytes that all nodes' processes may take in Redis, and one node's; about 40 a process.
MOST_BYTES, MOST_OF_NODE = 128 * 1024 * 1024, 1024 * 1024
# Above it a rate says nothing of now: between the two readings the agent was away.
LONGEST_WINDOW = 300.0  # seconds
# An agent whose turns hang still answers, with what it saw last: after LONGEST_WINDOW that is no answer.
STANDS_STILL = "its agent answers, but has read nothing new for five minutes: is it stuck?"

Standing = Tuple[str, str]  # state of a node's agent, and why it was not read
_Identity = Tuple[int, int]


class _Answer(NamedTuple):
    heard: float  # Unix seconds, own clock
    page: ProcessPage
    moved: float  # own clock: when that reading was told first


class NodesProcesses:
    """What all agents said last."""

    def __init__(self) -> None:
        self.packed: Dict[str, bytes] = {}  # node -> for Redis
        self._answers: Dict[str, _Answer] = {}
        self._told: Dict[str, Tuple[Standing, Optional[_Answer], int]] = {}  # of what is packed

    @property
    def known(self) -> int:
        """Of how many nodes."""
        return sum(answer is not None for _, answer, _ in self._told.values())

    def take(self, node: str, page: ProcessPage, now: float) -> None:
        """An answer. `now`: Unix seconds."""
        former = self._answers.get(node)
        if former is not None and former.page.at >= page.at > former.page.at - LONGEST_WINDOW:
            # The agent reads less often than it is asked: the same reading, or one that came late.
            self._answers[node] = former._replace(heard=now)
            return
        self._answers[node] = _Answer(now, page if former is None else _rated(former.page, page), now)

    def turn(self, standings: Mapping[str, Standing], lasts: float, now: float) -> None:
        """`standings`: of each node that there is. An answer counts for `lasts` seconds."""
        for node in [node for node in self._answers if node not in standings]:
            del self._answers[node]
        room = min(MOST_OF_NODE, MOST_BYTES // max(1, len(standings)))
        packed: Dict[str, bytes] = {}
        told: Dict[str, Tuple[Standing, Optional[_Answer], int]] = {}
        for node, (state, why) in standings.items():
            answer = self._answers.get(node)
            if answer is not None and (state == NO_AGENT or abs(now - answer.heard) > lasts):
                del self._answers[node]
                answer = None
            elif answer is not None and abs(now - answer.moved) > LONGEST_WINDOW:
                answer, state, why = None, SILENT, STANDS_STILL
            # Between two answers a failure is none yet: what was told last still counts.
            standing = (READ, "") if answer is not None else (SILENT, why) if state == READ else (state, why)
            told[node] = (standing, answer, room)
            same = self._told.get(node) == told[node] and node in self.packed
            packed[node] = self.packed[node] if same else _packed(node, standing, answer, room)
        self.packed, self._told = packed, told

    def forget(self) -> None:
        """Another collector goes on."""
        self.packed, self._answers, self._told = {}, {}, {}


def _rated(former: ProcessPage, page: ProcessPage) -> ProcessPage:
    """With the rates between two readings, of the processes that are in both."""
    window = page.at - former.at
    if not 0 < window <= LONGEST_WINDOW:
        return page
    used = {(one.pid, one.started_ticks): one.cpu_ns for one in former.processes}
    found: List[Running] = []
    for one in page.processes:
        before = used.get((one.pid, one.started_ticks))
        if before is not None and one.cpu_ns >= before:
            one = one._replace(cpu=(one.cpu_ns - before) / window / 1e6, window=window)  # ns/s: 1e6 a millicore
        found.append(one)
    return page._replace(processes=tuple(found))


def _packed(node: str, standing: Standing, answer: Optional[_Answer], room: int) -> bytes:
    """In `room` bytes: where there are too many, the containers' stay, and of them those that hold most."""
    state, why = standing
    if answer is None:
        return pack_processes(NodeProcesses(node, state, why))
    page = answer.page
    told = NodeProcesses(node, state, why, page.at, answer.heard, page.processes, page.refused, page.missing)
    packed = pack_processes(told)
    if len(packed) > room:
        rows = sorted(page.processes, key=lambda one: (not one.container_id, -one.rss))
        while len(packed) > room and rows:
            rows = rows[: len(rows) * 3 // 4]
            left_out = page.refused + len(page.processes) - len(rows)
            packed = pack_processes(told._replace(processes=tuple(rows), left_out=left_out))
    return packed
