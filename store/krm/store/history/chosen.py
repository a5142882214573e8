"""`--history`: which store a URL or a path means."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from krm.store.errors import BadUrl
from krm.store.history.asked import History, Recorder
from krm.store.history.external import ExternalHistory, ExternalReader, Store
from krm.store.history.influx import Influx
from krm.store.history.local import LocalHistory
from krm.store.history.place import VICTORIA, is_remote, parse_place
from krm.store.history.victoria import Victoria

_SQLITE = "sqlite://"


class Kept(History, Recorder, Protocol):
    """A history that is written and read here."""

    def close(self) -> None:
        """What was recorded is kept, or waits on the disk."""
        ...


def history_of(url: str, folder: Path) -> Kept:
    """url: a path, sqlite:///PATH, or one of krm.store.history.place; folder: where what waits lies.

    Raises BadUrl with a sentence; of a file what LocalHistory raises.
    """
    if is_remote(url):
        return ExternalHistory(_store(url), folder)
    path = url
    if url.startswith(_SQLITE):
        path = url[len(_SQLITE) :]
        if not path.startswith("/"):
            raise BadUrl(f"{url}: write sqlite:///PATH, with a path that begins at the root")
    elif "://" in url:
        parse_place(url)  # says which there are
    if not path or "\0" in path:
        raise BadUrl("the history's path is empty, or holds a character that no path has")
    return LocalHistory(path)


def reader_of(url: str) -> History:
    """Of a store elsewhere alone: a file is the collector's, and is read through it. Raises BadUrl."""
    if not is_remote(url):
        raise BadUrl("a history's file is read through its collector; here go influxdb:// and victoriametrics://")
    return ExternalReader(_store(url))


def _store(url: str) -> Store:
    place = parse_place(url)
    return Victoria(place) if place.how == VICTORIA else Influx(place)
