"""Frozen rows as plain values, for JSON, and as a DataFrame. Pure."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Dict, List, Sequence, Tuple, Type, Union, get_type_hints

from krm.model.frames import NUMBER, TEXT, TRUTH, WHOLE, Types, builder

_TYPES: Dict[Any, str] = {str: TEXT, int: WHOLE, float: NUMBER, bool: TRUTH}


def plain(value: Any) -> Any:
    """Lists, dicts, texts and numbers. NaN and infinity are None; a Decimal is its text, to the last digit."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {name: plain(getattr(value, name)) for name in _names(type(value))}
    if isinstance(value, dict):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, (set, frozenset)):
        return sorted(plain(part) for part in value)
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    if isinstance(value, Decimal):
        return str(value)
    return float(value) if isinstance(value, Fraction) else value


def frame(rows: Sequence[Any], row_type: Type[Any], package: str = "") -> Any:
    """A row a row; a part that has fields itself is a column each: `about_name`. Lists stay lists.

    Names and types of the columns depend on `row_type` alone. package: pandas or polars, '' = what is installed.
    Raises ImportError, ValueError.
    """
    build = builder(package)
    columns = _columns(row_type)
    found: List[Dict[str, Any]] = []
    for row in rows:
        values = {"_".join(path): _value(row, path) for path, _ in columns}
        found.append(
            {name: value if isinstance(value, Decimal) else plain(value) for name, value in values.items()}
        )
    return build(found, _types(columns))


Path = Tuple[str, ...]


def _types(columns: Sequence[Tuple[Path, str]]) -> Types:
    return {"_".join(path): type_ for path, type_ in columns}


def _columns(row_type: Type[Any], before: Path = ()) -> List[Tuple[Path, str]]:
    """Paths of the fields in their order, each with its type, '' = by its values."""
    found: List[Tuple[Path, str]] = []
    hints = _hints(row_type)
    for name in _names(row_type):
        hint = _needed(hints.get(name))
        if _names(hint):
            found += _columns(hint, (*before, name))
        else:
            found.append(((*before, name), _TYPES.get(hint, "")))
    return found


def _names(kind: Any) -> Sequence[str]:
    """Of the fields of a dataclass or a named tuple; () of anything else."""
    if not isinstance(kind, type):
        return ()
    return [field.name for field in fields(kind)] if is_dataclass(kind) else getattr(kind, "_fields", ())


def _hints(kind: Type[Any]) -> Dict[str, Any]:
    try:
        return get_type_hints(kind)
    except NameError:  # a type that is imported for type checkers alone
        return {}


def _needed(hint: Any) -> Any:
    """X of Optional[X]; the hint itself otherwise."""
    if getattr(hint, "__origin__", None) is not Union:
        return hint
    others = [one for one in hint.__args__ if one is not type(None)]
    return others[0] if len(others) == 1 else None


def _value(row: Any, path: Path) -> Any:
    for name in path:
        row = getattr(row, name, None)
    return row


def row_type_of(answer: Type[Any]) -> Type[Any]:
    """Of `rows: Tuple[Row, ...]`; object where there are none."""
    found = getattr(_hints(answer).get("rows"), "__args__", (object,))[0]
    return found if isinstance(found, type) else object
