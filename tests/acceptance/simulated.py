"""The simulator as a child process, and its levers over HTTP."""

from __future__ import annotations

import base64
import http.client
import json
from pathlib import Path
from typing import Any, Dict
from urllib.parse import urlsplit

from acceptance.product import Product


class Simulated:
    """`python -m krm.simulator` of one Product."""

    def __init__(self, krm: Product, *options: str) -> None:
        self.kubeconfig = krm.folder / "simulator.kubeconfig"
        krm.start("simulator", "-m", "krm.simulator", *options, "--kubeconfig-out", str(self.kubeconfig))
        log = krm.folder / "simulator.log"
        line = krm.wait("the simulator listens", lambda: _url(log), 20.0)
        self._address = urlsplit(line)

    @property
    def port(self) -> int:
        return int(self._address.port or 0)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The control API, or the Kubernetes API itself."""
        connection = http.client.HTTPConnection(self._address.hostname or "", self._address.port, timeout=20)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            text = response.read()
            assert response.status < 300, f"{method} {path}: {response.status} {text[:300]!r}"
            return json.loads(text)
        finally:
            connection.close()

    def inject(self, kind: str, key: str, body: bytes) -> None:
        """Any bytes as an object; @RV@ in them becomes the revision."""
        content = base64.b64encode(body).decode()
        self.ask("POST", "/simulator/mutate", {"action": "inject", "kind": kind, "key": key, "bytes": content})

    def delete(self, kind: str, key: str) -> None:
        self.ask("POST", "/simulator/mutate", {"action": "delete", "kind": kind, "key": key})

    def kinds(self) -> Dict[str, Any]:
        found: Dict[str, Any] = self.ask("GET", "/simulator")["kinds"]
        return found


def _url(log: Path) -> str:
    for line in log.read_text(errors="replace").splitlines():
        if line.startswith("listening on "):
            return line.split()[-1]
    return ""
