"""Closed months: a file a version in a folder, never written over.

    FOLDER/CLUSTER/2026-10.v1.json   {"format", "version", "closed_at", "reason", "bill", "prices", "labels"}

`bill` is the bill's canonical text, `prices` the file of prices as it was and `labels` the labels that were used:
the same bytes can be derived again from the history, or a restored backup of it. Who may read the folder may read
every bill.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

from krm.store.errors import StoreError

FORMAT = 1
MAX_BYTES = 64 * 1024 * 1024  # of one file: 100,000 pods with their labels
MOST_VERSIONS = 1000  # of one month
_CLUSTER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}")
_FILE = re.compile(r"([0-9]{4}-[0-9]{2})\.v([1-9][0-9]{0,3})\.json")


class NoBill(StoreError):
    """No such bill is there, or what is there cannot be read; the text says which and what to do."""


class Closed(NamedTuple):
    """A closed month."""

    cluster: str
    month: str  # YYYY-MM
    version: int  # from 1; a correction is the next
    closed_at: str  # RFC 3339
    reason: str  # of a correction; '' = the first
    bill: str  # canonical text
    prices: str  # the file of prices
    labels: Dict[str, Any]


class Bills:
    """A folder of them."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def versions(self, cluster: str, month: str) -> List[int]:
        """Those that are there, the oldest first. Raises NoBill where the folder cannot be read."""
        place = self._place(cluster, month)
        try:
            names = os.listdir(place)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise NoBill(f"bills in {place} cannot be read: {error.strerror}") from None
        found = [match for match in map(_FILE.fullmatch, names) if match is not None]
        return sorted(int(match.group(2)) for match in found if match.group(1) == month)

    def read(self, cluster: str, month: str, version: Optional[int] = None) -> Closed:
        """The newest version, or this one. Raises NoBill."""
        there = self.versions(cluster, month)
        if not there:
            raise NoBill(f"{month} of {cluster} is not closed: krm bill --month {month} --close closes it")
        if version is not None and version not in there:
            shown = ", ".join(str(one) for one in there)
            raise NoBill(f"{month} of {cluster} has no version {version}: there are {shown}")
        path = self._path(cluster, month, version or there[-1])
        try:
            with open(path, "rb") as file:
                text = file.read(MAX_BYTES + 1)
            if len(text) > MAX_BYTES:
                raise ValueError(f"more than {MAX_BYTES} bytes")
            told: Dict[str, Any] = json.loads(text)
            return Closed(
                cluster, month, int(told["version"]), str(told["closed_at"]), str(told["reason"]),
                str(told["bill"]), str(told["prices"]), dict(told["labels"]),
            )  # fmt: skip
        except OSError as error:
            raise NoBill(f"{path} cannot be read: {error.strerror}") from None
        except (ValueError, TypeError, KeyError, RecursionError):
            raise NoBill(f"{path} is no bill that krm wrote: restore it from a backup") from None

    def write(self, closed: Closed) -> Path:
        """Whole or not at all; an existing version stays. Raises NoBill."""
        if closed.version > MOST_VERSIONS:
            raise NoBill(f"{closed.month} has {MOST_VERSIONS} versions: no more are kept")
        path = self._path(closed.cluster, closed.month, closed.version)
        told = {"format": FORMAT, **closed._asdict()}
        half = path.parent / f".{path.name}.{secrets.token_hex(8)}"
        try:
            path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            with open(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "wb") as file:
                file.write(json.dumps(told, sort_keys=True, ensure_ascii=False, indent=1).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(half, path)  # fails where it exists: two who close at once make one version
        except FileExistsError:
            raise NoBill(f"{path} was written by somebody else meanwhile: look at it, and correct it") from None
        except OSError as error:
            raise NoBill(f"{path} cannot be written: {error.strerror}") from None
        finally:
            half.unlink() if half.exists() else None
        return path

    def _path(self, cluster: str, month: str, version: int) -> Path:
        return self._place(cluster, month) / f"{month}.v{version}.json"

    def _place(self, cluster: str, month: str) -> Path:
        if not (_CLUSTER.fullmatch(cluster) and _MONTH.fullmatch(month)):
            raise NoBill(f"cluster {cluster!r:.80} and month {month!r:.20} name no bill")
        return self._folder / cluster
