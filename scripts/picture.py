#!/usr/bin/env python3
"""Draw what a command prints in a terminal as an SVG: the README's picture is a real run, never a mock-up.

    .venv/bin/python scripts/picture.py docs/demo.svg                    # krm up --demo --for 12s
    .venv/bin/python scripts/picture.py out.svg -- krm get pods          # any other command

Drawn is the fullest screen that stood there, the last of them: a table that a tool draws in place is
often erased at its end. Understood is what a command-line tool sends: text, colours, moves of the
cursor, erasing. A control that is not known is left out, and told on stderr.
"""

from __future__ import annotations

import argparse
import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parent.parent
DEMO = (str(ROOT / ".venv" / "bin" / "krm"), "up", "--demo", "--for", "12s")
COLUMNS, ROWS = 108, 40
DEADLINE = 120.0  # seconds for the command
# Pixels: the advance and the line of a 13 px monospace font, and the border around the text.
ADVANCE, LINE, BORDER, FONT = 7.82, 18, 14, 13
BACKGROUND, FOREGROUND = "#14181f", "#d7dce4"
# The eight colours of SGR 30-37, as dark themes show them; 90-97 are the brighter ones.
PALETTE = ("#5b6472", "#f2777a", "#8fcf7f", "#f0c674", "#7aa6da", "#c397d8", "#70c0ba", "#d7dce4")
_CONTROL = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[=>()78][AB0]?")


class Style(NamedTuple):
    colour: str = FOREGROUND
    bold: bool = False
    dim: bool = False


Cell = Tuple[str, Style]


class Screen:
    """The cells that a terminal would show. Lines that scroll off the top are dropped."""

    def __init__(self, columns: int = COLUMNS, rows: int = ROWS) -> None:
        self.columns, self.rows = columns, rows
        self.lines: List[Dict[int, Cell]] = [{}]
        self.row = self.column = 0
        self.style = Style()
        self._fullest: List[Dict[int, Cell]] = []

    def fullest(self) -> List[Dict[int, Cell]]:
        """The lines of the screen that held most of them, the later one where two held as many."""
        self._remember()
        return self._fullest

    def _remember(self) -> None:
        if sum(map(bool, self.lines)) >= sum(map(bool, self._fullest)):
            self._fullest = [dict(line) for line in self.lines]

    def feed(self, text: str) -> None:
        """Take in what the command wrote."""
        position = 0
        for found in _CONTROL.finditer(text):
            self._write(text[position : found.start()])
            if found.group(2):
                self._control(found.group(1), found.group(2))
            position = found.end()
        self._write(text[position:])

    def _write(self, text: str) -> None:
        for character in text:
            if character == "\n":
                self._move(self.row + 1, 0)
            elif character == "\r":
                self.column = 0
            elif character == "\t":
                self.column += 8 - self.column % 8
            elif character.isprintable():
                if self.column >= self.columns:
                    self._move(self.row + 1, 0)
                self.lines[self.row][self.column] = (character, self.style)
                self.column += 1

    def _move(self, row: int, column: int) -> None:
        self.row, self.column = max(0, row), max(0, column)
        while len(self.lines) <= self.row:
            self.lines.append({})
        scrolled = len(self.lines) - self.rows
        if scrolled > 0:
            del self.lines[:scrolled]
            self.row -= scrolled

    def _control(self, parameters: str, name: str) -> None:
        numbers = [int(part) for part in parameters.split(";") if part.isdigit()]
        count = max(1, numbers[0]) if numbers else 1
        if name == "m":
            self.style = styled(self.style, numbers)
        elif name in "AB":
            self._move(self.row + (count if name == "B" else -count), self.column)
        elif name in "CD":
            self.column = max(0, self.column + (count if name == "C" else -count))
        elif name == "G":
            self.column = count - 1
        elif name == "H":
            self._move(count - 1, numbers[1] - 1 if len(numbers) > 1 else 0)
        elif name in "JK":
            self._erase(numbers[0] if numbers else 0, whole=name == "J")
        elif name not in "hl":  # modes: the cursor's visibility and the like
            print(f"picture: control ESC [ {parameters}{name} is left out", file=sys.stderr)

    def _erase(self, how: int, whole: bool) -> None:
        self._remember()
        line = self.lines[self.row]
        for column in list(line):
            if how >= 2 or (column >= self.column if how == 0 else column <= self.column):
                del line[column]
        if whole and how == 0:
            del self.lines[self.row + 1 :]
        elif whole and how >= 2:
            self.lines = [{} for _ in self.lines[: self.row + 1]]


def styled(style: Style, numbers: Sequence[int]) -> Style:
    """The style after one SGR control; no number means reset."""
    for number in numbers or [0]:
        if number == 0:
            style = Style()
        elif number in (1, 2):
            style = style._replace(bold=number == 1, dim=number == 2)
        elif number == 22:
            style = style._replace(bold=False, dim=False)
        elif number == 39:
            style = style._replace(colour=FOREGROUND)
        elif 30 <= number <= 37 or 90 <= number <= 97:
            style = style._replace(colour=PALETTE[number % 10])
    return style


def runs(line: Dict[int, Cell]) -> List[Tuple[int, str, Style]]:
    """Neighbouring cells of one style as (column, text, style), blanks between them kept."""
    found: List[Tuple[int, str, Style]] = []
    for column in sorted(line):
        character, style = line[column]
        if found and found[-1][2] == style and found[-1][0] + len(found[-1][1]) == column:
            found[-1] = (found[-1][0], found[-1][1] + character, style)
        else:
            found.append((column, character, style))
    return found


def svg(lines: Sequence[Dict[int, Cell]], title: str) -> str:
    """An SVG of the lines under the command that wrote them; it stands alone: no script, no font, no link."""
    widest = max([len(title) + 2] + [max(line) + 1 for line in lines if line])
    width, height = round(widest * ADVANCE + 2 * BORDER), (len(lines) + 2) * LINE + 2 * BORDER
    prompt = {index: (character, Style(bold=True)) for index, character in enumerate(f"$ {title}")}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="{BACKGROUND}"/>',
        f'<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="{FONT}">',
    ]
    for row, line in enumerate([prompt, {}, *lines]):
        for column, text, style in runs(line):
            shown = text.strip()
            if shown:
                left = column + text.index(shown)
                parts.append(_text(BORDER + left * ADVANCE, BORDER + (row + 1) * LINE - 4, shown, style))
    return "\n".join([*parts, "</g>", "</svg>", ""])


def _text(x: float, y: float, text: str, style: Style) -> str:
    extra = (' font-weight="bold"' if style.bold else "") + (' opacity=".6"' if style.dim else "")
    # textLength holds the columns together where the reader's monospace font is wider or narrower.
    return (
        f'<text x="{x:.1f}" y="{y}" fill="{style.colour}" xml:space="preserve" '
        f'textLength="{len(text) * ADVANCE:.1f}" lengthAdjust="spacingAndGlyphs"{extra}>{escape(text)}</text>'
    )


def record(command: Sequence[str]) -> Tuple[Screen, int]:
    """Run the command in a pseudo-terminal; (what stands on the screen at its end, its exit code)."""
    controller, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)}
    environment.pop("NO_COLOR", None)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    screen, rest, ends = Screen(), b"", time.monotonic() + DEADLINE
    try:
        while time.monotonic() < ends:
            if not select.select([controller], [], [], 0.5)[0]:
                continue
            try:
                chunk = os.read(controller, 65536)
            except OSError:  # Linux answers EIO once the last writer has gone
                break
            if not chunk:
                break
            # A character or a control cut by the end of a chunk waits for the next one.
            rest += chunk
            whole = rest.rfind(b"\n") + 1
            screen.feed(rest[:whole].decode("utf-8", "replace"))
            rest = rest[whole:]
        screen.feed(rest.decode("utf-8", "replace"))
    finally:
        os.close(controller)
        if child.poll() is None:
            try:
                child.wait(5)
            except subprocess.TimeoutExpired:
                child.kill()
    return screen, child.wait()


def main(argv: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(description="Draw what a command prints as an SVG.")
    parser.add_argument("target", type=Path, help="the SVG to write")
    parser.add_argument("command", nargs="*", default=DEMO, help="after --; default: krm up --demo --for 12s")
    options = parser.parse_args(argv)
    screen, code = record(options.command)
    lines = screen.fullest()
    while lines and not lines[-1]:
        lines.pop()
    if code != 0 or not lines:
        print(f"the command ended with exit code {code}: no picture is drawn", file=sys.stderr)
        return 1
    title = " ".join([Path(options.command[0]).name, *options.command[1:]])
    options.target.write_text(svg(lines, title), encoding="utf-8")
    print(f"{options.target}: {len(lines)} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
