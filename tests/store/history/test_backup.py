"""A backup is of one moment while the history is written, and comes back equal by its digest."""

from __future__ import annotations

import sqlite3
import threading

import pytest
from krm.model.measures import Sample, Subject
from krm.store.history import backup
from krm.store.history.asked import HOUR, Query
from krm.store.history.local import LocalHistory

T0 = 1_700_006_400.0
PODS = [Subject("shop", f"web-{number}", f"u{number}", "", "n1") for number in range(30)]


def run(history: LocalHistory, begin: float, end: float, until=lambda: False) -> float:
    at = begin
    while at < end and not until():
        at += 15.0
        history.record([Sample(pod, at, {"cpu/usage_rate": at % 977}, "agent", 15.0) for pod in PODS], at)
    return at


def totals(path: str):
    history = LocalHistory(path)
    try:
        return history.totals(Query("cpu/usage_rate", "pod", T0, T0 + HOUR)).totals
    finally:
        history.close()


def test_a_backup_made_while_writing_is_restored_equal(tmp_path) -> None:
    path, copy, place = (str(tmp_path / name) for name in ("history.db", "copy.db", "restored.db"))
    history = LocalHistory(path, flush_every=15.0)
    run(history, T0, T0 + HOUR + 600)
    digests, at = [], T0 + HOUR + 600
    copier = threading.Thread(target=lambda: digests.append(backup.backup(path, copy)))
    copier.start()
    while copier.is_alive():
        at = run(history, at, at + 60)
    copier.join()
    history.close()
    assert backup.restore(copy, place) == digests[0] == backup.digest(place) == backup.digest(copy)
    assert backup.digest(path) != digests[0]  # it went on
    assert totals(place) == totals(path)


def test_what_a_copy_holds_is_one_moment(tmp_path, monkeypatch) -> None:
    """Written in the middle of the copy, again and again: neither a restart of it nor a mixture."""
    path, copy = str(tmp_path / "history.db"), str(tmp_path / "copy.db")
    history = LocalHistory(path, flush_every=15.0)
    run(history, T0, T0 + 1200)
    before = backup.digest(path)
    steps, at = [], [T0 + 1200]

    def between(*_) -> None:
        steps.append(1)
        at[0] = run(history, at[0], at[0] + 15)

    monkeypatch.setattr(backup, "_PAGES", 1)
    whole = sqlite3.Connection.backup

    class Slow(sqlite3.Connection):
        def backup(self, target, **more) -> None:  # type: ignore[override]
            whole(self, target, progress=between, **more)

    monkeypatch.setattr(backup, "readonly", lambda path: sqlite3.connect(path, factory=Slow, isolation_level=None))
    assert backup.backup(path, copy) == before
    assert len(steps) > 3
    history.close()


def test_nothing_is_written_over(tmp_path) -> None:
    path, copy = str(tmp_path / "history.db"), tmp_path / "copy.db"
    history = LocalHistory(path)
    run(history, T0, T0 + 60)
    history.close()
    copy.write_text("mine")
    for work in (lambda: backup.backup(path, str(copy)), lambda: backup.restore(path, str(copy))):
        with pytest.raises(backup.CannotCopy, match="exists"):
            work()
    assert copy.read_text() == "mine"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["copy.db", "history.db", "history.db.lock"]


@pytest.mark.parametrize("harm", ["cut", "byte", "text", "row"])
def test_a_backup_that_is_not_whole_is_refused(tmp_path, harm) -> None:
    path, copy, place = str(tmp_path / "history.db"), tmp_path / "copy.db", tmp_path / "restored.db"
    history = LocalHistory(path)
    run(history, T0, T0 + 900)
    history.close()
    backup.backup(path, str(copy))
    raw = bytearray(copy.read_bytes())
    if harm == "cut":
        copy.write_bytes(raw[: len(raw) // 2])
    elif harm == "byte":
        raw[raw.index(b"krmh") + 100] ^= 1
        copy.write_bytes(raw)
    elif harm == "text":
        copy.write_text("no history at all" * 100)
    else:
        connection = sqlite3.connect(copy)
        connection.execute("delete from sums")
        connection.commit()
        connection.close()
    with pytest.raises(backup.CannotCopy):
        backup.restore(str(copy), str(place))
    assert not place.exists()
    assert not [one for one in tmp_path.iterdir() if "partial" in one.name]


def test_a_copy_to_send_is_gone_afterwards(tmp_path) -> None:
    path = str(tmp_path / "history.db")
    history = LocalHistory(path)
    run(history, T0, T0 + 60)
    with backup.copied(path) as file:
        (tmp_path / "sent.db").write_bytes(file.read())
    history.close()
    assert backup.restore(str(tmp_path / "sent.db"), str(tmp_path / "restored.db"))
    assert not [one for one in tmp_path.iterdir() if "copy" in one.name]


def test_copies_of_a_process_that_was_killed_are_swept_away(tmp_path) -> None:
    path = str(tmp_path / "history.db")
    for name in ("history.db.copy-17-3", "history.db.copy-17-3.partial-17", "other.db.copy-17-3"):
        (tmp_path / name).write_text("half")
    LocalHistory(path).close()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["history.db", "history.db.lock", "other.db.copy-17-3"]
