"""The columns of services and endpoints."""

from __future__ import annotations

from typing import Any, Dict, List

from krm.model.cells import (
    MOST,
    NONE,
    UNKNOWN,
    Cell,
    Object,
    Printer,
    age,
    balanced,
    layout,
    more,
    name_of,
    pairs,
    parts,
)
from krm.model.reading import integer, mapping, rows, text, texts


def _service(obj: Object, now: float) -> List[Cell]:
    spec, _ = parts(obj)
    ips = texts(spec.get("clusterIPs")) or texts([spec.get("clusterIP")])
    ports = ",".join([_port(port) for port in rows(spec.get("ports"))])
    return [
        name_of(obj),
        text(spec.get("type")),
        ips[0] if ips else NONE,
        _external(obj),
        ports or NONE,
        age(obj, now),
        pairs(spec.get("selector")),
    ]


def _port(port: Object) -> str:
    node = integer(port.get("nodePort"))
    outside = ":%d" % node if node > 0 else ""
    return "%d%s/%s" % (integer(port.get("port")), outside, text(port.get("protocol")))


def _external(obj: Object) -> str:
    spec, status = parts(obj)
    type_, own = spec.get("type"), texts(spec.get("externalIPs"))
    if type_ in ("ClusterIP", "NodePort"):
        return ",".join(own) or NONE
    if type_ == "LoadBalancer":
        return ",".join([*balanced(status), *own]) or "<pending>"
    return text(spec.get("externalName")) if type_ == "ExternalName" else UNKNOWN


def _typed_service(obj: Object) -> Dict[str, Any]:
    spec, status = parts(obj)
    ports = rows(spec.get("ports"))
    return {
        "type": text(spec.get("type")),
        "cluster_ips": texts(spec.get("clusterIPs")) or texts([spec.get("clusterIP")]),
        "external_ips": [*balanced(status), *texts(spec.get("externalIPs"))],
        "ports": [integer(one.get("port")) for one in ports],
        "selector": {key: text(value) for key, value in mapping(spec.get("selector")).items()},
    }


def _endpoints(obj: Object, now: float) -> List[Cell]:
    subsets = rows(obj.get("subsets"))
    shown = [one for subset in subsets for one in _addresses(subset)]
    return [name_of(obj), more(",".join(shown[:MOST]), len(shown) - MOST) if subsets else NONE, age(obj, now)]


def _addresses(subset: Object) -> List[str]:
    """Those that are ready, at each port."""
    ips, ports = [text(one.get("ip")) for one in rows(subset.get("addresses"))], rows(subset.get("ports"))
    if not ports:
        return ips
    hosts = ["[%s]" % ip if ":" in ip else ip for ip in ips]
    return ["%s:%d" % (host, integer(port.get("port"))) for port in ports for host in hosts]


PRINTERS: Dict[str, Printer] = {
    "endpoints": Printer(layout("Name|Endpoints|Age"), _endpoints),
    "services": Printer(layout("Name|Type|Cluster-IP|External-IP|Port(s)|Age|*Selector"), _service, _typed_service),
}
