"""`krm agent --once`: what a person on a node reads, on any Linux machine, as any user, with no Kubernetes near."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Dict, List

import pytest
from agent.lesser import as_agent
from agent.paper_proc import PaperProc
from agent.turns import AT_CONTAINER, ID, NOW, UID, cgroup, process, seen
from krm.agent.once import JSON, TABLE, WIDE, shown
from krm.agent.seen import CONTAINER, NO_VERSION, Missing, RuntimeCost, Seen
from krm.agent.turn import Asked, Turns

PLACE = {"container_id": ID, "pod_uid": UID, "qos": "burstable"}


def two(before: Dict[str, object], now: Dict[str, object], seconds: float = 2.0) -> tuple[Seen, Seen]:
    """A container at two moments."""
    late = cgroup(CONTAINER, AT_CONTAINER, now, **PLACE)
    early = cgroup(CONTAINER, AT_CONTAINER, before, **PLACE)._replace(at=late.at - seconds)
    return seen(cgroups=(early,), processes_at=NOW - 5), seen(cgroups=(late,), processes_at=NOW - 3)


def row_of(text: str, first: str) -> List[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(first)]
    return re.split(r" {2,}", line)


def test_a_container_is_told_with_what_it_uses_and_may_use() -> None:
    before, now = two(
        {"cpu_usage_ns": 1_000_000_000, "cpu_throttled_ns": 0},
        {
            "cpu_usage_ns": 1_500_000_000, "cpu_throttled_ns": 200_000_000, "cpu_quota_us": 50_000,
            "cpu_period_us": 100_000, "memory_working_set": 64 << 20, "memory_limit": 256 << 20, "pids": 17,
            "oom_kills": 1,
        },
    )  # fmt: skip
    text = shown(before, now, TABLE, "6.1.0")
    assert row_of(text, "NAMESPACE") == [
        "NAMESPACE", "POD", "CONTAINER", "CPU", "OF", "THROTTLED", "MEMORY", "OF", "SHARE", "PIDS", "OOM KILLS",
    ]  # fmt: skip
    assert row_of(text, "shop") == [
        "shop", "web-0", "web", "250m", "500m", "10%", "64Mi", "256Mi", "25%", "17", "1",
    ]  # fmt: skip
    assert text.splitlines()[0].startswith("worker-1: cgroup v1, kernel 6.1.0, 1 container of 0 pods, 2 processes")


def test_unknown_is_unknown_and_no_limit_is_said() -> None:
    before, now = two({}, {"cpu_quota_us": "unlimited", "memory_limit": "unlimited", "memory_working_set": 5 << 20})
    assert row_of(shown(before, now, TABLE, "k"), "shop") == [
        "shop", "web-0", "web", "-", "unlimited", "-", "5120Ki", "unlimited", "-", "-", "-",
    ]  # fmt: skip


def test_a_counter_that_began_anew_is_no_negative_use() -> None:
    before, now = two({"cpu_usage_ns": 10**12}, {"cpu_usage_ns": 5})
    assert row_of(shown(before, now, TABLE, "k"), "shop")[3] == "-"


def test_processes_are_the_same_only_with_the_same_start() -> None:
    early = (process(7, cpu_ns=0), process(8, cpu_ns=0))
    late = (process(7, cpu_ns=10**9), process(8, cpu_ns=10**9, started_ticks=5))
    text = shown(seen(processes=early, processes_at=NOW - 2), seen(processes=late, processes_at=NOW), TABLE, "k")
    assert row_of(text, "7 ")[5] == "500m"
    assert row_of(text, "8 ")[5] == "-"


def test_the_short_table_has_the_largest_processes_and_wide_has_all() -> None:
    many = tuple(process(pid, rss=pid << 20) for pid in range(100, 140))
    turn = seen(processes=many)
    short, wide = shown(turn, turn, TABLE, "k"), shown(turn, turn, WIDE, "k")
    assert "and 25 smaller ones: -o wide shows all" in short
    assert "\n139 " in short
    assert "\n101 " not in short
    assert all(f"\n{pid} " in wide for pid in range(100, 140))


def test_arguments_come_last_so_that_long_ones_push_no_figure_away() -> None:
    turn = seen(processes=(process(5, name="web", command="web " + "x" * 4000), process(6, name="db")))
    lines = shown(turn, turn, TABLE, "k").splitlines()
    (web,) = (line for line in lines if line.startswith("5 "))
    (other,) = (line for line in lines if line.startswith("6 "))
    assert web.endswith(" web " + "x" * 94 + "..")
    assert len(other) < 150


def test_what_cannot_be_seen_is_said_with_what_turns_it_on() -> None:
    turn = seen(missing=(Missing("kernel log", "it is not read: --kernel-log turns it on"),))
    assert "kernel log: it is not read: --kernel-log turns it on" in shown(turn, turn, TABLE, "k")


def test_what_could_not_be_looked_at_is_not_none() -> None:
    blind = seen(version=NO_VERSION, cgroups=(), processes=(), processes_at=None)
    head = shown(blind, blind, TABLE, "k").splitlines()[0]
    assert head.endswith("containers unknown, processes unknown")
    bare = seen(cgroups=(), processes=())
    assert (
        shown(bare, bare, TABLE, "k")
        .splitlines()[0]
        .endswith("no container here, 0 processes, 0 of them in containers")
    )


def test_the_node_is_told_as_far_as_it_is_known() -> None:
    known = {"memory_working_set": 2 << 30, "memory_limit": 4 << 30, "memory_available": 1 << 30, "oom_kills": 1}
    early = seen(node_figures={"cpu_usage_ns": 10**9}, time=NOW - 2)
    late = seen(node_figures={**known, "cpu_usage_ns": 4 * 10**9}, time=NOW)
    wanted = "node: CPU 1500m, memory 2048Mi of 4096Mi, 1024Mi available, 1 OOM kill since the boot"
    assert wanted in shown(early, late, TABLE, "k").splitlines()
    nothing = seen(node_figures={})
    assert "node: " not in shown(nothing, nothing, TABLE, "k")


def test_a_long_command_is_cut_in_the_short_table() -> None:
    long = "java " + "-Dx=y " * 50
    turn = seen(processes=(process(5, command=long), process(6)))
    short, wide = shown(turn, turn, TABLE, "k"), shown(turn, turn, WIDE, "k")
    assert row_of(short, "5 ")[-1] == long[:98] + ".."
    assert row_of(wide, "5 ")[-1] == long.rstrip()
    assert row_of(short, "5 ")[2] == row_of(short, "6 ")[2] == "web"


def test_the_runtime_is_told_with_what_it_uses_now() -> None:
    def at(cpu_ns: int, moment: float) -> Seen:
        one: Seen = seen(runtime=(RuntimeCost("containerd", 1, cpu_ns, 38 << 20),), processes_at=moment)
        return one

    grown, ended = (
        shown(at(10**9, NOW - 2), at(2 * 10**9, NOW), TABLE, "k"),
        shown(at(9, NOW - 2), at(5, NOW), TABLE, "k"),
    )
    assert row_of(grown, "containerd") == ["containerd", "1", "500m", "2.0s", "38Mi"]
    assert row_of(ended, "containerd")[2] == "-"


def test_a_kill_of_last_night_is_told_in_hours() -> None:
    turn = seen()
    later = turn._replace(time=NOW + 9 * 3600)
    assert row_of(shown(later, later, TABLE, "k"), "9h ago")[1] == "a"


def test_no_name_moves_the_cursor() -> None:
    hostile = process(5, name="\x1b[2J\u202e\n", command="a\x07\udcff")
    turn = seen(processes=(hostile, process(6, name="\x1b[31m")))
    text = shown(turn, turn, WIDE, "\x1b")
    assert text.isprintable() or set(text) - {"\n"} == {c for c in text if c.isprintable()}


def test_json_is_all_three_documents() -> None:
    turn = seen()
    whole = json.loads(shown(turn, turn, JSON, "k"))
    assert set(whole) == {"node", "processes", "kills"}
    assert whole["node"]["containers"][0]["id"] == ID


def agent(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "krm.agent", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "KRM_REDIS": "redis://127.0.0.1:1/0", **env},
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there is a /proc on Linux alone")
def test_on_this_machine_it_sees_this_very_process(tmp_path: Path) -> None:
    done = agent("--once", "-o", "json", NODE_NAME="of-the-environment")
    assert done.returncode == 0, done.stderr
    whole = json.loads(done.stdout)
    assert whole["node"]["node"] == "of-the-environment"
    (own,) = [row for row in whole["processes"]["processes"] if row["pid"] == os.getpid()]
    assert own["ppid"] == os.getppid()
    assert agent("--once", "-o", "json", "--node", "given").stdout.count('"node": "given"') == 3


def test_where_no_container_is_it_says_so(tmp_path: Path) -> None:
    proc = PaperProc(tmp_path / "proc")
    proc.put(1, 1, name=b"init", ppid=0)
    folders = ("--procfs", str(proc.folder), "--cgroupfs", str(tmp_path / "none"))
    done = agent("--once", *folders)
    assert done.returncode == 0
    assert "containers unknown, 1 process, 0 of them" in done.stdout
    assert "\n1 " in done.stdout
    assert "cgroups: " in done.stdout


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root becomes another")
def test_it_runs_as_any_user() -> None:
    def look() -> str:
        turns = Turns(Asked("n"))
        first, second = turns.turn(True), turns.turn(True)
        return shown(first, second, JSON, "k")

    look()  # what is imported late may lie where another may not read
    whole = json.loads(as_agent(look))
    assert os.getpid() in {row["pid"] for row in whole["processes"]["processes"]}


def test_whoever_reads_half_of_it_sees_no_traceback() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "krm.agent", "--once", "-o", "json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 141


def test_it_serves_until_it_is_told_to_end() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "krm.agent", "--port", "0", "--node", "here", "--every", "200ms"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        address = process.stderr.readline().split()[-1]
        deadline = time.monotonic() + 30
        document = b""
        while not document:
            assert time.monotonic() < deadline
            try:
                with urllib.request.urlopen(f"{address}/v1/node", timeout=10) as answer:
                    document = answer.read()
            except urllib.error.HTTPError as error:
                if error.code != 503:  # before its first turn
                    raise
                time.sleep(0.05)
        assert json.loads(document)["node"] == "here"
        began = time.monotonic()
        process.terminate()
        assert process.wait(30) == 0
        assert time.monotonic() - began < 10
        assert process.stderr.read() == ""


def test_a_port_that_is_taken_is_a_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = agent("--port", str(port))
    assert done.returncode == 1
    assert f"krm agent: 127.0.0.1, port {port}" in done.stderr
    assert "in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_bad_settings_are_sentences(tmp_path: Path) -> None:
    done = agent("--once", "-o", "yaml")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        2,
        "krm agent: error: --output: 'yaml' is none of table, wide, json",
    )
    done = agent("--address", "0.0.0.0")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "krm agent: 0.0.0.0 is not this machine alone: give --cert, --key and --token-file, or --address 127.0.0.1"
    )
    done = agent("--cert", str(tmp_path / "none"), "--key", "k", "--token-file", "t")
    assert done.returncode == 1
    assert str(tmp_path / "none") in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
