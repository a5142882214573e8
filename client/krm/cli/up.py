"""`krm up`: everything for one cluster or several on this machine, and a table of it each second.

Children: a streamer, a verifier, an aggregator and a collector a cluster, one server, a simulator with
--demo, and an embedded Redis where none is named. Nothing of a stage is imported here: they are child
processes, and what they do is learned from Redis alone.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import List, NamedTuple, Optional

from krm.cli import demo, own_server
from krm.cli.checks import require_credentials
from krm.cli.keeping import Keeping
from krm.cli.kubeconfig_out import require_free, write_private
from krm.cli.live import STARTING, Table, detail, grouped, shown_state
from krm.cli.next_steps import afterwards, next_steps
from krm.cli.plan import Plan, make_plans
from krm.cli.private_redis import PrivateRedis
from krm.cli.processes import Child, Family, is_alive
from krm.cli.silence import Silence
from krm.cli.terminal import say
from krm.client.direct import told
from krm.client.errors import BadRequest, KrmError, Unreachable
from krm.client.locate import state_folder
from krm.client.source import KindStatus
from krm.model.trust import WARMING
from krm.store import connect as store

_EVERY = 1.0  # seconds between two tables
# Summary first; then whoever hands out, who takes in, who checks, who writes, what they read from, and Redis last.
_STOP_ORDER = ("server", "collector", "streamer", "verifier", "aggregator", "simulator")
NOT_TRUSTED, INTERRUPTED, TERMINATED = 3, 130, 143


class _Signals:
    """The first SIGINT or SIGTERM ends the loop; a second SIGINT is Python's own and ends at once.

    Where KRM_PARENT_PID is set, so does the end of that process: who started this may be killed.
    """

    def __init__(self) -> None:
        self.got: Optional[int] = None
        parent = os.environ.get("KRM_PARENT_PID", "")
        self._parent = int(parent) if parent.isdigit() else None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._take)

    def _take(self, number: int, _: Optional[FrameType]) -> None:
        self.got = number
        signal.signal(signal.SIGINT, signal.default_int_handler)

    @property
    def ended(self) -> bool:
        """Whether to end now."""
        if self.got is None and self._parent not in (None, os.getppid()):
            self.got = signal.SIGTERM
        return self.got is not None

    @property
    def exit_code(self) -> int:
        """The shell's way: 128 and the signal."""
        return 128 + self.got if self.got is not None else 0


def run(args: argparse.Namespace) -> int:
    """Exit codes: with --for 0 where every kind is verified with no gap open, else 3; 130, 143 by a signal."""
    plans = make_plans(args)
    served = Served(args.server_port or 0, args.kubeconfig_out or "") if _may_serve(args) else None
    signals = _Signals()
    for plan in plans:
        warning = None if plan.demo else require_credentials(plan.source)
        if warning:
            say(f"Warning: {warning}")
    started = time.monotonic()
    folder = log_folder(state_folder())
    house = House(folder)
    try:
        house.open(plans, served, started)
        return house.live(signals, None if args.seconds is None else started + args.seconds)
    finally:
        house.close()


class Served(NamedTuple):
    """How the server is wished for."""

    port: int  # 0 = any that is free
    kubeconfig: str  # '' = in the folder of the logs


def _may_serve(args: argparse.Namespace) -> bool:
    """Whether there will be a server. Raises KrmError where it was asked for by name and cannot be."""
    if args.no_server and (args.kubeconfig_out or args.server_port):
        raise BadRequest("--no-server starts nothing that --kubeconfig-out or --server-port could be of")
    if args.no_server:
        return False
    if args.kubeconfig_out:
        require_free(Path(args.kubeconfig_out))
    missing = own_server.missing()
    if missing and args.kubeconfig_out:
        raise own_server.NoServer(f"--kubeconfig-out needs a server, and krm runs {missing}")
    if missing:
        say(f"krm up runs {missing}")
    return not missing


def log_folder(base: Path) -> Path:
    """A new private folder; those that dead ones left go."""
    for left in base.glob("up-*/"):
        number = left.name[len("up-") :]
        if number.isdigit() and not is_alive(int(number)):
            shutil.rmtree(str(left), ignore_errors=True)
    folder = base / f"up-{os.getpid()}"
    folder.mkdir(mode=0o700)
    return folder


class House:
    """All that `krm up` started, from the first process to the last."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._family = Family()
        self._redis: Optional[PrivateRedis] = None
        self._kept: List[Keeping] = []
        self._server: Optional[own_server.OwnServer] = None
        self._simulator: Optional[demo.Simulator] = None
        self._loss: Optional[demo.Loss] = None
        self._table = Table()
        self._trusted = False  # at the end, by the summary

    def open(self, plans: List[Plan], served: Optional[Served], started: float) -> None:
        """Starts everything. Raises KrmError."""
        url = plans[0].redis or self._start_redis()
        if plans[0].demo:
            plans = [self._start_simulator(plans[0], started)]
        with told():
            database = store.connect(url, name="krm-up")
        for warning in database.warnings:
            say(f"Warning: {warning}")
        token_file = self._folder / "history.token"
        write_private(token_file, secrets.token_urlsafe(32).encode())
        for number, plan in enumerate(plans):
            one = Keeping(plan, database, self._folder, number, alone=len(plans) == 1)
            self._kept.append(one)
            one.start(self._family, url, token_file)
            for sentence in one.sentences(database.address.shown):
                self._table.tell(sentence)
        self._kinds = plans[0].kinds
        self._pipelines = [pipeline for one in self._kept for pipeline in one.pipelines]
        self._silence = Silence(self._pipelines)
        if served is not None:
            names = [plan.cluster for plan in plans]
            self._server = own_server.OwnServer(self._folder, names, self._kinds, served.port, served.kubeconfig)
            self._family.add(self._server.child(url, token_file))
        self._table.tell(f"Logs of the stages: {self._folder}")
        self._table.tell(next_steps(self._kinds, [plan.cluster for plan in plans]))

    def live(self, signals: _Signals, deadline: Optional[float]) -> int:
        """The table each second, until a signal or the deadline; then the summary."""
        turn_at = time.monotonic()
        while not signals.ended and (deadline is None or time.monotonic() < deadline):
            self._turn()
            turn_at += _EVERY
            end = turn_at if deadline is None else min(turn_at, deadline)
            while not signals.ended and time.monotonic() < end:
                time.sleep(min(0.1, max(0.0, end - time.monotonic())))
        self._trusted = self._summary(self._statuses())
        if signals.got is not None:
            return signals.exit_code
        return 0 if self._trusted else NOT_TRUSTED

    def close(self) -> None:
        """Ends everything in order, each within 5 s."""
        for one in self._kept:
            one.close()
        self._family.stop(_STOP_ORDER)
        if self._server is not None:
            self._server.close()
        if self._redis is not None:
            self._redis.stop()
        if self._trusted or not any(self._folder.glob("*.log")):
            shutil.rmtree(str(self._folder), ignore_errors=True)
        else:
            say(f"Logs of the stages, kept until the next krm up: {self._folder}")

    # --- parts

    def _start_redis(self) -> str:
        self._redis = PrivateRedis()
        self._table.tell(f"Redis: {self._redis.how}")
        if self._redis.warning:
            say(f"Warning: {self._redis.warning}")
        return self._redis.url

    def _start_simulator(self, plan: Plan, started: float) -> Plan:
        kubeconfig = self._folder / "demo.kubeconfig"
        # What makes their certificate is the openssl command.
        collects = plan.collects and shutil.which("openssl") is not None
        if plan.collects and not collects:
            say("Warning: nothing is measured: the demo's kubelets need the openssl command, and none is on PATH")
        kubelet_ca = self._folder / "kubelets.crt" if collects else None
        child = Child("simulator", demo.arguments(kubeconfig, kubelet_ca), self._folder, restart=False)
        self._family.add(child)
        self._simulator = demo.await_simulator(child, kubeconfig)
        self._loss = demo.Loss(self._simulator, started)
        served = self._simulator.kinds()
        kinds = plan.kinds_named or tuple(kind for kind in plan.kinds if kind in served)
        ca = "" if kubelet_ca is None else str(kubelet_ca)
        return plan._replace(kubeconfig=str(kubeconfig), kinds=kinds, collects=collects, kubelet_ca=ca)

    def _turn(self) -> None:
        news = self._family.tend()
        served = self._server.turn() if self._server is not None else None
        news += [served] if served else []
        statuses = self._statuses()
        if self._loss is not None and not self._silence.sentence:
            try:
                sentence = self._loss.turn(statuses)
                news += [sentence] if sentence else []
            except KrmError as error:
                news.append(str(error))
        for line in news:
            self._table.tell(line)
        # Of a kind that is only starting the table says so, and nothing is wrong.
        wrong = [status for status in statuses if shown_state(status) not in (STARTING, WARMING)]
        self._table.draw(statuses, grouped(wrong, len(statuses)))

    def _statuses(self) -> List[KindStatus]:
        """What the heads say; where Redis does not answer, that nothing is known."""
        try:
            statuses = [status for one in self._kept for status in one.statuses()]
            news = self._silence.heard(statuses)
        except Unreachable as error:
            began, news = self._silence.began(), self._redis.tend() if self._redis is not None else None
            statuses = self._silence.unknown()
            if began and news is None:
                news = str(error)
        if news:
            self._table.tell(news)
        return statuses

    def _summary(self, statuses: List[KindStatus]) -> bool:
        """Prints what was kept and what was not; answers whether every kind is verified with no gap open."""
        tell = self._table.tell
        self._table.draw(statuses)
        self._table.leave()
        for line in [self._silence.sentence] if self._silence.sentence else _untrusted(statuses):
            tell(line)
        unverified = {(status.cluster, status.kind) for status in statuses if not status.verified}
        if unverified:
            for line in self._family.last_warnings():
                tell(line)
        kinds = len({(cluster, kind) for cluster, kind, _ in self._pipelines})
        summary = f"Summary: {kinds - len(unverified)} of {kinds} kinds verified with no gap open"
        tell(summary + ("" if self._silence.sentence else f"; {self._counted(statuses)}"))
        if self._loss is not None and not self._loss.repaired:
            tell("The injected loss was not repaired yet: give it more time, e.g. --for 30s")
        tell(afterwards(self._kinds, self._simulator is not None, sys.argv[1:]))
        return not unverified

    def _counted(self, statuses: List[KindStatus]) -> str:
        known = [status for status in statuses if status.objects is not None]
        objects = sum(status.objects or 0 for status in known)
        versions = sum(status.trust.version for status in known)
        repairs = sum(sum((status.trust.drift or {}).values()) for status in known)
        made = f"{self._events()} events, " if self._simulator is not None else ""
        least = "at least " if len(known) < len(statuses) else ""
        anew = " since Redis was started again" if self._redis is not None and self._redis.died else ""
        return f"{least}{objects} objects, {made}{versions} versions, {repairs} repairs{anew}"

    def _events(self) -> str:
        try:
            return str(self._simulator.events()) if self._simulator is not None else "no"
        except KrmError:
            return "an unknown number of"


def _untrusted(statuses: List[KindStatus]) -> List[str]:
    lines: List[str] = []
    for status in statuses:
        if not status.verified:
            lines += detail(status) or [f"{status.name}: no list has verified it yet"]
    return lines
