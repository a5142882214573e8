"""The formats of `krm get -o`: what each prints for a list, for one object, and for a change of a watch."""

from __future__ import annotations

import argparse
import json
import re
import sys
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Union

from krm.cli.terminal import is_terminal, write
from krm.client.errors import BadObject, KrmError
from krm.client.objects import KubernetesObject
from krm.client.source import TableRow
from krm.client.tables import cells_of
from krm.model.cells import Cell, Column, Printer
from krm.model.jsonpath import BadPath, NotThere, column_texts, evaluate, find, parse_relaxed, parse_template
from krm.model.kinds import split_key
from krm.model.layout import Columns
from krm.model.safetext import safe, safe_lines

# Inside JSON strings these are legal as they are, and would steer a terminal: written as escapes.
_HOSTILE_IN_JSON = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

Objects = Sequence[KubernetesObject]


class NoValue(KrmError):
    """The template asks for an index that an object does not have."""


class Format:
    """One -o. `show` prints a list (single: the one object that was named), `show_one` a change."""

    # In a watch kubectl writes the first list as it writes changes: object by object.
    watched_alone = False

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now  # Redis clock, for ages

    def show(self, objects: Objects) -> None:
        """A list. An object that does not parse raises BadObject in machine formats."""
        raise NotImplementedError

    def show_one(self, obj: KubernetesObject) -> None:
        """The object that was named, or a change of a watch."""
        self.show([obj])


class Rows:
    """Rows below their headings, as kubectl prints them. Widths only grow, headings come once."""

    def __init__(self, columns: Sequence[Column], wide: bool, namespaces: bool, headings: bool) -> None:
        self._namespaces, self._headings = namespaces, headings
        self._shown = [place for place, column in enumerate(columns) if wide or not column.wide]
        self._names = (["NAMESPACE"] if namespaces else []) + [columns[place].name.upper() for place in self._shown]
        self._layout = Columns()

    def show(self, rows: Iterable[TableRow]) -> None:
        lines = [self._line(row) for row in rows]
        if self._headings and lines:
            lines.insert(0, self._names)
            self._headings = False
        write("".join([line + "\n" for line in self._layout.lines(lines)]))

    def _line(self, row: TableRow) -> List[str]:
        # kubectl cuts a cell at its first line end.
        shown = [_one_line(_shown(row.cells[place])) for place in self._shown]
        return [split_key(row.key)[0], *shown] if self._namespaces else shown


class TableFormat(Format):
    """kubectl's columns; an unreadable object is a row that says so."""

    def __init__(
        self, printer: Printer, now: Callable[[], float], wide: bool, namespaces: bool, headings: bool
    ) -> None:
        super().__init__(now)
        self._printer = printer
        self._rows = Rows(printer.columns, wide, namespaces, headings)

    def show(self, objects: Objects) -> None:
        now = self.now()
        self._rows.show([TableRow(obj.key, cells_of(self._printer, obj.key, obj.raw, now)) for obj in objects])


def _shown(cell: Union[Cell, float, None]) -> str:
    """As kubectl prints it: nothing for what a CRD's object lacks."""
    if cell is None:
        return ""
    return str(cell).lower() if isinstance(cell, bool) else str(cell)


def _one_line(text: str) -> str:
    first, ended, _ = text.partition("\n")
    return first + "..." if ended else text


class NameFormat(Format):
    """`pod/web-0`, `deployment.apps/web`."""

    def __init__(self, kind: str, now: Callable[[], float]) -> None:
        super().__init__(now)
        resource, _, group = kind.partition(".")
        self._resource, self._group = resource, group

    def show(self, objects: Objects) -> None:
        for obj in objects:
            try:
                kind = str(obj.body().get("kind") or self._resource).lower()
            except BadObject:
                kind = self._resource
            print(safe(f"{kind}.{self._group}/{obj.name}" if self._group else f"{kind}/{obj.name}"))


class DocumentFormat(Format):
    """json and yaml: the object, or a List."""

    watched_alone = True

    def __init__(self, now: Callable[[], float], dump: Callable[[Any], str], separator: str) -> None:
        super().__init__(now)
        self._dump = dump
        self._separator = separator
        self._began = False

    def show(self, objects: Objects) -> None:
        self._write(list_of(objects))

    def show_one(self, obj: KubernetesObject) -> None:
        self._write(obj.body())

    def _write(self, document: Any) -> None:
        if self._began:
            write(self._separator)
        self._began = True
        write(self._dump(document))


class TemplateFormat(Format):
    """jsonpath. Raises NoValue."""

    watched_alone = True

    def __init__(self, now: Callable[[], float], template: str) -> None:
        super().__init__(now)
        self._nodes = parse_template(template)

    def show(self, objects: Objects) -> None:
        self._write(list_of(objects))

    def show_one(self, obj: KubernetesObject) -> None:
        self._write(obj.body())

    def _write(self, document: Any) -> None:
        try:
            text = evaluate(self._nodes, document)
        except NotThere as error:
            raise NoValue(f"-o jsonpath: {error}") from None
        # Scripts get every byte; a terminal gets no escape that an object smuggled in.
        write(safe_lines(text) if is_terminal(sys.stdout) else text)


class CustomFormat(Format):
    """custom-columns=HEADER:PATH,... Raises NoValue."""

    def __init__(self, now: Callable[[], float], spec: str, headings: bool) -> None:
        super().__init__(now)
        self._names: List[str] = []
        self._columns = [self._column(part) for part in _split_columns(spec)]
        self._headings = headings
        self._layout = Columns()

    def _column(self, part: str) -> Any:
        name, colon, path = part.partition(":")
        if not (name and colon and path):
            raise BadPath(f"custom-columns takes HEADER:PATH,HEADER:PATH, not {part!r}")
        self._names.append(name)
        return parse_relaxed(path)

    def show(self, objects: Objects) -> None:
        rows: List[List[str]] = [self._names] if self._headings else []
        self._headings = False
        for obj in objects:
            body = obj.body()
            try:
                found = [find(path, body, body) for path in self._columns]
            except NotThere as error:
                raise NoValue(f"-o custom-columns: {obj.key}: {error}") from None
            rows.append([",".join(column_texts(values)) or "<none>" for values in found])
        for line in self._layout.lines(rows):
            print(line)


def _split_columns(spec: str) -> List[str]:
    """At commas outside brackets: `A:.x[0,1],B:.y` has two."""
    parts, depth = [""], 0
    for character in spec:
        depth += (character in "[(") - (character in "])")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def list_of(objects: Objects) -> Dict[str, Any]:
    """kubectl's List of them. Raises BadObject."""
    items = [obj.body() for obj in objects]
    return {"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}}


def dump_json(value: Any) -> str:
    """As kubectl indents it, keys sorted."""
    text = json.dumps(value, indent=4, sort_keys=True, ensure_ascii=False)
    return _HOSTILE_IN_JSON.sub(lambda match: f"\\u{ord(match.group()):04x}", text) + "\n"


def dump_yaml(value: Any) -> str:
    """As kubectl writes it."""
    from krm.cli.yamlout import to_yaml

    return to_yaml(value)


def make_format(
    kind: str, args: argparse.Namespace, namespaces: bool, now: Callable[[], float], printer: Callable[[], Printer]
) -> Format:
    """The format that -o names; namespaces: with a column for them. Raises ArgumentTypeError with a sentence.

    `printer`: asks how the kind is shown, where the format wants to know.
    """
    name, equals, rest = args.output.partition("=")
    plain: Dict[str, Callable[[], Format]] = {
        "": lambda: TableFormat(printer(), now, False, namespaces, not args.no_headers),
        "wide": lambda: TableFormat(printer(), now, True, namespaces, not args.no_headers),
        "name": lambda: NameFormat(kind, now),
        "json": lambda: DocumentFormat(now, dump_json, ""),
        "yaml": lambda: DocumentFormat(now, dump_yaml, "---\n"),
    }
    parametric: Dict[str, Callable[[], Format]] = {
        "jsonpath": lambda: TemplateFormat(now, rest),
        "custom-columns": lambda: CustomFormat(now, rest, not args.no_headers),
    }
    chosen: Optional[Callable[[], Format]] = (parametric if equals else plain).get(name)
    if chosen is None:
        from krm.cli.options import OUTPUTS

        raise argparse.ArgumentTypeError(f"-o {args.output!r} is none of: {OUTPUTS}")
    try:
        return chosen()
    except BadPath as error:
        raise argparse.ArgumentTypeError(f"-o {name}: {error}") from None
