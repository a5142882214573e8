"""A state that is not live is never an empty list: it is an error of its own, or an answer that says so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, Type

import pytest
import redis_servers
from kept_cluster import KeptCluster, KeptKind, pod
from krm.client import errors
from krm.client.client import Client, connect
from krm.store.keys import meta_key


def put(pods: KeptKind, state: str) -> None:
    """The head as the aggregator writes it in that state."""
    heads: Dict[str, Dict[str, Any]] = {
        "stale": {"beat": pods.now() - 60},
        "forbidden": {"list_error": "Forbidden"},
        "truncated": {"truncated": 123456},
        "absent": {"list_error": "NotFound", "unserved": True},
    }
    pods.stalled = state == "stale"
    pods.head(**heads[state])


def test_nowhere_is_an_error_of_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("KRM_REDIS", raising=False)
    with pytest.raises(errors.Nowhere, match="start one with `krm up`"):
        connect()
    named = set(re.findall(r"\+-- (\w+)", str(errors.__doc__)))
    defined = {
        one.__name__ for one in vars(errors).values() if isinstance(one, type) and one.__module__ == errors.__name__
    }
    assert named == defined - {"KrmError"}  # the tree in the docstring is whole


STATES = [
    ("stale", errors.Stale, "the aggregator has not beaten for"),
    ("forbidden", errors.Forbidden, "grant it list and watch"),
    ("truncated", errors.Truncated, "123456 objects"),
    ("absent", errors.Absent, "does not serve"),
]


@pytest.mark.parametrize(("state", "error", "words"), STATES)
def test_each_state_has_its_error(
    kept: KeptCluster, client: Client, state: str, error: Type[errors.NotTrusted], words: str
) -> None:
    pods = kept.kind("pods", {"a/x": pod()})
    token = client.snapshot("pods").token
    put(pods, state)
    reads: Dict[str, Any] = {
        "snapshot": lambda **ok: client.snapshot("pods", **ok).keys(),
        "table": lambda **ok: [one.key for one in client.table("pods", **ok).rows],
        "namespace": lambda **ok: client.snapshot("pods", namespace="a", **ok).keys(),
        "verified": lambda **ok: client.snapshot("pods", verified_only=True, **ok).keys(),
        "at": lambda **ok: client.at("pods", token, **ok).keys(),
        "get": lambda **ok: [client.get("pods", "x", "a", **ok).key],  # type: ignore[union-attr]
        "diff": lambda **ok: client.diff("pods", token, **ok) or ["a/x"],
        "changes": lambda **ok: client.changes("pods", **ok) or ["a/x"],
        "watch": lambda **ok: list(client.watch("pods", timeout=0.05, **ok)) or ["a/x"],
    }
    for name, read in reads.items():
        with pytest.raises(error, match=words) as raised:
            read()
        assert raised.value.trust.state == state, name
        assert read(stale_ok=True) == ["a/x"], name
    snapshot = client.snapshot("pods", stale_ok=True)
    assert snapshot.trust.state == state == client.trust("pods").state


def test_a_kind_out_of_scope_is_forbidden_for_that_reason(kept: KeptCluster, client: Client) -> None:
    """protocol "Scope": with --namespaces cluster-scoped kinds are forbidden; no right would help."""
    kept.kind("nodes", {}).head(list_error="OutOfScope")
    with pytest.raises(errors.Forbidden, match="of no namespace, and krm runs with --namespaces"):
        client.snapshot("nodes")


@pytest.mark.parametrize("state", ["forbidden", "absent", "stale"])
def test_what_was_never_listed_is_never_given(kept: KeptCluster, client: Client, state: str) -> None:
    pods = KeptKind(kept.database, kept.name, "pods")
    expected = errors.Warming
    if state != "stale":
        put(pods, state)
        expected = errors.ERROR_OF[state]  # type: ignore[assignment]
    for stale_ok in (False, True):
        with pytest.raises(expected):
            client.snapshot("pods", stale_ok=stale_ok)
        with pytest.raises(expected):
            client.get("pods", "x", "a", stale_ok=stale_ok)
        with pytest.raises(expected):
            client.watch("pods", stale_ok=stale_ok)
        with pytest.raises(expected):
            client.at("pods", 1, stale_ok=stale_ok)


def test_an_announced_kind_without_head_is_warming_and_an_emptied_redis_is_no_empty_list(
    kept: KeptCluster, client: Client
) -> None:
    pods = kept.kind("pods", {"a/x": pod()})
    client.snapshot("pods")
    pods.stalled = True
    pods.link.call("FLUSHALL")
    with pytest.raises(errors.Warming):
        client.snapshot("pods", stale_ok=True)
    with connect(kept.url, kept.name) as another:
        with pytest.raises(errors.UnknownKind):
            another.snapshot("pods")
        pods.link.call("HSET", meta_key(kept.name), "name", kept.name, "kind/pods", "1")
        with pytest.raises(errors.Warming):
            another.snapshot("pods", stale_ok=True)


def test_reset_is_told_once_a_client_and_kind(kept: KeptCluster, client: Client) -> None:
    pods = kept.kind("pods", {"a/x": pod()})
    nodes = kept.kind("nodes", {"/n": {}})
    before = client.snapshot("pods")
    client.snapshot("nodes")
    pods.begin({"a/y": pod()})
    with pytest.raises(errors.Reset, match="began anew"):
        client.snapshot("pods")
    assert client.snapshot("pods").keys() == ["a/y"]
    assert client.snapshot("nodes").trust.state == "live"
    with pytest.raises(errors.Expired):
        client.at("pods", before.token)
    nodes.begin({})
    with pytest.raises(errors.Reset):
        client.get("nodes", "n")
    assert client.get("nodes", "n") is None
    pods.begin({})
    told = client.snapshot("pods", stale_ok=True)
    assert (told.trust.state, told.keys()) == ("reset", [])
    assert client.snapshot("pods").trust.state == "live"
    with connect(kept.url, kept.name) as another:
        assert another.snapshot("pods").trust.state == "live"


def test_a_kind_with_no_objects_is_an_empty_list_that_is_live(kept: KeptCluster, client: Client) -> None:
    kept.kind("pods")
    assert client.snapshot("pods").items() == []
    assert client.snapshot("pods").trust.state == "live"


def test_a_watch_ends_with_the_state_that_its_kind_falls_into(kept: KeptCluster, client: Client) -> None:
    pods = kept.kind("pods")
    changes = client.watch("pods", timeout=20)
    pods.publish(("a/x", pod()))
    assert next(changes).object.key == "a/x"
    pods.stall()
    with pytest.raises(errors.Stale):
        next(changes)


def test_redis_gone_is_one_error_with_the_place_in_it(kept: KeptCluster, tmp_path: Any) -> None:
    with redis_servers.one(tmp_path / "r") as server:
        kept_there = KeptCluster(server.url)
        kept_there.kind("pods", {"a/x": pod()})
        client = connect(server.url)
        assert len(client.snapshot("pods")) == 1
        server.stop(hard=True)
        for read in (lambda: client.snapshot("pods"), lambda: client.status(), lambda: connect(server.url)):
            with pytest.raises(errors.Unreachable, match=r"redis\.sock"):
                read()
        server.start()
        with pytest.raises(errors.Warming):
            client.snapshot("pods")


@pytest.mark.parametrize("url", ["http://x", "redis://x:y@h:notaport", "", "redis://h\r\nFLUSHALL"])
def test_a_bad_url_is_a_sentence_without_its_password(url: str, monkeypatch: Any, tmp_path: Any) -> None:
    monkeypatch.delenv("KRM_REDIS", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(errors.KrmError) as raised:
        connect(url)
    assert ":y@" not in str(raised.value)


def test_the_tree_of_errors_is_the_one_that_its_page_draws() -> None:
    drawn = {line.split("+-- ")[1].split()[0] for line in str(errors.__doc__).splitlines() if "+-- " in line}
    classes = {
        name for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, errors.KrmError)
    }
    assert classes == drawn | {"KrmError"}
    assert set(errors.ERROR_OF.values()) == set(errors.NotTrusted.__subclasses__())
