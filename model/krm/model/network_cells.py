"""The columns of services, ingresses and endpointslices."""

from __future__ import annotations

from typing import Any, Dict, List

from krm.model.cells import NONE, UNKNOWN, UNSET, Cell, Object, Printer, age, layout, more, name_of, pairs, parts
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


def _balancer(status: Object) -> List[str]:
    points = rows(mapping(status.get("loadBalancer")).get("ingress"))
    return sorted({text(one.get("ip")) or text(one.get("hostname")) for one in points} - {""})


def _external(obj: Object) -> str:
    spec, status = parts(obj)
    type_, own = spec.get("type"), texts(spec.get("externalIPs"))
    if type_ in ("ClusterIP", "NodePort"):
        return ",".join(own) or NONE
    if type_ == "LoadBalancer":
        return ",".join([*_balancer(status), *own]) or "<pending>"
    return text(spec.get("externalName")) if type_ == "ExternalName" else UNKNOWN


def _typed_service(obj: Object) -> Dict[str, Any]:
    spec, status = parts(obj)
    ports = rows(spec.get("ports"))
    return {
        "type": text(spec.get("type")),
        "cluster_ips": texts(spec.get("clusterIPs")) or texts([spec.get("clusterIP")]),
        "external_ips": [*_balancer(status), *texts(spec.get("externalIPs"))],
        "ports": [integer(one.get("port")) for one in ports],
        "selector": {key: text(value) for key, value in mapping(spec.get("selector")).items()},
    }


_MOST = 3  # hosts, ports or addresses that one cell shows


def _ingress(obj: Object, now: float) -> List[Cell]:
    spec, status = parts(obj)
    rules = rows(spec.get("rules"))
    class_ = spec.get("ingressClassName")
    hosts = _hosts(rules)
    ports = "80, 443" if rows(spec.get("tls")) else "80"
    address = ",".join(_balancer(status))
    return [name_of(obj), class_ if isinstance(class_, str) else NONE, hosts, address, ports, age(obj, now)]


def _hosts(rules: List[Object]) -> str:
    shown: List[str] = []
    cut = False
    for rule in rules:
        cut = cut or len(shown) == _MOST
        if not cut and text(rule.get("host")):
            shown.append(text(rule.get("host")))
    # The count is of rules, hosts left out or not: so the API server has it.
    return more(",".join(shown) or "*", len(rules) - _MOST if cut else 0)


def _typed_ingress(obj: Object) -> Dict[str, Any]:
    spec, status = parts(obj)
    hosts = [text(rule.get("host")) for rule in rows(spec.get("rules"))]
    return {
        "class": text(spec.get("ingressClassName")) or None,
        "hosts": [host for host in hosts if host],
        "addresses": _balancer(status),
        "tls": bool(rows(spec.get("tls"))),
    }


def _slice(obj: Object, now: float) -> List[Cell]:
    ports = [_slice_port(port) for port in rows(obj.get("ports"))]
    addresses = [one for endpoint in rows(obj.get("endpoints")) for one in texts(endpoint.get("addresses"))]
    return [name_of(obj), text(obj.get("addressType")), _cut(ports), _cut(addresses), age(obj, now)]


def _slice_port(port: Object) -> str:
    number, name = port.get("port"), port.get("name")
    return str(integer(number)) if number is not None else name if isinstance(name, str) else "*"


def _cut(shown: List[str]) -> str:
    return more(",".join(shown[:_MOST]) or UNSET, len(shown) - _MOST)


PRINTERS: Dict[str, Printer] = {
    "services": Printer(layout("Name|Type|Cluster-IP|External-IP|Port(s)|Age|*Selector"), _service, _typed_service),
    "ingresses.networking.k8s.io": Printer(layout("Name|Class|Hosts|Address|Ports|Age"), _ingress, _typed_ingress),
    "endpointslices.discovery.k8s.io": Printer(layout("Name|AddressType|Ports|Endpoints|Age"), _slice),
}
