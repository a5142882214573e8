"""The house's walls, over the code as it stands: who may import whom, and what an image may hold.

Each rule is a function from a tree to the lines that break it, so that each is shown to fail on a small
tree that breaks it.
"""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path
from typing import Dict, FrozenSet, Iterator, List, NamedTuple, Set, Tuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Lines. Above this a file holds more than one thing.
LONGEST_FILE = 350
# import name -> the rooms it may import beside itself. One folder may hold several (client).
MAY_IMPORT: Dict[str, FrozenSet[str]] = {
    "model": frozenset(),
    "cluster": frozenset({"model"}),
    "store": frozenset({"model"}),
    "stage": frozenset({"model", "store"}),
    "streamer": frozenset({"model", "cluster", "store", "stage"}),
    "verifier": frozenset({"model", "cluster", "store", "stage"}),
    "aggregator": frozenset({"model", "store", "stage"}),
    "collector": frozenset({"model", "cluster", "store", "stage"}),
    # Of the stage it takes settings, signals and health; it has no Redis.
    "agent": frozenset({"model", "stage"}),
    "client": frozenset({"model", "store"}),
    # The facade and the command alone ask the analysis; who only reads never imports it.
    "cli": frozenset({"model", "store", "client", "monitor", "analysis"}),
    "monitor": frozenset({"model", "store", "client", "analysis"}),
    "server": frozenset({"model", "cluster", "store", "stage", "client", "monitor", "analysis"}),
    "analysis": frozenset({"model"}),
    "simulator": frozenset({"model"}),
}
# Third-party packages with a door of their own: import name -> the rooms that may use them.
DOORS: Dict[str, FrozenSet[str]] = {
    "kubernetes": frozenset({"cluster"}),
    "urllib3": frozenset({"cluster"}),
    "redis": frozenset({"store"}),
}
# Imported inside a function, a package costs only those who ask: client.to_kubernetes() does so.
LAZY_DOORS: Dict[str, FrozenSet[str]] = {"kubernetes": frozenset({"client"})}
# What a bare `pip install krm` brings, for rooms that readers import.
BASE_ROOMS = frozenset({"model", "store", "client", "cli", "monitor", "analysis"})
BASE_PACKAGES = frozenset({"redis", "msgpack"})
IMAGES = ("streamer", "verifier", "aggregator", "collector", "agent", "server")


class Import(NamedTuple):
    name: str  # dotted, e.g. krm.model.kinds
    line: int
    lazy: bool  # inside a function
    guarded: bool  # inside a try, so that its absence is handled


class File(NamedTuple):
    room: str  # krm.ROOM
    path: Path
    text: str

    def imports(self) -> List[Import]:
        folders = self.path.parent.parts
        package = folders[len(folders) - folders[::-1].index("krm") - 1 :]
        return list(_imports_of(self.text, package))


@lru_cache(maxsize=None)  # each rule asks, and that of images once a stage
def _imports_of(text: str, package: Tuple[str, ...]) -> Tuple[Import, ...]:
    return tuple(_imports(ast.parse(text), package, False, False))


def _imports(node: ast.AST, package: Tuple[str, ...], lazy: bool, guarded: bool) -> Iterator[Import]:
    """`package` is the file's, so that `from ..store import keys` is told as what it means."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, child.lineno, lazy, guarded)
        elif isinstance(child, ast.ImportFrom):
            base = package[: len(package) - child.level + 1] if child.level else ()
            module = ".".join((*base, *([child.module] if child.module else [])))
            # `from krm import X` names a room by its alias.
            for alias in child.names:
                name = f"{module}.{alias.name}" if module == "krm" else module
                yield Import(name, child.lineno, lazy, guarded)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            yield from (found._replace(lazy=True) for found in _imports(child, package, lazy, guarded))
        else:
            function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            yield from _imports(child, package, lazy or function, guarded or isinstance(child, ast.Try))


def files(root: Path) -> List[File]:
    """Every Python file of every room: FOLDER/krm/ROOM/... and FOLDER/krm/ROOM.py."""
    found = []
    for path in sorted(root.glob("*/krm/**/*.py")):
        parts = path.relative_to(root).parts
        if not parts[0].startswith(".") and parts[0] not in ("build", "dist", "tests"):
            found.append(File(Path(parts[2]).stem, path, path.read_text()))
    return found


def where(root: Path, file: File, line: int) -> str:
    return f"{file.path.relative_to(root)}:{line}"


def room_breaks(root: Path) -> List[str]:
    """Imports that go up the table, sideways between stages, or into a room that has no row in it."""
    breaks = []
    for file in files(root):
        if file.room not in MAY_IMPORT:
            breaks.append(f"{where(root, file, 1)}: room {file.room} has no row in MAY_IMPORT")
            continue
        allowed = MAY_IMPORT[file.room] | {file.room}
        for found in file.imports():
            parts = found.name.split(".")
            if parts[0] == "krm" and (len(parts) < 2 or parts[1] not in allowed):
                breaks.append(f"{where(root, file, found.line)}: {file.room} imports {found.name}")
    return breaks


def door_breaks(root: Path) -> List[str]:
    """Third-party packages used beside their one door."""
    breaks = []
    for file in files(root):
        for found in file.imports():
            package = found.name.split(".")[0]
            rooms = DOORS.get(package)
            lazily = found.lazy and file.room in LAZY_DOORS.get(package, frozenset())
            if rooms is not None and file.room not in rooms and not lazily:
                breaks.append(f"{where(root, file, found.line)}: {file.room} imports {package}")
    return breaks


def base_breaks(root: Path) -> List[str]:
    """Imports at top level, in rooms that readers import, of packages that a bare install does not bring."""
    breaks = []
    for file in files(root):
        if file.room not in BASE_ROOMS:
            continue
        for found in file.imports():
            package = found.name.split(".")[0]
            known = package in BASE_PACKAGES or package == "krm" or package in standard_library()
            if not known and not found.lazy and not found.guarded:
                breaks.append(f"{where(root, file, found.line)}: {file.room} needs {package} to be imported")
    return breaks


@lru_cache(maxsize=None)
def standard_library() -> Set[str]:
    """Names of stdlib modules; 3.8 and 3.9 have no list of them, so they look at the folder."""
    import sys
    import sysconfig

    names = set(getattr(sys, "stdlib_module_names", ())) | set(sys.builtin_module_names)
    folder = Path(sysconfig.get_paths()["stdlib"])
    extensions = folder / "lib-dynload"
    names |= {path.stem.split(".")[0] for path in folder.iterdir() if path.name != "site-packages"}
    if extensions.is_dir():
        names |= {path.name.split(".")[0] for path in extensions.iterdir()}
    return names


def shape_breaks(root: Path) -> List[str]:
    """An `__init__.py` in krm/ closes the namespace to the other portions, and below it may only name what
    its package is for; a long file holds two things."""
    breaks = []
    for file in files(root):
        lines = len(file.text.splitlines())
        if file.path.name == "__init__.py" and not only_names(file.text):
            breaks.append(f"{where(root, file, 1)}: an __init__.py below krm/")
        if lines > LONGEST_FILE:
            breaks.append(f"{where(root, file, lines)}: {lines} lines")
    for path in root.glob("*/krm/__init__.py"):
        if path not in [file.path for file in files(root)]:
            breaks.append(f"{path.relative_to(root)}: an __init__.py in krm/")
    return breaks


def only_names(text: str) -> bool:
    """A package's front door: a docstring, imports, `__all__`, and nothing that runs."""
    first, *rest = ast.parse(text).body or [None]
    named = [isinstance(one, (ast.ImportFrom, ast.Assign)) for one in rest]
    return isinstance(first, ast.Expr) and bool(rest) and all(named)


def swallow_breaks(root: Path) -> List[str]:
    """`except Exception: pass` and its kin: an error that nobody hears of."""
    breaks = []
    for file in files(root):
        for node in ast.walk(ast.parse(file.text)):
            if not isinstance(node, ast.ExceptHandler):
                continue
            broad = node.type is None or (
                isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")
            )
            silent = all(isinstance(line, (ast.Pass, ast.Continue)) for line in node.body)
            if broad and silent:
                breaks.append(f"{where(root, file, node.lineno)}: swallows every error")
    return breaks


def rooms_needed(root: Path, stage: str) -> Set[str]:
    """The rooms that a stage imports, directly or through another room, lazily too."""
    by_room: Dict[str, Set[str]] = {}
    for file in files(root):
        uses = {found.name.split(".")[1] for found in file.imports() if found.name.startswith("krm.")}
        by_room.setdefault(file.room, set()).update(uses)
    needed, open_rooms = set(), [stage]
    while open_rooms:
        room = open_rooms.pop()
        if room not in needed:
            needed.add(room)
            open_rooms.extend(by_room.get(room, ()))
    return needed


def copied_rooms(dockerfile: str) -> Set[str]:
    """The portions that a Dockerfile copies in: `COPY model/krm ...`."""
    return set(re.findall(r"^COPY (?!--from)(?:--\S+ )*(\w+)/krm\b", dockerfile, re.MULTILINE))


def image_breaks(root: Path) -> List[str]:
    """An image that holds another room than its stage imports, or lacks one."""
    breaks = []
    for stage in IMAGES:
        path = root / stage / "Dockerfile"
        if not path.exists():
            breaks.append(f"{stage}/Dockerfile is not there")
            continue
        text = path.read_text()
        needed, copied = rooms_needed(root, stage), copied_rooms(text)
        # A room that is planned for (house.md's table) may be copied before it is imported; never another.
        allowed = needed | MAY_IMPORT[stage]
        breaks += [f"{stage}/Dockerfile lacks {room}" for room in sorted(needed - copied)]
        breaks += [
            f"{stage}/Dockerfile copies {room}, which it may not import" for room in sorted(copied - allowed)
        ]
        if re.search(r"^COPY (?!--from)(?:--\S+ )*\.(/| )", text, re.MULTILINE):
            breaks.append(f"{stage}/Dockerfile copies the whole tree")
    return breaks


RULES = (room_breaks, door_breaks, base_breaks, shape_breaks, swallow_breaks, image_breaks)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_its_walls(rule) -> None:
    assert rule(ROOT) == []


def test_every_room_is_seen() -> None:
    """An empty listing would pass every rule."""
    rooms = {file.room for file in files(ROOT)}
    assert {"model", "store"} <= rooms


# (rule, path in a small tree, its text, a part of the complaint)
BROKEN: Tuple[Tuple[object, str, str, str], ...] = (
    (room_breaks, "model/krm/model/a.py", "from krm.store import keys", "model imports krm.store"),
    (room_breaks, "model/krm/model/a.py", "from krm import store", "model imports krm.store"),
    (room_breaks, "model/krm/model/a.py", "import krm", "model imports krm"),
    (room_breaks, "cluster/krm/cluster/a.py", "def f():\n    import krm.store.keys", "cluster imports krm.store"),
    (room_breaks, "streamer/krm/streamer/a.py", "import krm.verifier.loop", "streamer imports krm.verifier"),
    (room_breaks, "aggregator/krm/aggregator/a.py", "import krm.cluster.door", "aggregator imports krm.cluster"),
    (room_breaks, "client/krm/cli/up.py", "import krm.streamer.loop", "cli imports krm.streamer"),
    (room_breaks, "client/krm/client/a.py", "import krm.cli.main", "client imports krm.cli"),
    (room_breaks, "client/krm/monitor.py", "import krm.aggregator.loop", "monitor imports krm.aggregator"),
    (room_breaks, "attic/krm/attic/a.py", "", "has no row"),
    (room_breaks, "model/krm/model/a.py", "from ..store import keys", "model imports krm.store"),
    (room_breaks, "model/krm/model/a.py", "from .. import store", "model imports krm.store"),
    (door_breaks, "streamer/krm/streamer/a.py", "import kubernetes.client", "streamer imports kubernetes"),
    (door_breaks, "client/krm/client/a.py", "import kubernetes", "client imports kubernetes"),
    (door_breaks, "aggregator/krm/aggregator/a.py", "from redis import Redis", "aggregator imports redis"),
    (base_breaks, "client/krm/client/a.py", "import yaml", "needs yaml"),
    (base_breaks, "store/krm/store/a.py", "import hiredis", "needs hiredis"),
    (shape_breaks, "model/krm/__init__.py", "", "__init__.py"),
    (shape_breaks, "model/krm/model/__init__.py", "", "__init__.py"),
    (shape_breaks, "model/krm/model/a.py", "\n" * (LONGEST_FILE + 1), "lines"),
    (swallow_breaks, "store/krm/store/a.py", "try:\n    f()\nexcept Exception:\n    pass", "swallows"),
    (swallow_breaks, "store/krm/store/a.py", "for x in y:\n  try:\n    f()\n  except:\n    continue", "swallows"),
    (image_breaks, "aggregator/Dockerfile", "COPY cluster/krm /srv/krm\n", "copies cluster"),
    (image_breaks, "aggregator/Dockerfile", "COPY . /srv\n", "copies the whole tree"),
    (image_breaks, "streamer/Dockerfile", "COPY model/krm /srv/krm\n", "streamer/Dockerfile lacks streamer"),
)


@pytest.mark.parametrize(("rule", "path", "text", "complaint"), BROKEN)
def test_each_wall_is_seen_to_break(rule, path: str, text: str, complaint: str, tmp_path: Path) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert any(complaint in line for line in rule(tmp_path)), rule(tmp_path)


# (rule, path, text) that must not be complained of.
SOUND: Tuple[Tuple[object, str, str], ...] = (
    (room_breaks, "verifier/krm/verifier/a.py", "from krm.cluster import door\nfrom krm.verifier import loop"),
    (room_breaks, "client/krm/monitor.py", "import krm.client.read"),
    (room_breaks, "store/krm/store/a.py", "from . import keys\nfrom .keys import slug"),
    (door_breaks, "client/krm/client/a.py", "def to_kubernetes():\n    import kubernetes"),
    (door_breaks, "cluster/krm/cluster/a.py", "import kubernetes"),
    (
        base_breaks,
        "model/krm/model/a.py",
        "import json\nimport msgpack\ntry:\n    import msgspec\nexcept ImportError: ...",
    ),
    (base_breaks, "client/krm/client/a.py", "def frame():\n    import pandas"),
    (swallow_breaks, "store/krm/store/a.py", "try:\n    f()\nexcept KeyError:\n    pass"),
)


@pytest.mark.parametrize(("rule", "path", "text"), SOUND)
def test_what_is_allowed_is_not_complained_of(rule, path: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert rule(tmp_path) == []


def test_rooms_are_followed_through_other_rooms(tmp_path: Path) -> None:
    for path, text in (
        ("streamer/krm/streamer/a.py", "import krm.store.keys"),
        ("store/krm/store/keys.py", "import krm.model.kinds"),
        ("model/krm/model/kinds.py", ""),
        ("cluster/krm/cluster/door.py", ""),
    ):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(text)
    assert rooms_needed(tmp_path, "streamer") == {"streamer", "store", "model"}
