"""Pods that ask to be scraped, and where they may be asked. Pure.

    prometheus.io/scrape: "true"      prometheus.io/port: "8080", else the one port that the pod declares
    prometheus.io/path: /metrics      prometheus.io/scheme: http or https
    krm.io/request-rate, krm.io/response-time, krm.io/queue-depth: a counter, a histogram, a gauge (see app.py)

Whoever may annotate a pod chooses what krm asks for, so an annotation reaches no further than the pod: its
own address, never one of a node, of the host itself, of a link or of a cloud's metadata service.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Callable, Dict, FrozenSet, Iterable, List, NamedTuple, Optional, Union

from krm.collector.facts import PodFacts
from krm.collector.source import NoData, Target

SCRAPE, PORT, PATH, SCHEME = ("prometheus.io/" + name for name in ("scrape", "port", "path", "scheme"))
_DEFAULT_PATH = "/metrics"
_IS_PATH = re.compile(r"/(?!/)[A-Za-z0-9/_.~%:,;=&?+-]{0,255}").fullmatch
_IS_PORT = re.compile(r"[0-9]{1,5}").fullmatch
_TRUE = frozenset({"true", "True", "1"})
_Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
# Metadata services that no flag of an address tells: AWS over IPv6, Alibaba, Oracle.
_METADATA = frozenset(map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200", "192.0.0.192")))
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # an IPv4 address in its last 32 bits


class Reach(NamedTuple):
    """What may be asked beyond a pod's own address."""

    loopback: bool = False  # for tests on one machine
    host_network: bool = False  # pods whose address is their node's


def scrape_targets(pods: Iterable[PodFacts]) -> Dict[str, Target]:
    """name -> target, of the pods that ask for it and run. Where each may be asked is looked at when it is."""
    wanted = (pod for pod in pods if pod.annotations.get(SCRAPE) in _TRUE and pod.running)
    return {target.name: target for target in map(pod_target, wanted)}


def pod_target(pod: PodFacts) -> Target:
    """A pod as something to ask."""
    name = f"pod {pod.namespace}/{pod.name}"
    return Target(name=name, node=pod.node, namespace=pod.namespace, pod=pod.name, uid=pod.uid)


def alive(look: Callable[[str, str], Optional[PodFacts]], target: Target) -> PodFacts:
    """The pod that a target is, as it is now. `look`: (namespace, name) -> the pod. Raises NoData."""
    pod = look(target.namespace, target.pod)
    if pod is None or pod.uid != target.uid:
        raise NoData("there is no such pod any more")
    return pod


def scrape_url(pod: PodFacts, reach: Reach, nodes: FrozenSet[str]) -> str:
    """`nodes`: the addresses of all nodes. Raises NoData where the pod cannot or must not be asked."""
    scheme = pod.annotations.get(SCHEME) or "http"
    if scheme not in ("http", "https"):
        raise NoData("%s is %.40r: http or https is meant" % (SCHEME, scheme))
    path = pod.annotations.get(PATH) or _DEFAULT_PATH
    if not _IS_PATH(path):
        raise NoData("%s %.80r is no path of a URL" % (PATH, path))
    return own_url(pod, reach, nodes, scheme, _port(pod), path)


def own_url(pod: PodFacts, reach: Reach, nodes: FrozenSet[str], scheme: str, port: int, path: str) -> str:
    """A URL at the pod's own address, where that may be asked. Raises NoData."""
    try:
        address = ipaddress.ip_address(pod.ip)
    except ValueError:
        raise NoData("its podIP %.40r is no address" % pod.ip) from None
    if pod.host_network:
        if not reach.host_network:
            raise NoData("it is on its node's network: scraping such pods must be allowed (--scrape-host-network)")
    elif pod.ip in nodes:
        raise NoData(f"its podIP {pod.ip} is the address of a node")
    for one in _meant(address):
        _check(one, pod.ip, reach)
    host = f"[{address}]" if address.version == 6 else str(address)
    return f"{scheme}://{host}:{port}{path}"


def _meant(address: _Address) -> List[_Address]:
    """The address, and the one that it may stand for."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    within = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        within.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [address, *(one for one in within if one is not None)]


def _check(address: _Address, told: str, reach: Reach) -> None:
    if address.is_loopback and not reach.loopback:
        raise NoData(f"its podIP {told} is this machine itself")
    if address.is_link_local or address in _METADATA:
        raise NoData(f"its podIP {told} is of a link or of a cloud's metadata service")
    if address.is_multicast or address.is_unspecified or (address.version == 4 and address.is_reserved):
        raise NoData(f"its podIP {told} is no address of a pod")


def _port(pod: PodFacts) -> int:
    told = pod.annotations.get(PORT)
    if not told:
        if not pod.port:
            raise NoData(f"it has no annotation {PORT}, and does not declare just one port")
        return pod.port
    if not _IS_PORT(told) or not 0 < int(told) < 65536:
        raise NoData("%s %.40r is no port" % (PORT, told))
    return int(told)
