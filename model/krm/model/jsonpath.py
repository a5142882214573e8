"""kubectl's JSONPath templates: text with `{expressions}` between.

    template   = (text | "{" expression "}")*
    expression = path | "string" | 'string' | number | range path | end
    path       = ["$" | "@"] (.name | ..name | .* | ['name','name'] | [n] | [a:b:c] | [n,m] | [*] | [?(filter)])*
    filter     = operand [("==" | "!=" | "<" | "<=" | ">" | ">=") operand]
    operand    = path | string | number | true | false

As in kubectl, a key that is missing gives nothing and an index beyond an array is an error; several values
are joined by a space, objects and arrays are written as JSON, and `\\.` is a dot inside a name. Of a union
(`['a','b']`, `[0,1]`) each member is looked for in all values before the next; a quoted name with dots that
is no key is a path. krm.model.jsonparse reads it; this file walks.
"""

from __future__ import annotations

import json
import operator
import re
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from krm.model.jsonparse import BadPath, Filter, Node, Path, Range, Step, parse_relaxed, parse_template

__all__ = ["BadPath", "NotThere", "evaluate", "find", "first_value", "parse_relaxed", "parse_template", "text_of"]

# Go writes these escaped in JSON, so that it may stand in HTML.
_ESCAPED = re.compile("[<>&\u2028\u2029]")
_COMPARE: Dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class NotThere(LookupError):
    """An index beyond an array, or of what is no array: kubectl ends with an error, not with nothing."""


def evaluate(nodes: Sequence[Node], root: Any) -> str:
    """The template's text for `root`, a parsed JSON value. Raises NotThere."""
    return "".join(_texts(nodes, root, root))


# What first_value gives where there is nothing: null is a value.
MISSING = object()


def first_value(path: str, root: Any) -> Any:
    """The first value that a plain path (`.spec.size`) finds; MISSING where it finds none or is no path."""
    try:
        nodes = parse_template("{%s}" % path)
    except BadPath:
        return MISSING
    try:
        found = [value for node in nodes if isinstance(node, Path) for value in find(node, root, root)]
    except NotThere:
        return MISSING
    return found[0] if found else MISSING


def _texts(nodes: Sequence[Node], root: Any, current: Any) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, str):
            yield node
        elif isinstance(node, Range):
            for item in find(node.path, root, current):
                yield from _texts(node.body, root, item)
        else:
            yield " ".join(text_of(value) for value in find(node, root, current))


def find(path: Path, root: Any, current: Any) -> List[Any]:
    """All values that the path names, in document order. Raises NotThere."""
    values = [root if path.from_root else current]
    for step in path.steps:
        if step.kind == "name":
            values = [found for name in step.names for value in values for found in _named(value, name)]
        elif step.kind == "index":
            values = [_indexed(value, place) for place in step.places for value in _arrays(values)]
        else:
            values = [found for value in values for found in _step(step, value, root)]
    return values


def _named(value: Any, name: str) -> List[Any]:
    if not isinstance(value, dict):
        return []
    if name in value:
        return [value[name]]
    first, dot, rest = name.partition(".")
    return _named(value[first], rest) if dot and first in value else []


def _arrays(values: Sequence[Any]) -> Iterator[List[Any]]:
    """What may be indexed; null is passed over."""
    for value in values:
        if isinstance(value, list):
            yield value
        elif value is not None:
            kind = "an object" if isinstance(value, dict) else f"{text_of(value)!r:.40}"
            raise NotThere(f"{kind} is not an array: it has no index")


def _indexed(values: List[Any], place: int) -> Any:
    at = place + len(values) if place < 0 else place
    _within(at, len(values))
    return values[at]


def _sliced(values: List[Any], bounds: Tuple[Optional[int], Optional[int], Optional[int]]) -> List[Any]:
    """`[from:to:step]` by kubectl's rules: both ends must lie in the array, unless nothing is asked for."""
    first, last, step = bounds[0] or 0, len(values) if bounds[1] is None else bounds[1], bounds[2]
    first, last = (at + len(values) if at < 0 else at for at in (first, last))
    if first == last:
        return []
    _within(first, len(values))
    if last:
        _within(last - 1, len(values))
    if first > last:
        raise NotThere(f"starting index {first} is greater than ending index {last}")
    if step is not None and step <= 0:
        raise NotThere("step must be > 0")
    return values[first:last:step]


def _within(at: int, length: int) -> None:
    if not 0 <= at < length:
        raise NotThere(f"array index out of bounds: index {at}, length {length}")


def _step(step: Step, value: Any, root: Any) -> List[Any]:
    if step.kind == "all":
        return _children(value)
    if step.kind == "deep":
        return list(_deep(value, step.names[0]))
    if step.kind == "slice":
        return [item for array in _arrays([value]) for item in _sliced(array, step.bounds)]
    if not isinstance(value, list):
        return []
    assert step.filter is not None  # noqa: S101 - for the type checker: the kinds above are all others
    return [item for item in value if _holds(step.filter, root, item)]


def _children(value: Any) -> List[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list) else []


def _deep(value: Any, name: str) -> Iterator[Any]:
    """Every value under `name` at any depth ('*': every value), parents first."""
    waiting: List[Any] = [value]
    while waiting:
        here = waiting.pop(0)
        if name == "*":
            yield from _children(here)
        elif isinstance(here, dict) and name in here:
            yield here[name]
        waiting = _children(here) + waiting


def _holds(test: Filter, root: Any, item: Any) -> bool:
    left = _operand(test.left, root, item)
    if test.operator == "":
        return bool(left)
    right = _operand(test.right, root, item)
    if not left or not right:
        return False
    return _compare(test.operator, left[0], right[0])


def _operand(operand: Any, root: Any, item: Any) -> List[Any]:
    return find(operand, root, item) if isinstance(operand, Path) else [operand]


def _compare(sign: str, left: Any, right: Any) -> bool:
    numbers = (int, float)
    comparable = type(left) is type(right) or (isinstance(left, numbers) and isinstance(right, numbers))
    if not comparable or isinstance(left, bool) is not isinstance(right, bool):
        return sign == "!="
    try:
        return _COMPARE[sign](left, right)
    except TypeError:  # objects and arrays have no order
        return False


def text_of(value: Any) -> str:
    """A value as kubectl prints it."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        text = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
        return _ESCAPED.sub(lambda match: f"\\u{ord(match.group()):04x}", text)
    return str(value)


def column_texts(values: Sequence[Any]) -> Tuple[str, ...]:
    """For custom-columns: kubectl writes `<none>` for null, and Go's `map[a:1 b:2]` and `[1 2]` for the rest."""
    return tuple("<none>" if value is None else _go_text(value) for value in values)


def _go_text(value: Any) -> str:
    if isinstance(value, dict):
        return f"map[{' '.join(f'{name}:{_go_text(value[name])}' for name in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(_go_text, value))}]"
    return "<nil>" if value is None else text_of(value)
