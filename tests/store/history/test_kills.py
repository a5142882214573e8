"""SIGKILL at random moments: what was flushed is there, once, and the file is whole."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import history_child as child
import pytest
from krm.store.history import blobs
from krm.store.history.asked import HOUR, Query
from krm.store.history.local import LocalHistory

T0 = 1_700_006_400.0
REPLAYED = 50.0  # seconds before the last flush that a restarted writer sees again
END = T0 + 400 * HOUR


def start(path: Path, begin: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, child.__file__, str(path), str(begin), str(END)], stdout=subprocess.PIPE, text=True
    )


def killed(path: Path, begin: float, draw: random.Random) -> float:
    """Runs a writer for a random time after its first flush; answers the time of its last flush."""
    writer = start(path, begin)
    try:
        flushed = float(writer.stdout.readline())
        time.sleep(draw.random() * 0.7)
    finally:
        os.kill(writer.pid, signal.SIGKILL)
    rest = writer.stdout.read().split("\n")[:-1]  # a line that was cut off says nothing
    writer.wait()
    return float(rest[-1]) if rest else flushed


def proved(path: Path) -> None:
    """No page is torn, and no blob."""
    connection = sqlite3.connect(path)
    assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
    for table in ("points", "sums"):
        for (blob,) in connection.execute(f"select blob from {table}"):
            blobs.decode(blob).prove()
    connection.close()


def checked(path: Path, end: float) -> None:
    """Each whole hour until `end` is what was measured, once."""
    history = LocalHistory(str(path))
    try:
        for hour in range(int((end - T0) // HOUR)):
            begin = T0 + hour * HOUR
            for metric in (child.RATE, child.GAUGE, child.COUNTER):
                found = history.totals(Query(metric, "pod", begin, begin + HOUR)).totals
                assert len(found) == len(child.PODS)
                for total in found:
                    number = child.PODS.index(total.subject)
                    assert total.sum == pytest.approx(wanted(metric, number, begin), rel=1e-5), (hour, total)
                    assert total.samples == 360, (hour, total)
        newest = history.range(Query(child.RATE, "pod", end - 600, end + 60)).extent.as_of
        assert newest is not None
        assert newest >= end - 15
    finally:
        history.close()


def wanted(metric: str, number: int, begin: float) -> float:
    turns = [begin + child.EVERY * (turn + 1) for turn in range(360)]
    if metric == child.RATE:
        return sum(child.rate(number, at) * child.EVERY for at in turns)
    if metric == child.GAUGE:
        return 4096.0 * (number + 1) * HOUR
    return 1e5 * (number + 1) * (HOUR - (child.EVERY if begin == T0 else 0))


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_no_hour_is_lost_and_none_doubled(tmp_path, kills) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    draw = random.Random(seed)
    path, begin = tmp_path / "history.db", T0
    for _ in range(kills):
        flushed = killed(path, begin, draw)
        proved(path)
        checked(path, flushed)
        begin = max(T0, flushed - REPLAYED)
    assert begin > T0 + kills * 60
