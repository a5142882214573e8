"""The README's picture shows what a terminal showed, and nothing when the run failed."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import List, Tuple

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "picture.py"
TEXT = "{http://www.w3.org/2000/svg}text"


def drawn(target: Path, code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), str(target), "--", sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)


def texts(target: Path) -> List[Tuple[str, str]]:
    """[(text, colour)], without the command's own line."""
    return [(str(part.text), part.attrib["fill"]) for part in ElementTree.parse(str(target)).iter(TEXT)][1:]


def test_text_and_colours_are_kept(tmp_path: Path) -> None:
    target = tmp_path / "a.svg"
    assert drawn(target, r"print('pods   \x1b[32mlive\x1b[0m <5>')").returncode == 0
    (pods, live, five) = texts(target)
    assert [pods[0], live[0], five[0]] == ["pods", "live", "<5>"]
    assert live[1] != pods[1] == five[1]


def test_a_table_drawn_in_place_is_drawn_once_and_whole(tmp_path: Path) -> None:
    code = r"""
print('told')
for turn in ('one', 'two', 'three'):
    print(turn + '\nrow')
    print('\x1b[2A\x1b[J', end='')
print('summary')
"""
    target = tmp_path / "a.svg"
    assert drawn(target, code).returncode == 0
    assert [text for text, _ in texts(target)] == ["told", "three", "row"]


def test_a_failed_run_leaves_no_picture(tmp_path: Path) -> None:
    target = tmp_path / "a.svg"
    done = drawn(target, "print('half'); raise SystemExit(1)")
    assert done.returncode == 1
    assert "exit code 1" in done.stderr
    assert not target.exists()


def test_the_picture_in_the_docs_is_sound_and_needs_nothing_from_elsewhere() -> None:
    text = (ROOT / "docs" / "demo.svg").read_text(encoding="utf-8")
    ElementTree.fromstring(text)
    assert "href" not in text
    assert "<script" not in text
