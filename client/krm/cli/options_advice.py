"""The grammar of what to do: hpa, quota, recommend, report, bill, alerts."""

from __future__ import annotations

from typing import Any

from krm.cli.grammar import Parser, add_command, all_or_one_namespace, duration, examples, trust, where
from krm.cli.options_findings import SEVERITIES, answered


def bill(parser: Parser, commands: Any, name: str) -> None:
    command = add_command(parser, commands, name, "what a month cost, and whom: derived, closed, proven")
    command.add_argument("--month", metavar="YYYY-MM", required=True, help="a calendar month of --timezone")
    command.add_argument("--prices", metavar="FILE", default="", help="prices, as docs/billing.md has them")
    command.add_argument("--timezone", metavar="ZONE", default="UTC", help="Europe/Berlin, +02:00 (default: UTC)")
    command.add_argument(
        "--by", metavar="WHAT", default="namespace", help="namespace, pod or label:KEY (default: namespace)"
    )
    command.add_argument(
        "--charge", metavar="WHAT", default="max", help="max of request and usage, request, or usage (default: max)"
    )
    command.add_argument(
        "--idle",
        metavar="HOW",
        default="apart",
        help="apart: a line; shared: by who was there (default: apart)",
    )
    command.add_argument("--cost-centre", metavar="KEY", default="", help="label of namespaces that names it")
    closing = command.add_argument_group("closed months")
    closing.add_argument("--folder", metavar="DIR", help="where they are kept (default: $KRM_BILLS)")
    closing.add_argument("--close", action="store_true", help="keep this month's bill there, for ever")
    closing.add_argument("--correct", metavar="REASON", default="", help="with --close: as the next version")
    closing.add_argument("--closed", action="store_true", help="show the closed bill, and derive nothing")
    closing.add_argument("--verify", action="store_true", help="derive it again; exit 1 where it differs")
    closing.add_argument("--bill-version", metavar="N", type=int, help="of a closed month (default: the newest)")
    command.add_argument("--no-headers", action="store_true", help="no headings")
    command.add_argument(
        "-o", "--output", choices=("wide", "json", "csv"), default="",
        help="wide: GPU, storage, cost centre; json: the canonical bill; csv: for accounting",
    )  # fmt: skip
    command.add_argument("--csv-columns", metavar="FILE", default="", help="columns of -o csv (docs/billing.md)")
    trust(command)
    where(command)
    examples(
        command,
        "krm bill --month 2026-10 --prices prices.json",
        "krm bill --month 2026-10 --prices prices.json --by label:team --idle shared -o csv",
        "krm bill --month 2026-10 --prices prices.json --close --folder /var/lib/krm/bills",
        "krm bill --month 2026-10 --verify --folder /var/lib/krm/bills",
    )


def quota(parser: Parser, commands: Any, name: str) -> None:
    command = add_command(
        parser, commands, name, "what is used of quotas, when they are used up, and what nobody needs of them"
    )
    command.add_argument(
        "--window", metavar="SPAN", default="24h", help="of the history: 1h, 24h, 7d (default: 24h)"
    )
    thresholds(command)
    answered(command, "99th percentile, points that are there, pods that count, scopes")
    examples(
        command,
        "krm quota                                every quota of the cluster",
        "krm quota -n shop --window 7d            of one namespace, over a week",
        "krm quota --thresholds 70,90 --fail-on warning",
    )


def thresholds(command: Parser) -> None:
    """Of quota and alerts."""
    command.add_argument(
        "--thresholds",
        metavar="PERCENTS",
        default="80,95",
        help="of a quota; the highest is critical (default: 80,95)",
    )


def alerts(parser: Parser, commands: Any, name: str) -> None:
    command = add_command(
        parser, commands, name, "the findings of every question that fire, once or as they fire and resolve"
    )
    command.add_argument("--watch", action="store_true", help="go on: a JSON line a state change")
    command.add_argument(
        "--every", metavar="SPAN", type=duration, default=15.0, help="between two turns (default: 15s)"
    )
    command.add_argument(
        "--for", dest="seconds", metavar="SPAN", type=duration, help="stop after 20s, 5m ... (default: never)"
    )
    command.add_argument(
        "--severity", choices=SEVERITIES, default="warning", help="from which on they fire (default: warning)"
    )
    thresholds(command)
    told = command.add_argument_group("who is told besides")
    told.add_argument(
        "--alertmanager", metavar="URL", default="", help="Alertmanager, its v2 API (default: $KRM_ALERTMANAGER)"
    )
    told.add_argument(
        "--webhook", metavar="URL", default="", help="takes a POST a state change (default: $KRM_WEBHOOK)"
    )
    told.add_argument("--alert-token-file", metavar="FILE", default="", help="file with a bearer token for them")
    told.add_argument(
        "--alert-ca", metavar="FILE", default="", help="certificate authorities of them (default: the system's)"
    )
    all_or_one_namespace(command)
    command.add_argument(
        "--fail-on",
        choices=SEVERITIES,
        default="",
        help="exit with 4 where one of this severity or above fires",
    )
    trust(command)
    where(command)
    examples(
        command,
        "krm alerts                                             what fires now, a JSON line each",
        "krm alerts --watch --alertmanager http://127.0.0.1:9093",
        "krm alerts --watch --for 1h --severity critical -n shop --webhook https://hooks.example.com/krm",
    )


def exporter(parser: Parser, commands: Any, name: str) -> None:
    command = add_command(
        parser, commands, name, "serve findings and the cluster's state as Prometheus metrics (docs/exporter.md)"
    )
    command.add_argument(
        "--address", metavar="IP", help="to listen at (default: $KRM_EXPORTER_ADDRESS, else 127.0.0.1)"
    )
    command.add_argument(
        "--port", metavar="N", help="0 = any that is free (default: $KRM_EXPORTER_PORT, else 10261)"
    )
    command.add_argument(
        "--open", action="store_true", help="take an --address that others reach: nobody is asked who it is"
    )
    command.add_argument(
        "--every",
        metavar="SPAN",
        type=duration,
        help="between two turns that ask krm (default: $KRM_EXPORTER_EVERY, else 30s)",
    )
    command.add_argument(
        "--most-series",
        metavar="N",
        help="samples of one family at most (default: $KRM_EXPORTER_MOST_SERIES, else 50000)",
    )
    command.add_argument(
        "--for", dest="seconds", metavar="SPAN", type=duration, help="stop after 20s, 5m ... (default: never)"
    )
    where(command)
    examples(
        command,
        "krm exporter                                  http://127.0.0.1:10261/metrics",
        "krm exporter --port 9100 --every 1m",
        "krm exporter --address 10.0.0.7 --open        whoever reaches it reads it",
    )


def report(parser: Parser, commands: Any, name: str) -> None:
    command = add_command(parser, commands, name, "a namespace on one page")
    command.add_argument("name", metavar="NS", help="the namespace")
    command.add_argument(
        "--window", metavar="SPAN", default="24h", help="of the history, a day at most (default: 24h)"
    )
    command.add_argument(
        "-o", "--output", choices=("text", "json", "markdown", "html"), default="text",
        help="json: everything, with evidence; html: one file with charts, nothing in it is loaded (default: text)",
    )  # fmt: skip
    command.add_argument(
        "--fail-on", choices=SEVERITIES, default="", help="exit with 4 where a finding of this severity or above is"
    )
    trust(command)
    where(command)
    examples(
        command, "krm report shop", "krm report shop --window 1h -o html > shop.html", "krm report shop -o markdown"
    )


def hpa(parser: Parser, commands: Any, name: str) -> None:
    command = add_command(parser, commands, name, "why an HPA did or did not scale, when it will, on what it would")
    command.add_argument(
        "what", metavar="explain|predict|metrics", choices=("explain", "predict", "metrics"),
        help="explain: its controller's turn; predict: its next scaling; metrics: a deployment's figure",
    )  # fmt: skip
    command.add_argument(
        "name", metavar="NAME", nargs="?", default="", help="of the HPA, or the deployment (default: every HPA)"
    )
    command.add_argument("--horizon", metavar="SPAN", default="1h", help="of predict: 30m, 6h (default: 1h)")
    command.add_argument(
        "--metric", metavar="SERIES", default="requests_per_second",
        help="of metrics: requests_per_second (default), response_time, queue_depth, cpu, memory, any series",
    )  # fmt: skip
    command.add_argument(
        "--aggregation", metavar="HOW", default="p95", help="avg, p50, p90, p95, p99, max, sum (default: p95)"
    )
    command.add_argument("--window", metavar="SPAN", default="5m", help="of metrics: 5m, 1h (default: 5m)")
    answered(command, "predict: how the forecast did in the past, and why")
    examples(
        command,
        "krm hpa explain                          every HPA: what it wants, and why",
        "krm hpa explain web -n shop              one of them, step by step",
        "krm hpa predict -A --horizon 6h          what scales within six hours",
        "krm hpa metrics web -n shop --metric response_time --aggregation p99",
    )


def recommend(parser: Parser, commands: Any, name: str) -> None:
    command = add_command(
        parser, commands, name, "requests and limits that were tested on the past; krm never applies them"
    )
    command.add_argument(
        "--target",
        choices=("balanced", "performance", "cost"),
        default="balanced",
        help="of strategy krm (default: balanced)",
    )
    command.add_argument(
        "--strategy", choices=("krm", "vpa", "krr", "krr-limit"), default="krm",
        help="krm's own, or what the Vertical Pod Autoscaler or krr would advise (default: krm)",
    )  # fmt: skip
    command.add_argument(
        "-l", "--selector", metavar="LABELS", default="", help="of the workloads' labels, e.g. app=web,tier!=db"
    )
    answered(
        command, "pods, what was held out, what each number is made of", more=("patch", "kustomize"),
        about="; patch: strategic-merge patches; kustomize: a kustomization.yaml that holds them",
    )  # fmt: skip
    examples(
        command,
        "krm recommend -n shop                                  what each workload should ask for",
        "krm recommend -n shop --target cost -o wide            with what each number is made of",
        "krm recommend -n shop -l app=web -o patch > web.yaml   to look at, then kubectl patch",
        "krm recommend -n shop -o kustomize > kustomization.yaml",
        "krm recommend -n shop --strategy vpa                   what the Vertical Pod Autoscaler would say",
    )
