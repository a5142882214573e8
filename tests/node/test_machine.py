"""The machine is left as it was, after a run that failed and after one that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from node import machine
from node.real import missing

HERE = Path(__file__).resolve().parents[1]
# What a node leaves when its run is killed: a setting, a mount, a process in a cgroup within ours.
HARM = """
import subprocess, sys
from pathlib import Path
from node import machine
with machine.prepared() as folder:
    setting = Path("/proc/sys/kernel/panic_on_oops")
    setting.write_text(str(1 - int(setting.read_text())))
    (folder / "mounted").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", str(folder / "mounted")], check=True)
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    for hierarchy in machine.hierarchies():
        inner = hierarchy / machine.CGROUP / "kubepods"
        inner.mkdir()
        if "cpuset" not in str(hierarchy):
            (inner / "cgroup.procs").write_text(str(child.pid))
    print(child.pid, flush=True)
    if sys.argv[1] == "fails":
        raise SystemExit(3)
    sys.stdin.read()
"""


def alive(pid: int) -> bool:
    """Whoever inherits a killed process need not look at its end: until then it is a zombie."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("end", ["fails", "killed"])
def test_all_that_was_changed_is_taken_back(end: str) -> None:
    lack = missing()
    if lack is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(lack, pytrace=False)
        pytest.skip(lack)
    with machine.prepared():  # waits for another node, and takes back what an earlier run left
        pass
    before, mounts = machine.settings(), Path("/proc/mounts").read_text()
    command = [sys.executable, "-c", HARM, end]
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        pid = int(child.stdout.readline())
        if end == "killed":
            child.send_signal(signal.SIGKILL)
        child.wait(30)
    if end == "killed":
        assert machine.settings() != before
        with machine.prepared():
            pass
    assert machine.settings() == before
    assert Path("/proc/mounts").read_text() == mounts
    assert not alive(pid)
    assert not machine.FOLDER.exists()
    assert [hierarchy for hierarchy in machine.hierarchies() if (hierarchy / machine.CGROUP).exists()] == []
    shown = subprocess.run(["ip", "-o", "addr", "show", "dev", "lo"], capture_output=True, text=True, check=True)
    assert machine.ADDRESS not in shown.stdout
