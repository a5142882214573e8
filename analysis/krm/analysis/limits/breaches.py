"""Breaches of limits and requests over a window. TODO: H2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Optional, Tuple

from krm.analysis.answer import Answer, Column
from krm.analysis.inputs import Inputs, Needs
from krm.analysis.worth import worth_of


class Asked(NamedTuple):
    """Which rows are wanted."""

    namespace: Optional[str]  # None = all
    threshold: float  # share of the limit, 0.9
    window: float  # seconds


@dataclass(frozen=True)
class Breach:
    """One resource of one container."""

    namespace: str
    pod: str
    container: str
    resource: str


@dataclass(frozen=True)
class Breaches(Answer):
    """An answer."""

    COLUMNS: ClassVar[Tuple[Column, ...]] = (Column("NAMESPACE", lambda row: row.namespace),)

    rows: Tuple[Breach, ...]


def needs(asked: Asked) -> Needs:
    """What it is made of."""
    return Needs(("pods",), newest=("container",), window=asked.window, namespace=asked.namespace)


def answer(inputs: Inputs, asked: Asked) -> Breaches:
    """Pure."""
    return Breaches(worth_of(inputs, needs(asked)), (), ())
