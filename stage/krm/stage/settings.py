"""Settings of a process: one frozen dataclass, filled from flags and KRM_* variables alike.

A field is declared with `setting(default, help)`; its flag is `--field-name`, its variable
KRM_FIELD_NAME. A flag wins over a variable. `--help` states every default and unit.
"""

from __future__ import annotations

import argparse
import inspect
import re
from dataclasses import MISSING, field, fields
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple, Type, TypeVar

from krm.model.durations import parse_duration
from krm.model.kinds import parse_kind

T = TypeVar("T")
MOST_PORT = 65_535


class BadSetting(ValueError):
    """A flag or a variable with a value that it cannot have."""


def setting(
    default: Any, help: str, parse: Any = str, positional: bool = False, secret: bool = False, short: str = ""
) -> Any:
    """One field: `parse` turns its text into its value and raises ValueError with a sentence. `short`: `-o`."""
    metadata = {"help": help, "parse": parse, "positional": positional, "secret": secret, "short": short}
    return field(default=default, metadata=metadata)


def parse_settings(cls: Type[T], argv: Sequence[str], env: Mapping[str, str], prog: str) -> T:
    """The settings of one process. Ends the process with status 2 and a sentence on a bad value."""
    parser = argparse.ArgumentParser(prog=prog, description=inspect.cleandoc(cls.__doc__ or ""))
    for one in fields(cls):  # type: ignore[arg-type]
        _add(parser, one.name, one.default if one.default is not MISSING else None, one.metadata)
    given = vars(parser.parse_args(argv))
    values: Dict[str, Any] = {}
    for one in fields(cls):  # type: ignore[arg-type]
        text, origin = _text(one.name, given, env)
        if text is None:
            continue
        try:
            values[one.name] = one.metadata["parse"](text)
        except ValueError as error:
            parser.error(f"{origin}: {error}")
    return cls(**values)


def _text(name: str, given: Mapping[str, Any], env: Mapping[str, str]) -> Tuple[Optional[Any], str]:
    flag, variable = "--" + name.replace("_", "-"), "KRM_" + name.upper()
    value = given.get(name)
    if value not in (None, []):
        return value if isinstance(value, str) else ",".join(value), flag
    return env.get(variable) or None, variable


def _add(parser: argparse.ArgumentParser, name: str, default: Any, meta: Mapping[str, Any]) -> None:
    shown = _show(default)
    names = [*([meta["short"]] if meta["short"] else []), "--" + name.replace("_", "-")]
    text = f"{meta['help']} Default: {shown}. (KRM_{name.upper()})".replace("%", "%%")
    if meta["positional"]:
        parser.add_argument(name, nargs="*", metavar=name.upper(), help=text)
    elif meta["parse"] is parse_flag:
        parser.add_argument(*names, action="store_const", const="true", help=text)
    else:
        parser.add_argument(
            *names,
            action="append",
            metavar=_metavar(name, meta["parse"], default),
            help=text,
        )


def _metavar(name: str, parse: Any, default: Any) -> str:
    """`SPAN`, else the last word of the name: PORT of --metrics-port."""
    is_span = parse is parse_duration or isinstance(default, Durations)
    return "SPAN" if is_span else name.rpartition("_")[2].upper()


def _show(default: Any) -> str:
    if default == ():
        return "all"
    if default in ("", None):
        return "none"
    if isinstance(default, Durations):
        return f"{default.default:g}s"
    if isinstance(default, tuple):
        return ", ".join(str(one) for one in default)  # with spaces, so that a line may end between two
    return str(default)


def parse_flag(text: str) -> bool:
    """`true`, `1`, `yes` and their opposites."""
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError(f"{text!r} is neither true nor false")


def parse_port(text: str) -> int:
    """A TCP port; 0 means what the setting says of it."""
    if not text.isdecimal() or int(text) > MOST_PORT:
        raise ValueError(f"{text!r} is no port: a number from 0 to {MOST_PORT}")
    return int(text)


def parse_choice(*choices: str) -> Any:
    """A parser of one of these words."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"{text!r} is none of {', '.join(choices)}")
        return text

    return parse


class Durations:
    """Seconds for every kind, and others for some: `60s,pods=10s`."""

    def __init__(self, default: float, by_kind: Optional[Mapping[str, float]] = None) -> None:
        self.default = default
        self.by_kind = dict(by_kind or {})

    def of(self, kind: str) -> float:
        """Seconds for this kind."""
        return self.by_kind.get(kind, self.default)


def parse_durations(fallback: float) -> Any:
    """A parser of `Durations` whose default is `fallback` seconds where only kinds are named."""

    def parse(text: str) -> Durations:
        default, by_kind = fallback, {}
        for part in text.split(","):
            kind, equals, duration = part.strip().rpartition("=")
            if equals:
                by_kind[kind] = parse_duration(duration)
            else:
                default = parse_duration(duration)
        return Durations(default, by_kind)

    return parse


def parse_names(text: str) -> Tuple[str, ...]:
    """Names separated by commas or spaces, each once."""
    return tuple(dict.fromkeys(name for name in re.split(r"[,\s]+", text) if name))


def parse_listed(text: str) -> Tuple[str, ...]:
    """Texts separated by commas alone, in their order: contexts and paths may hold spaces."""
    return tuple([part.strip() for part in text.split(",") if part.strip()])


def parse_kinds(text: str) -> Tuple[str, ...]:
    """Kinds, each once, in the grammar of krm.model.kinds."""
    return tuple(str(parse_kind(name)) for name in parse_names(text))
