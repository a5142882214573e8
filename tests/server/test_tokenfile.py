"""`--auth token-file`: who is let in, what they may read, and what file is taken."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, List

import pytest
from krm.model.kinds import parse_kind
from krm.server.identity import Attributes, User
from krm.server.tokenfile import MAX_FILE, BadTokenFile, TokenFile, parse
from server.asking import bearer, codes, now, refused, request

ALICE, BOB, CAROL = "a" * 16, "b" * 20, "c" * 32
TEXT = f"""# who may read the shared cluster
{ALICE},alice,u-1,"devs,ops","team-a/* */nodes"
{BOB},bob,u-2,,"*/*"
{CAROL},carol,u-3
"""


def written(folder: Path, text: str = TEXT, mode: int = 0o600) -> Path:
    path = folder / "tokens.csv"
    path.unlink(missing_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def asked(verb: str, kind: str, namespace: str = "", name: str = "", subresource: str = "") -> Attributes:
    return Attributes("c", verb, parse_kind(kind), "v1", namespace, name, subresource)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_token_is_its_users_and_every_user_is_authenticated(tmp_path: Path) -> None:
    gate = TokenFile(str(written(tmp_path)))
    user = now(gate.user(request(bearer(ALICE)), "c"))
    assert user == User("alice", "u-1", ("devs", "ops", "system:authenticated"))


def test_who_shows_no_token_of_the_file_is_401(tmp_path: Path) -> None:
    gate = TokenFile(str(written(tmp_path)))
    asks = [
        request(),
        request(bearer(ALICE[:-1])),
        request(bearer(ALICE + "a")),
        request(bearer(ALICE.upper())),
        request(("Authorization", f"Basic {ALICE}")),
        request(bearer(ALICE), bearer(ALICE)),
        request(("X-Remote-User", "alice"), ("Impersonate-User", "alice")),
    ]
    assert [refused(gate.user(ask, "c")).message for ask in asks] == ["Unauthorized"] * len(asks)


def test_each_user_may_read_what_their_line_says_and_nothing_else(tmp_path: Path) -> None:
    gate = TokenFile(str(written(tmp_path)))
    asks = {
        "pods of team-a": asked("list", "pods", "team-a"),
        "one pod of team-a": asked("get", "pods", "team-a", "web"),
        "pods of team-b": asked("watch", "pods", "team-b"),
        "all pods": asked("list", "pods"),
        "nodes": asked("watch", "nodes"),
        "a node": asked("get", "nodes", "", "n-1"),
        "a pod's log": asked("get", "pods", "team-a", "web", "log"),
        "deleting a pod": asked("delete", "pods", "team-a", "web"),
        "discovery": Attributes("c", "get", path="/apis/apps/v1"),
        "metrics": Attributes("c", "get", path="/metrics"),
        "apisix": Attributes("c", "get", path="/apisix"),
    }
    may: Dict[str, List[str]] = {}
    for name, token in (("alice", ALICE), ("bob", BOB), ("carol", CAROL)):
        user = now(gate.user(request(bearer(token)), "c"))
        answers = codes([gate.check(user, one) for one in asks.values()])
        may[name] = [what for what, code in zip(asks, answers) if code == 200]
    assert may == {
        "alice": ["pods of team-a", "one pod of team-a", "nodes", "a node", "discovery"],
        "bob": [one for one in asks if one not in ("a pod's log", "deleting a pod")],
        "carol": ["discovery"],
    }


def test_a_refusal_reads_like_the_api_servers(tmp_path: Path) -> None:
    gate = TokenFile(str(written(tmp_path)))
    error = refused(gate.check(User("alice"), asked("get", "deployments.apps", "team-b", "web")))
    assert error.code == 403
    assert error.message == (
        'deployments.apps "web" is forbidden: User "alice" cannot get resource "deployments"'
        ' in API group "apps" in the namespace "team-b"'
    )
    assert error.details == {"name": "web", "group": "apps", "kind": "deployments"}


def test_a_changed_file_counts_a_second_later(tmp_path: Path) -> None:
    clock = Clock()
    path = written(tmp_path)
    gate = TokenFile(str(path), clock)
    user = now(gate.user(request(bearer(ALICE)), "c"))
    path.write_text(TEXT.replace("team-a/*", "team-b/*"))
    clock.now += 1.0
    assert refused(gate.check(user, asked("list", "pods", "team-a"))).code == 403
    path.write_text(f"{BOB},bob,u-2")
    clock.now += 1.0
    assert refused(gate.user(request(bearer(ALICE)), "c")).code == 401
    assert refused(gate.check(user, asked("list", "pods", "team-b"))).code == 403


def test_a_file_without_a_user_is_refused_at_the_start(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text("# TOKEN,USER,UID,GROUPS,READS\n\n")
    with pytest.raises(BadTokenFile, match="no line that lets anyone in"):
        TokenFile(str(path))


@pytest.mark.parametrize("spoil", ["broken", "removed", "readable", "empty"])
def test_a_file_that_became_unfit_lets_nobody_in_until_it_is_mended(
    tmp_path: Path, spoil: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    path = written(tmp_path)
    gate = TokenFile(str(path), clock)
    if spoil == "broken":
        path.write_text(TEXT + '"half')
    elif spoil == "empty":
        path.write_text("# nobody yet\n")
    elif spoil == "removed":
        path.unlink()
    else:
        path.chmod(0o644)
    clock.now += 1.0
    error = refused(gate.user(request(bearer(ALICE)), "c"))
    assert (error.code, error.retry_after) == (503, 5)
    assert refused(gate.check(User("bob"), asked("list", "pods"))).code == 503
    assert str(path) in caplog.text
    assert ALICE not in caplog.text
    written(tmp_path)
    clock.now += 1.0
    assert now(gate.user(request(bearer(ALICE)), "c")).name == "alice"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (f"{ALICE},alice", "2 columns"),
        (f"{ALICE},alice,u,g,team-a/*,more", "6 columns"),
        ("short,alice,u", "visible ASCII"),
        ("has a space in it,alice,u", "visible ASCII"),
        (f"{ALICE},,u", "names no user"),
        (f"{ALICE},system:anonymous,u", "names no user"),
        (f"{ALICE},alice,u,,pods", "NAMESPACE/KIND"),
        (f"{ALICE},alice,u,,a/b/c", "NAMESPACE/KIND"),
        (f"{ALICE},alice,u,,team-a/", "NAMESPACE/KIND"),
        (f'{ALICE},alice,u,"g', "no CSV"),
        (f"{ALICE},alice,u\n{ALICE},bob,v", "another line's"),
        (f"{ALICE},alice,u\n{BOB},alice,u,,*/*", "other groups or rights"),
    ],
)
def test_a_line_that_says_nothing_clear_is_refused_by_number_and_without_its_token(line: str, says: str) -> None:
    with pytest.raises(BadTokenFile, match=says) as caught:
        parse(line)
    assert "line " in str(caught.value)
    assert line.split(",")[0] not in str(caught.value)


def test_a_user_may_have_two_tokens_while_one_is_changed(tmp_path: Path) -> None:
    text = f"{ALICE},alice,u,,team-a/*\n{BOB},alice,u,,team-a/*\n"
    gate = TokenFile(str(written(tmp_path, text)))
    assert {now(gate.user(request(bearer(token)), "c")).name for token in (ALICE, BOB)} == {"alice"}


def test_only_a_small_regular_file_of_ones_own_is_read(tmp_path: Path) -> None:
    for mode in (0o644, 0o604, 0o620, 0o602):
        with pytest.raises(BadTokenFile, match="chmod 600"):
            TokenFile(str(written(tmp_path, mode=mode)))
    TokenFile(str(written(tmp_path, mode=0o440)))  # a Secret's, with fsGroup
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    for path, says in ((pipe, "regular"), (tmp_path, "regular"), (tmp_path / "none", "opened")):
        with pytest.raises(BadTokenFile, match=says):
            TokenFile(str(path))
    with pytest.raises(BadTokenFile, match="more than"):
        TokenFile(str(written(tmp_path, "#" * (MAX_FILE + 1))))
    link = tmp_path / "link"
    link.symlink_to(written(tmp_path))  # as a Secret's volume has them
    TokenFile(str(link))
