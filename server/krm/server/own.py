"""What every answer of krm's own API shares: who may read it, what it is worth, and how it is sent.

Reads of now come from the replicas in memory; the past comes from Redis (krm.server.past). Every answer is
authorised by what it holds: listing a kind, or one namespace of it, getting an object, watching changes.
Whoever may list one namespace alone is told nothing that counts the others.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any, Awaitable, Dict, NamedTuple, Optional

from krm.client import errors, wire
from krm.client.moments import parse_place
from krm.client.names import resolve
from krm.client.pipelines import allowed, since_held
from krm.client.selection import Selection
from krm.model.head import Head
from krm.model.kinds import Kind, parse_kind
from krm.model.trust import judge
from krm.server.identity import Attributes, Gate, User
from krm.server.kept import gzipped
from krm.server.negotiation import accepts_gzip
from krm.server.options import check_requirements
from krm.server.past import Past
from krm.server.replica import Replica
from krm.server.routes import JSON_LINES, Call
from krm.server.serving import FRESH_WITHIN, Serving
from krm.server.statuses import ApiError, unavailable
from krm.server.streams import REVIEW_WITHIN
from krm.server.trusted import Shown, aged
from krm.server.web import Answer
from krm.store.read import Token

# Bytes from which an answer is compressed where its reader takes gzip.
GZIP_FROM = 16 * 1024


class Target(NamedTuple):
    """What a call asks about, once its caller may read it."""

    replica: Replica
    namespace: Optional[str]  # what the answer is narrowed to, None = all of the replica
    whole: bool  # whether the caller may know what counts other namespaces
    attributes: Attributes


def of_now(token: Token, head: Optional[Head]) -> Shown:
    """What was the newest when the answer was begun."""
    if head is None:
        return Shown(str(token), None)
    return Shown(str(token), head.current_as_of, head.rv, head.verified_at)


class OwnApi:
    """Answers one cluster's calls. It belongs to the event loop."""

    def __init__(self, serving: Serving, gate: Gate, past: Past) -> None:
        self.serving, self.gate, self.past = serving, gate, past
        self.catalog = serving.catalog

    # Who may read what --------------------------------------------------------------------------

    async def target(self, call: Call, verb: str, name: str = "") -> Target:
        """Raises ApiError 403 and 503, BadRequest, UnknownKind."""
        word = call.path["kind"]
        kind = parse_kind(resolve(word, [str(one) for one in self.catalog.kinds()]))
        namespace = call.query.get("namespace")
        # A namespace's own object lies in that namespace, for the authorisers.
        inside = name if str(kind) == "namespaces" and not namespace else namespace or ""
        attributes = self._attributes(verb, str(kind), inside, name)
        call.request.asked = attributes
        await self.gate.check(call.user, attributes)
        replicas = self.catalog.find(kind)
        if not replicas:
            raise self.not_kept(kind)
        self._check_place(kind, namespace, verb)
        for replica in replicas:
            if replica.namespace in ("", namespace):
                whole = await self.may(call.user, "list", replica.kind, replica.namespace)
                return Target(replica, namespace, whole, attributes)
        if namespace is not None:
            raise self.not_kept(kind, namespace)
        spaces = ", ".join(replica.namespace for replica in replicas)
        raise errors.UnknownKind(f"krm keeps {kind} of {spaces} only (--namespaces), not of all of them")

    def not_kept(self, kind: Kind, namespace: Optional[str] = None) -> errors.UnknownKind:
        """What whoever asks for it is told: no empty answer."""
        if namespace is not None and self.catalog.find(kind):  # which others are kept is for whoever may read all
            return errors.UnknownKind(f"krm does not keep {kind} of the namespace {namespace!r}")
        kept = ", ".join(str(one) for one in self.catalog.kinds()) or "none yet"
        return errors.UnknownKind(f"krm does not keep {kind} of {self.catalog.cluster} (kept: {kept})")

    def _check_place(self, kind: Kind, namespace: Optional[str], verb: str) -> None:
        """Where the kind cannot be, nothing would be found, as if there were none. Raises BadRequest."""
        served = self.catalog.served(kind)
        if served is None:
            return
        if not served.resource.namespaced:
            if namespace:
                raise errors.BadRequest(f"{kind} have no namespaces: leave namespace out")
        elif namespace == "":
            raise errors.BadRequest(f"{kind} are namespaced, and the namespace is empty: leave it out to read all")
        elif namespace is None and verb == "get":
            raise errors.BadRequest(f"{kind} are namespaced: give namespace=")

    async def review(self, call: Call, target: Target) -> Target:
        """Who it is, and what they may do, over again: a token and a right both end, and who may read on may
        have lost the right to what counts others. Raises ApiError, 503 after REVIEW_WITHIN seconds."""
        try:
            return await asyncio.wait_for(self._reviewed(call, target), REVIEW_WITHIN)
        except asyncio.TimeoutError:
            raise unavailable("whether you may still read this cannot be found out now: try again") from None

    async def _reviewed(self, call: Call, target: Target) -> Target:
        request, replica = call.request, target.replica
        user = await self.gate.still(request, call.user, target.attributes)
        of_all = self._attributes("list", replica.kind, replica.namespace)
        return target._replace(whole=await _granted(self.gate.still(request, user, of_all)))

    async def come_to(self, call: Call, replica: Replica) -> None:
        """Waits a little where the caller holds the answer of a server that has read further. Raises BadRequest."""
        held = call.text("held")
        if not held:
            return
        token, _ = parse_place(held)
        deadline = time.monotonic() + FRESH_WITHIN
        while token.incarnation == replica.token.incarnation and token.version > replica.token.version:
            left = deadline - time.monotonic()
            if left <= 0:
                return
            await self.serving.bell(replica).wait(left)

    async def may(self, user: User, verb: str, kind: str, namespace: str) -> bool:
        """Raises ApiError 503 where that cannot be found out."""
        return await _granted(self.gate.check(user, self._attributes(verb, kind, namespace)))

    def _attributes(self, verb: str, kind: str, namespace: str, name: str = "") -> Attributes:
        known = parse_kind(kind)
        served = self.catalog.served(known)
        version = served.resource.version if served is not None else ""
        return Attributes(self.catalog.cluster, verb, known, version, namespace, name)

    # What it is worth ---------------------------------------------------------------------------

    def head(self, replica: Replica) -> Optional[Head]:
        """The head that belongs to what the replica holds: its own version, whatever Redis is at by now."""
        head = replica.head
        if head is None or not head.incarnation or not replica.token.incarnation:
            return head
        token = replica.token
        return replace(head, incarnation=token.incarnation, version=token.version, rv=replica.rv)

    def facts(self, target: Target, head: Optional[Head], now: float) -> Dict[str, Any]:
        """What the first line of each answer says."""
        seen = seen_by(target, head)
        return {
            "kind": target.replica.kind,
            "namespace": target.replica.namespace,
            "now": now,
            "trust": judge(seen, now).to_dict(),
            "head": wire.shown_head(seen, target.whole),
        }

    def judged(self, call: Call, target: Target, head: Optional[Head], now: float, something: bool) -> None:
        """Raises the state's error, BadRequest, unless the call says how to take it."""
        if call.flag("unjudged"):
            return
        trust = judge(seen_by(target, head), now)
        held = call.text("held")
        if held:
            token, _ = parse_place(held)
            if trust.incarnation:
                trust = since_held((token.incarnation or trust.incarnation, token.version), trust)
        allowed(target.replica.kind, trust, call.flag("stale_ok"), something)

    def selection(self, call: Call, target: Target) -> Selection:
        """Raises BadRequest, ApiError 400: each requirement is looked at for each object, in the event loop."""
        labels, chosen = call.text("labelSelector"), call.text("fieldSelector")
        selection = Selection(target.replica.kind, labels, chosen, target.namespace)
        check_requirements(selection.requirements)
        return selection

    # How it is sent -----------------------------------------------------------------------------

    async def lines(
        self,
        call: Call,
        target: Target,
        first: Dict[str, Any],
        body: bytes,
        count: int,
        shown: Optional[Shown] = None,
    ) -> Answer:
        """An answer of JSON lines, compressed where that was asked for and pays. `shown`: None = the replica.
        Raises ApiError 429."""
        line, flight = wire.first_line({**first, "lines": count}), self.serving.kept.flight
        now = self.serving.now(target.replica)
        trust = judge(seen_by(target, self.head(target.replica)), now)
        rows = self.serving.headers(target.replica, trust)
        if shown is not None:
            rows = shown.headers(rows, now)
        rows.append(("Vary", "Accept-Encoding"))
        packs = accepts_gzip(call.request.headers.get("accept-encoding", ""))
        if packs and len(line) + len(body) >= GZIP_FROM:
            flight.take(call.request, body)
            begun = time.monotonic()
            whole = await asyncio.get_running_loop().run_in_executor(None, gzipped, line, body)
            rows = aged(rows, time.monotonic() - begun)
            rows.append(("Content-Encoding", "gzip"))
        else:
            whole = line + body
        flight.take(call.request, whole)
        return Answer(whole, 200, JSON_LINES, rows)


async def _granted(check: Awaitable[object]) -> bool:
    """Raises ApiError but for 403."""
    try:
        await check
    except ApiError as error:
        if error.code != 403:
            raise
        return False
    return True


def seen_by(target: Target, head: Optional[Head]) -> Optional[Head]:
    """The head as the caller may see it."""
    return head if head is None or target.whole else wire.narrowed(head)


def holds(head: Optional[Head], replica: Replica) -> bool:
    """Whether there is a snapshot to read."""
    return head is not None and bool(head.incarnation) and bool(replica.token.incarnation)
