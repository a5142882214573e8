"""`krm get`: kubectl's layout and formats, and a state that is never hidden."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime, timezone
from typing import Any, Callable, Dict

import pytest
from kept_cluster import KeptCluster, KeptKind, pod, wait_until
from krm.model import times

Krm = Callable[..., "subprocess.CompletedProcess[str]"]


def some_pods(kept: KeptCluster) -> KeptKind:
    return kept.kind(
        "pods", {"default/web-0": pod(app="web"), "default/db": pod("Pending", app="db"), "other/x": pod(node="n9")}
    )


def test_the_table_is_kubectls(kept: KeptCluster, krm: Krm) -> None:
    some_pods(kept)
    done = krm("get", "po")
    assert (done.returncode, done.stderr) == (0, "")
    heading, db, web = done.stdout.splitlines()
    assert heading == "NAME    READY   STATUS    RESTARTS   AGE"
    assert db.startswith("db      0/1     Pending   2          ")
    assert web.startswith("web-0   1/1     Running   2          ")
    bare = krm("get", "pods", "--no-headers").stdout.splitlines()
    assert [line.split()[:4] for line in bare] == [line.split()[:4] for line in (db, web)]
    everywhere = krm("get", "pods", "-A").stdout.splitlines()
    assert everywhere[0].split()[:2] == ["NAMESPACE", "NAME"]
    assert everywhere[3].startswith("other       x       1/1     Running")
    wide = krm("get", "pods", "-n", "other", "-o", "wide").stdout.splitlines()
    assert wide[0].split()[5:7] == ["IP", "NODE"]
    assert wide[1].split()[5:7] == ["10.0.0.7", "n9"]


def test_kinds_without_columns_of_their_own_have_name_and_age(kept: KeptCluster, krm: Krm) -> None:
    kept.kind("widgets.example.com", {"default/w": {}})
    kept.kind("nodes", {"/n1": {}})
    assert krm("get", "widgets").stdout.splitlines()[0] == "NAME   AGE"
    assert krm("get", "no").stdout.splitlines()[1].split()[0] == "n1"
    assert krm("get", "nodes", "-A").stdout.splitlines()[0].split()[0] == "NAME"


@pytest.mark.parametrize("told", [True, False], ids=["told by discovery", "not told yet"])
def test_of_a_custom_kind_without_namespaces_a_namespace_is_ignored(
    kept: KeptCluster, krm: Krm, told: bool
) -> None:
    custom = kept.kind("globals.example.com", {"/g1": {}})
    if told:
        custom.serve()
    for arguments in ((), ("-n", "web"), ("g1", "-n", "web"), ("g1",), ("-A",)):
        done = krm("get", "globals", *arguments)
        assert (done.returncode, done.stderr) == (0, ""), arguments
        assert [line.split()[0] for line in done.stdout.splitlines()] == ["NAME", "g1"]
    assert krm("get", "globals", "none", "-n", "web").returncode == 1


def test_selectors_and_names(kept: KeptCluster, krm: Krm) -> None:
    some_pods(kept)
    assert krm("get", "pods", "-l", "app=web", "-o", "name").stdout == "pod/web-0\n"
    assert krm("get", "pods", "--field-selector", "status.phase=Pending", "-o", "name").stdout == "pod/db\n"
    assert krm("get", "pod/web-0", "-o", "name").stdout == "pod/web-0\n"
    assert krm("get", "pods", "-n", "default", "web-0", "db", "-o", "name").stdout == "pod/web-0\npod/db\n"
    assert krm("get", "pod/web-0", "po/db", "-o", "name").stdout == "pod/web-0\npod/db\n"
    missing = krm("get", "pods", "web-0", "none", "-o", "name")
    assert (missing.returncode, missing.stdout) == (1, "pod/web-0\n")
    assert 'pods "none" not found' in missing.stderr


def test_nothing_found_is_said_on_stderr(kept: KeptCluster, krm: Krm) -> None:
    some_pods(kept)
    empty = krm("get", "pods", "-n", "empty")
    assert (empty.returncode, empty.stdout, empty.stderr) == (0, "", "No resources found in empty namespace.\n")
    assert krm("get", "pods", "-A", "-l", "app=none").stderr == "No resources found.\n"
    assert json.loads(krm("get", "pods", "-n", "empty", "-o", "json").stdout)["items"] == []


def test_documents_read_back_as_what_is_kept(kept: KeptCluster, krm: Krm) -> None:
    yaml = pytest.importorskip("yaml")
    some_pods(kept)
    one = json.loads(krm("get", "pods", "web-0", "-o", "json").stdout)
    assert (one["kind"], one["metadata"]["name"]) == ("Pod", "web-0")
    assert yaml.safe_load(krm("get", "pods", "web-0", "-o", "yaml").stdout) == one
    every = json.loads(krm("get", "pods", "-o", "json").stdout)
    assert (every["kind"], [item["metadata"]["name"] for item in every["items"]]) == ("List", ["db", "web-0"])
    assert yaml.safe_load(krm("get", "pods", "-o", "yaml").stdout) == every


def test_templates_and_columns_of_ones_own(kept: KeptCluster, krm: Krm) -> None:
    some_pods(kept)
    lines = '{range .items[*]}{.metadata.name}{"\\t"}{.spec.containers[*].image}{"\\n"}{end}'
    assert krm("get", "pods", "-o", f"jsonpath={lines}").stdout == "db\tnginx:1\nweb-0\tnginx:1\n"
    assert krm("get", "pods", "web-0", "-o", "jsonpath={.spec.nodeName}").stdout == "node-1"
    table = krm("get", "pods", "-o", "custom-columns=N:.metadata.name,NODE:.spec.nodeName,X:.none").stdout
    assert table == "N       NODE     X\ndb      node-1   <none>\nweb-0   node-1   <none>\n"
    for output in ("jsonpath={.a[", "custom-columns=N", "custom-columns=N:.a[", "toml", "jsonpath"):
        done = krm("get", "pods", "-o", output)
        assert done.returncode == 2, output
        assert done.stderr.startswith("krm: -o")
        assert "Traceback" not in done.stderr


def test_an_index_that_is_not_there_is_an_error_as_in_kubectl(kept: KeptCluster, krm: Krm) -> None:
    some_pods(kept)
    done = krm("get", "pods", "-o", "jsonpath={.items[999].metadata.name}")
    told = "krm: -o jsonpath: array index out of bounds: index 999, length 2\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", told)
    done = krm("get", "pods", "-o", "custom-columns=A:.spec.containers[1].name")
    told = "krm: -o custom-columns: default/db: array index out of bounds: index 1, length 1\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", told)
    assert krm("get", "pods", "web-0", "-o", "custom-columns=A:.metadata.labels", "--no-headers").stdout == (
        "map[app:web]\n"
    )


def test_a_watch_writes_its_list_as_it_writes_its_changes(kept: KeptCluster, krm: Krm) -> None:
    pods = some_pods(kept)

    def watched(output: str) -> str:
        timers = [threading.Timer(0.5, pods.publish, [("default/new", pod())]), threading.Timer(1.5, pods.begin)]
        pods.begin({"default/a": pod(), "default/b": pod()})
        for timer in timers:
            timer.start()
        done = krm("get", "pods", "-w", "-o", output)
        for timer in timers:
            timer.join()
        assert "rebuilt" in done.stderr
        return done.stdout

    text, found, start = watched("json"), [], 0
    while start < len(text):
        document, end = json.JSONDecoder().raw_decode(text, start)
        found.append((document["kind"], document["metadata"]["name"]))
        start = end + 1
    assert found == [("Pod", "a"), ("Pod", "b"), ("Pod", "new")]
    assert watched('jsonpath={.metadata.name}{"\\n"}') == "a\nb\nnew\n"


def test_an_answer_that_is_not_live_says_so_and_exits_with_3(kept: KeptCluster, krm: Krm) -> None:
    pods = some_pods(kept)
    pods.stall()
    refused = krm("get", "pods")
    assert (refused.returncode, refused.stdout) == (3, "")
    assert refused.stderr.startswith("krm: pods are stale: the aggregator has not beaten")
    given = krm("get", "pods", "--stale-ok")
    assert given.returncode == 3
    assert "web-0" in given.stdout
    assert given.stderr.startswith("Warning: pods are stale: the aggregator has not beaten")


def test_only_some_namespaces_is_said_on_stderr(kept: KeptCluster, krm: Krm) -> None:
    kept.kind("pods", {"a/x": pod()}, namespace="a")
    kept.kind("pods", {"b/y": pod()}, namespace="b")
    done = krm("get", "pods", "-A", "-o", "name")
    assert (done.returncode, done.stdout) == (0, "pod/x\npod/y\n")
    assert "only a, b" in done.stderr
    assert krm("get", "pods", "-n", "b").stdout.count("\n") == 2
    refused = krm("get", "pods", "-n", "c")
    assert refused.returncode == 1
    assert "a, b only" in refused.stderr


def test_the_past_and_the_verified_state(kept: KeptCluster, krm: Krm) -> None:
    pods = some_pods(kept)
    before = f"{pods.writer.known.incarnation}:{pods.writer.known.version}"  # type: ignore[union-attr]
    pods.publish(("default/db", None), ("default/new", pod()))
    assert krm("get", "pods", "-o", "name").stdout.split() == ["pod/new", "pod/web-0"]
    assert krm("get", "pods", "-o", "name", "--at", before).stdout.split() == ["pod/db", "pod/web-0"]
    assert krm("get", "pods", "-o", "name", "--verified-only").stdout.split() == ["pod/db", "pod/web-0"]
    for moment, code in (("1h", 1), ("yesterday", 2), ("999", 1)):
        done = krm("get", "pods", "--at", moment)
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
    difference = krm("diff", "pods", before)
    assert difference.stdout.splitlines() == ["- default/db", "+ default/new"]


def test_the_past_shows_the_ages_of_that_moment(kept: KeptCluster, krm: Krm) -> None:
    pods = some_pods(kept)
    began = pods.now()
    pods.begin({"default/x": {}}, oldest_at=began - 86400 * 5)
    created = datetime(2026, 1, 1, tzinfo=timezone.utc).timestamp()  # as every object of `kept`

    def age(*arguments: str) -> str:
        return krm("get", "pods", "x", "--no-headers", *arguments).stdout.split()[-1]

    then = began - 86400 * 4
    assert age() == times.age(began - created)
    assert age("--at", datetime.fromtimestamp(then, timezone.utc).isoformat()) == times.age(then - created)
    version = pods.writer.known.version  # type: ignore[union-attr]
    assert age("--at", str(version)) == times.age(began - 86400 * 5 - created)


def test_an_empty_moment_is_told_never_taken_for_now(kept: KeptCluster, krm: Krm) -> None:
    some_pods(kept)
    for arguments in (("get", "pods", "--at", ""), ("diff", "pods", "1", ""), ("changes", "pods", "--since", "")):
        done = krm(*arguments)
        assert (done.returncode, done.stdout, "''" in done.stderr) == (2, "", True), done.stderr


def test_a_difference_names_the_fields(kept: KeptCluster, krm: Krm) -> None:
    pods = some_pods(kept)
    version = pods.writer.known.version  # type: ignore[union-attr]
    pods.publish(("other/x", pod(node="n10", team="a")))
    lines = krm("diff", "pods", str(version)).stdout.splitlines()
    assert lines[0] == "~ other/x"
    assert '    .spec.nodeName: "n9" -> "n10"' in lines
    assert '    .metadata.labels.team: (none) -> "a"' in lines
    (row,) = krm("diff", "pods", str(version), "-o", "json").stdout.splitlines()
    assert json.loads(row)["after"]["spec"]["nodeName"] == "n10"


def test_changes_are_a_line_each(kept: KeptCluster, krm: Krm) -> None:
    pods = some_pods(kept)
    pods.publish(("a/y", pod()))
    token = pods.publish(("a/y", None), repair=True)
    text = krm("changes", "pods", "--for", "300ms").stdout.splitlines()
    assert [line.split()[1:3] for line in text[1:]] == [["ADDED", "a/y"], ["DELETED", "a/y"]]
    assert text[2].endswith(token)
    assert [line.split()[5] for line in text[1:]] == ["1ms", "-"]
    rows = [json.loads(row) for row in krm("changes", "po", "--for", "0.1", "-o", "json").stdout.splitlines()]
    assert [(row["type"], row["repair"], row["delay"]) for row in rows] == [
        ("ADDED", False, 0.001),
        ("DELETED", True, None),
    ]
    assert krm("changes", "pods", "--since", token, "--for", "0.1", "-o", "json").stdout == ""


def test_watching_shows_changes_until_interrupted(
    kept: KeptCluster, environment: Dict[str, str], tmp_path: Any
) -> None:
    pods = some_pods(kept)
    out = tmp_path / "out"
    with open(out, "wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "krm.cli.main", "get", "pods", "-n", "other", "-w", "--redis", kept.url],
            stdout=file,
            stderr=subprocess.PIPE,
            env=environment,
            # Whoever runs the tests in a shell's background gives them an ignored SIGINT.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    try:
        wait_until(lambda: b"Running" in out.read_bytes())
        pods.publish(("other/y", pod("Pending")), ("default/elsewhere", pod()))
        wait_until(lambda: b"Pending" in out.read_bytes())
    finally:
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=20)
    assert process.returncode == 130
    assert stderr == b""
    lines = out.read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", "x", "y"]
    assert lines[2].index("0/1") == lines[1].index("1/1") == lines[0].index("READY")


@pytest.mark.parametrize("command", ["changes pods --for 5s", "get pods -w"])
def test_a_watch_says_when_its_kind_turns_stale_and_when_it_is_live_again(
    kept: KeptCluster, krm: Krm, command: str
) -> None:
    pods = some_pods(kept)

    def falter() -> None:
        pods.stall()
        time.sleep(2.2)  # more than the second after which a watch looks at the head again
        pods.stalled = False

    # `get -w` goes on until its snapshot is rebuilt; `changes` ends before that.
    timers = [threading.Timer(0.5, falter), threading.Timer(5.5, pods.begin)]
    for timer in timers:
        timer.start()
    done = krm(*command.split(), "--stale-ok")
    for timer in timers:
        timer.join()
    assert done.returncode == (3 if "--for" in command else 1), done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("Warning:")]
    assert len(told) == 2, done.stderr
    assert told[0].startswith("Warning: pods are stale: the aggregator has not beaten for 6")
    assert told[1] == "Warning: pods are live again"


# --- hostile input


def test_terminal_escapes_in_objects_never_reach_a_terminal(kept: KeptCluster, krm: Krm) -> None:
    hostile = "\x1b[31mred\x1b]0;title\x07\u202egnp.exe\x9b2J"
    kept.kind("pods", {"default/x": {**pod(node=hostile), "annotations": {"a": hostile}}})
    for output in ("wide", "json", "yaml", "custom-columns=A:.metadata.annotations.a"):
        text = krm("get", "pods", "-o", output).stdout
        assert not set(text) & set("\x1b\x07\u202e\x9b"), output
        assert "red" in text
    assert json.loads(krm("get", "pods", "-o", "json").stdout)["items"][0]["spec"]["nodeName"] == hostile
    # A script gets the bytes as they are.
    assert krm("get", "pods", "x", "-o", "jsonpath={.spec.nodeName}").stdout == hostile


@pytest.mark.parametrize("name", ["-x", "--watch", "$(id)", "a;b", "../../x", "x y", "\u202e", "%s%n", "'"])
def test_strange_names_are_only_names(kept: KeptCluster, krm: Krm, name: str) -> None:
    some_pods(kept)
    done = krm("get", "pods", "--", name)
    assert (done.returncode, done.stdout) == (1, "")
    assert "not found" in done.stderr
    assert "\u202e" not in done.stderr


@pytest.mark.parametrize(
    "locale",
    [{"LC_ALL": "no_SUCH"}, {"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "POSIX", "PYTHONUTF8": "0"}],
)
def test_an_invalid_locale_loses_no_object(kept: KeptCluster, krm_process: Krm, locale: Dict[str, str]) -> None:
    kept.kind("pods", {"default/a": pod(node="knöten"), "default/b": pod()})
    done = krm_process("get", "pods", "-o", "wide", env=locale, encoding="utf-8", errors="replace")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 3


def test_whoever_reads_may_leave(kept: KeptCluster, environment: Dict[str, str]) -> None:
    kept.kind("pods", {f"default/p{number}": pod() for number in range(3000)})
    command = [sys.executable, "-m", "krm.cli.main", "get", "pods", "-o", "json", "--redis", kept.url]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=30) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_closed_stdout_is_an_error_not_a_success(kept: KeptCluster, environment: Dict[str, str]) -> None:
    some_pods(kept)
    command = [sys.executable, "-m", "krm.cli.main", "get", "pods", "--redis", kept.url]
    done = subprocess.run(
        ["/bin/sh", "-c", '"$@" >&-', "sh", *command], stderr=subprocess.PIPE, env=environment, timeout=30
    )
    assert done.returncode == 1
    assert b"stdout is closed" in done.stderr
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=environment, timeout=30)
    assert done.returncode == 1
    assert b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr


def test_colours_only_where_a_person_looks(kept: KeptCluster, environment: Dict[str, str]) -> None:
    some_pods(kept)
    for env, coloured in (
        ({"TERM": "xterm"}, True),
        ({"TERM": "dumb"}, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
    ):
        leader, follower = os.openpty()
        command = [sys.executable, "-m", "krm.cli.main", "status", "--redis", kept.url]
        subprocess.run(command, stdout=follower, env={**environment, **env}, timeout=30, check=True)
        os.close(follower)
        text = os.read(leader, 65536)
        os.close(leader)
        assert (b"\x1b[32mlive" in text) is coloured, env
