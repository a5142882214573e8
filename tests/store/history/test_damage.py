"""A damaged file: it is told, and what is not damaged is served; nothing is made up."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Dict, Set, Tuple

import pytest
from krm.model import times
from krm.model.measures import Sample, Subject
from krm.store.history.asked import HOUR, NoHistory, Query
from krm.store.history.local import LocalHistory

T0 = 1_700_006_400.0
NAMES = ("bank", "shop")
HOURS = 4
# Enough of them that an hour's blob fills pages of its own.
PODS = [Subject(name, f"web-{number}", f"u{number}", "", "n1") for name in NAMES for number in range(40)]
CPU = "cpu/usage_rate"
END = T0 + HOURS * HOUR
PAGE = 4096


def run(history: LocalHistory, begin: float, end: float) -> None:
    at = begin
    while at < end:
        at += 30.0
        history.record([Sample(pod, at, {CPU: (at * 7 + index) % 211}, "agent", 30.0)
                        for index, pod in enumerate(PODS)], at)  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A file of four hours and some minutes, put together where they are closed."""
    path = tmp_path_factory.mktemp("whole") / "history.db"
    history = LocalHistory(str(path))
    run(history, T0, END + 900)
    history.close()
    return path


@pytest.fixture
def path(whole, tmp_path) -> Path:
    copy = tmp_path / "history.db"
    copy.write_bytes(whole.read_bytes())
    return copy


Sums = Dict[Tuple[str, int], float]


def sums(history: LocalHistory) -> Tuple[Sums, Set[str]]:
    """By namespace and hour, from hourly sums; and what was said beside them."""
    found: Sums = {}
    notes: Set[str] = set()
    for hour in range(HOURS):
        answer = history.totals(Query(CPU, "pod", T0 + hour * HOUR, T0 + (hour + 1) * HOUR))
        notes.update(answer.extent.notes)
        for total in answer.totals:
            key = (total.subject.namespace, hour)
            found[key] = found.get(key, 0.0) + total.sum
    return found, notes


@pytest.fixture(scope="module")
def truth(whole) -> Sums:
    history = LocalHistory(str(whole))
    try:
        return sums(history)[0]
    finally:
        history.close()


def harm(path: Path, table: str, namespace: str, hour: int) -> None:
    """One byte of a blob, where it lies in the file."""
    connection = sqlite3.connect(path)
    (blob,) = connection.execute(
        f"select blob from {table} where namespace = ? and hour = ?", (namespace, int(T0 // HOUR) + hour)
    ).fetchone()
    connection.close()
    raw = bytearray(path.read_bytes())
    raw[raw.index(blob[:200]) + 150] ^= 0x40
    path.write_bytes(raw)


def note(what: str, namespace: str, hour: int) -> str:
    return f"{what} of namespace {namespace} in the hour of {times.write(T0 + hour * HOUR)}"


def test_a_blob_of_sums_is_told_and_set_aside(path, truth) -> None:
    harm(path, "sums", "shop", 1)
    history = LocalHistory(str(path))
    for again in range(2):
        found, notes = sums(history)
        assert found == {key: value for key, value in truth.items() if key != ("shop", 1)}
        assert [one for one in notes if note("sums", "shop", 1) in one]
        # From the next turn on it is out of the way; what is missing is told all the same.
        run(history, END + 900, END + 990)
        assert any("set aside" in one for one in history.health()), again
    history.close()


def test_a_blob_of_points_is_a_gap(path) -> None:
    harm(path, "points", "bank", 2)
    history = LocalHistory(str(path))
    for name, wanted in (("bank", 240 - 120), ("shop", 240)):
        answer = history.range(Query(CPU, "pod", T0 + HOUR, T0 + 3 * HOUR, namespace=name, pod="web-1"))
        values = [value for value in answer.series[0].values if value == value]
        assert len(values) == pytest.approx(2 * wanted - 1 if name == "shop" else 239, abs=2)
        assert bool([one for one in answer.extent.notes if note("points", "bank", 2) in one]) == (name == "bank")
    history.close()


def test_any_page_that_is_overwritten_costs_little_and_is_told(path, truth) -> None:
    """Each time one page of noise: first what is left is served, then the file is mended."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    draw = random.Random(seed)
    original = path.read_bytes()
    pages = len(original) // PAGE
    for page in range(pages):
        for side in path.parent.iterdir():
            side.unlink()
        path.write_bytes(
            original[: page * PAGE]
            + bytes(draw.getrandbits(8) for _ in range(PAGE))
            + original[(page + 1) * PAGE :]
        )
        history = LocalHistory(str(path))
        try:
            before = sums(history)[0]
        except NoHistory:
            before = {}  # a tree is broken: it is mended at the next turn
        run(history, END + 900, END + 990)
        found, notes = sums(history)
        lost = {key for key in truth if found.get(key) != truth[key]}
        assert all(found.get(key) in (None, truth[key]) for key in truth), page
        assert all(before.get(key) in (None, truth[key]) for key in truth), page
        told = " ".join([*notes, *history.health()])
        assert not lost or "damaged" in told, (page, lost)
        assert len(lost) <= 8, (page, lost)  # what lay on that page
        assert not [one for one in history.health() if "does not work" in one], (page, history.health())
        history.close()


def test_a_file_of_something_else_is_put_aside_and_history_begins_anew(tmp_path) -> None:
    path = tmp_path / "history.db"
    path.write_text("nobody's history" * 1000)
    history = LocalHistory(str(path))
    run(history, T0, T0 + 600)
    assert any("damaged" in one for one in history.health())
    assert history.totals(Query(CPU, "pod", T0, T0 + 600)).totals
    history.close()
    assert (tmp_path / "history.db.damaged").read_text().startswith("nobody's history")


def test_a_repair_that_was_cut_off_is_ended(path, truth) -> None:
    new = path.with_name(path.name + ".mending")
    new.write_bytes(path.read_bytes())
    path.unlink()  # killed between the two renames: the new file is whole
    history = LocalHistory(str(path))
    assert sums(history)[0] == truth
    history.close()
    new.write_bytes(b"half")  # killed while it was written
    history = LocalHistory(str(path))
    assert sums(history)[0] == truth
    history.close()
    assert not new.exists()
