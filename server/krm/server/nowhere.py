"""The gate of clusters that are not here: their names cannot be told from others by whoever is not let in.

A path below no cluster of this server is answered as the first one's, but behind this gate. Whom the first one's
gate turns away is told the same, after the same questions, as below any name: 401, or 403 in the same words. All
others are told 404 as soon as a handler asks what they may do, and so before it shows anything.
"""

from __future__ import annotations

import copy
import hashlib
import secrets
from typing import Callable

from krm.server.credentials import bearer
from krm.server.identity import Attributes, Gate, User
from krm.server.statuses import unknown_resource
from krm.server.web import Request


class Nowhere(Gate):
    """It belongs to the event loop."""

    def __init__(self, gate: Gate, alone: Callable[[], bool]) -> None:
        """`gate`: the first cluster's. `alone`: whether there is no other of which a name may be a misspelling."""
        self.hands_on = gate.hands_on
        self._gate, self._alone = gate, alone
        self._key = secrets.token_bytes(32)

    async def user(self, request: Request, cluster: str) -> User:
        """As Gate. A token that may be meant for another cluster is not shown to the first one's API server:
        that is asked about one that nobody has, and so answers 401 as late as it would."""
        token = bearer(request) if self.hands_on and not self._alone() else None
        if token is not None:
            digest = hashlib.blake2b(token.encode(), key=self._key, digest_size=32).hexdigest()
            request = copy.copy(request)
            request.headers = {**request.headers, "authorization": f"Bearer {digest}"}
        return await self._gate.user(request, cluster)

    async def check(self, user: User, attributes: Attributes) -> None:
        """As Gate. Raises ApiError in any case: 403, 503, 404."""
        await self._gate.check(user, attributes)
        raise unknown_resource()
