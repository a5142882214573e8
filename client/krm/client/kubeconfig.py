"""A kubeconfig as the address of a krm server and what it wants to see: URL, CA, token or client certificate.

krm writes its own as JSON; one in YAML is read where PyYAML is installed (the kubernetes package brings it).
"""

from __future__ import annotations

import base64
import binascii
import importlib
import json
import os
import ssl
import stat
import tempfile
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

from krm.client.errors import BadRequest, NeedsPackage
from krm.client.http import tls_context

# Bytes. Those of large fleets have a few hundred KB.
MAX_FILE = 4 * 1024 * 1024


class Access(NamedTuple):
    """Where the server is and how it is spoken to."""

    url: str
    token: str  # '' = none
    context: Optional[ssl.SSLContext]  # None: the URL is plain http
    namespace: Optional[str]  # what a command reads that names none; None = the context names none


def access(path: str, chosen: str = "") -> Access:
    """Of the context that is chosen, else of its current one.

    Raises BadRequest, NeedsPackage. No message holds what the file keeps secret.
    """
    config = _parsed(path)
    context = _named(path, config, "context", chosen or config.get("current-context"))
    cluster = _named(path, config, "cluster", context.get("cluster"))
    user = _named(path, config, "user", context.get("user")) if context.get("user") else {}
    url = cluster.get("server")
    if not isinstance(url, str) or not url:
        raise BadRequest(f"{path}: its context names no server")
    for what in ("exec", "auth-provider", "username"):
        if user.get(what):
            raise BadRequest(f"{path}: krm's client takes a token or a client certificate, and runs no {what}")
    if cluster.get("insecure-skip-tls-verify"):
        raise BadRequest(f"{path}: krm's client does not take a server unchecked: name its CA")
    token = user.get("token") or ""
    if not token and user.get("tokenFile"):
        token = _bytes(path, user["tokenFile"]).decode("ascii", "replace").strip()
    tls = _tls(path, cluster, user) if url.lower().startswith("https:") else None
    return Access(url, str(token), tls, str(context.get("namespace") or "") or None)


def contexts(path: str) -> List[str]:
    """Names, as they stand there. Raises BadRequest, NeedsPackage."""
    return _names(_rows(_parsed(path), "context"))


def _rows(config: Dict[str, Any], what: str) -> List[Any]:
    rows = config.get(what + "s")
    return rows if isinstance(rows, list) else []


def _names(rows: List[Any]) -> List[str]:
    return [str(row["name"]) for row in rows if isinstance(row, dict) and row.get("name")]


def _parsed(path: str) -> Dict[str, Any]:
    raw = _bytes("", path)
    try:
        # JSON has no comments; the line that krm up writes above it is one of YAML's.
        found = json.loads(b"\n".join(line for line in raw.splitlines() if not line.startswith(b"#")))
    except (ValueError, RecursionError):
        found = _of_yaml(path, raw)
    if not isinstance(found, dict):
        raise BadRequest(f"{path} is no kubeconfig")
    return found


def _of_yaml(path: str, raw: bytes) -> Any:
    try:
        yaml = importlib.import_module("yaml")
    except ImportError:
        raise NeedsPackage(
            f"{path} is YAML: pip install pyyaml, or name the server itself (url, ca=, token=)"
        ) from None
    try:
        return yaml.safe_load(raw)
    except (yaml.YAMLError, RecursionError):
        raise BadRequest(f"{path} is no kubeconfig: neither JSON nor YAML") from None


def _named(path: str, config: Dict[str, Any], what: str, name: Any) -> Dict[str, Any]:
    """`clusters: [{name: X, cluster: {...}}]` -> the entry called `name`."""
    rows = _rows(config, what)
    for row in rows:
        if isinstance(row, dict) and row.get("name") == name and isinstance(row.get(what), dict):
            found: Dict[str, Any] = row[what]
            return found
    there = ", ".join(_names(rows)) or "none"
    raise BadRequest(f"{path} has no {what} called {name!r} (there are: {there})")


def _tls(path: str, cluster: Dict[str, Any], user: Dict[str, Any]) -> ssl.SSLContext:
    data = cluster.get("certificate-authority-data")
    if data:
        try:
            context = ssl.create_default_context(cadata=_decoded(path, data).decode("ascii", "replace"))
        except (ssl.SSLError, ValueError):
            raise BadRequest(f"{path}: its certificate-authority-data is no certificate") from None
    else:
        file = cluster.get("certificate-authority")
        context = tls_context(_beside(path, file) if file else "")
    if user.get("client-certificate-data") or user.get("client-certificate"):
        _show_certificate(path, context, user)
    return context


def _show_certificate(path: str, context: ssl.SSLContext, user: Dict[str, Any]) -> None:
    """ssl takes files alone: what stands in the kubeconfig lies in one of ours for as long as it is read."""
    parts = []
    for what in ("client-certificate", "client-key"):
        if user.get(what + "-data"):
            parts.append(_decoded(path, user[what + "-data"]))
        elif user.get(what):
            parts.append(_bytes(path, user[what]))
        else:
            raise BadRequest(f"{path}: a client certificate needs its key, and the key its certificate")
    with tempfile.TemporaryDirectory(prefix="krm-") as folder:  # mode 0700
        file = os.path.join(folder, "pair.pem")
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(b"\n".join(parts))
        try:
            context.load_cert_chain(file)
        except (ssl.SSLError, OSError):
            raise BadRequest(f"{path}: its client certificate and key do not fit together") from None


def _decoded(path: str, data: Any) -> bytes:
    try:
        return base64.b64decode(str(data), validate=False)
    except (binascii.Error, ValueError):
        raise BadRequest(f"{path}: data in it is no base64") from None


def _beside(path: str, file: Any) -> str:
    """A file that the kubeconfig names is meant from where it lies."""
    return str(Path(path).parent / str(file))


def _bytes(path: str, file: Any) -> bytes:
    full = Path(_beside(path, file) if path else str(file))
    try:
        found = full.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_FILE:
            raise BadRequest(f"{full} is no regular file of at most {MAX_FILE} bytes")
        return full.read_bytes()
    except OSError as error:
        raise BadRequest(f"{full} cannot be read: {error.strerror}") from None
