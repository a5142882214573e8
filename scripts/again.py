#!/usr/bin/env python3
"""Run the few tests that failed in a run once more, by themselves, and write into its report how that went.

On a small machine under load a deadline may pass that holds otherwise. A test that passes now is unsteady: the
summary names it, so that it is mended; it does not stop a change. Many failures are never put down to the machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

REPORTS = Path(__file__).resolve().parent.parent / "build" / "report"
MOST = 3  # failures in a run of thousands that may be the machine's


def failures(report: Dict[str, Any]) -> List[str]:
    """Tests that failed; [] where something else did (a collection, an interrupt)."""
    if report["exitcode"] != 1 or any(part["outcome"] == "failed" for part in report.get("collectors", [])):
        return []
    return [_name(test) for test in report.get("tests", []) if test["outcome"] in ("failed", "error")]


def _name(test: Dict[str, Any]) -> str:
    """As pytest takes it: without the `@group` that xdist writes behind names of tests that stay together."""
    name: str = test["nodeid"]
    return name.rpartition("@")[0] if name.rfind("@") > name.rfind("]") else name


def merged(report: Dict[str, Any], second: Dict[str, Any]) -> Dict[str, Any]:
    """The report after the second run: what passed there is unsteady and counts as passed."""
    passed = {test["nodeid"] for test in second.get("tests", []) if test["outcome"] == "passed"}
    unsteady = [name for name in failures(report) if name in passed]
    tests = [{**test, "outcome": "passed"} if _name(test) in unsteady else test for test in report.get("tests", [])]
    left = any(test["outcome"] in ("failed", "error") for test in tests)
    return {**report, "tests": tests, "unsteady": unsteady, "exitcode": 1 if left else 0}


def main(argv: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(description="Run the tests that failed once more, by themselves.")
    parser.add_argument("name", help="the run: build/report/NAME.json")
    parser.add_argument("--python", default=sys.executable, help="the Python with pytest")
    parser.add_argument(
        "--folder", type=Path, default=REPORTS, help="where the reports are (default: build/report)"
    )
    options = parser.parse_args(argv)
    path = options.folder / f"{options.name}.json"
    try:
        report = json.loads(path.read_text())
        failed = failures(report)
    except (OSError, ValueError, KeyError) as error:
        print(f"{path}: no report of a run: {type(error).__name__}")
        return 1
    if not 0 < len(failed) <= MOST:
        print(f"{options.name}: {len(failed)} tests failed: not run again (1 to {MOST} are)")
        return 1
    print(f"{options.name}: run once more, by themselves: {', '.join(failed)}", flush=True)
    second = options.folder / "again" / f"{options.name}.json"
    second.parent.mkdir(parents=True, exist_ok=True)
    second.unlink() if second.exists() else None
    reporting = ["--json-report", f"--json-report-file={second}", "--json-report-omit=keywords"]
    subprocess.run(
        [options.python, "-m", "pytest", "-p", "no:cacheprovider", "--timeout=600", *reporting, *failed],
        check=False,
    )
    try:
        whole = merged(report, json.loads(second.read_text()))
    except (OSError, ValueError) as error:
        print(f"{second}: no report of the second run: {type(error).__name__}")
        return 1
    path.write_text(json.dumps(whole))
    return int(whole["exitcode"])


if __name__ == "__main__":
    sys.exit(main())
