"""The door and the simulator speak the same protocol: what is written comes out, and its faults are typed."""

from __future__ import annotations

import json
from typing import Any, Dict, List

import pytest
from cluster.scripted import kubeconfig, wait_for
from krm.cluster.__main__ import main
from krm.cluster.credentials import connect
from krm.cluster.discovery import cluster_uid, discover, server_version
from krm.cluster.errors import Expired, NotFound, from_error_event
from krm.cluster.listing import consistent, freshness_probe, list_pages, not_older_than
from krm.cluster.watching import Watch
from krm.model.canonical import Canonicaliser
from krm.model.kinds import Kind, parse_kind
from krm.simulator.server import Server
from krm.simulator.world import World


def namespace(name: str) -> Dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


@pytest.fixture
def server():
    with Server(World()) as running:
        yield running


def test_a_list_and_a_watch_from_it_miss_nothing(server, tmp_path) -> None:
    cluster = connect(str(kubeconfig(tmp_path, server.url)))
    kind = discover(cluster, parse_kind("namespaces"))
    canonical = Canonicaliser(kind)
    for number in range(600):
        server.world.create("namespaces", namespace(f"before-{number}"))
    pages = list(list_pages(cluster, kind, consistent(), canonical.page))
    assert len(pages) == 2
    rv = pages[0].rv
    again = list_pages(cluster, kind, not_older_than(rv, server_version(cluster)[:2]), canonical.page)
    assert [item.key for page in again for item in page.items] == [
        item.key for page in pages for item in page.items
    ]
    watch = Watch(cluster, kind, None, rv)
    for number in range(100):
        server.world.create("namespaces", namespace(f"after-{number}"))
    lines: List[bytes] = []

    def all_there() -> bool:
        lines.extend(watch.poll(0.5))
        return len([line for line in lines if b"BOOKMARK" not in line[:30]]) >= 100

    wait_for(all_there, "100 events")
    watch.close()
    names = [json.loads(line)["object"]["metadata"].get("name") for line in lines]
    assert [name for name in names if name] == [f"after-{number}" for number in range(100)]
    assert int(freshness_probe(cluster, kind)) >= int(rv) + 100


def test_a_forgotten_version_is_an_expired_event(server, tmp_path) -> None:
    cluster = connect(str(kubeconfig(tmp_path, server.url)))
    kind = discover(cluster, parse_kind("namespaces"))
    (line,) = Watch(cluster, kind, None, "5").poll(5.0)
    content = json.loads(line)
    assert content["type"] == "ERROR"
    assert isinstance(from_error_event(json.dumps(content["object"]).encode(), "WATCH"), Expired)


def test_what_the_simulator_does_not_serve_is_not_found(server, tmp_path) -> None:
    cluster = connect(str(kubeconfig(tmp_path, server.url)))
    with pytest.raises(NotFound):
        discover(cluster, Kind("nothing", "example.com"))
    assert isinstance(cluster_uid(cluster), str)


def test_the_check_of_nobody_there_fails_with_one_line(server, tmp_path, capsys) -> None:
    path = str(kubeconfig(tmp_path, server.url))
    server.stop()
    assert main(["check", "--kubeconfig", path]) == 1
    (first, second) = capsys.readouterr().out.splitlines()
    assert first.startswith("FAIL reachable")
    assert "check that the API server runs" in second


def test_the_check_tells_of_credentials_that_cannot_be_read(tmp_path, capsys) -> None:
    assert main(["check", "--kubeconfig", str(tmp_path / "none"), "--json"]) == 1
    line = json.loads(capsys.readouterr().out)
    assert (line["ok"], line["check"]) == (False, "credentials")


@pytest.mark.parametrize("arguments", [[], ["check", "--kinds", "secrets"], ["check", "--kinds", "Pods"], ["x"]])
def test_wrong_arguments_are_exit_code_2(arguments, capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_the_help_names_every_default(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["check", "--help"])
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in ("~/.kube/config", "endpointslices.discovery.k8s.io", "the whole cluster", "--json"):
        assert words in text
