"""The columns of networking.k8s.io and discovery.k8s.io."""

from __future__ import annotations

from typing import Any, Dict, List

from krm.model.cells import (
    MOST,
    NONE,
    Cell,
    Object,
    Printer,
    age,
    balanced,
    cut,
    given,
    layout,
    more,
    name_of,
    named_default,
    parts,
    selector,
)
from krm.model.reading import integer, mapping, rows, text, texts

_DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"


def _ingress(obj: Object, now: float) -> List[Cell]:
    spec, status = parts(obj)
    rules = rows(spec.get("rules"))
    hosts = _hosts(rules)
    ports = "80, 443" if rows(spec.get("tls")) else "80"
    address = ",".join(balanced(status))
    return [name_of(obj), given(spec.get("ingressClassName"), NONE), hosts, address, ports, age(obj, now)]


def _hosts(rules: List[Object]) -> str:
    shown: List[str] = []
    full = False
    for rule in rules:
        full = full or len(shown) == MOST
        if not full and text(rule.get("host")):
            shown.append(text(rule.get("host")))
    # The count is of rules, hosts left out or not: so the API server has it.
    return more(",".join(shown) or "*", len(rules) - MOST if full else 0)


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
    return [name_of(obj), text(obj.get("addressType")), cut(ports), cut(addresses), age(obj, now)]


def _slice_port(port: Object) -> str:
    number, name = port.get("port"), port.get("name")
    return str(integer(number)) if number is not None else name if isinstance(name, str) else "*"


def _ingress_class(obj: Object, now: float) -> List[Cell]:
    spec, _ = parts(obj)
    return [
        named_default(obj, _DEFAULT_CLASS),
        text(spec.get("controller")),
        _parameters(spec.get("parameters")),
        age(obj, now),
    ]


def _parameters(found: Any) -> str:
    if not isinstance(found, dict):
        return NONE
    group = found.get("apiGroup")
    kind = text(found.get("kind")) + (".%s" % group if isinstance(group, str) else "")
    return "%s/%s" % (kind, text(found.get("name")))


def _policy(obj: Object, now: float) -> List[Cell]:
    spec, _ = parts(obj)
    return [name_of(obj), selector(mapping(spec.get("podSelector"))), age(obj, now)]


def _service_cidr(obj: Object, now: float) -> List[Cell]:
    spec, _ = parts(obj)
    return [name_of(obj), ",".join(texts(spec.get("cidrs"))), age(obj, now)]


def _ip_address(obj: Object, now: float) -> List[Cell]:
    """With the age, for which the API server names no column: kubectl leaves it out."""
    spec, _ = parts(obj)
    return [name_of(obj), _parent(spec.get("parentRef")), age(obj, now)]


def _parent(found: Any) -> str:
    if not isinstance(found, dict):
        return NONE
    group, namespace = text(found.get("group")), text(found.get("namespace"))
    resource = text(found.get("resource")) + (".%s" % group if group else "")
    return "/".join([resource.lower(), *([namespace] if namespace else []), text(found.get("name"))])


PRINTERS: Dict[str, Printer] = {
    "ingresses.networking.k8s.io": Printer(layout("Name|Class|Hosts|Address|Ports|Age"), _ingress, _typed_ingress),
    "endpointslices.discovery.k8s.io": Printer(layout("Name|AddressType|Ports|Endpoints|Age"), _slice),
    "ingressclasses.networking.k8s.io": Printer(layout("Name|Controller|Parameters|Age"), _ingress_class),
    "networkpolicies.networking.k8s.io": Printer(layout("Name|Pod-Selector|Age"), _policy),
    "servicecidrs.networking.k8s.io": Printer(layout("Name|CIDRs|Age"), _service_cidr),
    "ipaddresses.networking.k8s.io": Printer(layout("Name|ParentRef"), _ip_address),
}
