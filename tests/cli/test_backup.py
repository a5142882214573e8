"""`krm backup` and `krm restore`: from the collector while it writes, or from a file that nobody has open."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from krm.cli import backup as command
from krm.collector import certificate, endpoint
from krm.model.measures import Sample, Subject
from krm.store.history.asked import Query
from krm.store.history.backup import CannotCopy, copied, digest, fetched
from krm.store.history.local import LocalHistory
from krm.store.history.remote import RemoteHistory

T0 = 1_700_006_400.0
POD = Subject("shop", "web-0", "u0", "", "n1")


def run(history: LocalHistory, begin: float, end: float) -> None:
    while begin < end:
        begin += 15.0
        history.record([Sample(POD, begin, {"cpu/usage_rate": 100.0}, "agent", 15.0)], begin)


@pytest.fixture
def path(tmp_path: Path) -> str:
    found = str(tmp_path / "history.db")
    history = LocalHistory(found)
    run(history, T0, T0 + 1200)
    history.close()
    return found


def test_a_file_is_copied_and_put_back(nowhere, path, tmp_path) -> None:
    copy, place = str(tmp_path / "copy"), str(tmp_path / "place")
    made = nowhere("backup", copy, "--history", path)
    assert made.returncode == 0
    assert digest(path) in made.stderr
    back = nowhere("restore", copy, "--history", place)
    assert back.returncode == 0
    assert digest(path) in back.stderr
    history = LocalHistory(place)
    assert history.totals(Query("cpu/usage_rate", "pod", T0, T0 + 1200)).totals[0].sum == pytest.approx(120000.0)
    history.close()


def test_nothing_is_written_over(nowhere, path, tmp_path) -> None:
    (tmp_path / "copy").write_text("mine")
    for arguments in (("backup", str(tmp_path / "copy"), "--history", path), ("restore", path, "--history", path)):
        refused = nowhere(*arguments)
        assert refused.returncode == 1
        assert "nothing is written over" in refused.stderr
    assert (tmp_path / "copy").read_text() == "mine"


def test_a_file_that_is_written_is_left_to_its_collector(nowhere, path, tmp_path) -> None:
    history = LocalHistory(path)
    refused = nowhere("backup", str(tmp_path / "copy"), "--history", path)
    history.close()
    assert refused.returncode == 1
    assert "one process writes it" in refused.stderr
    assert not (tmp_path / "copy").exists()


def test_without_a_collector_it_says_so(nowhere, tmp_path) -> None:
    refused = nowhere("backup", str(tmp_path / "copy"))
    assert refused.returncode != 0
    assert refused.stderr.startswith("krm: ")


def test_through_the_collector_while_it_writes(path, tmp_path, monkeypatch) -> None:
    """By the endpoint, as the command does it."""
    history = LocalHistory(path)
    server = endpoint.Server(history, lambda: copied(path), "t", certificate.made(), ("127.0.0.1", 0))
    try:
        remote = RemoteHistory(lambda: (server.address, server.digest), "t")
        monkeypatch.setattr(command, "_remote", lambda args: remote)
        run(history, T0 + 1200, T0 + 1800)
        arguments = type("", (), {"history": "", "file": str(tmp_path / "copy")})
        assert command.run(arguments) == 0
        assert digest(str(tmp_path / "copy")) == digest(path)
    finally:
        server.close()
        history.close()


def test_a_copy_that_was_cut_short_is_none(path, tmp_path) -> None:
    with copied(path) as file:
        whole = file.read()
    for harm in (whole[: len(whole) // 2], b"", whole[:-4096] + b"x" * 4096):
        copy = io.BytesIO(harm)
        with pytest.raises(CannotCopy):
            fetched(lambda file, copy=copy: file.write(copy.getvalue()), str(tmp_path / "copy"))
        assert not (tmp_path / "copy").exists()
