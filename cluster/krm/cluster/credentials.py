"""Who krm is to an API server: kubeconfig or service account, through the official kubernetes package.

The package makes TLS settings and tokens (contexts, certificates, token files, exec plugins, in-cluster
rotation) and owns the connection pool; it is imported here and nowhere else, inside the functions that
need it, for it takes most of a second. Works from 24.2 to 37: what krm touches of it are
`load_kube_config`, `load_incluster_config`, `ApiClient.update_params_for_auth` (see requests.py) and
`rest_client.pool_manager`.
"""

from __future__ import annotations

import importlib
import os
import socket
import stat
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from krm.cluster.errors import Unauthorized
from krm.cluster.requests import Cluster

DEFAULT_KUBECONFIG = "~/.kube/config"
IN_CLUSTER_NAME = "in-cluster"
# Bytes of a kubeconfig, token, key or certificate file: a kubeconfig of 500 clusters has about 2 MiB.
MAX_FILE = 4 * 1024 * 1024
# Where the entries of a kubeconfig name files.
_FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")

# A half-open connection (a NAT that forgot it, a node that lost power) is found within 60 s idle,
# within 45 s with bytes on the way. Idle s, interval s, probes; then milliseconds.
KEEPALIVE = (30, 10, 3)
USER_TIMEOUT_MS = 45_000
# Idle connections kept: a list and a probe for each of some 30 kinds. Watches do not count.
POOL = 64


class Context(NamedTuple):
    """What a kubeconfig says of one context."""

    name: str
    cluster: str
    plugin: bool  # the user's credentials come from an exec plugin


def connect(
    kubeconfig: Optional[str] = None,
    context: Optional[str] = None,
    in_cluster: bool = False,
    stage: str = "cluster",
) -> Cluster:
    """The API server that kubectl would speak to, or the pod's own with `in_cluster`.

    `kubeconfig`: one path or several with ':' between; None = KUBECONFIG, then ~/.kube/config; where
    neither is there and this is a pod, its service account. Raises Unauthorized, in a sentence, for
    whatever is wrong with the credentials. Nothing is sent yet.
    """
    _package()
    paths = kubeconfig or os.environ.get("KUBECONFIG") or DEFAULT_KUBECONFIG
    given = bool(kubeconfig or context or os.environ.get("KUBECONFIG"))
    pod = "KUBERNETES_SERVICE_HOST" in os.environ and not os.path.exists(os.path.expanduser(paths))
    if in_cluster or (pod and not given):
        client = _in_cluster_client()
        return Cluster(IN_CLUSTER_NAME, client.configuration.host, _first(client, _in_cluster_client), stage)
    chosen = _read_context(paths, context)

    def make() -> Any:
        return _kubeconfig_client(paths, chosen)

    client = make()
    return Cluster(chosen.cluster, client.configuration.host, _first(client, make), stage)


def _first(client: Any, make: Any) -> Any:
    """`make`, whose first result is at hand already: an exec plugin may be slow or ask a person."""
    ready = [client]
    return lambda: ready.pop() if ready else make()


def _package() -> Any:
    """The kubernetes package (typed from 36 on, untyped before)."""
    try:
        return importlib.import_module("kubernetes")
    except ImportError:
        raise Unauthorized(
            "no API server can be reached without the kubernetes package: pip install 'krm[cluster]'"
        ) from None


def _in_cluster_client() -> Any:
    kubernetes = _package()
    settings = kubernetes.client.Configuration()
    try:
        kubernetes.config.load_incluster_config(client_configuration=settings)
    except (kubernetes.config.ConfigException, OSError) as error:
        raise Unauthorized(
            f"no service account could be read ({type(error).__name__}): "
            "run in a pod with automountServiceAccountToken, or give --kubeconfig"
        ) from None
    return _prepared(kubernetes.client.ApiClient(settings))


def _kubeconfig_client(paths: str, context: Context) -> Any:
    kubernetes = _package()
    settings = kubernetes.client.Configuration()
    try:
        kubernetes.config.load_kube_config(
            config_file=paths, context=context.name, client_configuration=settings, persist_config=False
        )
    except Exception as error:  # noqa: BLE001 - yaml, base64, os and package errors, whose text may hold a token
        raise Unauthorized(
            f"the credentials of context {context.name} could not be read ({type(error).__name__}): "
            "check its user and cluster in the kubeconfig"
        ) from None
    # The package logs a failed plugin and goes on as nobody, which ends in a 403 for system:anonymous.
    if context.plugin and not (settings.api_key or settings.cert_file):
        raise Unauthorized(
            f"the exec plugin of context {context.name} gave no credentials: "
            "run `kubectl get --raw /version` with that context to see its complaint"
        )
    return _prepared(kubernetes.client.ApiClient(settings))


def _prepared(client: Any) -> Any:
    """The client with krm's socket options and pool size, set before its pool has a connection."""
    client.rest_client.pool_manager.connection_pool_kw.update(socket_options=_socket_options(), maxsize=POOL)
    return client


def _socket_options() -> List[Tuple[int, int, int]]:
    idle, interval, probes = KEEPALIVE
    options = [
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),  # urllib3's own default, which a list replaces
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, probes),
    ]
    # macOS calls the idle time TCP_KEEPALIVE and has no user timeout.
    for name, value in (("TCP_KEEPIDLE", idle), ("TCP_USER_TIMEOUT", USER_TIMEOUT_MS)):
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options


def _read_context(paths: str, context: Optional[str]) -> Context:
    """The context as kubectl picks it: of several files the first that names one wins (the package's last does)."""
    documents = _read_files(paths)
    current = [str(document["current-context"]) for document in documents if document.get("current-context")]
    name = context or (current[0] if current else "")
    if not name:
        raise Unauthorized(f"{paths} names no current context: give --context")
    found = _entry(documents, "contexts", name)
    if found is None:
        raise Unauthorized(f"context {name!r} is not in {paths}: `kubectl config get-contexts` lists them")
    body = found.get("context")
    cluster = body.get("cluster") if isinstance(body, dict) else None
    if not isinstance(body, dict) or not isinstance(cluster, str):
        raise Unauthorized(f"context {name!r} of {paths} names no cluster: correct the kubeconfig")
    user = (_entry(documents, "users", body.get("user")) or {}).get("user")
    _require_files((_entry(documents, "clusters", cluster) or {}).get("cluster"), paths)
    _require_files(user, paths)
    plugin = isinstance(user, dict) and "exec" in user and not (user.get("token") or user.get("tokenFile"))
    return Context(name, cluster, plugin)


def _require_files(settings: Any, paths: str) -> None:
    """What a cluster or a user names, by the paths of `_FILES`, relative to the kubeconfig that holds it."""
    folders = [os.path.dirname(os.path.expanduser(path)) for path in paths.split(os.pathsep) if path]
    for name in _FILES:
        path = settings.get(name) if isinstance(settings, dict) else None
        for folder in folders if isinstance(path, str) else ():
            _require_file(os.path.join(folder, str(path)))


def _require_file(path: str) -> None:
    """Raises Unauthorized for what would never end when it is read: a FIFO holds the process, a device
    fills its memory. What is missing is told by whoever reads it."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return
    if not stat.S_ISREG(found.st_mode):
        raise Unauthorized(f"{path} is no regular file: krm reads credentials from files alone")
    if found.st_size > MAX_FILE:
        raise Unauthorized(f"{path} has {found.st_size} bytes: no file of credentials is larger than {MAX_FILE}")


def _read_files(paths: str) -> List[Dict[str, Any]]:
    yaml: Any = importlib.import_module("yaml")  # comes with the kubernetes package
    documents: List[Dict[str, Any]] = []
    there: List[str] = []
    for path in filter(None, paths.split(os.pathsep)):
        _require_file(os.path.expanduser(path))
        try:
            with open(os.path.expanduser(path), encoding="utf-8") as file:
                document = yaml.safe_load(file)
        except FileNotFoundError:
            continue  # as kubectl: a list of files may name some that are not there
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise Unauthorized(f"{path} could not be read as a kubeconfig ({type(error).__name__})") from None
        there.append(path)
        if isinstance(document, dict):
            documents.append(document)
    if there and not documents:
        raise Unauthorized(
            f"{', '.join(there)} is no kubeconfig: that is a YAML or JSON object with clusters and users"
        )
    if not documents:
        raise Unauthorized(f"no kubeconfig at {paths}: give --kubeconfig, or --in-cluster within a pod")
    return documents


def _entry(documents: List[Dict[str, Any]], section: str, name: Any) -> Optional[Dict[str, Any]]:
    """The first entry of that name, as kubectl merges files."""
    for document in documents:
        for entry in document.get(section) or []:
            if isinstance(entry, dict) and entry.get("name") == name:
                return entry
    return None
