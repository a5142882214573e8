"""Safe reads of decoded objects: a field of another type than the schema's reads as absent."""

from __future__ import annotations

from typing import Any, Dict, List


def mapping(value: Any) -> Dict[str, Any]:
    """`value` where it is an object, else {}."""
    return value if isinstance(value, dict) else {}


def rows(value: Any) -> List[Dict[str, Any]]:
    """The objects in an array, [] for anything else."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def texts(value: Any) -> List[str]:
    """The strings in an array, [] for anything else."""
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def text(value: Any) -> str:
    """`value` where it is a string, else ''."""
    return value if isinstance(value, str) else ""


def integer(value: Any) -> int:
    """`value` where it is an integer, else 0: the zero value that Go reads where a field is absent."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
