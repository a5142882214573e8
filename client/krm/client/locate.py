"""Which Redis, where the caller named none: KRM_REDIS, else the one that `krm up` runs on this machine.

`krm up` leaves a file with its Redis URL in a folder that only this user can read; the file of a
process that has ended is ignored and removed.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.client.errors import Nowhere, UnknownCluster

# Bytes. Ours have about 200, and 50 a kind; whatever is larger was not written by krm.
MAX_STATE = 64 * 1024


class Place(NamedTuple):
    """A Redis and, where it is known, the cluster that is meant."""

    url: str
    cluster: Optional[str]
    # (kind, namespace) of each that the `krm up` there keeps; () where none was asked.
    pipelines: Tuple[Tuple[str, str], ...] = ()
    history_token_file: str = ""  # what opens the history of its collector, '' = not known here


def locate(url: Optional[str], cluster: Optional[str], environment: Mapping[str, str] = os.environ) -> Place:
    """Raises Nowhere, UnknownCluster."""
    cluster = cluster or environment.get("KRM_CLUSTER") or None
    url = url or environment.get("KRM_REDIS") or None
    if url:
        return Place(url, cluster)
    running = [state for state in running_here(environment) if cluster in (None, state["cluster"])]
    if not running:
        raise Nowhere(
            "no Redis is known: start one with `krm up` (try `krm up --demo`),"
            " or name it with --redis URL or KRM_REDIS"
        )
    if len(running) > 1:
        names = sorted({str(state["cluster"]) for state in running})
        if len(names) == 1:  # their names do not tell them apart: their Redis does
            urls = ", ".join(sorted(str(state["url"]) for state in running))
            raise UnknownCluster(
                f"{names[0]} is kept here more than once: choose with --redis or KRM_REDIS ({urls})"
            )
        raise UnknownCluster(
            f"several clusters are kept here ({', '.join(names)}): choose with --cluster or KRM_CLUSTER"
        )
    state = running[0]
    token_file = str(state.get("history_token_file") or "")
    return Place(str(state["url"]), str(state["cluster"]), pipelines_of(state.get("pipelines")), token_file)


def pipelines_of(found: Any) -> Tuple[Tuple[str, str], ...]:
    """As `announce` wrote them; () where they were not told."""
    rows = found if isinstance(found, list) else []
    return tuple((str(row[0]), str(row[1])) for row in rows if isinstance(row, list) and len(row) == 2)


def state_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where `krm up` leaves its files: private to this user, made where it is missing.

    Raises Nowhere where somebody else owns it or could write to it: its URL must not be trusted.
    """
    import tempfile  # costs as much as the rest of this file's imports together

    base = environment.get("XDG_RUNTIME_DIR")
    folder = (
        Path(base) / "krm" if base and os.path.isdir(base) else Path(tempfile.gettempdir()) / f"krm-{os.getuid()}"
    )
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise Nowhere(
            f"{folder} cannot be used: {error.strerror}; set XDG_RUNTIME_DIR to a folder of yours"
        ) from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise Nowhere(f"{folder} is not a private folder of yours (mode 0700): remove it, or set XDG_RUNTIME_DIR")
    return folder


def running_here(environment: Mapping[str, str] = os.environ) -> List[Dict[str, Any]]:
    """What each live `krm up` of this user wrote: pid, url, cluster, logs, pipelines."""
    try:
        folder = state_folder(environment)
    except Nowhere:
        return []
    states = []
    for path in sorted(folder.glob("up-*.json")):
        state = _read(path)
        if state is None:
            continue
        if _alive(state["pid"]):
            states.append(state)
        else:
            path.unlink()
    return states


def announce(
    url: str,
    cluster: str,
    logs: str,
    environment: Mapping[str, str] = os.environ,
    pipelines: Sequence[Tuple[str, str]] = (),
    number: int = 0,
    history_token_file: str = "",
) -> Path:
    """Writes this process's state file of its cluster `number`, mode 0600; the caller removes it at its end.

    pipelines: (kind, namespace) of each that will be kept, for whoever reads before any stage has written.
    history_token_file: what opens the history, '' = none is kept.
    """
    name = f"up-{os.getpid()}-{number}.json" if number else f"up-{os.getpid()}.json"
    path = state_folder(environment) / name
    state = {
        "pid": os.getpid(),
        "url": url,
        "cluster": cluster,
        "logs": logs,
        "pipelines": list(pipelines),
        "history_token_file": history_token_file,
    }
    text = json.dumps(state)
    new = path.with_suffix(".new")
    new.unlink() if new.exists() else None
    with os.fdopen(os.open(str(new), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    new.replace(path)
    return path


def _read(path: Path) -> Optional[Dict[str, Any]]:
    try:
        if path.stat().st_size > MAX_STATE:
            return None
        state = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    texts = isinstance(state, dict) and all(isinstance(state.get(name), str) for name in ("url", "cluster"))
    return state if texts and isinstance(state.get("pid"), int) else None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True
