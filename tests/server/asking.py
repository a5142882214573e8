"""Requests as uvicorn would hand them over, and waiting for what a gate says."""

from __future__ import annotations

import asyncio
from typing import Any, Awaitable, Sequence, Tuple, TypeVar

import pytest
from krm.server.statuses import ApiError
from krm.server.web import Request

T = TypeVar("T")


def request(*headers: Tuple[str, str], path: str = "/api/v1/pods", certificate: bytes = b"") -> Request:
    rows = [(name.lower().encode("latin-1"), value.encode("utf-8")) for name, value in headers]
    state = {"peer_certificate": certificate} if certificate else {}
    return Request({"type": "http", "method": "GET", "path": path, "headers": rows, "state": state}, path)


def bearer(token: str) -> Tuple[str, str]:
    return ("Authorization", f"Bearer {token}")


def now(work: Awaitable[T]) -> T:
    """The result, for what needs no loop of the test's own."""

    async def run() -> T:
        return await work

    return asyncio.run(run())


def refused(work: Awaitable[Any]) -> ApiError:
    """What it was refused with."""
    with pytest.raises(ApiError) as caught:
        now(work)
    return caught.value


def codes(works: Sequence[Awaitable[Any]]) -> Sequence[int]:
    found = []
    for work in works:
        try:
            now(work)
            found.append(200)
        except ApiError as error:
            found.append(error.code)
    return found
