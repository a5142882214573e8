"""A request as it came and an answer as it goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, Iterator, List, Mapping, Optional
from urllib.parse import parse_qs, unquote, urlsplit

JSON = "application/json"
PLAIN = "text/plain; charset=utf-8"


@dataclass
class Request:
    """One HTTP request. headers: lower-case names. parts: the path, split and unquoted."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""
    parts: List[str] = field(default_factory=list)
    query: Dict[str, List[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        split = urlsplit(self.target)
        self.parts = [unquote(part) for part in split.path.strip("/").split("/") if part]
        self.query = parse_qs(split.query, keep_blank_values=True)

    @property
    def accept(self) -> str:
        return self.headers.get("accept", "")

    def value(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        return self.query.get(name, [default])[0]

    def flag(self, name: str) -> bool:
        """A boolean as Go reads it from a query."""
        found = self.query.get(name)
        return found is not None and found[0].lower() not in ("false", "0")


@dataclass
class Answer:
    """`stream` sends chunks until it ends; else `body` goes out with its length. pack: gzip where asked for."""

    code: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: Dict[str, str] = field(default_factory=dict)
    stream: Optional[Iterator[bytes]] = None
    gzip_anyway: bool = False
