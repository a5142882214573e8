"""Now and then: does Redis still hold what this aggregator wrote, and does it promise to keep it?

Keys can go without a word: a person's DEL, or a maxmemory-policy that was changed while krm ran. The
readers refuse what does not add up; here it is found where nobody reads, and built anew.
"""

from __future__ import annotations

import logging
import time

from krm.aggregator.state import State
from krm.store.errors import Corrupt
from krm.store.publish import Writer

# Seconds between two looks, and namespaces of one: with the beat, and 1,000 namespaces within 20 s.
LOOK_EVERY, SPACES = 1.0, 50
# Seconds between two looks at maxmemory-policy.
POLICY_EVERY = 60.0
KEEPS_ALL = "noeviction"

log = logging.getLogger("krm.aggregator")


class Inspection:
    """One tenure's looks at what it wrote. Not for several threads."""

    def __init__(self, writer: Writer, kind: str) -> None:
        self._writer, self._kind = writer, kind
        self._looked = time.monotonic()
        self._asked = time.monotonic()  # the connection was made only where the policy was the right one
        self._last = ""  # the namespace looked at last, in their order

    def turn(self, state: State) -> None:
        """Where one is due; all that `state` holds must be published. Raises Corrupt, Unavailable."""
        now = time.monotonic()
        if now - self._looked >= LOOK_EVERY and not state.building:
            self._looked = now
            self._count(state)
        if now - self._asked >= POLICY_EVERY:
            self._asked = now
            self._policy()

    def _count(self, state: State) -> None:
        spaces = sorted(state.index)
        after = [space for space in spaces if space > self._last][:SPACES]
        self._last = after[-1] if len(after) == SPACES else ""
        named, held = self._writer.lengths(state.incarnation, after)
        if named != len(spaces):
            raise Corrupt(f"the index names {named} namespaces and not {len(spaces)}: keys were lost in Redis")
        for space, count in zip(after, held):
            if count != state.index[space].objects:
                raise Corrupt(
                    f"namespace {space!r} holds {count} objects and not {state.index[space].objects}:"
                    " keys were lost in Redis"
                )

    def _policy(self) -> None:
        policy = self._writer.facts().policy
        if policy not in (None, KEEPS_ALL):
            log.error(
                "%s: maxmemory-policy was changed to %s: Redis evicts parts of snapshots by itself, and krm starts"
                " no more on it. Set it back: CONFIG SET maxmemory-policy %s",
                self._kind, policy, KEEPS_ALL,
            )  # fmt: skip
