"""What krm takes out of objects, taken out of what kubectl printed from the API server. None of krm's code is used.

Environment values become a placeholder, the last-applied annotation goes (with the annotations, where it was
the only one). managedFields are hidden by kubectl itself.
"""

from __future__ import annotations

import json
import re
from typing import Any, List

from acceptance.apitruth import LAST_APPLIED, PLACEHOLDER, redacted

# The one value that the objects of these tests have in environments.
PLANTED = re.compile(r"hunter2|\b[0-9a-f]{24}\b")


def of_json(text: str, keep_env: bool = False) -> str:
    """`-o json`: decoded, changed, and written as kubectl writes it, which is proven on the text itself."""
    found = json.loads(text)
    assert _written(found) == text, "the filter does not write JSON as kubectl does"
    items = found["items"] if found.get("kind") == "List" else [found]
    for place, item in enumerate(items):
        _without_applied(item)
        items[place] = item if keep_env else redacted(item)
    return _written(found if found.get("kind") == "List" else items[0])


def _without_applied(item: Any) -> None:
    metadata = item.get("metadata", {})
    annotations = metadata.get("annotations", {})
    if annotations.pop(LAST_APPLIED, None) is not None and not annotations:
        del metadata["annotations"]


def _written(value: Any) -> str:
    text = json.dumps(value, indent=4, ensure_ascii=False)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, "\\u%04x" % ord(char))
    text = re.sub(r"\\u[0-9A-F]{4}", lambda found: found[0].lower(), text)
    return text + "\n"


def of_yaml(text: str, keep_env: bool = False) -> str:
    """`-o yaml`: line by line, since what kubectl writes is regular."""
    lines: List[str] = text.splitlines(keepends=True)
    kept: List[str] = []
    skipping = -1  # the indent of a key whose value is left out
    for line in lines:
        indent = len(line) - len(line.lstrip(" "))
        if skipping >= 0 and (indent > skipping or line == "\n"):
            continue
        skipping = -1
        if line.lstrip().startswith(LAST_APPLIED + ":"):
            skipping = indent
            continue
        if kept and kept[-1].strip() == "annotations:" and indent <= len(kept[-1]) - len(kept[-1].lstrip(" ")):
            kept.pop()
        kept.append(
            line if keep_env else re.sub(r"^( *value: )(?:%s)$" % PLANTED.pattern, r"\1'%s'" % PLACEHOLDER, line)
        )
    return "".join(kept)


def of_text(text: str, keep_env: bool = False) -> str:
    """`describe`, `jsonpath` and others that stand a value at the end of a line or between blanks."""
    return text if keep_env else PLANTED.sub(PLACEHOLDER, text)
