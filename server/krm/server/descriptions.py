"""What the API server says of the columns of built-in kinds: `descriptions.json`, kind -> column -> text.

What many kinds share stands below `""`. The texts are those of Kubernetes 1.36 (its API documentation, Apache
License 2.0); tests/server/kind_tables.py fetches them.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Dict, Sequence, Tuple

from krm.model.cells import Column

FILE = Path(__file__).with_suffix(".json")


def described(kind: str, columns: Sequence[Column]) -> Tuple[Column, ...]:
    """These columns of `kind` with what the API server says of each; what a CRD says of its own stands."""
    texts = {**_texts()[""], **_texts().get(kind, {})}
    return tuple([one._replace(description=one.description or texts.get(one.name, "")) for one in columns])


@lru_cache(maxsize=1)
def _texts() -> Dict[str, Dict[str, str]]:
    found: Dict[str, Dict[str, str]] = json.loads(FILE.read_text(encoding="utf-8"))
    return found
