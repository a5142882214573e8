"""JSON as the API server writes it."""

from __future__ import annotations

import json
from typing import Any


def written(value: Any) -> bytes:
    """JSON as Go's encoder writes it: `<`, `>`, `&`, U+2028 and U+2029 escaped, all else as it is."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for plain in "<>&\u2028\u2029":
        if plain in text:
            text = text.replace(plain, "\\u%04x" % ord(plain))
    return text.encode("utf-8", "replace")
