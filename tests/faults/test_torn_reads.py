"""Line 3: snapshot reads while the real aggregator is killed again and again: none is torn.

KRM_FAULT_READS reads (3,000; `make test-faults`: 100,000), KRM_SEED for the same moments of death.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Dict, Optional, Tuple

import pytest
from faults.paper import Paper, wait
from faults.readers import Answer, SnapshotReader
from faults.validators import honest, untorn
from krm.store.connect import Database
from krm.store.keys import Keys
from krm.store.read import Token
from redis_servers import env_count

READS = env_count("KRM_FAULT_READS", 3_000)
SEED = int(os.environ.get("KRM_SEED") or random.randrange(1 << 30))
# Seconds between two deaths: within the take-over (2 s here), while it loads, and in the midst of publishing.
LIVES = (0.3, 4.0)


class Reading(SnapshotReader):
    """Reads without a pause, and keeps one answer a version: all others of it must be the same."""

    def __init__(self, database: Database, keys: Keys, namespaces: Tuple[Optional[str], ...]) -> None:
        super().__init__(database, keys, namespaces)
        self.reads = 0
        self.errors: Counter[str] = Counter()
        self._first: Dict[Tuple[Optional[str], Token], Answer] = {}
        self._newest: Dict[str, int] = {}

    def turn(self) -> None:
        answer = self.read(self._namespaces[self.reads % len(self._namespaces)])
        self.reads += 1
        if answer.token is None:
            self.errors[answer.error or answer.state] += 1
            return
        assert answer.corrupt == ()
        incarnation, version = answer.token
        assert version >= self._newest.get(incarnation, 0), "a reader was shown an older version again"
        self._newest[incarnation] = version
        first = self._first.setdefault((answer.namespace, answer.token), answer)
        assert first.rvs == answer.rvs, f"{answer.token} was two states"
        if first is answer:
            self.answers.append(answer)


@pytest.mark.slow
@pytest.mark.timeout(120 + READS // 40)
def test_no_read_is_torn_while_the_aggregator_is_killed_again_and_again(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    rng, deaths, began = random.Random(SEED), 0, time.monotonic()
    with Paper(tmp_path, ("pods",), seed=SEED) as paper:
        paper.live()
        keys = paper.pipeline.keys("pods")
        spaces = sorted({key.partition("/")[0] for key in paper.world.keys("pods")})
        readers = [Reading(paper.database, keys, (None,)), Reading(paper.database, keys, (None, *spaces))]
        for reader in readers:
            reader.start()
        with paper.traffic(80.0):
            while sum(reader.reads for reader in readers) < READS or deaths < 3:
                time.sleep(rng.uniform(*LIVES))
                version = paper.views["pods"].head().version
                paper.pipeline.restart("aggregator")
                deaths += 1
                if deaths % 2:  # else it dies before it has taken over
                    wait("it publishes again", lambda version=version: paper.views["pods"].head().version > version)
                for reader in readers:
                    assert reader.failure is None, reader.failure
        paper.wait_converged()
        for reader in readers:
            reader.finish()
        answers = [answer for reader in readers for answer in reader.answers]
        violations = [*untorn("pods", answers, paper.truth), *honest("pods", answers, paper.truth)]
        assert not violations, paper.told(violations)
    reads, errors = sum(reader.reads for reader in readers), sum((reader.errors for reader in readers), Counter())
    print(
        f"{reads} reads, {deaths} deaths, {len(answers)} versions, {dict(errors)}, {time.monotonic() - began:.0f} s"
    )
    assert set(errors) <= {"Busy"}, errors  # of a store error that is no torn read
    assert errors["Busy"] <= reads // 10
    assert len({answer.token for answer in answers}) > 10 * deaths
