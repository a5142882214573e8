"""A client of a server: how it is reached, what a tenant gets, and what it never takes or tells."""

from __future__ import annotations

import asyncio
import base64
import http.server
import json
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
from authorities import Authority
from kept_cluster import KeptCluster, pod, wait_until
from krm.cli.kubeconfig_out import Entry, text
from krm.client import errors, wire
from krm.client.client import Client, connect
from krm.client.remote import _data
from krm.client.source import TableRow
from krm.model.cells import Column
from krm.model.head import Head
from krm.model.records import Envelope, object_digest
from krm.server.tokenfile import TokenFile
from served_cluster import Served, quick
from server_process import running

ALL, ONE = "all-0123456789abcdef", "one-0123456789abcdef"


@pytest.fixture
def rights(tmp_path: Path) -> Path:
    path = tmp_path / "rights.csv"
    path.write_text(f"{ALL},admin,1,,*/*\n{ONE},tenant,2,,a/*\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def served(kept: KeptCluster, rights: Path, monkeypatch: Any) -> Iterator[Served]:
    quick(monkeypatch)
    kept.kind("pods", {"a/x": pod(app="web"), "b/y": pod()})
    gates = {name: TokenFile(str(rights)) for name in (kept.name, "other")}
    with Served(kept.url, [kept.name, "other"], gates) as running_:
        running_.settle(kept)
        yield running_


def test_over_tls_by_url_and_by_kubeconfig(kept: KeptCluster, rights: Path, tmp_path: Path) -> None:
    kept.kind("pods", {"a/x": pod()})
    authority = Authority(tmp_path, "ca")
    pair = authority.server()
    config: Dict[str, Any] = {"clusters": [], "contexts": [], "users": [], "current-context": "krm"}
    config["contexts"] = [{"name": "krm", "context": {"cluster": "c", "user": "u"}}]
    config["users"] = [{"name": "u", "user": {"token": ALL}}]
    tls = ("--tls-cert", str(pair.cert), "--tls-key", str(pair.key))
    with running(kept, *tls, "--auth", "token-file", "--token-file", str(rights)) as server:
        with connect(server.url, ca=str(authority.file), token=ALL) as client:
            wait_until(lambda: client.kinds() == ["pods"])
            wait_until(lambda: client.trust("pods").state == "live")
            assert client.cluster == kept.name
            assert client.snapshot("pods").keys() == ["a/x"]
        row = {"server": server.url, "certificate-authority-data": base64.b64encode(authority.pem).decode()}
        config["clusters"] = [{"name": "c", "cluster": row}]
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(config))
        with connect(kubeconfig=str(path)) as client:
            assert client.get("pods", "x", "a").name == "x"  # type: ignore[union-attr]
        with pytest.raises(errors.Unreachable, match="no trusted TLS connection"):
            connect(server.url, token=ALL)  # the system's authorities do not know it
        with pytest.raises(errors.BadRequest, match="names the server"):
            connect(server.url, kubeconfig=str(path))
        config["users"] = [{"name": "u", "user": {"exec": {"command": "touch"}}}]
        path.write_text(json.dumps(config))
        with pytest.raises(errors.BadRequest, match="runs no exec"):
            connect(kubeconfig=str(path))


def test_a_kubeconfig_that_krm_wrote_is_read_without_pyyaml_by_the_context_that_is_named(
    kept: KeptCluster, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    path = tmp_path / "kubeconfig"
    urls = {kept.name: served.url, "other": f"{served.url}/clusters/other"}
    entries = [Entry(name, url, ALL) for name, url in urls.items()]
    path.write_text(text(entries, Authority(tmp_path, "ca").pem))
    assert connect(kubeconfig=str(path)).cluster == kept.name
    assert connect(kubeconfig=str(path), context="krm-other").cluster == "other"
    with pytest.raises(
        errors.BadRequest, match=f"no context called 'other' .there are: krm-{kept.name}, krm-other."
    ):
        connect(kubeconfig=str(path), context="other")
    with pytest.raises(errors.BadRequest, match="a context is one of a kubeconfig"):
        connect(served.url, token=ALL, context="krm-other")
    with pytest.raises(errors.BadRequest, match="context are for a krm server"):
        connect(kept.url, context="krm-other")


def test_a_token_that_is_refused_is_in_no_error(served: Served) -> None:
    with pytest.raises(errors.Refused) as raised:
        connect(served.url, token="secret-0123456789abcdef")
    assert "secret" not in repr(raised.value)
    assert "secret" not in str(raised.value.__context__)


def test_the_cluster_is_the_servers_first_or_the_one_that_is_named(kept: KeptCluster, served: Served) -> None:
    assert connect(served.url, token=ALL).cluster == kept.name
    assert connect(served.url, "other", token=ALL).cluster == "other"
    assert connect(f"{served.url}/clusters/other", token=ALL).cluster == "other"
    assert connect(served.url, token=ALL).directory.clusters() == ["other", kept.name]
    for named in ("none", "a/b"):
        with pytest.raises(errors.UnknownCluster):
            connect(served.url, named, token=ALL)
    with pytest.raises(errors.UnknownCluster):
        connect(f"{served.url}/clusters/other", kept.name, token=ALL)


def test_a_tenant_reads_its_namespace_with_every_method_and_nothing_else(kept: KeptCluster, served: Served) -> None:
    client = connect(served.url, token=ONE)
    pods = kept.kinds[0]
    start = client.snapshot("pods", "a")
    assert start.keys() == ["a/x"]
    changes = client.watch("pods", start.token, namespace="a", timeout=20)
    pods.publish(("b/other", pod()), ("a/z", pod()))
    assert next(changes).object.key == "a/z"
    served.settle(kept)
    assert [one.object.key for one in client.changes("pods", start.token, "a")] == ["a/z"]
    assert client.at("pods", start.token, "a").keys() == ["a/x"]
    assert [one.key for one in client.diff("pods", start.token, namespace="a")] == ["a/z"]
    assert client.get("pods", "x", "a") is not None
    assert client.oldest("pods", "a")
    assert client.status() == []
    (told,) = client.status("pods", "a")
    assert (told.trust.drift, told.trust.upstream_drift, told.objects) == (None, None, None)
    refused: List[Any] = [
        lambda: client.snapshot("pods"),
        lambda: client.snapshot("pods", "b"),
        lambda: client.get("pods", "y", "b"),
        lambda: client.get("pods", "none", "b"),
        lambda: client.watch("pods"),
        lambda: client.changes("pods"),
        lambda: client.at("pods", start.token),
        lambda: client.diff("pods", start.token),
        lambda: client.trust("pods"),
    ]
    for read in refused:
        with pytest.raises(errors.Refused):
            read()


def test_a_place_means_the_same_to_redis_and_to_a_server(kept: KeptCluster, served: Served) -> None:
    pods = kept.kinds[0]
    ways = [connect(kept.url, kept.name), connect(served.url, token=ALL)]
    start = ways[0].snapshot("pods").token
    for number in range(6):
        pods.publish((f"a/p{number}", pod()), (f"b/q{number}", pod()))
    served.settle(kept)
    whole = [one.object.key for one in ways[0].changes("pods", start)]
    place, seen = start, []
    for turn in range(len(whole)):  # one change from each in turn, mostly within a version
        change = next(ways[turn % 2].watch("pods", place, timeout=20))
        place = change.token
        seen.append(change.object.key)
    assert seen == whole


def test_no_byte_of_an_answer_can_change_unseen() -> None:
    """Rot, a proxy that rewrites, a server that is none: an object is what its digest says, or is not served."""
    number = random.randrange(2**32)
    print(f"seed {number}")
    source = random.Random(number)
    body = b'{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x","namespace":"a","labels":{"object":"{}"}}}'
    held = Envelope("7", "u", object_digest(body), 1.0, b'{"object":"{}"}', ("x",), body)
    head = Head(incarnation="n", version=3, rv="9", verified_rv="8")
    facts = {"token": "n:3", "now": 5.0, "head": wire.shown_head(head, True), "damaged": [], "lines": 2}
    lines = [wire.object_line(f"a/{name}", held, "8") for name in "xy"]
    answer = wire.first_line(facts) + b"".join(lines)
    data = _data(wire.read(answer))
    assert data is not None
    assert data.objects["a/x"].body == body
    for _ in range(3000):
        broken = bytearray(answer)
        place = source.randrange(len(broken))
        if source.random() < 0.3:
            del broken[place : place + source.randrange(1, 40)]
        else:
            broken[place] = source.randrange(256)
        try:
            found = _data(wire.read(bytes(broken)))
        except errors.Damaged:
            continue
        for one in (found.objects if found else {}).values():
            assert one.body == body


def test_rows_that_are_not_what_they_say_are_refused() -> None:
    rows = b"".join(
        [wire.row_line(f"a/{name}", b'{"cells":["%s",1],"object":null}' % name.encode()) for name in "xy"]
    )
    columns = [Column("Name"), Column("Restarts", priority=1)]
    facts = {**wire.row_facts(columns, rows), "lines": 2}
    sound = wire.first_line(facts) + rows
    assert wire.read_rows(sound)[1:] == (tuple(columns), [TableRow("a/x", ["x", 1]), TableRow("a/y", ["y", 1])])
    lost = wire.first_line({**facts, "lines": 1}) + rows
    short = wire.first_line({**facts, **wire.row_facts([*columns, Column("More")], rows)}) + rows
    plain = wire.first_line({"lines": 2}) + rows
    for broken in (sound[:-1], sound[:-30], sound.replace(b'"x"', b'"z"'), lost, short, plain, b"", b"[]\n"):
        with pytest.raises(errors.Damaged):
            wire.read_rows(broken)


def test_a_redirect_is_not_followed(kept: KeptCluster) -> None:
    reached: List[str] = []

    class Away(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reached.append(self.path)
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_address[1]}/elsewhere")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Away)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.raises(errors.KrmError, match="302"):
        connect(f"http://127.0.0.1:{server.server_address[1]}", token=ALL)
    server.shutdown()
    server.server_close()
    assert "/elsewhere" not in reached


def test_an_async_watch_is_the_watch(kept: KeptCluster, client: Client) -> None:
    pods = kept.kind("pods")
    start = client.snapshot("pods").token
    pods.publish(("a/x", pod()), ("b/y", pod()))
    pods.publish(("a/x", None))

    async def read() -> List[str]:
        return [f"{one.type} {one.object.key}" async for one in client.awatch("pods", start, "a", timeout=0.5)]

    assert asyncio.run(read()) == ["ADDED a/x", "DELETED a/x"]

    async def until_stale() -> None:
        async for _ in client.awatch("pods", timeout=20):
            pytest.fail("nothing changed")

    pods.stall()
    with pytest.raises(errors.Stale):
        asyncio.run(until_stale())


def test_an_async_watch_leaves_the_loop_free_and_ends_when_it_is_left(kept: KeptCluster, client: Client) -> None:
    pods = kept.kind("pods")
    client.snapshot("pods")

    async def wait_and_leave() -> int:
        ticks = 0
        changes = client.awatch("pods")
        first = asyncio.ensure_future(changes.__anext__())
        while not first.done():
            await asyncio.sleep(0.01)
            ticks += 1
            if ticks == 10:
                pods.publish(("a/x", pod()))
        assert first.result().object.key == "a/x"
        second = asyncio.ensure_future(changes.__anext__())
        await asyncio.sleep(0.05)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        return ticks

    assert asyncio.run(asyncio.wait_for(wait_and_leave(), 30)) >= 10
    wait_until(lambda: not [one for one in threading.enumerate() if one.name.startswith("krm-watch")], 10)


def test_reading_from_redis_imports_nothing_that_http_or_asyncio_need() -> None:
    names = ("asyncio", "http.client", "ssl", "concurrent.futures", "krm.client.remote", "krm.client.http")
    ours, theirs = (
        subprocess.run(
            [
                sys.executable,
                "-c",
                f"import sys, {imports}; print(*[one for one in {names} if one in sys.modules])",
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for imports in ("krm.client", "redis, msgpack")
    )
    assert set(ours) <= set(theirs)


@pytest.mark.slow
def test_a_type_checker_sees_krm_as_typed(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "use.py").write_text(
        "from krm.client import connect\n"
        "with connect('https://krm.example.com', token='t') as client:\n"
        "    reveal_type(client.snapshot('pods').items()[0].name)\n"
        "    reveal_type(next(client.watch('pods')).type)\n"
        "    reveal_type(client.snapshot('pods').trust.age)\n"
        "    client.snapshot(7)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "use.py"],
        cwd=str(tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.stdout.count('Revealed type is "str"') == 2, done.stdout
    assert "float | None" in done.stdout.replace("Union[builtins.float, None]", "float | None").replace(
        "builtins.", ""
    )
    assert 'use.py:6: error: Argument 1 to "snapshot"' in done.stdout
    assert "import-untyped" not in done.stdout
