"""The table of kinds: a line each with state, objects, version, age, drift, delay. For `up` and `status`."""

from __future__ import annotations

import re
import shutil
import sys
from typing import Any, Dict, List, Sequence, Tuple

from krm.cli.durations import ago, span
from krm.cli.terminal import STATE_COLOUR, is_terminal, paint, wants_colour
from krm.client.source import KindStatus
from krm.model import delays
from krm.model.layout import Columns, width
from krm.model.messages import Bad
from krm.model.safetext import safe
from krm.model.trust import LIVE, STALE, Trust

# A state of tables alone: stale for no other reason than that something has not happened for the first time yet.
STARTING = "starting"
MIN_KIND = 14  # cells of the KIND column below which other columns go first
MAX_DROPPED = 4  # columns that a narrow terminal may cost, from the right
HEADINGS = ("KIND", "STATE", "OBJECTS", "VERSION", "AGE", "VERIFIED", "DRIFT", "DELAY-P99", "STREAM-P50/P99")


def shown_state(status: KindStatus) -> str:
    """The state, but `starting` for a kind whose probe, watch or proof is only due."""
    trust = status.trust
    starting = trust.state == STALE and all(reason.endswith(" yet") for reason in trust.reasons)
    return STARTING if starting else trust.state


def row(status: KindStatus) -> List[str]:
    """One line's cells; `-` is unknown, never 0."""
    trust = status.trust
    verified = None if trust.verified_at is None else status.now - trust.verified_at
    known = status.objects is not None
    return [
        status.name,
        shown_state(status),
        str(status.objects) if known else "-",
        str(trust.version) if known else "-",
        ago(trust.age),
        f"{ago(verified)} ago" if verified is not None else "never",
        str(sum(trust.drift.values())) if trust.drift is not None else "-",
        span(trust.delay_p99),
        _stream_delay(trust),
    ]


def _stream_delay(trust: Trust) -> str:
    """From creation to receipt of ADDED, p50/p99; exact to 1 s."""
    p50, p99 = (delays.shown(trust.stream_delay, delays.ADDED, share) for share in ("p50", "p99"))
    return "-" if p50 is None else f"{span(p50)}/{span(p99)}"


def fitted(rows: Sequence[Sequence[str]], columns: int) -> List[str]:
    """Lines of at most `columns` cells: long kinds are shortened first, then columns go from the right."""
    lines: List[str] = []
    for dropped in range(MAX_DROPPED + 1):
        kept = [list(cells[: len(cells) - dropped]) for cells in rows]
        lines = Columns().lines(kept)
        longest, excess = max(width(cells[0]) for cells in kept), max(map(width, lines)) - columns
        if excess > 0 and (longest - excess >= MIN_KIND or dropped == MAX_DROPPED):
            room = max(MIN_KIND, longest - excess)
            names = [_short(name, room) for name, *_ in kept]
            lines = Columns().lines([[name, *cells[1:]] for name, cells in zip(names, kept)])
        if excess <= 0 or longest - excess >= MIN_KIND:
            break
    return [line[:columns] for line in lines]


def _short(name: str, room: int) -> str:
    """Without its group, and where that is still too long cut."""
    if width(name) <= room:
        return name
    cluster, slash, kind = name.rpartition("/")
    plain = name if "@" in name else cluster + slash + kind.partition(".")[0]
    return plain if width(plain) <= room else plain[: room - 2] + ".."


class Table:
    """Prints the table again and again: in place on a terminal (where that is wanted), else one below the other."""

    def __init__(self, in_place: bool = True) -> None:
        self._fits = is_terminal(sys.stdout)  # a person looks: lines are no wider than the terminal
        self._in_place = in_place and self._fits
        self._coloured = wants_colour(sys.stdout)
        self._columns = Columns()
        self._drawn = 0  # lines of ours that stand at the bottom of the terminal

    def lines(self, statuses: Sequence[KindStatus], notes: Sequence[str] = ()) -> List[str]:
        """Headings, a line a kind, its state coloured where colours are on, and `notes`.

        On a terminal they are as wide as it at most: see `fitted`. Drawn in place they fit its lines too, or the
        cursor could not come back: of more kinds those that are not live come first, and notes take only
        what is left.
        """
        shown = list(statuses)
        columns, rows = shutil.get_terminal_size((200, 0)) if self._fits else (0, 0)
        rows, more = rows if self._in_place else 0, ""
        if rows and len(shown) > rows - 3:
            shown = sorted(shown, key=lambda status: status.trust.state == LIVE)[: max(1, rows - 4)]
            more = f"... and {len(statuses) - len(shown)} more: krm status shows all"
        cells = [list(HEADINGS), *[row(status) for status in shown]]
        cut = fitted(cells, columns - 1) if columns else self._columns.lines(cells)
        painted = [self._painted(line, shown_state(status)) for line, status in zip(cut[1:], shown)]
        below = [more] if more else [safe(note)[: columns - 1] if columns else safe(note) for note in notes]
        if rows:
            below = below[: max(0, rows - 2 - len(cut))] or below[: len(more)][:1]
        return [cut[0], *painted, *below]

    def _painted(self, line: str, state: str) -> str:
        before, found, after = line.partition(f" {state} ")
        painted = paint(state, STATE_COLOUR[state], self._coloured)
        return f"{before} {painted} {after}" if found else line

    def draw(self, statuses: Sequence[KindStatus], notes: Sequence[str] = ()) -> None:
        """Over the table drawn before, on a terminal; `notes` stand below it."""
        lines = self.lines(statuses, notes)
        self._erase()
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
        self._drawn = len(lines) if self._in_place else 0

    def tell(self, sentence: str) -> None:
        """A line that stays, above the table."""
        self._erase()
        sys.stdout.write(safe(sentence) + "\n")
        sys.stdout.flush()

    def leave(self) -> None:
        """What is drawn stays: whatever follows stands below it."""
        self._drawn = 0

    def _erase(self) -> None:
        if self._drawn:
            sys.stdout.write(f"\x1b[{self._drawn}A\x1b[J")
            self._drawn = 0


def grouped(statuses: Sequence[KindStatus], of: int) -> List[str]:
    """Why kinds are not live, a line a reason: `REASON: pods, nodes`. `of`: how many kinds there are in all."""
    return [
        f"{reason}: {'all kinds' if len(names) == of > 2 else ', '.join(names)}"
        for reason, names in _reasons(statuses)
    ]


def details(statuses: Sequence[KindStatus]) -> List[str]:
    """Why kinds are not live, `pods, nodes: REASON`, and below what else was found of each."""
    lines = [f"{', '.join(names)}: {reason}" for reason, names in _reasons(statuses)]
    return lines + [line for status in statuses for line in _found(status)]


def _reasons(statuses: Sequence[KindStatus]) -> List[Tuple[str, List[str]]]:
    """(reason, names of the kinds that share it)."""
    groups: Dict[str, Tuple[str, List[str]]] = {}
    for status in statuses:
        for reason in status.trust.reasons:
            # The seconds differ from kind to kind; the first stand for all.
            groups.setdefault(re.sub(r"\d+ s\b", "s", reason), (reason, []))[1].append(status.name)
    return list(groups.values())


def detail(status: KindStatus) -> List[str]:
    """What the line has no room for: why it is not live, what drifted, which objects are bad."""
    return [f"{status.name}: {reason}" for reason in status.trust.reasons] + _found(status)


def _found(status: KindStatus) -> List[str]:
    trust, lines = status.trust, []
    if trust.drift:
        causes = ", ".join(f"{count} {cause}" for cause, count in sorted(trust.drift.items()))
        lines.append(f"{status.name}: repaired since it began: {causes}")
    if trust.gap_open:
        lines.append(f"{status.name}: the watch broke off; the list that closes the gap is due")
    if trust.upstream_drift and trust.upstream_drift.get("differing"):
        lines.append(f"{status.name}: the API server's own cache differed from its etcd: {trust.upstream_drift}")
    if trust.clock_suspect:
        lines.append(f"{status.name}: a time lies in the future: look at the clocks")
    for bad in bad_objects(status):
        where = bad["key"] or "without a readable name"
        lines.append(f"{status.name}: bad object {where}: {bad['error']} ({bad['length']} bytes)")
    return lines


def bad_objects(status: KindStatus) -> List[Dict[str, Any]]:
    """The newest objects that were refused: class of error, length, digest, key; never their content."""
    rows = status.head.bad if status.head is not None else ()
    return [dict(zip(Bad._fields, row)) for row in rows]


def as_json(status: KindStatus) -> Dict[str, Any]:
    """One kind for `krm status -o json`; null is unknown."""
    oldest = status.head.oldest_at if status.head else None
    return {
        "kind": status.kind,
        "namespace": status.namespace,
        "objects": status.objects,
        "now": status.now,
        "trust": status.trust.to_dict(),
        "window": None if oldest is None else status.now - oldest,  # seconds of changes that are kept
        "rebuilt": status.head.rebuilt if status.head else "",  # why the newest rebuild was made
        "bad": bad_objects(status),
    }
