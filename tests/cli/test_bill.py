"""`krm bill`: a month from a real history, closed, corrected, proven after a restore, and every wrong argument."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest
from kept_cluster import KeptCluster
from krm.collector import certificate
from krm.collector.endpoint import Server
from krm.model.measures import Covers, Sample, Subject
from krm.store.history.backup import backup, copied, restore
from krm.store.history.local import LocalHistory
from krm.store.history.summing import Summing
from krm.store.latest import CollectorState
from krm.store.latest_writer import LatestWriter, Turn

Krm = Callable[..., "subprocess.CompletedProcess[str]"]
GIB = 1024.0**3
# The last whole month, and its first moment, UTC.
_FIRST = datetime.now(timezone.utc).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
_BEFORE = (_FIRST - timedelta(days=1)).replace(day=1)
MONTH, BEGIN, HOURS = _BEFORE.strftime("%Y-%m"), _BEFORE.timestamp(), (_FIRST - _BEFORE).days * 24
MEASURED = 2  # hours of it
PRICES = {
    "currency": "EUR",
    "prices": [{"cpu_core_hour": "3", "memory_gib_hour": "1", "storage_gib_hour": "0.5"}],
}


def load(history: LocalHistory) -> None:
    """Two hours of a node of 4 cores and 8 GiB: shop asks for 1 core and 2 GiB and uses 2 cores and 1 GiB."""
    node, pod = Subject(node="n1"), Subject("shop", "web", "u1", "", "n1")
    app = pod._replace(container="app")
    claim = Subject("shop", resource_id="fast/data")
    at = BEGIN
    while at < BEGIN + MEASURED * 3600:
        at += 15.0
        began = BEGIN if at == BEGIN + 15 else None
        samples = [
            Sample(Subject(), at, {"pods/count": 1.0}, "state", 0.0, began),
            Sample(node, at, {"cpu/node_capacity": 4000.0, "memory/node_capacity": 8 * GIB}, "state", 0.0, began),
            Sample(pod, at, {"cpu/request": 1000.0, "memory/request": 2 * GIB}, "state", 0.0, began),
            Sample(app, at, {"cpu/usage_rate": 2000.0, "memory/working_set": GIB}, "kubelet/resource", 15.0, began),
            Sample(claim, at, {"storage/claimed": 10 * GIB}, "state", 0.0, began),
        ]
        history.record(samples, at)


class Served:
    """A history behind a collector's endpoint, known to readers of a cluster."""

    def __init__(self, kept: KeptCluster, path: Path) -> None:
        self.path = path
        self.history = LocalHistory(str(path))
        self.server = Server(
            Summing(self.history), lambda: copied(str(path)), "t", certificate.made(), ("127.0.0.1", 0)
        )
        state = CollectorState(self.server.address, self.server.digest, 4.0, (), {}, (), Covers(1, 1, "nodes"))
        writer = LatestWriter(kept.database, kept.name)
        assert writer.take()
        writer.write(Turn({}, {}, {"": ()}, state))
        writer.give_up()
        writer.close()

    def close(self) -> None:
        self.server.close()
        self.history.close()


@pytest.fixture
def served(kept: KeptCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    token = tmp_path / "token"
    token.write_text("t\n")
    (tmp_path / "prices").write_text(json.dumps(PRICES))
    kept.kind("nodes", {"/n1": {"labels": {"pool": "big"}}})
    kept.kind("namespaces", {"/shop": {"labels": {"cc": "4711", "team": "red"}}})
    kept.kind("pods", {})
    found = Served(kept, tmp_path / "history")
    load(found.history)
    monkeypatch.setenv("KRM_HISTORY_TOKEN_FILE", str(token))
    monkeypatch.setenv("KRM_BILLS", str(tmp_path / "bills"))
    yield found
    found.close()


@pytest.fixture
def bill(krm: Krm, served: Served, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`krm bill` of the month."""

    def run(*more: str, prices: bool = True) -> subprocess.CompletedProcess[str]:
        told = ("--prices", str(tmp_path / "prices")) if prices else ()
        return krm("bill", "--month", MONTH, *told, *more)

    return run


def lines(text: str) -> Any:
    return {line["kind"] + " " + line["name"]: line["cost"] for line in json.loads(text)["lines"]}


def test_a_month_by_hand(bill: Any) -> None:
    """4 x 3 + 8 x 1 = 20 an hour: shop max(1, 2) cores and max(2, 1) GiB: 8; idle 12. Storage 10 x .5 = 5."""
    done = bill("-o", "json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert lines(done.stdout) == {
        "use shop": "16.00", "idle ": "24.00", "storage shop": "10.00", "gap history": None,
    }  # fmt: skip
    assert (told["total"], told["hours"]) == ("50.00", MEASURED)
    gap = told["lines"][-1]["note"]
    assert gap == f"{(HOURS - MEASURED) * 3600} s were not measured"


def test_the_table_and_csv(bill: Any) -> None:
    done = bill("--cost-centre", "cc", "-o", "wide")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0].split() == [
        "LINE", "FOR", "COST-CENTRE", "CORE-SECONDS", "GIB-SECONDS", "GPU-MB-HOURS", "STORAGE-GIB-HOURS", "COST",
        "NOTE",
    ]  # fmt: skip
    assert f"50.00 EUR for {MEASURED} of {HOURS} hours" in done.stderr
    assert "4711" in bill("--cost-centre", "cc", "-o", "csv").stdout


def test_a_closed_month_derives_again_byte_for_byte_after_a_restore(
    bill: Any, served: Served, kept: KeptCluster, tmp_path: Path
) -> None:
    first = bill("-o", "json", "--close")
    assert first.returncode == 0, first.stderr
    assert "version 1 is closed" in first.stderr
    assert "is closed already, with the same bytes" in bill("--close").stderr
    served.close()  # which writes what is only in memory
    backup(str(served.path), str(tmp_path / "backup"))
    os.unlink(served.path)
    restore(str(tmp_path / "backup"), str(tmp_path / "elsewhere"))
    again = Served(kept, tmp_path / "elsewhere")
    try:
        done = bill("--verify", prices=False)
        assert (done.returncode, "byte for byte" in done.stderr) == (0, True), done.stderr
        shown = bill("--closed", "-o", "json", prices=False)
        assert shown.stdout == first.stdout
        assert bill("-o", "json").stdout == first.stdout
    finally:
        again.close()


def test_a_correction_is_a_version_of_its_own(bill: Any, tmp_path: Path) -> None:
    first = bill("-o", "json", "--close").stdout
    dearer = {**PRICES, "prices": [{**PRICES["prices"][0], "cpu_core_hour": "4"}]}  # type: ignore[dict-item]
    (tmp_path / "prices").write_text(json.dumps(dearer))
    refused = bill("--close")
    assert (refused.returncode, "--correct REASON" in refused.stderr) == (2, True)
    assert bill("--close", "--correct", "a wrong price").returncode == 0
    shown = bill("--closed", "-o", "json", prices=False)
    assert "version 2, closed at" in shown.stderr
    assert "a wrong price" in shown.stderr
    assert json.loads(shown.stdout)["total"] == "58.00"
    assert bill("--closed", "--bill-version", "1", "-o", "json", prices=False).stdout == first


def test_a_history_that_changed_is_told(bill: Any, served: Served) -> None:
    assert bill("--close").returncode == 0
    late = Sample(Subject("shop", "web", "u1", "", "n1"), BEGIN + 9000, {"cpu/request": 1000.0}, "state", 0.0)
    served.history.record([late], BEGIN + 9000)
    done = bill("--verify", prices=False)
    assert done.returncode == 1
    assert "history had the digest" in done.stderr


@pytest.mark.parametrize(
    ("more", "code", "sentence"),
    [
        (["--by", "team"], 2, "namespace, pod, label:KEY"),
        (["--charge", "all"], 2, "max, request, usage"),
        (["--idle", "gone"], 2, "apart, shared"),
        (["--timezone", "Mars"], 2, "timezone="),
        (["--correct", "x"], 2, "goes with --close"),
        (["--close", "--verify"], 2, "give one of them"),
        (["--csv-columns", "x"], 2, "goes with -o csv"),
        (["--closed"], 1, "is not closed"),
        (["--prices", "/nowhere"], 2, "cannot be read"),
        (["--month", "2026-13"], 2, "YYYY-MM"),
        (["--month", "9998-01"], 2, "has not begun"),
    ],
)
def test_wrong_arguments(bill: Any, more: List[str], code: int, sentence: str) -> None:
    done = bill(*more)
    assert (done.returncode, done.stdout) == (code, "")
    assert sentence in done.stderr


def test_without_a_history_there_is_no_bill(krm: Krm, kept: KeptCluster, tmp_path: Path) -> None:
    (tmp_path / "prices").write_text(json.dumps(PRICES))
    kept.kind("nodes", {})
    done = krm("bill", "--month", MONTH, "--prices", str(tmp_path / "prices"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "no collector" in done.stderr


def test_without_redis(nowhere: Krm) -> None:
    done = nowhere("bill", "--month", MONTH, "--prices", "x", "--redis", "redis://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (1, "")
