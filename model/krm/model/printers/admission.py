"""The columns of admissionregistration.k8s.io."""

from __future__ import annotations

from typing import Any, Callable, Dict, List

from krm.model.cells import UNSET, Cell, Object, Printer, age, layout, name_of, parts
from krm.model.reading import mapping, rows, text, texts


def _webhooks(obj: Object, now: float) -> List[Cell]:
    return [name_of(obj), len(rows(obj.get("webhooks"))), age(obj, now)]


def _policy(rules: str) -> Callable[[Object, float], List[Cell]]:
    """`rules`: the field of its rules."""

    def cells(obj: Object, now: float) -> List[Cell]:
        spec, _ = parts(obj)
        return [name_of(obj), len(rows(spec.get(rules))), _parameter_kind(spec.get("paramKind")), age(obj, now)]

    return cells


def _parameter_kind(found: Any) -> str:
    if not isinstance(found, dict):
        return UNSET
    return "%s/%s" % (text(found.get("apiVersion")), text(found.get("kind")))


def _binding(obj: Object, now: float) -> List[Cell]:
    spec, _ = parts(obj)
    return [name_of(obj), text(spec.get("policyName")), _parameters(mapping(spec.get("paramRef"))), age(obj, now)]


def _parameters(about: Object) -> str:
    """One by its name, or those that a selector chooses. Without a namespace they are those of any."""
    name, chosen = text(about.get("name")), about.get("selector")
    if name:
        return "%s/%s" % (text(about.get("namespace")) or "*", name)
    return _as_go_writes_it(chosen) if isinstance(chosen, dict) else UNSET


def _as_go_writes_it(selector: Object) -> str:
    """A LabelSelector as its Go type, which the API server prints as it is."""
    labels = "".join(["%s: %s," % pair for pair in sorted(mapping(selector.get("matchLabels")).items())])
    terms = ""
    for one in rows(selector.get("matchExpressions")):
        said = (text(one.get("key")), text(one.get("operator")), " ".join(texts(one.get("values"))))
        terms += "LabelSelectorRequirement{Key:%s,Operator:%s,Values:[%s],}," % said
    return "&LabelSelector{MatchLabels:map[string]string{%s},MatchExpressions:[]LabelSelectorRequirement{%s},}" % (
        labels,
        terms,
    )


_WEBHOOKS = Printer(layout("Name|Webhooks:integer|Age"), _webhooks)
_BINDING = Printer(layout("Name|PolicyName|ParamRef|Age"), _binding)
_GROUP = "admissionregistration.k8s.io"
PRINTERS: Dict[str, Printer] = {
    f"mutatingadmissionpolicies.{_GROUP}": Printer(
        layout("Name|Mutations:integer|ParamKind|Age"), _policy("mutations")
    ),
    f"mutatingadmissionpolicybindings.{_GROUP}": _BINDING,
    f"mutatingwebhookconfigurations.{_GROUP}": _WEBHOOKS,
    f"validatingadmissionpolicies.{_GROUP}": Printer(
        layout("Name|Validations:integer|ParamKind|Age"), _policy("validations")
    ),
    f"validatingadmissionpolicybindings.{_GROUP}": _BINDING,
    f"validatingwebhookconfigurations.{_GROUP}": _WEBHOOKS,
}
