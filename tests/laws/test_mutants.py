# ruff: noqa: E501 (a table: one mutant a line)
"""Tests of the tests: each wrong merge below must be caught by the laws, within a bounded number of histories.

A mutant is one function of the merge with one line changed. `pytest -s` prints the table: which law caught it,
after how many histories; a law named `twin: ...` is the comparison with the naive merge.
"""

from __future__ import annotations

import inspect
import textwrap
from types import ModuleType
from typing import Any, Callable, NamedTuple, Optional, Tuple

import pytest
from krm.aggregator import events, lists, state
from krm.aggregator.state import State
from laws import test_laws
from laws.checks import Broken
from laws.walk import Traits, Walk

CASES = 2500  # histories; the rarest of these mutants is met within some hundred


# Lists of two verifiers meet snapshots that are built anew at each loss.
REBUILDS = Traits(loss=0.3, verifiers=2, streamers=2, repair_keys=0)
ROLLED_BACK = Traits(rollback=True, verifiers=2)
LOSSY = Traits(loss=0.3, streamers=2, verifiers=2)
SHORT = Traits(loss=0.3, verifiers=2, history_limit=2)
MESSY = Traits(mess=0.25)
REFUSED = Traits(bad=0.3, restart=True)


class Mutant(NamedTuple):
    """`where.function` with `old` replaced by `new` at its first occurrence."""

    name: str
    where: Any
    function: str
    old: str
    new: str
    traits: Optional[Traits] = None  # the histories in which it shows; None = the mixture
    scene: Optional[Callable[[], None]] = None  # the written history that shows what is rare in random ones


def any_list() -> None:
    test_laws.test_only_a_second_consistent_full_list_is_a_rollback(False, "full", False)


MUTANTS: Tuple[Mutant, ...] = (
    # list-watch, section 2: the six that the prototype was tried with
    Mutant("no tombstones", events, "_apply", "state.remember(", "item.type == 'D' or state.remember("),
    Mutant("a list overwrites all", lists, "differences", "if item.key not in at_v:", "if True:", LOSSY),
    Mutant(
        "tombstones collected early", lists, "_verified", "state.forget_history(listing.version)",
        "state.history.clear()",
    ),
    Mutant("no absence rule", lists, "_unlisted", "return held +", "return [] and"),
    Mutant(
        "a stale list is accepted", lists, "settle", "listing.version < max(state.verified, state.history_from)",
        "False",
    ),
    Mutant("no event floor", events, "take_batch", "version <= state.frontier", "False"),
    # A5: sessions
    Mutant("a missing seq is ignored", events, "_in_sequence", "batch.seq != state.seq + 1", "False", MESSY),
    Mutant("a repeated batch breaks", events, "_in_sequence", "batch.seq <= state.seq", "False"),
    Mutant("from_rv > F is accepted", events, "_accept_session", "> state.frontier", "> state.frontier + 999"),
    Mutant("a dead session lives again", events, "_accept_session", "or batch.session in state.dead", "", LOSSY),
    Mutant("F moved by a session not accepted", events, "_accept_session", "return False", "return True"),
    Mutant("a session begins in its middle", events, "_accept_session", "batch.seq != 0 or", ""),
    Mutant("a batch of another incarnation", events, "_same_source", "batch.incarnation != state.incarnation or", "", scene=test_laws.test_a_batch_of_another_incarnation_is_not_taken),
    Mutant("a batch of another canon", events, "_same_source", "or batch.canon != state.canon", ""),
    Mutant("a bookmark is no progress", events, "take_batch", "state.frontier = version", "state.frontier = version if item.key else state.frontier"),
    Mutant("the watch's type is believed", events, "_apply", "item.type != seen_as", "False"),
    Mutant("a 410 asks for no list", events, "take_end", 'end.cause in ("expired", "unparsable")', "False"),
    Mutant("shutdown is a gap", events, "take_end", 'end.cause != "shutdown"', "True"),
    Mutant("a gap is not counted", State, "end_session", "self.gaps += 1", "pass"),
    # V5: which lists count
    Mutant("V < F0 is not seen", lists, "_why_rebuild", "versions.parse(page.rv) < versions.parse(page.f0)", "False", ROLLED_BACK),
    Mutant("another canon is not seen", lists, "_why_rebuild", "page.canon != state.canon", "False"),
    Mutant("versions always comparable", lists, "_why_rebuild", "return OPAQUE", 'return ""'),
    Mutant("a page of another incarnation", lists, "take_page", "page.incarnation != state.incarnation", "False", REBUILDS),
    Mutant("a page of another rv", lists, "take_page", "or page.rv != listing.first.rv", "", MESSY),
    Mutant("a missing page", lists, "take_page", "page.page > listing.pages or", "", MESSY),
    Mutant("a list without its last page", lists, "take_end", "listing.pages != end.pages", "False"),
    Mutant(
        "a waiting list is dropped", lists, "take_page",
        "or (listing is not None and listing.complete_at is not None)", "",
    ),
    Mutant("an old list at the same V again", lists, "settle", "(known and same_v) or", ""),
    Mutant("any list builds", lists, "_begin", "page.mode != FULL or page.answers != state.want", "False"),
    # V6, V7: what differs, and what follows
    Mutant("a full list's bytes are not compared", lists, "_other_bytes", "item.digest != row.digest", "False", ROLLED_BACK),
    Mutant("a list waits for nothing", lists, "settle", "behind and state.session", "False"),
    Mutant("a list waits for ever", lists, "settle", "< WAIT_FOR_FRONTIER", "< 1e9"),
    Mutant("a ghost although F < V", lists, "differences", "GHOST if state.frontier >= listing.version else late", "GHOST"),
    Mutant("the state now, not at V", lists, "differences", "state.rows_at(listing.version) if", "{} if"),
    Mutant("another uid is no difference", lists, "_take_item", "or row.uid != item.uid", "", ROLLED_BACK),
    Mutant("no contradiction", lists, "_merge", "if contradictions:", "if False:"),
    Mutant("any list proves a contradiction", lists, "_contradicted", "and listing.first.consistent and listing.first.mode == FULL", "", scene=any_list),
    Mutant("drift is not counted", lists, "_merge", "cause != AHEAD", "False"),
    Mutant("a full list counts again", lists, "_merge", "and key not in state.counted", "", scene=test_laws.test_one_loss_is_counted_once),
    Mutant("a loss is counted once for ever", lists, "_verified", "state.counted.clear()", "pass", scene=test_laws.test_the_next_loss_of_a_key_is_counted_again),
    Mutant("ahead is drift", lists, "_merge", "cause != AHEAD", "True"),
    Mutant("a metadata list repairs", lists, "_merge", "listing.first.mode != FULL", "False"),
    Mutant("a metadata list with drift asks for nothing", lists, "_merge", "state.ask()", "pass"),
    Mutant("a refused object hides the row held", lists, "_compare", "row is None and", "", REFUSED),
    Mutant("a refused object is missed for ever", lists, "_compare", "state.refused.get(item.key) == item.rv", "False", REFUSED),
    Mutant("a repair below a later event counts twice", lists, "_repair", "state.forget_history(state.frontier)", "pass", scene=test_laws.test_what_was_lost_below_a_later_event_is_counted_by_one_full_list),
    Mutant("a repair is not flagged", lists, "_repair", "repair=True", "repair=False"),
    Mutant("watches may start before a repair", lists, "_repair", "max(state.watch_from, state.frontier)", "state.watch_from"),
    # what merging leaves behind
    Mutant("a list moves no F", lists, "_verified", "max(state.frontier, listing.version)", "state.frontier"),
    Mutant("a list takes F back", lists, "_verified", "max(state.frontier, listing.version)", "listing.version"),
    Mutant("verified_at = time of merging", lists, "_verified", "= first.t0, first.source", "= first.t0 + .5, first.source"),
    Mutant("a want is never met", lists, "_verified", 'state.want = ""', "pass"),
    Mutant("a gap is never closed", lists, "_verified", "state.gap_open = False", "pass"),
    Mutant("a probe proves too early", State, "settle_probes", "<= self.frontier", "<= self.frontier + 9"),
    Mutant("history too short after trimming", State, "remember", "self.history_from = self.history.popleft().version", "self.history.popleft()", SHORT),
    Mutant("rewound to the wrong side", State, "rows_at", "past.version > version", "past.version >= version"),
    Mutant("the latest past, not the first", State, "rows_at", "at.setdefault(past.key, past.before)", "at[past.key] = past.before"),
    Mutant("a removed object stays in the index", State, "remove", "self._count(key, before, -1)", "pass"),
)  # fmt: skip


def apply(mutant: Mutant) -> Any:
    """Put the mutant in place; returns what it replaced."""
    original = getattr(mutant.where, mutant.function)
    source = textwrap.dedent(inspect.getsource(original))
    assert mutant.old in source, f"{mutant.name}: {mutant.function} was rewritten; rewrite its mutant"
    home = mutant.where if isinstance(mutant.where, ModuleType) else state
    scope = dict(vars(home))
    if isinstance(mutant.where, ModuleType):
        scope = vars(home)
    code = compile(
        source.replace(mutant.old, mutant.new, 1), f"<{mutant.name}>", "exec", dont_inherit=True, flags=FUTURE
    )
    exec(code, scope)
    setattr(mutant.where, mutant.function, scope[mutant.function])
    return original


FUTURE = __import__("__future__").annotations.compiler_flag


def caught(twin: bool, traits: Optional[Traits]) -> Optional[Tuple[int, str]]:
    """(histories needed, law), None where no law minds."""
    for seed in range(CASES):
        try:
            Walk(seed, traits, twin=twin).run()
        except Broken as broken:
            return seed + 1, broken.law
    return None


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_each_mutant_is_caught(mutant: Mutant) -> None:
    """A mutant that no law catches is a hole in the laws."""
    found = hunt(mutant, twin=True)
    assert found is not None, f"no law catches {mutant.name!r} in {CASES} histories"
    print(f"{mutant.name:45} {found[0]:5} {found[1]}")


def hunt(mutant: Mutant, twin: bool) -> Optional[Tuple[int, str]]:
    """`caught` with the mutant in place."""
    original = apply(mutant)
    try:
        if mutant.scene is not None:
            with pytest.raises(AssertionError):
                mutant.scene()
            return 1, mutant.scene.__name__
        return caught(twin, mutant.traits)
    finally:
        setattr(mutant.where, mutant.function, original)
