"""`--auth token-file`: who may read what, from a file. For krm without a cluster's own authorisation.

A line a user, as the API server's --token-auth-file with a fifth column:

    TOKEN,USER,UID,"GROUP,GROUP","NAMESPACE/KIND NAMESPACE/KIND"

team-a/*     all kinds of one namespace          */pods   one kind, everywhere
team-a/pods  one kind of one namespace           */*      everything
/metrics     one path, such as /krm/v1/bill
Who has no fifth column may read nothing but the documents of discovery. Lines that begin with # are notes.
"""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import secrets
import time
from typing import Callable, Dict, List, NamedTuple, Tuple

from krm.model.kinds import parse_kind
from krm.server.credentials import bearer, with_group
from krm.server.identity import Attributes, Gate, User, refused
from krm.server.impersonation import impersonated
from krm.server.secretfile import Signature, Unfit, changed, content
from krm.server.statuses import unauthorized, unavailable
from krm.server.web import Request

# Bytes: some 5,000 users.
MAX_FILE = 1024 * 1024
# Characters of a token. A guess a millisecond finds one of 16 random hex digits in 10^8 years.
SHORTEST = 16
# Seconds between two looks whether the file has changed.
LOOK_EVERY = 1.0
READS = ("get", "list", "watch")
# Paths that are no resource, and that every user may read: what the roles system:discovery and
# system:public-info-viewer give everyone whom an API server knows.
DISCOVERY = ("/api", "/apis", "/openapi", "/version", "/healthz", "/livez", "/readyz")

log = logging.getLogger("krm.server")


class BadTokenFile(ValueError):
    """The file cannot be used. The sentence holds no token."""


class Entry(NamedTuple):
    """One user and the (namespace, kind) that may be read, '*' = every; of a path ('', path)."""

    user: User
    reads: Tuple[Tuple[str, str], ...]


def parse(text: str) -> List[Tuple[str, Entry]]:
    """(token, entry) a line. Raises BadTokenFile."""
    rows = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    found: Dict[str, Entry] = {}
    users: Dict[str, Entry] = {}  # several tokens of one user, for a change of tokens
    try:
        for row in rows:
            if not any(row) or row[0].startswith("#"):
                continue
            token, entry = _entry(row, rows.line_num)
            if token in found:
                raise BadTokenFile(f"line {rows.line_num}: its token is another line's too")
            if users.setdefault(entry.user.name, entry) != entry:
                raise BadTokenFile(f"line {rows.line_num}: its user has other groups or rights on another line")
            found[token] = entry
    except csv.Error:
        raise BadTokenFile(f"line {rows.line_num}: it is no CSV, a quote may be missing") from None
    return list(found.items())


def _entry(row: List[str], line: int) -> Tuple[str, Entry]:
    columns = [column.strip() for column in row] + [""] * (5 - len(row))
    if not 3 <= len(row) <= 5:
        raise BadTokenFile(f"line {line}: it has {len(row)} columns, not token,user,uid,groups,reads")
    token, name, uid, groups, reads = columns
    if len(token) < SHORTEST or not all("!" <= char <= "~" for char in token):
        raise BadTokenFile(f"line {line}: its token is no {SHORTEST} or more visible ASCII characters")
    if not name or name.startswith("system:anonymous"):
        raise BadTokenFile(f"line {line}: it names no user")
    parts = tuple(part.strip() for part in groups.split(",") if part.strip())
    pairs = tuple(_read(one, line) for one in reads.replace(",", " ").split())
    return token, Entry(with_group(User(name, uid, parts)), pairs)


def _read(text: str, line: int) -> Tuple[str, str]:
    if text.startswith("/") and len(text) > 1:
        return "", text
    namespace, slash, kind = text.partition("/")
    if not namespace or not slash or not kind or "/" in kind:
        raise BadTokenFile(f"line {line}: {text!r} is no NAMESPACE/KIND (either may be *) and no /PATH")
    if kind == "*":
        return namespace, kind
    try:
        return namespace, str(parse_kind(kind))
    except ValueError as error:
        raise BadTokenFile(f"line {line}: {error}") from None


def may(entry: Entry, asked: Attributes) -> bool:
    """Whether this is among what the user may read."""
    if asked.path:
        known = asked.verb in ("get", "head")
        public = any(asked.path == root or asked.path.startswith(root + "/") for root in DISCOVERY)
        named = ("*", "*") in entry.reads or ("", asked.path) in entry.reads
        return known and (public or asked.path == "/" or named)
    if asked.verb not in READS or asked.subresource:
        return False
    return any(
        namespace in ("*", asked.namespace) and kind in ("*", str(asked.kind)) for namespace, kind in entry.reads
    )


class TokenFile(Gate):
    """The gate of one cluster, its file read again when it changes. It belongs to the event loop."""

    def __init__(self, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises BadTokenFile: at the start a file must be sound."""
        self._path, self._clock = path, clock
        # Tokens are kept and compared as digests under a key that nobody outside has: how long a lookup
        # takes tells nothing of a token, however cleverly the guesses are chosen.
        self._key = secrets.token_bytes(32)
        self._users: Dict[bytes, User] = {}
        self._reads: Dict[str, Entry] = {}
        self._seen: Signature = ()
        self._broken = ""
        self._look_at = clock() + LOOK_EVERY
        self._read()
        if self._broken:
            raise BadTokenFile(self._broken)

    async def user(self, request: Request, cluster: str) -> User:
        """As Gate; no line lets anybody be taken for somebody else. Raises ApiError 400, 401, 403, 503."""
        self._refresh()
        token = bearer(request)
        found = self._users.get(self._digest(token)) if token else None
        if found is None:
            raise unauthorized()
        other = impersonated(request, cluster)
        if other is not None:
            raise refused(found, other.rights[0])
        return found

    async def check(self, user: User, attributes: Attributes) -> None:
        """As Gate. Raises ApiError 403, 503."""
        self._refresh()
        entry = self._reads.get(user.name)
        if entry is None or not may(entry, attributes):
            raise refused(user, attributes)

    def _digest(self, token: str) -> bytes:
        return hashlib.blake2b(token.encode(), key=self._key, digest_size=32).digest()

    def _refresh(self) -> None:
        now = self._clock()
        if now >= self._look_at:
            self._look_at = now + LOOK_EVERY
            if changed(self._path, self._seen):
                self._read()
        if self._broken:
            raise unavailable("krm cannot read who may read what: its log says why", 5)

    def _read(self) -> None:
        """The file as it is; broken, it lets nobody in."""
        before = self._broken
        self._users, self._reads, self._broken, self._seen = {}, {}, "", ()
        try:
            text, self._seen = content(self._path, MAX_FILE, "--token-file")
            rows = parse(text)
            if not rows:
                raise BadTokenFile("it has no line that lets anyone in")
            self._users = {self._digest(token): entry.user for token, entry in rows}
            self._reads = {entry.user.name: entry for _, entry in rows}
        except (BadTokenFile, Unfit) as error:
            self._broken = f"token file {self._path}: {error}"
            if self._broken != before:
                log.error("%s: nobody is let in until it is corrected", self._broken)
