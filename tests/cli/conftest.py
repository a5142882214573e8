from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Optional

import pytest
from kept_cluster import KeptCluster
from krm.cli.main import guarded

Krm = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def environment(tmp_path: Path) -> Dict[str, str]:
    """A person's environment without any krm of their own in it."""
    private = tmp_path / "run"
    private.mkdir(mode=0o700)
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("KRM_", "KUBE", "LC_", "LANG"))
    }
    return {**kept, "XDG_RUNTIME_DIR": str(private), "HOME": str(tmp_path), "NO_COLOR": ""}


@pytest.fixture
def nowhere(environment: Dict[str, str]) -> Krm:
    """`krm ARGUMENTS` with no Redis named."""

    def run(*arguments: str, env: Optional[Dict[str, str]] = None, **more: Any) -> subprocess.CompletedProcess[str]:
        more = {"capture_output": True, "text": True, "timeout": 60, "encoding": "utf-8", **more}
        return subprocess.run(
            [sys.executable, "-m", "krm.cli.main", *arguments], env={**environment, **(env or {})}, **more
        )

    return run


@pytest.fixture
def krm_process(nowhere: Krm, kept: KeptCluster) -> Krm:
    """`krm ARGUMENTS` that reads from `kept`, in a process of its own."""

    def run(*arguments: str, env: Optional[Dict[str, str]] = None, **more: Any) -> subprocess.CompletedProcess[str]:
        return nowhere(*arguments, env={"KRM_REDIS": kept.url, **(env or {})}, **more)

    return run


@pytest.fixture
def krm(environment: Dict[str, str], kept: KeptCluster, monkeypatch: pytest.MonkeyPatch) -> Krm:
    """The same in this process: what a process adds is tested by `krm_process`."""
    for name in [name for name in os.environ if name.startswith(("KRM_", "KUBE"))]:
        monkeypatch.delenv(name)
    for name in ("XDG_RUNTIME_DIR", "HOME"):
        monkeypatch.setenv(name, environment[name])
    monkeypatch.setenv("KRM_REDIS", kept.url)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = guarded(arguments)
            except SystemExit as ended:  # argparse's own
                code = int(str(ended.code))
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    return run
