"""Tests of the tests: each bug sown on purpose is caught by a law that it breaks, and nothing else is blamed.

A scenario gives a bug its occasion. Run without any bug, the same scenario breaks no law.
"""

from __future__ import annotations

import contextlib
import random
import time
from pathlib import Path
from typing import Any, Callable, Dict, FrozenSet, Iterator, NamedTuple, Set, Tuple

import pytest
from faults.paper import Paper, wait
from faults.seeded import READER_BUGS, STAGE_BUGS
from krm.simulator.populate import new_pod
from krm.simulator.workloads import reference

Scenario = Callable[[Paper], None]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
# Times that a bug's occasion is given, until it is caught: how much happens within a scenario's seconds is the
# machine's business, and a bug that shows only sometimes is a bug.
PLAYS = 6
# Seconds that a woken aggregator has for a write that it must not do; under the 5 after which it may take over.
ZOMBIE_SECONDS = 3.0


def steady(paper: Paper) -> None:
    """Traffic, and nothing wrong."""
    with paper.traffic(80.0):
        time.sleep(4.0)


def zombie(paper: Paper) -> None:
    """A stopped aggregator wakes after its successor has published."""
    pipeline, view = paper.pipeline, paper.views["pods"]
    with paper.traffic(80.0):
        # It runs alone: once it publishes it is the writer. After another play it may still be waiting for the
        # fence, and an aggregator that never wrote is no zombie.
        begun = view.head().version
        wait("the aggregator publishes", lambda: view.head().version > begun + 5)
        pipeline.pause("aggregator")
        before = view.head().version
        pipeline.start("aggregator+")
        wait("another aggregator published", lambda: view.head().version > before + 5)
        # The successor is stopped too, so that what a zombie writes is not set right within milliseconds.
        pipeline.pause("aggregator+")
        left, until_then = view.head().version, time.monotonic() + ZOMBIE_SECONDS
        pipeline.resume("aggregator")
        while view.head().version == left and time.monotonic() < until_then:
            time.sleep(0.02)
        time.sleep(0.5)  # readers see what stands now
        pipeline.resume("aggregator+")
        time.sleep(0.5)


def reconnect(paper: Paper) -> None:
    """The watch is cut and refused for a moment while events happen."""
    with paper.traffic(80.0):
        time.sleep(0.5)
        paper.proxies["streamer"].refuse()
        time.sleep(0.7)
        paper.proxies["streamer"].heal()
        time.sleep(1.5)


def deletions(paper: Paper) -> None:
    """Pods come and go beside lists that take long; one event is lost, so that full lists come too."""
    rng = random.Random(1)
    paper.proxies["verifier"].delay(0.3)
    end = time.monotonic() + 6.0
    number = 0
    while time.monotonic() < end:
        number += 1
        if number % 40 == 10:
            paper.world.faults.drop("pods", 1)
        owner = reference("ReplicaSet", "none", "0")
        pod = new_pod(paper.world, f"brief-{number}", "team-0", "app", owner, "node-1")
        paper.world.create("pods", pod)
        keys = [key for key in paper.world.keys("pods") if "/brief-" in key]
        if len(keys) > 12:
            paper.world.delete("pods", rng.choice(keys))
        time.sleep(0.02)
    paper.proxies["verifier"].heal()


def late_watch(paper: Paper) -> None:
    """The watch is open and silent while events happen."""
    with paper.traffic(80.0):
        time.sleep(0.3)
        paper.world.faults.last("stall", "pods", seconds=2.5)
        time.sleep(3.0)


def redis_restored(paper: Paper) -> None:
    """Redis dies, and comes back with an older copy of itself."""
    with paper.traffic(80.0):
        time.sleep(0.5)
        copy = paper.pipeline.copy_redis()
        time.sleep(1.0)
        paper.redis_went_back = True
        paper.pipeline.kill_redis()
        paper.pipeline.start_redis(copy)
        time.sleep(3.0)


def aggregator_stopped(paper: Paper) -> None:
    """Nobody beats for longer than trust allows."""
    paper.pipeline.pause("aggregator")
    time.sleep(6.5)
    paper.pipeline.resume("aggregator")


class Case(NamedTuple):
    """Bugs (of stages and readers), the scenario that gives them their occasion, and the laws that must speak."""

    bugs: Tuple[str, ...]
    scenario: Scenario
    laws: FrozenSet[str]


CASES: Dict[str, Case] = {
    "no_fence": Case(("no_fence",), zombie, frozenset({"monotone", "untorn", "gap-free", "unique", "resumable"})),
    "no_sequence": Case(("no_sequence", "loses_batches"), steady, frozenset({"untorn"})),
    "from_now": Case(("from_now",), reconnect, frozenset({"untorn"})),
    "mixed_pages": Case(("mixed_pages",), steady, frozenset({"counted", "untorn"})),
    "newest_object": Case(("newest_object",), deletions, frozenset({"untorn"})),
    "no_tombstones": Case(("no_tombstones",), deletions, frozenset({"untorn", "deleted"})),
    "probe_believed": Case(("probe_believed",), late_watch, frozenset({"honest"})),
    "forgotten_entries": Case(("forgotten_entries",), steady, frozenset({"resumable"})),
    "any_run": Case(("any_run",), redis_restored, frozenset({"named"})),
    "no_replay": Case(("no_replay", "slow_reads"), steady, frozenset({"untorn"})),
    "always_live": Case(("always_live",), aggregator_stopped, frozenset({"honest"})),
    "skips_gaps": Case(("skips_gaps", "forgotten_entries"), steady, frozenset({"gap-free"})),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_seeded_bug_is_caught(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    stages = {STAGE_BUGS[bug].stage: bug for bug in case.bugs if bug in STAGE_BUGS}
    with contextlib.ExitStack() as stack:
        paper = stack.enter_context(Paper(tmp_path, bugs=stages, pods=60, verify_every=1.0))
        for bug in case.bugs:
            if bug in READER_BUGS:
                stack.enter_context(READER_BUGS[bug]())
        broken: Set[str] = set()
        for _ in range(PLAYS):
            violations = _play(paper, case.scenario)
            broken |= {violation.law for violation in violations}
            if broken & case.laws:
                break
            paper.heal()
    assert broken & case.laws, f"{name} went unnoticed by {sorted(case.laws)}; found: {sorted(broken)}"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paper]:
    """One pipeline without bugs for all scenarios."""
    with Paper(tmp_path_factory.mktemp("sound"), pods=60, verify_every=1.0) as paper:
        yield paper


@pytest.mark.parametrize("scenario", [zombie, reconnect, deletions, late_watch, redis_restored, aggregator_stopped])
def test_the_same_scenarios_break_no_law_without_the_bug(scenario: Scenario, sound: Paper) -> None:
    violations = _play(sound, scenario)
    sound.heal()
    sound.wait_converged()
    assert not violations, sound.told(violations)


def test_slow_reads_under_traffic_are_not_torn(sound: Paper) -> None:
    with READER_BUGS["slow_reads"]():
        violations = _play(sound, steady)
    assert not violations, sound.told(violations)


def test_batches_lost_on_the_way_to_redis_are_missed_and_replayed(tmp_path: Path) -> None:
    with Paper(tmp_path, bugs={"streamer": "loses_batches"}, pods=60, verify_every=1.0) as paper:
        for _ in range(PLAYS):
            violations = _play(paper, steady)
            assert not violations, "\n".join(map(str, violations[:10]))
            if paper.views["pods"].head().gaps:
                return
    raise AssertionError("no batch was missed")


def _play(paper: Paper, scenario: Scenario) -> Any:
    paper.live()
    paper.record()
    time.sleep(0.2)
    scenario(paper)
    time.sleep(0.5)
    paper.finish_readers()
    return paper.violations()
