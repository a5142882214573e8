"""What a server's answers say of themselves is true, whatever fails behind it.

Random rounds as in test_rounds.py, read over HTTP. No answer without a Warning is older than its
Krm-Age-Seconds says, by more than a second, against the simulator's true history; what is not known is
the word "unknown"; and nobody is ever shown an empty list for want of a better one.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import threading
import time
import urllib.error
import urllib.request
from bisect import bisect_right
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence

import pytest
from faults.harm import FAULTS
from faults.paper import Paper, wait
from faults.pipeline import CLUSTER
from faults.truth import Truth
from redis_servers import env_count
from server.running import KrmServer

ROUNDS = env_count("KRM_FAULT_ROUNDS", 20) // 4 or 1
SEED = int(os.environ.get("KRM_SEED") or random.randrange(1 << 30))
# Seconds: as the goal is stated.
TOLERANCE = 1.0
UNKNOWN = "unknown"
REDACTED = "environment values are replaced"  # a Warning that says nothing of age
# What each round does among others: without these a server's answers are tried by luck alone.
ALWAYS = (("kill_stage", "stop_stage"), ("flush_redis", "kill_redis", "restore_redis", "pause_redis"))


class Served(NamedTuple):
    """One answer."""

    at: float  # seconds since the epoch, before it was asked for
    status: int
    rv: str  # Krm-Resource-Version
    listed: str  # the list's own resourceVersion
    age: str
    verified: str
    warning: str  # about its age or completeness
    items: int


class HttpReader(threading.Thread):
    """Lists pods over HTTP until `finish`."""

    def __init__(self, server: KrmServer) -> None:
        super().__init__(name="reader over HTTP", daemon=True)
        self.answers: List[Served] = []
        self._server = server
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.02):
            found = self.read()
            if found is not None:
                self.answers.append(found)

    def read(self) -> Optional[Served]:
        """None where the server gave no answer at all."""
        at = time.time()
        try:
            with urllib.request.urlopen(self._server.url + "/api/v1/pods", timeout=10) as answer:
                headers, body = answer.headers, json.load(answer)
                return Served(
                    at,
                    200,
                    headers["Krm-Resource-Version"],
                    body["metadata"]["resourceVersion"],
                    headers["Krm-Age-Seconds"],
                    headers["Krm-Verified-At"],
                    " ".join(one for one in headers.get_all("Warning", []) if REDACTED not in one),
                    len(body["items"]),
                )
        except urllib.error.HTTPError as error:
            return Served(at, error.code, "", "", "", "", "", 0)
        except (OSError, http.client.HTTPException):
            return None

    def finish(self) -> None:
        self._over.set()
        self.join(20)
        assert not self.is_alive(), "a request hangs"


def false_ages(answers: Sequence[Served], truth: Truth) -> List[str]:
    """Answers without a warning in which something is missing that they claim to hold."""
    facts = truth.present("pods").facts
    times = sorted(fact.at for fact in facts)
    found = []
    for one in answers:
        if one.status != 200 or one.warning or truth.doubtful(one.at):
            continue
        if one.age == UNKNOWN:
            found.append(f"{one} has no bound, and no warning")
            continue
        position = bisect_right(times, one.at - float(one.age) - TOLERANCE)
        newest = facts[position - 1].rv if position else 0
        if newest > int(one.rv):
            found.append(f"{one}: {newest} was written {one.at - times[position - 1]:.1f} s before it was asked")
    return found


def misworded(answers: Sequence[Served]) -> List[str]:
    """Answers whose figures are neither numbers nor the word for what is not known."""
    found = []
    for one in answers:
        if one.status != 200:
            if one.status not in (503, 404):
                found.append(f"{one}")
            continue
        number = one.age.replace(".", "", 1).isdigit()
        moment = one.verified.endswith("Z") and one.verified[:2] == "20"
        sound = (number or one.age == UNKNOWN) and (moment or one.verified == UNKNOWN)
        if not sound or one.rv != one.listed or not one.items:
            found.append(f"{one}")
    return found


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paper]:
    with Paper(tmp_path_factory.mktemp("served"), ("pods",), seed=SEED) as paper:
        paper.live()
        yield paper


@pytest.fixture(scope="module")
def served(paper: Paper, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KrmServer]:
    with KrmServer(tmp_path_factory.mktemp("server"), paper.pipeline.redis.url, CLUSTER) as server:
        yield server


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("number", range(ROUNDS))
def test_no_answer_claims_to_be_younger_than_it_is(number: int, paper: Paper, served: KrmServer) -> None:
    rng = random.Random(f"{SEED}-served-{number}")
    names = [rng.choice(some) for some in ALWAYS] + rng.sample(sorted(FAULTS), 2)
    rng.shuffle(names)
    print(f"seed {SEED} round {number}: {', '.join(names)}")
    paper.live()
    reader = HttpReader(served)
    reader.start()
    with paper.traffic(60.0):
        time.sleep(0.3)
        for name in names:
            FAULTS[name](paper, rng)
            time.sleep(rng.uniform(0.3, 1.5))
        time.sleep(rng.uniform(1.0, 4.0))
        paper.heal()
        time.sleep(0.3)
    paper.wait_converged()
    newest = paper.truth.present("pods").facts[-1].rv
    wait(f"the server shows {newest}", lambda: _caught_up(reader, newest))
    reader.finish()
    _judge(reader.answers, paper, served)


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("stage", ["aggregator", "verifier", "streamer"])
def test_a_stage_that_is_stopped_for_long_is_told(stage: str, paper: Paper, served: KrmServer) -> None:
    """A SIGSTOP that outlasts every limit but none of the ages is true before it is stale."""
    paper.live()
    reader = HttpReader(served)
    reader.start()
    with paper.traffic(60.0):
        time.sleep(0.5)
        paper.pipeline.pause(stage)
        time.sleep(8.0)
        paper.heal()
        time.sleep(0.5)
    paper.wait_converged()
    reader.finish()
    _judge(reader.answers, paper, served)
    if stage == "aggregator":
        assert any("may be older" in one.warning for one in reader.answers), "nobody was told"


def _caught_up(reader: HttpReader, newest: int) -> bool:
    last = reader.answers[-1] if reader.answers else None
    return last is not None and last.status == 200 and int(last.rv) >= newest and not last.warning


def _judge(answers: Sequence[Served], paper: Paper, served: KrmServer) -> None:
    by_status: Dict[int, int] = {}
    for one in answers:
        by_status[one.status] = by_status.get(one.status, 0) + 1
    unwarned = sum(one.status == 200 and not one.warning for one in answers)
    print(f"answers by status {by_status}, {unwarned} without a warning")
    assert unwarned, "no answer was without a warning: nothing was tried"
    wrong = false_ages(answers, paper.truth) + misworded(answers)
    assert not wrong, "\n".join([f"{len(wrong)} wrong answers", *wrong[:8], served.log()])
