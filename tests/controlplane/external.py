"""A cluster that somebody else runs, named by the kubeconfig in $KRM_TEST_KUBECONFIG."""

import base64
import importlib
import json
import tempfile
from pathlib import Path
from typing import List, Optional, Tuple

from controlplane.kubeapi import Json, KubeClient


class ExternalCluster:
    """The part of ControlPlane that a foreign cluster can offer: its only user is the kubeconfig's.

    Credentials may be a token or a client certificate. Keys that the kubeconfig holds inline are
    written to a folder of mode 0700, removed by close(): Python's ssl takes files only.
    """

    def __init__(self, path: Path) -> None:
        config = read_kubeconfig(path)
        context = named(config["contexts"], config["current-context"])["context"]
        cluster = named(config["clusters"], context["cluster"])["cluster"]
        user = named(config["users"], context["user"])["user"]
        if "exec" in user or "auth-provider" in user:
            raise ValueError(f"{path}: users that need a program to run are not supported")
        self._path = path
        self._folder = tempfile.TemporaryDirectory(prefix="krm-external-")
        self.url: str = cluster["server"]
        self.ca_file = self._file(cluster, "certificate-authority")
        certificate, key = self._file(user, "client-certificate"), self._file(user, "client-key")
        pair: Optional[Tuple[Path, Path]] = (certificate, key) if certificate and key else None
        self.admin = KubeClient(self.url, self.ca_file, user.get("token"), pair)

    def kubeconfig(self, user: str) -> Path:
        if user != "admin":
            raise KeyError(f"an external cluster has no user {user!r}, only admin")
        return self._path

    def close(self) -> None:
        self._folder.cleanup()

    def _file(self, section: Json, key: str) -> Optional[Path]:
        """The file `key` names, or one with what `key`-data holds, or None. Names count from the kubeconfig."""
        if f"{key}-data" in section:
            path = Path(self._folder.name) / key
            path.write_bytes(base64.b64decode(section[f"{key}-data"]))
            return path
        return self._path.parent / section[key] if key in section else None


def named(entries: List[Json], name: str) -> Json:
    for entry in entries:
        if entry["name"] == name:
            return entry
    raise ValueError(f"the kubeconfig names {name!r} and does not hold it")


def read_kubeconfig(path: Path) -> Json:
    """A kubeconfig in JSON, or in YAML where a YAML reader is installed."""
    text = path.read_text()
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = importlib.import_module("yaml").safe_load(text)
    if not isinstance(parsed, dict):
        raise ValueError(f"{path}: not a kubeconfig")
    return parsed
