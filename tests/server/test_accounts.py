"""Accounts of the POST API: who is let in, what file is taken, and that guessing tells nothing."""

from __future__ import annotations

import asyncio
import hmac
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, List, Optional

import pytest
from krm.server import accounts
from krm.server.accounts import Account, Accounts, BadAccounts, Secret, TooBusy, Unreadable, hashed, parse

CHEAP = "scrypt:8192:1:1:" + "00" * 16 + ":"


def cheap(password: str) -> str:
    """A hash that takes a millisecond."""
    salt = bytes(16)
    return str(Secret(8192, 1, 1, salt, accounts._scrypt(password.encode(), salt, 8192, 1, 1)))


TEXT = f"""# the billing system, and two teams
sifac,{cheap("of the billing")},*
team-a,"plain, with a comma","shop, shop-test"
team-b,{cheap("of team b")},web
nobody,nothing-to-see
"""


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def written(folder: Path, text: str = TEXT, mode: int = 0o600) -> str:
    path = folder / "accounts.csv"
    path.unlink(missing_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def ask(held: Accounts, name: str, password: str) -> Optional[Account]:
    return asyncio.run(held.find(name.encode(), password.encode()))


@pytest.mark.parametrize(
    ("name", "password", "namespaces"),
    [
        ("sifac", "of the billing", None),
        ("team-a", "plain, with a comma", ("shop", "shop-test")),
        ("team-b", "of team b", ("web",)),
        ("nobody", "nothing-to-see", ()),
    ],
)
def test_a_name_and_its_password_are_an_account(
    tmp_path: Path, name: str, password: str, namespaces: Optional[tuple[str, ...]]
) -> None:
    held = Accounts(written(tmp_path))
    for _ in range(2):  # the second time without scrypt
        assert ask(held, name, password) == Account(name, namespaces)
    for wrong in (password[:-1], password + " ", password.upper(), "", cheap(password)):
        assert ask(held, name, wrong) is None
    for other in ("sifac ", "SIFAC", "", "x"):
        assert ask(held, other, "of the billing") is None


def test_the_hash_in_the_file_is_no_password(tmp_path: Path) -> None:
    held = Accounts(written(tmp_path))
    assert ask(held, "team-b", cheap("of team b")) is None


def test_the_one_account_of_the_environment_sees_every_namespace(tmp_path: Path) -> None:
    held = Accounts("", ("root", "pässword"))
    assert ask(held, "root", "pässword") == Account("root", None)
    assert ask(held, "root", "password") is None
    both = Accounts(written(tmp_path), ("root", "x"))
    assert ask(both, "root", "x") == Account("root", None)
    assert ask(both, "team-b", "of team b") == Account("team-b", ("web",))
    with pytest.raises(BadAccounts, match="is API_USERNAME too"):
        Accounts(written(tmp_path), ("sifac", "x"))


def test_without_accounts_nobody_is_let_in() -> None:
    assert ask(Accounts(), "", "") is None
    assert ask(Accounts(), "root", "root") is None


def test_a_wrong_name_costs_what_a_wrong_password_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every refusal is one scrypt of the same cost, and every comparison one that takes as long in any case."""
    cost: List[Any] = []
    compared: List[Any] = []
    scrypt, compare = accounts._scrypt, hmac.compare_digest

    def counting(password: bytes, salt: bytes, n: int, r: int, p: int) -> bytes:
        cost.append((n, r, p))
        return scrypt(password, salt, n, r, p)

    def comparing(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return compare(one, other)

    held = Accounts(written(tmp_path))
    ask(held, "team-b", "of team b")
    monkeypatch.setattr(accounts, "_scrypt", counting)
    monkeypatch.setattr(accounts.hmac, "compare_digest", comparing)
    for name in ("team-b", "sifac", "team-a", "nobody", "unknown"):
        cost.clear()
        compared.clear()
        assert ask(held, name, "wrong") is None
        assert cost == [(8192, 1, 1)], name
        assert compared
    cost.clear()
    compared.clear()
    assert ask(held, "team-b", "of team b") is not None
    assert (cost, len(compared)) == ([], 1)


def test_passwords_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    free = threading.Event()

    def slow(self: Secret, password: bytes) -> bool:
        return free.wait(10) and False

    monkeypatch.setattr(Secret, "matches", slow)
    held = Accounts("", ("root", "right"))

    async def crowd() -> List[Any]:
        guesses = [asyncio.ensure_future(held.find(b"root", b"wrong %d" % n)) for n in range(50)]
        await asyncio.sleep(0)  # each has begun
        assert await held.find(b"root", b"right") == Account("root", None)  # and holds up nobody who is known
        free.set()
        return await asyncio.gather(*guesses, return_exceptions=True)

    told = asyncio.run(crowd())
    assert sum(isinstance(one, TooBusy) for one in told) == 50 - accounts.THREADS - accounts.WAITING
    assert sum(one is None for one in told) == accounts.THREADS + accounts.WAITING


def test_a_changed_file_counts_a_second_later_and_a_broken_one_lets_nobody_in(tmp_path: Path) -> None:
    clock = Clock()
    held = Accounts(written(tmp_path), ("root", "own"), clock)
    assert ask(held, "team-b", "of team b") is not None
    written(tmp_path, f"team-b,{cheap('another')},web\n")
    clock.now = 0.5
    assert ask(held, "team-b", "of team b") is not None
    clock.now = 1.0
    assert ask(held, "team-b", "of team b") is None
    assert ask(held, "team-b", "another") is not None
    written(tmp_path, "team-b,short\n")
    clock.now = 2.0
    for _ in range(2):
        with pytest.raises(Unreadable):
            ask(held, "root", "own")
    written(tmp_path)
    clock.now = 3.0
    assert ask(held, "root", "own") is not None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no line that lets anyone in"),
        ("# nothing\n\n", "no line that lets anyone in"),
        ("alone\n", "line 1: it has 1 columns"),
        ("a,long enough,x,y\n", "line 1: it has 4 columns"),
        (",long enough\n", "line 1: it names no account"),
        ("a,short\n", "line 1: its password has less than 8 characters"),
        ("a,long enough,Shop\n", "line 1: 'Shop' is no namespace"),
        ("a,long enough,x/y\n", "is no namespace"),
        ("a,long enough\na,another one\n", "line 2: its name stands on another line too"),
        ('a,"long enough\n', "it is no CSV"),
        ("a,scrypt:hunter22\n", "line 1: its password is no scrypt:"),
        ("a," + CHEAP.replace("8192", "1024") + "00" * 32 + "\n", "too weak or costs too much"),
        ("a," + CHEAP.replace("8192", "8193") + "00" * 32 + "\n", "too weak or costs too much"),
        ("a," + CHEAP.replace("8192", "16777216") + "00" * 32 + "\n", "too weak or costs too much"),
        ("a," + CHEAP.replace(":1:1:", ":1:99:") + "00" * 32 + "\n", "too weak or costs too much"),
    ],
)
def test_what_file_is_refused_and_that_no_password_is_told(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BadAccounts, match=says) as caught:
        Accounts(written(tmp_path, text))
    for secret in ("long enough", "another one", "short", "hunter22"):
        assert f"{secret}\n" not in str(caught.value)
        assert f"'{secret}'" not in str(caught.value)


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadAccounts, match="chmod 600"):
        Accounts(written(tmp_path, mode=0o644))
    with pytest.raises(BadAccounts, match="check --api-accounts"):
        Accounts(str(tmp_path / "none"))


def test_the_tool_writes_what_the_file_takes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "krm.server.accounts"]
    done = subprocess.run(command, input="correct horse\n", capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "horse" not in done.stdout
    held = Accounts(written(tmp_path, f"me,{done.stdout.strip()},*\n"))
    assert ask(held, "me", "correct horse") == Account("me", None)
    assert ask(held, "me", "correct hors") is None
    short = subprocess.run(command, input="short\n", capture_output=True, text=True, timeout=60)
    assert (short.returncode, short.stdout) == (1, "")


def test_two_hashes_of_a_password_differ() -> None:
    one, other = hashed(b"same"), hashed(b"same")
    assert one.salt != other.salt
    assert one.hash != other.hash
    (entry,) = parse(f"a,{one},*\n")
    assert entry.secret == one
