"""Processes cluster-wide: a rate needs two readings of the same process, and what is not known is not told."""

from __future__ import annotations

from typing import Any, List

import pytest
from krm.collector.processes import LONGEST_WINDOW, STANDS_STILL, NodesProcesses
from krm.collector.sources.agent_seen import ProcessPage
from krm.store.latest_seen import NO_AGENT, READ, SILENT, NodeProcesses, Running, unpack_processes

NOW = 1_800_000_000.0
STANDING = {"n1": (READ, "it has not answered yet"), "w": (NO_AGENT, "it runs Windows")}
MS = 10**6  # nanoseconds


def process(pid: int, cpu_ns: int = 0, ticks: int = 5, **more: Any) -> Running:
    return Running(pid, ticks, 1, "web", "S", 1, more.pop("rss", 4096), cpu_ns, NOW - 60, **more)


def page(at: float, *processes: Running) -> ProcessPage:
    return ProcessPage(at, processes, 0, ())


def told(nodes: NodesProcesses, now: float, node: str = "n1") -> NodeProcesses:
    nodes.turn(STANDING, 21.0, now)
    return unpack_processes(node, nodes.packed[node])


def rates(nodes: NodesProcesses, now: float) -> List[Any]:
    return [(one.pid, one.cpu, one.window) for one in told(nodes, now).processes]


def test_a_rate_is_of_two_readings_of_the_same_process() -> None:
    nodes = NodesProcesses()
    nodes.take("n1", page(NOW, process(1, 100 * MS), process(2, 50 * MS), process(3)), NOW)
    assert rates(nodes, NOW) == [(1, None, None), (2, None, None), (3, None, None)]
    later = page(NOW + 10, process(1, 2600 * MS), process(2, 90 * MS, ticks=77), process(3), process(4, 5000 * MS))
    nodes.take("n1", later, NOW + 10)
    assert rates(nodes, NOW + 10) == [(1, 250.0, 10.0), (2, None, None), (3, 0.0, 10.0), (4, None, None)]


def test_the_same_reading_again_keeps_its_rates() -> None:
    nodes = NodesProcesses()
    for at, used in ((NOW, 0), (NOW + 10, 1000 * MS)):
        nodes.take("n1", page(at, process(1, used)), at)
    nodes.take("n1", page(NOW + 10, process(1, 1000 * MS)), NOW + 14)
    nodes.take("n1", page(NOW + 4, process(1, 1000 * MS)), NOW + 15)
    assert rates(nodes, NOW + 15) == [(1, 100.0, 10.0)]
    assert told(nodes, NOW + 15)[3:5] == (NOW + 10, NOW + 15)


@pytest.mark.parametrize("at", [NOW - 4000, NOW + 1000])
def test_where_the_clock_was_moved_there_is_no_rate(at: float) -> None:
    nodes = NodesProcesses()
    nodes.take("n1", page(NOW, process(1, 0)), NOW)
    nodes.take("n1", page(at, process(1, 1000 * MS)), NOW + 10)
    assert rates(nodes, NOW + 10) == [(1, None, None)]
    nodes.take("n1", page(at + 10, process(1, 2000 * MS)), NOW + 20)
    assert rates(nodes, NOW + 20) == [(1, 100.0, 10.0)]


def test_a_counter_that_fell_has_no_rate() -> None:
    nodes = NodesProcesses()
    nodes.take("n1", page(NOW, process(1, 1000 * MS)), NOW)
    nodes.take("n1", page(NOW + 10, process(1, 999 * MS)), NOW + 10)
    assert rates(nodes, NOW + 10) == [(1, None, None)]


def test_a_node_is_read_until_its_answer_is_too_old_and_says_why_it_is_none() -> None:
    nodes = NodesProcesses()
    assert told(nodes, NOW)[:3] == ("n1", SILENT, "it has not answered yet")
    assert told(nodes, NOW, "w")[:3] == ("w", NO_AGENT, "it runs Windows")
    nodes.take("n1", page(NOW, process(1)), NOW)
    failing = {"n1": (SILENT, "it does not answer")}
    nodes.turn(failing, 21.0, NOW + 15)
    assert unpack_processes("n1", nodes.packed["n1"]).state == READ, "one failure is none yet"
    assert nodes.known == 1
    nodes.turn(failing, 21.0, NOW + 22)
    assert unpack_processes("n1", nodes.packed["n1"]) == NodeProcesses("n1", SILENT, "it does not answer")
    assert nodes.known == 0
    nodes.turn({}, 21.0, NOW + 22)
    assert nodes.packed == {}


def test_an_agent_that_answers_and_reads_no_more_is_silent() -> None:
    """Its turns hang, and its door does not."""
    nodes = NodesProcesses()
    for seconds in range(0, 320, 10):
        nodes.take("n1", page(NOW, process(1)), NOW + seconds)
        found = told(nodes, NOW + seconds)
        assert (found.state, nodes.known) == ((READ, 1) if seconds <= LONGEST_WINDOW else (SILENT, 0))
    assert (found.why, found.processes) == (STANDS_STILL, ())
    nodes.take("n1", page(NOW + 320, process(1)), NOW + 320)
    assert told(nodes, NOW + 320).state == READ


def test_where_there_is_no_room_for_all_the_containers_largest_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("krm.collector.processes.MOST_OF_NODE", 20_000)
    hosts = [process(pid, pid, rss=2**40 + pid) for pid in range(1, 2000)]
    own = [process(pid, pid, rss=pid, container_id="c") for pid in range(2000, 2300)]
    nodes = NodesProcesses()
    nodes.take("n1", page(NOW, *hosts, *own), NOW)
    found = told(nodes, NOW)
    assert len(nodes.packed["n1"]) <= 20_000
    assert len(found.processes) + found.left_out == 2299
    assert len(found.processes) > 300
    assert sum(one.container_id == "c" for one in found.processes) == 300


def test_what_did_not_change_is_not_packed_again() -> None:
    nodes = NodesProcesses()
    nodes.take("n1", page(NOW, process(1)), NOW)
    told(nodes, NOW)
    packed = nodes.packed["n1"]
    told(nodes, NOW + 1)
    assert nodes.packed["n1"] is packed
