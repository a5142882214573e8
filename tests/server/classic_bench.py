"""A server with the POST API, one account and a history of a test's own."""

from __future__ import annotations

import json
from typing import Any, Optional, Tuple

from krm.model.measures import Subject
from krm.server.accounts import Accounts
from krm.server.classic import Classic
from krm.server.kept import Kept
from paper_app import Got, PaperApp
from server.paper_history import PaperHistory

NOW = 1_514_810_096.0  # 2018-01-01T12:34:56Z
RIGHT = (("X-USERNAME", "sifac"), ("X-PASSWORD", "hunter2"))
CPU = "cpu/usage_rate"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """A server with one account and a history of its own."""

    def __init__(self, accounts: Optional[Accounts] = None) -> None:
        self.app, self.history, self.clock = PaperApp("paper", "other"), PaperHistory(), Clock()
        self.app.kind("pods", {"a/x": {}})
        self.kept = Kept(1 << 24)
        self.accounts = accounts or Accounts("", ("sifac", "hunter2"))
        self.classic = Classic(self.history, self.accounts, self.kept, lambda: NOW, self.clock)
        self.app.app.classic = self.classic
        for turn in range(4):
            pod = Subject("default", "web-0", "u1", node="n1")
            self.history.put(CPU, pod, NOW - 60 + 15 * turn, 100 + turn)
            self.history.put(CPU, pod._replace(namespace="shop"), NOW - 60 + 15 * turn, 10)

    def post(
        self,
        path: str = f"/api/{CPU}",
        body: Any = b"",
        headers: Tuple[Tuple[str, str], ...] = RIGHT,
        method: str = "POST",
        peer: str = "10.0.0.1",
    ) -> Got:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.app.ask(path, method, headers, [raw], peer)


def is_error(got: Got, code: int, message: str, status: Optional[int] = None) -> None:
    assert got.json() == {"code": code, "message": message}
    assert got.status == (status or code)
    assert got.headers["content-type"] == "application/json"
