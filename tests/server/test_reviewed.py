"""`--auth kubernetes` before an API server that says what a script tells it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import pytest
from cluster.scripted import ScriptedServer, answer, header, status_body
from krm.model.kinds import Kind
from krm.server.authorities import Authorities, Trusted
from krm.server.identity import Attributes, User
from krm.server.reviewed import Reviewed
from krm.server.statuses import ApiError
from server.asking import bearer, request

TOKEN = "a-token-that-nobody-must-see"
PODS = Attributes("c", "list", Kind("pods", ""), "v1", "team-a")
ALICE = {"username": "alice", "uid": "u1", "groups": ["devs"], "extra": {"k": ["v"]}}


def said(status: Dict[str, Any]) -> bytes:
    return answer(json.dumps({"status": status}).encode(), keep=True)


def asked(raw: bytes) -> Dict[str, Any]:
    found: Dict[str, Any] = json.loads(raw.partition(b"\r\n\r\n")[2])
    return found


class Session:
    """One gate on a loop of its own."""

    def __init__(self, folder: Path, server: ScriptedServer, *audiences: str, held: Sequence[str] = ()) -> None:
        self.loop = asyncio.new_event_loop()
        cluster = server.cluster(folder)
        self.authorities = Authorities("c", cluster, lambda pem: None, self.loop)
        self.authorities.take(Trusted())
        self.authorities.uid = ""
        self.gate = Reviewed(cluster, self.authorities, audiences, lambda: set(held))

    def user(self, *headers: Tuple[str, str]) -> User:
        return self.loop.run_until_complete(self.gate.user(request(*headers), "c"))

    def check(self, user: User, attributes: Attributes = PODS) -> int:
        try:
            self.loop.run_until_complete(self.gate.check(user, attributes))
        except ApiError as error:
            self.error = error
            return error.code
        return 200

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.close()
        self.loop.close()


def test_a_token_is_asked_for_once_and_its_user_is_taken_whole(tmp_path: Path) -> None:
    verdict = said({"authenticated": True, "user": ALICE, "audiences": ["x", "krm"]})
    with ScriptedServer([verdict], close=False) as server, Session(tmp_path, server, "krm", "b") as session:
        for _ in range(3):
            user = session.user(bearer(TOKEN))
        assert user == User("alice", "u1", ("devs",), (("k", ("v",)),))
        assert [asked(raw)["spec"] for raw in server.requests] == [{"token": TOKEN, "audiences": ["krm", "b"]}]
        assert server.requests[0].startswith(b"POST /apis/authentication.k8s.io/v1/tokenreviews ")


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"authenticated": False, "user": ALICE},
        {"authenticated": "true", "user": ALICE, "audiences": ["krm"]},
        {"authenticated": True, "user": ALICE},
        {"authenticated": True, "user": ALICE, "audiences": []},
        {"authenticated": True, "user": ALICE, "audiences": ["another"]},
        {"authenticated": True, "user": ALICE, "audiences": "krm"},
    ],
)
def test_a_token_that_is_not_said_to_be_for_us_is_401_and_not_asked_again(
    tmp_path: Path, status: Dict[str, Any]
) -> None:
    with ScriptedServer([said(status)], close=False) as server, Session(tmp_path, server, "krm") as session:
        for _ in range(2):
            with pytest.raises(ApiError) as caught:
                session.user(bearer(TOKEN))
            assert caught.value.code == 401
        assert len(server.requests) == 1


UNCLEAR: List[bytes] = [
    answer(b"<html>login</html>", keep=True),
    answer(b"{}", keep=True),
    answer(b'{"status":null}', keep=True),
    answer(status_body(403, "Forbidden", "krm may not"), 403, keep=True),
    answer(status_body(429, "TooManyRequests"), 429, keep=True),
    answer(status_body(500, "InternalError", "secret of the cluster"), 500, keep=True),
    answer(b"[" * 100_000, keep=True),
]


@pytest.mark.parametrize("script", [*UNCLEAR, said({"authenticated": True, "user": {"username": ""}})])
def test_a_token_of_which_nothing_clear_is_said_is_503(
    tmp_path: Path, script: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with ScriptedServer([script], close=False) as server, Session(tmp_path, server) as session:
        with pytest.raises(ApiError) as caught:
            session.user(bearer(TOKEN))
        assert caught.value.code == 503
        assert (caught.value.retry_after or 0) >= 1
        assert TOKEN not in caplog.text + caught.value.message
        assert server.url not in caught.value.message


@pytest.mark.parametrize("script", [*UNCLEAR, said({}), said({"allowed": None}), said({"allowed": "yes"})])
def test_a_right_of_which_nothing_clear_is_said_is_503(tmp_path: Path, script: bytes) -> None:
    with ScriptedServer([script], close=False) as server, Session(tmp_path, server) as session:
        assert session.check(User("alice")) == 503
        assert "secret of the cluster" not in session.error.message


def test_a_right_is_asked_for_exactly_and_nothing_follows_from_another(tmp_path: Path) -> None:
    pod = PODS._replace(verb="get", name="web", subresource="log")
    selected = PODS._replace(verb="watch", field_selector="spec.nodeName=n", label_selector="a in (b)")
    path = Attributes("c", "head", path="/apis")
    user = User("alice", "u1", ("devs",), (("k", ("v",)),))
    with ScriptedServer([said({"allowed": True})], close=False) as server, Session(tmp_path, server) as session:
        for attributes in (PODS, pod, selected, path, PODS):
            assert session.check(user, attributes) == 200
        specs = [asked(raw)["spec"] for raw in server.requests]
    who = {"user": "alice", "uid": "u1", "groups": ["devs"], "extra": {"k": ["v"]}}
    whole = {"group": "", "version": "v1", "resource": "pods", "subresource": "", "namespace": "team-a", "name": ""}
    assert specs == [
        {**who, "resourceAttributes": {"verb": "list", **whole}},
        {**who, "resourceAttributes": {**whole, "verb": "get", "name": "web", "subresource": "log"}},
        {
            **who,
            "resourceAttributes": {
                "verb": "watch",
                **whole,
                "fieldSelector": {"rawSelector": "spec.nodeName=n"},
                "labelSelector": {"rawSelector": "a in (b)"},
            },
        },
        {**who, "nonResourceAttributes": {"verb": "head", "path": "/apis"}},
    ]


def test_users_who_differ_in_anything_are_asked_for_apart(tmp_path: Path) -> None:
    users = [User("a"), User("b"), User("a", "1"), User("a", "", ("g",)), User("a", "", (), (("k", ("v",)),))]
    scripts = [[said({"allowed": number % 2 == 0})] for number in range(len(users))]
    with ScriptedServer(*scripts, close=False) as server, Session(tmp_path, server) as session:
        for _ in range(2):
            assert [session.check(user) for user in users] == [200, 403, 200, 403, 200]
        assert len(server.requests) == len(users)


def test_a_refusal_tells_the_authorisers_reason_as_the_api_server_does(tmp_path: Path) -> None:
    verdict = said({"allowed": False, "denied": True, "reason": "not on a <Sunday>"})
    with ScriptedServer([verdict], close=False) as server, Session(tmp_path, server) as session:
        assert session.check(User('a<b>&"c"')) == 403
        assert session.error.message == (
            'pods is forbidden: User "a&lt;b&gt;&amp;\\"c\\"" cannot list resource "pods" in API group ""'
            ' in the namespace "team-a": not on a <Sunday>'
        )


def test_who_shows_nothing_is_anonymous_and_asked_for_as_such(tmp_path: Path) -> None:
    with ScriptedServer([said({"allowed": False})], close=False) as server, Session(tmp_path, server) as session:
        user = session.user()
        assert user == User("system:anonymous", groups=("system:unauthenticated",))
        assert session.check(user) == 403
        assert server.requests[0].startswith(b"POST /apis/authorization.k8s.io/v1/subjectaccessreviews ")


def test_a_token_goes_to_the_api_server_in_a_body_and_never_as_krms_own(tmp_path: Path) -> None:
    with ScriptedServer([said({})], close=False) as server, Session(tmp_path, server) as session:
        with pytest.raises(ApiError):
            session.user(bearer(TOKEN))
        assert TOKEN not in (header(server.requests[0], "Authorization") or "")


@pytest.mark.parametrize(
    ("held", "asked", "code"),
    [
        ((), "u-1", 200),
        (("u-1",), "", 200),
        (("u-1",), None, 503),
        ((), None, 503),
        (("u-1",), "u-1", 200),
        (("u-2",), "u-1", 503),
        (("u-1", "u-2"), "u-1", 503),
    ],
)
def test_one_cluster_is_never_shown_by_the_rights_of_another(
    tmp_path: Path, held: Sequence[str], asked: Optional[str], code: int
) -> None:
    script = [said({"allowed": True})]
    with ScriptedServer(script, close=False) as server, Session(tmp_path, server, held=held) as session:
        session.authorities.uid = asked
        assert session.check(User("alice")) == code
