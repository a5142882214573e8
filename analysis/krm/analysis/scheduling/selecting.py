"""Selectors as objects write them: label selectors, and the terms of node selectors. Pure.

What cannot be read selects nothing, as in the scheduler.
"""

from __future__ import annotations

from typing import Any, Dict, FrozenSet, List, Mapping, NamedTuple, Optional, Tuple

from krm.model.reading import mapping, rows, text, texts
from krm.model.selectors import Clause, LabelSelector

# As `operator` is written in objects -> as krm.model.selectors has it.
_OPERATORS = {
    "In": "in",
    "NotIn": "notin",
    "Exists": "exists",
    "DoesNotExist": "absent",
    "Gt": "above",
    "Lt": "below",
}
_OF_ONE = frozenset({"Gt", "Lt"})
_NAME = "metadata.name"  # the one field of a node that terms may name


def label_selector(value: Any) -> Optional[LabelSelector]:
    """`{matchLabels, matchExpressions}`. None, where there is none, selects nothing; `{}` selects everything."""
    if not isinstance(value, dict):
        return None
    equal = [Clause(key, "in", frozenset({text(one)})) for key, one in mapping(value.get("matchLabels")).items()]
    more = _clauses(value.get("matchExpressions"))
    return None if more is None else LabelSelector((*equal, *more))


def _clauses(value: Any) -> Optional[List[Clause]]:
    """None: one of them cannot be read."""
    found = []
    for one in rows(value):
        operator, values = text(one.get("operator")), texts(one.get("values"))
        if operator not in _OPERATORS or (operator in _OF_ONE and len(values) != 1):
            return None
        found.append(Clause(text(one.get("key")), _OPERATORS[operator], frozenset(values)))
    return found


class NodeTerm(NamedTuple):
    """All of it must match. Where one cannot be read, or is empty, it is None and matches no node."""

    labels: LabelSelector
    names: Tuple[Tuple[bool, FrozenSet[str]], ...]  # (is one of, names): of metadata.name


class NodeWish(NamedTuple):
    """Which nodes a pod may run on, by spec.nodeSelector and its required node affinity."""

    selector: Mapping[str, str]
    terms: Optional[Tuple[Optional[NodeTerm], ...]]  # any of them; None = there is no required affinity

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """A node of this name and these labels."""
        if any(labels.get(key) != value for key, value in self.selector.items()):
            return False
        return self.terms is None or any(_matches(term, name, labels) for term in self.terms)

    def named(self) -> Optional[FrozenSet[str]]:
        """The only nodes that can match, where every term names some; None = any node may."""
        if not self.terms:
            return None
        found: FrozenSet[str] = frozenset()
        for term in self.terms:
            named = [names for is_one_of, names in (term.names if term else ()) if is_one_of]
            if not named:
                return None
            found |= frozenset.intersection(*named)
        return found


def node_wish(spec: Mapping[str, Any]) -> NodeWish:
    """Of a pod's spec."""
    selector = {key: text(value) for key, value in mapping(spec.get("nodeSelector")).items()}
    required = mapping(mapping(spec.get("affinity")).get("nodeAffinity")).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if not isinstance(required, dict):
        return NodeWish(selector, None)
    return NodeWish(selector, node_terms(required.get("nodeSelectorTerms")))


def node_terms(value: Any) -> Tuple[Optional[NodeTerm], ...]:
    """`nodeSelectorTerms`."""
    return tuple(_term(one) for one in rows(value))


def any_term_matches(terms: Tuple[Optional[NodeTerm], ...], labels: Mapping[str, str]) -> bool:
    """For volumes, whose terms name no nodes."""
    return any(_matches(term, "", labels) for term in terms)


def _term(term: Dict[str, Any]) -> Optional[NodeTerm]:
    if not term.get("matchExpressions") and not term.get("matchFields"):
        return None
    clauses = _clauses(term.get("matchExpressions"))
    names = []
    for one in rows(term.get("matchFields")):
        if one.get("key") != _NAME or one.get("operator") not in ("In", "NotIn"):
            return None
        names.append((one.get("operator") == "In", frozenset(texts(one.get("values")))))
    return None if clauses is None else NodeTerm(LabelSelector(tuple(clauses)), tuple(names))


def _matches(term: Optional[NodeTerm], name: str, labels: Mapping[str, str]) -> bool:
    if term is None or not term.labels.matches(labels):
        return False
    return all((name in names) == is_one_of for is_one_of, names in term.names)
