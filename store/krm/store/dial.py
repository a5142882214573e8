"""Dialling: a redis-py connection to the server, or to the primary that Sentinel or Cluster names.

redis-py's connections alone are used: parsing, TLS and packing are theirs; no retries, no pools.
"""

from __future__ import annotations

import os
import ssl
from typing import Any, Dict, List, Sequence, Tuple

from krm.store import url as urls
from krm.store.errors import Denied, StoreError, Unavailable, of_reply, word_of
from redis import exceptions
from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.crc import key_slot
from redis.retry import Retry

CONNECT_TIMEOUT = 2.0  # seconds
READ_TIMEOUT = 5.0  # seconds without a byte
# Their annotations differ from one redis-py to the next.
_Tcp: Any = Connection
_Tls: Any = SSLConnection
_Unix: Any = UnixDomainSocketConnection


def _dial(address: urls.Address, host: str, port: int, username: str, password: str, db: int) -> Any:
    """A connected redis-py connection. Raises Unavailable, Denied."""
    settings: Dict[str, Any] = {
        "db": db,
        "username": username or None,
        "password": password or None,
        "socket_timeout": READ_TIMEOUT,
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }
    place = address.shown
    if address.how == urls.UNIX:
        # redis-py's unix connections know no connect timeout of their own.
        settings.pop("socket_connect_timeout")
        connection = _Unix(path=address.path, **settings)
    elif address.tls:
        connection = _Tls(host=host, port=port, socket_keepalive=True, **settings, **_tls(address))
    else:
        connection = _Tcp(host=host, port=port, socket_keepalive=True, **settings)
    try:
        connection.connect()
    except exceptions.AuthenticationError as error:
        raise Denied(f"{place}: Redis refuses the user or its password ({error})") from None
    except exceptions.ResponseError as error:
        raise of_reply(error, place) from None
    except (exceptions.RedisError, OSError) as error:
        raise Unavailable(
            f"{place}: Redis cannot be reached ({cause_of(error)}): start it, or check the URL (--redis, KRM_REDIS)"
        ) from error
    return connection


def _tls(address: urls.Address) -> Dict[str, Any]:
    options: Dict[str, Any] = {name: value for name, value in address.options.items() if name.startswith("ssl_")}
    unchecked = options.get("ssl_cert_reqs") == "none"
    return {"ssl_cert_reqs": "required", **options, "ssl_check_hostname": not unchecked}


def primary(address: urls.Address, key: str) -> Any:
    """A connection to the primary that owns `key`."""
    host, port = "", 0
    if address.how == urls.SENTINEL:
        host, port = _ask_sentinels(address)
    elif address.how == urls.CLUSTER:
        host, port = _owner(address, key)
    elif address.nodes:
        host, port = address.nodes[0]
    connection = _dial(address, host, port, address.username, address.password, address.db)
    if address.how == urls.SENTINEL:
        role = _ask(connection, ("ROLE",))
        if isinstance(role, list) and role[0] != b"master":
            connection.disconnect()
            raise Unavailable(
                f"{address.shown}: {host}:{port} is no primary (any more); a failover may be going on"
            )
    return connection


def _ask_sentinels(address: urls.Address) -> Tuple[str, int]:
    username, password = (address.options.get(f"sentinel_{part}", "") for part in ("username", "password"))
    failures: List[str] = []
    for host, port in address.nodes:
        try:
            sentinel = _dial(address, host, port, username, password, 0)
        except StoreError as error:
            failures.append(str(error))
            continue
        reply = _ask(sentinel, ("SENTINEL", "get-master-addr-by-name", address.service))
        sentinel.disconnect()
        if isinstance(reply, list) and len(reply) == 2:
            return reply[0].decode(), int(reply[1])
        failures.append(f"{host}:{port} knows no service {address.service!r}" if reply is None else str(reply))
    raise Unavailable(f"{address.shown}: no sentinel names a primary: {'; '.join(failures)}")


Slots = List[Tuple[int, int, str, int]]  # first slot, last slot, host, port of its primary


def _owner(address: urls.Address, key: str) -> Tuple[str, int]:
    slot = key_slot(key.encode())
    for first, last, host, port in _slots(address):
        if first <= slot <= last:
            return host, port
    raise Unavailable(f"{address.shown}: no node of Redis Cluster serves slot {slot}; see CLUSTER SLOTS")


def _slots(address: urls.Address) -> Slots:
    failures: List[str] = []
    for host, port in address.nodes:
        try:
            seed = _dial(address, host, port, address.username, address.password, 0)
        except Unavailable as error:
            failures.append(str(error))
            continue
        reply = _ask(seed, ("CLUSTER", "SLOTS"))
        seed.disconnect()
        if isinstance(reply, list):
            # An empty host means: the one that was asked.
            return [(row[0], row[1], (row[2][0] or b"").decode() or host, row[2][1]) for row in reply]
        failures.append(f"{host}:{port}: {reply}")
    raise Unavailable(f"{address.shown}: no seed of Redis Cluster answers: {'; '.join(failures)}")


def all_primaries(address: urls.Address) -> List[urls.Address]:
    """The address itself, or one for each primary of Redis Cluster."""
    if address.how != urls.CLUSTER:
        return [address]
    found: List[urls.Address] = []
    for host, port in dict.fromkeys((host, port) for _, _, host, port in _slots(address)):
        values = {**address.__dict__, "how": urls.DIRECT, "nodes": ((host, port),), "shown": f"{host}:{port}"}
        found.append(urls.Address(**values))
    if not found:
        raise Unavailable(f"{address.shown}: Redis Cluster serves no slots yet; see CLUSTER INFO")
    return found


def _ask(connection: Any, command: Sequence[str]) -> Any:
    """One reply or the error in its place; a broken connection is such an error too."""
    try:
        connection.send_packed_command(connection.pack_commands([command]), check_health=False)
        return read(connection)
    except (exceptions.RedisError, OSError) as error:
        connection.disconnect()
        return error


def read(connection: Any) -> Any:
    """One reply; error replies are returned. Connection errors that are replies (LOADING) too."""
    try:
        return connection.read_response()
    except exceptions.ResponseError as error:
        return error
    except exceptions.ConnectionError as error:
        if word_of(error) in ("LOADING", "WRONGPASS", "NOAUTH"):
            return error
        raise


def closed(connection: Any) -> bool:
    """True where the server ended the socket, or sent what nobody asked for."""
    try:
        return bool(connection.can_read(timeout=0))
    except (exceptions.RedisError, OSError):
        return True


def cause_of(error: BaseException) -> str:
    """The system's own sentence where there is one; redis-py wraps it in words of its own."""
    cause = error.__cause__ or error.__context__ or error
    if isinstance(cause, OSError) and cause.errno and not isinstance(cause, ssl.SSLError):
        return os.strerror(cause.errno)
    return f"{type(cause).__name__}: {cause}"
