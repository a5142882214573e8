"""What every kind of answer of one cluster is made with: forms, kept bodies, trust, and waiting for news."""

from __future__ import annotations

import json
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from krm.model import trust as states
from krm.model.kinds import Kind, Resource
from krm.model.printed import Printed, printed_columns, printer_of
from krm.model.records import Envelope
from krm.model.redaction import PLACEHOLDER
from krm.server import trusted
from krm.server.bell import Bell
from krm.server.catalog import Catalog, Served
from krm.server.kept import GZIP_FROM, Body, Kept
from krm.server.lists import Forms
from krm.server.negotiation import accepts_gzip
from krm.server.replica import Replica, order
from krm.server.statuses import too_large_version
from krm.server.tables import Tabulator
from krm.server.watches import Lines
from krm.server.web import Answer, Header, Request
from krm.server.writing import Writer

# Seconds that a read "not older than X" waits for the replica, as the API server's cache does.
FRESH_WITHIN = 3.0
_CRDS = Kind("customresourcedefinitions", "apiextensions.k8s.io")
_PLACEHOLDER = PLACEHOLDER.encode()
_REDACTED = "krm: environment values are replaced: do not apply this"


class Serving:
    """One cluster, as its requests share it. It belongs to the event loop."""

    def __init__(self, catalog: Catalog, kept: Kept, now: Callable[[Replica], float]) -> None:
        """`now`: the Redis clock in seconds, as far as this replica's feed knows it."""
        self.catalog, self.kept, self.now = catalog, kept, now
        self._bells: Dict[Replica, Bell] = {}
        self._forms: Dict[Resource, Tuple[str, Forms]] = {}  # with the resourceVersion of the CRD
        self._lines: Dict[Tuple[Replica, Forms], Lines] = {}

    # News

    def bell(self, replica: Replica) -> Bell:
        """Rings after each change of this replica."""
        return self._bells.setdefault(replica, Bell())

    def changed(self, replica: Replica) -> None:
        """Something was told of this replica."""
        self.bell(replica).ring()

    def ring_all(self) -> None:
        """Whoever waits looks again."""
        for bell in self._bells.values():
            bell.ring()

    async def fresh(self, replica: Replica, version: int) -> None:
        """Waits until the replica is not older than `version`. Raises ApiError 504."""
        deadline = time.monotonic() + FRESH_WITHIN
        while version and order(replica.rv) < version:
            left = deadline - time.monotonic()
            if left <= 0:
                raise too_large_version(version, replica.rv)
            await self.bell(replica).wait(left)

    # Trust

    def trust(self, replica: Replica) -> states.Trust:
        """Of a replica that may be shown. Raises ApiError 404 and 503."""
        return trusted.checked(replica, self.now(replica))

    def is_live(self, replica: Replica) -> bool:
        """Whether what is held is known to be fresh."""
        return replica.trust(self.now(replica)).state == states.LIVE

    def headers(self, replica: Replica, trust: states.Trust, more: Sequence[str] = ()) -> List[Header]:
        """What the answer is worth; `more`: further warnings."""
        rows = list(trusted.headers(replica, trust).items())
        sentences = [*trusted.warnings(replica, trust), *more]
        return rows + [("Warning", trusted.warning_header(sentence)) for sentence in sentences]

    async def whole(
        self, request: Request, body: Body, replica: Replica, shown: Optional[trusted.Shown] = None
    ) -> Answer:
        """A body of what the replica holds at this moment, or of what is `shown` instead, with what it is worth,
        compressed where that was asked for and pays. Raises as `trust`, and ApiError 429."""
        self.kept.flight.take(request, body.plain)
        if body.redacted is None:
            body.redacted = _PLACEHOLDER in body.plain
        headers = self.headers(replica, self.trust(replica), [_REDACTED] if body.redacted else [])
        if shown is not None:
            headers = shown.headers(headers, self.now(replica))
        if len(body.plain) >= GZIP_FROM and accepts_gzip(request.headers.get("accept-encoding", "")):
            begun = time.monotonic()
            packed = await self.kept.compressed(body)
            self.kept.flight.take(request, packed)
            headers = trusted.aged(headers, time.monotonic() - begun)  # the replica itself may have moved on
            return Answer(packed, headers=[*headers, ("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")])
        return Answer(body.plain, headers=headers)

    # Forms

    def forms(self, served: Served) -> Forms:
        """How this kind is written; made anew when a CRD's columns change."""
        resource, definition = served.resource, self._definition(served)
        rv = definition.rv if definition else ""
        held = self._forms.get(resource)
        if held is None or held[0] != rv:
            printed = self.printed(served)
            tabulator = Tabulator(str(resource.kind), None if printed is None else printer_of(printed))
            held = self._forms[resource] = (rv, Forms(Writer(resource), tabulator))
            current = {forms for _, forms in self._forms.values()}
            self._lines = {key: lines for key, lines in self._lines.items() if key[1] in current}
        return held[1]

    def lines(self, served: Served, replica: Replica) -> Lines:
        """The replica's events as its watchers share them."""
        forms = self.forms(served)
        if (replica, forms) not in self._lines:
            self._lines[replica, forms] = Lines(replica, forms)
        return self._lines[replica, forms]

    def printed(self, served: Served) -> Optional[Tuple[Printed, ...]]:
        """What the kind's CRD says of its columns; None where krm keeps no CRD of it."""
        definition = self._definition(served)
        return None if definition is None else printed_columns(_decoded(definition.body), served.resource.version)

    def _definition(self, served: Served) -> Optional[Envelope]:
        kind = served.resource.kind
        for replica in self.catalog.find(_CRDS):
            return replica.objects.get(f"/{kind.resource}.{kind.group}")
        return None


def _decoded(body: bytes) -> Dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
