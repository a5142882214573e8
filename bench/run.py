"""`python bench/run.py`: every benchmark in one run, as a table of ratios. `--write` keeps it in docs/.

Each figure stands beside a peer or a floor that ran in the same run on the same machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, Dict, List

import advice
import apiserver
import collect
import decode
import evictions
import findings
import flow
import history
import report
import serving
import watchers
from rig import Row

import agent

PARTS: Dict[str, Callable[[], List[Row]]] = {
    "decode": decode.rows,
    "throughput": flow.throughput,
    "delay": flow.delay,
    "publishing": flow.publishing,
    "memory": flow.memory,
    "apiserver": apiserver.rows,
    "server": serving.rows,
    "watchers": watchers.rows,
    "history": history.rows,
    "report": report.rows,
    "collection": collect.rows,
    "agent": agent.rows,
    "advice": advice.rows,
    "evictions": evictions.rows,
    "findings": findings.rows,
}
DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- table: make bench -->", "<!-- end of table -->"


def main() -> int:
    """Status 1 where a goal was missed, so that nobody overlooks it."""
    parser = argparse.ArgumentParser(prog="bench/run.py", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}. Default: all.")
    parser.add_argument("--write", action="store_true", help="replace the table in docs/performance.md.")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    rows: List[Row] = []
    for name in arguments.parts or PARTS:
        began = time.monotonic()
        found = PARTS[name]()
        rows += found
        # Said at once: a later part that fails takes no figure away.
        print(f"{name}: {time.monotonic() - began:.0f} s", *map(_line, found), sep="\n", file=sys.stderr)
    table = _table(rows)
    print(table)
    if arguments.write:
        _write(table)
    return 1 if any(row.reached is False for row in rows) else 0


def _table(rows: List[Row]) -> str:
    head = ["| what | figure | beside | wanted | |", "|---|---|---|---|---|"]
    return "\n".join([_machine(), "", *head, *map(_line, rows)])


def _line(row: Row) -> str:
    said = {True: "reached", False: "**missed**", None: ""}
    return f"| {row.what} | {row.figure} | {row.beside} | {row.wanted} | {said[row.reached]} |"


def _machine() -> str:
    versions = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=False).stdout
    redis = versions.split("v=")[1].split()[0] if "v=" in versions else "unknown"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}, Redis {redis}. One run; quote the ratios."
    )


def _write(table: str) -> None:
    text = DOCUMENT.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")


if __name__ == "__main__":
    sys.exit(main())
