"""Who may ask the test API server what: users with tokens, kubeconfigs, and RBAC grants."""

import base64
import hashlib
import json
import secrets
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence

from controlplane.kubeapi import ApiError, Json, KubeClient
from controlplane.processes import wait_until

RBAC = "/apis/rbac.authorization.k8s.io/v1"
# RBAC rules reach the authorizer by its own watch, a few milliseconds after they are written.
RBAC_SECONDS = 10.0

KINDS = ("pods", "nodes", "namespaces", "events", "deployments", "configmaps")
# user -> groups. None but admin may do anything until grant().
DEFAULT_USERS: Dict[str, Sequence[str]] = {
    "admin": ("system:masters",),
    "krm-streamer": (),
    "krm-verifier": (),
    "krm-server": (),
    "krm-reader": (),
    "krm-none": (),
    **{f"{stage}-{kind}": () for stage in ("streamer", "verifier") for kind in KINDS},
}
# What the components themselves are called in a cluster made by kubeadm, so the bootstrap roles fit.
COMPONENT_USERS: Dict[str, Sequence[str]] = {
    "system:kube-controller-manager": (),
    "system:kube-scheduler": (),
    "kwok": ("system:masters",),
}

# An elliptic curve key (P-256, RFC 5915) around 32 random bytes; the reader computes the public half.
_KEY_HEAD = bytes.fromhex("30310201010420")
_KEY_TAIL = bytes.fromhex("a00a06082a8648ce3d030107")


def service_account_key() -> str:
    """A fresh private key in PEM for service account tokens, without a crypto library."""
    number = bytearray(secrets.token_bytes(32))
    number[0] &= 0x7F  # surely below the order of the curve
    text = base64.encodebytes(_KEY_HEAD + bytes(number) + _KEY_TAIL).decode()
    return f"-----BEGIN EC PRIVATE KEY-----\n{text}-----END EC PRIVATE KEY-----\n"


class Users:
    """The users of one control plane, fixed when it starts: the server reads its token file once."""

    def __init__(self, users: Mapping[str, Sequence[str]]) -> None:
        self._groups = dict(users)
        self._tokens = {name: secrets.token_hex(16) for name in users}

    def token(self, user: str) -> str:
        if user not in self._tokens:
            known = ", ".join(sorted(self._tokens))
            raise KeyError(f"no user {user!r}: name it in ControlPlane(users={{...}}); there are {known}")
        return self._tokens[user]

    def token_file(self) -> str:
        """The content of --token-auth-file: token,user,uid,"group,group"."""
        lines = []
        for name, groups in self._groups.items():
            listed = ',"' + ",".join(groups) + '"' if groups else ""
            lines.append(f"{self._tokens[name]},{name},uid-{name}{listed}\n")
        return "".join(lines)


def kubeconfig(url: str, ca_file: Path, user: str, token: str) -> str:
    """A kubeconfig for one user. It is JSON, which every YAML reader takes."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority": str(ca_file)}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
        "current-context": "test",
    }
    return json.dumps(content, indent=2)


class Grant:
    """Some rights of one user, in the whole cluster or one namespace; its name follows from them."""

    def __init__(
        self,
        user: str,
        verbs: Sequence[str],
        resources: Sequence[str],
        group: str = "",
        namespace: Optional[str] = None,
        names: Sequence[str] = (),
    ) -> None:
        self.user, self.namespace = user, namespace
        self.verbs, self.resources = list(verbs), list(resources)
        self.group, self.names = group, list(names)
        parts = [user, self.verbs, self.resources, group, namespace, self.names]
        self.name = "krm-test-" + hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def create(self, admin: KubeClient) -> None:
        """Write role and binding, and wait until the server's authorizer knows both."""
        role: Json = {"metadata": {"name": self.name}, "rules": [self._rule()]}
        binding: Json = {
            "metadata": {"name": self.name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": self._kind(), "name": self.name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": self.user}],
        }
        for path, body in zip(self._paths(), (role, binding)):
            try:
                admin.create(path, body)
            except ApiError as error:
                if error.status != 409:  # granted before
                    raise
        wait_until(lambda: all(self._verdicts(admin, "allowed")), RBAC_SECONDS, f"{self.user} may {self._text()}")

    def delete(self, admin: KubeClient) -> None:
        """Remove both, and wait until the authorizer gives no right on their account any more."""
        for path in reversed(self._paths()):
            try:
                admin.delete(f"{path}/{self.name}")
            except ApiError as error:
                if error.status != 404:
                    raise

        # Another grant may allow the same, so what counts is the reason that the authorizer names.
        def forgotten() -> bool:
            return not any(self.name in str(reason) for reason in self._verdicts(admin, "reason"))

        wait_until(forgotten, RBAC_SECONDS, f"the right of {self.user} to {self._text()} is forgotten")

    def _rule(self) -> Json:
        rule: Json = {"apiGroups": [self.group], "resources": self.resources, "verbs": self.verbs}
        if self.names:
            rule["resourceNames"] = self.names
        return rule

    def _kind(self) -> str:
        return "ClusterRole" if self.namespace is None else "Role"

    def _paths(self) -> List[str]:
        if self.namespace is None:
            return [f"{RBAC}/clusterroles", f"{RBAC}/clusterrolebindings"]
        folder = f"{RBAC}/namespaces/{self.namespace}"
        return [f"{folder}/roles", f"{folder}/rolebindings"]

    def _text(self) -> str:
        return f"{','.join(self.verbs)} {','.join(self.resources)} in {self.namespace or 'the cluster'}"

    def _verdicts(self, admin: KubeClient, field: str) -> List[object]:
        """`field` of the authorizer's answer for each verb and resource."""
        answers: List[object] = []
        for resource in self.resources:
            for verb in self.verbs:
                attributes = self._attributes(verb, resource)
                body = {"spec": {"user": self.user, "resourceAttributes": attributes}}
                review = admin.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
                answers.append(review["status"].get(field))
        return answers

    def _attributes(self, verb: str, resource: str) -> Json:
        name, _, subresource = resource.partition("/")
        attributes: Json = {"verb": verb, "group": self.group, "resource": name}
        if subresource:
            attributes["subresource"] = subresource
        if self.namespace is not None:
            attributes["namespace"] = self.namespace
        if self.names:
            attributes["name"] = self.names[0]
        return attributes
