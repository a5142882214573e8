"""The server of a `krm up`: one child over all its clusters, on loopback, for whoever has its kubeconfig.

The socket of an HTTP server is open to every user of the machine, so it is never without a token, and TLS
tells the client that it is this server which asks for it. All of it lies in the private folder of this
`krm up`; the CA's key lies nowhere.
"""

from __future__ import annotations

import http.client
import importlib.util
import json
import secrets
import shlex
import socket
import ssl
import time
from pathlib import Path
from types import MappingProxyType
from typing import List, Mapping, Optional, Sequence

from krm.cli.authority import SERVING_DAYS, Authority
from krm.cli.kubeconfig_out import Entry, server_url, text, write_private
from krm.cli.next_steps import example, namespaces_flag
from krm.cli.processes import Child
from krm.client.errors import KrmError

_HOST = "127.0.0.1"
_USER = "krm-up"
_NEEDS = ("uvicorn", "starlette", "cryptography")
_RENEW_AFTER = SERVING_DAYS * 86400 / 2  # seconds
_READY_WITHIN = 15.0  # seconds after which the kubeconfig is handed out although some kind was not read yet
_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_MOST = 4 * 1024 * 1024  # bytes of an answer that is looked at
_PROBE = 1.0  # seconds that a turn waits for its answer at most


class NoServer(KrmError):
    """It cannot be started; the sentence says why."""


def missing() -> str:
    """A sentence where the packages that it needs are not installed, else ''."""
    lacking = [name for name in _NEEDS if importlib.util.find_spec(name) is None]
    if not lacking:
        return ""
    return f"without a server: it needs {' and '.join(lacking)}: pip install 'krm[server]'"


def free_port(port: int) -> int:
    """`port`, or with 0 any that is free. Raises NoServer."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except (OSError, OverflowError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise NoServer(f"--server-port {port} cannot be used: {why}") from None
        found: int = probe.getsockname()[1]
    return found


class OwnServer:
    """Made, then started as a child; `turn` each second."""

    def __init__(self, folder: Path, clusters: Sequence[str], kinds: Sequence[str], port: int, out: str) -> None:
        """`out`: where its kubeconfig goes, '' = into the folder. Raises NoServer."""
        self._folder, self._kinds = folder, kinds
        self._port = free_port(port)
        self.url = f"https://{_HOST}:{self._port}"
        self.kubeconfig = Path(out).absolute() if out else folder / "kubeconfig"
        self._entries = [
            Entry(name, server_url(self.url, name, first=not number), secrets.token_urlsafe(32))
            for number, name in enumerate(clusters)
        ]
        self._authority = Authority("krm up")
        self._text = text(self._entries, self._authority.pem).encode()
        self._trusting = ssl.create_default_context(cadata=self._authority.pem.decode())
        self._started = time.monotonic()
        self._renew_at = 0.0
        self._told = False
        self._renew(self._started)
        for number, entry in enumerate(self._entries):
            write_private(self._tokens(number), f'{entry.token},{_USER},,,"*/*"\n'.encode())

    def child(self, redis: str, history_token_file: Path) -> Child:
        """Not started yet. history_token_file: what opens the collectors' histories."""
        arguments = ["-m", "krm.server", "--redis", redis, "--address", _HOST, "--port", str(self._port)]
        arguments += ["--tls-cert", str(self._cert), "--tls-key", str(self._key), "--auth", "token-file"]
        arguments += ["--history-token-file", str(history_token_file)]
        for number, entry in enumerate(self._entries):
            arguments += ["--cluster", entry.cluster, "--token-file", str(self._tokens(number))]
        return Child("server", arguments, self._folder)

    def turn(self) -> Optional[str]:
        """Renews its certificate; a sentence once it answers, with its kubeconfig written by then."""
        now = time.monotonic()
        if now >= self._renew_at:
            self._renew(now)
        if self._told:
            return None
        ready = self._ask("/readyz") is not None and self._serves(example(self._kinds))
        late = now - self._started > _READY_WITHIN and self._ask("/livez") is not None
        if not ready and not late:
            return None
        write_private(self.kubeconfig, self._text)
        self._told = True
        return self._sentence("" if ready else " (not every kind was read yet)")

    def close(self) -> None:
        """Once the server has ended: what was secret goes, for it is worth nothing any more."""
        tokens = [self._tokens(number) for number in range(len(self._entries))]
        try:
            for path in [self._cert, self._key, *tokens]:
                path.unlink()
            if self._told and self.kubeconfig.read_bytes() == self._text:
                self.kubeconfig.unlink()
        except FileNotFoundError:
            return  # somebody else took it away

    @property
    def _cert(self) -> Path:
        return self._folder / "server.crt"

    @property
    def _key(self) -> Path:
        return self._folder / "server.key"

    def _tokens(self, number: int) -> Path:
        return self._folder / f"server-{number}.tokens"

    def _renew(self, now: float) -> None:
        cert, key = self._authority.serving()
        # The server looks at both and keeps the earlier pair while they do not fit.
        write_private(self._key, key)
        write_private(self._cert, cert)
        self._renew_at = now + _RENEW_AFTER

    def _serves(self, kind: str) -> bool:
        """Whether discovery knows it, as kubectl will ask."""
        resource, _, group = kind.partition(".")
        text = self._ask("/apis" if group else "/api", {"Accept": _DISCOVERY})
        try:
            groups = json.loads(text or "{}").get("items", [])
            found = [one for one in groups if one["metadata"].get("name", "") == group]
            return any(
                each["resource"] == resource
                for one in found
                for version in one["versions"]
                for each in version["resources"]
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return False

    def _ask(self, path: str, headers: Mapping[str, str] = MappingProxyType({})) -> Optional[bytes]:
        """The body of a 200, None = it does not answer so."""
        connection = http.client.HTTPSConnection(_HOST, self._port, timeout=_PROBE, context=self._trusting)
        token = {"Authorization": f"Bearer {self._entries[0].token}"}
        try:
            connection.request("GET", path, headers={**token, **headers})
            answer = connection.getresponse()
            return answer.read(_MOST) if answer.status == 200 else None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def _sentence(self, remark: str) -> str:
        kubectl = f"kubectl --kubeconfig {shlex.quote(str(self.kubeconfig))}"
        kind = example(self._kinds)
        others: List[str] = [shlex.quote(entry.context) for entry in self._entries[1:]]
        more = f"; --context {', '.join(others)} for the others" if others else ""
        return f"Serving at {self.url}{remark}. Next: {kubectl} get {kind}{namespaces_flag(kind)}{more}"
