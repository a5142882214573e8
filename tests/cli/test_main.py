"""The command's grammar, exit codes and words; what it imports; the docs that describe it."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Callable, Dict, List

import pytest
import redis_servers
from kept_cluster import KeptCluster, pod
from krm.cli.checks import Source, leave_source
from krm.cli.doctor import signed
from krm.cli.main import EXIT_CODES, parser
from krm.cli.options import COMMANDS, STAGES
from krm.client.errors import Nowhere, UnknownCluster
from krm.client.locate import Place, announce, locate, running_here, state_folder
from krm.simulator.kubeconfig import write_kubeconfig
from krm.simulator.server import Server as Simulator
from krm.simulator.world import World

Krm = Callable[..., "subprocess.CompletedProcess[str]"]
DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        [],
        ["get"],
        ["get", "pods", "--at", "1", "-w"],
        ["get", "pods", "--at", "1", "--verified-only"],
        ["get", "pods/"],
        ["get", "pods/x", "y"],
        ["get", "pods", "x", "-l", "a=b"],
        ["get", "pods", "x", "-A"],
        ["get", "pods", "-l", "a in ("],
        ["get", "pods", "--field-selector", "spec.nodename=x"],
        ["get", "secrets"],
        ["get", "P!"],
        ["get", "pods", "--stale"],
        ["up", "--for", "soon"],
        ["up", "--for", "0"],
        ["up", "--demo", "--in-cluster"],
        ["up", "--kinds", "secrets"],
        ["changes", "pods", "--since", "x"],
        ["diff", "pods", "x"],
    ],
)
def test_a_wrong_command_line_is_2_and_a_sentence(kept: KeptCluster, krm: Krm, arguments: List[str]) -> None:
    kept.kind("pods", {"default/x": pod()})
    done = krm(*arguments)
    assert (done.returncode, done.stdout) == (2, ""), done
    assert done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["get", "pods"], ["status"], ["changes", "pods"], ["diff", "pods", "1"]])
def test_without_a_redis_the_sentence_says_what_to_do(
    krm: Krm, arguments: List[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = krm(*arguments)
    assert (empty.returncode, empty.stdout) == (1, "")
    assert "holds no cluster" in empty.stderr
    gone = krm(*arguments, "--redis", "unix:///no/such.sock")
    assert (gone.returncode, gone.stdout) == (1, "")
    assert "cannot be reached" in gone.stderr
    monkeypatch.delenv("KRM_REDIS")
    done = krm(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert "krm up --demo" in done.stderr
    assert "--redis URL" in done.stderr


def test_a_kind_that_is_not_kept_is_named_with_those_that_are(kept: KeptCluster, krm: Krm) -> None:
    kept.kind("nodes")
    done = krm("get", "deploy")
    assert done.returncode == 1
    assert "deployments.apps" in done.stderr
    assert done.stderr == "krm: deployments.apps of paper are not kept here (kept: nodes)\n"


@pytest.mark.parametrize("word", ["deploy.apps", "deployment.apps", "deployments.v1.apps", "Deploy.apps"])
def test_a_kind_is_spelt_as_kubectl_spells_it(kept: KeptCluster, krm: Krm, word: str) -> None:
    kept.kind("deployments.apps", {"default/web": pod()})
    done = krm("get", word, "-o", "name")
    assert (done.returncode, done.stdout.splitlines()) == (0, ["deployment.apps/web"]), done


@pytest.mark.parametrize("word", ["pods,svc", "all"])
def test_several_kinds_at_once_are_refused_in_a_sentence(kept: KeptCluster, krm: Krm, word: str) -> None:
    kept.kind("pods")
    done = krm("get", word)
    assert done.returncode == 2
    assert "one kind at a time" in done.stderr


def test_the_cluster_of_another_krm_up_is_told(nowhere: Krm, environment: Dict[str, str]) -> None:
    announce("unix:///a.sock", "demo", "/logs", environment)
    done = nowhere("status", "--cluster", "nope")
    assert done.returncode == 1
    assert "the krm up of this machine keeps demo, not nope" in done.stderr


def test_the_headings_of_changes_stand_over_their_columns(kept: KeptCluster, krm: Krm) -> None:
    pods = kept.kind("pods")
    pods.publish(("default/web-5d8c7f9b6-abcde", pod()))
    lines = krm("changes", "pods", "--for", "100ms").stdout.splitlines()
    for heading in ("TYPE", "OBJECT", "RV", "PREVIOUS", "DELAY", "NOTE", "TOKEN"):
        place = lines[0].index(heading)
        assert lines[1][place - 1] == " ", lines
        assert lines[1][place] != " ", lines


def test_status_is_a_line_a_kind_and_check_is_for_scripts(kept: KeptCluster, krm: Krm) -> None:
    pods, nodes = kept.kind("pods", {"a/x": pod()}), kept.kind("nodes")
    text = krm("status").stdout.splitlines()
    assert text[0].split()[:4] == ["KIND", "STATE", "OBJECTS", "VERSION"]
    assert [line.split()[:3] for line in text[1:3]] == [["nodes", "live", "0"], ["pods", "live", "1"]]
    assert [line.split()[:2] for line in text[3:]] == [["measurements:", "absent:"]]
    assert krm("status", "--check").returncode == 0
    bad = ["BadName: x\x1b[2J", 12, "00ff", "a/evil", "", 1.0]
    pods.head(bad=[bad], drift={"ghost": 2})
    nodes.head(watch_error="Forbidden")
    done = krm("status", "--check")
    assert done.returncode == 3
    assert "nodes   forbidden" in done.stdout
    assert "nodes: krm may not watch this kind" in done.stdout
    assert "pods: bad object a/evil: BadName: x^[[2J (12 bytes)" in done.stdout
    assert "pods: repaired since it began: 2 ghost" in done.stdout
    assert krm("status").returncode == 0
    answer = json.loads(krm("status", "-o", "json").stdout)
    assert [kind["trust"]["state"] for kind in answer["kinds"]] == ["forbidden", "live"]
    assert answer["kinds"][1]["bad"][0]["key"] == "a/evil"


def test_status_tells_a_reason_once_for_the_kinds_that_share_it(kept: KeptCluster, krm: Krm) -> None:
    for kind in ("pods", "nodes", "services"):
        kept.kind(kind).head(watch_error="Forbidden")
    lines = krm("status").stdout.splitlines()[4:-1]
    assert lines == ["nodes, pods, services: krm may not watch this kind: grant it list and watch"]


def test_a_value_that_looks_like_an_option_is_told_how_to_be_written(kept: KeptCluster, krm: Krm) -> None:
    kept.kind("pods", {"default/x": pod()})
    done = krm("get", "pods", "-l", "-x")
    assert done.returncode == 2
    assert "a value that begins with - is written --option=-value" in done.stderr
    assert "Traceback" not in krm("get", "pods", "--selector=-x").stderr


def test_watching_status_survives_a_redis_that_does_not_answer(environment: Dict[str, str], tmp_path: Path) -> None:
    with redis_servers.one(tmp_path / "redis") as server:
        KeptCluster(server.url).kind("pods", {"a/x": pod()})
        process = subprocess.Popen(
            [sys.executable, "-m", "krm.cli.main", "status", "-w", "--redis", server.url],
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        try:
            assert process.stdout is not None
            # Nobody beats here: on a busy machine the first table comes when the kind is stale already.
            assert any(re.match(r"pods +(live|stale) ", line) for line in process.stdout)
            server.stop(hard=True)
            assert any(re.match(r"pods +unknown ", line) for line in process.stdout)
            assert process.stdout.readline().startswith("Redis has not answered for")
            assert process.poll() is None
        finally:
            process.kill()
            process.communicate()


def test_unknown_is_a_dash_never_0(kept: KeptCluster, krm: Krm) -> None:
    pods = kept.kind("pods")
    pods.link.call("DEL", pods.keys.head)
    line = krm("status").stdout.splitlines()[1].split()
    assert line == ["pods", "warming", "-", "-", "-", "never", "-", "-", "-"]
    assert json.loads(krm("status", "-o", "json").stdout)["kinds"][0]["objects"] is None


def test_the_doctor_says_what_to_do(kept: KeptCluster, krm: Krm, tmp_path: Path) -> None:
    kept.kind("pods", {"a/x": pod()}).stall()
    done = krm("doctor")
    assert done.returncode == 1
    assert re.search(r"^ok   redis version: \d", done.stdout, re.M)
    assert "ok   maxmemory-policy: noeviction" in done.stdout
    assert "ok   clock: this machine is" in done.stdout
    assert "maxmemory is not limited" in done.stdout
    assert "FAIL kind pods: stale" in done.stdout
    named = krm("doctor", "--kinds", "foo")
    assert "FAIL kind foo: not kept (kept: pods)" in named.stdout
    assert "kind pods" not in named.stdout
    assert "Traceback" not in done.stdout + done.stderr
    with redis_servers.one(
        tmp_path / "lru", "--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru"
    ) as evicting:
        done = krm("doctor", "--redis", evicting.url)
        assert done.returncode == 1
        assert "noeviction" in done.stdout
    with redis_servers.one(tmp_path / "small", "--maxmemory", "4mb") as small:
        KeptCluster(small.url).kind("pods", {"a/x": pod()})
        done = krm("doctor", "--redis", small.url)
        assert re.search(r"FAIL memory: .* of maxmemory 4 MiB\n +raise maxmemory", done.stdout)


def test_clocks_that_agree_differ_by_0_without_a_sign() -> None:
    assert [signed(skew) for skew in (-0.04, 0.04, -0.06, 2.0)] == ["0.0", "0.0", "-0.1", "+2.0"]


def test_only_the_kind_is_required_of_get(krm: Krm) -> None:
    assert krm("get").stderr.endswith("required: KIND\n")


def test_the_doctor_is_content_before_the_first_krm_up(nowhere: Krm, tmp_path: Path) -> None:
    with Simulator(World(seed=1)) as simulator:
        write_kubeconfig(tmp_path / "config", simulator.url)
        done = nowhere("doctor", "--kubeconfig", str(tmp_path / "config"), "--kinds", "pods,nodes")
    assert re.search(r"^ok   redis: krm up will start a private one \(redis-server found at ", done.stdout, re.M)
    assert "FAIL redis" not in done.stdout
    assert "ok   reachable" in done.stdout
    assert "services" not in done.stdout  # not asked for
    missing = nowhere("doctor", "--kubeconfig", "/no/such/file")
    assert missing.returncode == 1
    assert "FAIL kubeconfig: not found\n     no kubeconfig at /no/such/file" in missing.stdout
    assert nowhere("doctor", "--kinds", "P!").returncode == 2


def test_the_doctor_looks_at_what_the_krm_up_beside_it_keeps(
    kept: KeptCluster, krm: Krm, environment: Dict[str, str], tmp_path: Path
) -> None:
    kept.kind("nodes")
    logs = tmp_path / "logs"
    logs.mkdir()
    announce(kept.url, kept.name, str(logs), environment)
    leave_source(logs, Source(demo=True))
    done = krm("doctor")
    assert done.returncode == 0, done.stdout
    assert "ok   api server: not looked at: it is the simulator" in done.stdout
    with Simulator(World(seed=1)) as simulator:
        write_kubeconfig(tmp_path / "config", simulator.url)
        leave_source(logs, Source(kubeconfig=str(tmp_path / "config")))
        done = krm("doctor")
    assert f"ok   reachable: {simulator.url}" in done.stdout
    assert "nodes" in done.stdout
    assert "pods" not in done.stdout


def test_a_stage_replaces_the_process(nowhere: Krm) -> None:
    for stage, (module, _) in STAGES.items():
        done = nowhere(stage, "--help")
        assert done.returncode == 0
        assert f"krm {stage}" in done.stdout, module


def test_reading_costs_no_import_that_it_does_not_need(kept: KeptCluster, krm: Krm) -> None:
    """What krm.client brings along: redis, msgpack and the standard library's small modules."""
    heavy = (
        "kubernetes",
        "pandas",
        "polars",
        "yaml",
        "urllib3",
        "requests",
        "argparse",
        "http.client",
        "asyncio.run",
    )
    code = (
        "import redis.connection, sys; before = set(sys.modules); import krm.client.client;"
        f"print([m for m in {heavy!r} if m in sys.modules and m not in before])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    rooms = "print(sorted({m.split('.')[1] for m in sys.modules if m.startswith('krm.')}))"
    code = f"import sys, krm.cli.main, krm.cli.get, krm.cli.status, krm.cli.up; {rooms}"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == "['cli', 'client', 'model', 'store']\n"


# --- the local `krm up`


def test_the_running_krm_up_is_found_and_a_dead_one_is_not(environment: Dict[str, str]) -> None:
    path = announce("unix:///a.sock", "demo", "/logs", environment)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert locate(None, None, environment) == Place("unix:///a.sock", "demo")
    assert locate("redis://h", None, {**environment, "KRM_CLUSTER": "c"}) == Place("redis://h", "c")
    assert locate(None, None, {**environment, "KRM_REDIS": "redis://k"}) == Place("redis://k", None)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    other = path.with_name(f"up-{dead.pid}.json")
    other.write_text(json.dumps({"pid": dead.pid, "url": "unix:///b", "cluster": "old", "logs": ""}))
    (path.parent / "up-1x.json").write_text("[" * 10)
    assert [state["cluster"] for state in running_here(environment)] == ["demo"]
    assert not other.exists()


def test_two_krm_up_of_one_name_are_told_apart_by_their_redis(environment: Dict[str, str]) -> None:
    """As two demos are: no --cluster could choose between them."""
    path = announce("unix:///a.sock", "demo", "/logs", environment)
    other = {"pid": os.getppid(), "url": "unix:///b.sock", "cluster": "demo", "logs": ""}
    path.with_name(f"up-{os.getppid()}.json").write_text(json.dumps(other))
    for cluster in (None, "demo"):
        with pytest.raises(UnknownCluster, match=r"--redis or KRM_REDIS \(unix:///a\.sock, unix:///b\.sock\)"):
            locate(None, cluster, environment)


def test_before_its_stages_have_written_a_krm_up_is_warming_not_unknown(
    kept: KeptCluster, nowhere: Krm, environment: Dict[str, str]
) -> None:
    announce(kept.url, "prod", "/logs", environment, pipelines=[("pods", ""), ("nodes", "")])
    done = nowhere("get", "pods")
    told = "krm: pods are warming: no list of this kind was merged yet\n"
    assert (done.returncode, done.stdout, done.stderr) == (3, "", told)
    assert [line.split()[:2] for line in nowhere("status").stdout.splitlines()[1:3]] == [
        ["nodes", "warming"],
        ["pods", "warming"],
    ]
    done = nowhere("get", "services")
    assert (done.returncode, "services of prod are not kept here (kept: nodes, pods)" in done.stderr) == (1, True)


def test_whoever_follows_is_told_that_the_krm_up_has_ended(environment: Dict[str, str], tmp_path: Path) -> None:
    with redis_servers.one(tmp_path / "redis") as server:
        KeptCluster(server.url).kind("pods", {"a/x": pod()})
        left = announce(server.url, "paper", "/logs", environment, pipelines=[("pods", "")])
        command = [sys.executable, "-m", "krm.cli.main", "changes", "pods"]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("PUBLISHED")
            left.unlink()
            server.stop(hard=True)
            _, told = process.communicate(timeout=40)
        finally:
            process.kill()
            process.wait()
    assert told == "krm: the krm up of this machine has ended, and with it what it kept: start it again\n"
    assert process.returncode == 1


def test_a_state_folder_that_others_may_write_to_is_not_trusted(environment: Dict[str, str]) -> None:
    announce("unix:///a.sock", "demo", "/logs", environment)
    state_folder(environment).chmod(0o770)
    with pytest.raises(Nowhere):
        locate(None, None, environment)
    with pytest.raises(Nowhere, match="0700"):
        state_folder(environment)


# --- docs/cli.md


def test_the_docs_name_every_command_option_and_exit_code() -> None:
    text = (DOCS / "cli.md").read_text()
    sections = dict(re.findall(r"^## `krm ([a-z-]+)[^\n]*`\n(.*?)(?=^## |\Z)", text, re.M | re.S))
    assert set(sections) == {*COMMANDS, *STAGES}
    for name, command in parser().commands.items():
        real = {option for action in command._actions for option in action.option_strings} - {"-h", "--help"}
        told = set(
            re.findall(
                r"(?<![\w-])(--?[a-zA-Z][a-z-]*)", " ".join(re.findall(r"^\| (`.*?) \|", sections[name], re.M))
            )
        )
        assert told == real, name
    codes = re.findall(r"^\| (\d+) \|", text, re.M)
    assert [int(code) for code in codes] == [code for code, _ in EXIT_CODES]


def test_help_states_the_defaults(krm: Krm, nowhere: Krm) -> None:
    for name in COMMANDS:
        done = krm(name, "--help")
        assert done.returncode == 0
        if name not in ("version", "config", "completion", "restore"):
            assert "default: $KRM_REDIS" in re.sub(r"\s+", " ", done.stdout)
    top = nowhere("--help").stdout
    for code, meaning in EXIT_CODES:
        assert re.search(rf"^ +{code}  {re.escape(meaning)}$", top, re.M)
