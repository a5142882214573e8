"""A small HTTP server that takes alerts: what Alertmanager refuses it refuses, and it keeps what it was told."""

from __future__ import annotations

import http.server
import json
import re
import threading
from typing import Any, Dict, List, Tuple

PATH = "/api/v2/alerts"
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def wrong(body: Any) -> str:
    """Why Alertmanager would answer 400; '' = it would not (tests/cli/test_alertmanager.py)."""
    if not isinstance(body, list):
        return "not a list"
    for row in body:
        if not isinstance(row.get("labels"), dict) or not any(row["labels"].values()):
            return "at least one label pair required"
        if not all(_NAME.fullmatch(name) for name in row["labels"]):
            return "a label's name"
        if row.get("startsAt") and row.get("endsAt") and row["endsAt"] < row["startsAt"]:
            return "start time must be before end time"
    return ""


class Alertmanager:
    """`with` ends it. answers: statuses of the next requests; then 200."""

    def __init__(self) -> None:
        self.requests: List[Tuple[str, Dict[str, str], Any]] = []
        self.answers: List[int] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append((self.path, dict(self.headers), body))
                status = outer.answers.pop(0) if outer.answers else 200
                if status == 200 and self.path.endswith(PATH) and wrong(body):
                    status = 400
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "http://127.0.0.1:1/")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Alertmanager:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

    @property
    def bodies(self) -> List[Any]:
        return [body for _, _, body in self.requests]
