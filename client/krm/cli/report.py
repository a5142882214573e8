"""`krm report NS`: a namespace on one page, as text, JSON, Markdown or an HTML page."""

from __future__ import annotations

import argparse

from krm.analysis.report.page import as_html
from krm.analysis.report.rows import NamespaceReport
from krm.analysis.report.text import as_markdown, as_text
from krm.cli.answering import FOUND, NOT_TRUSTED, OK
from krm.cli.opening import open_client
from krm.cli.output import dump_json
from krm.cli.terminal import say, write
from krm.model.trust import LIVE
from krm.monitor import K8sResourceMonitor


def run(args: argparse.Namespace) -> int:
    """Exit codes: krm.cli.answering. The page says what it lacks; on stderr stands only why it is not live."""
    with open_client(args) as client:
        report = K8sResourceMonitor(client).get_namespace_report(args.name, time_window=args.window)
    trusted = report.worth.state == LIVE or args.stale_ok
    if trusted or args.output == "json":
        write(_written(report, args.output))
    if report.worth.state != LIVE:
        for reason in report.worth.reasons:
            say(f"krm: {reason}")
        say(f"krm: the report is {report.worth.state}" + ("" if trusted else ": --stale-ok shows it"))
        return NOT_TRUSTED
    return FOUND if args.fail_on and report.found(args.fail_on) else OK


def _written(report: NamespaceReport, form: str) -> str:
    if form == "json":
        return dump_json(report.to_dict())
    if form == "markdown":
        return as_markdown(report)
    return as_html(report) if form == "html" else as_text(report) + "\n"
