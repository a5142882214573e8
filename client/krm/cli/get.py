"""`krm get`: the objects of a kind as kubectl prints them, from the verified copy."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Callable, List, Optional, Sequence, Tuple, TypeVar, Union

from krm.cli.opening import followed, open_client, resolve
from krm.cli.output import Format, Rows, make_format
from krm.cli.terminal import say
from krm.client.client import Client
from krm.client.errors import BadRequest
from krm.client.objects import KubernetesObject
from krm.client.selection import Selection
from krm.client.snapshot import Snapshot
from krm.client.tables import Table
from krm.model.trust import LIVE, Trust

NOT_TRUSTED = 3
Found = TypeVar("Found", Snapshot, Table)


def run(args: argparse.Namespace) -> int:
    """Exit code 3 where the answer is given but is not live, 1 where a named object is not there."""
    words, names = _target(args)
    client = open_client(args)
    kinds = [resolve(client, word) for word in words]
    if len(set(kinds)) > 1:
        raise BadRequest(f"several kinds ({', '.join(dict.fromkeys(kinds))}): krm reads one kind at a time")
    kind = kinds[0]
    Selection(kind, args.selector, args.field_selector)  # a bad selector is told before anything is read
    if names and (args.selector or args.field_selector):
        raise BadRequest("names and selectors exclude one another")
    if args.output in ("", "wide") and not (names or args.watch or args.verified_only) and args.at is None:
        return _table(client, kind, args)
    snapshot, namespace = _read(client, kind, args, lambda namespace: _snapshot(client, kind, namespace, args))
    objects, missing = _chosen(snapshot, names, namespace, args)
    namespaces = args.all_namespaces and any(obj.namespace for obj in objects)
    clock = _clock(snapshot, args)
    form = make_format(kind, args, namespaces, clock, lambda: client.printer(kind, namespace))
    _show(form, objects, len(names) == 1, namespace, args)
    for name in missing:
        say(f'Error from krm (NotFound): {kind} "{name}" not found')
    teller = Teller(kind, snapshot.trust)
    damaged = tell_damaged(kind, snapshot.damaged)
    if args.watch and not missing:
        with followed(client):
            _watch(client, snapshot, namespace, names, form, teller, args)
    if missing:
        return 1
    return NOT_TRUSTED if teller.doubtful or damaged else 0


def _table(client: Client, kind: str, args: argparse.Namespace) -> int:
    """What is only printed is read as rows."""

    def read(namespace: Optional[str]) -> Table:
        return client.table(kind, namespace, args.selector, args.field_selector, args.stale_ok)

    table, namespace = _read(client, kind, args, read)
    namespaces = args.all_namespaces and any(row.key[0] != "/" for row in table.rows)
    if table.rows:
        Rows(table.columns, args.output == "wide", namespaces, not args.no_headers).show(table.rows)
        sys.stdout.flush()
    else:
        _say_none(namespace)
    doubtful, damaged = tell(kind, table.trust), tell_damaged(kind, table.damaged)
    return NOT_TRUSTED if doubtful or damaged else 0


def _clock(snapshot: Snapshot, args: argparse.Namespace) -> Callable[[], float]:
    """Redis' clock from now on, or for --at a clock that stands at that moment. For ages."""
    if args.at is None:
        offset = snapshot.read_at - time.monotonic()
        return lambda: time.monotonic() + offset
    if snapshot.as_of is None:
        say(f"Warning: when version {args.at} was published is no longer known: ages are those of now")
    moment = snapshot.read_at if snapshot.as_of is None else snapshot.as_of
    return lambda: moment


def _target(args: argparse.Namespace) -> Tuple[List[str], List[str]]:
    """KIND NAME... or KIND/NAME...: words for kinds, and names."""
    if args.at is not None and args.watch:
        raise BadRequest("--at shows the past, which does not change: leave --watch out")
    if "/" not in args.kind:
        return [args.kind], list(args.names)
    pairs = [text.partition("/") for text in (args.kind, *args.names)]
    for word, slash, name in pairs:
        if not slash:
            raise BadRequest("write KIND/NAME KIND/NAME or KIND NAME NAME, not both")
        if not (word and name):
            raise BadRequest(f"{word + slash + name!r} names no object: write KIND/NAME")
    return [word for word, _, _ in pairs], [name for _, _, name in pairs]


def _read(
    client: Client, kind: str, args: argparse.Namespace, read: Callable[[Optional[str]], Found]
) -> Tuple[Found, Optional[str]]:
    """What `read` gives of the namespace that is meant, and that (None = all, '' = the kind has none)."""
    named: Optional[str] = args.namespace or client.directory.namespace or "default"
    namespace = None if args.all_namespaces else named
    known = client.namespaced(kind)
    if known is False:
        namespace = ""
    found = read(namespace)
    if namespace and known is None and not _size(found):
        # Nobody has told yet whether it has namespaces: if not, its objects are under ''.
        whole = read("") if not is_limited(client, kind) else found
        if _size(whole):
            return whole, ""
    return found, namespace


def _size(found: Union[Snapshot, Table]) -> int:
    return len(found.rows) if isinstance(found, Table) else len(found)


def is_limited(client: Client, kind: str) -> bool:
    """Whether krm keeps some namespaces of the kind alone."""
    return client.directory.namespaces_of(kind) != [""]


def _snapshot(client: Client, kind: str, namespace: Optional[str], args: argparse.Namespace) -> Snapshot:
    if args.at is not None and args.verified_only:
        raise BadRequest("--at and --verified-only exclude one another")
    if args.at is not None:
        return client.at(kind, args.at, namespace, stale_ok=args.stale_ok)
    return client.snapshot(kind, namespace, verified_only=args.verified_only, stale_ok=args.stale_ok)


def _chosen(
    snapshot: Snapshot, names: List[str], namespace: Optional[str], args: argparse.Namespace
) -> Tuple[List[KubernetesObject], List[str]]:
    """The objects to show, and the names that are not there."""
    if not names:
        return snapshot.items(args.selector, args.field_selector), []
    if namespace is None:
        raise BadRequest("a name needs its namespace: -n NS, not -A")
    found = [(name, snapshot.get(name, namespace)) for name in names]
    return [obj for _, obj in found if obj is not None], [name for name, obj in found if obj is None]


def _show(
    form: Format, objects: List[KubernetesObject], single: bool, namespace: Optional[str], args: argparse.Namespace
) -> None:
    if single or (args.watch and form.watched_alone):
        for obj in objects:
            form.show_one(obj)
    elif objects or args.output not in ("", "wide", "name"):
        form.show(objects)
    elif not args.names:
        _say_none(namespace)
    sys.stdout.flush()


def _say_none(namespace: Optional[str]) -> None:
    where = f" in {namespace} namespace" if namespace else ""
    say(f"No resources found{where}.")


def tell(kind: str, trust: Trust) -> bool:
    """Says on stderr where an answer is not live; answers whether it did."""
    for reason in trust.reasons:
        say(f"Warning: {kind} are {trust.state}: {reason}")
    return trust.state != LIVE


class Teller:
    """Says on stderr, of a watch, each time that its kind changes state; `doubtful`: it was not live once."""

    def __init__(self, kind: str, trust: Trust) -> None:
        self._kind, self._state = kind, trust.state
        self.doubtful = tell(kind, trust)

    def take(self, trust: Trust) -> None:
        """What the kind is worth now."""
        if trust.state == self._state:
            return
        self._state = trust.state
        if trust.state == LIVE:
            say(f"Warning: {self._kind} are live again")
        else:
            self.doubtful = tell(self._kind, trust)


def tell_damaged(kind: str, damaged: Sequence[str]) -> bool:
    """Says which objects were left out because their bytes rotted."""
    for key in damaged:
        say(f"Warning: {kind} {key} is left out: its bytes in Redis do not fit their digest")
    return bool(damaged)


def _watch(
    client: Client, snapshot: Snapshot, namespace: Optional[str], names: List[str], form: Format,
    teller: Teller, args: argparse.Namespace,
) -> None:  # fmt: skip
    """Changes from the snapshot's version on, until interrupted or no longer live."""
    changes = client.watch(
        snapshot.kind, snapshot.token, namespace, args.selector, args.field_selector,
        stale_ok=args.stale_ok, on_trust=teller.take,
    )  # fmt: skip
    for change in changes:
        if not names or change.object.name in names:
            form.show_one(change.object)
            sys.stdout.flush()
