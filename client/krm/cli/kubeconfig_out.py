"""The kubeconfig that `krm up` writes: a context a cluster, readable by its owner alone."""

from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path
from typing import Any, Dict, List, NamedTuple
from urllib.parse import quote

from krm.client.errors import BadRequest

MARK = "# Written by krm up, which takes it away again when it ends.\n"


class Entry(NamedTuple):
    """One cluster of the file."""

    cluster: str
    url: str
    token: str

    @property
    def context(self) -> str:
        """The name of its cluster, user and context."""
        return f"krm-{self.cluster}"


def server_url(base: str, cluster: str, first: bool) -> str:
    """Where a server answers for this cluster: the first is at the root."""
    # Slashes stay: a client would decode and join %2F anyway, and the server knows the names that hold some.
    return base if first else f"{base}/clusters/{quote(cluster, safe='/:@')}"


def text(entries: List[Entry], ca: bytes) -> str:
    """JSON, so that krm's own client reads it without PyYAML; below a comment it is YAML too, which kubectl reads.

    The first entry's context is the current one.
    """
    data = base64.b64encode(ca).decode()
    clusters, users, contexts = [], [], []
    for one in entries:
        cluster: Dict[str, Any] = {"server": one.url, "certificate-authority-data": data}
        clusters.append({"name": one.context, "cluster": cluster})
        users.append({"name": one.context, "user": {"token": one.token}})
        contexts.append({"name": one.context, "context": {"cluster": one.context, "user": one.context}})
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": clusters,
        "users": users,
        "contexts": contexts,
        "current-context": entries[0].context,
    }
    return MARK + json.dumps(content, indent=2) + "\n"


def require_free(path: Path) -> None:
    """A file of somebody's own is never written over. Raises BadRequest."""
    try:
        found = path.lstat()
        if stat.S_ISREG(found.st_mode):
            with open(str(path), "rb") as file:
                if file.read(len(MARK)) in (b"", MARK.encode()):
                    return
    except FileNotFoundError:
        if path.parent.is_dir():
            return
        raise BadRequest(f"--kubeconfig-out {path}: there is no folder {path.parent}") from None
    except OSError as error:
        raise BadRequest(f"--kubeconfig-out {path}: {error.strerror}") from None
    raise BadRequest(f"--kubeconfig-out {path} is there and was not written by krm up: name another file")


def write_private(path: Path, content: bytes) -> None:
    """The whole file at once, mode 0600. Raises OSError."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(str(new), flags, 0o600), "wb") as file:
        file.write(content)
    os.replace(str(new), str(path))
