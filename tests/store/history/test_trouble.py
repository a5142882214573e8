"""The disk is full, the clock is wrong, readers come while it is written: told, bounded, and nothing twice."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from pathlib import Path
from typing import Callable, List

import pytest
from krm.model.measures import Sample, Subject
from krm.store.history.asked import HOUR, NoHistory, Query
from krm.store.history.live import AHEAD, LATE, MOST_PARTS
from krm.store.history.local import LocalHistory

T0 = 1_700_006_400.0
PODS = [Subject("shop", f"web-{number}", f"u{number}", "", "n1") for number in range(50)]
CPU = "cpu/usage_rate"


def run(history: LocalHistory, begin: float, end: float, every: float = 15.0, pods: int = len(PODS)) -> float:
    at = begin
    while at < end:
        at += every
        history.record([Sample(pod, at, {CPU: at % 977}, "agent", every) for pod in PODS[:pods]], at)
    return at


def total(history: LocalHistory, begin: float, end: float) -> float:
    return sum(one.sum for one in history.totals(Query(CPU, "pod", begin, end)).totals)


def wanted(begin: float, end: float, every: float = 15.0) -> float:
    turns = int((end - begin) // every)
    return len(PODS) * sum((begin + every * (turn + 1)) % 977 * every for turn in range(turns))


@pytest.fixture
def history(tmp_path):
    found = LocalHistory(str(tmp_path / "history.db"))
    yield found
    found.close()


# The disk ---------------------------------------------------------------------------------------


class Limited:
    """A file that may not grow, in two ways."""

    def __init__(self, history: LocalHistory, fill: Callable[[], None], free: Callable[[], None]) -> None:
        self.history, self.fill, self.free = history, fill, free


@pytest.fixture
def by_pages(history):
    """SQLite's own limit."""
    writer = history._file._writer

    def fill() -> None:
        pages = writer.execute("pragma page_count").fetchone()[0]
        writer.execute(f"pragma max_page_count = {pages}")

    return Limited(history, fill, lambda: writer.execute("pragma max_page_count = 100000000"))


@pytest.fixture
def by_disk(tmp_path):
    """A real one of 4 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)],
                                      capture_output=True, check=False).returncode:  # fmt: skip
        if os.environ.get("CI") == "true":
            pytest.fail("a full disk needs root: sudo pytest tests/store/history/test_trouble.py")
        pytest.skip("a full disk needs root: sudo pytest tests/store/history/test_trouble.py")
    history = LocalHistory(str(place / "history.db"))
    ballast = place / "ballast"

    def fill() -> None:
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(b"x" * 4096):
                pass

    try:
        yield Limited(history, fill, ballast.unlink)
    finally:
        history.close()
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture(params=["by_pages", "by_disk"])
def limited(request) -> Limited:
    return request.getfixturevalue(request.param)


def test_a_full_disk_is_told_and_heals(limited) -> None:
    history = limited.history
    at = run(history, T0, T0 + 900)
    limited.fill()
    at = run(history, at, at + 1500)
    assert any("full" in one for one in history.health())
    # What is measured is there, of before and of now.
    assert total(history, T0, T0 + HOUR) == pytest.approx(wanted(T0, at))
    assert history.range(Query(CPU, "pod", at - 300, at + 1)).series[0].times[-1] == at
    limited.free()
    at = run(history, at, at + 120)
    assert history.health() == []
    path = history.path
    history.close()
    again = LocalHistory(path)
    assert total(again, T0, T0 + HOUR) == pytest.approx(wanted(T0, at))
    points = [one for one in again.range(Query(CPU, "pod", T0 + 1, at + 1)).series[0].values if one == one]
    assert len(points) == (at - T0) // 15
    again.close()


def test_a_disk_that_stays_full_costs_bounded_memory(by_pages) -> None:
    history = by_pages.history
    at = run(history, T0, T0 + 300)
    by_pages.fill()
    run(history, at, at + 10 * HOUR, every=60.0, pods=2)
    assert len(history._live.parts) <= MOST_PARTS + 3
    assert len(history._live.hours) <= 9
    assert any("dropped unwritten" in one for one in history.health())
    by_pages.free()


def test_what_the_file_cannot_tell_is_not_written_over(tmp_path, monkeypatch) -> None:
    """A restart in the middle of an hour, while the file cannot be read: better nothing than half an hour."""
    path = str(tmp_path / "history.db")
    history = LocalHistory(path)
    at = run(history, T0, T0 + 1200)
    history.close()
    history = LocalHistory(path)

    def away(*_) -> None:
        raise OSError("the disk does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(history._file, "sums", away)
        at = run(history, at, at + 300)
        assert any("does not answer" in one for one in history.health())
        assert any("not taken" in one for one in history.health())
    at = run(history, at, at + 300)
    # The window of the first sample after it does not reach back over what was missed: a gap of 300 s.
    assert total(history, T0, T0 + HOUR) == pytest.approx(wanted(T0, at) - wanted(T0 + 1200, T0 + 1500))
    history.close()


# The clock --------------------------------------------------------------------------------------


@pytest.mark.parametrize("back", [LATE / 2, 600.0, 1.5 * HOUR, 5 * HOUR])
def test_a_clock_that_is_put_back_counts_nothing_twice(history, back) -> None:
    begin = T0
    end = run(history, begin, begin + 6 * HOUR + 600)
    at = run(history, end - back, end - back + 15)  # the same turns once more
    assert any("put back" in one for one in history.health()) == (back > LATE)
    run(history, at, end)
    end = run(history, end, end + HOUR)
    assert total(history, begin, end) == pytest.approx(wanted(begin, end), rel=1e-4)
    for hour in range(6):
        found = total(history, begin + hour * HOUR, begin + (hour + 1) * HOUR)
        assert found == pytest.approx(wanted(begin + hour * HOUR, begin + (hour + 1) * HOUR), rel=1e-4), hour
    values = history.range(Query(CPU, "pod", begin + 1, end + 1, pod="web-0")).series[0].values
    assert len([one for one in values if one == one]) == (end - begin) // 15


def test_pods_that_are_new_while_the_clock_is_back_write_nothing_over(history) -> None:
    end = run(history, T0, T0 + 4 * HOUR)
    new = Subject("shop", "new", "u-new", "", "n1")
    at = end - 3 * HOUR
    while at < end:
        at += 15.0
        history.record([Sample(new, at, {CPU: 1.0}, "agent", 15.0)], at)
    assert total(history, T0, end) == pytest.approx(wanted(T0, end) + 3 * HOUR, rel=1e-4)


def test_a_clock_that_jumps_ahead_and_returns_loses_the_present_alone(history) -> None:
    end = run(history, T0, T0 + HOUR)
    for _ in range(3):
        history.record([Sample(pod, end, {CPU: 5.0}, "agent", 15.0) for pod in PODS], end + 900 * 24 * HOUR)
    assert any("late" in one for one in history.health())
    end = run(history, end, end + HOUR)
    # To that clock all of it was too old to be kept; nothing was dropped by a clock that jumped.
    assert total(history, T0, end) == pytest.approx(wanted(T0, end), rel=1e-4)


def test_the_future_is_not_believed(history) -> None:
    run(history, T0, T0 + 300)
    ahead = T0 + 300 + AHEAD + 1
    history.record([Sample(PODS[0], ahead, {CPU: 5.0}, "agent", 15.0)], T0 + 300)
    assert any("of the future" in one and "shop/web-0" in one for one in history.health())
    assert total(history, T0, T0 + HOUR) == pytest.approx(wanted(T0, T0 + 300))


# Readers ----------------------------------------------------------------------------------------


def test_readers_beside_the_writer_see_each_hour_once(history) -> None:
    """Whole hours, whatever moves from memory to the file, and from parts to a whole, meanwhile."""
    end = run(history, T0, T0 + 2 * HOUR)
    stop = threading.Event()
    wrong: List[object] = []

    def read() -> None:
        while not stop.is_set():
            try:
                found = total(history, T0, T0 + 2 * HOUR)
                series = history.range(Query(CPU, "pod", T0 + 1, T0 + 2 * HOUR + 1, pod="web-7")).series
                known = [value for value in series[0].values if value == value]
                if found != pytest.approx(wanted(T0, T0 + 2 * HOUR)) or len(known) != 480:
                    wrong.append((found, len(known)))
            except NoHistory as error:
                wrong.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    run(history, end, end + 2 * HOUR)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_file_is_for_its_owner_alone(tmp_path) -> None:
    path = tmp_path / "history.db"
    LocalHistory(str(path)).close()
    assert path.stat().st_mode & 0o777 == 0o600
    assert Path(f"{path}.lock").stat().st_mode & 0o777 == 0o600
