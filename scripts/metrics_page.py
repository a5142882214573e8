#!/usr/bin/env python3
"""Write docs/metrics.md from krm.model.metrics: the table is the truth, the page its print.

.venv/bin/python scripts/metrics_page.py            # writes docs/metrics.md
.venv/bin/python scripts/metrics_page.py --check    # exit code 1 where the page differs
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Iterable, List

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "metrics.md"
HOW = "run .venv/bin/python scripts/metrics_page.py"

HEAD = """# Metrics

<!-- Written by scripts/metrics_page.py from krm.model.metrics.TABLE: change the table, then run the script. -->

Every series that krm keeps, with one name for it everywhere: in the history, in Python, on the command line,
and as `POST /api/<metric>` ([post-api.md](post-api.md)).

- **Form.** A gauge is what is at a moment; a counter only grows, and begins again at 0 with a restart; a rate
  is the increase of a counter a second; a share is of 0 to 1.
- **Levels.** Of whom there is a value: container, pod, namespace, node, cluster. Namespaces, nodes and the
  cluster are sums where their pods or nodes are measured; such a sum says how many of how many it covers.
- **Sources.** The first that has a value is taken. `state` is the verified snapshot (requests, limits,
  capacity), `sum` is made of other rows.
- **Sum.** The unit of a sum over time. Of a counter it is the increase; of all others the integral, value x
  seconds, of the time that is covered: gaps add nothing. Divided by the covered seconds it is the mean.
- **Kept to.** The step that the history keeps a value to, in its unit: what is read back differs by at most
  half of it.
- What is not known has no value. It is never 0.

As tags of points the subject is `nodename`, `namespace_name`, `pod_name`, `container_name`, `resource_id` (a
filesystem, a GPU, a quota's resource) and `type`: `pod_container`, `pod`, `ns`, `node`, `cluster`, as Heapster
called them.
"""
PARTS = (
    (
        "Part one: the classic names",
        "The names that Heapster published, in its units, and `gpu/usage`, which kube_monitoring added."
        " **Bold** are the main ones, used for accounting.",
    ),
    ("Part two: krm's own", "The same columns."),
)
_COLUMNS = ("metric", "unit", "form", "levels", "sources", "sum", "kept to", "what")


def page() -> str:
    """The whole page."""
    from krm.model.metrics import PART_ONE, PART_TWO

    parts = [
        f"## {title}\n\n{about}\n\n" + "\n".join(_table(rows))
        for (title, about), rows in zip(PARTS, (PART_ONE, PART_TWO))
    ]
    return "\n".join([HEAD, "\n\n".join(parts), ""])


def _table(rows: Iterable[Any]) -> List[str]:
    from krm.model.measures import LEVELS

    lines = [f"| {' | '.join(_COLUMNS)} |", "|" + "---|" * len(_COLUMNS)]
    for row in rows:
        name = f"**`{row.name}`**" if row.main else f"`{row.name}`"
        about = row.about + (f" The rate of `{row.counter}`." if row.counter else "")
        levels = ", ".join(level for level in reversed(LEVELS) if level in row.levels)
        cells = (
            name, row.unit, row.form, levels, ", ".join(row.sources), row.sum_unit, f"{row.step:g}", about
        )  # fmt: skip
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines


def main() -> int:
    """0, or 1 with --check where the page is another one."""
    text = page()
    if "--check" in sys.argv[1:]:
        same = PAGE.exists() and PAGE.read_text(encoding="utf-8") == text
        if not same:
            print(f"docs/metrics.md is not what the table says: {HOW}", file=sys.stderr)
        return 0 if same else 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    for folder in ROOT.glob("*/krm"):
        sys.path.insert(0, str(folder.parent))
    sys.exit(main())
