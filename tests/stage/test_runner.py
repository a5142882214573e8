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
from typing import Any, List

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


def test_a_histogram_is_told_in_the_form_that_prometheus_reads() -> None:
    from krm.model.delays import Histogram
    from krm.stage.metrics import Collector
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.parser import text_string_to_metric_families

    histogram = Histogram((0.5, 2.0), (1, 3, 2), 17.5)
    figures: Any = {
        "krm_gaps_total": 2,
        "krm_stream_delay_seconds": {"ADDED": histogram, "DELETED": Histogram((0.5, 2.0), (0, 0, 0), 0.0)},
        "krm_stream_delay_negative_total": {"ADDED": 1, "DELETED": 0},
    }
    registry = CollectorRegistry()
    registry.register(Collector(lambda: iter([("pods", figures), ("nodes", figures)])))
    page = generate_latest(registry).decode()
    families = {family.name: family for family in text_string_to_metric_families(page)}
    found = families["krm_stream_delay_seconds"]
    assert found.type == "histogram"
    rows = {
        (sample.name[len("krm_stream_delay_seconds") :], sample.labels.get("le", "")): sample.value
        for sample in found.samples
        if (sample.labels["pipeline"], sample.labels["event"]) == ("pods", "ADDED")
    }
    assert rows == {
        ("_bucket", "0.5"): 1, ("_bucket", "2.0"): 4, ("_bucket", "+Inf"): 6, ("_count", ""): 6, ("_sum", ""): 17.5,
    }  # fmt: skip
    negative = families["krm_stream_delay_negative"].samples
    assert len(negative) == 4
    assert {sample.value for sample in negative if sample.labels["event"] == "ADDED"} == {1}
