"""`--auth kubernetes`: the cluster's own authenticators and authorisers decide each request.

who     a proxy's headers on a connection with the proxy's certificate, else a client certificate, else a
        bearer token, else system:anonymous: in the API server's own order
what    a SubjectAccessReview of exactly what is asked for. Nothing follows from another right
"""

from __future__ import annotations

import logging
from typing import Callable, Dict, Optional, Sequence, Set, Tuple, TypeVar

from krm.cluster import reviews
from krm.cluster.errors import ClusterError
from krm.cluster.requests import Cluster
from krm.cluster.reviews import Verdict
from krm.server.authorities import Authorities
from krm.server.credentials import UNAUTHENTICATED, bearer, proxied
from krm.server.identity import ANONYMOUS, Attributes, Gate, User, refused, same
from krm.server.impersonation import impersonated
from krm.server.statuses import unauthorized, unavailable
from krm.server.verdicts import AGAIN_FOR, KEPT_FOR, Verdicts
from krm.server.web import Request

T = TypeVar("T")
Held = Callable[[], Set[str]]
NOBODY = User(ANONYMOUS, groups=(UNAUTHENTICATED,))

log = logging.getLogger("krm.server")


class Reviewed(Gate):
    """The gate of one cluster. It belongs to the event loop."""

    hands_on = True  # to this cluster's API server, and whoever runs that

    def __init__(
        self, cluster: Cluster, authorities: Authorities, audiences: Sequence[str] = (), held: Held = set
    ) -> None:
        """`held`: the uids of the cluster whose state is served, as far as they are known."""
        self._held = held
        self._cluster, self._authorities, self._audiences = cluster, authorities, tuple(audiences)
        self._tokens: Verdicts[Optional[User]] = Verdicts("create tokenreviews")
        self._access: Verdicts[Verdict] = Verdicts("create subjectaccessreviews")

    async def user(self, request: Request, cluster: str) -> User:
        """As Gate. Raises ApiError 400, 401, 403, 503."""
        return await self._user(request, cluster, KEPT_FOR)

    async def check(self, user: User, attributes: Attributes) -> None:
        """As Gate. Raises ApiError 403, 503."""
        await self._check(user, attributes, KEPT_FOR)

    async def still(self, request: Request, user: User, attributes: Attributes) -> User:
        """As Gate, by reviews of this second: what is older could not end a watch in time."""
        again = same(user, await self._user(request, attributes.cluster, AGAIN_FOR))
        await self._check(again, attributes, AGAIN_FOR)
        return again

    async def _user(self, request: Request, cluster: str, age: float) -> User:
        user = await self._asking(request, age)
        other = impersonated(request, cluster)
        if other is None:
            return user
        request.user = request.impersonator = user
        for right in other.rights:
            await self._check(user, right, age)
        return other.user

    async def _asking(self, request: Request, age: float) -> User:
        """Who sends the request."""
        token = bearer(request)
        found = self._by_certificate(request)
        if found is not None:
            return found
        if token is None:
            if request.certificate:
                raise unauthorized()  # as the API server: who shows a certificate is not taken for nobody
            return NOBODY
        found = await self._tokens.get(token, lambda timeout: self._identify(token or "", timeout), age)
        if found is None:
            raise unauthorized()
        return found

    async def _check(self, user: User, attributes: Attributes, age: float) -> None:
        self._of_one_cluster()
        question = (user, attributes)
        verdict = await self._access.get(question, lambda timeout: self._decide(user, attributes, timeout), age)
        if not verdict.allowed:
            raise refused(user, attributes, verdict.reason)

    @property
    def reviews(self) -> Dict[str, Tuple[int, int, int]]:
        """Sort -> reviews that were sent, answered from memory, and that failed."""
        tokens, access = self._tokens, self._access
        return {
            "token": (tokens.sent, tokens.hits, tokens.failed),
            "access": (access.sent, access.hits, access.failed),
        }

    def close(self) -> None:
        """No review begins any more."""
        self._tokens.close()
        self._access.close()

    def _of_one_cluster(self) -> None:
        """A wrong --context would show one cluster by the rights of another. Raises ApiError 503."""
        asked = self._authorities.uid
        if asked is None:
            raise unavailable("krm has not yet seen which cluster it asks for rights: try again")
        if asked and self._held() - {asked}:
            raise unavailable(
                "krm asks another cluster for rights than the one it holds: its --context is wrong", 30
            )

    def _by_certificate(self, request: Request) -> Optional[User]:
        if not request.certificate:
            return None
        peer = self._authorities.peer(request.certificate)
        if peer.proxy:
            found = proxied(request, self._authorities.headers)
            if found is not None:
                return found
        return peer.user

    def _identify(self, token: str, timeout: float) -> Optional[User]:
        return _logged(lambda: reviews.identify(self._cluster, token, self._audiences, timeout))

    def _decide(self, user: User, attributes: Attributes, timeout: float) -> Verdict:
        return _logged(lambda: reviews.decide(self._cluster, user, attributes.review(), timeout))


def _logged(ask: Callable[[], T]) -> T:
    """The caller is told little; whoever runs krm needs the sentence, which holds no token."""
    try:
        return ask()
    except ClusterError as error:
        log.warning("%s", error)
        raise
