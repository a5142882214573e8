"""`krm describe KIND NAME`: one object in full, its events, and what the answer is worth.

The layout is kubectl's for kinds that it does not know by heart: fields by name, in words.
"""

from __future__ import annotations

import argparse
import re
from typing import Any, Iterator, List, Optional

from krm.cli.get import tell
from krm.cli.opening import open_client, resolve
from krm.cli.terminal import say
from krm.client.client import Client
from krm.client.errors import BadRequest, KrmError, UnknownKind
from krm.client.names import is_cluster_scoped
from krm.client.objects import KubernetesObject
from krm.model import times
from krm.model.cells import since
from krm.model.layout import Columns
from krm.model.reading import mapping, text
from krm.model.safetext import safe
from krm.model.trust import LIVE, Trust

NOT_TRUSTED = 3
_TOP = ("apiVersion", "kind", "metadata")
# Shown by name above, or of no use to a person.
_HIDDEN = frozenset(("name", "namespace", "labels", "annotations", "managedFields"))


def run(args: argparse.Namespace) -> int:
    """Exit code 1 where the object is not there, 3 where the answer is not live."""
    word, slash, name = args.kind.partition("/")
    if bool(slash) == bool(args.name) or not (name or args.name):
        raise BadRequest("write KIND NAME or KIND/NAME")
    client = open_client(args)
    kind = resolve(client, word)
    namespace = "" if is_cluster_scoped(kind) else (args.namespace or client.directory.namespace or "default")
    trust = client.checked_trust(kind, namespace or None, args.stale_ok)
    obj = client.get(kind, name or args.name, namespace, stale_ok=args.stale_ok)
    if obj is None:
        say(f'Error from krm (NotFound): {kind} "{name or args.name}" not found')
        return 1
    for line in described(obj, trust):
        print(safe(line))
    for line in _events(client, obj):
        print(line)
    return NOT_TRUSTED if tell(kind, trust) else 0


def described(obj: KubernetesObject, trust: Trust) -> Iterator[str]:
    """The object, a field a line."""
    body = obj.body()
    metadata = mapping(body.get("metadata"))
    yield _line("Name", obj.name)
    if obj.namespace:
        yield _line("Namespace", obj.namespace)
    yield from _pairs("Labels", mapping(metadata.get("labels")))
    yield from _pairs("Annotations", mapping(metadata.get("annotations")))
    yield _line("API Version", text(body.get("apiVersion")))
    yield _line("Kind", text(body.get("kind")))
    yield "Metadata:"
    yield from _fields({name: value for name, value in metadata.items() if name not in _HIDDEN}, 1)
    yield from _fields({name: value for name, value in body.items() if name not in _TOP}, 0)
    yield _line("Verified", _verified(obj, trust))


def _verified(obj: KubernetesObject, trust: Trust) -> str:
    age = "unknown" if trust.age is None else f"{trust.age:.1f} s ago"
    seen = (
        "a list of the API server confirmed this version"
        if obj.verified
        else "not by a list yet, by the watch alone"
    )
    return f"{seen}; the kind is {trust.state}, proven current {age}"


def _line(name: str, value: str) -> str:
    return f"{name + ':':<14}{value}"


def _pairs(name: str, values: Any) -> Iterator[str]:
    if not values:
        yield _line(name, "<none>")
    for number, (key, value) in enumerate(sorted(values.items())):
        yield f"{name + ':' if number == 0 else '':<14}{key}{'=' if name == 'Labels' else ': '}{value}"


def _fields(found: Any, depth: int) -> Iterator[str]:
    pad = "  " * depth
    if isinstance(found, dict):
        for name in sorted(found):
            yield from _field(f"{pad}{words(name)}:", found[name], depth)
    elif isinstance(found, list):
        for one in found:
            if isinstance(one, (dict, list)):
                yield from _fields(one, depth)
            else:
                yield pad + _plain(one)


def _field(label: str, value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, (dict, list)):
        yield label
        yield from _fields(value, depth + 1)
    else:
        yield f"{label}  {_plain(value)}"


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "<nil>" if value is None else str(value)


def words(field: str) -> str:
    """`podIPs` -> `Pod IPs`."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*", field):
        return field
    parts = re.findall(r"[A-Z]+s?(?![a-z])|[A-Z]?[a-z0-9]+|[A-Z][a-z0-9]*", field)
    return " ".join(part[:1].upper() + part[1:] for part in parts)


def _events(client: Client, obj: KubernetesObject) -> List[str]:
    """The events of this object, oldest first; a sentence where they cannot be known."""
    try:
        found = client.snapshot("events", obj.namespace or None, stale_ok=True)
        events = found.items(field_selector=f"involvedObject.uid={obj.uid}")
    except UnknownKind:
        return ["Events:       unknown: krm does not keep events here"]
    except KrmError as error:
        return [f"Events:       unknown: {safe(str(error))}"]
    if not events:
        return ["Events:       <none>"]
    now = found.read_at
    lines = [["  Type", "Reason", "Age", "From", "Message"], ["  ----", "------", "----", "----", "-------"]]
    lines += [_event(one, now) for one in sorted(events, key=_last_seen)]
    stale = [] if found.trust.state == LIVE else [f"  (events are {found.trust.state})"]
    return ["Events:", *Columns().lines(lines), *stale]


def _event(event: KubernetesObject, now: float) -> List[str]:
    body = event.body()
    age = since(_last_seen(event), now)
    count = body.get("count")
    if isinstance(count, int) and count > 1:
        first = times.known(body.get("firstTimestamp"))
        age = f"{age} (x{count} over {since(first, now)})"
    source = text(mapping(body.get("source")).get("component")) or text(body.get("reportingComponent"))
    return ["  " + text(body.get("type")), text(body.get("reason")), age, source, text(body.get("message")).strip()]


def _last_seen(event: KubernetesObject) -> float:
    body = event.body()
    found: Optional[float] = None
    for name in ("lastTimestamp", "eventTime"):
        found = found or times.known(body.get(name))
    return found or times.known(mapping(body.get("metadata")).get("creationTimestamp")) or 0.0
