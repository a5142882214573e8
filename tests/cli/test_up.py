"""`krm up`: children that live, die and end with it; the demo's loss and its repair."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List

import psutil
import pytest
import redis_servers
from kept_cluster import wait_until
from krm.cli import demo
from krm.cli.live import HEADINGS, Table, fitted, grouped, shown_state
from krm.cli.next_steps import afterwards, next_steps, own_command
from krm.cli.plan import current_context, make_plan, make_plans
from krm.cli.processes import Child, Family
from krm.cli.silence import Silence
from krm.cli.up import House, log_folder
from krm.client.errors import BadRequest
from krm.client.source import KindStatus
from krm.model.head import Head
from krm.model.kinds import DEFAULT_KINDS
from krm.model.trust import judge
from krm.simulator.kubeconfig import write_kubeconfig


def script(tmp_path: Path, text: str) -> List[str]:
    return ["-c", text, str(tmp_path)]


def test_a_child_that_dies_is_told_and_started_again(tmp_path: Path) -> None:
    child = Child(
        "stage", script(tmp_path, "import sys; print('no cluster', file=sys.stderr); sys.exit(7)"), tmp_path
    )
    child.start()
    now = time.monotonic()
    told = wait_until(lambda: child.tend(now))
    assert told == "stage died (exit code 7: no cluster); starting it again in 0.5 s"
    assert child.tend(now + 0.4) is None
    assert child.tend(now + 0.6) == "stage was started again"
    told = wait_until(lambda: child.tend(now + 1))
    assert told.endswith("in 1 s")
    child.stop()
    assert child.tend(now + 100) is None


def test_children_end_in_order_and_the_deaf_by_force(tmp_path: Path) -> None:
    text = (
        "import signal, sys, time, pathlib; name = {name!r}\n"
        "def end(*_):\n    open(sys.argv[1] + '/order', 'a').write(name + ' ')\n    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN if name == 'deaf' else end)\n"
        "pathlib.Path(sys.argv[1], name).touch(); time.sleep(600)"
    )
    family = Family()
    names = ("c", "deaf", "a", "b")
    for name in names:
        family.add(Child(name, script(tmp_path, text.format(name=name)), tmp_path))
    wait_until(lambda: all((tmp_path / name).exists() for name in names))
    pids = [child.pid for child in family._children]
    family._children[1].stop(limit=0.2)
    family.stop(("a", "b", "c"))
    assert (tmp_path / "order").read_text() == "a b c "
    assert not any(psutil.pid_exists(pid) for pid in pids if pid)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux'")
def test_children_die_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    text = (
        "import sys, time, pathlib\nfrom krm.cli.processes import Child\n"
        "child = Child('c', ['-c', 'import time; time.sleep(600)'], pathlib.Path(sys.argv[1]))\n"
        "child.start(); print(child.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", text, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert psutil.pid_exists(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def started(environment: Dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "krm.cli.main", "up", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )


def state_of(environment: Dict[str, str], process: subprocess.Popen[str]) -> Dict[str, Any]:
    path = Path(environment["XDG_RUNTIME_DIR"], "krm", f"up-{process.pid}.json")
    wait_until(lambda: path.exists() or process.poll() is not None, 40)
    found: Dict[str, Any] = json.loads(path.read_text())
    return found


def family_of(process: subprocess.Popen[str]) -> List[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def gone(processes: List[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=0.2)
    return not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_behind(environment: Dict[str, str], number: signal.Signals) -> None:
    process = started(environment, "--demo", "--kinds", "nodes")
    try:
        state = state_of(environment, process)
        children = family_of(process)
        assert len(children) >= 5  # three stages, the simulator, Redis
        process.send_signal(number)
        out, _ = process.communicate(timeout=40)
        wait_until(lambda: gone(children), 20)
    finally:
        process.kill()
        process.wait()
    socket_path = state["url"][len("unix://") :]
    wait_until(lambda: not os.path.exists(socket_path))
    if number == signal.SIGKILL:
        assert process.returncode == -9
        return
    assert process.returncode == 128 + number
    assert "Summary: " in out
    assert "Traceback" not in out
    left = list(Path(environment["XDG_RUNTIME_DIR"], "krm").iterdir())
    assert [path.name for path in left] in ([], [f"up-{process.pid}"])  # its logs, where no list came in time
    assert bool(left) == (f"kept until the next krm up: {left[0] if left else ''}" in out)


def test_a_killed_stage_comes_back(environment: Dict[str, str]) -> None:
    process = started(environment, "--demo", "--kinds", "nodes", "--for", "8s")
    try:
        state_of(environment, process)
        (victim,) = [one for one in family_of(process) if "krm.verifier" in one.cmdline()]
        victim.kill()
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert "verifier died (SIGKILL); starting it again in 0.5 s" in out
    assert "verifier was started again" in out


def redis_of(process: subprocess.Popen[str]) -> psutil.Process:
    (found,) = [one for one in family_of(process) if "redis-server" in one.name()]
    return found


def test_a_private_redis_that_died_is_started_again_and_everything_is_listed_anew(
    environment: Dict[str, str],
) -> None:
    process = started(environment, "--demo", "--kinds", "nodes", "--for", "15s")
    try:
        state = state_of(environment, process)
        redis_of(process).kill()
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert "the Redis of this krm up died; it was started again" in out
    assert "Redis answers again" in out
    assert "check the URL" not in out  # nobody can mend a private socket
    assert "1 of 1 kinds verified" in out, out[-2000:]
    assert process.returncode == 0
    assert not Path(state["url"][len("unix://") :]).parent.exists()


def test_of_a_redis_that_does_not_answer_nothing_is_known(environment: Dict[str, str], tmp_path: Path) -> None:
    """The table of before is never shown again: it would look live for ever."""
    with redis_servers.one(tmp_path / "redis") as redis:
        process = started(environment, "--demo", "--kinds", "nodes", "--redis", redis.url, "--for", "12s")
        lines: List[str] = []
        try:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                if re.match(r"nodes +live ", line):
                    break
            redis.stop(hard=True)
            lines += list(process.stdout)
            process.wait(40)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()  # type: ignore[union-attr]
    silent = next(number for number, line in enumerate(lines) if line.startswith(redis.url))
    assert any(re.match(r"Redis has not answered for \d+ s; nothing is known: nodes$", line) for line in lines)
    rows = [line.split() for line in lines[silent:] if line.startswith("nodes ")]
    assert rows
    assert {tuple(row[1:4]) for row in rows} == {("unknown", "-", "-")}
    assert int(rows[-1][4].rstrip("s")) > int(rows[0][4].rstrip("s"))
    assert re.search(r"^Redis has not answered for \d+ s; nothing is known$", "".join(lines), re.M)
    assert "Summary: 0 of 1 kinds verified with no gap open\n" in lines
    assert process.returncode == 3


def test_a_kind_that_is_not_served_turns_absent(environment: Dict[str, str]) -> None:
    process = started(environment, "--demo", "--kinds", "nodes,nosuchkind", "--for", "30s")
    try:
        assert process.stdout is not None
        assert any(re.match(r"nosuchkind +absent ", line) for line in process.stdout)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=40)
    finally:
        process.kill()
        process.wait()
    assert "nosuchkind: the API server does not serve this kind" in out


@pytest.mark.slow
def test_the_demo_loses_events_and_repairs_them(environment: Dict[str, str]) -> None:
    process = started(environment, "--demo", "--for", "20s")
    out, _ = process.communicate(timeout=90)
    assert process.returncode == 0, out[-3000:]
    lines = out.splitlines()
    injected = next(
        number for number, line in enumerate(lines) if line.startswith("Injected: the next 3 events of pods")
    )
    repaired = next(number for number, line in enumerate(lines) if line.startswith("Repaired: "))
    assert sum(line.startswith("KIND ") for line in lines[:injected]) <= 8  # by second 8
    assert injected < repaired
    assert any(line.startswith("Summary: 17 of 17 kinds verified with no gap open;") for line in lines), lines[-3:]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--kubeconfig", "/no/such/file"], "no kubeconfig at /no/such/file"),
        ([], "no kubeconfig at"),
        (["--kubeconfig", "CONFIG", "--context", "nope"], "context 'nope' is not in"),
        (["--in-cluster"], "no service account could be read"),
    ],
)
def test_without_credentials_nothing_starts(
    environment: Dict[str, str], tmp_path: Path, arguments: List[str], said: str
) -> None:
    write_kubeconfig(tmp_path / "config", "http://127.0.0.1:1")
    process = started(
        environment, *[str(tmp_path / "config") if one == "CONFIG" else one for one in arguments], "--kinds", "pods"
    )
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out.startswith("krm: ")
    assert len(out.splitlines()) == 1, out
    assert said in out


def test_the_exit_code_is_3_where_not_every_kind_is_verified(environment: Dict[str, str]) -> None:
    process = started(environment, "--demo", "--kinds", "nodes", "--for", "10ms")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 3, out
    assert "nodes: no list of this kind was merged yet" in out
    assert "said last: listening" not in out  # no warning
    assert re.search(r"^Keeping 1 kind of demo in ", out, re.M)
    python = f"{sys.executable} -m krm.cli.main"
    assert f"Next, in another terminal: {python} get nodes; {python} status; {python} changes nodes\n" in out
    kept = re.search(r"^Logs of the stages, kept until the next krm up: (.*)$", out, re.M)
    assert kept
    assert Path(kept.group(1), "verifier.log").exists()
    log_folder(Path(kept.group(1)).parent)
    assert not Path(kept.group(1)).exists()


def test_the_last_warnings_are_told_and_nothing_below(tmp_path: Path) -> None:
    family = Family()
    child = Child("verifier", script(tmp_path, ""), tmp_path)
    family.add(child)
    at = "2026-01-01 00:00:00,000 verifier"
    child.log.write_text(f"{at} WARNING first\n{at} ERROR second\n{at} INFO third\n")
    assert family.last_warnings() == [f"verifier said last: {at} ERROR second"]
    family.stop(())


def test_the_next_command_is_spelt_as_this_one_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    krm = tmp_path / "krm"
    krm.write_text("#!/bin/sh\n")
    krm.chmod(0o755)
    monkeypatch.setattr("sys.argv", [str(krm)])
    monkeypatch.setenv("PATH", "/no/such")
    assert own_command() == str(krm)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert own_command() == "krm"
    assert (
        next_steps(["nodes", "pods"]) == "Next, in another terminal: krm get pods -A; krm status; krm changes pods"
    )


def test_the_last_advice_is_to_run_the_same_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.argv", [str(tmp_path / "krm")])
    run = ["up", "--context", "prod", "--kinds=pods,nodes", "--for", "5s", "--namespaces", "a"]
    run += ["--redis", "redis://:secret@h"]
    told = afterwards(["pods"], False, run)
    assert told.startswith(
        f"Next: {tmp_path}/krm up --context prod --kinds=pods,nodes --namespaces a, and beside it "
    )
    assert "--redis redis://h, and" in afterwards(["pods"], False, ["up", "--redis=redis://h", "--for=5s"])


def test_kinds_of_no_namespace_are_no_default_where_only_some_namespaces_are_kept() -> None:
    plan = make_plan(options(demo=True, namespaces="a"))
    assert plan.left_out == ("nodes", "namespaces", "priorityclasses.scheduling.k8s.io")
    assert len(plan.kinds) == 14
    assert not set(plan.left_out) & set(plan.kinds)
    named = make_plan(options(demo=True, namespaces="a", kinds="nodes"))
    assert (named.kinds, named.left_out) == (("nodes",), ())
    assert make_plan(options(demo=True)).left_out == ()


# --- the plan


def options(**given: Any) -> argparse.Namespace:
    names = [
        "demo",
        "in_cluster",
        "kubeconfig",
        "context",
        "kinds",
        "namespaces",
        "verify_every",
        "cluster",
        "redis",
        "history",
        "no_collector",
    ]
    return argparse.Namespace(**{**dict.fromkeys(names), "env_values": "redact", **given})


def test_the_command_lines_of_the_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KRM_CLUSTER", "KRM_REDIS"):
        monkeypatch.delenv(name, raising=False)
    given = options(kubeconfig="/k", context=["c"], kinds="pods, nodes,pods", namespaces="a,b", verify_every=5.0)
    (plan,) = make_plans(argparse.Namespace(**{**vars(given), "env_values": "keep"}))
    common = ["pods", "nodes", "--redis", "u", "--cluster", "c", "--namespaces", "a,b"]
    assert plan.stage_arguments("aggregator", "u") == ["-m", "krm.aggregator", *common]
    cluster = ["--kubeconfig", "/k", "--context", "c", "--env-values", "keep"]
    assert plan.stage_arguments("streamer", "u") == ["-m", "krm.streamer", *common, *cluster]
    assert plan.stage_arguments("verifier", "u") == [
        "-m",
        "krm.verifier",
        *common,
        *cluster,
        "--verify-every",
        "5s",
    ]
    assert plan.pipelines == [("pods", "a"), ("pods", "b"), ("nodes", "a"), ("nodes", "b")]


def test_a_collector_runs_where_pods_and_nodes_of_the_whole_cluster_are_kept() -> None:
    assert make_plan(options(demo=True)).collects
    assert not make_plan(options(demo=True, no_collector=True)).collects
    assert not make_plan(options(demo=True, kinds="pods,services")).collects
    assert not make_plan(options(demo=True, namespaces="shop")).collects
    with pytest.raises(BadRequest, match="nodes"):
        make_plan(options(demo=True, kinds="pods", history="h"))
    with pytest.raises(BadRequest, match="--no-collector"):
        make_plan(options(demo=True, no_collector=True, history="h"))
    assert "--history-token-file" not in make_plan(options(demo=True)).collector_arguments("u", "/h", "")
    plan = make_plan(options(kubeconfig="/k", context=["c"], cluster="x", history="/h"))
    assert plan.collector_arguments("u", "/other", "/token") == [
        *("-m", "krm.collector", "--redis", "u", "--cluster", "x", "--history", "/h"),
        *("--history-token-file", "/token", "--kubeconfig", "/k"),
    ]


@pytest.mark.parametrize("option", ["kinds", "namespaces"])
@pytest.mark.parametrize("text", ["", " ", ","])
def test_an_empty_list_is_refused_never_taken_for_everything(option: str, text: str) -> None:
    with pytest.raises(BadRequest, match=f"^--{option} names nothing"):
        make_plan(options(demo=True, **{option: text}))


def test_the_clusters_name_is_the_contexts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KRM_CLUSTER", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert make_plan(options()).cluster == "default"
    path = tmp_path / "config"
    for text in (
        'current-context: "prod"  # here\n',
        "apiVersion: v1\ncurrent-context: prod\n",
        '{\n"current-context": "prod",\n"a": 1}',
        json.dumps({"kind": "Config", "current-context": "prod", "users": []}, indent=4),
        '{"kind":"Config","current-context":"prod"}',
    ):
        path.write_text(text)
        assert current_context(str(path)) == "prod"
    monkeypatch.setenv("KUBECONFIG", f"/no/such:{path}")
    assert make_plan(options()).cluster == "prod"
    assert make_plan(options(), "dev").cluster == "dev"
    assert make_plan(options(demo=True)).cluster == "demo"
    assert make_plan(options(cluster="mine")).cluster == "mine"


def test_each_context_is_a_cluster_of_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRM_CLUSTER", "from-the-environment")
    plans = make_plans(options(context=["a", "b/c", "a"], kubeconfig="/k"))
    assert [(plan.cluster, plan.context, plan.kubeconfig) for plan in plans] == [
        ("a", "a", "/k"),
        ("b/c", "b/c", "/k"),
    ]
    assert [plan.cluster for plan in make_plans(options(context=["a"]))] == ["from-the-environment"]
    with pytest.raises(BadRequest, match="--cluster names one cluster"):
        make_plans(options(context=["a", "b"], cluster="mine"))


# --- the demo's loss


class FakeSimulator:
    def __init__(self) -> None:
        self.dropped: List[int] = []

    def drop(self, kind: str, count: int) -> None:
        self.dropped.append(count)


def pods(drift: int, want: str = "", live: bool = True) -> List[KindStatus]:
    head = Head(
        incarnation="n", rv="5", beat=100.0, probed_at=100.0, streamer_at=100.0, current_as_of=100.0,
        drift={"missed_update": drift} if drift else {}, want=want,
    )  # fmt: skip
    now = 100.0 if live else 200.0
    return [KindStatus("pods", "", judge(head, now), head, now)]


def test_the_loss_waits_for_a_live_kind_but_comes_by_second_8(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(demo.time, "monotonic", lambda: clock[0])
    simulator: Any = FakeSimulator()
    loss = demo.Loss(simulator, 0.0)
    clock[0] = 3.0
    assert loss.turn(pods(0)) is None
    clock[0] = 6.0
    assert loss.turn(pods(0, live=False)) is None
    clock[0] = 7.6
    assert str(loss.turn(pods(0, live=False))).startswith("Injected")
    clock[0] = 9.0
    assert loss.turn(pods(0)) is None
    assert loss.turn(pods(2, want="full 1")) is None  # counted, not yet repaired
    clock[0] = 10.0
    assert str(loss.turn(pods(2))).startswith("Repaired: 2.4 s later")
    assert loss.turn(pods(4)) is None
    assert simulator.dropped == [3]


def test_a_loss_that_healed_by_itself_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [5.0]
    monkeypatch.setattr(demo.time, "monotonic", lambda: clock[0])
    simulator: Any = FakeSimulator()
    loss = demo.Loss(simulator, 0.0)
    assert loss.turn(pods(0))
    clock[0] = 16.0
    assert str(loss.turn(pods(0))).startswith("Injected")
    assert simulator.dropped == [3, 3]


# --- the table on a terminal


def test_the_table_is_redrawn_in_place_and_fits(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("krm.cli.live.is_terminal", lambda stream: True)
    monkeypatch.setenv("LINES", "10")
    monkeypatch.setenv("COLUMNS", "40")
    one = pods(0)[0]
    stale = pods(0, live=False)[0]._replace(kind="stale-one")
    many = [one._replace(kind=f"kind-{number}") for number in range(30)] + [stale]
    table = Table()
    table.draw([one, stale])
    table.tell("a sentence\x1b[2J")
    table.draw(many)
    table.draw(many)
    first, second, last = capsys.readouterr().out.split("\x1b[J")
    assert first.endswith("\x1b[3A")  # over three lines: headings and two kinds
    assert second.startswith("a sentence^[[2J\nKIND")
    assert second.endswith("\x1b[8A")
    lines = last.splitlines()
    assert len(lines) == 8 < 10
    assert all(len(line) < 40 for line in lines)
    assert lines[1].startswith("stale-one")
    assert lines[-1].startswith("... and 25 more")
    table.leave()
    table.tell("below")
    assert capsys.readouterr().out == "below\n"


def test_on_a_terminal_a_table_that_is_drawn_once_fits_too(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("krm.cli.live.is_terminal", lambda stream: True)
    monkeypatch.setenv("LINES", "10")
    monkeypatch.setenv("COLUMNS", "60")
    many = [pods(0)[0]._replace(kind=f"horizontalpodautoscalers.autoscaling-{number}") for number in range(30)]
    Table(in_place=False).draw(many)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 31  # the terminal scrolls
    assert all(len(line) < 60 for line in lines)


def test_the_summary_counts_kinds_and_says_where_it_does_not_know(tmp_path: Path, capsys: Any) -> None:
    house = House(tmp_path)
    house._kinds, house._pipelines = ("pods",), [("", "pods", "a"), ("", "pods", "b")]
    house._silence = Silence(house._pipelines)
    head = replace(pods(2)[0].head or Head(), verified_at=100.0, count=7, version=3)
    first = KindStatus("pods", "a", judge(head, 100.0), head, 100.0)
    assert not house._summary([first, KindStatus("pods", "b", judge(None, 100.0), None, 100.0)])
    out = capsys.readouterr().out
    assert "Summary: 0 of 1 kinds verified with no gap open; at least 7 objects, 3 versions, 2 repairs\n" in out
    assert house._summary([first, first._replace(namespace="b")])
    assert "Summary: 1 of 1 kinds verified with no gap open; 14 objects, 6 versions, 4 repairs\n" in (
        capsys.readouterr().out
    )


def test_at_80_columns_kinds_are_cut_before_any_column_but_the_stream_delay_is_lost() -> None:
    kinds = [f"{kind}" for kind in DEFAULT_KINDS]
    cells = ["live", "12345", "123456", "12s", "12s ago", "3", "12ms", "2.4s/3.1s"]
    rows = [list(HEADINGS), *[[kind, *cells] for kind in kinds]]
    lines = fitted(rows, 79)
    assert all(len(line) <= 79 for line in lines)
    assert lines[0].split() == list(HEADINGS[:-1])
    assert fitted(rows, 100)[0].split() == list(HEADINGS)
    assert lines[1].startswith("pods ")
    assert any(line.startswith("horizontalp") and ".. " in line for line in lines)
    assert any(line.startswith("deployments ") for line in lines)
    narrow = fitted(rows, 60)
    assert all(len(line) <= 60 for line in narrow)
    assert narrow[0].split()[-1] in ("VERIFIED", "DRIFT")
    assert all(line.endswith(("ago", "3")) for line in narrow[1:])


def test_a_kind_that_only_waits_for_its_first_proof_is_starting_not_stale() -> None:
    head = Head(incarnation="n", rv="5", beat=100.0)
    waiting = KindStatus("pods", "", judge(head, 100.0), head, 100.0)
    assert waiting.trust.state == "stale"
    assert shown_state(waiting) == "starting"
    late = KindStatus("pods", "", judge(head, 200.0), head, 200.0)
    assert shown_state(late) == "stale"


def test_kinds_share_a_line_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    stale = [pods(0, live=False)[0]._replace(kind=kind) for kind in ("pods", "nodes")]
    lines = grouped(stale, 3)
    assert len(lines) == len(stale[0].trust.reasons)
    assert all(line.endswith(": pods, nodes") for line in lines)
    Table().draw(stale, lines)
    assert capsys.readouterr().out.splitlines()[3:] == lines
    three = [stale[0]._replace(kind=kind) for kind in ("pods", "nodes", "jobs")]
    assert all(line.endswith(": all kinds") for line in grouped(three, 3))
    assert all(line.endswith(": pods, nodes, jobs") for line in grouped(three, 17))
