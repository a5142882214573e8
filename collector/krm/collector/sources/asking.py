"""How a source asks a target: through the door, with what goes wrong as NoData; and how it reads JSON."""

from __future__ import annotations

import json
from typing import Any, Callable, Tuple, Type
from urllib.parse import urlsplit

from krm.cluster.endpoints import TIMEOUT, Endpoints
from krm.cluster.errors import ClusterError
from krm.collector.source import NoData, Target
from krm.model.codec import NotJson, check_bytes, refuse_constant

try:
    import msgspec
except ImportError:  # the `fast` extra is optional
    msgspec = None  # type: ignore[assignment]


def body_of(
    door: Endpoints, target: Target, path: str, most: int, timeout: float = TIMEOUT, gzip: bool = False
) -> bytes:
    """What the target serves at `path`, or at the path of its URL where that has one. Raises NoData."""
    url = target.url if urlsplit(target.url).path.strip("/") else target.url.rstrip("/") + path
    try:
        return door.get(url, target.server_name, timeout, most, gzip=gzip)
    except ClusterError as error:
        raise NoData(str(error)) from None
    except ValueError:
        raise NoData(f"{target.name} has no address that can be asked: its URL is no http:// one") from None


def _plainly(raw: bytes) -> Any:
    found = json.loads(raw, parse_constant=refuse_constant)
    if b"\\ud" in raw.lower():
        json.dumps(found, ensure_ascii=False).encode()  # half a character: nothing that holds it could be written
    return found


_DECODE: Callable[[bytes], Any] = msgspec.json.decode if msgspec is not None else _plainly
_REFUSED: Tuple[Type[Exception], ...] = (NotJson, ValueError, RecursionError)
if msgspec is not None:
    _REFUSED += (msgspec.MsgspecError,)


def decoded(raw: bytes) -> Any:
    """JSON; None for what is none."""
    try:
        check_bytes(raw)
        return _DECODE(raw)
    except _REFUSED:
        return None
