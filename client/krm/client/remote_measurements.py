"""Measurements from a krm server (/krm/v1/usage and its sisters), as values of the same kinds as from Redis."""

from __future__ import annotations

import math
import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, TypeVar

from krm.client.errors import BadRequest, Damaged
from krm.client.remote import Door, Remote
from krm.client.seen import Asked, Gap, Kills, Process, Processes, Unseen
from krm.client.source import Source
from krm.client.usage import WORDS, Usage, Used
from krm.model import times
from krm.model.kills import Kill, Moment
from krm.model.kubelets import NodeKubelet
from krm.model.measures import NODE, Covers, Silence, Subject
from krm.store.history.asked import Extent, Query, Ranged, Series, Total, Totalled

T = TypeVar("T")
_WORD = {level: word for word, level in WORDS.items()}


def from_server(source: Source) -> FromServer:
    """Raises BadRequest for a source that is none."""
    if not isinstance(source, Remote):
        raise BadRequest("measurements are read from Redis or from a krm server")
    return FromServer(source.door)


class FromServer:
    """As krm.client.measurements.Backend; the door is the client's, which closes it."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def usage(self, level: str, namespace: Optional[str], name: str) -> Usage:
        query = {"namespace": namespace or None, "name": name or None, "stale_ok": "true"}
        return _read(lambda: _usage(self._door.json(f"usage/{_WORD[level]}", **query)))

    def usages(self, levels: Sequence[str], namespace: Optional[str]) -> List[Usage]:
        return [self.usage(level, None if level == NODE else namespace, "") for level in levels]

    def processes(self, asked: Asked) -> Processes:
        found = self._door.json("processes", **_wanted(asked), host="true" if asked.host else None)
        return _read(lambda: Processes(tuple([Process(**row) for row in found["rows"]]), **_beside(found)))

    def kills(self, asked: Asked) -> Kills:
        found = self._door.json("kills", **_wanted(asked))
        return _read(lambda: Kills(tuple([_kill(row) for row in found["rows"]]), **_beside(found)))

    def kubelets(self) -> Dict[str, NodeKubelet]:
        """A server does not tell of them."""
        return {}

    def range(self, query: Query) -> Ranged:
        found = self._door.json("points", **_asked(query))
        return _read(lambda: Ranged([_series(row) for row in found["series"]], _extent(found["extent"])))

    def totals(self, query: Query) -> Totalled:
        found = self._door.json("totals", **_asked(query))
        return _read(lambda: Totalled([_total(row) for row in found["totals"]], _extent(found["extent"])))

    def now(self) -> float:
        """Ours: the server's stands in each answer."""
        return time.time()

    def close(self) -> None:
        """Nothing is its own."""


def _read(work: Callable[[], T]) -> T:
    try:
        return work()
    except (KeyError, TypeError, ValueError) as error:
        raise Damaged(
            f"the server's measurements are not krm's ({type(error).__name__}): versions differ"
        ) from None


def _asked(query: Query) -> Dict[str, Optional[str]]:
    return {
        "metric": query.metric,
        "level": query.level,
        "begin": times.write(query.begin),
        "end": times.write(query.end),
        **{name: getattr(query, name) or None for name in ("namespace", "pod", "container", "node")},
    }


def _wanted(asked: Asked) -> Dict[str, Optional[str]]:
    return {
        "namespace": asked.namespace,
        "pod": asked.pod or None,
        "node": asked.node or None,
        "stale_ok": "true",
    }


def _beside(found: Mapping[str, Any]) -> Dict[str, Any]:
    """What stands beside the rows of processes and kills."""
    return {
        "state": found["state"],
        "reasons": tuple(found["reasons"]),
        "nodes": None if found["nodes"] is None else Covers(*found["nodes"]),
        "gaps": tuple(Gap(**gap) for gap in found["gaps"]),
        "unseen": tuple(Unseen(**{**one, "nodes": tuple(one["nodes"])}) for one in found["unseen"]),
        "now": found["now"],
    }


def _kill(row: Mapping[str, Any]) -> Kill:
    before = tuple(Moment(**moment) for moment in row["before"])
    return Kill(**{**row, "witnesses": tuple(row["witnesses"]), "before": before})


def _usage(found: Mapping[str, Any]) -> Usage:
    return Usage(
        tuple(Used(**row) for row in found["rows"]),
        found["state"],
        tuple(found["reasons"]),
        None if found["nodes"] is None else Covers(*found["nodes"]),
        tuple(Silence(*silence) for silence in found["silences"]),
        found["now"],
        tuple(found.get("history", ())),
        None if found.get("agents") is None else Covers(*found["agents"]),
    )


def _series(row: Mapping[str, Any]) -> Series:
    values = [math.nan if value is None else float(value) for value in row["values"]]
    return Series(Subject(**row["subject"]), row["times"], values)


def _total(row: Mapping[str, Any]) -> Total:
    return Total(**{**row, "subject": Subject(**row["subject"])})


def _extent(found: Mapping[str, Any]) -> Extent:
    covers = found["covers"]
    return Extent(
        **{**found, "notes": tuple(found["notes"]), "covers": None if covers is None else Covers(*covers)}
    )
