"""The columns of ingresses and endpointslices."""

from __future__ import annotations

from typing import Any, Dict, List

from krm.model.cells import NONE, UNSET, Cell, Object, Printer, age, balanced, layout, more, name_of, parts
from krm.model.reading import integer, rows, text, texts

_MOST = 3  # hosts, ports or addresses that one cell shows


def _ingress(obj: Object, now: float) -> List[Cell]:
    spec, status = parts(obj)
    rules = rows(spec.get("rules"))
    class_ = spec.get("ingressClassName")
    hosts = _hosts(rules)
    ports = "80, 443" if rows(spec.get("tls")) else "80"
    address = ",".join(balanced(status))
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
        "addresses": balanced(status),
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
    "ingresses.networking.k8s.io": Printer(layout("Name|Class|Hosts|Address|Ports|Age"), _ingress, _typed_ingress),
    "endpointslices.discovery.k8s.io": Printer(layout("Name|AddressType|Ports|Endpoints|Age"), _slice),
}
