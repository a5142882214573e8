"""Label and field selectors, with the API server's grammar and validation.

    parse_labels("app in (web,api),tier!=back,!legacy").matches({"app": "web"})
    parse_fields("pods", "status.phase=Running").matches(namespace, name, fields)

`!=` and `notin` match objects without the label, as Kubernetes has it. Values of `in` may be empty.
"""

from __future__ import annotations

import json
import re
from typing import Dict, FrozenSet, Iterator, List, Mapping, NamedTuple, Optional, Set, Tuple

from krm.model.selectable import SELECTABLE

# Characters. Go's servers end a request's head at 1 MiB.
MAX_SELECTOR = 256 * 1024
MAX_TERMS = 5000  # clauses, and members of sets

# Label keys: [DNS-subdomain/]name, the name at most 63 characters; values: like names, or empty.
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?").fullmatch
_PREFIX = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*").fullmatch
_MAX_NAME, _MAX_PREFIX = 63, 253  # bytes
_SHOWN = 400  # characters of what was given, in an error
_WS = r"[ \t\r\n]"
_WORD = r"[^ \t\r\n!=(),<>]+"
_TOKEN = re.compile(rf"{_WS}*(==|!=|=|!|\(|\)|,|>|<|{_WORD})")


class BadSelector(ValueError):
    """A selector that the API server would answer with 400."""


class UnknownField(BadSelector):
    """A field that the kind cannot be selected by."""

    def __init__(self, kind: str, field: str, known: Tuple[str, ...]) -> None:
        super().__init__(f"field label not supported: {_short(field)}; {kind} knows {', '.join(known)}")
        self.field = _short(field)


class Clause(NamedTuple):
    """One requirement. operator: in, notin, exists, absent, above, below (`=` is in, `!=` is notin)."""

    key: str
    operator: str
    values: FrozenSet[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        if self.operator == "in":
            return value is not None and value in self.values
        if self.operator == "notin":
            return value is None or value not in self.values
        if self.operator == "exists":
            return value is not None
        if self.operator == "absent":
            return value is None
        return self._compares(value)

    def _compares(self, value: Optional[str]) -> bool:
        number = _integer(value or "")
        bound = _integer(next(iter(self.values)))
        if number is None or bound is None:
            return False
        return number > bound if self.operator == "above" else number < bound


class LabelSelector(NamedTuple):
    """All clauses must match; without clauses everything does."""

    clauses: Tuple[Clause, ...]

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(clause.matches(labels) for clause in self.clauses)


class FieldClause(NamedTuple):
    """One comparison; position: -2 metadata.name, -1 metadata.namespace, else the index in SELECTABLE[kind]."""

    position: int
    equal: bool
    value: str


class FieldSelector(NamedTuple):
    """All clauses must match; without clauses everything does."""

    clauses: Tuple[FieldClause, ...]

    def matches(self, namespace: str, name: str, fields: Tuple[str, ...]) -> bool:
        for position, equal, value in self.clauses:
            held = name if position == _NAME_FIELD else namespace if position == _NAMESPACE_FIELD else None
            if held is None:
                held = fields[position] if position < len(fields) else ""
            if (held == value) != equal:
                return False
        return True


_NAME_FIELD, _NAMESPACE_FIELD = -2, -1
_ALWAYS: Dict[str, int] = {"metadata.name": _NAME_FIELD, "metadata.namespace": _NAMESPACE_FIELD}


def parse_labels(text: str) -> LabelSelector:
    """`labelSelector` as a query or -l writes it. Raises BadSelector."""
    parser = _Labels(_tokens(text))
    return LabelSelector(tuple(parser.clauses()))


def parse_fields(kind: str, text: str) -> FieldSelector:
    """`fieldSelector` of a kind (`pods`, `deployments.apps`). Raises UnknownField, BadSelector."""
    _check_size(text)
    known = {**_ALWAYS, **{name: position for position, name in enumerate(SELECTABLE.get(kind, ()))}}
    if kind in ("nodes", "namespaces"):  # other kinds without a namespace take it, and it is empty
        del known["metadata.namespace"]
    clauses: List[FieldClause] = []
    terms: List[Tuple[str, str, str]] = []
    for part in _field_terms(text):
        match = re.match(r"([^=!]*)(==|!=|=)(.*)", part, re.DOTALL)
        if match is None:
            raise BadSelector(f"invalid selector: '{_short(text)}'; can't understand '{_short(part)}'")
        name, operator, value = match.groups()
        terms.append((name, operator, _unescaped(value)))
    for name, operator, value in terms:  # the grammar of all comes first, as at the API server
        if name not in known:
            raise UnknownField(kind, name, tuple(known))
        clauses.append(FieldClause(known[name], operator != "!=", value))
    return FieldSelector(tuple(clauses))


def escaped(value: str) -> str:
    """A value as a field selector holds it."""
    return re.sub(r"([\\,=])", r"\\\1", value)


def _check_size(text: str) -> None:
    if len(text) > MAX_SELECTOR:
        raise BadSelector("a selector of more than %d characters" % MAX_SELECTOR)
    if text.count(",") >= MAX_TERMS:
        raise BadSelector("a selector of more than %d terms" % MAX_TERMS)


def _field_terms(text: str) -> List[str]:
    terms = re.findall(r"(?:[^,\\]|\\.|\\$)+", text, re.DOTALL)
    return [term for term in terms if term]


def _unescaped(value: str) -> str:
    for match in re.finditer(r"\\(.?)|[,=]", value, re.DOTALL):
        if match.group() in ",=":
            raise BadSelector(f"invalid field selector: unescaped character in value: {ord(match.group())}")
        if match.group(1) not in ("\\", ",", "="):
            raise BadSelector(f"invalid field selector: invalid escape sequence: {match.group()}")
    return re.sub(r"\\([\\,=])", r"\1", value)


def _tokens(text: str) -> List[str]:
    _check_size(text)
    tokens: List[str] = []
    at, end = 0, len(text.rstrip(" \t\r\n"))
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise BadSelector("unable to parse the label selector at character %d" % at)
        tokens.append(match.group(1))
        at = match.end()
    return tokens


class _Labels:
    """A parser over the tokens of one label selector. Its errors are worded as the API server's."""

    def __init__(self, tokens: List[str]) -> None:
        self._tokens = tokens
        self._at = 0

    def clauses(self) -> List[Clause]:
        found: List[Clause] = []
        if self._tokens and not (self._at_word() or self._peek() == "!"):
            raise BadSelector(f"found {self._shown()}, expected: !, identifier, or 'end of string'")
        while self._at < len(self._tokens):
            try:
                found.append(self._clause())
            except BadSelector as error:
                raise BadSelector(f"unable to parse requirement: {error}") from None
            if self._at < len(self._tokens):
                self._comma()
        return found

    def _comma(self) -> None:
        if self._peek() != ",":
            raise BadSelector(f"found {self._shown()}, expected: ',' or 'end of string'")
        self._at += 1
        if not (self._at_word() or self._peek() == "!"):
            raise BadSelector(f"found {self._shown()}, expected: identifier after ','")

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _shown(self) -> str:
        return f"'{_short(self._peek())}'"

    def _at_word(self) -> bool:
        return _is_word(self._peek())

    def _word(self) -> str:
        if not self._at_word():
            raise BadSelector(f"found {self._shown()}, expected: identifier")
        self._at += 1
        return self._tokens[self._at - 1]

    def _clause(self) -> Clause:
        if self._peek() == "!":
            self._at += 1
            return Clause(_label_key(self._word()), "absent")
        key = _label_key(self._word())
        operator = self._peek()
        if operator in ("", ","):
            return Clause(key, "exists")
        if operator not in _OPERATORS:
            raise BadSelector(f"found {self._shown()}, expected: in, notin, =, ==, !=, gt, lt")
        self._at += 1
        if operator in ("in", "notin"):
            return Clause(key, operator, frozenset(_label_values(key, self._set())))
        value = "" if self._peek() in ("", ",") else self._word()
        if operator in (">", "<"):
            if _integer(value) is None:
                why = "for 'Gt', 'Lt' operators, the value must be an integer"
                raise BadSelector(f"values[0]: Invalid value: {_quoted(value)}: {why}")
            return Clause(key, "above" if operator == ">" else "below", frozenset(_label_values(key, {value})))
        return Clause(key, "notin" if operator == "!=" else "in", frozenset(_label_values(key, {value})))

    def _set(self) -> Set[str]:
        if self._peek() != "(":
            raise BadSelector(f"found {self._shown()} expected: '('")
        self._at += 1
        if not (self._at_word() or self._peek() in (",", ")")):
            raise BadSelector(f"found {self._shown()}, expected: ',', ')' or identifier")
        values = {self._member()}
        while self._peek() == ",":
            self._at += 1
            values.add(self._member())
        self._at += 1  # the bracket that _member saw
        return values

    def _member(self) -> str:
        if self._peek() in (",", ")"):
            return ""
        if not self._at_word():
            raise BadSelector(f"found {self._shown()}, expected: ',', or identifier")
        value = self._word()
        if self._peek() not in (",", ")"):
            raise BadSelector(f"found {self._shown()}, expected: ',' or ')'")
        return value


_OPERATORS = ("in", "notin", "=", "==", "!=", ">", "<")
_SYMBOLS = frozenset(("", "!", "(", ")", ",", *_OPERATORS[2:]))
_FORM = "consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
_NAME_FORM = (
    f"must {_FORM} (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is"
    " '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_KEY_FORM = (
    f"a valid label key {_NAME_FORM} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
)
_PREFIX_FORM = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start"
    " and end with an alphanumeric character (e.g. 'example.com', regex used for validation is"
    " '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_VALUE_FORM = (
    f"a valid label must be an empty string or {_FORM} (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for"
    " validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


def _is_word(token: str) -> bool:
    return token not in _SYMBOLS


def _label_key(key: str) -> str:
    wrong = "; ".join(_wrong_key(key))
    if wrong:
        raise BadSelector(f"<nil>: Invalid value: {_quoted(key)}: {wrong}")
    return key


def _wrong_key(key: str) -> Iterator[str]:
    parts = key.split("/")
    if len(parts) > 2:
        yield _KEY_FORM
        return
    if len(parts) == 2 and not parts[0]:
        yield "prefix part must be non-empty"
    elif len(parts) == 2:
        if len(parts[0].encode()) > _MAX_PREFIX:
            yield f"prefix part must be no more than {_MAX_PREFIX} bytes"
        if not _PREFIX(parts[0]):
            yield f"prefix part {_PREFIX_FORM}"
    name = parts[-1]
    if not name:
        yield "name part must be non-empty"
    elif len(name.encode()) > _MAX_NAME:
        yield f"name part must be no more than {_MAX_NAME} bytes"
    if not _NAME(name):
        yield f"name part {_NAME_FORM}"


def _label_values(key: str, values: Set[str]) -> Set[str]:
    for number, value in enumerate(sorted(values)):
        wrong = []
        if len(value.encode()) > _MAX_NAME:
            wrong.append(f"must be no more than {_MAX_NAME} bytes")
        if value and not _NAME(value):
            wrong.append(_VALUE_FORM)
        if wrong:
            raise BadSelector(f"values[{number}][{key}]: Invalid value: {_quoted(value)}: {'; '.join(wrong)}")
    return values


def _integer(text: str) -> Optional[int]:
    # strconv.ParseInt(..., 10, 64)
    if not re.fullmatch(r"[+-]?[0-9]{1,63}", text):
        return None
    number = int(text)
    return number if -(1 << 63) <= number < 1 << 63 else None


def _short(text: str) -> str:
    return text[:_SHOWN]


def _quoted(text: str) -> str:
    """As Go's %q writes what a query can hold."""
    return json.dumps(_short(text), ensure_ascii=False)
