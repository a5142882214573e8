"""Label and field selectors as the API server reads them, with its wording where it refuses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, FrozenSet, List, Mapping, Tuple

from .history import Stored
from .kinds import Kind
from .wire import Object, Refusal

_SET_TERM = re.compile(r"^\s*([^\s!=(),]+)\s+(in|notin)\s+\(([^()]*)\)\s*$")
_EQUAL_TERM = re.compile(r"^\s*([^\s!=(),]+)\s*(==|!=|=)\s*([^\s!=(),]*)\s*$")
_EXISTS_TERM = re.compile(r"^\s*(!?)\s*([^\s!=(),]+)\s*$")

LabelTerm = Tuple[str, str, FrozenSet[str]]  # (label, in | notin | exists | !, values)
FieldTerm = Tuple[str, bool, str]  # (field, wanted equal, value)


@dataclass(frozen=True)
class Selector:
    """What a list or watch asks for. An empty one passes everything."""

    namespace: str = ""
    labels: Tuple[LabelTerm, ...] = ()
    fields: Tuple[FieldTerm, ...] = ()

    @property
    def empty(self) -> bool:
        """No label or field term, so a list can tell how many items remain."""
        return not self.labels and not self.fields

    @property
    def passes_all(self) -> bool:
        return self.empty and not self.namespace

    def matches(self, stored: Stored) -> bool:
        namespace, _, name = stored.key.rpartition("/")
        if self.namespace and namespace != self.namespace:
            return False
        for label, operator, values in self.labels:
            if not _label_passes(operator, values, stored.labels.get(label)):
                return False
        for field, equal, value in self.fields:
            if field == "metadata.name":
                found = name
            elif field == "metadata.namespace":
                found = namespace
            else:
                found = stored.fields.get(field, "")
            if (found == value) != equal:
                return False
        return True


def _label_passes(operator: str, values: FrozenSet[str], found: Any) -> bool:
    if operator == "in":
        return found in values
    if operator == "notin":
        return found is None or found not in values
    return (found is not None) == (operator == "exists")


def parse_labels(text: str) -> Tuple[LabelTerm, ...]:
    """`a=b,c in (d,e),!f` -> terms. Refusal 400 where it does not parse."""
    return tuple(_label_term(term, text) for term in _split(text)) if text.strip() else ()


def _label_term(term: str, whole: str) -> LabelTerm:
    found = _SET_TERM.match(term)
    if found:
        values = frozenset(value.strip() for value in found.group(3).split(","))
        return found.group(1), found.group(2), values
    found = _EQUAL_TERM.match(term)
    if found:
        return found.group(1), "notin" if found.group(2) == "!=" else "in", frozenset((found.group(3),))
    found = _EXISTS_TERM.match(term)
    if found:
        return found.group(2), "!" if found.group(1) else "exists", frozenset()
    raise Refusal(400, "BadRequest", 'unable to parse requirement: found "%s" in "%s"' % (term.strip(), whole))


def _split(text: str) -> List[str]:
    """At commas outside parentheses."""
    terms, depth, start = [], 0, 0
    for index, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            terms.append(text[start:index])
            start = index + 1
    return [*terms, text[start:]]


def parse_fields(kind: Kind, text: str) -> Tuple[FieldTerm, ...]:
    """`spec.nodeName=n,status.phase!=Running` -> terms. Refusal 400 for a field that the kind does not offer."""
    terms: List[FieldTerm] = []
    for term in text.split(",") if text else ():
        field, operator, value = _field_term(term)
        if field not in ("metadata.name", "metadata.namespace") and field not in kind.fields:
            message = "field label not supported: " + field
            if not kind.fields:
                message = '"%s" is not a known field selector: only "metadata.name", "metadata.namespace"' % field
            raise Refusal(400, "BadRequest", message)
        terms.append((field, operator != "!=", value))
    return tuple(terms)


def _field_term(term: str) -> Tuple[str, str, str]:
    for operator in ("!=", "==", "="):
        field, found, value = term.partition(operator)
        if found:
            return field, operator, value
    raise Refusal(400, "BadRequest", "invalid selector: '%s'; can't understand '%s'" % (term, term))


def object_fields(kind: Kind, obj: Object) -> Mapping[str, str]:
    """The values of the kind's selectable fields, as strings; absent ones are left out."""
    found = {}
    for field in kind.fields:
        value: Any = obj
        for part in field.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None and not isinstance(value, (dict, list)):
            found[field] = str(value).lower() if isinstance(value, bool) else str(value)
    return found
