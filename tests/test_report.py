"""The summary that CI ends with: it may not turn a failure, a crash or an odd skip into a success."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "report.py"


def case(name: str, outcome: str, reason: str = "") -> Dict[str, Any]:
    setup = {"outcome": outcome, "duration": 0.0, "longrepr": f"('a.py', 3, 'Skipped: {reason}')"} if reason else {}
    return {"nodeid": f"tests/a.py::{name}", "outcome": outcome, "setup": setup, "call": {"duration": 2.0}}


def summary(folder: Path, ci: bool, *expect: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), "--folder", str(folder), "--expect", *expect]
    return subprocess.run(command, capture_output=True, text=True, env={"CI": "true"} if ci else {}, timeout=30)


def leave(folder: Path, name: str, tests: List[Dict[str, Any]], exit_code: int = 0) -> None:
    report = {"exitcode": exit_code, "duration": 4.2, "environment": {"Python": "3.13.0"}, "tests": tests}
    (folder / f"{name}.json").write_text(json.dumps(report))


def test_runs_are_added_up_in_the_last_line(tmp_path: Path) -> None:
    leave(tmp_path, "test", [case("x", "passed"), case("y", "passed")])
    leave(tmp_path, "test-slow", [case("z", "passed")])
    done = summary(tmp_path, True, "test", "test-slow")
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "3 passed, 0 failed, 0 skipped"
    assert "Python 3.13.0" in done.stdout
    assert "tests/a.py::x 2.0 s" in done.stdout


@pytest.mark.parametrize("outcome", ["failed", "error"])
def test_a_failure_is_named_and_fails(tmp_path: Path, outcome: str) -> None:
    leave(tmp_path, "test", [case("x", outcome), case("y", "passed")], exit_code=1)
    done = summary(tmp_path, False)
    assert done.returncode == 1
    assert "FAILED tests/a.py::x" in done.stdout
    assert done.stdout.splitlines()[-1] == "1 passed, 1 failed, 0 skipped"


@pytest.mark.parametrize("exit_code", [1, 2, 3, 4])
def test_a_run_that_broke_off_fails_though_no_test_did(tmp_path: Path, exit_code: int) -> None:
    leave(tmp_path, "test", [case("y", "passed")], exit_code=exit_code)
    assert summary(tmp_path, False).returncode == 1


def test_a_run_with_nothing_to_collect_is_no_failure(tmp_path: Path) -> None:
    leave(tmp_path, "test-faults", [], exit_code=5)
    assert summary(tmp_path, True).returncode == 0


def test_a_run_that_left_no_report_fails(tmp_path: Path) -> None:
    leave(tmp_path, "test", [case("y", "passed")])
    done = summary(tmp_path, False, "test", "test-38")
    assert done.returncode == 1
    assert "test-38 left no report" in done.stdout


def test_a_skip_that_nobody_expected_fails_in_ci_alone(tmp_path: Path) -> None:
    leave(tmp_path, "test", [case("x", "skipped", "no redis-server on PATH")])
    assert summary(tmp_path, False).returncode == 0
    done = summary(tmp_path, True)
    assert done.returncode == 1
    assert "1 skipped (not expected in CI): no redis-server on PATH" in done.stdout


def test_an_expected_skip_passes_in_ci(tmp_path: Path) -> None:
    leave(tmp_path, "test-38", [case("x", "skipped", "needs Python 3.10")])
    done = summary(tmp_path, True)
    assert done.returncode == 0, done.stdout
    assert "1 skipped: needs Python 3.10" in done.stdout


def test_a_torn_report_fails_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "test.json").write_text('{"exitcode": 0, "dur')
    done = summary(tmp_path, False)
    assert done.returncode == 1
    assert "test.json is no report" in done.stdout
    assert done.stdout.splitlines()[-1] == "0 passed, 0 failed, 0 skipped"


AGAIN = SCRIPT.parent / "again.py"
TESTS = """
from pathlib import Path
def test_steady(): pass
def test_unsteady():
    mark = Path(__file__).with_name("mark")
    seen, _ = mark.exists(), mark.write_text("")
    assert seen
def test_broken(): assert False
"""


def again(folder: Path, name: str = "test") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(AGAIN), name, "--folder", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=60, env={})


def ran(folder: Path, *chosen: str) -> None:
    (folder / "test_it.py").write_text(TESTS)
    names = [f"test_it.py::{name}" for name in chosen]
    reporting = ["--json-report", "--json-report-file=test.json"]
    subprocess.run(
        [sys.executable, "-m", "pytest", *reporting, *names], cwd=folder, timeout=60, env={}, check=False
    )


def test_what_passes_by_itself_is_unsteady_and_named(tmp_path: Path) -> None:
    ran(tmp_path, "test_steady", "test_unsteady")
    assert again(tmp_path).returncode == 0
    done = summary(tmp_path, True, "test")
    assert done.returncode == 0, done.stdout
    assert "UNSTEADY test_it.py::test_unsteady" in done.stdout
    assert done.stdout.splitlines()[-1] == "2 passed, 0 failed, 0 skipped"


def test_a_test_of_a_group_is_found_again(tmp_path: Path) -> None:
    """xdist writes `@group` behind its name, which pytest would not know."""
    ran(tmp_path, "test_unsteady")
    report = tmp_path / "test.json"
    report.write_text(report.read_text().replace("::test_unsteady", "::test_unsteady@controlplane"))
    assert again(tmp_path).returncode == 0
    assert "UNSTEADY test_it.py::test_unsteady" in summary(tmp_path, True, "test").stdout


def test_what_fails_again_has_failed(tmp_path: Path) -> None:
    ran(tmp_path, "test_unsteady", "test_broken")
    assert again(tmp_path).returncode == 1
    done = summary(tmp_path, True, "test")
    assert done.returncode == 1
    assert "FAILED test_it.py::test_broken" in done.stdout
    assert done.stdout.splitlines()[-1] == "1 passed, 1 failed, 0 skipped"


def test_many_failures_and_runs_that_broke_off_are_not_run_again(tmp_path: Path) -> None:
    leave(tmp_path, "test", [case(str(number), "failed") for number in range(4)], exit_code=1)
    assert "not run again" in again(tmp_path).stdout
    leave(tmp_path, "test", [case("x", "passed")], exit_code=2)
    assert again(tmp_path).returncode == 1
    assert again(tmp_path, "none").returncode == 1
