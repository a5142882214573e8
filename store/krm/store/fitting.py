"""Whether objects that were read are all that were written: each namespace against its index entry, and
the index against the head. A key that Redis lost leaves no trace of its own; the sum above it tells.
"""

from __future__ import annotations

from typing import Dict, List, Mapping, NamedTuple, Set, Tuple

from krm.model.head import Head
from krm.model.kinds import split_key
from krm.model.messages import BadMessage
from krm.model.records import (
    Envelope,
    add_digest,
    member_digest,
    object_digest,
    unpack_envelope,
    unpack_index,
)


class Fitted(NamedTuple):
    """What was read, sorted by what it is worth."""

    objects: Dict[str, Envelope]  # namespace/name -> envelope whose body fits its digest
    corrupt: List[str]  # namespace/name of the others
    wrong: Tuple[str, ...]  # namespaces that do not fit count or digest of their index entry


def fitted(packed: Mapping[str, bytes], shares: Mapping[bytes, bytes]) -> Fitted:
    """`packed`: namespace/name -> packed envelope; `shares`: namespace -> index entry, as Redis holds them."""
    objects: Dict[str, Envelope] = {}
    corrupt: List[str] = []
    unreadable: Set[str] = set()  # namespaces whose digest cannot be told, since an envelope is no envelope
    counts: Dict[str, int] = {}
    digests: Dict[str, int] = {}
    for key, raw in packed.items():
        space = split_key(key)[0]
        counts[space] = counts.get(space, 0) + 1
        try:
            envelope = unpack_envelope(raw)
        except BadMessage:
            corrupt.append(key)
            unreadable.add(space)
            continue
        member = member_digest(key, envelope.rv, envelope.digest)
        digests[space] = add_digest(digests.get(space, 0), member)
        if object_digest(envelope.body) == envelope.digest:
            objects[key] = envelope
        else:
            corrupt.append(key)
    return Fitted(objects, corrupt, _misfits(counts, digests, shares, unreadable))


def _misfits(
    counts: Mapping[str, int], digests: Mapping[str, int], shares: Mapping[bytes, bytes], unreadable: Set[str]
) -> Tuple[str, ...]:
    wrong = set(counts)
    for space, share in shares.items():
        name = space.decode("utf-8", "backslashreplace")
        try:
            objects, digest = unpack_index(share)
        except BadMessage:
            wrong.add(name)
            continue
        if counts.get(name, 0) == objects and (name in unreadable or digests.get(name, 0) == digest):
            wrong.discard(name)
        else:
            wrong.add(name)
    return tuple(sorted(wrong))


def adds_up(head: Head, shares: Mapping[bytes, bytes]) -> bool:
    """Whether the whole index gives count and digest of the head; a head without a digest tells nothing."""
    if not head.digest:
        return True
    count = digest = 0
    for share in shares.values():
        try:
            entry = unpack_index(share)
        except BadMessage:
            return False
        count, digest = count + entry.objects, add_digest(digest, entry.digest)
    return (count, f"{digest:032x}") == (head.count, head.digest)
