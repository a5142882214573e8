"""The examples of docs/client.md run as they stand."""

from __future__ import annotations

import re
import ssl
import threading
from pathlib import Path
from typing import Any, Dict, List

import pytest
from authorities import Authority
from kept_cluster import KeptCluster, pod, wait_until
from krm.cli.kubeconfig_out import Entry, text
from krm.client import connect, errors
from server_process import running, tell_facts

_PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "client.md"
_SECTIONS = [text.partition("\n")[::2] for text in _PAGE.read_text(encoding="utf-8").split("\n## ")[1:]]
_EXAMPLE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXAMPLES = {title: _EXAMPLE.findall(text) for title, text in _SECTIONS}


@pytest.mark.parametrize("title", ["Read", "Watch", "The past"])
def test_an_example_runs_as_it_stands(
    kept: KeptCluster, title: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pods = kept.kind("pods", {"a/x": pod(app="web")})
    for _ in range(3):
        token = pods.publish(("a/x", pod(app="web")))
    pods.writer.trim(None, int(token.rpartition(":")[2]))  # the past is shorter than the changes, as it often is
    monkeypatch.setenv("KRM_REDIS", kept.url)
    monkeypatch.delenv("KRM_CLUSTER", raising=False)
    code = EXAMPLES[title][0].replace("timeout=5", "timeout=0.2")
    exec(compile(code, f"client.md, {title}", "exec"), {})
    assert "a x" in capsys.readouterr().out.replace("/", " ") or title == "Watch"


def test_the_original_systems_client_runs_as_it_stands(
    kept: KeptCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("kubernetes")
    kept.kind("pods", {"a/x": pod(app="web")})
    tell_facts(kept)
    authority, token, rights = Authority(tmp_path, "authority"), "all-0123456789abcdef", tmp_path / "rights.csv"
    rights.write_text(f"{token},admin,1,,*/*\n")
    rights.chmod(0o600)
    pair = authority.server()
    tls = ("--tls-cert", str(pair.cert), "--tls-key", str(pair.key))
    with running(kept, *tls, "--auth", "token-file", "--token-file", str(rights)) as server:
        server.ready(ssl.create_default_context(cadata=authority.pem.decode()))
        monkeypatch.chdir(tmp_path)
        Path("krm.kubeconfig").write_text(text([Entry(kept.name, server.url, token)], authority.pem))
        exec(
            compile(EXAMPLES["KRMClient"][0].replace("8443", str(server.port)), "client.md, KRMClient", "exec"), {}
        )
    assert capsys.readouterr().out.splitlines()[0] == "x node-1"


def test_a_watch_is_resumed_over_a_servers_restart_without_skipping_or_repeating(kept: KeptCluster) -> None:
    pods = kept.kind("pods", {"a/x": pod()})
    tell_facts(kept)
    names: Dict[str, Any] = {}
    exec(compile(EXAMPLES["Watch"][1], "client.md, Watch", "exec"), names)
    seen: List[str] = []
    ended: List[BaseException] = []

    def read(url: str, token: str) -> None:
        try:
            with connect(url) as client:
                for change in names["follow"](client, "pods", token):
                    seen.append(change.object.name)
                    if change.object.name == "last":
                        return
        except BaseException as error:  # noqa: BLE001 - the test tells it
            ended.append(error)

    with running(kept) as first:
        first.ready()
        with connect(first.url) as client:
            token = client.snapshot("pods").token
        reader = threading.Thread(target=read, args=(first.url, token), daemon=True)
        reader.start()
        pods.publish(("a/before", pod()))
        wait_until(lambda: seen == ["before"], 20)
    pods.publish(("a/meanwhile", pod()), ("a/beside", pod()))
    with pytest.raises(errors.Unreachable):
        connect(first.url)
    with running(kept, "--port", str(first.port)) as second:
        second.ready()
        wait_until(lambda: "beside" in seen or bool(ended), 20)
        pods.publish(("a/last", pod()))
        reader.join(20)
    assert ended == []
    assert seen == ["before", "meanwhile", "beside", "last"]
