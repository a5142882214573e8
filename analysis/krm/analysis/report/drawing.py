"""A chart as SVG: lines over the window, gaps left out, nothing loaded and nothing run. Pure."""

from __future__ import annotations

from html import escape
from typing import List, Optional

from krm.analysis.report.rows import Chart, Line
from krm.analysis.report.sections import value_of
from krm.model.safetext import safe
from krm.model.times import write

WIDTH, HEIGHT = 640, 180  # user units
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 10, 10, 34
_CLASSES = ("used", "requested", "limits")  # of lines, in their order: page.py gives them colours


def svg(chart: Chart, begin: float, end: float) -> str:
    """begin, end: Unix seconds of the window."""
    top = max((value for line in chart.lines for _, value in line.points if value is not None), default=0.0) or 1.0
    top *= 1.05
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{_safe(chart.title)}">',
        *_grid(chart, top, begin, end),
    ]
    for place, line in enumerate(chart.lines):
        parts.append(_path(line, top, begin, end, _CLASSES[place % len(_CLASSES)]))
        parts.append(_legend(line, place, chart.resource))
    return "".join([*parts, "</svg>"])


def _grid(chart: Chart, top: float, begin: float, end: float) -> List[str]:
    parts = []
    for share in (0.0, 0.5, 1.0):
        y = _y(top * share, top)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        label = _safe(value_of(chart.resource, float(f"{top * share:.3g}")))
        parts.append(f'<text class="axis" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for at, anchor in ((begin, "start"), ((begin + end) / 2, "middle"), (end, "end")):
        x, label = _x(at, begin, end), write(at // 60 * 60)[:16].replace("T", " ")
        parts.append(f'<text class="axis" x="{x:.1f}" y="{HEIGHT - 18}" text-anchor="{anchor}">{label}</text>')
    return parts


def _path(line: Line, top: float, begin: float, end: float, name: str) -> str:
    commands: List[str] = []
    drawn = False
    for at, value in line.points:
        if value is None:
            drawn = False
            continue
        x, y = _x(at, begin, end), _y(value, top)
        # A point between two gaps is a dot: a line of no length with round ends.
        commands.append(f"L{x:.1f} {y:.1f}" if drawn else f"M{x:.1f} {y:.1f}h0")
        drawn = True
    return f'<path class="{name}" d="{"".join(commands)}"/>'


def _legend(line: Line, place: int, resource: str) -> str:
    last: Optional[float] = next((value for _, value in reversed(line.points) if value is not None), None)
    x, name = _LEFT + place * 180, _CLASSES[place % len(_CLASSES)]
    label = _safe(line.name + ("" if last is None else f" {value_of(resource, last)}"))
    return (
        f'<path class="{name}" d="M{x} {HEIGHT - 5}h16"/>'
        f'<text class="axis" x="{x + 22}" y="{HEIGHT - 1}">{label}</text>'
    )


def _x(at: float, begin: float, end: float) -> float:
    return _LEFT + (at - begin) / (end - begin) * (WIDTH - _LEFT - _RIGHT)


def _y(value: float, top: float) -> float:
    return _TOP + (1 - value / top) * (HEIGHT - _TOP - _BOTTOM)


def _safe(words: str) -> str:
    return escape(safe(words), quote=True)
