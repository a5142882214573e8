"""Answers for people: JSON with line ends, where the API server writes it so. Pure.

It does for `?pretty=true`, and for curl, Wget and browsers; `/version` and `/` it always writes so.
"""

from __future__ import annotations

import re
from typing import List

from krm.server.kept import GZIP_FROM
from krm.server.statuses import ApiError
from krm.server.web import JSON_TYPE, Answer, Reply, Request

_AGENTS = ("curl", "Wget", "Mozilla/5.0")
_TRUE = ("1", "t", "T", "true", "TRUE", "True")


def for_people(request: Request, reply: Reply) -> Reply:
    """The reply, indented where a person asks. Above the size from which answers are compressed it stays as it is:
    nobody reads so much, and it would hold up everyone else."""
    if not isinstance(reply, Answer) or reply.media != JSON_TYPE or len(reply.body) >= GZIP_FROM:
        return reply
    if any(name == "Content-Encoding" for name, _ in reply.headers):  # large, though its gzip is not
        return reply
    return reply._replace(body=indented(reply.body)) if _asks(request) else reply


def _asks(request: Request) -> bool:
    try:
        said = request.query().get("pretty", "")
    except ApiError:
        said = ""
    return said in _TRUE if said else request.headers.get("user-agent", "").startswith(_AGENTS)


_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^"{}\[\],:\s]+', re.DOTALL)


def indented(body: bytes) -> bytes:
    """JSON with two blanks a level and no newline at its end. Strings and numbers stay as they are."""
    found: List[bytes] = []
    depth, empty = 0, False
    for token in _TOKEN.findall(body):
        if token in b"}]":
            depth -= 1
            found += (token,) if empty else (b"\n", b"  " * depth, token)
            empty = False
            continue
        if empty:
            found += (b"\n", b"  " * depth)
        empty = token in b"{["
        depth += empty
        if token == b",":
            found += (b",\n", b"  " * depth)
        else:
            found.append(b": " if token == b":" else token)
    return b"".join(found)
