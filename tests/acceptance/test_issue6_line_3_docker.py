"""Issue 6, line 3, with a real dockerd: what it says of a kill is the event that the agent saw, child or whole."""

from __future__ import annotations

import os
import time
from typing import Callable, Dict, Iterator, List, Tuple

import pytest
from agent.killed import KMSG, log_readable, wait_for_reports
from krm.agent.turn import Asked, Turns
from krm.model.kills import CGROUP, CONTAINER_LIMIT, DOCKER, KERNEL_LOG, Kill
from node import runtimes
from node.runtimes import MIB, Runtimes

pytestmark = [pytest.mark.node, pytest.mark.timeout(200)]
LIMIT = 16 * MIB
WITHIN = 10.0  # seconds from a kill until it is in the ledger
TURN = 2.0
TOLD = 30.0  # seconds until dockerd has told, too
EAT = "tail /dev/zero"
Agents = Dict[str, Turns]


@pytest.fixture(scope="module")
def running() -> Iterator[Runtimes]:
    lack = runtimes.missing()
    if lack is not None and os.environ.get("CI") == "true":
        pytest.fail(lack, pytrace=False)
    if lack is not None:
        pytest.skip(lack)
    with runtimes.running() as both:
        yield both


@pytest.fixture
def agents(running: Runtimes) -> Iterator[Agents]:
    """With the kernel's log, where it can be read, and without."""
    wait_for_reports()
    logs = {"counting": "", **({"logging": KMSG} if log_readable() else {})}
    made = {
        name: Turns(Asked("here", every=TURN, runtime_sockets=(str(running.dockerd.socket),), kernel_log=log))
        for name, log in logs.items()
    }
    for one in made.values():
        one.turn(whole=True)
    yield made
    for one in made.values():
        one.close()


def until(
    agents: Agents, own: str, there: Callable[[List[Kill]], bool], within: float
) -> Dict[str, Tuple[List[Kill], float]]:
    """Of each agent, the kills of container `own` and when they were known first."""
    first: Dict[str, float] = {}
    ends = time.monotonic() + within
    while True:
        found = {}
        for name, one in agents.items():
            found[name] = [kill for kill in one.turn(whole=True).kills if kill.container_id == own]
            if found[name]:
                first.setdefault(name, time.time())
        if all(there(kills) for kills in found.values()) or time.monotonic() > ends:
            return {name: (kills, first.get(name, float("inf"))) for name, kills in found.items()}
        time.sleep(TURN)


def with_process(name: str, kill: Kill) -> bool:
    if name == "counting":
        return kill.pid is None
    said = (kill.process, kill.scope, kill.limit, KERNEL_LOG in kill.witnesses)
    return said == ("tail", CONTAINER_LIMIT, LIMIT, True)


def test_a_container_that_is_killed_is_one_event(running: Runtimes, agents: Agents) -> None:
    own = running.dockerd.run("krm-eater", f"sleep 1; exec {EAT}", f"--memory={LIMIT}")
    found = until(agents, own, lambda kills: any(DOCKER in kill.witnesses for kill in kills), TOLD)
    for name, (kills, known) in found.items():
        (kill,) = kills
        assert kill.container_ended is True
        assert DOCKER in kill.witnesses
        assert with_process(name, kill)
        assert known - kill.after <= WITHIN


def test_a_child_is_killed_and_when_its_container_ends_that_is_no_second_kill(
    running: Runtimes, agents: Agents
) -> None:
    own = running.dockerd.run("krm-parent", f"sleep 1; {EAT}; sleep 12; exit 0", f"--memory={LIMIT}")
    found = until(agents, own, lambda kills: any(kill.container_ended is False for kill in kills), TOLD)
    for name, (kills, known) in found.items():
        (kill,) = kills
        assert kill.container_ended is False
        assert CGROUP in kill.witnesses
        assert with_process(name, kill)
        assert known - kill.after <= WITHIN
    found = until(agents, own, lambda kills: any(DOCKER in kill.witnesses for kill in kills), TOLD)
    for kills, _ in found.values():
        (kill,) = kills
        assert kill.container_ended is False
