"""What a person should know of recommendations: too little, far too much, what cannot be taken over. Pure."""

from __future__ import annotations

from typing import Iterable, Iterator, Tuple

from krm.analysis.finding import INFO, WARNING, About, Finding
from krm.analysis.sizing.rows import Recommendation, written

_MUCH = 2.0  # times what is advised: a request that is far too large


def findings_of(rows: Iterable[Recommendation]) -> Tuple[Finding, ...]:
    """In the order of the rows."""
    return tuple(finding for row in rows if not row.waits_for for finding in _findings(row))


def _findings(row: Recommendation) -> Iterator[Finding]:
    whom = f"{row.namespace}/{row.name} container {row.container}"
    if row.memory_advised and row.backtest is not None:
        limit, advised = row.now.memory_limit, row.advised.memory_limit
        if limit is not None and advised is not None and limit < advised and _was_near(row):
            kills = f", {row.backtest.kills_now} OOM kills in a day" if row.backtest.kills_now else ""
            yield _finding(
                row, "undersized", WARNING, "memory",
                f"{whom}: the memory limit of {written('memory', limit)} is small: {written('memory', advised)} "
                f"is advised{kills}",
                "raise the limit, or find out why it takes so much",
            )  # fmt: skip
    for resource, is_advised in (("cpu", row.cpu_advised), ("memory", row.memory_advised)):
        now, advised = (getattr(one, f"{resource}_request") for one in (row.now, row.advised))
        if is_advised and now is not None and advised is not None and now > _MUCH * advised:
            yield _finding(
                row, "oversized", INFO, resource,
                f"{whom}: asks for {written(resource, now)} of {resource}, {written(resource, advised)} are enough",
                "a higher load than that of the past week",
            )  # fmt: skip
    if row.feasible is False:
        yield _finding(
            row, "advice-infeasible", WARNING, "",
            f"{whom}: the advice cannot be taken over: {'; '.join(row.obstacles)}",
            "another LimitRange or quota, or a larger node",
        )  # fmt: skip


def _was_near(row: Recommendation) -> bool:
    """It was killed, or its peak left less than a tenth of the limit."""
    peak = next((one.value for one in row.evidence if one.what == "peak working set"), None)
    limit = row.now.memory_limit
    killed = row.backtest is not None and row.backtest.kills_now > 0
    return killed or (peak is not None and limit is not None and peak > 0.9 * limit)


def _finding(row: Recommendation, rule: str, severity: str, part: str, sentence: str, change: str) -> Finding:
    about = About(row.kind, row.namespace, row.name, row.container, part)
    return Finding(rule, severity, about, sentence, row.evidence, row.sureness, row.doubts, change)
