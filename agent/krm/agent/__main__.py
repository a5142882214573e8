"""`python -m krm.agent`: what runs on this node, in which container, and what it uses."""

from __future__ import annotations

import gc
import io
import os
import platform
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from krm.agent.access import Files
from krm.agent.loop import Loop
from krm.agent.once import JSON, TABLE, WIDE, shown
from krm.agent.seen import NO_VERSION
from krm.agent.serving import Server
from krm.agent.turn import Asked, Turns
from krm.model.durations import parse_duration
from krm.stage.common import LEVELS
from krm.stage.runner import Runner, configure_logging, die_with_parent
from krm.stage.settings import parse_choice, parse_flag, parse_listed, parse_port, parse_settings, setting

# Objects made before Python looks for cycles, which a turn makes none of: the search was a twentieth of its CPU.
CYCLES = 50_000
BROKEN_PIPE = 141  # whoever read the output went away
SHORTEST = 0.1  # seconds between two turns: without an end between them they would be a load alone
WINDOW = 1.0  # seconds between the two turns of --once


def span(text: str) -> float:
    """Seconds between two looks. Raises ValueError."""
    found = parse_duration(text)
    if found < SHORTEST:
        raise ValueError(f"{text!r} is less than {SHORTEST:g} s")
    return found


@dataclass(frozen=True)
class Settings:
    """See what runs on this node: processes, cgroups, what the container runtime costs, OOM kills. Serve it to
    krm's collector, or print it with --once. It needs no right in the cluster and none on the node."""

    procfs: str = setting("/proc", "Where the node's /proc is mounted.")
    cgroupfs: str = setting("/sys/fs/cgroup", "Where the node's cgroups are mounted.")
    node: str = setting("", "The node's name in the API; without one that of NODE_NAME, then the host's.")
    address: str = setting(
        "127.0.0.1", "Address to serve at. Beyond this machine it takes --cert, --key and --token-file."
    )
    port: int = setting(10260, "Its port; 0 = any that is free.", parse_port)
    cert: str = setting("", "Certificate to serve with, PEM, read anew when it changes.")
    key: str = setting("", "Its private key, PEM.")
    token_file: str = setting("", "File of the token that readers send, read anew when it changes.")
    every: float = setting(5.0, "Seconds between two looks at cgroups and OOM counters.", span)
    processes_every: float = setting(10.0, "Seconds between two looks at processes and at the runtime's API.", span)
    commands: bool = setting(False, "Tell of processes' arguments too, secrets masked.", parse_flag)
    runtime_socket: str = setting(
        "", "Sockets of container runtimes that are asked for names and figures, CRI or Docker, with commas."
    )
    kernel_log: str = setting("", "The kernel's log, as /dev/kmsg, to learn of OOM kills.")
    once: bool = setting(False, "Print what is there now, and end.", parse_flag)
    output: str = setting(
        TABLE,
        "With --once: table, wide (all processes) or json (all).",
        parse_choice(TABLE, WIDE, JSON),
        short="-o",
    )
    log_level: str = setting("INFO", "DEBUG, INFO, WARNING or ERROR.", parse_choice(*LEVELS))


def asked(settings: Settings) -> Asked:
    """What the agent is told to do."""
    return Asked(
        node=settings.node or os.environ.get("NODE_NAME", "") or socket.gethostname(),
        procfs=Path(settings.procfs),
        cgroupfs=Path(settings.cgroupfs),
        every=settings.every,
        commands=settings.commands,
        runtime_sockets=parse_listed(settings.runtime_socket),
        kernel_log=settings.kernel_log,
    )


def once(settings: Settings) -> int:
    """Two turns, so that what is used a second is known."""
    turns = Turns(asked(settings))
    try:
        before = turns.turn(True)
        time.sleep(WINDOW)
        now = turns.turn(True)
    finally:
        turns.close()
    code = written(shown(before, now, settings.output, platform.release()))
    blind = now.version == NO_VERSION and now.processes_at is None
    return code or int(blind)  # who saw nothing at all did not do what was asked


def written(text: str) -> int:
    """On stdout, whatever its locale; the exit status as the other commands have it."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python writes the rest at its end
        return BROKEN_PIPE
    return 0


def serve(settings: Settings) -> int:
    """Until SIGTERM."""
    runner = Runner()
    turns = Turns(asked(settings))
    loop = Loop(turns.turn, settings.every, settings.processes_every, runner.stop, turns.close)
    files = Files(settings.cert, settings.key, settings.token_file)
    server = Server(loop.answers, loop.ill, (settings.address, settings.port), files)
    print(f"krm agent: serving {server.address}", file=sys.stderr, flush=True)

    def made(_: Event) -> Loop:
        return loop

    try:
        return runner.run([("node", made)])
    finally:
        server.close()


def main() -> int:
    """Status 2 for bad settings, 1 where the start is refused, with a sentence."""
    settings = parse_settings(Settings, sys.argv[1:], os.environ, "krm agent")
    configure_logging("agent", settings.log_level)
    if settings.once:
        return once(settings)
    die_with_parent()
    gc.set_threshold(CYCLES)
    try:
        return serve(settings)
    except (ValueError, OSError) as error:
        print(f"krm agent: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
