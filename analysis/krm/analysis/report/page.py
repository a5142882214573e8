"""A report as one HTML page: no script, nothing loaded from anywhere, every word of the cluster escaped. Pure."""

from __future__ import annotations

from html import escape
from typing import List, Sequence

from krm.analysis.finding import SEVERITIES
from krm.analysis.report.drawing import svg
from krm.analysis.report.rows import NamespaceReport
from krm.analysis.report.sections import Section, sections
from krm.analysis.report.text import title_of
from krm.model.safetext import safe
from krm.model.trust import LIVE

# Whatever a word should turn out to be: nothing runs, nothing is loaded, nothing is sent.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """
:root{color-scheme:light dark;--ink:#1c2330;--soft:#5b6675;--edge:#d5dbe3;--paper:#fff;--used:#1f6feb;
--requested:#9a6700;--limits:#cf222e;--warning:#9a6700;--critical:#cf222e;--info:#1f6feb}
@media(prefers-color-scheme:dark){:root{--ink:#e4e9f0;--soft:#9aa6b5;--edge:#333c48;--paper:#12161c;--used:#58a6ff;
--requested:#d29922;--limits:#ff7b72;--warning:#d29922;--critical:#ff7b72;--info:#58a6ff}}
body{font:14px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:1100px;margin:2em auto;
padding:0 1em}
h1{font-size:1.5em}h2{font-size:1.1em;margin:1.6em 0 .4em}
table{border-collapse:collapse;display:block;overflow-x:auto}
th,td{text-align:left;padding:.2em .8em .2em 0;border-bottom:1px solid var(--edge);vertical-align:top;
overflow-wrap:anywhere}
th{color:var(--soft);font-weight:600;font-size:.8em;white-space:nowrap}
td{font-variant-numeric:tabular-nums}
.charts{display:flex;flex-wrap:wrap;gap:1em}figure{margin:0;flex:1 1 420px}figcaption{font-weight:600}
svg{width:100%;height:auto}
svg text{fill:var(--soft);font:11px system-ui,sans-serif}.grid{stroke:var(--edge)}
path{fill:none;stroke-width:1.6;stroke-linecap:round;stroke-linejoin:round}
.used{stroke:var(--used)}.requested{stroke:var(--requested)}.limits{stroke:var(--limits)}
.trust{border-left:4px solid var(--used);padding:.4em .8em}.trust.not{border-color:var(--critical);font-weight:600}
.warning{color:var(--warning)}.critical{color:var(--critical);font-weight:600}.info{color:var(--info)}
"""


def as_html(report: NamespaceReport) -> str:
    """The whole document."""
    title = _safe(title_of(report))
    first, *rest = sections(report)
    fresh = "" if report.worth.state == LIVE else " not"
    body = [f"<h1>{title}</h1>", *(f'<p class="trust{fresh}">{_safe(one)}</p>' for one in first.sentences)]
    body += _charts(report)
    for one in rest:
        body += _section(one)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_safe(_POLICY)}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _charts(report: NamespaceReport) -> List[str]:
    if not report.charts:
        return []
    end = report.worth.now
    drawn = [
        f"<figure><figcaption>{_safe(one.title)}</figcaption>{svg(one, end - report.window, end)}</figure>"
        for one in report.charts
    ]
    return ['<div class="charts">', *drawn, "</div>"]


def _section(one: Section) -> List[str]:
    parts = [f"<h2>{_safe(one.title)}</h2>"]
    if len(one.sentences) == 1:
        parts.append(f"<p>{_safe(one.sentences[0])}</p>")
    elif one.sentences:
        parts.append("<ul>" + "".join(f"<li>{_safe(sentence)}</li>" for sentence in one.sentences) + "</ul>")
    if one.rows:
        heads, *rest = one.rows
        parts.append(
            "<table><thead><tr>" + "".join(f"<th>{_safe(cell)}</th>" for cell in heads) + "</tr></thead><tbody>"
        )
        parts += [_row(row) for row in rest]
        parts.append("</tbody></table>")
    return parts


def _row(cells: Sequence[str]) -> str:
    first, *rest = cells
    mark = f' class="{first}"' if first in SEVERITIES else ""
    return f"<tr><td{mark}>{_safe(first)}</td>" + "".join(f"<td>{_safe(cell)}</td>" for cell in rest) + "</tr>"


def _safe(words: str) -> str:
    return escape(safe(words), quote=True)
