"""`python -m krm.simulator`: a cluster on paper behind a real port."""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import ssl
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import List, Optional, Tuple

from .access import Access
from .churn import Churn
from .kubeconfig import make_certificate, server_context, write_kubeconfig
from .kubelet_paper import Paper
from .kubelets import Kubelets
from .measured import Measured
from .populate import populate
from .routes import Timing
from .server import Server
from .world import World


def arguments(argv: Optional[List[str]] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m krm.simulator",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        description="A Kubernetes cluster that exists only on paper and speaks the real list and watch protocol.",
    )
    add = parser.add_argument
    add("--port", type=int, default=0, help="on 127.0.0.1; 0: any free one")
    add("--nodes", type=int, default=3, help="how many")
    add("--pods", type=int, default=50, help="how many")
    add("--namespaces", type=int, default=3, help="beside default and kube-*")
    add("--churn", type=float, default=5.0, help="events a second")
    add("--seed", type=int, default=1, help="of all that is random")
    add("--keep-events", type=int, default=10_000, help="history a kind, in events of up to 9 KB; 0: all")
    add("--compact-every", type=float, default=300.0, help="seconds between compactions of what is older; 0: never")
    add("--bookmark-every", type=float, default=60.0, help="seconds between bookmarks")
    add("--too-large-wait", type=float, default=3.0, help="seconds before a version ahead is refused")
    add("--for", type=float, default=0.0, dest="seconds", metavar="SECONDS", help="then exit 0; 0: until SIGTERM")
    add("--kubeconfig-out", type=Path, metavar="FILE", help="write a kubeconfig for it")
    add("--token", help="ask for this bearer token; `random` makes one (see --kubeconfig-out)")
    add("--tls", action="store_true", help="serve https with a certificate made by the openssl command")
    add("--tls-cert", type=Path, help="serve https with this certificate (PEM)")
    add("--tls-key", type=Path, help="its key (PEM)")
    add(
        "--kubelets",
        choices=("no", "http", "https"),
        default="no",
        help="serve one a node, each on a port",
    )
    add("--kubelet-ca-out", type=Path, metavar="FILE", help="write the certificate (PEM) that https kubelets have")
    add("--housekeeping", type=float, default=10.0, help="seconds between two samples of a kubelet; 0: always live")
    add("--metrics-api", action="store_true", help="serve metrics.k8s.io of what the kubelets tell")
    options = parser.parse_args(argv)
    if options.metrics_api and options.kubelets == "no":
        parser.error("--metrics-api tells what kubelets tell: give --kubelets http or https too")
    return options


def main(argv: Optional[List[str]] = None) -> int:
    """Serve until SIGTERM, SIGINT, the time is over, or the parent is gone."""
    options = arguments(argv)
    parent, done = os.getppid(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    world = World(options.seed, keep=options.keep_events or None)
    populate(world, options.nodes, options.pods, options.namespaces)
    access, token = _access(options.token)
    with tempfile.TemporaryDirectory(prefix="krm-simulator-") as folder:
        tls, ca = _tls(options, Path(folder))
        timing = Timing(too_large_wait=options.too_large_wait, bookmark=options.bookmark_every)
        with ExitStack() as running:
            kubelets = _kubelets(options, world, tls, ca, access, running)
            server = running.enter_context(Server(world, options.port, tls, access, timing))
            server.control.kubelets = kubelets
            if options.metrics_api and kubelets is not None:
                server.routes.measured = Measured(world, kubelets)
            churn = Churn(world, options.churn, seed=options.seed).start()
            server.control.churn = churn
            if options.kubeconfig_out:
                write_kubeconfig(options.kubeconfig_out, server.url, token, ca)
            print("listening on %s" % server.url, flush=True)
            _wait(done, world, parent, options.seconds, options.compact_every)
            churn.stop()
    return 0


def _access(token: Optional[str]) -> Tuple[Optional[Access], str]:
    if not token:
        return None, ""
    chosen = secrets.token_hex(16) if token == "random" else token  # noqa: S105
    access = Access()
    access.allow(chosen, "admin")
    return access, chosen


def _tls(options: argparse.Namespace, folder: Path) -> Tuple[Optional[ssl.SSLContext], Optional[Path]]:
    """(context, the certificate that clients trust)."""
    if options.tls_cert and options.tls_key:
        return server_context(options.tls_cert, options.tls_key), options.tls_cert
    if not options.tls:
        return None, None
    certificate, key = make_certificate(folder)
    return server_context(certificate, key), certificate


def _kubelets(
    options: argparse.Namespace,
    world: World,
    tls: Optional[ssl.SSLContext],
    ca: Optional[Path],
    access: Optional[Access],
    running: ExitStack,
) -> Optional[Kubelets]:
    """A kubelet for each node, with the API server's certificate and tokens where it has them."""
    if options.kubelets == "no":
        return None
    secured = (tls or True) if options.kubelets == "https" else False
    kubelets = running.enter_context(Kubelets((), secured, access, world.clock))
    running.enter_context(Paper(world, kubelets, options.seed, options.housekeeping))
    certificate = kubelets.ca or ca
    if options.kubelet_ca_out and certificate:
        options.kubelet_ca_out.write_bytes(certificate.read_bytes())
    return kubelets


def _wait(done: threading.Event, world: World, parent: int, seconds: float, compact_every: float) -> None:
    begun = time.monotonic()
    compact_at, revision = begun + compact_every, world.revision
    while not done.wait(0.2):
        now = time.monotonic()
        # A process that was started by another ends with it, whatever killed that one.
        if os.getppid() != parent or (seconds and now - begun >= seconds):
            return
        if compact_every and now >= compact_at:
            world.compact(min(revision, world.revision))
            compact_at, revision = now + compact_every, world.revision


if __name__ == "__main__":
    raise SystemExit(main())
