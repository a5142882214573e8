"""Closed months, over /krm/v1/bill: for accounting, which has a right of its own.

Nothing is derived here: `krm bill --close` writes what is served. Who may read it: whoever may `get` the path
/krm/v1/bill (a ClusterRole's nonResourceURLs); rights to pods or nodes open no bill.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, Dict, List, Optional

from krm.analysis.billing.bill import opened
from krm.analysis.billing.csvout import to_csv
from krm.server.identity import Attributes, Gate
from krm.server.routes import Call, Content, Parameter, Route
from krm.server.statuses import ApiError, bad_request, quoted
from krm.server.threads import Full, Threads
from krm.server.web import JSON_TYPE, Answer, Header, Reply
from krm.store.bills import Bills, Closed, NoBill

PATH = "/krm/v1/bill"
CSV_TYPE = "text/csv; charset=utf-8"
THREADS, WAITING = 1, 20  # files read at once, and waiting
WITHIN = 20.0  # seconds for an answer
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
_VERSION = re.compile(r"[1-9][0-9]{0,3}")
_SCHEMA: Dict[str, Any] = {
    "type": "object",
    "required": ["month", "currency", "total", "lines", "inputs"],
    "properties": {
        "month": {"type": "object"},
        "currency": {"type": "string"},
        "total": {"type": "string"},
        "lines": {"type": "array", "items": {"type": "object"}},
        "inputs": {"type": "object"},
    },
}
_PARAMETERS = (
    Parameter("month", "YYYY-MM.", required=True),
    Parameter("version", "Of the bill: a correction is the next. Without it the newest."),
    Parameter("format", "json (the canonical bytes) or csv.", {"enum": ["json", "csv"]}),
)


class BillApi:
    """One cluster's. It belongs to the event loop; files are read by a thread."""

    def __init__(self, gate: Gate, bills: Optional[Bills]) -> None:
        """bills: None = this server was given no folder of them."""
        self._gate, self._bills = gate, bills
        self._threads = Threads("bills", THREADS, WAITING)

    def routes(self) -> List[Route]:
        """For the table of /krm/v1/."""
        told = Content("A closed month's bill.", {JSON_TYPE: _SCHEMA, "text/csv": {"type": "string"}})
        summary = "A closed month's bill, byte for byte as it was closed."
        return [Route(PATH, "bill", summary, self._of_month, told, _PARAMETERS, (404, 429, 503, 504))]

    async def _of_month(self, call: Call) -> Reply:
        await self._gate.check(call.user, Attributes(call.cluster, "get", path=PATH))
        month, version, form = call.text("month"), call.text("version"), call.text("format", "json")
        if not _MONTH.fullmatch(month):
            raise bad_request(f"month is YYYY-MM, not {quoted(month[:20])}")
        if version and not _VERSION.fullmatch(version):
            raise bad_request(f"version is a number from 1 on, not {quoted(version[:20])}")
        if form not in ("json", "csv"):
            raise bad_request(f"format is json or csv, not {quoted(form[:20])}")
        closed = await self._read(call.cluster, month, int(version) if version else None)
        headers: List[Header] = [
            ("Krm-Bill-Version", str(closed.version)),
            ("Krm-Bill-Closed-At", closed.closed_at),
        ]
        if form == "json":
            return Answer(closed.bill.encode(), headers=headers)
        return Answer(to_csv(opened(closed.bill)).encode(), media=CSV_TYPE, headers=headers)

    async def _read(self, cluster: str, month: str, version: Optional[int]) -> Closed:
        bills = self._bills
        if bills is None:
            raise ApiError(404, "NotFound", "this server has no closed months: --bills names their folder")
        try:
            return await self._threads.run(lambda: bills.read(cluster, month, version), WITHIN)
        except NoBill:
            what = f"version {version} of {month}" if version else month
            raise ApiError(404, "NotFound", f"{what} is not closed, or cannot be read here") from None
        except Full:
            raise ApiError(429, "TooManyRequests", "too many reads wait: try again", {}, 1) from None
        except asyncio.TimeoutError:
            raise ApiError(504, "Timeout", "the bill was not read in time: try again", {}, 1) from None
