"""`krm get` of a custom resource: the columns that its CRD says, however and wherever it is read."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any, Callable, Dict, Iterator, List

import pytest
from kept_cluster import KeptCluster, KeptKind, wait_until
from served_cluster import Served, quick

Krm = Callable[..., "subprocess.CompletedProcess[str]"]
CRDS, WIDGETS = "customresourcedefinitions.apiextensions.k8s.io", "widgets.example.com"
PRINTED = [
    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
    {"name": "Share", "type": "number", "jsonPath": ".spec.share", "priority": 1},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]
VERSIONS = [{"name": "v0"}, {"name": "v1", "additionalPrinterColumns": PRINTED}]


@pytest.fixture(params=["redis", "server"])
def place(request: pytest.FixtureRequest, kept: KeptCluster, monkeypatch: Any) -> Iterator[Callable[[], List[str]]]:
    """Arguments that name it, once it has come to what was written."""
    if request.param == "redis":
        yield lambda: ["--redis", kept.url]
        return
    quick(monkeypatch)
    with Served(kept.url, [kept.name]) as served:

        def settled() -> List[str]:
            served.settle(kept)
            return ["--url", served.url]

        yield settled


def widgets(kept: KeptCluster, **definitions: Any) -> KeptKind:
    """Two of them, told by discovery."""
    kept.kind(CRDS, {f"/{WIDGETS}": {"spec": {"versions": VERSIONS}}, **definitions})
    made = kept.kind(WIDGETS, {"default/a": {"spec": {"size": 3, "share": 0.5}}, "default/b": {}})
    made.serve()
    return made


def heads(done: subprocess.CompletedProcess[str]) -> List[str]:
    """Lines without ages."""
    return [" ".join(line.split()[:-1]) for line in done.stdout.splitlines()]


WIDE = ["NAME SIZE SHARE", "a 3 0.5", "b"]
WAYS: Dict[str, List[str]] = {
    "list": [],
    "names": ["a", "b"],
    "version": ["--at", "1"],
    "verified": ["--verified-only"],
}


@pytest.mark.parametrize("way", list(WAYS))
def test_every_way_to_get_it_shows_the_columns_of_its_crd(
    kept: KeptCluster, krm: Krm, place: Callable[[], List[str]], way: str
) -> None:
    widgets(kept).verify()
    at = place()
    assert heads(krm("get", "widgets", *WAYS[way], *at)) == ["NAME SIZE", "a 3", "b"]
    assert heads(krm("get", "widgets", *WAYS[way], "-o", "wide", *at)) == WIDE


def test_a_watch_shows_them_of_its_list_and_of_its_changes(
    kept: KeptCluster, krm: Krm, place: Callable[[], List[str]]
) -> None:
    made = widgets(kept)
    at = place()

    def shown(name: str) -> bool:
        lines = getattr(sys.stdout, "getvalue", str)().splitlines()
        return any(line.startswith(name) for line in lines)

    def play() -> None:
        wait_until(lambda: shown("b"))
        made.publish(("default/c", {"spec": {"size": 7, "share": 2}}))
        wait_until(lambda: shown("c"))
        made.begin()  # what was watched is gone: the watch ends

    player = threading.Thread(target=play)
    player.start()
    done = krm("get", "widgets", "-w", "-o", "wide", *at)
    player.join()
    assert heads(done) == [*WIDE, "c 7 2"]


def test_without_its_crd_it_has_name_and_age(kept: KeptCluster, krm: Krm, place: Callable[[], List[str]]) -> None:
    kept.kind(CRDS, {"/others.example.com": {"spec": {"versions": VERSIONS}}})
    kept.kind(WIDGETS, {"default/a": {"spec": {"size": 3}}}).serve()
    at = place()
    for names in ([], ["a"]):
        assert krm("get", "widgets", *names, *at).stdout.split()[:2] == ["NAME", "AGE"]
