"""TLS as this server offers it: its certificate, and the CAs whose client certificates it takes.

Files are looked at each few seconds and taken anew where they changed; a new connection gets the new
ones, those that are open keep what they began with. A new set that cannot be used is told once, and the
old one stays: a half-written file must not end a service.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import stat
from contextlib import suppress
from typing import Any, Dict, Optional, Tuple

# Seconds between two looks at the files, as kube-apiserver's own reload is of minutes and certificates of days.
LOOK_EVERY = 2.0
MAX_FILE = 1024 * 1024  # bytes of a certificate, a key or a bundle

log = logging.getLogger("krm.server")

# What tells one state of a file from another.
Stamp = Tuple[Tuple[int, int, int], ...]


class BadCertificates(ValueError):
    """Files that cannot be served with; the text says which, and why."""


class Certificates:
    """The newest usable state of the files. `context` is the one to listen with, for good."""

    def __init__(self, cert: str, key: str, client_ca: str = "") -> None:
        """`client_ca`: '' = no client certificates are asked for. Raises BadCertificates."""
        self._cert, self._key, self._client_ca = cert, key, client_ca
        self._told: Dict[str, str] = {}  # source -> PEM, of `trust`
        self._said = ""
        self._seen = self._stamp()
        self._current = self._made()
        self._warn_of_key()
        self.context = _bare()
        # Python can only add CAs to a context, never take one away, and asyncio listens with the same one for
        # ever. So each connection is moved to the newest: the callback comes with or without a server name.
        self.context.sni_callback = self._newest
        self.context.verify_mode = self._current.verify_mode

    def trust(self, source: str, pem: str) -> None:
        """CAs that were learned elsewhere than from --client-ca, PEM; '' = none any more.

        Raises BadCertificates, and then the earlier ones of this source stand.
        """
        before = dict(self._told)
        self._told[source] = pem
        if self._told != before:
            try:
                self._take(self._made())
            except BadCertificates:
                self._told = before
                raise

    def look(self) -> Optional[str]:
        """Takes changed files; a sentence where there were any."""
        try:
            stamp = self._stamp()
            if stamp == self._seen:
                return None
            self._seen = stamp  # before they are read: what changes meanwhile is seen by the next look
            self._take(self._made())
            self._warn_of_key()
        except BadCertificates as error:
            return f"the earlier certificate is kept: {error}"
        return f"{self._cert} was read anew"

    def look_and_tell(self) -> None:
        """`look`, its sentence into the log; the same trouble once."""
        sentence = self.look()
        if sentence and sentence != self._said:
            log.warning("%s", sentence)
        self._said = sentence or self._said

    async def keep(self) -> None:
        """Looks for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await loop.run_in_executor(None, self.look_and_tell)

    def _take(self, made: ssl.SSLContext) -> None:
        self._current = made
        self.context.verify_mode = made.verify_mode

    def _newest(self, connection: Any, _name: Optional[str], _context: ssl.SSLContext) -> None:
        connection.context = self._current

    def _stamp(self) -> Stamp:
        return tuple(_stamp(path) for path in (self._cert, self._key, self._client_ca) if path)

    def _warn_of_key(self) -> None:
        """Told and not refused: the key of a Secret that is mounted with fsGroup is its group's."""
        with suppress(OSError):  # it was there to be loaded; gone since, the next look tells
            mode = os.stat(self._key).st_mode
            if mode & 0o077:
                whom = "everyone on this machine" if mode & 0o007 else "its group"
                log.warning(
                    "%s: the server's key can be read by %s: chmod 600 where it is yours alone", self._key, whom
                )

    def _made(self) -> ssl.SSLContext:
        made = _bare()
        try:
            made.load_cert_chain(self._cert, self._key, password=_no_password)
        except (OSError, ValueError) as error:
            pair = f"{self._cert} and {self._key}"
            raise BadCertificates(f"{pair} are no pair to serve with: {_why(error)}") from None
        if self._client_ca:
            self._add(made, self._client_ca, cafile=self._client_ca)
        for source, pem in self._told.items():
            if pem:
                self._add(made, source, cadata=pem)
        return made

    def _add(self, made: ssl.SSLContext, source: str, **where: str) -> None:
        try:
            made.load_verify_locations(**where)
        except (OSError, ValueError) as error:
            raise BadCertificates(f"{source} holds no CA certificates: {_why(error)}") from None
        made.verify_mode = ssl.CERT_OPTIONAL  # whoever has no certificate brings a token, or is anonymous


def _bare() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    # A resumed session would bring back a peer whose CA has been taken away since; see listening.WithPeer too.
    made.options |= ssl.OP_NO_TICKET | getattr(ssl, "OP_NO_RENEGOTIATION", 0)
    made.num_tickets = 0
    return made


def _stamp(path: str) -> Tuple[int, int, int]:
    try:
        found = os.stat(path)
    except OSError as error:
        raise BadCertificates(f"{path}: {error.strerror}") from None
    if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_FILE:  # a FIFO would hold us for ever
        raise BadCertificates(f"{path} is no file of at most {MAX_FILE} bytes")
    return found.st_mtime_ns, found.st_size, found.st_ino


def _no_password() -> str:
    # Without this OpenSSL asks on the terminal, and a service waits there for ever.
    raise ValueError("the key is encrypted: krm server takes one without a passphrase")


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    return str(error)
