"""What an answer made of several pipelines is worth: krm runs with --namespaces a,b."""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, Optional, Sequence, Tuple

from krm.model import trust as states
from krm.model.trust import Trust

# From the worst: what an answer made of several pipelines is worth.
_SEVERITY = (
    states.WARMING,
    states.ABSENT,
    states.FORBIDDEN,
    states.TRUNCATED,
    states.STALE,
    states.RESET,
    states.LIVE,
)


def worst(trusts: Sequence[Tuple[str, Trust]]) -> Trust:
    """(namespace, trust) of each pipeline -> what an answer made of all of them is worth.

    Of one pipeline: its own. Of several: the worst state with the reasons of all, "only a, b" first, the
    oldest times, drift summed; version and resourceVersion of one pipeline mean nothing for all: 0 and ''.
    """
    if len(trusts) == 1:
        return trusts[0][1]
    first = min((trust for _, trust in trusts), key=lambda trust: _SEVERITY.index(trust.state))
    only = f"only {', '.join(namespace for namespace, _ in trusts)}: krm runs with --namespaces"
    reasons = [f"{namespace}: {reason}" for namespace, trust in trusts for reason in trust.reasons]
    every = [trust for _, trust in trusts]
    return replace(
        first,
        reasons=(only, *reasons),
        version=0,
        incarnation="",
        resource_version="",
        verified_resource_version="",
        observed_at=_oldest([trust.observed_at for trust in every]),
        current_as_of=_oldest([trust.current_as_of for trust in every]),
        age=_largest([trust.age for trust in every]),
        verified_at=_oldest([trust.verified_at for trust in every]),
        gap_open=any(trust.gap_open for trust in every),
        gaps=sum(trust.gaps for trust in every),
        drift=_summed([trust.drift for trust in every]),
        clock_suspect=any(trust.clock_suspect for trust in every),
    )


def _summed(drifts: Sequence[Optional[Dict[str, int]]]) -> Optional[Dict[str, int]]:
    """By cause; None where one of them is unknown."""
    total: Dict[str, int] = {}
    for drift in drifts:
        if drift is None:
            return None
        for cause, count in drift.items():
            total[cause] = total.get(cause, 0) + count
    return total


def _oldest(times: Sequence[Optional[float]]) -> Optional[float]:
    known = [at for at in times if at is not None]
    return min(known) if len(known) == len(times) else None


def _largest(spans: Sequence[Optional[float]]) -> Optional[float]:
    known = [span for span in spans if span is not None]
    return max(known) if len(known) == len(spans) else None
