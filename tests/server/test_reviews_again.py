"""Answers that go on while who asks is somebody with other rights: each review is of them as they are now."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, Dict, List, Tuple
from urllib.request import urlopen

import pytest
from cluster.scripted import ScriptedServer
from kept_cluster import KeptCluster, pod, wait_until
from krm.model.kinds import Kind
from krm.server import followed
from krm.server.identity import Attributes, Gate, User
from krm.server.statuses import ApiError, forbidden
from krm.server.web import Request
from served_cluster import Served, quick
from server.asking import bearer, request
from server.test_own import Events
from server.test_reviewed import ALICE, TOKEN, Session, asked, said

PODS = Attributes("c", "watch", Kind("pods", ""), "v1", "team-a")


class Changing(Gate):
    """Who asks is `users`, one after another, the last for ever; `refused` are groups and what they may not."""

    def __init__(self, *users: User) -> None:
        self.users = list(users)
        self.refused: List[Tuple[str, str]] = []  # group, namespace

    async def user(self, request: Request, cluster: str) -> User:
        return self.users.pop(0) if len(self.users) > 1 else self.users[0]

    async def check(self, user: User, attributes: Attributes) -> None:
        for group in user.groups or ("",):
            if attributes.kind.resource and (group, attributes.namespace) in self.refused:
                raise forbidden(user.name, attributes.verb, attributes.kind, attributes.namespace)


def test_rights_are_reviewed_of_who_they_are_now_and_not_of_who_they_were(tmp_path: Path) -> None:
    """A token's user may be taken out of a group while the token lives (a webhook, a changed account)."""
    scripts = [[said({"authenticated": True, "user": {**ALICE, "groups": ["others"]}})], [said({"allowed": False})]]
    with ScriptedServer(*scripts, close=False) as server, Session(tmp_path, server) as session:
        before = User("alice", "u1", ("devs",), (("k", ("v",)),))
        with pytest.raises(ApiError) as caught:
            session.loop.run_until_complete(session.gate.still(request(bearer(TOKEN)), before, PODS))
        assert caught.value.code == 403
        assert asked(server.requests[1])["spec"]["groups"] == ["others"]


@pytest.mark.parametrize("now", [{**ALICE, "username": "bob"}, {**ALICE, "uid": "u2"}])
def test_who_is_somebody_else_by_now_is_401(tmp_path: Path, now: Dict[str, Any]) -> None:
    scripts = [[said({"authenticated": True, "user": now})], [said({"allowed": True})]]
    with ScriptedServer(*scripts, close=False) as server, Session(tmp_path, server) as session:
        with pytest.raises(ApiError) as caught:
            session.loop.run_until_complete(session.gate.still(request(bearer(TOKEN)), User("alice", "u1"), PODS))
        assert caught.value.code == 401


def test_every_gate_reviews_who_they_are_now() -> None:
    gate = Changing(User("alice", "1", ("others",)))
    gate.refused.append(("others", "team-a"))
    with pytest.raises(ApiError) as caught:
        asyncio.run(gate.still(request(), User("alice", "1", ("devs",)), PODS))
    assert caught.value.code == 403


def test_who_loses_the_right_to_all_is_told_what_counts_others_no_more(
    kept: KeptCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream of one namespace goes on, narrowed; a long poll answers with what may be seen after the wait."""
    quick(monkeypatch)
    monkeypatch.setattr(followed, "REVIEW_EVERY", 0.2)
    monkeypatch.setattr(followed, "BEAT", 0.1)
    kept.kind("pods", {"a/x": pod(), "b/y": pod()}).head(bad=[["BadJson: b/secret", 3, "00", "b/secret", "5", 1.0]])
    gate = Changing(User("tenant"))
    with Served(kept.url, [kept.name], {kept.name: gate}) as served:
        served.settle(kept)
        with closing(Events(served.port.number, "/krm/v1/changes/pods?namespace=a", "t", {})) as events:
            told = iter(events)
            first = next(told)[2]
            assert first["head"]["count"] == 2
            assert "b/secret" in json.dumps(first)
            gate.refused.append(("", ""))
            later = [data for _, _, data in islice(told, 30)]  # one each 0.1 s
        assert (later[-1]["head"].get("count"), "b/secret" in json.dumps(later[-1])) == (None, False)


def test_a_long_poll_is_answered_by_the_rights_after_the_wait(
    kept: KeptCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick(monkeypatch)
    monkeypatch.setattr(followed, "REVIEW_EVERY", 0.0)
    pods = kept.kind("pods", {"a/x": pod(), "b/y": pod()})
    gate = Changing(User("tenant"))
    with Served(kept.url, [kept.name], {kept.name: gate}) as served:
        served.settle(kept)
        answers: List[Any] = []
        path = f"{served.url}/krm/v1/changes/pods?namespace=a&wait=20"
        waiting = threading.Thread(target=lambda: answers.append(urlopen(path, timeout=30).read()))
        waiting.start()
        streams = served._app.apis[kept.name].streams
        wait_until(lambda: streams.open == 1)
        gate.refused.append(("", ""))
        pods.publish(("a/x", None))
        waiting.join(20)
    assert json.loads(answers[0].split(b"\n")[0])["head"].get("count") is None
