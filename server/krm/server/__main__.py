"""`python -m krm.server`: what krm keeps, over HTTP, to everyone with the rights to read it."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import signal
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Callable, List, Optional, Tuple

from krm.server.accounts import Accounts, BadAccounts
from krm.server.app import App
from krm.server.audit import Audit, CannotWrite
from krm.server.bill_api import BillApi
from krm.server.classic import Classic
from krm.server.gates import CHOICES, BadGate, Gates, GateSettings
from krm.server.hub import Hub
from krm.server.identity import Gate
from krm.server.kept import Kept
from krm.server.metrics import Metrics
from krm.server.original import Original
from krm.server.own_routes import own_routes
from krm.server.past import Past
from krm.server.routes import Route
from krm.server.seen_api import SeenApi, SeenReads
from krm.server.serving import Serving
from krm.server.streams import Streams
from krm.server.tls import BadCertificates, Certificates
from krm.server.usage_api import UsageApi
from krm.stage.classic import account, read_value
from krm.stage.common import LEVELS
from krm.stage.runner import configure_logging, die_with_parent
from krm.stage.settings import (
    BadSetting,
    parse_choice,
    parse_flag,
    parse_listed,
    parse_names,
    parse_settings,
    setting,
)
from krm.store.bills import Bills
from krm.store.connect import connect
from krm.store.errors import StoreError
from krm.store.history.collected import Collected
from krm.store.history.remote import RemoteHistory

if TYPE_CHECKING:
    from krm.server.listening import Port

# Packages of the extra `server` without which nothing is served.
NEEDS = ("uvicorn", "starlette")
# Seconds for which a stopping server still answers, /readyz with 503: so long others are told to ask elsewhere.
LINGER = 1.0

log = logging.getLogger("krm.server")


def _mebibytes(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is no number of MiB")
    return int(text)


@dataclass(frozen=True)
class Settings:
    """Serve what krm keeps as the Kubernetes API does: kubectl, client libraries and curl read it unchanged."""

    redis: str = setting("redis://127.0.0.1:6379/0", "URL of the Redis.")
    cluster: Tuple[str, ...] = setting(
        ("default",), "Clusters, the first is served at /, each at /clusters/NAME/.", parse_listed
    )
    address: str = setting("127.0.0.1", "Address to listen on.")
    port: int = setting(8443, "Port to listen on.", int)
    tls_cert: str = setting("", "Certificate chain to serve with, PEM; read anew when it changes.")
    tls_key: str = setting("", "Its private key, PEM, without a passphrase.")
    client_ca: str = setting("", "CAs whose client certificates are taken, PEM; they are asked for, not demanded.")
    health_port: int = setting(0, "Port of /livez and /readyz beside the first, plain HTTP; 0 = none.", int)
    health_address: str = setting("127.0.0.1", "Address that this port is bound to.")
    metrics_port: int = setting(0, "Port of /metrics of all clusters, plain HTTP, open to all; 0 = none.", int)
    metrics_address: str = setting("127.0.0.1", "Address that this port is bound to.")
    auth: str = setting(
        "none",
        "Who may read what: none (everyone, on loopback alone), token-file, kubernetes (as the cluster itself).",
        parse_choice(*CHOICES),
    )
    token_file: Optional[Tuple[str, ...]] = setting(
        None, "Of --auth token-file: a CSV file a cluster, TOKEN,USER,UID,GROUPS,READS.", parse_listed
    )
    kubeconfig: str = setting("", "Of --auth kubernetes: without one KUBECONFIG, then ~/.kube/config.")
    context: Optional[Tuple[str, ...]] = setting(
        None, "Contexts that review who may read, one a cluster in the same order.", parse_listed
    )
    in_cluster: bool = setting(False, "Review at the pod's own cluster, by its service account.", parse_flag)
    audience: Optional[Tuple[str, ...]] = setting(
        None, "Tokens must be meant for one of these; else for the API server itself.", parse_names
    )
    api_username: str = setting(
        "",
        "Name of the one account of POST /api/<metric>, which sees every namespace; without it API_USERNAME, and"
        " API_USERNAME_FILE for the path of a file. Without any account POST /api answers 401 to all.",
    )
    api_password_file: str = setting(
        "", "File of its password; without it KRM_API_PASSWORD, API_PASSWORD_FILE or API_PASSWORD."
    )
    api_accounts: str = setting(
        "", 'File of more accounts that see some namespaces, a line NAME,PASSWORD,"NAMESPACE NAMESPACE" each.'
    )
    history_token_file: str = setting("", "File of the token that opens the collector's history.")
    bills: str = setting("", "Folder of closed months (krm bill --close), served at /krm/v1/bill.")
    no_kubernetes_root: bool = setting(
        False, "Serve the Kubernetes API below /clusters/NAME alone, so that all of /api/ is POST /api/<metric>'s.",
        parse_flag,
    )  # fmt: skip
    audit_log: str = setting("", "File of one JSON line a request; - is standard output.")
    memory: int = setting(1024, "MiB of kept answers at most; of large ones on their way half as much.", _mebibytes)
    log_level: str = setting("INFO", ", ".join(LEVELS) + ".", parse_choice(*LEVELS))


def main() -> int:
    """Until SIGTERM. Status 1 where the start is refused, with a sentence."""
    settings = parse_settings(Settings, sys.argv[1:], os.environ, "krm server")
    configure_logging("server", settings.log_level)
    die_with_parent()
    lacking = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if lacking:
        print(f"krm server: it needs {' and '.join(lacking)}: pip install 'krm[server]'", file=sys.stderr)
        return 1
    from krm.server import listening

    try:
        _fit_together(settings)
        certificates = _certificates(settings)
        own = account(os.environ, settings.api_username, settings.api_password_file)
        if own.note:
            log.warning("%s", own.note)
        accounts = Accounts(settings.api_accounts, own[:2])
        if not listening.is_loopback(settings.address):
            _fit_for_others(settings, certificates)
        return listening.run(_serve(settings, certificates, accounts))
    except (
        StoreError, BadGate, BadCertificates, BadSetting, BadAccounts, CannotWrite, listening.CannotListen, Refused,
    ) as error:  # fmt: skip
        print(f"krm server: {error}", file=sys.stderr)
        return 1


class Refused(Exception):
    """Settings that would hand the cluster to whoever comes by, or that contradict one another."""


def _certificates(settings: Settings) -> Optional[Certificates]:
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise BadCertificates("--tls-cert and --tls-key go together: one of them is missing")
    if settings.client_ca and not settings.tls_cert:
        raise BadCertificates("--client-ca needs TLS: name --tls-cert and --tls-key too")
    if not settings.tls_cert:
        return None
    return Certificates(settings.tls_cert, settings.tls_key, settings.client_ca)


def _fit_together(settings: Settings) -> None:
    """Whoever names a token file does not mean that everyone may read. Raises Refused."""
    for name in settings.cluster:
        if settings.cluster.count(name) > 1:
            raise Refused(f"--cluster names {name} more than once: each is served once")
    for option, given, auth in (
        ("--token-file", settings.token_file, "token-file"),
        ("--audience", settings.audience, "kubernetes"),
    ):
        if given and settings.auth != auth:
            raise Refused(f"{option} is of --auth {auth}, and this is --auth {settings.auth}: name one of the two")


def _fit_for_others(settings: Settings, certificates: Optional[Certificates]) -> None:
    if settings.auth == "none":
        raise Refused(f"--auth none serves everyone who reaches {settings.address}: use 127.0.0.1")
    if certificates is None:
        raise Refused(
            f"without TLS tokens would cross the network to {settings.address} in the clear:"
            " name --tls-cert and --tls-key, or use 127.0.0.1"
        )


async def _serve(settings: Settings, certificates: Optional[Certificates], accounts: Accounts) -> int:
    from krm.server.listening import Port

    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    database = await loop.run_in_executor(None, lambda: connect(settings.redis, name="krm-server"))
    hubs: List[Hub] = [Hub(database, name, loop) for name in settings.cluster]
    kept, past = Kept(settings.memory * 1024 * 1024), Past(database)
    app = App(settings.cluster[0], lambda: "this server is stopping" if stopping.is_set() else _unready(hubs))
    ports = [Port(app, settings.address, settings.port, certificates.context if certificates else None)]
    if settings.health_port:
        ports.append(Port(app.health, settings.health_address, settings.health_port))
    token = read_value(settings.history_token_file) if settings.history_token_file else ""
    bills = Bills(settings.bills) if settings.bills else None
    histories = {name: RemoteHistory(Collected(database, name), token) for name in settings.cluster}
    app.classic = Classic(histories[settings.cluster[0]], accounts, kept)
    app.kubernetes_root = not settings.no_kubernetes_root
    app.audit = Audit(settings.audit_log) if settings.audit_log else None
    loop.add_signal_handler(signal.SIGHUP, _hang_up, loop, certificates, app.audit)
    metrics = Metrics(kept)
    app.seen.append(metrics.seen)
    if settings.metrics_port:
        ports.append(Port(metrics, settings.metrics_address, settings.metrics_port))
    uids = {hub.catalog.cluster: hub.catalog.uids for hub in hubs}
    gates = Gates(
        _gate_settings(settings), settings.cluster, lambda name, pem: _trust(certificates, name, pem),
        lambda name: uids[name](),
    )  # fmt: skip
    for hub, gate in zip(hubs, await gates.open()):
        serving = Serving(hub.catalog, kept, hub.now)
        hub.changed = serving.changed
        name = serving.catalog.cluster
        more = partial(_measured, serving, histories[name], SeenReads(database, name), bills)
        _add(app, serving, gate, past, metrics, more)
        hub.start()
    await asyncio.gather(*[hub.looked() for hub in hubs])
    looking = loop.create_task(certificates.keep()) if certificates else None
    log.info("serving %s at %s", ", ".join(settings.cluster), ports[0].url)
    await _answer(ports, app, stopping)
    if looking is not None:
        looking.cancel()
    gates.close()
    past.close()
    app.classic.close()
    for hub in hubs:
        hub.stop()
    if app.audit is not None:
        app.audit.close()
    return 0


More = Callable[[Gate], List[Route]]


def _add(app: App, serving: Serving, gate: Gate, past: Past, metrics: Metrics, more: More) -> None:
    """One cluster, with all that stands below its prefix; `more`: routes of what was measured."""
    cluster = serving.catalog.cluster

    def routes(gate: Gate, streams: Streams) -> List[Route]:
        original = [*Original(serving, gate).routes(), metrics.route(cluster, gate)]
        return original + more(gate) + own_routes(serving, gate, past, streams, lambda: app.routes)

    metrics.add(cluster, serving, app.add(serving, gate, routes).streams, gate)


def _measured(
    serving: Serving, history: RemoteHistory, seen: SeenReads, bills: Optional[Bills], gate: Gate
) -> List[Route]:
    return [
        *UsageApi(serving, gate, history).routes(),
        *SeenApi(gate, seen).routes(),
        *BillApi(gate, bills).routes(),
    ]


def _hang_up(loop: asyncio.AbstractEventLoop, certificates: Optional[Certificates], audit: Optional[Audit]) -> None:
    """SIGHUP: what lies in files is looked at now."""
    if certificates is not None:
        loop.run_in_executor(None, certificates.look_and_tell)
    if audit is not None:
        audit.reopen()


async def _answer(ports: List[Port], app: App, stopping: asyncio.Event) -> None:
    """Serves until told to stop; then what is open ends, the first port's before the others'."""
    served = [asyncio.ensure_future(port.serve()) for port in ports]
    for one in served:
        one.add_done_callback(lambda _: stopping.set())  # a port that failed ends the others, and is told below
    await stopping.wait()
    await asyncio.sleep(LINGER)
    app.close()
    for port, done in zip(ports, served):
        port.stop()
        await done


def _gate_settings(settings: Settings) -> GateSettings:
    return GateSettings(
        settings.auth, settings.token_file or (), settings.kubeconfig, settings.context or (),
        settings.in_cluster, settings.audience or (),
    )  # fmt: skip


def _trust(certificates: Optional[Certificates], cluster: str, pem: str) -> None:
    """The handshake asks for certificates of these CAs too; what one is worth where, that cluster's gate says."""
    if certificates is None:
        return
    try:
        certificates.trust(f"the client CAs of {cluster}", pem)
    except BadCertificates as error:
        log.warning("client certificates of %s are not asked for: %s", cluster, error)


def _unready(hubs: List[Hub]) -> str:
    for hub in hubs:
        if not hub.found:
            return f"no kind of {hub.catalog.cluster} was found in Redis yet"
        waiting = hub.waiting()
        if waiting:
            return f"not read yet: {', '.join(waiting)}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
