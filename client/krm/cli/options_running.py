"""The grammar of what runs, checks and configures krm: up, doctor, config."""

from __future__ import annotations

from typing import Any

from krm.cli.grammar import Parser, add_command, duration, port, where


def doctor(top: Parser, commands: Any, name: str) -> None:
    command = add_command(top, commands, name, "look at Redis, the API server and the rights, and say what to do")
    command.add_argument("--kubeconfig", metavar="FILE", help="kubeconfig (default: $KUBECONFIG, ~/.kube/config)")
    command.add_argument("--context", metavar="NAME", help="context of the kubeconfig (default: its current one)")
    command.add_argument("--in-cluster", action="store_true", help="use the pod's service account")
    command.add_argument(
        "--kinds", metavar="A,B", help="kinds to check (default: those kept, else the 17 of krm up)"
    )
    where(command, contexts=False)


def up(top: Parser, commands: Any, name: str) -> None:
    command = add_command(top, commands, name, "run everything for one cluster, or several, on this machine")
    source = command.add_argument_group("which cluster")
    source.add_argument(
        "--demo", action="store_true", help="a simulated cluster: 10 nodes, 300 pods, one injected loss"
    )
    source.add_argument("--kubeconfig", metavar="FILE", help="kubeconfig (default: $KUBECONFIG, ~/.kube/config)")
    source.add_argument(
        "--context",
        metavar="NAME",
        action="append",
        help="context of the kubeconfig; again for a further cluster (default: its current one)",
    )
    source.add_argument("--in-cluster", action="store_true", help="use the pod's service account")
    source.add_argument(
        "--cluster",
        metavar="NAME",
        help="name in Redis (default: $KRM_CLUSTER, the context's name, demo, in-cluster)",
    )
    command.add_argument("--redis", metavar="URL", help="Redis URL (default: $KRM_REDIS, else an embedded one)")
    command.add_argument("--kinds", metavar="A,B", help="kinds to keep (default: the 17 of `krm streamer --help`)")
    command.add_argument(
        "--namespaces", metavar="A,B", help="keep these namespaces alone (default: the whole cluster)"
    )
    command.add_argument(
        "--verify-every",
        metavar="SPAN",
        type=duration,
        help="span between verifying lists (default: 60s; 3s in --demo)",
    )
    command.add_argument(
        "--env-values",
        choices=("redact", "keep"),
        default="redact",
        help="values of environment variables in pods (default: redact)",
    )
    served = command.add_argument_group("what it serves, on 127.0.0.1, over TLS, to whoever has its kubeconfig")
    served.add_argument(
        "--kubeconfig-out",
        metavar="FILE",
        help="where to write that kubeconfig, mode 0600 (default: in the folder of the logs)",
    )
    served.add_argument("--server-port", metavar="PORT", type=port, help="port to serve on (default: a free one)")
    served.add_argument("--no-server", action="store_true", help="start no server")
    measured = command.add_argument_group("what it measures, where pods and nodes are kept of the whole cluster")
    measured.add_argument(
        "--history", metavar="FILE", help="file of the measurements' history (default: one that goes at the end)"
    )
    measured.add_argument("--no-collector", action="store_true", help="measure nothing")
    command.add_argument(
        "--for",
        dest="seconds",
        metavar="SPAN",
        type=duration,
        help="stop after 20s, 5m ...; exit code 0 only if all is verified, no gap open (default: never)",
    )


def config(top: Parser, commands: Any, name: str) -> None:
    command = add_command(top, commands, name, "places to read from, by name (contexts)")
    actions = ("get-contexts", "current-context", "use-context", "set-context", "delete-context", "path")
    command.add_argument("action", metavar="ACTION", choices=actions, help=", ".join(actions))
    command.add_argument("name", metavar="NAME", nargs="?", default="", help="the context")
    command.add_argument("--url", metavar="URL", help="redis://, rediss://, unix:// or https://")
    command.add_argument("--cluster", metavar="NAME", help="cluster name")
    command.add_argument("--kubeconfig", metavar="FILE", help="whose current context gives CA and credentials")
    command.add_argument("--ca", metavar="FILE", help="certificate authorities of an https:// server")
    command.add_argument("--token-file", metavar="FILE", help="file with the token for an https:// server")
