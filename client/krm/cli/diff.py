"""`krm diff KIND A B`: which objects differ between two moments, and in what."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any, Iterator, List, Optional, Tuple

from krm.cli.get import tell
from krm.cli.opening import chosen_namespace, open_client, resolve
from krm.cli.terminal import paint, wants_colour
from krm.client.objects import Difference
from krm.model.safetext import safe
from krm.model.trust import LIVE

_MARK = {"ADDED": ("+", "green"), "DELETED": ("-", "red"), "MODIFIED": ("~", "yellow")}
_MAX_TEXT = 120  # characters of a value; longer ones are cut

Leaf = Tuple[str, Any, Any]  # path, before, after; _ABSENT where there is none
_ABSENT = object()


def run(args: argparse.Namespace) -> int:
    """Exit code 3 where it answered but the kind is not live. Finding differences is no error."""
    client = open_client(args)
    kind, namespace = resolve(client, args.kind), chosen_namespace(client, args)
    trust = client.checked_trust(kind, namespace, args.stale_ok)
    found = client.diff(kind, args.a, args.b, namespace, stale_ok=args.stale_ok)
    coloured = wants_colour(sys.stdout)
    for difference in found:
        if args.output == "json":
            print(json.dumps(as_json(difference)))
            continue
        mark, colour = _MARK[difference.type]
        print(paint(f"{mark} {safe(difference.key)}", colour, coloured))
        for path, before, after in leaves(difference):
            print(f"    {safe(path)}: {_text(before)} -> {_text(after)}")
    tell(kind, trust)
    return 0 if trust.state == LIVE else 3


def as_json(difference: Difference) -> Any:
    """One object for `-o json`; a side that does not exist is null."""
    sides = [None if one is None else one.to_dict() for one in (difference.before, difference.after)]
    return {"type": difference.type, "key": difference.key, "before": sides[0], "after": sides[1]}


def leaves(difference: Difference) -> List[Leaf]:
    """The fields that changed in a MODIFIED object, by path; none of the others. Raises BadObject."""
    if difference.before is None or difference.after is None:
        return []
    return list(_compare("", difference.before.body(), difference.after.body()))


def _compare(path: str, before: Any, after: Any) -> Iterator[Leaf]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted({*before, *after}):
            yield from _compare(f"{path}.{name}", before.get(name, _ABSENT), after.get(name, _ABSENT))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for place, (one, other) in enumerate(zip(before, after)):
            yield from _compare(f"{path}[{place}]", one, other)
    elif before is _ABSENT or after is _ABSENT or before != after:
        yield path, before, after


def _text(value: Optional[Any]) -> str:
    if value is _ABSENT:
        return "(none)"
    text = safe(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 3] + "..."
