"""One process: a failing loop is begun anew and named, the others go on, and all end in time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from typing import List

import pytest
from redis_servers import free_port, until

CHILD = textwrap.dedent("""
    import os, sys, threading
    from krm.stage.runner import Runner

    class Steady:
        def __init__(self, stop): self.stop = stop
        def run(self): os.write(1, b"steady\\n"); self.stop.wait()
        def figures(self): return {"krm_snapshot_version": 7, "krm_snapshot_age_seconds": None}

    class Failing(Steady):
        made = 0
        def run(self):
            Failing.made += 1
            os.write(1, b"failing %d\\n" % Failing.made)
            raise RuntimeError("a loop's own trouble")

    class Deaf(Steady):
        def run(self): os.write(1, b"deaf\\n"); threading.Event().wait()

    loops = {"steady": Steady, "failing": Failing, "deaf": Deaf}
    sys.exit(Runner().run([(name, loops[name]) for name in sys.argv[2:]], port=int(sys.argv[1])))
""")


def child(*loops: str, port: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(port), *loops], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def page(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except urllib.error.URLError:
        return 0, ""


def test_a_loop_that_fails_is_begun_anew_and_the_others_go_on() -> None:
    process = child("steady", "failing")
    seen: List[str] = []
    assert process.stdout is not None
    while not {"steady", "failing 2"} <= set(seen):
        line = process.stdout.readline()
        assert line, "the process ended"
        seen.append(line.strip())
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=10)
    assert process.returncode == 0
    assert seen.count("steady") == 1
    assert "a loop's own trouble" in said


def test_sigterm_ends_the_process_within_the_drain_even_if_a_loop_is_deaf() -> None:
    process = child("steady", "deaf")
    assert process.stdout is not None
    assert {process.stdout.readline().strip() for _ in range(2)} == {"steady", "deaf"}
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "deaf" in said
    assert time.monotonic() - began < 10


def test_health_and_metrics_tell_what_runs_and_unknown_is_no_number() -> None:
    port = free_port()
    process = child("steady", "failing", port=port)
    try:
        assert until("livez answers", lambda: page(port, "/livez")[0] == 200)
        assert until("failing is named", lambda: page(port, "/readyz") == (503, "not running: failing\n"))
        _, text = page(port, "/metrics")
        assert 'krm_snapshot_version{pipeline="steady"} 7.0' in text
        assert 'krm_snapshot_age_seconds{pipeline="steady"} NaN' in text
        assert page(port, "/other")[0] == 404
    finally:
        process.terminate()
        process.communicate(timeout=10)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux: prctl ends a child with its parent")
def test_a_stage_ends_with_its_parent_even_if_that_is_killed() -> None:
    grandchild = (
        "import time; from krm.stage.runner import die_with_parent; die_with_parent();"
        "print('up', flush=True); time.sleep(60)"
    )
    parent = (
        "import os, subprocess, sys, time; os.environ['KRM_PARENT_PID'] = str(os.getpid());"
        f"print(subprocess.Popen([sys.executable, '-c', {grandchild!r}]).pid, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    assert process.stdout.readline().strip() == "up"
    process.kill()
    process.wait()

    def gone() -> bool:
        try:
            with open(f"/proc/{pid}/stat") as stat:
                return stat.read().split()[2] == "Z"
        except OSError:
            return True

    until("the grandchild is gone", gone)
    assert os.getpid() != pid
