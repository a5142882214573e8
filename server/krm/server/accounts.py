"""Who may ask the POST API: accounts of names and passwords, and the namespaces that each may see.

`--api-accounts FILE`, a line an account:

    NAME,PASSWORD,"NAMESPACE NAMESPACE"

PASSWORD is `scrypt:N:R:P:SALT:HASH`, as `python -m krm.server.accounts` writes it, or the password itself. `*` is
every namespace; an account without a third column sees none. Lines that begin with # are notes.
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import hmac
import io
import logging
import re
import secrets
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

from krm.server.secretfile import Signature, Unfit, changed, content

# Bytes of the file: some 5,000 accounts.
MAX_FILE = 1024 * 1024
# Characters of a password that stands in the file as it is; API_PASSWORD may be shorter, as it always was.
SHORTEST = 8
# Seconds between two looks whether the file has changed.
LOOK_EVERY = 1.0
# scrypt's cost of what we hash: 16 MiB and some 50 ms. What a file may ask for at most: 64 MiB.
COST = (2**14, 8, 1)
MOST_MEMORY = 64 * 1024 * 1024
# Threads that hash, and passwords that may wait for one.
THREADS, WAITING = 2, 16
EVERYTHING = "*"
_HASHED = re.compile(r"scrypt:([0-9]{1,8}):([0-9]{1,3}):([0-9]{1,3}):([0-9a-f]{16,128}):([0-9a-f]{64})").fullmatch
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?").fullmatch

log = logging.getLogger("krm.server")


class BadAccounts(ValueError):
    """The file cannot be used. The sentence holds no password."""


class Unreadable(Exception):
    """Who may come in cannot be found out now: the file was broken since the start."""


class TooBusy(Exception):
    """More passwords wait to be looked at than may."""


class Account(NamedTuple):
    """Who asks."""

    name: str
    namespaces: Optional[Tuple[str, ...]]  # that it may see; None = all


class Secret(NamedTuple):
    """What scrypt makes of a password."""

    n: int
    r: int
    p: int
    salt: bytes
    hash: bytes

    def matches(self, password: bytes) -> bool:
        """Takes as long whether or not."""
        return hmac.compare_digest(_scrypt(password, self.salt, self.n, self.r, self.p), self.hash)

    def __str__(self) -> str:
        return f"scrypt:{self.n}:{self.r}:{self.p}:{self.salt.hex()}:{self.hash.hex()}"


def hashed(password: bytes) -> Secret:
    """Of a password, with a salt of its own. Takes some 50 ms."""
    salt = secrets.token_bytes(16)
    return Secret(*COST, salt, _scrypt(password, salt, *COST))


def _scrypt(password: bytes, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=2 * MOST_MEMORY, dklen=32)


class Entry(NamedTuple):
    """An account with how it is known: a hash, or the password itself."""

    account: Account
    secret: Optional[Secret]
    password: str = ""


def parse(text: str) -> List[Entry]:
    """One entry a line. Raises BadAccounts."""
    rows = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    found: Dict[str, Entry] = {}
    try:
        for row in rows:
            if not any(row) or row[0].startswith("#"):
                continue
            entry = _entry(row, rows.line_num)
            if found.setdefault(entry.account.name, entry) is not entry:
                raise BadAccounts(f"line {rows.line_num}: its name stands on another line too")
    except csv.Error:
        raise BadAccounts(f"line {rows.line_num}: it is no CSV, a quote may be missing") from None
    return list(found.values())


def _entry(row: List[str], line: int) -> Entry:
    if not 2 <= len(row) <= 3:
        raise BadAccounts(f"line {line}: it has {len(row)} columns, not name,password,namespaces")
    name, password = row[0].strip(), row[1].strip()
    spaces = tuple(dict.fromkeys(row[2].replace(",", " ").split())) if len(row) == 3 else ()
    if not name or not name.isprintable():
        raise BadAccounts(f"line {line}: it names no account")
    for one in spaces:
        if one != EVERYTHING and not _NAMESPACE(one):
            raise BadAccounts(f"line {line}: {one[:80]!r} is no namespace (* is all of them)")
    account = Account(name, None if EVERYTHING in spaces else spaces)
    if password.startswith("scrypt:"):
        return Entry(account, _secret(password, line))
    if len(password) < SHORTEST:
        raise BadAccounts(f"line {line}: its password has less than {SHORTEST} characters")
    return Entry(account, None, password)


def _secret(text: str, line: int) -> Secret:
    match = _HASHED(text)
    if match is None:
        raise BadAccounts(f"line {line}: its password is no scrypt:N:R:P:SALT:HASH")
    n, r, p = (int(part) for part in match.groups()[:3])
    if n < 2**13 or n & (n - 1) or r < 1 or p < 1 or 128 * n * r > MOST_MEMORY or p > 4:
        raise BadAccounts(f"line {line}: scrypt with N={n}, R={r}, P={p} is too weak or costs too much")
    return Secret(n, r, p, bytes.fromhex(match.group(4)), bytes.fromhex(match.group(5)))


class _Known:
    """An account. `right`: the digest of its password; of a hashed one once that was shown, so that scrypt is
    for those who guess."""

    def __init__(self, account: Account, secret: Optional[Secret], right: bytes) -> None:
        self.account, self.secret, self.right = account, secret, right


class Accounts:
    """All of them; the file is read again when it changes. It belongs to the event loop."""

    def __init__(
        self, path: str = "", own: Tuple[str, str] = ("", ""), clock: Callable[[], float] = time.monotonic
    ):
        """`path`: '' = no file. `own`: name and password of the account that sees every namespace, '' = none.
        Raises BadAccounts: at the start a file must be sound."""
        self._path, self._clock = path, clock
        self._own = [Entry(Account(own[0], None), None, own[1])] if own[0] else []
        # Names and passwords are compared as digests under a key that nobody outside has: how long that takes
        # tells nothing of them, however cleverly the guesses are chosen.
        self._key = secrets.token_bytes(32)
        self._known: Dict[bytes, _Known] = {}
        self._nobody = Secret(*COST, secrets.token_bytes(16), bytes(32))  # for names that are not known
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="scrypt")
        self._open = 0
        self._seen: Signature = ()
        self._broken = ""
        self._look_at = clock() + LOOK_EVERY
        self._read()
        if self._broken:
            raise BadAccounts(self._broken)

    def close(self) -> None:
        """Takes no more."""
        self._pool.shutdown(wait=False)

    async def find(self, name: bytes, password: bytes) -> Optional[Account]:
        """The account, None = the name or the password is wrong: both take as long. Raises Unreadable, TooBusy."""
        self._refresh()
        known, shown = self._known.get(self._digest(name)), self._digest(password)
        if known is not None and hmac.compare_digest(known.right, shown):
            return known.account
        if not self._known:
            return None
        secret = known.secret if known is not None else None
        right = await self._matches(secret or self._nobody, password)
        if known is None or secret is None or not right:
            return None
        known.right = shown
        return known.account

    async def _matches(self, secret: Secret, password: bytes) -> bool:
        if self._open >= THREADS + WAITING:
            raise TooBusy
        self._open += 1
        running = asyncio.get_running_loop().run_in_executor(self._pool, secret.matches, password)
        running.add_done_callback(self._done)
        return await asyncio.shield(running)

    def _done(self, _: asyncio.Future[bool]) -> None:
        self._open -= 1

    def _digest(self, text: bytes) -> bytes:
        return hashlib.blake2b(text, key=self._key, digest_size=32).digest()

    def _refresh(self) -> None:
        now = self._clock()
        if self._path and now >= self._look_at:
            self._look_at = now + LOOK_EVERY
            if changed(self._path, self._seen):
                self._read()
        if self._broken:
            raise Unreadable

    def _read(self) -> None:
        """The file as it is; broken, it lets nobody in."""
        before = self._broken
        self._known, self._broken, self._seen = {}, "", ()
        try:
            entries = [*self._own, *self._of_file()]
        except (BadAccounts, Unfit) as error:
            self._broken = f"accounts {self._path}: {error}"
            if self._broken != before:
                log.error("%s: nobody is let in at the POST API until it is corrected", self._broken)
            return
        self._known = {
            self._digest(account.name.encode()): _Known(
                account, secret, b"" if secret else self._digest(password.encode())
            )
            for account, secret, password in entries
        }
        hashes = [one.secret for one in entries if one.secret is not None]
        if hashes:
            costliest = max(hashes, key=lambda secret: secret.n * secret.r * secret.p)
            self._nobody = costliest._replace(salt=secrets.token_bytes(16), hash=bytes(32))

    def _of_file(self) -> List[Entry]:
        if not self._path:
            return []
        text, self._seen = content(self._path, MAX_FILE, "--api-accounts")
        entries = parse(text)
        if not entries:
            raise BadAccounts("it has no line that lets anyone in")
        for one in entries:
            if self._own and one.account.name == self._own[0].account.name:
                raise BadAccounts(f"{one.account.name!r} is API_USERNAME too: which password is meant?")
        return entries


def main() -> int:
    """Asks for a password, or reads it from a pipe, and prints what stands for it in the file."""
    import getpass

    text = getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    if len(text) < SHORTEST:
        print(f"a password has at least {SHORTEST} characters", file=sys.stderr)
        return 1
    print(hashed(text.encode()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
