"""What discovery says of a kind, as it travels from the verifier through the head to readers: one JSON text.

Readers that have no API server of their own learn from it how a kind is called and served.
"""

from __future__ import annotations

import json
from typing import Any, Dict, NamedTuple, Tuple

from krm.model.kinds import Kind, Resource

# Bytes of the text. A kind has a handful of short names; `/version` has about 400 bytes.
MAX_FACTS = 16 * 1024


class BadFacts(ValueError):
    """A text that no verifier wrote."""


class Facts(NamedTuple):
    """One kind, and the API server that serves it."""

    version: str  # served version, e.g. "v1"
    object_kind: str  # e.g. "Pod"
    namespaced: bool
    singular: str
    short_names: Tuple[str, ...]
    categories: Tuple[str, ...]
    server: Dict[str, Any]  # the API server's /version, as it answers it

    def resource(self, kind: Kind) -> Resource:
        """As discovery gives it."""
        return Resource(
            kind, self.version, self.object_kind, self.namespaced, self.singular, self.short_names, self.categories
        )


def pack_facts(resource: Resource, server: Dict[str, Any]) -> str:
    """The text; '' where it would be too long."""
    facts = Facts(
        resource.version,
        resource.object_kind,
        resource.namespaced,
        resource.singular,
        resource.short_names,
        resource.categories,
        server,
    )
    text = json.dumps(facts._asdict(), separators=(",", ":"))
    return text if len(text) <= MAX_FACTS else ""


def unpack_facts(text: str) -> Facts:
    """Raises BadFacts."""
    try:
        found: Dict[str, Any] = json.loads(text) if len(text) <= MAX_FACTS else {}
        facts = Facts(**found)
    except (ValueError, TypeError, RecursionError):
        raise BadFacts("no facts of a kind") from None
    texts = (facts.version, facts.object_kind, facts.singular)
    lists = (facts.short_names, facts.categories)
    sound = all(isinstance(one, str) for one in texts) and isinstance(facts.server, dict)
    if not (sound and isinstance(facts.namespaced, bool) and all(isinstance(one, list) for one in lists)):
        raise BadFacts("facts of a kind with fields of other types")
    names, categories = (tuple(map(str, one)) for one in lists)
    return facts._replace(short_names=names, categories=categories)
