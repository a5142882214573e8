"""`KRMClient(host, port)`: the six calls of the original Kubernetes Resource Monitor's client, on krm's server.

    from krm.client import KRMClient

    with KRMClient("krm.example.com", 8443, ca="ca.crt", token=token) as krm:
        for pod in krm.get_pods(namespace="shop", label_selector="app in (web,api)"):
            print(pod.metadata.name, pod.spec.node_name)

Methods and parameters are the original's. What it lacked: TLS and a token, a deadline, retries of what
passes by itself, errors instead of a broken answer (krm.client.errors), and what the answer is worth.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Optional, Tuple

from krm.client.errors import Damaged, UnknownCluster, UnknownKind
from krm.client.typed import package, typed

if TYPE_CHECKING:
    from krm.client.http import Response

_WARNING = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')


class Answer(List[Any]):
    """A list of V1* objects that says what it is worth. None is unknown."""

    def __init__(self, items: Iterable[Any], headers: Dict[str, str]) -> None:
        super().__init__(items)
        self.state: Optional[str] = _known(headers.get("krm-state"))  # live, stale, forbidden
        self.version: Optional[str] = _known(headers.get("krm-version"))  # INCARNATION:VERSION
        self.resource_version: Optional[str] = _known(headers.get("krm-resource-version"))
        age = _known(headers.get("krm-age-seconds"))
        self.age: Optional[float] = None if age is None else float(age)  # seconds, the most that may be missing
        self.verified_at: Optional[str] = _known(headers.get("krm-verified-at"))  # RFC 3339
        found = _WARNING.findall(headers.get("warning", ""))
        self.warnings: Tuple[str, ...] = tuple(re.sub(r"\\(.)", r"\1", one) for one in found)


class KRMClient:
    """krm's server at one address. For several threads."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        token: str = "",
        ca: str = "",
        tls: Optional[bool] = None,
        cluster: str = "",
        timeout: float = 30.0,
    ) -> None:
        """Sends nothing yet.

        token: bearer token; over TLS, or to this machine, alone. ca: PEM file of the authority that signed
        the server's certificate. tls: default True where ca is given. cluster: default the server's first.
        timeout: seconds a call, its retries included.
        Raises NeedsPackage (kubernetes), BadRequest.
        """
        from krm.client.http import Http, tls_context  # here, since who reads from Redis needs no HTTP

        package("KRMClient")
        self._cluster = cluster
        secure = bool(ca) if tls is None else tls
        name = f"[{host}]" if ":" in host else host
        base = f"/clusters/{cluster}" if cluster else ""
        self._http = Http(
            f"http{'s' if secure else ''}://{name}:{port}{base}",
            token,
            tls_context(ca) if secure else None,
            timeout,
        )

    def __enter__(self) -> KRMClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connections that are kept."""
        self._http.close()

    def get_pods(
        self,
        name: Optional[str] = None,
        namespace: Optional[str] = None,
        node: Optional[str] = None,
        label_selector: Optional[str] = None,
    ) -> Answer:
        """V1Pod objects. node: of spec.nodeName, "" = those that are on none. Raises as every call (see `_get`)."""
        return self._get("/pods", name=name, namespace=namespace, node=node, label_selector=label_selector)

    def get_nodes(self, name: Optional[str] = None, label_selector: Optional[str] = None) -> Answer:
        """V1Node objects."""
        return self._get("/nodes", name=name, label_selector=label_selector)

    def get_services(
        self, name: Optional[str] = None, namespace: Optional[str] = None, label_selector: Optional[str] = None
    ) -> Answer:
        """V1Service objects."""
        return self._get("/services", name=name, namespace=namespace, label_selector=label_selector)

    def get_ingress(
        self, name: Optional[str] = None, namespace: Optional[str] = None, label_selector: Optional[str] = None
    ) -> Answer:
        """V1Ingress objects."""
        return self._get("/ingress", name=name, namespace=namespace, label_selector=label_selector)

    def get_pvcs(
        self, name: Optional[str] = None, namespace: Optional[str] = None, label_selector: Optional[str] = None
    ) -> Answer:
        """V1PersistentVolumeClaim objects."""
        return self._get("/pvcs", name=name, namespace=namespace, label_selector=label_selector)

    def get_deployments(
        self, name: Optional[str] = None, namespace: Optional[str] = None, label_selector: Optional[str] = None
    ) -> Answer:
        """V1Deployment objects."""
        return self._get("/deployments", name=name, namespace=namespace, label_selector=label_selector)

    def _get(self, path: str, **query: Optional[str]) -> Answer:
        """Raises Refused (401, 403), BadRequest, UnknownCluster, UnknownKind, Unreachable, Damaged, BadObject."""
        try:
            response = self._http.get(path, query)
        except UnknownKind as error:
            if self._cluster and self._http.ask("/krm/v1/kinds").status == 404:
                raise UnknownCluster(f"{self._http.name}: this server has no cluster {self._cluster}") from error
            raise
        kind = path[1:]
        return Answer([typed(kind, _key(item), item) for item in self._items(response)], response.headers)

    def _items(self, response: Response) -> List[Dict[str, Any]]:
        try:
            found = json.loads(response.body)
        except (ValueError, RecursionError):
            found = None
        items = found.get("items") if isinstance(found, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise Damaged(f"{self._http.name} answered 200 without a list of items: is it krm's server?")
        return items


def _key(item: Dict[str, Any]) -> str:
    metadata = item.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    return f"{metadata.get('namespace', '')}/{metadata.get('name', '')}"


def _known(text: Optional[str]) -> Optional[str]:
    return None if text in (None, "", "unknown") else text
