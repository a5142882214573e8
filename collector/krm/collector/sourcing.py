"""The sources by name: the doors that they ask through, and whom."""

from __future__ import annotations

import logging
import threading
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

from krm.cluster import endpoints
from krm.cluster.endpoints import Endpoints, Identity, Trust
from krm.cluster.requests import Cluster
from krm.collector import targets
from krm.collector.rounds import Pages, Round, Rounds
from krm.collector.source import Target
from krm.collector.sources import agent_seen, configz, dcgm
from krm.collector.sources.agent import Agents, agent_targets
from krm.collector.sources.agent_seen import AgentPages
from krm.collector.sources.annotated import Reach, scrape_targets
from krm.collector.sources.cadvisor import Cadvisor
from krm.collector.sources.configz import Configz
from krm.collector.sources.dcgm import Gpus, exporters
from krm.collector.sources.metrics_server import MetricsServer
from krm.collector.sources.resource import Resource
from krm.collector.sources.scraping import Scraper, through
from krm.collector.sources.summary import Summary
from krm.collector.world import World
from krm.stage.settings import BadSetting

RESOURCE, CADVISOR, SUMMARY, CONFIGZ, METRICS, APP, DCGM, AGENT = (
    "kubelet", "cadvisor", "summary", "configz", "metrics.k8s.io", "app", "dcgm", "agent",
)  # fmt: skip
# Name -> what it is, for --help.
SOURCES: Dict[str, str] = {
    RESOURCE: "/metrics/resource of kubelets",
    CADVISOR: "/metrics/cadvisor of kubelets",
    SUMMARY: "/stats/summary of kubelets",
    CONFIGZ: "/configz of kubelets, for eviction thresholds",
    METRICS: "metrics-server, for what no kubelet tells",
    APP: "pods annotated prometheus.io/scrape",
    DCGM: "NVIDIA's DCGM exporters",
    AGENT: "krm's node agents",
}

log = logging.getLogger("krm")


class Asked(NamedTuple):
    """How sources are wished for. Times in seconds."""

    names: Tuple[str, ...]
    every: float  # of /metrics/resource and agents
    whole_every: float  # of all others
    kubelet_ca: str = ""
    kubelet_insecure: bool = False
    reach: Reach = Reach()
    dcgm_namespaces: Tuple[str, ...] = dcgm.NAMESPACES
    agent_namespace: str = "krm-agent"
    agent_ca: str = ""
    agent_token: Optional[Callable[[], str]] = None  # as its file has it now; None = agents are not asked
    processes_every: float = 10.0


def rounds(asked: Asked, cluster: Cluster, world: World) -> Rounds:
    """Those that are asked for."""
    kubelet = endpoints.kubelets(
        cluster, asked.kubelet_ca, verify=not asked.kubelet_insecure, token_unverified=asked.kubelet_insecure
    )
    pods = through(Endpoints(Trust()))
    found: List[Round] = []
    settings: Optional[Configz] = None
    for name in asked.names:
        if name == RESOURCE:
            found.append(Round(Resource(kubelet), _kubelets, asked.every))
        elif name == CADVISOR:
            found.append(Round(Cadvisor(kubelet), _kubelets, asked.whole_every))
        elif name == SUMMARY:
            found.append(Round(Summary(kubelet), _kubelets, asked.whole_every))
        elif name == CONFIGZ:
            settings = Configz(kubelet)
            found.append(Round(settings, _kubelets, configz.EVERY))
        elif name == METRICS:
            found.append(Round(MetricsServer(cluster), _cluster, asked.whole_every))
        elif name == APP:
            scraper = Scraper(world.look, pods, world.addresses, asked.reach)
            found.append(Round(scraper, lambda world: scrape_targets(world.facts()), asked.whole_every))
        elif name == DCGM:
            gpus = Gpus(world.look, pods, world.addresses, asked.reach, asked.dcgm_namespaces)
            found.append(Round(gpus, lambda world: exporters(world.facts()), asked.whole_every))
    if AGENT not in asked.names or asked.agent_token is None:
        return Rounds(found, settings=settings)
    door = Endpoints(Trust(asked.agent_ca), Identity(_Token(asked.agent_token)))
    agents = Agents(door, world.look, world.facts_of, world.addresses, asked.reach)
    of_pods = (door, world.look, world.had_by, world.addresses, asked.reach)
    pages = Pages(
        AgentPages(agent_seen.PROCESSES, agent_seen.PROCESSES_PATH, agent_seen.processes_of, *of_pods),
        asked.processes_every,
        AgentPages(agent_seen.KILLS, agent_seen.KILLS_PATH, agent_seen.kills_of, *of_pods),
        asked.every,
    )

    def nodes(world: World) -> Dict[str, Target]:
        return agent_targets(world.facts(), asked.agent_namespace)

    found += [
        Round(agents, nodes, asked.every),
        Round(pages.processes, nodes, pages.processes_every),
        Round(pages.kills, nodes, pages.kills_every),
    ]
    return Rounds(found, pages, settings)


class _Token:
    """The agents' token: read when it is first needed, and anew where an agent does not take it any more."""

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read
        self._header = ""
        self._lock = threading.Lock()

    def __call__(self, refused: str) -> str:
        """The Authorization header; `refused`: the one that was answered 401, '' = none was."""
        with self._lock:
            if self._header in ("", refused):
                try:
                    self._header = f"Bearer {self._read()}"
                except BadSetting as error:
                    log.warning("the agents' token: %s", error)
            return self._header


def _kubelets(world: World) -> Dict[str, Target]:
    return targets.kubelets(kept.facts for kept in world.all_nodes())


def _cluster(_: World) -> Dict[str, Target]:
    return {"": targets.CLUSTER}
