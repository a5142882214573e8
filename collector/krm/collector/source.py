"""What every source of numbers looks like: a small reader `(target, now) -> samples`.

A reader never raises for what a target answers badly: what goes wrong is a `NoData` with a sentence, and
costs that target alone.
"""

from __future__ import annotations

from typing import List, NamedTuple, Protocol

from krm.model.measures import Sample


class Target(NamedTuple):
    """Something to ask for numbers."""

    name: str  # as people name it: node worker-1, pod shop/web-0
    node: str = ""
    namespace: str = ""
    pod: str = ""
    uid: str = ""
    url: str = ""  # scheme://host:port[/path]
    server_name: str = ""  # whom its certificate must name, '' = the host of the URL


class NoData(Exception):
    """The target gave nothing that can be used; the text says why, in a sentence that holds no secret."""


class Source(Protocol):
    """One way to numbers."""

    name: str  # as Sample.source has it

    def __call__(self, target: Target, now: float) -> List[Sample]:
        """One read, within its own limits of time and bytes. `now`: Unix seconds. Raises NoData."""
        ...
