"""An answer: the objects of a kind at one version, with what that version is worth."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.client.errors import BadRequest
from krm.client.objects import KubernetesObject
from krm.client.selection import Selection
from krm.model.records import Envelope
from krm.model.trust import Trust


class Part(NamedTuple):
    """One pipeline's share: all of a kind, or one namespace of it."""

    namespace: str  # the pipeline's; '' = the whole cluster
    token: str
    verified_rv: str  # '' = never verified
    objects: Mapping[str, Envelope]  # namespace/name -> envelope
    damaged: Tuple[str, ...]  # namespace/name of objects whose bytes rotted: not served
    read_at: float  # Redis clock, seconds
    as_of: Optional[float]  # the moment that it shows, Redis clock; None = unknown


class Snapshot:
    """Objects of one kind at one version (one a pipeline, where krm runs with --namespaces).

    `trust`: how fresh and how verified. `token`: names this version, for `watch`, `at` and `diff`.
    `damaged`: namespace/name of objects whose stored bytes do not fit their digest; they are left out.
    `read_at`: when it was read, seconds of the Redis clock. `as_of`: the moment that it shows, the same but for
    the past; None where it is not known when that version was published.
    """

    def __init__(self, kind: str, parts: Sequence[Part], trust: Trust) -> None:
        self.kind = kind
        self.trust = trust
        self.token = join_tokens([(part.namespace, part.token) for part in parts])
        self.damaged: Tuple[str, ...] = tuple(key for part in parts for key in part.damaged)
        self.read_at = min((part.read_at for part in parts), default=0.0)
        moments = [part.as_of for part in parts]
        self.as_of = None if None in moments else max((at for at in moments if at is not None), default=None)
        self._rows: Dict[str, Tuple[Envelope, str]] = {
            key: (envelope, part.verified_rv) for part in parts for key, envelope in part.objects.items()
        }

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[KubernetesObject]:
        return iter(self.items())

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def __repr__(self) -> str:
        return f"<snapshot of {len(self)} {self.kind} at {self.token}, {self.trust.state}>"

    def keys(self) -> List[str]:
        """namespace/name of every object, in the order in which the API server lists."""
        return sorted(self._rows, key=str.encode)

    def items(self, label_selector: str = "", field_selector: str = "") -> List[KubernetesObject]:
        """The objects that both selectors choose, in the order of the API server. Bodies are not parsed.

        Raises BadRequest for a selector that does not parse or a field that the kind does not offer.
        """
        selection = Selection(self.kind, label_selector, field_selector)
        chosen = []
        for key in self.keys():
            envelope, _ = self._rows[key]
            if selection.matches(key, envelope.labels, envelope.fields):
                chosen.append(self._object(key))
        return chosen

    def get(self, name: str, namespace: Optional[str] = None) -> Optional[KubernetesObject]:
        """One object, None where there is none.

        Without a namespace the name must be the only one of its kind here. Raises BadRequest otherwise.
        """
        if namespace is not None:
            key = f"{namespace}/{name}"
            return self._object(key) if key in self._rows else None
        found = [key for key in self._rows if key.partition("/")[2] == name]
        if len(found) > 1:
            spaces = ", ".join(sorted(key.partition("/")[0] for key in found)[:5])
            raise BadRequest(f"{self.kind} {name} is in several namespaces ({spaces}): say which")
        return self._object(found[0]) if found else None

    def to_dataframe(self, columns: Optional[Mapping[str, str]] = None, package: str = "") -> Any:
        """A row an object: see krm.client.frames. Raises NeedsPackage, BadObject."""
        from krm.client.frames import objects_frame

        return objects_frame(self.kind, self.items(), columns or {}, package)

    def _object(self, key: str) -> KubernetesObject:
        envelope, verified_rv = self._rows[key]
        return KubernetesObject(self.kind, key, envelope, verified_rv)


def join_tokens(tokens: Sequence[Tuple[str, str]]) -> str:
    """(namespace, token) of each pipeline -> one text: the token itself, or `ns=token,ns=token`."""
    if len(tokens) == 1 and not tokens[0][0]:
        return tokens[0][1]
    return ",".join(f"{namespace}={token}" for namespace, token in tokens)


def split_tokens(text: str) -> Dict[str, str]:
    """The other way round; the key '' holds a text that is one plain token."""
    if "=" not in text:
        return {"": text}
    found = {}
    for part in text.split(","):
        namespace, equals, token = part.partition("=")
        if not equals:
            raise BadRequest(f"{text!r} is no token: krm writes NAMESPACE=TOKEN,NAMESPACE=TOKEN")
        found[namespace] = token
    return found
