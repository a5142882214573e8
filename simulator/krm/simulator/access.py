"""Who may do what: bearer tokens and rules that a test can change while the server runs."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from .kinds import Kind
from .listing import details_of
from .wire import Refusal

ANONYMOUS = "system:anonymous"


@dataclass(frozen=True)
class Rule:
    """Allowed verbs on kinds (`pods`, `deployments.apps`, or `*`) in namespaces (`*`: cluster scope and all)."""

    verbs: Tuple[str, ...] = ("*",)
    kinds: Tuple[str, ...] = ("*",)
    namespaces: Tuple[str, ...] = ("*",)

    def allows(self, verb: str, kind: str, namespace: str) -> bool:
        return all(
            "*" in allowed or wanted in allowed
            for allowed, wanted in ((self.verbs, verb), (self.kinds, kind), (self.namespaces, namespace or "*"))
        )


class Access:
    """Tokens, their users, and the rules of each user. Without a token a caller is anonymous and has no rules."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users: Dict[str, str] = {}
        self._rules: Dict[str, List[Rule]] = {}

    def allow(self, token: str, user: str = "u", rules: Sequence[Rule] = (Rule(),)) -> None:
        """Let a token in as `user`, whose rules become exactly these."""
        with self._lock:
            self._users[token] = user
            self._rules[user] = list(rules)

    def revoke(self, token: str) -> None:
        """From now on 401 for this token."""
        with self._lock:
            self._users.pop(token, None)

    def user(self, headers: Mapping[str, str]) -> str:
        """The caller's name. Refusal 401 for a token that nobody gave out."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if not token or scheme.lower() != "bearer":
            return ANONYMOUS
        with self._lock:
            found = self._users.get(token.strip())
        if found is None:
            raise Refusal(401, "Unauthorized", "Unauthorized")
        return found

    def check(self, user: str, verb: str, kind: Kind, namespace: str, name: str) -> None:
        """Refusal 403 in the API server's words."""
        with self._lock:
            rules = self._rules.get(user, ())
            if any(rule.allows(verb, kind.name, namespace) for rule in rules):
                return
        subject = kind.name + (' "%s"' % name if name else "")
        where = 'in the namespace "%s"' % namespace if namespace else "at the cluster scope"
        message = '%s is forbidden: User "%s" cannot %s resource "%s" in API group "%s" %s'
        text = message % (subject, user, verb, kind.resource, kind.group, where)
        raise Refusal(403, "Forbidden", text, details_of(kind, name))

    def check_path(self, user: str, path: str) -> None:
        """Discovery is open to everyone who is known."""
        if user == ANONYMOUS and path not in ("/version", "/readyz", "/livez", "/healthz"):
            text = 'forbidden: User "%s" cannot get path "%s"' % (user, path)
            raise Refusal(403, "Forbidden", text, {})


Allowed = Optional[Access]
