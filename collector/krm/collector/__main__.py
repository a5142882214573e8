"""`python -m krm.collector`: what nodes, pods and containers use, from every source that the cluster has."""

from __future__ import annotations

import os
import ssl
import sys
import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Callable, List, Mapping, Optional, Tuple

from krm.cluster.credentials import connect
from krm.cluster.errors import ClusterError
from krm.cluster.requests import Cluster
from krm.collector import certificate
from krm.collector.configured import Configured
from krm.collector.endpoint import Server
from krm.collector.loop import Collector, Endpoint, ease_garbage_collection
from krm.collector.recording import Recording
from krm.collector.seeing import Seeing
from krm.collector.sources import dcgm
from krm.collector.sources.annotated import Reach
from krm.collector.sourcing import SOURCES, Asked, rounds
from krm.collector.streamed import Streamed
from krm.collector.world import World
from krm.model.durations import parse_duration
from krm.stage.classic import influx_url, read_value
from krm.stage.common import Credentials, Process
from krm.stage.runner import Maker
from krm.stage.settings import parse_flag, parse_names, setting
from krm.stage.start import main
from krm.store.connect import Database
from krm.store.errors import BadUrl
from krm.store.history.asked import Recorder
from krm.store.history.backup import copied
from krm.store.history.chosen import Kept, history_of
from krm.store.history.external import ExternalHistory
from krm.store.history.local import LocalHistory
from krm.store.history.outlets import Outward, Several, otlp, remote_write
from krm.store.history.place import is_remote
from krm.store.history.summing import Summing
from krm.store.latest_seen_reader import kills_left
from krm.store.latest_writer import LatestWriter

NO_HISTORY = "none"


def parse_sources(text: str) -> Tuple[str, ...]:
    """Names of sources. Raises ValueError."""
    names = parse_names(text)
    for name in names:
        if name not in SOURCES:
            raise ValueError(f"{name!r} is no source: {', '.join(SOURCES)}")
    return names


@dataclass(frozen=True)
class Settings(Credentials, Process):
    """Measure what nodes, pods and containers use: ask kubelets, metrics-server and others, keep the newest
    values in Redis and a day of them (and 400 days of hourly sums) in a file or a time-series database. The
    streamer, verifier and aggregator of pods and nodes must run: their snapshots say whom to ask."""

    sources: Tuple[str, ...] = setting(
        tuple(SOURCES),
        "Whom to ask: " + ", ".join(f"{name} ({what})" for name, what in SOURCES.items()) + ".",
        parse_sources,
    )
    every: float = setting(4.0, "Seconds between two looks at a /metrics/resource or an agent.", parse_duration)
    processes_every: float = setting(10.0, "Seconds between two looks at an agent's processes.", parse_duration)
    whole_every: float = setting(15.0, "Seconds between two looks at everything else.", parse_duration)
    kubelet_ca: str = setting("", "CAs of the kubelets' certificates, PEM; without one the cluster's own CA.")
    kubelet_insecure: bool = setting(
        False, "Take any certificate of a kubelet, and send it the token all the same.", parse_flag
    )
    scrape_host_network: bool = setting(
        False, "Scrape annotated pods that are on their node's network too.", parse_flag
    )
    scrape_loopback: bool = setting(False, "Scrape pods whose address is this machine: for tests.", parse_flag)
    dcgm_namespaces: Tuple[str, ...] = setting(
        dcgm.NAMESPACES, "Namespaces whose DCGM exporters are believed.", parse_names
    )
    agent_namespace: str = setting("krm-agent", "Namespace of krm's node agents.")
    agent_ca: str = setting("", "CAs of the agents' certificates, PEM.")
    agent_token_file: str = setting("", "File of the token that agents want; without one none is asked.")
    history: str = setting(
        "",
        "Where the history is kept: a file, made where it is missing; influxdb://, influxdb2:// or "
        "victoriametrics:// (docs/history.md); none. Without one: that of INFLUXDB_HOST, else none.",
    )
    remote_write: str = setting("", "URL that what is measured is sent to as Prometheus remote write, too.")
    otlp: str = setting("", "URL that it is sent to as OTLP over HTTP, too.")
    stream_delay_to: str = setting(
        "",
        "Database that stream delays are written to, as --history names one; without one: that of --history, "
        "else of INFLUXDB_HOST.",
    )
    history_spool: str = setting("", "Folder in which writes to such a database wait while it is away.")
    history_address: str = setting("127.0.0.1", "Address that the history is served at, to krm alone.")
    history_port: int = setting(0, "Its port; 0 = any that is free: readers find it in Redis.", int)
    history_token_file: str = setting("", "File of the token that opens it; without one it is not served.")
    history_cert: str = setting("", "Certificate to serve it with, PEM; without one a new one is made.")
    history_key: str = setting("", "Its private key, PEM.")


def build(settings: Settings, database: Database) -> List[Maker]:
    """One loop: it asks, writes and records."""
    ease_garbage_collection()
    cluster = connect(settings.kubeconfig or None, settings.context or None, settings.in_cluster, "collector")
    token = read_value(settings.history_token_file) if settings.history_token_file else ""
    asked = Asked(
        settings.sources, settings.every, settings.whole_every, settings.kubelet_ca, settings.kubelet_insecure,
        Reach(settings.scrape_loopback, settings.scrape_host_network), settings.dcgm_namespaces,
        settings.agent_namespace, settings.agent_ca,
        _agent_token(settings.agent_token_file), settings.processes_every,
    )  # fmt: skip
    return [("measurements", lambda stop: Keeping(settings, database, cluster, asked, token, stop))]


def _agent_token(path: str) -> Optional[Callable[[], str]]:
    """Raises BadSetting where it cannot be read at the start."""
    if not path:
        return None
    read_value(path)
    return partial(read_value, path)


class Keeping:
    """The loop with its history: opened with it, closed with it."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        cluster: Cluster,
        asked: Asked,
        token: str,
        stop: threading.Event,
    ) -> None:
        """Raises NoHistory, OSError, BadUrl: the runner tries again."""
        self._history = _opened(settings)
        self._outward: List[Outward] = []
        self._recording: Optional[Recording] = None
        self._delays: Optional[ExternalHistory] = None  # where they do not go where the history goes
        self._server: Optional[Server] = None
        try:
            self._outward = _outward(settings)
            delays = self._history if isinstance(self._history, ExternalHistory) else None
            if settings.stream_delay_to or delays is None:
                delays = self._delays = _delays_to(settings)
            streamed = None if delays is None else Streamed(database, settings.cluster, delays.write_points)
            recorders: List[Recorder] = [*([] if self._history is None else [self._history]), *self._outward]
            self._recording = Recording(Several(recorders)) if recorders else None
            if self._history is not None and token:
                self._server = _served(settings, self._history, token)
            served = (
                Endpoint("", "") if self._server is None else Endpoint(self._server.address, self._server.digest)
            )
            world = World(database, settings.cluster, settings.namespaces, stop)
            found = rounds(asked, cluster, world)
            seeing = Seeing(
                world, found.pages, lambda: kills_left(database, settings.cluster), asked.agent_namespace
            )
            writer = LatestWriter(database, settings.cluster)
            # Dashboards of a database elsewhere ask for pods as they were written.
            pods_too = bool(recorders) and not isinstance(self._history, LocalHistory)
            self._loop = Collector(
                world,
                found.jobs,
                writer,
                self._recording,
                served,
                settings.every,
                stop,
                pods_too,
                streamed,
                seeing,
                Configured(found.settings),
            )
        except BaseException:
            self._close()
            raise

    def run(self) -> None:
        """Until stopped."""
        try:
            self._loop.run()
        finally:
            self._close()

    def figures(self) -> Mapping[str, Optional[float]]:
        """For /metrics."""
        return self._loop.figures()

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._recording is not None:
            self._recording.close()
        if self._history is not None:
            self._history.close()
        if self._delays is not None:
            self._delays.close(1.0)
        for one in self._outward:
            one.close(1.0)


def _opened(settings: Settings) -> Optional[Kept]:
    url = settings.history or influx_url(os.environ) or NO_HISTORY
    if url == NO_HISTORY:
        return None
    return history_of(url, Path(settings.history_spool or "."))


def _delays_to(settings: Settings) -> Optional[ExternalHistory]:
    """A database for stream delays alone. Raises BadUrl."""
    url = settings.stream_delay_to or influx_url(os.environ)
    if not url:
        return None
    if not is_remote(url):
        raise BadUrl("stream delays go to influxdb://, influxdb2:// or victoriametrics://, not into a file")
    opened = history_of(url, Path(settings.history_spool or ".") / "delays")
    return opened if isinstance(opened, ExternalHistory) else None


def _outward(settings: Settings) -> List[Outward]:
    """Whom it is told beside the history. Raises BadUrl."""
    wanted = [(remote_write, settings.remote_write), (otlp, settings.otlp)]
    made: List[Outward] = []
    try:
        made.extend(make(url) for make, url in wanted if url)
    except BadUrl:
        for one in made:
            one.close(0.0)
        raise
    return made


def _served(settings: Settings, history: Kept, token: str) -> Server:
    if settings.history_cert:
        serving = certificate.given(settings.history_cert, settings.history_key)
    else:
        try:
            serving = certificate.made()
        except ImportError:
            raise ValueError(
                "the history is not served without a certificate: give --history-cert and --history-key, or "
                "pip install 'krm[collector]'"
            ) from None
    where = (settings.history_address, settings.history_port)
    return Server(Summing(history), _copy_of(history), token, serving, where)


def _copy_of(history: Kept) -> Optional[Callable[[], AbstractContextManager[BinaryIO]]]:
    """A database elsewhere has backups of its own."""
    if not isinstance(history, LocalHistory):
        return None
    path = history.path
    return lambda: copied(path)


if __name__ == "__main__":
    sys.exit(main("collector", Settings, build, (ClusterError, ssl.SSLError)))
