"""The pods of a node, as agents' answers are joined with them: a pod that was deleted is known a while longer."""

from __future__ import annotations

import threading
from typing import Dict, List, cast

import pytest
from krm.collector import world as worlds
from krm.collector.facts import ContainerFacts, PodFacts
from krm.collector.sources.podstate import Found
from krm.collector.world import PodKept, World
from krm.store.connect import Database


def pod(name: str, uid: str, node: str = "n1", ended: bool = False) -> PodFacts:
    runs = (ContainerFacts("app", 1.0, f"id-{uid}"),)
    return PodFacts("shop", name, uid, node, "", False, ended, runs, {}, True)


class Told(World):
    """With pods of the test's own."""

    def __init__(self) -> None:
        super().__init__(cast(Database, None), "c", (), threading.Event())

    def now(self, *pods: PodFacts) -> None:
        self._indexed = float("-inf")
        objects: Dict[str, PodKept] = {f"{one.namespace}/{one.name}": PodKept(one, Found((), ())) for one in pods}
        self.pods[0].objects = objects

    def names(self, node: str = "n1") -> List[str]:
        return [f"{one.uid}{'!' if one.ended else ''}" for one in self.had_by(node)]


def test_each_node_has_its_own_and_what_has_ended_is_had_and_not_told() -> None:
    world = Told()
    world.now(pod("a", "u1"), pod("b", "u2", "n2"), pod("c", "u3", ended=True))
    assert world.names() == ["u1", "u3!"]
    assert world.names("n2") == ["u2"]
    assert world.names("n3") == []
    assert [one.uid for one in world.facts_of("n1")] == ["u1"]


def test_a_deleted_pod_is_had_for_a_while_and_its_successor_is_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Told()
    world.now(pod("web-0", "u1"))
    assert world.names() == ["u1"]
    world.now(pod("web-0", "u2"))
    assert world.names() == ["u1!", "u2"]
    assert [one.uid for one in world.facts_of("n1")] == ["u2"], "it gives no numbers any more"
    world.now(pod("web-0", "u2"))
    assert world.names() == ["u1!", "u2"], "once"
    monkeypatch.setattr(worlds, "REMEMBERED", 0.0)
    world.now(pod("web-0", "u2"))
    assert world.names() == ["u2"]


def test_as_many_are_remembered_as_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worlds, "MOST_GONE", 3)
    world = Told()
    world.now(*(pod(f"p{number}", f"u{number}") for number in range(9)))
    assert len(world.names()) == 9
    world.now()
    assert world.names() == ["u6!", "u7!", "u8!"]


def test_for_a_moment_they_stay_as_they_were() -> None:
    world = Told()
    world.now(pod("a", "u1"))
    assert world.names() == ["u1"]
    world.pods[0].objects = {}
    assert world.names() == ["u1"]
