"""What a call of /krm/v1/ may cost: no token that others see, and bounded work in the event loop."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List, Tuple, cast

import pytest
from cluster.scripted import ScriptedServer
from krm.client.selection import Selection
from krm.server.about import About
from krm.server.identity import Open, User
from krm.server.options import MAX_CLAUSES
from krm.server.own import OwnApi, Target
from krm.server.replica import Replica
from krm.server.routes import Call, Routes
from krm.server.statuses import ApiError
from krm.server.tokenfile import LOOK_EVERY, TokenFile
from server.asking import bearer, now, request
from server.test_reviewed import TOKEN, Session, said


def clusters(session: Session, asked: str) -> Any:
    """/krm/v1/clusters below `asked`: a lets everybody in, b asks the session's API server."""
    routes = {"a": Routes("a", Open()), "b": Routes("b", session.gate)}
    gates = {"a": Open(), "b": session.gate}
    about = About(cast(OwnApi, SimpleNamespace(gate=gates[asked])), lambda: routes)
    call = Call(request(bearer(TOKEN)), User("alice"), asked, {}, {})
    return json.loads(session.loop.run_until_complete(about.clusters(call)).body)["clusters"]


def test_no_token_is_shown_to_the_api_server_of_another_cluster(tmp_path: Path) -> None:
    """Whoever runs b's could use it at a."""
    with ScriptedServer([said({"allowed": True})], close=False) as server, Session(tmp_path, server) as session:
        assert clusters(session, "a") == [{"name": "a"}]
        assert server.requests == []
        assert clusters(session, "b") == [{"name": "a"}, {"name": "b"}]
        assert len(server.requests) == 1  # may the caller, who is known by now


def test_a_cluster_that_cannot_be_asked_keeps_nobody_from_the_others_and_is_not_named(tmp_path: Path) -> None:
    clock, rights = [0.0], tmp_path / "rights.csv"
    rights.write_text(f"{TOKEN},alice,1\n")
    rights.chmod(0o600)
    routes = {"a": Routes("a", Open()), "secret": Routes("secret", TokenFile(str(rights), lambda: clock[0]))}
    routes["c"] = Routes("c", Open())
    about = About(cast(OwnApi, SimpleNamespace(gate=Open())), lambda: routes)

    def asked(token: str) -> Tuple[List[str], bool, bool]:
        answer = now(about.clusters(Call(request(bearer(token)), User("alice"), "a", {}, {})))
        found = json.loads(answer.body)
        warned = any(name == "Warning" and "cannot be found out now" in text for name, text in answer.headers)
        named = [name for name in routes if f'"{name}"'.encode() in answer.body]
        assert named == [one["name"] for one in found["clusters"]]
        return named, found["unknown"], warned

    assert asked(TOKEN) == (["a", "secret", "c"], False, False)
    assert asked("another-token-of-nobody") == (["a", "c"], False, False)
    rights.write_text("broken\n")
    clock[0] += LOOK_EVERY
    assert asked(TOKEN) == asked("another-token-of-nobody") == (["a", "c"], True, True)


def selected(**query: str) -> Selection:
    target = Target(Replica("pods"), None, True, cast(Any, None))
    return OwnApi.selection(cast(OwnApi, None), Call(request(), User("alice"), "a", {}, query), target)


@pytest.mark.parametrize(
    "more", [{"labelSelector": ",x0"}, {"labelSelector": "", "fieldSelector": "metadata.name=x"}]
)
def test_requirements_are_bounded_as_at_the_kubernetes_paths(more: Dict[str, str]) -> None:
    """Each is tried on each object, while everybody else waits."""
    most = ",".join(f"x{number}" for number in range(MAX_CLAUSES))
    assert selected(labelSelector=most).requirements == MAX_CLAUSES
    with pytest.raises(ApiError) as caught:
        selected(**{**more, "labelSelector": most + more["labelSelector"]})
    assert (caught.value.code, f"more than {MAX_CLAUSES} requirements" in caught.value.message) == (400, True)
