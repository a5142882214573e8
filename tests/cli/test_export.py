"""`krm export`: what was measured, as Parquet that DuckDB, Spark and pandas read."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, List

import metric_servers
import pytest
from krm.cli import export
from krm.cli.main import parser
from krm.model.measures import Sample, Subject
from krm.model.times import write
from krm.store.history.asked import HOUR, Query, TooMuch
from krm.store.history.chosen import history_of
from krm.store.history.local import LocalHistory

Krm = Callable[..., "subprocess.CompletedProcess[str]"]
parquet = pytest.importorskip("pyarrow.parquet")

BEGIN = (time.time() // HOUR - 5) * HOUR
PODS = [Subject(f"ns-{n % 2}", f"web-{n}", f"u{n}", "", "n1") for n in range(4)]


def load(histories: List[Any]) -> None:
    """Four pods over two hours, a turn each 15 s."""
    at = BEGIN
    while at < BEGIN + 2 * HOUR:
        at += 15
        samples = [
            Sample(pod, at, {"cpu/usage_rate": 100.0 * (n + 1)}, "agent", 15.0) for n, pod in enumerate(PODS)
        ]
        for history in histories:
            history.record(samples, at)


def rows_of(table: Any) -> List[Any]:
    """Rows with times as milliseconds: Python 3.8 has no zones of its own to make datetimes with."""
    arrow = pytest.importorskip("pyarrow")
    fields = [
        field.with_type(arrow.int64()) if arrow.types.is_timestamp(field.type) else field for field in table.schema
    ]
    assert {field.type.tz for field in table.schema if arrow.types.is_timestamp(field.type)} == {"UTC"}
    found: List[Any] = table.cast(arrow.schema(fields, metadata=table.schema.metadata)).to_pylist()
    return found


@pytest.fixture
def local(tmp_path: Path) -> Any:
    history = LocalHistory(str(tmp_path / "history.db"))
    load([history])
    yield history
    history.close()


@pytest.fixture
def exported(local: LocalHistory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The table that `krm export OPTIONS` writes of `local`."""
    monkeypatch.setattr(export, "_history", lambda args: local)

    def run(*options: str) -> Any:
        out = tmp_path / "out.parquet"
        moments = ["--begin", write(BEGIN), "--end", write(BEGIN + 2 * HOUR)]
        args = ["export", str(out), "--metric", "cpu/usage_rate", *moments, *options]
        assert export.run(parser().commands["export"].parse_args(args[1:])) == 0
        return parquet.read_table(out)

    return run


def test_points_are_rows_with_their_subject_and_time(exported: Callable[..., Any]) -> None:
    table = exported("-n", "ns-1")
    rows = rows_of(table)
    assert len(rows) == 2 * (2 * 240 - 1)
    row = rows[0]
    assert (row["namespace"], row["pod"], row["uid"], row["node"]) == ("ns-1", "web-1", "u1", "n1")
    assert (row["metric"], row["level"], row["value"]) == ("cpu/usage_rate", "pod", 200.0)
    assert row["time"] == (BEGIN + 15) * 1000
    about = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    assert {name: about[name] for name in ("unit", "sum_unit")} == {
        "unit": "millicores", "sum_unit": "millicore-seconds",
    }  # fmt: skip


def test_sums_over_the_whole_time_and_over_each_hour(exported: Callable[..., Any]) -> None:
    whole = {row["pod"]: row for row in rows_of(exported("--totals"))}
    assert {pod: (row["sum"], row["covered"], row["samples"]) for pod, row in whole.items()} == {
        f"web-{n}": (100.0 * (n + 1) * 2 * HOUR, 2 * HOUR, 480) for n in range(4)
    }
    hours = rows_of(exported("--every", "1h"))
    assert len(hours) == 8
    assert {row["end"] - row["begin"] for row in hours} == {HOUR * 1000}
    assert sum(row["sum"] for row in hours) == sum(row["sum"] for row in whole.values())


def test_what_is_too_much_for_one_answer_is_asked_for_in_parts(
    exported: Callable[..., Any], local: LocalHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sorted(map(str, rows_of(exported())))
    honest, asked = local.range, []

    def stingy(query: Query) -> Any:
        asked.append(query.end - query.begin)
        if query.end - query.begin > 1000:
            raise TooMuch("more than 1000 points")
        return honest(query)

    monkeypatch.setattr(local, "range", stingy)
    assert sorted(map(str, rows_of(exported()))) == whole
    assert min(asked) <= 1000 < max(asked)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--metric", "no/such"], "there is no metric 'no/such'"),
        (["--metric", "uptime", "--level", "namespace"], "uptime is measured of container, pod, node"),
        (["--begin", "yesterday"], "is no "),
        (["--begin", "1h", "--end", "2h"], "ends before it begins"),
        (["--totals", "--every", "1h"], "exclude one another"),
        (["--every", "1s"], "an hour or more"),
        (["--history", "mysql://root:s3cret@x"], "go influxdb:// and victoriametrics://"),
        (["--history", "influxdb://root:s3cret@x/a/b"], "ends with /DATABASE"),
    ],
)
def test_what_cannot_be_exported_is_a_sentence(nowhere: Krm, tmp_path: Path, options: List[str], why: str) -> None:
    more = [] if "--metric" in options else ["--metric", "cpu/usage_rate"]
    done = nowhere("export", str(tmp_path / "x.parquet"), *more, *options)
    assert done.returncode == 2
    assert why in done.stderr
    assert "s3cret" not in done.stderr
    assert not list(tmp_path.glob("x.*"))


def test_a_store_that_is_away_leaves_no_file(nowhere: Krm, tmp_path: Path) -> None:
    done = nowhere(
        "export", str(tmp_path / "x.parquet"), "--metric", "cpu/usage_rate", "--history", "influxdb://127.0.0.1:1"
    )
    assert (done.returncode, "it does not answer" in done.stderr) == (1, True)
    assert not list(tmp_path.glob("x.*"))


def test_a_missing_library_is_a_sentence(nowhere: Krm, tmp_path: Path) -> None:
    (tmp_path / "pyarrow.py").write_text("raise ImportError\n")
    paths = [str(tmp_path), *[path for path in sys.path if path]]
    done = nowhere("export", "x", "--metric", "cpu/usage_rate", env={"PYTHONPATH": ":".join(paths)})
    assert (done.returncode, done.stderr) == (1, "krm: krm export needs pyarrow: pip install 'krm[parquet]'\n")


def test_a_month_from_influxdb_is_the_same_sum(nowhere: Krm, tmp_path: Path) -> None:
    """With the command of docs/history.md, but for its names."""
    (tmp_path / "server").mkdir()
    with metric_servers.influx(tmp_path / "server") as server:
        url = f"influxdb://127.0.0.1:{server.port}/k8s"
        history: Any = history_of(url, tmp_path)
        pod = PODS[0]
        for day in reversed(range(5)):  # no sample counts that is older than the one before
            at = BEGIN - day * 24 * HOUR
            turn = [Sample(pod, at, {"cpu/usage_rate": 500.0}, "agent", 60.0)]
            history.record(turn, at)
        history.close(20)
        out = tmp_path / "month.parquet"
        moments = ["--begin", write(BEGIN - 240 * HOUR), "--end", write(BEGIN + HOUR)]
        done = nowhere(
            "export", str(out), "--metric", "cpu/usage_rate", *moments, "--every", "24h", "--history", url
        )
        assert (done.returncode, done.stderr) == (0, f"5 rows written to {out}\n")
        assert [row["sum"] for row in rows_of(parquet.read_table(out))] == [30000.0] * 5
