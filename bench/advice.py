"""Advice on days of fixed traces: krm's beside krr's and the Vertical Pod Autoscaler's, in kills and in dollars.

`python bench/advice.py` prints all of the tuning half; `--held-out` the other half, which was scored once.
"""

from __future__ import annotations

import sys
from typing import Dict, List, Optional, Sequence

import advice_speed
from advice_score import Score, Seen, Settings, Strategy, scores
from advice_traces import DAY, HOUR, SHAPES, workloads
from krm.analysis.sizing import krr, own, vpa
from rig import Row


def as_set(_: Sequence[Seen], settings: Settings) -> Optional[Settings]:
    """As the owner left it."""
    return settings


def by_krr(limited: bool) -> Strategy:
    """On all that was seen (its default are 14 days)."""

    def advise(seen: Sequence[Seen], _: Settings) -> Optional[Settings]:
        cpu = krr.cpu([sorted(one.cpu) for one in seen], limited, False)
        memory = krr.memory([sorted(one.memory) for one in seen], False)
        if cpu.request is None or memory.request is None:
            return None
        return Settings(cpu.request, memory.request, cpu.limit, memory.limit)

    return advise


def by_vpa(seen: Sequence[Seen], _: Settings) -> Optional[Settings]:
    """The target; a limit keeps its ratio to the request, as its admission controller has it: memory's is 1."""
    pods = [
        (
            [vpa.Sample(*row) for row in zip(one.times, one.cpu, one.memory)],
            [vpa.Oom(at, limit) for at, limit in one.kills],
        )
        for one in seen
    ]
    advice = vpa.state_of(pods).advice()
    return Settings(advice.cpu.target, advice.memory.target, None, advice.memory.target)


def by_krm(target: str) -> Strategy:
    """On what krm's history gives: points of a day, hours of a week, OOM kills of a day."""

    def advise(seen: Sequence[Seen], _: Settings) -> Optional[Settings]:
        pods = [_past(one) for one in seen]
        cpu, memory = own.cpu(pods, target), own.memory(pods, target)
        if cpu is None or memory is None:
            return None
        return Settings(cpu.request, memory.request, None, memory.limit)

    return advise


def _past(seen: Seen) -> own.PodPast:
    first = max(0, len(seen.times) - 7 * DAY)
    hours = range(first, len(seen.times), HOUR)
    return own.PodPast(
        sorted(seen.cpu[-DAY:]),
        [sum(seen.cpu[at : at + HOUR]) / HOUR for at in hours],
        [seen.times[at + HOUR - 1] for at in hours],
        [max(seen.memory[at : at + HOUR]) for at in hours],
        max((limit for at, limit in seen.kills if at > seen.times[-1] - 86400), default=0.0),
    )


STRATEGIES: Dict[str, Strategy] = {
    "as set": as_set,
    "krr simple": by_krr(False),
    "krr simple_limit": by_krr(True),
    "VPA": by_vpa,
    **{f"krm {target}": by_krm(target) for target in own.TARGETS},
}


def table(held_out: bool) -> Dict[str, Dict[str, Score]]:
    """Of one half."""
    return scores([one for one in workloads() if one.held_out == held_out], STRATEGIES)


def rows() -> List[Row]:
    """Both halves of the traces, and the time that 5,000 pods take."""
    found: List[Row] = []
    for half, held_out in (("tuned on", False), ("held out", True)):
        sums = {name: by_shape[""] for name, by_shape in table(held_out).items()}
        krm, by_krr, by_recommender = sums["krm balanced"], sums["krr simple"], sums["VPA"]
        found += [
            Row(f"advice, {half}: OOM kills and $ of balanced beside krr simple", _short(krm), _short(by_krr),
                "fewer kills at no more cost", krm.kills < by_krr.kills and krm.dollars <= by_krr.dollars),
            Row(f"advice, {half}: the same beside VPA", _short(krm), _short(by_recommender),
                "less cost at no more kills",
                krm.dollars < by_recommender.dollars and krm.kills <= by_recommender.kills),
        ]  # fmt: skip
        found += [Row(f"advice, {half}: {name}", _short(one), "", "", None) for name, one in sums.items()]
    speed = advice_speed.run()
    found.append(
        Row("advice: 5,000 pods with 24 h of history, CPU s", f"{speed.all:.1f}",
            f"reading alone {speed.read:.1f}; {speed.wall:.1f} s by the clock, {speed.mebibytes:.0f} MiB, "
            f"{speed.advised} of {speed.rows} containers advised", "<= 20", speed.all <= 20),
    )  # fmt: skip
    return found


def _short(score: Score) -> str:
    return f"{score.kills} kills, $ {score.dollars:.2f}, {score.throttled:.0f} min throttled"


def lines(found: Dict[str, Dict[str, Score]]) -> List[str]:
    """A Markdown table."""
    head = (
        "| strategy | OOM kills | cost, $ | throttled, min | above CPU request, min | above memory request, min |"
    )
    rows = [head + " kills by shape |", "|---|---|---|---|---|---|---|"]
    for name, by_shape in found.items():
        every = by_shape[""]
        shapes = ", ".join(f"{shape} {by_shape[shape].kills}" for shape in SHAPES)
        rows.append(
            f"| {name} | {every.kills} | {every.dollars:.2f} | {every.throttled:.0f} | {every.above_cpu:.0f} | "
            f"{every.above_memory:.0f} | {shapes} |"
        )
    return rows


if __name__ == "__main__":
    print(*lines(table("--held-out" in sys.argv[1:])), sep="\n")
