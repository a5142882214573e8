"""What `krm up` shows while its Redis does not answer: nothing is known then, and what was is not shown again."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import List, Optional, Sequence, Tuple

from krm.client.source import KindStatus
from krm.model.trust import judge

UNKNOWN = "unknown"  # a state of this table alone: heads cannot tell it, for none can be read


class Silence:
    """How long Redis has been silent, and the rows to show meanwhile."""

    def __init__(self, pipelines: Sequence[Tuple[str, str, str]]) -> None:
        """`pipelines`: (cluster, kind, namespace), the cluster '' where there is one alone."""
        self._last = [
            KindStatus(kind, namespace, judge(None, 0.0), None, 0.0, cluster)
            for cluster, kind, namespace in pipelines
        ]
        self._heard_at = time.monotonic()
        self._silent = False

    @property
    def sentence(self) -> str:
        """'' while Redis answers."""
        if not self._silent:
            return ""
        return f"Redis has not answered for {time.monotonic() - self._heard_at:.0f} s; nothing is known"

    def heard(self, statuses: List[KindStatus]) -> Optional[str]:
        """Redis answered with these; a sentence where it had been silent."""
        was, for_seconds = self._silent, time.monotonic() - self._heard_at
        self._last, self._heard_at, self._silent = statuses, time.monotonic(), False
        return f"Redis answers again, after {for_seconds:.0f} s" if was else None

    def began(self) -> bool:
        """Redis did not answer; whether it did the time before."""
        was, self._silent = self._silent, True
        return not was

    def unknown(self) -> List[KindStatus]:
        """A row a kind in state `unknown`: ages go on growing, and nothing of what was counted stands."""
        past = time.monotonic() - self._heard_at
        rows = []
        for last in self._last:
            now = last.now + past
            trust = replace(
                judge(last.head, now),
                state=UNKNOWN,
                reasons=(self.sentence,),
                drift=None,
                upstream_drift=None,
                delay_p50=None,
                delay_p99=None,
                stream_delay=None,
            )
            rows.append(last._replace(trust=trust, head=None, now=now))
        return rows
