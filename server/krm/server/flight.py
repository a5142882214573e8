"""Large answers while their readers take them: how many bytes of them one process holds.

An answer counts from when its body stands in memory, so while it is compressed too, until its reader has it,
has gone or was cut off. What is handed over whole (WHOLE) is its connection's, and never counts. A body that
several readers take counts once, kept or not: a list that is kept no more, for there is a newer one, is still
held for those who have begun to take it.
"""

from __future__ import annotations

from typing import Dict

from krm.server.statuses import too_many_requests
from krm.server.web import WHOLE, Request

# Of the budget of kept bodies. Of the default one 512 MiB: ten lists of 5,000 pods, uncompressed, that are all made
# for one reader; a reader in the same network takes such a list within a second.
SHARE = 0.5
# The API server's own words, and what they mean here.
_FULL = (
    "Too many requests, please try again later: large answers that readers are still taking fill the room that"
    " this server has for them. Ask again in a second, or for less: one namespace, a selector, limit="
)


class Flight:
    """The bodies in flight. It belongs to the event loop."""

    def __init__(self, most: int) -> None:
        """`most`: bytes from which on no other body may begin. Below them any may, however large it is: so one
        alone is always possible, and all together are at most `most` and the largest."""
        self.most = most
        self.size = 0  # bytes
        self._readers: Dict[int, int] = {}  # id of a body -> who take it
        self._bodies: Dict[Request, bytes] = {}  # what each of them takes: so long no other body has its id

    def take(self, request: Request, body: bytes) -> None:
        """This is what the request's reader takes, instead of what was named before: so the gzip follows the
        plain bytes. Raises ApiError 429."""
        counts = len(body) > WHOLE
        begins = request not in self._bodies and id(body) not in self._readers
        if counts and begins and self.size >= max(1, self.most):
            raise too_many_requests(_FULL)
        if request in self._bodies:
            self._end(request)
        elif counts:
            request.ends.append(lambda: self._end(request))
        if counts:
            readers = self._readers.get(id(body), 0)
            self.size += 0 if readers else len(body)
            self._readers[id(body)] = readers + 1
            self._bodies[request] = body

    def _end(self, request: Request) -> None:
        body = self._bodies.pop(request, None)
        if body is None:
            return
        self._readers[id(body)] -= 1
        if not self._readers[id(body)]:
            del self._readers[id(body)]
            self.size -= len(body)
