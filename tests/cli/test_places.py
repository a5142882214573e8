"""`krm config`, its contexts, and completion: what a person types once, and then no more."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path
from typing import Callable, List, Optional

import pytest
from kept_cluster import KeptCluster, pod
from krm.client.client import connect
from krm.client.contexts import Context, Contexts, config_path, read, write
from krm.client.errors import Nowhere
from krm.server.tokenfile import TokenFile
from served_cluster import Served, quick

Krm = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "krm.json"
    monkeypatch.setenv("KRM_CONFIG", str(path))
    return path


def test_a_context_is_made_chosen_and_read_from(
    kept: KeptCluster, krm: Krm, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.kind("pods", {"default/web": pod()})
    monkeypatch.setenv("KRM_CONFIG", str(config))
    assert krm("config", "get-contexts").stdout.startswith("No contexts.")
    assert krm("config", "set-context", "here", "--url", kept.url).returncode == 0
    assert krm("config", "use-context", "here").stdout == "Switched to context here.\n"
    assert stat.S_IMODE(os.stat(config).st_mode) == 0o600
    monkeypatch.delenv("KRM_REDIS")
    assert krm("get", "pods", "-o", "name").stdout == "pod/web\n"
    assert krm("get", "pods", "-o", "name", "--context", "here").stdout == "pod/web\n"
    done = krm("get", "pods", "--context", "there")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no context 'there' (there are: here)" in done.stderr
    assert krm("config", "delete-context", "here").returncode == 0
    assert krm("config", "current-context").returncode == 2


def test_a_context_that_is_typed_is_never_passed_over(kept: KeptCluster, krm: Krm, config: Path) -> None:
    """An answer of another place than the one that was named would look just as good."""
    kept.kind("pods", {"default/web": pod()})
    krm("config", "set-context", "away", "--url", "redis://127.0.0.1:1")
    done = krm("get", "pods", "--context", "away")  # KRM_REDIS is set, and is no word of the command line
    assert (done.returncode, done.stdout) == (1, "")
    assert "redis://127.0.0.1:1" in done.stderr
    done = krm("get", "pods", "--context", "away", "--url", kept.url)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--context names a place to read from, and so does --url" in done.stderr
    kubeconfig = config.with_name("kubeconfig")
    kubeconfig.write_text('{"contexts": [{"name": "krm-a", "context": {}}], "current-context": "krm-a"}')
    done = krm("get", "pods", "--context", "krm-b", "--kubeconfig", str(kubeconfig))
    assert (done.returncode, done.stdout) == (2, "")
    assert "has no context called 'krm-b' (there are: krm-a)" in done.stderr


def test_what_is_not_given_stays_as_it_was(krm: Krm, config: Path) -> None:
    krm("config", "set-context", "a", "--url", "redis://h", "--token-file", "/t")
    krm("config", "set-context", "a", "--cluster", "prod")
    assert read(config).contexts["a"] == Context("redis://h", "prod", token_file="/t")
    assert krm("config", "set-context", "b").returncode == 2


def test_a_context_that_could_never_be_read_from_is_refused_when_it_is_made(krm: Krm, config: Path) -> None:
    done = krm("config", "set-context", "a", "--url", "foo")
    assert (done.returncode, done.stdout) == (2, "")
    assert "foo: unknown scheme" in done.stderr
    assert not config.exists()


def test_a_context_finds_its_files_from_every_folder(
    krm: Krm, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(config.parent)
    krm("config", "set-context", "a", "--url", "https://h", "--token-file", "token", "--ca", "ca")
    folder = config.parent
    assert read(config).contexts["a"] == Context(
        "https://h", ca=str(folder / "ca"), token_file=str(folder / "token")
    )


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"contexts": {"a": {"url": 1}}}', '{"contexts": {"a": {"no": "x"}}}', ""]
)
def test_a_file_that_is_none_of_ours_is_refused_with_its_name(config: Path, content: str) -> None:
    config.write_text(content)
    with pytest.raises(Nowhere, match=r"krm\.json"):
        read(config)


def test_a_fifo_as_configuration_is_not_waited_for(config: Path) -> None:
    os.mkfifo(config)
    with pytest.raises(Nowhere, match="regular file"):
        read(config)


def test_no_file_is_no_context_and_the_path_follows_the_environment(tmp_path: Path) -> None:
    assert config_path({"HOME": "/h"}) == Path("/h/.config/krm/config.json")
    assert config_path({"XDG_CONFIG_HOME": "/x", "HOME": "/h"}) == Path("/x/krm/config.json")
    path = tmp_path / "deep" / "config.json"
    assert read(path) == Contexts("", {})
    write(path, Contexts("a", {"a": Context("redis://h")}))
    assert read(path) == Contexts("a", {"a": Context("redis://h")})


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        (["expl"], ["explain-trust\tSay why an answer about a kind can, or cannot, be trusted now.", ":4"]),
        (["get", "po"], ["pods", ":4"]),
        (["get", "pods", ""], ["web-0", "web-1", ":4"]),
        (["get", "po", "-n", "default", "web-1"], ["web-1", ":4"]),
        (["describe", "pods", "-n", "other", "w"], [":4"]),
        (["get", "--sel"], ["--selector\tlabel selector, e.g. app=web,tier!=db", ":4"]),
        (["get", "pods", "-l", ""], [":0"]),
        (["config", "use"], ["use-context", ":4"]),
        (["completion", ""], ["bash", "zsh", "fish", ":4"]),
        (["get", "pods", "-o", ""], ["wide", "json", "yaml", "name", "jsonpath=", "custom-columns=", ":4"]),
        (["status", "-o", ""], ["json", ":4"]),
        (["get", "pods", "--context", ""], ["here", "there", ":4"]),
        (["get", "pods", "--kubeconfig", "KUBECONFIG", "--context", "m"], ["mine", ":4"]),
        (["up", "--kubeconfig", "KUBECONFIG", "--context", ""], ["mine", "everything", ":4"]),
        (["status", ""], [":4"]),
        (["streamer", ""], [":0"]),
        (["nonsense", ""], [":0"]),
    ],
)
def test_completion_says_what_may_come_next(
    kept: KeptCluster, krm: Krm, config: Path, tmp_path: Path, typed: List[str], shown: List[str]
) -> None:
    kept.kind("pods", {"default/web-0": pod(), "default/web-1": pod()})
    write(config, Contexts("", {"here": Context(kept.url), "there": Context(kept.url)}))
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(tenants_kubeconfig("http://127.0.0.1:1"))
    done = krm("__complete", *[str(kubeconfig) if word == "KUBECONFIG" else word for word in typed])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == shown


def test_completion_without_a_redis_shows_nothing_and_does_not_fail(nowhere: Krm) -> None:
    done = nowhere("__complete", "get", "p")
    assert (done.returncode, done.stdout, done.stderr) == (0, ":4\n", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_reads_its_script(krm: Krm, shell: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(krm("completion", shell).stdout)
    try:
        checked = subprocess.run(
            [shell, "-n", str(script)], capture_output=True, text=True, timeout=20, check=False
        )
    except FileNotFoundError:
        pytest.skip(f"no {shell} here: apt-get install {shell}")
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), ("x" * 70_000, "at most"), ("\xe9", "cannot be read")],
    ids=["absent", "too large", "no ASCII"],
)
def test_a_token_file_that_holds_none_is_refused_without_showing_it(
    krm: Krm, tmp_path: Path, content: Optional[str], said: str
) -> None:
    token = tmp_path / "token"
    if content is not None:
        token.write_bytes(content.encode("latin-1"))
    done = krm("get", "pods", "--url", "https://127.0.0.1:1", "--token-file", str(token))
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "xxxx" not in done.stderr


def test_a_token_without_a_server_is_a_wrong_command_line(krm: Krm) -> None:
    assert krm("get", "pods", "--ca", "/x").returncode == 2


def tenants_kubeconfig(url: str) -> str:
    """Its current context names the tenant's namespace, the other none."""
    contexts = {"mine": {"namespace": "a"}, "everything": {}}
    return json.dumps(
        {
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [{"name": "u", "user": {"token": "one-0123456789abcdef"}}],
            "contexts": [
                {"name": name, "context": {"cluster": "c", "user": "u", **more}} for name, more in contexts.items()
            ],
            "current-context": "mine",
        }
    )


def test_whoever_may_read_one_namespace_reads_it_with_every_command(
    kept: KeptCluster, krm: Krm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    rights, token = tmp_path / "rights.csv", tmp_path / "token"
    rights.write_text("one-0123456789abcdef,tenant,2,,a/*\n")
    rights.chmod(0o600)
    token.write_text("one-0123456789abcdef\n")
    pods = kept.kind("pods", {"a/x": pod(), "b/y": pod()})
    with connect(kept.url, kept.name) as client:
        start = client.snapshot("pods").token
    pods.publish(("a/x", pod(node="n2")))
    with Served(kept.url, [kept.name], {kept.name: TokenFile(str(rights))}) as served:
        served.settle(kept)
        where = ("--url", served.url, "--token-file", str(token))
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(tenants_kubeconfig(served.url))
        for words in (
            ("get", "pods"),
            ("describe", "pods", "x"),
            ("changes", "pods", "--since", start, "--for", "200ms"),
            ("diff", "pods", start),
            ("explain-trust", "pods"),
        ):
            done = krm(*words, "-n", "a", *where)
            assert (done.returncode, done.stderr) == (0, ""), words
            # What lists repaired elsewhere is unknown, and not nothing.
            assert ("repair so far is unknown" if words[0] == "explain-trust" else "x") in done.stdout
            assert "It holds" not in done.stdout  # how many there are in all
            told = krm(*words, "--kubeconfig", str(kubeconfig))  # whose context names the namespace
            assert (told.returncode, told.stderr) == (0, ""), words
            assert told.stdout.splitlines()[-1][:10] == done.stdout.splitlines()[-1][:10]
            elsewhere = krm(*words, "--kubeconfig", str(kubeconfig), "--context", "everything")
            assert (elsewhere.returncode, "answered 403" in elsewhere.stderr) == (1, True), words
            if words[0] != "describe":
                whole = krm(*words, "-A", "--kubeconfig", str(kubeconfig))
                assert (whole.returncode, "answered 403" in whole.stderr) == (1, True), words
            refused = krm(*words, "-n", "b", *where)
            assert (refused.returncode, "answered 403" in refused.stderr) == (1, True), words
