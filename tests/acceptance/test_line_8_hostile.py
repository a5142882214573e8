"""Line 8: hostile input end to end. The bad object is listed by `krm status`, the rest of its kind goes on, live;
a canary in environment values is in no command that ever reached Redis, no log and no answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple

import msgpack
import pytest
import redis
import redis_servers
from acceptance.apitruth import LAST_APPLIED, PLACEHOLDER
from acceptance.product import Product, product
from acceptance.simulated import Simulated

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
KINDS = ("pods", "nodes", "deployments.apps", "widgets.example.com")
# In no place where krm could learn it but a value of an environment variable, and bytes that do not parse.
CANARY = "canary-5e7a0d21b9"
# Beside it, to show that a search of Redis finds what is there.
MARKER = "marker-91c27ff03d"

Body = bytes


def pod(name: str, more: str = "", metadata: str = "", rv: str = "@RV@", spec: str = '"containers":[]') -> Body:
    head = f'"name":"{name}","namespace":"default","uid":"uid-{name}","resourceVersion":"{rv}"{metadata}'
    return f'{{"kind":"Pod","apiVersion":"v1","metadata":{{{head}}},"spec":{{{spec}}}{more}}}'.encode()


# What cannot be kept. Each holds the canary where a careless message would quote it.
SECRET = f',"status":{{"message":"{CANARY}"}}'
REFUSED: Dict[str, Body] = {
    "rv-zero": pod("rv-zero", SECRET, rv="0"),
    "rv-none": pod("rv-none", SECRET).replace(b'"@RV@"', b"null"),
    "nested-100k": pod("nested-100k", SECRET + ',"x":' + "[" * 100_000 + "]" * 100_000),
    "integer-5000": pod("integer-5000", SECRET + ',"x":' + "7" * 5000),
    "nan": pod("nan", SECRET + ',"x":NaN'),
    "infinity": pod("infinity", SECRET + ',"x":-Infinity'),
    "lone-surrogate": pod("lone-surrogate", SECRET + ',"x":"\\ud800"'),
    "no-utf8": pod("no-utf8", SECRET + ',"x":"@"').replace(b'"@"', b'"\xff\xfe"'),
    "nul": pod("nul", SECRET + ',"x":"\x00"'),
}
# What is kept as it is, and must do no harm where it is shown.
HARMLESS: Dict[str, Body] = {
    "duplicate-keys": pod("duplicate-keys", ',"status":{"phase":"Running","phase":"Failed"}'),
    "bidi": pod("bidi", metadata=',"labels":{"x":"\u202eevil\u202c"}'),
    "script": pod("script", metadata=',"annotations":{"x":"<script>alert(1)</script>"}'),
    "ansi": pod("ansi", more=',"status":{"phase":"\\u001b[2JRun"}'),
    "csv": pod("csv", metadata=',"labels":{"x":"=cmd()"}'),
    "newline": pod("newline", more=',"status":{"reason":"a\\n2026-01-01 aggregator ERROR forged"}'),
    "quantities": pod(
        "quantities",
        spec='"containers":[{"name":"c","resources":{"requests":{"cpu":"1e400","memory":"-5Mi","a":"0.1n","b":"\uff11","c":"%s"}}}]'
        % ("9" * 1_000_000),
    ),
}  # fmt: skip


class World(NamedTuple):
    krm: Product
    simulator: Simulated


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A small cluster with churn, and a Redis that writes down every command that it was sent."""
    folder = tmp_path_factory.mktemp("hostile")
    every = ("--save", "", "--appendonly", "yes", "--auto-aof-rewrite-percentage", "0")
    with redis_servers.one(folder / "redis", *every) as server, product(folder, server) as krm:
        simulator = Simulated(krm, "--pods", "20", "--churn", "10", "--keep-events", "0")
        simulator.ask("POST", "/simulator/kinds", {"add": "widgets.example.com"})
        where = ("--kubeconfig", str(simulator.kubeconfig))
        krm.stage("aggregator", KINDS)
        krm.stage("verifier", KINDS, *where, "--verify-every", "2s", "--probe-every", "2s")
        krm.stage("streamer", KINDS, *where)
        for kind in KINDS:
            krm.wait_state(kind, "live")
        yield World(krm, simulator)


def listed(krm: Product) -> List[str]:
    """What `krm status` says of bad pods, a line each."""
    lines = krm.krm("status").stdout.splitlines()
    return [line for line in lines if line.startswith("pods: bad object ")]


def goes_on(krm: Product) -> None:
    """The kind is live, verified, and follows the churn."""
    krm.wait_state("pods", "live", 80.0)  # the streamer backs off up to 30 s after many breaks
    before = krm.status()["pods"]["trust"]

    def on() -> bool:
        trust = krm.status()["pods"]["trust"]
        return bool(trust["version"] > before["version"] and trust["verified_at"] > before["verified_at"])

    krm.wait("versions and verifications go on", on, 20.0)


def test_bad_objects_are_listed_and_the_rest_of_their_kind_goes_on(world: World) -> None:
    krm, simulator = world
    others = set(krm.objects("nodes"))
    for name, body in REFUSED.items():
        simulator.inject("pods", f"default/{name}", body)
    told = {
        "default/rv-zero: MalformedVersion", "default/rv-none: NotText", "without a readable name: TooDeep",
        "without a readable name: LongNumber", "without a readable name: NotJson",
        "without a readable name: NotUtf8",
    }  # fmt: skip

    def all_told() -> bool:
        lines = "\n".join(listed(krm))
        return all(f"pods: bad object {one}" in lines for one in told)

    krm.wait("each is listed, of those without a name one an error", all_told, 60.0)
    goes_on(krm)
    drift = krm.status()["pods"]["trust"]["drift"]
    goes_on(krm)
    assert krm.status()["pods"]["trust"]["drift"] == drift, "what cannot be read is missed by every list"
    assert not {f"default/{name}" for name in REFUSED} & set(krm.objects("pods"))
    assert set(krm.objects("nodes")) == others
    for name in REFUSED:
        simulator.delete("pods", f"default/{name}")
    goes_on(krm)


@pytest.mark.parametrize("rv", ["-1", "00@RV@", "9" * 60])
def test_a_version_that_is_no_number_is_that_objects_trouble_alone(rv: str, world: World) -> None:
    krm, simulator = world
    name = f"version-{len(rv)}"
    simulator.inject("pods", f"default/{name}", pod(name, rv=rv))
    try:
        krm.wait("it is listed", lambda: f"bad object default/{name}: " in "".join(listed(krm)), 60.0)
    finally:
        simulator.delete("pods", f"default/{name}")


def test_strange_but_whole_objects_are_kept_as_they_are_and_shown_harmlessly(world: World) -> None:
    krm, simulator = world
    for name, body in HARMLESS.items():
        simulator.inject("pods", f"default/{name}", body)
    wanted = {f"default/{name}" for name in HARMLESS}
    krm.wait("all are kept", lambda: wanted <= set(krm.objects("pods")), 40.0)
    for form in ("", "wide", "yaml", "json", "name", "custom-columns=N:.metadata.name,P:.status.phase"):
        shown = krm.krm("get", "pods", "-A", *(["-o", form] if form else []))
        assert shown.returncode == 0, shown.stderr
        assert "\x1b" not in shown.stdout + shown.stderr
    told = krm.krm("changes", "pods", "--for", "1s")
    assert told.returncode == 0, told.stderr
    assert "\x1b" not in told.stdout
    goes_on(krm)
    assert "forged" not in "".join(path.read_text() for path in krm.folder.glob("*.log"))
    for name in HARMLESS:
        simulator.delete("pods", f"default/{name}")


BOMBS: Dict[str, bytes] = {
    "depth": b"\x91" * 200_000 + b"\xc0",
    "length lie": b"\xdd\xff\xff\xff\xff",
    "ext type": b"\xc7\x01\x05\x00",
    "trailing": msgpack.packb([1, 2]) + b"\x00",
    "no message": msgpack.packb({"a": 1}),
    "empty": b"",
}


def test_msgpack_bombs_in_the_streams_are_skipped_and_merging_goes_on(world: World) -> None:
    krm, _ = world
    assert krm.redis is not None
    with redis.Redis(unix_socket_path=krm.redis.socket) as link:
        for stream in ("events", "lists"):
            key = f"krm:{{{krm.cluster}/pods}}:{stream}"
            (_, fields), *_ = link.xrevrange(key, count=1)
            for bomb in BOMBS.values():
                link.xadd(key, dict.fromkeys(fields, bomb))
    krm.wait("each was skipped", lambda: krm.log("aggregator").count(" is skipped: ") >= 2 * len(BOMBS), 10.0)
    goes_on(krm)
    assert krm.children["aggregator"].poll() is None


def test_a_canary_in_environment_values_is_in_no_command_to_redis_no_log_and_no_answer(world: World) -> None:
    krm, simulator = world
    env = [
        {"name": "PASSWORD", "value": CANARY},
        {"name": "ID", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    ]
    spec = {
        "containers": [{"name": "main", "image": "x", "env": env}],
        "initContainers": [{"name": "first", "image": "x", "env": env}],
        "ephemeralContainers": [{"name": "debug", "image": "x", "env": env}],
    }
    applied = {LAST_APPLIED: json.dumps({"spec": spec}), "example.com/kept": MARKER}

    def metadata(name: str) -> Dict[str, Any]:
        return {"name": name, "namespace": "default", "annotations": applied, "labels": {"app": name}}

    template = {"metadata": {"labels": {"app": "a-deployment"}}, "spec": spec}
    selector = {"matchLabels": {"app": "a-deployment"}}
    bodies = {
        "pods": ("/api/v1/namespaces/default/pods", {"spec": spec}),
        "deployments.apps": (
            "/apis/apps/v1/namespaces/default/deployments",
            {"spec": {"replicas": 0, "selector": selector, "template": template}},
        ),
        "widgets.example.com": (
            "/apis/example.com/v1/namespaces/default/widgets",
            {"spec": {"jobs": [{"deep": {"template": {"spec": spec}}}], "env": env}},
        ),
    }
    for kind, (path, body) in bodies.items():
        simulator.ask("POST", path, {"metadata": metadata("a-secret"), **body})
        krm.wait(f"{kind} are read", lambda kind=kind: "default/a-secret" in krm.objects(kind), 15.0)
    # In another spelling of the key, and in a line that does not parse at all.
    spelled = pod("spelled", spec='"containers":[{"name":"c","\\u0065nv":[{"name":"A","value":"%s"}]}]' % CANARY)
    simulator.inject("pods", "default/spelled", spelled)
    krm.wait("the other spelling is read", lambda: "default/spelled" in krm.objects("pods"), 15.0)
    simulator.inject("pods", "default/broken", pod("broken", f',"x":NaN,"spec":{{"env":"{CANARY}"}}'))
    krm.wait("the broken one is listed", lambda: listed(krm), 15.0)
    simulator.delete("pods", "default/broken")
    goes_on(krm)  # and with it every list and repair that follows
    answers = [
        krm.krm("get", kind, "-A", "-o", form).stdout for kind in bodies for form in ("json", "yaml", "wide")
    ]
    answers += [krm.krm("status").stdout, krm.krm("status", "-o", "json").stdout]
    answers += [krm.krm("changes", kind, "--for", "1s", "-o", "json").stdout for kind in bodies]
    answers += [krm.krm("doctor", "--kubeconfig", str(simulator.kubeconfig)).stdout]
    assert krm.redis is not None
    written = b"".join(path.read_bytes() for path in krm.redis.folder.rglob("*.aof"))
    everywhere = "".join(answers) + "".join(path.read_text(errors="replace") for path in krm.folder.glob("*.log"))
    assert MARKER.encode() in written, "the search finds nothing at all"
    assert MARKER in everywhere
    assert PLACEHOLDER.encode() in written
    assert CANARY.encode() not in written
    assert CANARY not in everywhere


# Numbers 19 and 20: what a person gives -------------------------------------------------------------

BOMB = "a0: &a0 [x,x]\n" + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))
CONFIGS: Dict[str, str] = {
    "bomb": BOMB + "current-context: x\ncontexts: *a9\nclusters: *a9\nusers: *a9\n",
    "python": 'current-context: x\ncontexts: !!python/object/apply:os.system ["touch pwned"]\n',
    "plugin": "current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
    "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\n"
    "users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: /no/such/plugin,"
    " interactiveMode: Never}}}]\n",
    "secret": "current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
    "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\nusers: [{name: u, user: {tokenFile: fifo}}]\n",
}


@pytest.mark.parametrize("name", [*sorted(CONFIGS), "fifo"])
def test_a_hostile_kubeconfig_is_refused_in_a_sentence(name: str, world: World, tmp_path: Path) -> None:
    krm, _ = world
    assert krm.redis is not None
    os.mkfifo(tmp_path / "fifo")
    if name != "fifo":
        (tmp_path / name).write_text(CONFIGS[name])
    stage = [sys.executable, "-m", "krm.streamer", "pods", "--redis", krm.redis.url]
    done = subprocess.run(
        [*stage, "--kubeconfig", str(tmp_path / name)],
        capture_output=True, encoding="utf-8", timeout=30, env=krm.environment, cwd=str(tmp_path),
    )  # fmt: skip
    assert done.returncode not in (0, -9)
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("krm streamer: ")
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    "url", ["redis://h\r\nFLUSHALL", "unix:///tmp/a\nb", "redis://127.0.0.1:1/0\r\n", "ftp://x"]
)
def test_a_hostile_redis_url_is_refused_before_anything_is_sent(url: str, world: World) -> None:
    done = world.krm.krm("get", "pods", "--redis", url)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("krm: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["--", "-rf", "$(id)", "../../etc", "a\nb", "\x1b[2J", "%s%n", "x" * 5000])
def test_a_hostile_name_is_only_a_name(name: str, world: World) -> None:
    done = world.krm.krm("get", "pods", "-n", "default", "--", name)
    assert done.returncode in (0, 1, 2, 3)  # 3: the watch may still be backing off
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr
    assert "uid=" not in done.stderr + done.stdout
