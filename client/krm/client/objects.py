"""One object of a snapshot: lazy over its canonical bytes, read-only.

Nothing is parsed until a field of the body is asked for: key, uid, resourceVersion, labels and
selectable fields stand in the envelope. A body that does not parse raises BadObject for that object
alone.
"""

from __future__ import annotations

import json
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional

from krm.client.errors import BadObject
from krm.client.typed import typed
from krm.client.view import Frozen, View, find_field, unwrap, wrap
from krm.model import versions
from krm.model.kinds import split_key
from krm.model.records import Envelope
from krm.model.versions import MalformedVersion


class KubernetesObject(Frozen, Mapping[str, Any]):
    """An object at one version.

    `verified`: a list of the API server at or after this version confirmed it. Where it is not, the
    object comes from the watch alone and `streamed_at` says when (seconds of the Redis clock).
    """

    __slots__ = ("_body", "_envelope", "_key", "_kind", "_verified_rv")
    _body: Optional[Dict[str, Any]]
    _envelope: Envelope
    _key: str
    _kind: str
    _verified_rv: str

    def __init__(self, kind: str, key: str, envelope: Envelope, verified_rv: str) -> None:
        for name, value in zip(KubernetesObject.__slots__, (None, envelope, key, kind, verified_rv)):
            object.__setattr__(self, name, value)

    @property
    def key(self) -> str:
        """namespace/name; /name where cluster-scoped."""
        return self._key

    @property
    def name(self) -> str:
        return split_key(self._key)[1]

    @property
    def namespace(self) -> str:
        """'' where cluster-scoped."""
        return split_key(self._key)[0]

    @property
    def uid(self) -> str:
        return self._envelope.uid

    @property
    def resource_version(self) -> str:
        return self._envelope.rv

    @property
    def envelope(self) -> Envelope:
        """Labels, selectable fields and digest, unparsed."""
        return self._envelope

    @property
    def raw(self) -> bytes:
        """The canonical JSON as krm keeps it."""
        return self._envelope.body

    @property
    def labels(self) -> Mapping[str, str]:
        """metadata.labels, read from the envelope: the body is not parsed."""
        labels = self._parse(self._envelope.labels) if self._envelope.labels else {}
        return View(labels)

    @property
    def verified(self) -> bool:
        return is_verified(self._envelope.rv, self._verified_rv)

    @property
    def streamed_at(self) -> Optional[float]:
        """When the watch brought it; None where a list has verified it since."""
        return None if self.verified else self._envelope.received_at

    def body(self) -> Dict[str, Any]:
        """The parsed body, shared: do not change it. Raises BadObject."""
        if self._body is None:
            object.__setattr__(self, "_body", self._parse(self._envelope.body))
        assert self._body is not None  # noqa: S101 - for the type checker
        return self._body

    def _parse(self, text: bytes) -> Dict[str, Any]:
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadObject(self._kind, self._key, type(error).__name__) from None
        if not isinstance(parsed, dict):
            raise BadObject(self._kind, self._key, "no JSON object")
        return parsed

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return wrap(find_field(self.body(), name))

    def __getitem__(self, name: str) -> Any:
        return wrap(self.body()[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.body())

    def __len__(self) -> int:
        return len(self.body())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, KubernetesObject):
            return NotImplemented
        mine, others = self._envelope, other._envelope
        return (self._kind, self._key, mine.rv, mine.digest) == (other._kind, other._key, others.rv, others.digest)

    def __hash__(self) -> int:
        return hash((self._kind, self._key, self._envelope.rv, self._envelope.digest))

    def __bool__(self) -> bool:
        return True  # an object is there, whatever its body holds

    def __dir__(self) -> List[str]:
        return [*super().__dir__(), *self.body()]

    def __repr__(self) -> str:
        return f"<{self._kind} {self._key} at {self._envelope.rv}>"

    def __reduce__(self) -> Any:
        return KubernetesObject, (self._kind, self._key, self._envelope, self._verified_rv)

    def to_dict(self) -> Dict[str, Any]:
        """A deep copy that may be changed. Raises BadObject."""
        copy: Dict[str, Any] = unwrap(self.body())
        return copy

    def to_kubernetes(self) -> Any:
        """The kubernetes package's typed object (V1Pod ...). Raises NeedsPackage, BadObject."""
        return typed(self._kind, self._key, self.body())


def is_verified(rv: str, verified_rv: str) -> bool:
    """Whether a list at verified_rv ('' = never verified) saw this version; RVs of one kind are numbers."""
    try:
        return bool(verified_rv) and versions.parse(rv) <= versions.parse(verified_rv)
    except MalformedVersion:
        return False


class Difference(NamedTuple):
    """One object at two moments; None = it did not exist."""

    key: str  # namespace/name
    before: Optional[KubernetesObject]
    after: Optional[KubernetesObject]

    @property
    def type(self) -> str:
        """ADDED, MODIFIED or DELETED, on the way from a to b."""
        if self.before is None:
            return "ADDED"
        return "MODIFIED" if self.after is not None else "DELETED"
