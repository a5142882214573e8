"""Reading a JSONPath template into nodes; the grammar stands in krm.model.jsonpath."""

from __future__ import annotations

import re
from typing import Any, List, NamedTuple, Optional, Tuple, Union

# A template is typed by a person: beyond this it is a mistake or an attack.
MAX_TEMPLATE = 64 * 1024

_NAME = re.compile(r"(?:\\.|[^\s.\[\]{}()=<>!,'\"|&@$?*:\\])+")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_INDEX = re.compile(r"\s*(-?\d*)\s*")
_SIGN = re.compile(r"==|!=|<=|>=|<|>")
_STRING = re.compile(r"\"((?:\\.|[^\"\\])*)\"|'((?:\\.|[^'\\])*)'", re.S)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


class BadPath(ValueError):
    """A template that does not parse."""


class Step(NamedTuple):
    """One move from values to values."""

    kind: str  # name, all, deep, index, slice, filter
    names: Tuple[str, ...] = ()
    places: Tuple[int, ...] = ()
    bounds: Tuple[Optional[int], Optional[int], Optional[int]] = (None, None, None)
    filter: Optional[Filter] = None


class Path(NamedTuple):
    """Where to look."""

    from_root: bool
    steps: Tuple[Step, ...]


class Filter(NamedTuple):
    """`?(left operator right)`; operator '' = left exists."""

    left: Any  # Path, str, number or bool
    operator: str = ""
    right: Any = None


class Range(NamedTuple):
    """The nodes between `{range path}` and `{end}`."""

    path: Path
    body: Tuple[Any, ...]  # of Node


Node = Union[str, Path, Range]


def parse_template(text: str) -> Tuple[Node, ...]:
    """`{.metadata.name}{"\\n"}` -> nodes. Raises BadPath."""
    if len(text) > MAX_TEMPLATE:
        raise BadPath(f"the template has {len(text)} characters: more than {MAX_TEMPLATE}")
    # One frame a range: its path (None: the template itself) and its nodes.
    frames: List[Tuple[Optional[Path], List[Node]]] = [(None, [])]
    at = 0
    while at < len(text):
        opened = text.find("{", at)
        if opened < 0:
            frames[-1][1].append(text[at:])
            break
        if opened > at:
            frames[-1][1].append(text[at:opened])
        cursor = _Cursor(text, opened + 1)
        _expression(cursor, frames)
        at = cursor.at
    if len(frames) > 1:
        raise BadPath("{range} without {end}")
    return tuple(frames[0][1])


def parse_relaxed(text: str) -> Path:
    """A column's path: `{.a.b}`, `.a.b` or `a.b` alike. Raises BadPath."""
    inner = text[1:-1] if text.startswith("{") and text.endswith("}") else text
    if not inner.startswith((".", "[", "$", "@")):
        inner = "." + inner
    cursor = _Cursor(inner, 0)
    path = cursor.path()
    if cursor.at != len(inner):
        raise BadPath(f"no path: {text!r} (stopped at {inner[cursor.at :]!r})")
    return path


def _expression(cursor: _Cursor, frames: List[Tuple[Optional[Path], List[Node]]]) -> None:
    opened = cursor.at
    cursor.space()
    if cursor.starts("}"):
        frames[-1][1].append(Path(False, ()))  # `{}` is the value itself
    elif cursor.word("range"):
        cursor.space()
        frames.append((cursor.path(), []))
    elif cursor.word("end"):
        path, body = frames.pop()
        if path is None or not frames:
            raise BadPath("{end} without {range}")
        frames[-1][1].append(Range(path, tuple(body)))
    else:
        while not cursor.starts("}"):
            cursor.open("{", opened)
            value = cursor.operand()
            frames[-1][1].append(value if isinstance(value, (str, Path)) else str(value))
            cursor.space()
    cursor.space()
    cursor.open("{", opened)
    cursor.expect("}")


class _Cursor:
    """A place in the text, moved by what is read."""

    def __init__(self, text: str, at: int) -> None:
        self.text = text
        self.at = at

    def starts(self, token: str) -> bool:
        return self.text.startswith(token, self.at)

    def take(self, token: str) -> bool:
        if not self.starts(token):
            return False
        self.at += len(token)
        return True

    def word(self, token: str) -> bool:
        after = self.text[self.at + len(token) : self.at + len(token) + 1]
        return not (after.isalnum() or after == "_") and self.take(token)

    def expect(self, token: str) -> None:
        if not self.take(token):
            raise BadPath(f"expected {token!r} at character {self.at + 1} of the template, {self.found()}")

    def open(self, bracket: str, place: int) -> None:
        """Raises BadPath where the text ends before what `bracket` opened, at character `place`, is closed."""
        if self.at >= len(self.text):
            closing = {"{": "}", "[": "]", "(": ")"}[bracket]
            raise BadPath(
                f"{bracket!r} at character {place} of the template is never closed: {closing!r} is missing"
            )

    def found(self) -> str:
        """What stands here, for sentences."""
        text = self.text[self.at : self.at + 12]
        return f"found {text!r}" if text else "found its end"

    def space(self) -> None:
        while self.text[self.at : self.at + 1].isspace():
            self.at += 1

    def string(self) -> Optional[str]:
        match = _STRING.match(self.text, self.at)
        if match is None:
            return None
        self.at = match.end()
        inner = match.group(1) if match.group(1) is not None else match.group(2)
        return re.sub(r"\\(.)", lambda hit: _ESCAPES.get(hit.group(1), hit.group(1)), inner, flags=re.S)

    def operand(self) -> Any:
        """A string, number, bool or path."""
        text = self.string()
        if text is not None:
            return text
        number = _NUMBER.match(self.text, self.at)
        if number is not None:
            self.at = number.end()
            return float(number.group()) if number.group(1) else int(number.group())
        for word, value in (("true", True), ("false", False)):
            if self.word(word):
                return value
        return self.path()

    def path(self) -> Path:
        from_root = self.take("$")
        steps: List[Step] = []
        if not from_root and not self.take("@") and not self.starts(".") and not self.starts("["):
            steps.append(Step("name", (self.name(),)))  # `{metadata.name}`: kubectl wants the first dot, we do not
        while True:
            if self.take(".."):
                steps.append(Step("deep", (self.name(),)))
            elif self.take("."):
                if self.text[self.at : self.at + 1] in ("[", "}", ""):
                    continue  # `{.}` is the value itself, `.[0]` is `[0]`
                steps.append(Step("all") if self.take("*") else Step("name", (self.name(),)))
            elif self.take("["):
                steps.append(self.bracket())
            else:
                return Path(from_root, tuple(steps))

    def name(self) -> str:
        if self.take("*"):
            return "*"
        match = _NAME.match(self.text, self.at)
        if match is None:
            raise BadPath(f"expected a name at character {self.at + 1} of the template, {self.found()}")
        self.at = match.end()
        return re.sub(r"\\(.)", r"\1", match.group())

    def bracket(self) -> Step:
        opened = self.at
        self.space()
        self.open("[", opened)
        if self.take("*"):
            step = Step("all")
        elif self.take("?("):
            step = Step("filter", filter=self.filter())
        elif self.text[self.at : self.at + 1] in ("'", '"'):
            step = Step("name", self.names())
        else:
            step = self.places()
        self.space()
        self.expect("]")
        return step

    def names(self) -> Tuple[str, ...]:
        names: List[str] = []
        while True:
            self.space()
            text = self.string()
            if text is None:
                raise BadPath(f"expected a quoted name at character {self.at + 1} of the template, {self.found()}")
            names.append(text)
            self.space()
            if not self.take(","):
                return tuple(names)

    def places(self) -> Step:
        parts: List[Optional[int]] = []
        signs = ""
        while True:
            match = _INDEX.match(self.text, self.at)
            digits = match.group(1) if match is not None else ""
            if match is not None:
                self.at = match.end()
            parts.append(int(digits) if digits not in ("", "-") else None)
            sign = self.text[self.at : self.at + 1]
            if sign not in (",", ":") or not sign:
                break
            signs += sign
            self.at += 1
        if ":" in signs:
            if "," in signs or len(parts) > 3 or parts[2:] == [0]:
                raise BadPath("a slice is [from:to] or [from:to:step], with a step other than 0")
            return Step("slice", bounds=(parts[0], parts[1], parts[2] if len(parts) > 2 else None))
        places = tuple([part for part in parts if part is not None])
        if len(places) != len(parts):
            what = "an index, a quoted name, * or ?("
            raise BadPath(f"expected {what} at character {self.at + 1} of the template, {self.found()}")
        return Step("index", places=places)

    def filter(self) -> Filter:
        self.space()
        left = self.operand()
        self.space()
        match = _SIGN.match(self.text, self.at)
        if match is None:
            self.expect(")")
            return Filter(left)
        self.at = match.end()
        self.space()
        right = self.operand()
        self.space()
        self.expect(")")
        return Filter(left, match.group(), right)
