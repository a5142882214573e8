"""What an answer is worth, as headers; and which states give no answer at all. Pure.

live                 200
stale, forbidden     200 with a Warning: the last that is known, and why it may be old
warming, truncated   503: there is nothing to show, and an empty list would be a lie
absent               404, as the API server answers for a kind that it does not serve
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from krm.model import times
from krm.model import trust as states
from krm.model.trust import Trust
from krm.server.replica import Replica
from krm.server.statuses import unavailable, unknown_resource
from krm.server.web import Header, header_text

UNKNOWN = "unknown"
AGE = "Krm-Age-Seconds"
MAX_WARNING = 400  # characters


def checked(replica: Replica, now: float) -> Trust:
    """The trust of a replica that may be shown. Raises ApiError 404 and 503."""
    trust = replica.trust(now)
    if trust.state == states.ABSENT:
        raise unknown_resource()
    if trust.state == states.TRUNCATED:  # how many there are is not everybody's to know
        raise unavailable(f"{replica.kind} cannot be read from krm: there are more objects than it keeps")
    if trust.state == states.WARMING or not replica.token.incarnation:
        raise unavailable(f"{replica.kind} cannot be read from krm now: {_why(trust)}")
    return trust


def check_readable(replica: Replica, namespace: str, name: str) -> None:
    """Raises ApiError 503 for an object that is there and that krm cannot show: "not found" would be a lie."""
    if f"{namespace}/{name}" in replica.corrupt:
        raise unavailable(f'{replica.kind} "{name}" cannot be shown: its bytes rotted in Redis; ask the API server')


def headers(replica: Replica, trust: Trust) -> Dict[str, str]:
    """On each answer that holds a replica's objects."""
    age, verified_at = trust.age, trust.verified_at
    return {
        "Krm-Version": str(replica.token),
        "Krm-Resource-Version": replica.rv or UNKNOWN,
        AGE: UNKNOWN if age is None else f"{age:.3f}",
        "Krm-Verified-At": UNKNOWN if verified_at is None else times.write(verified_at),
        "Krm-State": trust.state,
    }


class Shown(NamedTuple):
    """What an answer shows where that is not what the replica holds when it is sent."""

    token: str
    at: Optional[float]  # of which moment it is, seconds of the Redis clock; None = unknown
    rv: str = ""  # "" = unknown
    verified_at: Optional[float] = None
    state: str = ""  # of the answer, "" = the replica's
    warnings: Tuple[str, ...] = ()  # beside the replica's

    def headers(self, rows: Sequence[Header], now: float) -> List[Header]:
        """Those of the replica, with what is the answer's own."""
        own = {
            "Krm-Version": self.token,
            "Krm-Resource-Version": self.rv or UNKNOWN,
            AGE: UNKNOWN if self.at is None else f"{max(0.0, now - self.at):.3f}",
            "Krm-Verified-At": UNKNOWN if self.verified_at is None else times.write(self.verified_at),
        }
        if self.state:
            own["Krm-State"] = self.state
        warned = [("Warning", warning_header(sentence)) for sentence in self.warnings]
        return [(name, own.get(name, value)) for name, value in rows] + warned


def aged(rows: Sequence[Header], seconds: float) -> List[Header]:
    """The headers of an answer that waited so long before it is sent."""
    return [
        (name, f"{float(value) + seconds:.3f}") if name == AGE and value != UNKNOWN else (name, value)
        for name, value in rows
    ]


def warnings(replica: Replica, trust: Trust) -> List[str]:
    """Sentences about this answer that its reader must see."""
    found = []
    if trust.state != states.LIVE:
        found.append(f"krm: {replica.kind} may be older than they look: {_why(trust)}")
    elif trust.verified_at is None:
        found.append(f"krm: {replica.kind} were not verified by a list yet")
    elif trust.gap_open:
        found.append(f"krm: an event of {replica.kind} may be missing until the next list closes the gap")
    if replica.corrupt:  # how many, and where, is not everybody's to know
        found.append(f"krm: some {replica.kind} of this cluster are left out: their bytes rotted in Redis")
    return found


def warning_header(sentence: str) -> str:
    """As RFC 7234 has it, and as kubectl prints it."""
    text = header_text(sentence)[:MAX_WARNING].replace("\\", "\\\\").replace('"', '\\"')
    return f'299 krm "{text}"'


def _why(trust: Trust) -> str:
    return "; ".join(trust.reasons) or trust.state
