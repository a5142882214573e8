"""`krm exporter`: findings and state as Prometheus metrics, over prometheus-client's own HTTP server."""

from __future__ import annotations

import argparse
import os
import time
from typing import Optional

from krm.cli.grammar import duration
from krm.cli.opening import open_client
from krm.cli.terminal import say
from krm.client.client import Client
from krm.client.errors import BadRequest
from krm.monitor.exporter.page import turn
from krm.monitor.exporter.serving import Collector, Serving, checked

ADDRESS, PORT, EVERY, MOST = "127.0.0.1", 10261, "30s", 50_000


def run(args: argparse.Namespace) -> int:
    """Until it is ended; exit codes: 0 (--for is over), 1 (KrmError). Raises BadRequest, KrmError."""
    address = checked(str(_told(args.address, "ADDRESS", ADDRESS)), args.open)
    port, most = _number(args, "port", PORT, 0, 65535), _number(args, "most_series", MOST, 1, 10_000_000)
    every = args.every if args.every is not None else _span(os.environ.get("KRM_EXPORTER_EVERY") or EVERY)
    with open_client(args, "krm-exporter") as client:
        collector = Collector()
        why = _turn(client, collector, most)
        serving = Serving(collector, address, port)
        try:
            host = f"[{address}]" if ":" in address else address
            say(f"krm: serving http://{host}:{serving.port}/metrics" + (f"; {why}" if why else ""))
            _go_on(client, collector, most, every, args.seconds, why)
        finally:
            serving.close()
    return 0


def _go_on(
    client: Client, collector: Collector, most: int, every: float, seconds: Optional[float], why: str
) -> None:
    began = due = time.monotonic()
    while seconds is None or time.monotonic() - began < seconds:
        due = max(due + every, time.monotonic())  # a turn that took longer is not made up for
        end = due if seconds is None else min(due, began + seconds)
        time.sleep(max(0.0, end - time.monotonic()))
        if time.monotonic() < due:
            return
        now = _turn(client, collector, most)
        if now != why:
            say(f"krm: {now or 'krm can be asked again'}")
        why = now


def _turn(client: Client, collector: Collector, most: int) -> str:
    """Why krm could not be asked; ''."""
    page = turn(client, most)
    collector.show(page)
    return page.why


def _told(flag: Optional[object], name: str, default: object) -> object:
    """The flag, else KRM_EXPORTER_NAME, else the default."""
    return flag if flag is not None else os.environ.get(f"KRM_EXPORTER_{name}") or default


def _number(args: argparse.Namespace, name: str, default: int, least: int, most: int) -> int:
    value = _told(getattr(args, name), name.upper(), default)
    if not str(value).isdigit() or not least <= int(str(value)) <= most:
        flag = f"--{name.replace('_', '-')}"
        raise BadRequest(f"{flag}={value}: a whole number from {least} to {most} is meant")
    return int(str(value))


def _span(text: str) -> float:
    try:
        seconds: float = duration(text)
        return seconds
    except (argparse.ArgumentTypeError, ValueError):
        raise BadRequest(f"KRM_EXPORTER_EVERY={text!r}: write 30s, 1m ...") from None
