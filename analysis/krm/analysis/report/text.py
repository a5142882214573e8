"""A report as text for a terminal, and as Markdown. Every word of the cluster is made harmless. Pure."""

from __future__ import annotations

import re
from typing import List

from krm.analysis.report.rows import NamespaceReport
from krm.analysis.report.sections import sections
from krm.model.layout import Columns
from krm.model.safetext import safe
from krm.model.times import age

# What Markdown, or GitHub's kind of it, would read as its own: marks, links, HTML, mentions, entities.
_MARKS = re.compile(r"([\\`*_\[\]<>|~&:@!#])|(?<=\bwww)(\.)", re.IGNORECASE)


def title_of(report: NamespaceReport) -> str:
    """`Namespace shop, the last 24h`."""
    return f"Namespace {report.namespace}, the last {age(report.window)}"


def as_text(report: NamespaceReport) -> str:
    """Without a line end at its end."""
    lines: List[str] = [safe(title_of(report))]
    for one in sections(report):
        lines += ["", one.title.upper()]
        lines += [f"  {safe(sentence)}" for sentence in one.sentences]
        lines += [f"  {line}" for line in Columns().lines(one.rows)]
    return "\n".join(lines)


def as_markdown(report: NamespaceReport) -> str:
    """For GitHub's kind of Markdown, and CommonMark with tables."""
    lines: List[str] = [f"# {marked(title_of(report))}"]
    for one in sections(report):
        lines += ["", f"## {marked(one.title)}", ""]
        lines += [f"- {marked(sentence)}" for sentence in one.sentences]
        if one.rows:
            heads, *rest = one.rows
            lines += [""] if one.sentences else []
            lines.append(_row(heads))
            lines.append("|" + "---|" * len(heads))
            lines += [_row(row) for row in rest]
    return "\n".join(lines) + "\n"


def marked(words: str) -> str:
    """As words alone, whatever they hold."""
    return _MARKS.sub(lambda match: "\\" + match.group(), safe(words))


def _row(cells: object) -> str:
    return "| " + " | ".join(marked(cell) or " " for cell in cells) + " |"  # type: ignore[attr-defined]
