"""docs/agent.md prints the table of figures as it is."""

import re
from pathlib import Path

from krm.agent.figures import FIGURES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "agent.md"


def test_the_page_has_the_table_of_figures() -> None:
    section = PAGE.read_text().split("## Figures\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([\w-]+) \| (.*) \|$", section, re.MULTILINE)
    assert rows == [(name, one.kind, one.unit or "-", one.what) for name, one in FIGURES.items()]
