"""Label and field selectors on envelopes: what they need stands beside the body, which stays unparsed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Mapping, Optional, Tuple

from krm.client.errors import BadObject, BadRequest
from krm.model.kinds import split_key
from krm.model.messages import ADDED, DELETED, EVENT_TYPES, MODIFIED

if TYPE_CHECKING:
    from krm.model.selectors import FieldSelector, LabelSelector


class Selection:
    """Both selectors and a namespace (None = all). Raises BadRequest where one does not parse.

    The grammar's module is imported where a selector is given: it costs a third of this library's start.
    """

    def __init__(
        self, kind: str, label_selector: str, field_selector: str, namespace: Optional[str] = None
    ) -> None:
        self._kind = kind
        self.namespace = namespace
        self.label_selector, self.field_selector = label_selector, field_selector  # as they were written
        self._labels: Optional[LabelSelector] = None
        self._fields: Optional[FieldSelector] = None
        if label_selector or field_selector:
            self._parse(label_selector, field_selector)

    def _parse(self, label_selector: str, field_selector: str) -> None:
        from krm.model.selectors import BadSelector, parse_fields, parse_labels

        try:
            self._labels = parse_labels(label_selector) if label_selector else None
            self._fields = parse_fields(self._kind, field_selector) if field_selector else None
        except BadSelector as error:
            raise BadRequest(str(error)) from None

    @property
    def selects(self) -> bool:
        """Whether a selector was given."""
        return self._labels is not None or self._fields is not None

    @property
    def requirements(self) -> int:
        """Of both selectors: each may be tried on each object."""
        given = (self._labels, self._fields)
        return sum(len(one.clauses) for one in given if one is not None)

    def matches(self, key: str, labels: bytes, fields: Tuple[str, ...]) -> bool:
        """`labels`: raw JSON as in an envelope, b"" = none. Raises BadObject for labels that rotted."""
        namespace, name = split_key(key)
        if self.namespace is not None and namespace != self.namespace:
            return False
        if self._fields is not None and not self._fields.matches(namespace, name, fields):
            return False
        return self._labels is None or self._labels.matches(self._parsed(key, labels))

    def transition(self, key: str, type_: str, before: Optional[Tuple[bytes, Tuple[str, ...]]],
                   after: Tuple[bytes, Tuple[str, ...]]) -> Optional[str]:  # fmt: skip
        """What a watcher with these selectors sees of a change: ADDED, MODIFIED, DELETED, None = nothing.

        before: labels and fields of the previous version, None = there was none.
        """
        was = before is not None and self.matches(key, *before)
        is_ = type_ != DELETED and self.matches(key, *after)
        if was and is_:
            return EVENT_TYPES[MODIFIED]
        if is_:
            return EVENT_TYPES[ADDED]
        return EVENT_TYPES[DELETED] if was else None

    def _parsed(self, key: str, labels: bytes) -> Mapping[str, str]:
        if not labels:
            return {}
        try:
            parsed: Mapping[str, str] = json.loads(labels)
        except (ValueError, RecursionError) as error:
            raise BadObject(self._kind, key, f"labels: {type(error).__name__}") from None
        return parsed
