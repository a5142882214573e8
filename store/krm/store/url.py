"""Redis URLs: which ones krm takes, and how they are shown without their passwords.

    redis://[USER:PASSWORD@]HOST[:PORT][/DB]          rediss:// the same over TLS
    unix://[USER:PASSWORD@]/PATH[?db=DB]
    redis+sentinel://[USER:PASSWORD@]H1[:P],H2[:P]/SERVICE[/DB]        rediss+sentinel://
    redis+cluster://[USER:PASSWORD@]H1[:P],H2[:P]                      rediss+cluster://

Queries: db (unix); ssl_ca_certs, ssl_certfile, ssl_keyfile, ssl_cert_reqs=required|none (TLS);
sentinel_username, sentinel_password (where the sentinels have others than the server).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Dict, List, Tuple
from urllib.parse import parse_qsl, unquote, urlsplit

from krm.store.errors import BadUrl

DIRECT, UNIX, SENTINEL, CLUSTER = "direct", "unix", "sentinel", "cluster"
_SCHEMES: Dict[str, Tuple[str, bool]] = {
    "redis": (DIRECT, False),
    "rediss": (DIRECT, True),
    "unix": (UNIX, False),
    "redis+sentinel": (SENTINEL, False),
    "rediss+sentinel": (SENTINEL, True),
    "redis+cluster": (CLUSTER, False),
    "rediss+cluster": (CLUSTER, True),
}
_PORTS = {DIRECT: 6379, SENTINEL: 26379, CLUSTER: 6379}
_TLS_OPTIONS = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs"})
_SENTINEL_OPTIONS = frozenset({"sentinel_username", "sentinel_password"})
_HOST = re.compile(r"^[A-Za-z0-9._-]{1,253}$")
_HOST6 = re.compile(r"^[0-9A-Fa-f:.]{2,45}(%[A-Za-z0-9._-]{1,15})?$")
_SERVICE = re.compile(r"^[A-Za-z0-9._-]{1,128}$")
# sun_path of a unix socket address holds 108 bytes on Linux, one of them the closing NUL.
_MAX_SOCKET_PATH = 107
_USERINFO = re.compile(r"//.*@", re.DOTALL)  # greedy: an unescaped @ in a password stays hidden
_SECRET_OPTION = re.compile(r"(password=)[^&]*")


@dataclass(frozen=True)
class Address:
    """A parsed URL. `nodes` are (host, port): one of them, the sentinels, or the cluster's seeds."""

    how: str  # DIRECT, UNIX, SENTINEL, CLUSTER
    shown: str  # the URL with passwords masked
    nodes: Tuple[Tuple[str, int], ...] = ()
    path: str = ""
    db: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    service: str = ""
    options: Dict[str, str] = field(default_factory=dict, repr=False)


def masked(url: str) -> str:
    """The URL as messages show it."""
    return _SECRET_OPTION.sub(r"\1***", _USERINFO.sub("//***@", url))


def parse(url: str) -> Address:
    """The address behind a Redis URL. Raises BadUrl."""
    if any(ord(char) <= 0x20 or ord(char) == 0x7F for char in url):
        raise BadUrl("the Redis URL holds a space, line break or control character: percent-encode or remove it")
    shown = masked(url)
    try:
        parts = urlsplit(url)
    except ValueError:
        raise BadUrl(f"{shown}: no URL") from None
    if parts.scheme not in _SCHEMES:
        raise BadUrl(f"{shown}: unknown scheme; krm takes {', '.join(sorted(_SCHEMES))}")
    if parts.fragment:
        raise BadUrl(f"{shown}: a '#' must be written %23")
    how, tls = _SCHEMES[parts.scheme]
    userinfo, _, hosts = parts.netloc.rpartition("@")
    username, _, password = userinfo.partition(":")
    options = _options(parts.query, how, tls, shown)
    path, db, service = _place(how, parts.path, hosts, options, shown)
    return Address(
        how,
        shown,
        () if how == UNIX else _nodes(hosts, how, shown),
        path,
        db,
        unquote(username),
        unquote(password),
        tls,
        service,
        options,
    )


def _options(query: str, how: str, tls: bool, shown: str) -> Dict[str, str]:
    known = {"db"} if how == UNIX else set()
    known |= _TLS_OPTIONS if tls else set()
    known |= _SENTINEL_OPTIONS if how == SENTINEL else set()
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name, value in options.items():
        if name not in known:
            raise BadUrl(f"{shown}: option {name!r} is unknown here; known: {', '.join(sorted(known)) or 'none'}")
        if any(ord(char) < 0x20 for char in value):
            raise BadUrl(f"{shown}: option {name} holds a control character")
    if options.get("ssl_cert_reqs", "required") not in ("required", "none"):
        raise BadUrl(f"{shown}: ssl_cert_reqs is 'required' or 'none'")
    return options


def _place(how: str, path: str, hosts: str, options: Dict[str, str], shown: str) -> Tuple[str, int, str]:
    """(socket path, database, sentinel service)."""
    if how == UNIX:
        socket_path = unquote(path)
        if hosts or not socket_path.startswith("/") or any(ord(char) < 0x20 for char in socket_path):
            raise BadUrl(f"{shown}: write unix:///absolute/path")
        if len(socket_path.encode()) > _MAX_SOCKET_PATH:
            raise BadUrl(f"{shown}: a socket's path has at most {_MAX_SOCKET_PATH} bytes; use a shorter folder")
        return socket_path, _db(options.pop("db", ""), shown), ""
    steps = [step for step in path.split("/") if step]
    if how == SENTINEL:
        if not steps or len(steps) > 2 or not _SERVICE.match(steps[0]):
            raise BadUrl(f"{shown}: name the service: redis+sentinel://HOST:PORT,HOST:PORT/SERVICE[/DB]")
        return "", _db(steps[1] if len(steps) == 2 else "", shown), steps[0]
    if len(steps) > 1 or (how == CLUSTER and steps and steps != ["0"]):
        raise BadUrl(f"{shown}: after the host comes one database number, and Redis Cluster has only 0")
    return "", _db(steps[0] if steps else "", shown), ""


def _db(text: str, shown: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 5):
        raise BadUrl(f"{shown}: the database is a number from 0")
    return int(text)


def _nodes(hosts: str, how: str, shown: str) -> Tuple[Tuple[str, int], ...]:
    names = hosts.split(",")
    if how == DIRECT and len(names) > 1:
        raise BadUrl(f"{shown}: several hosts need redis+sentinel:// or redis+cluster://")
    nodes: List[Tuple[str, int]] = []
    for name in names:
        host, port = _split_port(name)
        plain = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        if not (_HOST6.match(plain) if plain != host else _HOST.match(plain)):
            raise BadUrl(f"{shown}: no host name in {name!r}")
        if port and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536 and len(port) < 6):
            raise BadUrl(f"{shown}: ports go from 1 to 65535")
        nodes.append((plain, int(port or _PORTS[how])))
    return tuple(nodes)


def _split_port(name: str) -> Tuple[str, str]:
    """`host:port` -> (host, port); a port that is written but empty is no port number."""
    closing = name.rfind("]")
    colon = name.rfind(":")
    if colon <= closing:
        return name, ""
    return name[:colon], name[colon + 1 :] or "none"
