"""`krm alerts`: the findings of every question that fire, once; with --watch as they fire and resolve.

A JSON line a state change on stdout, the same to a webhook; to Alertmanager what fires is sent again and again, so
that it ends there where krm ends. What is not live or not known resolves nothing (krm.analysis.alerting).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import Any, Dict, List, Optional, Sequence, Tuple

from krm.analysis.alerting import Alert, Firing, Told, advance
from krm.analysis.alertmessages import message, posted, resent
from krm.analysis.finding import at_least
from krm.cli.alert_post import Outbox, Post
from krm.cli.answering import FOUND, NOT_TRUSTED, OK
from krm.cli.opening import chosen_namespace, open_client
from krm.cli.quota import percents
from krm.cli.terminal import say, write
from krm.client.errors import BadRequest, KrmError
from krm.monitor import K8sResourceMonitor, arguments
from krm.monitor.questions import ask_all

# Seconds between two times that Alertmanager is told what still fires; it forgets what it was not told for HOLD.
RESEND = 60.0
HOLD = 4 * RESEND
_BATCH = 200  # alerts a request
_MOST_TOKEN = 64 * 1024  # bytes
# Seconds after the last turn for what still waits to be sent.
_LAST_CHANCE = 5.0


def run(args: argparse.Namespace) -> int:
    """Exit codes: krm.cli.answering; of --watch those of its last turn. Raises BadRequest, KrmError."""
    percent = percents(args.thresholds)
    arguments.thresholds(percent, "--thresholds")
    outboxes = _outboxes(args)
    with open_client(args) as client:
        monitor, namespace = K8sResourceMonitor(client), chosen_namespace(client, args)
        watch = _Watch(client.cluster, args.severity, *outboxes)
        if not args.watch:
            told = ask_all(monitor, namespace, percent)
            if all(one.answer is None for one in told):
                raise KrmError(told[0].why)
            watch.turn(told, time.time())
        else:
            _go_on(watch, monitor, namespace, percent, args)
    watch.finish()
    return watch.exit_code(args.fail_on, args.stale_ok)


def _go_on(
    watch: _Watch, monitor: K8sResourceMonitor, namespace: Optional[str], percent: Tuple[float, ...], args: Any
) -> None:
    """Turn by turn, until --for is over."""
    began = due = time.monotonic()
    while args.seconds is None or due - began < args.seconds:
        watch.turn(ask_all(monitor, namespace, percent), time.time())
        due = max(due + args.every, time.monotonic())  # a turn that took longer is not made up for
        end = due if args.seconds is None else min(due, began + args.seconds)
        while True:
            now = time.monotonic()
            watch.send(now)
            if now >= end:
                break
            time.sleep(max(0.01, min(end, watch.next_at(end)) - now))


class _Watch:
    """What fires, and who is told."""

    def __init__(self, cluster: str, least: str, alertmanager: Optional[Outbox], webhook: Optional[Outbox]) -> None:
        self._cluster, self._least = cluster, least
        self._alertmanager, self._webhook = alertmanager, webhook
        self._firing: Firing = {}
        self._told: Sequence[Told] = ()
        self._said: Dict[str, Tuple[str, ...]] = {}
        self._resend_at = 0.0
        self._left_out = 0

    def turn(self, told: Sequence[Told], now: float) -> None:
        """The answers of a turn; now: Unix seconds."""
        found = advance(self._firing, told, now, self._least)
        self._firing, self._told = found.firing, told
        self._say(told, found.left_out)
        for change in found.changes:
            plain = message(change, self._cluster)
            write(json.dumps(plain) + "\n")
            if self._webhook is not None:
                _tell(self._webhook.add(plain))
        if sys.stdout is not None:
            sys.stdout.flush()
        if self._alertmanager is not None:
            rows = posted(found.changes, self._cluster, HOLD)
            if now >= self._resend_at and self._alertmanager.empty:
                new = {change.alert.finding.id for change in found.changes}
                rows += resent(self._others(new), self._cluster, now, HOLD)
                self._resend_at = now + RESEND
            for place in range(0, len(rows), _BATCH):
                _tell(self._alertmanager.add(rows[place : place + _BATCH]))
        self.send(time.monotonic())

    def _others(self, new: Any) -> List[Alert]:
        return [alert for name, alert in sorted(self._firing.items()) if name not in new]

    def send(self, now: float) -> None:
        """What is due; now: of time.monotonic."""
        for box in (self._alertmanager, self._webhook):
            if box is not None:
                _tell(box.send(now))

    def next_at(self, otherwise: float) -> float:
        """When something is to be sent again."""
        times = [box.next_at for box in (self._alertmanager, self._webhook) if box is not None]
        return min((at for at in times if at is not None), default=otherwise)

    def finish(self) -> None:
        """What still waits has a last chance, and what does not leave is told."""
        end = time.monotonic() + _LAST_CHANCE
        while time.monotonic() < end and self.next_at(end) < end:
            time.sleep(max(0.0, self.next_at(end) - time.monotonic()))
            self.send(time.monotonic())
        for box in (self._alertmanager, self._webhook):
            if box is not None and not box.empty:
                say("krm: messages were not delivered")

    def exit_code(self, fail_on: str, stale_ok: bool) -> int:
        """Of the last turn."""
        if not stale_ok and not all(one.live for one in self._told):
            return NOT_TRUSTED
        severities = [alert.finding.severity for alert in self._firing.values()]
        return FOUND if fail_on and any(at_least(one, fail_on) for one in severities) else OK

    def _say(self, told: Sequence[Told], left_out: int) -> None:
        """Each time that a question begins or ends to be unanswered, a line."""
        for one in told:
            if bool(one.doubts) != bool(self._said.get(one.question)):
                what = f"not live, nothing of it fires or resolves: {'; '.join(one.doubts)}"
                say(f"krm: {one.question}: {what if one.doubts else 'is live again'}")
            self._said[one.question] = one.doubts
        if left_out != self._left_out:
            say(f"krm: {left_out} findings more than can fire at a time")
        self._left_out = left_out


def _outboxes(args: argparse.Namespace) -> Tuple[Optional[Outbox], Optional[Outbox]]:
    """Of Alertmanager and of the webhook."""
    token = _token(args.alert_token_file)
    made: List[Optional[Outbox]] = []
    for option, variable, path in (
        ("--alertmanager", "KRM_ALERTMANAGER", "/api/v2/alerts"), ("--webhook", "KRM_WEBHOOK", ""),
    ):  # fmt: skip
        url = getattr(args, option[2:]) or os.environ.get(variable, "")
        made.append(Outbox(Post(url, option, path, token, args.alert_ca)) if url else None)
    if token and not any(made):
        raise BadRequest("--alert-token-file goes with --alertmanager or --webhook")
    return made[0], made[1]


def _token(path: str) -> str:
    if not path:
        return ""
    try:
        with open(path, encoding="ascii") as file:
            return file.read(_MOST_TOKEN).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"--alert-token-file {path} cannot be read ({type(error).__name__})") from None


def _tell(sentences: Sequence[str]) -> None:
    for one in sentences:
        say(f"krm: {one}")
