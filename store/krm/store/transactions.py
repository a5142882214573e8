"""What one write consists of: pure functions from values to the commands of one MULTI, in their order.

The order is the protocol's: changes first, then past, objects, index, and head last, so that an
error in the middle leaves a head that still says the old version.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence

from krm.model.head import encode
from krm.model.kinds import split_key
from krm.model.records import IndexEntry, pack_index
from krm.store.connect import Command, Word
from krm.store.keys import Keys

CHANGE_FIELD, PAST_FIELD = b"c", b"p"


class Known(NamedTuple):
    """What a writer left in head: the next write goes onto exactly this, or not at all."""

    incarnation: str
    next: str
    version: int


@dataclass(frozen=True)
class Publication:
    """One version: what changed, and everything that must change with it."""

    incarnation: str
    version: int  # the new one: the known version + 1
    puts: Mapping[str, bytes]  # namespace/name -> packed envelope
    deletes: Sequence[str]  # namespace/name
    index: Mapping[str, Optional[IndexEntry]]  # of the namespaces touched; None = empty now
    entry: bytes  # packed ChangeEntry
    past: bytes  # packed past entry, b"" = past is off
    head: Mapping[str, Any]  # head's fields, without incarnation and version
    trim_changes_to: Optional[int] = None  # versions below it leave `changes`
    trim_past_to: Optional[int] = None


def stream_id(version: int) -> str:
    """The id of a version's entry in `changes` and `past`."""
    return f"{version}-0"


def publishing(keys: Keys, publication: Publication) -> List[Command]:
    """One version."""
    entry_id = stream_id(publication.version)
    commands: List[Command] = [("XADD", keys.changes, entry_id, CHANGE_FIELD, publication.entry)]
    if publication.past:
        commands.append(("XADD", keys.past, entry_id, PAST_FIELD, publication.past))
    commands += _objects(keys, publication.incarnation, publication.puts, publication.deletes)
    commands += _index(keys, publication.incarnation, publication.index)
    commands += trimming(keys, publication.trim_changes_to, publication.trim_past_to)
    commands.append(set_head(keys, {**publication.head, "version": publication.version}))
    return commands


def building(
    keys: Keys,
    incarnation: str,
    puts: Mapping[str, bytes],
    index: Mapping[str, Optional[IndexEntry]],
    head: Mapping[str, Any],
) -> List[Command]:
    """A chunk of a snapshot built aside. The index goes first: what it does not name, nobody would remove."""
    commands = [*_index(keys, incarnation, index), *_objects(keys, incarnation, puts, ())]
    return [*commands, set_head(keys, {**head, "next": incarnation})]


def switching(keys: Keys, after: Known, head: Mapping[str, Any], old: str) -> List[Command]:
    """What was built aside becomes the snapshot; its history is empty, the old one garbage."""
    commands: List[Command] = [("UNLINK", keys.changes, keys.past)]
    if old:
        commands.append(("SADD", keys.garbage, old))
    return [*commands, set_head(keys, {**head, **after._asdict()})]


def trimming(keys: Keys, changes_to: Optional[int], past_to: Optional[int]) -> List[Command]:
    """Versions below leave the streams. Redis allows these commands when it is full."""
    wanted = ((keys.changes, changes_to), (keys.past, past_to))
    return [("XTRIM", key, "MINID", "=", stream_id(to)) for key, to in wanted if to is not None]


def set_head(keys: Keys, values: Mapping[str, Any]) -> Command:
    """HSET of head's fields; values as krm.model.head.Head holds them."""
    return _hset(keys.head, encode(values))


def by_namespace(keys: Iterable[str]) -> Dict[str, List[str]]:
    """namespace -> names, of `namespace/name` keys."""
    spaces: Dict[str, List[str]] = {}
    for key in keys:
        namespace, name = split_key(key)
        spaces.setdefault(namespace, []).append(name)
    return spaces


def _objects(keys: Keys, incarnation: str, puts: Mapping[str, bytes], deletes: Sequence[str]) -> List[Command]:
    stored: Dict[str, Dict[str, Word]] = {}
    for key, envelope in puts.items():
        namespace, name = split_key(key)
        stored.setdefault(namespace, {})[name] = envelope
    commands = [_hset(keys.objects(incarnation, space), named) for space, named in stored.items()]
    for space, names in by_namespace(deletes).items():
        commands.append(("HDEL", keys.objects(incarnation, space), *names))
    return commands


def _index(keys: Keys, incarnation: str, index: Mapping[str, Optional[IndexEntry]]) -> List[Command]:
    shares: Dict[str, Word] = {space: pack_index(entry) for space, entry in index.items() if entry is not None}
    gone = [space for space, entry in index.items() if entry is None]
    commands: List[Command] = [_hset(keys.index(incarnation), shares)] if shares else []
    if gone:
        commands.append(("HDEL", keys.index(incarnation), *gone))
    return commands


def _hset(key: str, values: Mapping[str, Word]) -> Command:
    return ("HSET", key, *(part for item in values.items() for part in item))
