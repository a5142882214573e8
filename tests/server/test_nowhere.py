"""The names of a server's clusters cannot be guessed: a stranger is told the same below any name."""

from __future__ import annotations

from pathlib import Path
from typing import List, Tuple

import pytest
from cluster.scripted import ScriptedServer
from kept_cluster import pod
from krm.server.audit import Audit
from krm.server.identity import Attributes, User, refused
from krm.server.nowhere import Nowhere
from krm.server.statuses import ApiError, unauthorized
from krm.server.web import Request
from paper_app import Gate, PaperApp
from server.asking import bearer, request
from server.test_reviewed import ALICE, TOKEN, Session, asked, said

NAMES = ("other", "none", "oth", "", "%2e%2e")
PATHS = (
    "", "/", "/version", "/api", "/apis", "/apis/apps/v1", "/openapi/v3", "/healthz", "/nonsense",
    "/api/v1/pods", "/api/v1/pods?watch=true", "/api/v1/namespaces/a/pods/x", "/apis/g/v1/widgets", "/metrics",
    "/pods", "/ingress?namespace=a", "/pods?nonsense=1",
    "/krm/v1/kinds", "/krm/v1/status", "/krm/v1/status?kind=pods", "/krm/v1/drift", "/krm/v1/clusters",
    "/krm/v1/openapi.json", "/krm/v1/snapshots/pods", "/krm/v1/snapshots/pods?at=1", "/krm/v1/objects/po?name=x",
    "/krm/v1/changes/pods?wait=5", "/krm/v1/versions/pods", "/krm/v1/diffs/pods?a=1",
)  # fmt: skip


class Refusing(Gate):
    """It knows everyone, `system:anonymous` too, and lets nobody read anything."""

    async def check(self, user: User, attributes: Attributes) -> None:
        self.asked.append(attributes)
        raise refused(user, attributes)


def served(gate: Gate) -> PaperApp:
    app = PaperApp("paper", "other", gate=gate)
    for cluster in ("paper", "other"):
        app.kind("pods", {"a/x": pod()}, cluster=cluster)
    return app


def stranger(_: Request) -> None:
    raise unauthorized()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_a_stranger_is_told_the_same_below_a_name_that_is_here_and_one_that_is_not(path: str, method: str) -> None:
    gate = Gate()
    gate.known = stranger
    app = served(gate)
    answers = [app.ask(f"/clusters/{name}{path}", method) for name in NAMES]
    assert answers[0].status == 401
    assert answers == [answers[0]] * len(NAMES)


@pytest.mark.parametrize("path", PATHS)
def test_so_is_whoever_the_clusters_know_and_let_read_nothing_by_the_same_questions(path: str) -> None:
    app = served(Refusing())
    told = []
    for name in NAMES:
        app.gate.asked.clear()
        told.append((app.ask(f"/clusters/{name}{path}"), [one._replace(cluster="") for one in app.gate.asked]))
    assert told[0][0].status == (400 if "nonsense=1" in path else 403)
    assert told == [told[0]] * len(NAMES)


@pytest.mark.parametrize("path", PATHS)
def test_who_may_read_all_is_told_that_the_cluster_is_not_here(path: str) -> None:
    app = served(Gate())
    got = app.ask(f"/clusters/none{path}")
    assert got.status == (400 if "nonsense=1" in path else 404)
    assert b"paper" not in got.body
    assert "krm-version" not in got.headers


def test_the_original_contract_tells_it_in_its_own_form() -> None:
    told = served(Gate()).ask("/clusters/none/pods").json()
    assert told == {"error": "the server could not find the requested resource", "status": 404}


def test_every_route_asks_its_gate_before_it_shows_anything() -> None:
    """What a new route shows without asking it would show below any name."""
    app = served(Gate())
    for route in app.app.routes["paper"].all:
        query = "&".join(f"{one.name}=1" for one in route.parameters if one.required and one.where == "query")
        got = app.ask(f"/clusters/none{route.path.replace('{kind}', 'pods')}?{query}")
        assert got.status == 404, route.path


def test_the_audit_line_of_a_guess_names_what_was_guessed() -> None:
    lines: List[str] = []

    class Kept(Audit):
        def __init__(self) -> None:
            """No file, no thread."""

        def put(self, line: str) -> None:
            lines.append(line)

    app = served(Gate())
    app.app.audit = Kept()
    app.ask("/clusters/none/version")
    assert '"cluster":null' in lines[0]
    assert '"path":"/clusters/none/version"' in lines[0]


def outcome(session: Session, gate: Nowhere, *headers: Tuple[str, str]) -> int:
    async def ask() -> None:
        user = await gate.user(request(*headers), "a")
        await gate.check(user, Attributes("a", "get", path="/apis"))

    with pytest.raises(ApiError) as caught:
        session.loop.run_until_complete(ask())
    return caught.value.code


def test_a_token_for_a_cluster_whose_name_is_misspelt_is_not_shown_to_the_first_ones_api_server(
    tmp_path: Path,
) -> None:
    """Whoever runs that could use it at the other."""
    script = [said({"authenticated": False})]
    with ScriptedServer(script, close=False) as server, Session(tmp_path, server) as session:
        gate = Nowhere(session.gate, lambda: False)
        assert [outcome(session, gate, bearer(TOKEN)) for _ in range(2)] == [401, 401]
        assert len(server.requests) == 1  # as below any name: asked, and then remembered
        assert TOKEN.encode() not in server.requests[0]


def test_where_there_is_one_cluster_its_own_users_are_told_404(tmp_path: Path) -> None:
    scripts = [said({"authenticated": True, "user": ALICE})], [said({"allowed": True})]
    with ScriptedServer(*scripts, close=False) as server, Session(tmp_path, server) as session:
        assert outcome(session, Nowhere(session.gate, lambda: True), bearer(TOKEN)) == 404
        assert asked(server.requests[0])["spec"]["token"] == TOKEN
