"""URLs of remote histories: which ones krm takes, and how they are shown without their secrets.

    influxdb://[USER:PASSWORD@]HOST[:PORT][/DATABASE]     InfluxDB 1.x; port 8086, database k8s
    influxdb2://TOKEN@HOST[:PORT]/ORG/BUCKET              InfluxDB 2.x; port 8086
    victoriametrics://[USER:PASSWORD@]HOST[:PORT]         VictoriaMetrics, one node; port 8428

influxdbs://, influxdb2s:// and victoriametricss:// are the same over TLS; ?ssl_ca_certs=FILE names the
authorities, ?ssl_cert_reqs=none checks no certificate. A letter that has a meaning in a URL is written
percent-encoded, in a password too.
"""

from __future__ import annotations

import re
from typing import Dict, List, NamedTuple, Tuple
from urllib.parse import parse_qsl, unquote, urlsplit

from krm.store.errors import BadUrl
from krm.store.url import masked

INFLUX1, INFLUX2, VICTORIA = "influxdb", "influxdb2", "victoriametrics"
DATABASE = "k8s"  # as Heapster called it
_PORTS = {INFLUX1: 8086, INFLUX2: 8086, VICTORIA: 8428}
_SCHEMES: Dict[str, Tuple[str, bool]] = {name: (name, False) for name in _PORTS}
_SCHEMES.update({f"{name}s": (name, True) for name in _PORTS})
_TLS_OPTIONS = ("ssl_ca_certs", "ssl_cert_reqs")
_HOST = re.compile(r"^[A-Za-z0-9._-]{1,253}$")
_HOST6 = re.compile(r"^[0-9A-Fa-f:.]{2,45}$")
_MAX_NAME = 255  # characters of a database, an organisation, a bucket


class Place(NamedTuple):
    """A parsed URL."""

    how: str  # INFLUX1, INFLUX2, VICTORIA
    shown: str  # the URL with its secrets masked
    host: str
    port: int
    tls: bool = False
    user: str = ""
    password: str = ""
    token: str = ""
    database: str = ""
    org: str = ""
    bucket: str = ""
    ca: str = ""  # a PEM file, '' = the system's authorities
    checked: bool = True  # whether the server's certificate is

    def __repr__(self) -> str:
        return f"Place({self.shown})"


def is_remote(url: str) -> bool:
    """Whether `parse_place` is who reads it."""
    return url.partition("://")[0] in _SCHEMES


def parse_place(url: str) -> Place:
    """Raises BadUrl, with a sentence that holds no secret."""
    if any(ord(char) <= 0x20 or ord(char) == 0x7F for char in url):
        raise BadUrl("the history's URL holds a space, line break or control character: percent-encode it")
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
    userinfo, _, where = parts.netloc.rpartition("@")
    host, port = _address(where, _PORTS[how], shown)
    ca, checked = _tls(parts.query, tls, shown)
    steps = [unquote(step) for step in parts.path.split("/") if step]
    if any(len(step) > _MAX_NAME or not step.isprintable() for step in steps):
        raise BadUrl(f"{shown}: a name of more than {_MAX_NAME} characters, or one that cannot be printed")
    place = Place(how, shown, host, port, tls, ca=ca, checked=checked)
    if how == INFLUX2:
        return _influx2(place, userinfo, steps)
    if len(steps) > (1 if how == INFLUX1 else 0):
        end = "/DATABASE and no more" if how == INFLUX1 else "the port"
        raise BadUrl(f"{shown}: the URL ends with {end}")
    user, _, password = userinfo.partition(":")
    database = (steps or [DATABASE])[0] if how == INFLUX1 else ""
    return place._replace(user=_secret(user, shown), password=_secret(password, shown), database=database)


def _influx2(place: Place, userinfo: str, steps: List[str]) -> Place:
    token = _secret(userinfo, place.shown)
    if len(steps) != 2 or not token:
        raise BadUrl(f"{place.shown}: write influxdb2://TOKEN@HOST:PORT/ORG/BUCKET")
    if not token.isascii():
        raise BadUrl(f"{place.shown}: the token holds characters that no token has")
    return place._replace(token=token, org=steps[0], bucket=steps[1])


def _secret(text: str, shown: str) -> str:
    found = unquote(text)
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in found):
        raise BadUrl(f"{shown}: a control character in a name, a password or a token")
    return found


def _address(where: str, default: int, shown: str) -> Tuple[str, int]:
    closing, colon = where.rfind("]"), where.rfind(":")
    host, port = (where[:colon], where[colon + 1 :]) if colon > closing else (where, str(default))
    plain = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not (_HOST6.match(plain) if plain != host else _HOST.match(plain)):
        raise BadUrl(f"{shown}: no host name in {where!r}")
    if not (port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536):
        raise BadUrl(f"{shown}: ports go from 1 to 65535")
    return plain, int(port)


def _tls(query: str, tls: bool, shown: str) -> Tuple[str, bool]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    known = _TLS_OPTIONS if tls else ()
    for name, value in options.items():
        if name not in known:
            raise BadUrl(f"{shown}: option {name!r} is unknown here; known: {', '.join(known) or 'none'}")
        if not value.isprintable():
            raise BadUrl(f"{shown}: option {name} holds a character that cannot be printed")
    required = options.get("ssl_cert_reqs", "required")
    if required not in ("required", "none"):
        raise BadUrl(f"{shown}: ssl_cert_reqs is 'required' or 'none'")
    return options.get("ssl_ca_certs", ""), required == "required"
