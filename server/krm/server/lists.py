"""Reads of one kind at one version: an object, a list, a page of a list. Pure but for the kept bodies.

A list at an older resourceVersion is the newest one with the later events undone; what the replica's log
does not lead back to is 410, never a guess.
"""

from __future__ import annotations

import base64
import json
from bisect import bisect_left
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional

from krm.model.kinds import split_key
from krm.model.records import Envelope
from krm.server.negotiation import PLAIN, TABLE, Form
from krm.server.options import EXACT, Options
from krm.server.replica import Replica, order
from krm.server.statuses import ApiError, bad_request, continue_expired, list_expired
from krm.server.tables import Tabulator
from krm.server.writing import Page, Writer

CONTINUE_VERSION = "meta.k8s.io/v1"
MAX_TOKEN = 4096  # characters; ours have about 150


class Position(NamedTuple):
    """What a continue token says: where a list at `rv` goes on."""

    rv: int  # 0 = the newest, whatever the pages before were of
    start: str  # the first key that is not before it


class View(NamedTuple):
    """A kind, or one namespace of it, at one resourceVersion."""

    rv: str
    keys: List[str]  # in the API server's order
    objects: Mapping[str, Envelope]


class Forms:
    """How one kind's objects are written."""

    def __init__(self, writer: Writer, tabulator: Tabulator) -> None:
        self.writer, self.tabulator = writer, tabulator

    def one(self, form: Form, envelope: Envelope, include: str, now: float) -> bytes:
        """The answer to a get, with its newline."""
        if form.name != TABLE:
            return self.writer.object(form, envelope) + b"\n"
        return self.table(form, Page(envelope.rv), [envelope], include, now) + b"\n"

    def table(
        self, form: Form, page: Page, objects: List[Envelope], include: str, now: float, definitions: bool = True
    ) -> bytes:
        """A Table of these objects, without a newline."""
        made = [self.tabulator.row(form, one, self._whole, include, now) for one in objects]
        return self.tabulator.table(form, page, made, definitions)

    def _whole(self, envelope: Envelope) -> bytes:
        return self.writer.object(PLAIN, envelope)

    def list(self, form: Form, page: Page, objects: List[Envelope], include: str, now: float) -> bytes:
        """The answer to a list, with its newline."""
        if form.name == TABLE:
            return self.table(form, page, objects, include, now) + b"\n"
        return self.writer.list(form, page, [self.writer.item(form, one) for one in objects])


def answer(replica: Replica, namespace: str, options: Options, forms: Forms, form: Form, now: float) -> bytes:
    """The body of a list. Raises ApiError 400 and 410."""
    position = parse_token(options.continue_token, namespace) if options.continue_token else None
    view = _view(replica, namespace, position.rv if position else exact(options))
    if view is None:
        raise continue_expired(make_token("-1", position.start, namespace)) if position else list_expired()
    limit = options.limit if options.resource_version != "0" else 0
    chosen: List[str] = []
    following = ""
    for key in _from(view.keys, position.start if position else ""):
        if options.selects and not matches(key, view.objects[key], options):
            continue
        if limit and len(chosen) == limit:
            following = key
            break
        chosen.append(key)
    page = Page(view.rv)
    if following:
        remaining = None if options.selects else len(view.keys) - bisect_left(view.keys, following)
        page = Page(view.rv, make_token(view.rv, chosen[-1] + "\0", namespace), remaining)
    if form.name == TABLE:
        chosen = forms.tabulator.ordered(chosen, view.objects)
    return forms.list(form, page, [view.objects[key] for key in chosen], options.include, now)


def matches(key: str, envelope: Envelope, options: Options) -> bool:
    """Whether both selectors choose this object."""
    namespace, name = split_key(key)
    if options.fields.clauses and not options.fields.matches(namespace, name, envelope.fields):
        return False
    return not options.labels.clauses or options.labels.matches(labels_of(envelope.labels))


def labels_of(raw: bytes) -> Dict[str, str]:
    """An envelope's labels; {} where they are none."""
    try:
        found = json.loads(raw) if raw else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def exact(options: Options) -> int:
    """The resourceVersion that a list must be at, 0 = the newest. One with a limit and no match means exactly."""
    if options.match == EXACT or (options.limit and not options.match and options.version):
        return options.version
    return 0


def _view(replica: Replica, namespace: str, rv: int) -> Optional[View]:
    """None where the log does not lead back so far."""
    if not rv or rv == order(replica.rv):
        return View(replica.rv, replica.keys(namespace), replica.objects)
    undone = replica.undone(rv)
    if undone is None:
        return None
    objects = dict(replica.objects)
    for key, before in undone.items():
        if before is None:
            objects.pop(key, None)
        else:
            objects[key] = before
    prefix = namespace + "/"
    return View(str(rv), sorted(key for key in objects if not namespace or key.startswith(prefix)), objects)


def _from(keys: List[str], start: str) -> Iterator[str]:
    for number in range(bisect_left(keys, start) if start else 0, len(keys)):
        yield keys[number]


# --- continue tokens, in the API server's own shape


def make_token(rv: str, start: str, namespace: str) -> str:
    """The list goes on at the first key from `start` on; "-1": in what is the newest then."""
    start = start[len(namespace) :] if namespace else start
    text = json.dumps({"v": CONTINUE_VERSION, "rv": int(rv), "start": start}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def parse_token(token: str, namespace: str) -> Position:
    """Raises ApiError 400 for what krm, or an API server, did not write."""
    found = _decoded(token)
    version, start = found.get("rv"), found.get("start")
    if found.get("v") != CONTINUE_VERSION:
        raise _no_token(f": server does not recognize this encoded version {str(found.get('v', ''))[:100]}")
    if not isinstance(version, int) or isinstance(version, bool) or not isinstance(start, str):
        raise _no_token(": a field of another type")
    if not version or abs(version) >= 1 << 128:
        raise _no_token(": incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
    if not start:
        raise _no_token(": encoded start key empty (version meta.k8s.io/v1)")
    if ".." in start.split("/"):
        raise _no_token(f": {start[:100]}")
    # An API server's own token of all namespaces begins with a slash, as keys without a namespace do here.
    place = start.lstrip("/")
    before = namespace + "/" if namespace else "" if "/" in place else "/"
    return Position(max(0, version), before + place)


def _no_token(why: str = "") -> ApiError:
    return bad_request(f"invalid continue token: continue key is not valid{why}")


def _decoded(token: str) -> Dict[str, Any]:
    raw = b""
    try:
        if len(token) > MAX_TOKEN:
            raise ValueError
        raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        found = json.loads(raw)
    except (ValueError, RecursionError):
        raise _no_token(_why_no_json(raw)) from None
    if not isinstance(found, dict):
        raise _no_token()
    return found


def _why_no_json(raw: bytes) -> str:
    """As Go's decoder says it, where the first byte is wrong already."""
    return (
        ""
        if not raw or raw[0] in b'{["-0123456789tfn '
        else f": invalid character {chr(raw[0])!r} looking for beginning of value"
    )


def get(replica: Replica, namespace: str, name: str) -> Optional[Envelope]:
    """One object; None where there is none."""
    return replica.objects.get(f"{namespace}/{name}")
