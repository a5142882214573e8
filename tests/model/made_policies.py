"""Objects of admissionregistration.k8s.io and flowcontrol.apiserver.k8s.io, in the form of made_kinds."""

from __future__ import annotations

from typing import Any, Dict, List

from model.made import NAMESPACE

Body = Dict[str, Any]
_HOOK = {
    "clientConfig": {"url": "https://127.0.0.1:1/x"}, "sideEffects": "None", "admissionReviewVersions": ["v1"],
    "namespaceSelector": {"matchLabels": {"krm.test/none": "x"}},
}  # fmt: skip
_HOOKS = [{**_HOOK, "name": f"{name}.krm.test"} for name in "ab"]
_RULES = {"resourceRules": [{"apiGroups": ["krm.test"], "apiVersions": ["v1"], "operations": ["CREATE"],
                             "resources": ["nothings"]}]}  # fmt: skip
_MATCH = {"matchConstraints": _RULES, "failurePolicy": "Ignore"}
_KIND = {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}
_CHECKS = [{"expression": "true"}, {"expression": "1 == 1"}]
_PATCH = {
    "patchType": "JSONPatch",
    "jsonPatch": {"expression": '[JSONPatch{op: "test", path: "/x", value: "y"}]'},
}
_MUTATES = {**_MATCH, "reinvocationPolicy": "Never", "mutations": [_PATCH]}
_CHOSEN = {
    "matchLabels": {"b": "1", "a-b": "", "a": "2"},
    "matchExpressions": [
        {"key": "x", "operator": "In", "values": ["z", "y"]},
        {"key": "w", "operator": "DoesNotExist"},
    ],
}
_ABSENT = {"parameterNotFoundAction": "Deny"}
_BOUND: List[Body] = [
    {},
    {"paramRef": {**_ABSENT, "name": "m"}},
    {"paramRef": {**_ABSENT, "name": "m", "namespace": NAMESPACE}},
    {"paramRef": {**_ABSENT, "selector": _CHOSEN}},
    {"paramRef": {**_ABSENT, "selector": {}}},
]
_TO = {"priorityLevelConfiguration": {"name": "global-default"}}
_DANGLING = [{"type": "Dangling", "status": "True", "reason": "R", "message": ""}]


def _queues(**queuing: int) -> Body:
    response = {"type": "Queue", "queuing": queuing} if queuing else {"type": "Reject"}
    return {"type": "Limited", "limited": {"nominalConcurrencyShares": 0, "limitResponse": response}}


POLICIES: Dict[str, List[Body]] = {
    **{
        f"admissionregistration.k8s.io/v1 {kind}s {title}": [{}, {"body": {"webhooks": _HOOKS}}]
        for kind, title in (
            ("mutatingwebhookconfiguration", "MutatingWebhookConfiguration"),
            ("validatingwebhookconfiguration", "ValidatingWebhookConfiguration"),
        )
    },
    **{
        f"admissionregistration.k8s.io/v1 {kind}s {title}": [
            {"body": {"spec": {**bound, "policyName": "p", **more}}} for bound in _BOUND
        ]
        for kind, title, more in (
            ("mutatingadmissionpolicybinding", "MutatingAdmissionPolicyBinding", {}),
            ("validatingadmissionpolicybinding", "ValidatingAdmissionPolicyBinding",
             {"validationActions": ["Audit"]}),
        )
    },
    "admissionregistration.k8s.io/v1 validatingadmissionpolicies ValidatingAdmissionPolicy": [
        {"body": {"spec": {**_MATCH, "validations": _CHECKS}}},
        {"body": {"spec": {**_MATCH, **_KIND, "validations": _CHECKS[:1]}}},
    ],
    "admissionregistration.k8s.io/v1 mutatingadmissionpolicies MutatingAdmissionPolicy": [
        {"body": {"spec": _MUTATES}},
        {"body": {"spec": {**_MUTATES, **_KIND, "mutations": [_PATCH, _PATCH]}}},
    ],
    # Beside those that each API server has; they are listed by precedence, not by name.
    "flowcontrol.apiserver.k8s.io/v1 flowschemas FlowSchema": [
        {"body": {"spec": {**_TO, "matchingPrecedence": 9500}}},
        {
            "body": {"spec": {**_TO, "matchingPrecedence": 7, "distinguisherMethod": {"type": "ByNamespace"}}},
            "status": {"conditions": _DANGLING},
        },
        {"body": {"spec": {**_TO, "matchingPrecedence": 7, "distinguisherMethod": {"type": "ByUser"}}}},
    ],
    "flowcontrol.apiserver.k8s.io/v1 prioritylevelconfigurations PriorityLevelConfiguration": [
        {"body": {"spec": _queues()}},
        {"body": {"spec": _queues(queues=16, handSize=4, queueLengthLimit=50)}},
    ],
}  # fmt: skip
