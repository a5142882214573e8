"""The environment of the classic kube_monitoring application, as its deployments still set it.

    INFLUXDB_HOST INFLUXDB_PORT INFLUXDB_USER INFLUXDB_PASS INFLUXDB_DB    where its history was
    API_USERNAME API_PASSWORD                                              the one account of its POST API

Each may stand with KRM_ before its name, which wins, and with _FILE behind it: then it is the path of a file
that holds the value. A flag or a setting of krm's own wins over all of them: that is for whoever calls.
"""

from __future__ import annotations

import os
import re
from typing import Callable, Mapping, NamedTuple, Optional
from urllib.parse import quote

from krm.stage.settings import BadSetting

# Bytes of a file that holds one value.
MAX_VALUE = 4096
# What Heapster's InfluxDB was called and listened on where nobody said otherwise.
INFLUXDB_PORT, INFLUXDB_DB = "8086", "k8s"
# Kubernetes itself sets INFLUXDB_PORT in pods beside a Service of that name: tcp://10.0.0.9:8086.
_PORT = re.compile(r"(?:tcp://[^/]*:)?([0-9]{1,5})").fullmatch
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+").fullmatch

Read = Callable[[str], str]


def read_value(path: str) -> str:
    """A file's value, without the line end that editors leave behind it. Raises BadSetting."""
    try:
        # Without O_NONBLOCK a FIFO would hold the start until somebody writes into it.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            raw = file.read(MAX_VALUE + 1) or b""
    except (OSError, ValueError) as error:
        raise BadSetting(f"{path}: it cannot be read ({type(error).__name__})") from None
    if len(raw) > MAX_VALUE:
        raise BadSetting(f"{path}: it has more than {MAX_VALUE} bytes, and should hold one value")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise BadSetting(f"{path}: it is no UTF-8 text") from None
    return text[:-1].rstrip("\r") if text.endswith("\n") else text


def value(env: Mapping[str, str], name: str, read: Read = read_value) -> str:
    """Of one variable, '' = it is not set. Raises BadSetting."""
    for full in ("KRM_" + name, name):
        plain, path = env.get(full), env.get(full + "_FILE")
        if plain and path:
            raise BadSetting(f"{full} and {full}_FILE are both set: which one is meant?")
        if path:
            found = read(path)
            if not found:
                raise BadSetting(f"{full}_FILE: {path} is empty")
            return found
        if plain:
            return plain
    return ""


class Account(NamedTuple):
    """The POST API's one account. '' = there is none, and `note` may say why."""

    name: str
    password: str
    note: str = ""


def account(env: Mapping[str, str], username: str, password_file: str, read: Read = read_value) -> Account:
    """`username`, `password_file`: of krm's own settings, '' = look at the environment. Raises BadSetting.

    A variable of such a common name that stands alone is somebody else's: it stops nothing, and is told."""
    name = username or value(env, "API_USERNAME", read)
    password = read(password_file) if password_file else value(env, "API_PASSWORD", read)
    if password_file and not password:
        raise BadSetting(f"--api-password-file: {password_file} is empty")
    if name and password:
        return Account(name, password)
    if username or password_file:
        lacking = "--api-password-file or API_PASSWORD" if username else "--api-username or API_USERNAME"
        raise BadSetting(f"the POST API's account needs a name and a password: {lacking} is missing")
    if name or password:
        given, lacking = ("API_USERNAME", "API_PASSWORD") if name else ("API_PASSWORD", "API_USERNAME")
        return Account("", "", f"{given} is set and {lacking} is not: the POST API has no account of them")
    return Account("", "")


def influx_url(env: Mapping[str, str], read: Read = read_value) -> Optional[str]:
    """`influxdb://USER:PASS@HOST:PORT/DB`, each part percent-encoded, for --history; None where INFLUXDB_HOST
    is not set. Raises BadSetting, whose sentence holds no password."""
    host = value(env, "INFLUXDB_HOST", read)
    if not host:
        return None
    if not _HOST(host):
        raise BadSetting(f"INFLUXDB_HOST: {host[:60]!r} is no name of a host and no address")
    told = value(env, "INFLUXDB_PORT", read) or INFLUXDB_PORT
    port = _PORT(told)
    if port is None or not 0 < int(port.group(1)) < 65536:
        raise BadSetting(f"INFLUXDB_PORT: {told[:60]!r} is no port")
    user, password = value(env, "INFLUXDB_USER", read), value(env, "INFLUXDB_PASS", read)
    if password and not user:
        raise BadSetting("INFLUXDB_PASS is set and INFLUXDB_USER is not")
    who = quote(user, safe="") + (":" + quote(password, safe="") if password else "") + "@" if user else ""
    database = quote(value(env, "INFLUXDB_DB", read) or INFLUXDB_DB, safe="")
    return f"influxdb://{who}{f'[{host}]' if ':' in host else host}:{int(port.group(1))}/{database}"
