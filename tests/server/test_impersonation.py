"""`kubectl --as`: whom a request asks to be taken for, and who may ask that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import List, Tuple

import pytest
from cluster.scripted import ScriptedServer
from krm.server.identity import User
from krm.server.impersonation import impersonated
from krm.server.statuses import ApiError
from krm.server.tokenfile import TokenFile
from server.asking import bearer, refused, request
from server.test_reviewed import Session, asked, said
from server.test_tokenfile import ALICE, written

AUTHENTICATED = "system:authenticated"


def taken(*headers: Tuple[str, str]) -> User:
    found = impersonated(request(*headers), "c")
    assert found is not None
    return found.user


def rights(*headers: Tuple[str, str]) -> List[str]:
    """As the API server's refusal would name them."""
    found = impersonated(request(*headers), "c")
    assert found is not None
    assert {one.verb for one in found.rights} == {"impersonate"}
    return [f"{one.kind}/{one.subresource} {one.namespace}/{one.name}" for one in found.rights]


def test_who_names_nobody_is_taken_for_themselves() -> None:
    assert impersonated(request(), "c") is None
    assert impersonated(request(("Impersonate-User", "")), "c") is None


def test_each_name_group_uid_and_extra_needs_a_right_of_its_own() -> None:
    headers = [
        ("Impersonate-User", "jo"), ("Impersonate-Group", "a"), ("impersonate-group", "b"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Extra-Acme%2Fscope", "x"), ("Impersonate-Extra-Acme%2Fscope", "y"),
    ]  # fmt: skip
    assert taken(*headers) == User("jo", "7", ("a", "b", AUTHENTICATED), (("acme/scope", ("x", "y")),))
    assert rights(*headers) == [
        "users/ /jo",
        "groups/ /a",
        "groups/ /b",
        "userextras.authentication.k8s.io/acme/scope /x",
        "userextras.authentication.k8s.io/acme/scope /y",
        "uids.authentication.k8s.io/ /7",
    ]


def test_a_service_account_is_impersonated_in_its_namespace_and_has_its_groups() -> None:
    named = ("Impersonate-User", "system:serviceaccount:ns:robot")
    assert rights(named) == ["serviceaccounts/ ns/robot"]
    assert taken(named).groups == ("system:serviceaccounts", "system:serviceaccounts:ns", AUTHENTICATED)
    assert taken(named, ("Impersonate-Group", "g")).groups == ("g", AUTHENTICATED)
    assert rights(("Impersonate-User", "system:serviceaccount:ns")) == ["users/ /system:serviceaccount:ns"]


def test_anonymous_stays_unauthenticated() -> None:
    assert taken(("Impersonate-User", "system:anonymous")).groups == ("system:unauthenticated",)


@pytest.mark.parametrize("name", ["Group", "Uid", "Extra-k"])
def test_what_belongs_to_nobody_is_400(name: str) -> None:
    with pytest.raises(ApiError) as caught:
        impersonated(request((f"Impersonate-{name}", "x")), "c")
    assert caught.value.code == 400


def test_without_the_right_it_is_403_and_never_an_answer_to_whoever_really_asks(tmp_path: Path) -> None:
    tokens = [said({"authenticated": True, "user": {"username": "gateway"}})]
    with ScriptedServer(tokens, [said({"allowed": False})], close=False) as server, Session(
        tmp_path, server
    ) as one, pytest.raises(ApiError) as caught:
        one.user(bearer("a-token"), ("Impersonate-User", "jo"))
    assert (caught.value.code, caught.value.message) == (
        403,
        'users "jo" is forbidden: User "gateway" cannot impersonate resource "users" in API group ""'
        " at the cluster scope",
    )


def test_with_the_right_it_is_the_other_who_is_asked_for(tmp_path: Path) -> None:
    tokens = [said({"authenticated": True, "user": {"username": "gateway"}})]
    with ScriptedServer(tokens, [said({"allowed": True})], close=False) as server, Session(tmp_path, server) as one:
        user = one.user(bearer("a-token"), ("Impersonate-User", "jo"))
        assert one.check(user) == 200
        specs = [asked(raw)["spec"] for raw in server.requests[1:]]
    assert user == User("jo", groups=(AUTHENTICATED,))
    assert [(spec["user"], spec["resourceAttributes"]["verb"]) for spec in specs] == [
        ("gateway", "impersonate"),
        ("jo", "list"),
    ]
    assert "gateway" not in json.dumps(specs[1])


def test_a_line_of_a_token_file_is_nobody_elses(tmp_path: Path) -> None:
    gate = TokenFile(str(written(tmp_path)))
    error = refused(gate.user(request(bearer(ALICE), ("Impersonate-User", "jo")), "c"))
    assert error.code == 403
    assert error.message.startswith('users "jo" is forbidden: User "alice" cannot impersonate')
