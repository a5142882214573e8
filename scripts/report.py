#!/usr/bin/env python3
"""Summarise build/report/*.json, the reports that the test runs leave.

Exits 1 when a test failed, a run broke off, or (where CI is set) a test was skipped for a reason that is
not on the list below: a skip nobody expected is a test that nobody runs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

REPORTS = Path(__file__).resolve().parent.parent / "build" / "report"
# (run, reason), both regular expressions. CI has a control plane, Redis and every Python it needs, so
# only what a version lacks may be left out there.
EXPECTED_SKIPS: Tuple[Tuple[str, str], ...] = (
    ("test-38", r"Python 3\.(9|1\d)"),
    # Their last versions for 3.8 are years old; `make test` runs the same tests on the newest Python.
    ("test-38", r"could not import '(pandas|polars)'"),
    ("test-38", r"could not import '(schemathesis|openapi_spec_validator)'"),  # need 3.10
    (".*", r"Kubernetes 1\.\d+ (does not|has no|lacks)"),
)
SLOWEST = 3
# pytest's exit codes: all passed; some failed; nothing was collected.
PASSED, FAILED, NOTHING = 0, 1, 5


class Skip(NamedTuple):
    test: str
    reason: str


class Run(NamedTuple):
    """One report, read."""

    name: str
    exit_code: int
    seconds: float
    passed: int
    failed: List[str]
    skipped: List[Skip]
    slowest: List[Tuple[float, str]]
    environment: Dict[str, str]
    unsteady: List[str] = []  # failed in the run, passed when they were run once more (scripts/again.py)

    def unexpected(self) -> List[Skip]:
        """Skips that are not on the list."""
        allowed = [reason for run, reason in EXPECTED_SKIPS if re.fullmatch(run, self.name)]
        return [skip for skip in self.skipped if not any(re.search(reason, skip.reason) for reason in allowed)]

    def broke_off(self) -> bool:
        """It ended for another cause than its tests: a usage error, an import, an interrupt."""
        return self.exit_code not in (PASSED, FAILED, NOTHING) or (self.exit_code == FAILED and not self.failed)


def read(path: Path) -> Run:
    """Raises ValueError or KeyError for a file that is no report."""
    report = json.loads(path.read_text())
    tests = report.get("tests", [])
    failed = [test["nodeid"] for test in tests if test["outcome"] in ("failed", "error")]
    failed += [part["nodeid"] for part in report.get("collectors", []) if part["outcome"] == "failed"]
    skipped = [Skip(test["nodeid"], reason_of(test)) for test in tests if test["outcome"] == "skipped"]
    skipped += [
        Skip(part["nodeid"], last_line(part.get("longrepr", "")))
        for part in report.get("collectors", [])
        if part["outcome"] == "skipped"
    ]
    timed = sorted(((seconds_of(test), test["nodeid"]) for test in tests), reverse=True)
    return Run(
        name=path.stem,
        exit_code=report["exitcode"],
        seconds=report["duration"],
        passed=sum(test["outcome"] in ("passed", "xfailed") for test in tests),
        failed=failed,
        skipped=skipped,
        slowest=timed[:SLOWEST],
        environment=report.get("environment", {}),
        unsteady=list(report.get("unsteady", [])),
    )


def seconds_of(test: Dict[str, Any]) -> float:
    return sum(float(test.get(phase, {}).get("duration", 0.0)) for phase in ("setup", "call", "teardown"))


def reason_of(test: Dict[str, Any]) -> str:
    """Why a test was skipped; pytest gives a file, a line and the reason as one text."""
    for phase in ("setup", "call"):
        stage = test.get(phase, {})
        if stage.get("outcome") == "skipped":
            return last_line(stage.get("longrepr", ""))
    return "no reason given"


def last_line(text: str) -> str:
    found = re.search(r"Skipped: (.*?)['\"]?\)?$", text.strip(), re.DOTALL)
    return (found.group(1) if found else text.strip()) or "no reason given"


def describe(run: Run) -> List[str]:
    """A run in lines that a person reads in CI's log."""
    about = ", ".join(f"{name} {value}" for name, value in run.environment.items())
    lines = [
        f"{run.name}: {run.passed} passed, {len(run.failed)} failed, {len(run.skipped)} skipped "
        f"in {run.seconds:.0f} s ({about})"
    ]
    if run.broke_off():
        lines.append(f"  broke off: pytest exit code {run.exit_code}")
    lines += [f"  FAILED {test}" for test in run.failed]
    lines += [
        f"  UNSTEADY {test}: it failed, and passed when it was run by itself: mend it" for test in run.unsteady
    ]
    unexpected = {skip.reason for skip in run.unexpected()}
    for reason, count in sorted(Counter(skip.reason for skip in run.skipped).items()):
        lines.append(f"  {count} skipped{' (not expected in CI)' if reason in unexpected else ''}: {reason}")
    slow = ", ".join(f"{test} {seconds:.1f} s" for seconds, test in run.slowest if seconds >= 1.0)
    return lines + ([f"  slowest: {slow}"] if slow else [])


def judge(runs: Sequence[Run], strict: bool) -> List[str]:
    """Why this is no success; empty where it is one."""
    wrong = [f"{run.name}: {len(run.failed)} failed" for run in runs if run.failed]
    wrong += [f"{run.name} broke off" for run in runs if run.broke_off()]
    if strict:
        wrong += [f"{run.name}: skipped {skip.test}: {skip.reason}" for run in runs for skip in run.unexpected()]
    return wrong


def total(runs: Sequence[Run]) -> str:
    """The one line that CI's log ends with."""
    passed = sum(run.passed for run in runs)
    failed = sum(len(run.failed) for run in runs)
    return f"{passed} passed, {failed} failed, {sum(len(run.skipped) for run in runs)} skipped"


def main(argv: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(description="Summarise the reports in build/report.")
    parser.add_argument(
        "--folder", type=Path, default=REPORTS, help="where the reports are (default: build/report)"
    )
    parser.add_argument("--expect", nargs="*", default=[], metavar="NAME", help="runs that must have left a report")
    options = parser.parse_args(argv)
    paths = sorted(options.folder.glob("*.json"))
    runs, wrong = [], []
    for path in paths:
        try:
            runs.append(read(path))
        except (ValueError, KeyError, TypeError) as error:
            wrong.append(f"{path.name} is no report: {type(error).__name__}: {error}")
    missing = set(options.expect) - {path.stem for path in paths}
    wrong += [f"{name} left no report" for name in sorted(missing)]
    for run in runs:
        print("\n".join(describe(run)))
    wrong += judge(runs, strict=bool(os.environ.get("CI")))
    for reason in wrong:
        print(f"NOT GOOD: {reason}")
    print(total(runs))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
