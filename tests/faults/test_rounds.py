"""Random rounds: traffic, two to four random faults, every reader's history recorded, heal, validate.

KRM_FAULT_ROUNDS rounds (default 20), KRM_SEED for the same draws again. A round converges, and breaks no law.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Iterator, List

import pytest
from faults.harm import FAULTS
from faults.paper import Paper
from redis_servers import env_count

ROUNDS = env_count("KRM_FAULT_ROUNDS", 20)
SEED = int(os.environ.get("KRM_SEED") or random.randrange(1 << 30))
KINDS = ("pods", "nodes")
# Rounds on one pipeline before another begins: a world's history grows, and so does what is to be validated.
REUSED = 20


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[List[Paper]]:
    """The paper in use, replaced by whoever wants another."""
    held: List[Paper] = []
    yield held
    for paper in held:
        paper.__exit__(None, None, None)


def _paper(papers: List[Paper], number: int, folder: Path) -> Paper:
    if number % REUSED == 0 or not papers:
        for old in papers:
            old.__exit__(None, None, None)
        papers[:] = [Paper(folder / "paper", KINDS, seed=SEED + number).__enter__()]
    return papers[0]


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_round_of_faults_breaks_no_law_and_heals(number: int, papers: List[Paper], tmp_path: Path) -> None:
    rng = random.Random(f"{SEED}-{number}")
    names = rng.sample(sorted(FAULTS), rng.randint(2, 4))
    print(f"seed {SEED} round {number}: {', '.join(names)}")
    paper = _paper(papers, number, tmp_path)
    try:
        converged = _round(paper, rng, names)
    except BaseException:
        papers.clear()
        paper.__exit__(None, None, None)
        raise
    print(f"round {number} converged after {converged:.1f} s")


def _round(paper: Paper, rng: random.Random, names: List[str]) -> float:
    """Seconds from the last fault's end to equality."""
    paper.live()
    paper.record()
    with paper.traffic(60.0):
        time.sleep(0.3)
        for name in names:
            FAULTS[name](paper, rng)
            time.sleep(rng.uniform(0.0, 0.8))
        time.sleep(rng.uniform(0.3, 1.2))
        paper.heal()
        time.sleep(0.3)
    took = paper.wait_converged()
    paper.finish_readers()
    violations = paper.violations()
    assert not violations, paper.told(violations)
    for kind in paper.kinds:
        assert any(answer.token is not None for answer in paper.answers(kind)), f"nobody could read {kind}"
    return took
