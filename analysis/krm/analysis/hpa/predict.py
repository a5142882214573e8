"""When an HPA scales next, and to how many: from the trend and the daily pattern of its load, tested on the past.

A metric's load (krm.analysis.hpa.load) leaves the tolerance around what the present replicas bear: then it scales,
to load / target, rounded up, within least and most. The date's interval is krm.analysis.trend's (90 %). The test:
at three moments of the past the same was forecast from what was known then, and held against what came. Where most
of it did not come so, there is no basis. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from statistics import median
from typing import ClassVar, List, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.answer import Answer, Column
from krm.analysis.finding import INFO, LOW, MEDIUM, WARNING, About, Evidence, Finding
from krm.analysis.hpa.explain import HPAS, TARGETS, target_of
from krm.analysis.hpa.load import Load, load_of
from krm.analysis.hpa.spec import USUAL, Spec, read_spec
from krm.analysis.hpa.targets import named_of, namespace_of
from krm.analysis.inputs import Body, Inputs, Needs
from krm.analysis.trend import Crossing, crossing, forecast
from krm.analysis.worth import worth_of
from krm.model import times

PAST = 24 * 3600.0  # seconds of points that are looked at: all that are kept
_LEAST_POINTS = 12  # buckets: an hour
_CUTS = (0.5, 0.65, 0.8)  # shares of the past at which it is tested
_EACH_CUT = 8  # moments that are forecast from each
UP, DOWN, NONE = "up", "down", "none"
_LEAST_HELD = 0.6  # of what came, within the 90 % interval: below it there is no basis


class Asked(NamedTuple):
    """Of whom."""

    namespace: Optional[str]
    hpa: str  # '' = all
    horizon: float  # seconds
    points: Tuple[Tuple[str, str], ...] = ()  # series and level of their metrics: load.needed


@dataclass(frozen=True)
class Tested:
    """The same forecast, made in the past."""

    forecasts: int  # moments that were forecast
    held: int  # of them, within the 90 % interval
    error: Optional[float]  # median of |forecast - came| / came


@dataclass(frozen=True)
class Prediction:
    """Of one HPA."""

    namespace: str
    hpa: str
    replicas: Optional[int]  # now
    direction: str  # up, down, none (nothing within the horizon), "" (no basis)
    to: Optional[int]  # replicas after it
    at: Optional[float]  # Unix seconds
    earliest: Optional[float]  # of the 90 % interval
    latest: Optional[float]
    metric: str  # that it is due to
    tested: Optional[Tested]
    why: str  # why nothing is predicted, or what it rests on


@dataclass(frozen=True)
class Predictions(Answer):
    """Of all that were asked for."""

    COLUMNS: ClassVar[Tuple[Column, ...]] = (
        Column("NAMESPACE", lambda row: row.namespace),
        Column("HPA", lambda row: row.hpa),
        Column("REPLICAS", lambda row: "-" if row.replicas is None else str(row.replicas)),
        Column("NEXT", lambda row: row.direction or "no basis"),
        Column("TO", lambda row: "-" if row.to is None else str(row.to)),
        Column("AT", lambda row: _moment(row.at)),
        Column("EARLIEST", lambda row: _moment(row.earliest)),
        Column("LATEST", lambda row: _moment(row.latest)),
        Column("METRIC", lambda row: row.metric or "-"),
        Column("TESTED", lambda row: _tested(row.tested), wide=True),
        Column("WHY", lambda row: row.why, wide=True),
    )
    NOTHING: ClassVar[str] = "there is no such HorizontalPodAutoscaler"

    rows: Tuple[Prediction, ...]


def _moment(at: Optional[float]) -> str:
    return "-" if at is None else times.write(round(at))


def _tested(tested: Optional[Tested]) -> str:
    return "-" if tested is None else f"{tested.held} of {tested.forecasts} within"


def needs(asked: Asked) -> Needs:
    """What it is made of."""
    points = tuple(asked.points)
    return Needs((HPAS, "pods"), TARGETS, points=points, window=PAST, namespace=asked.namespace)


def answer(inputs: Inputs, asked: Asked) -> Predictions:
    """Pure."""
    hpas = [body for body in inputs.state.objects(HPAS) if asked.hpa in ("", named_of(body))]
    hpas = [body for body in hpas if asked.namespace in (None, namespace_of(body))]
    ordered = sorted(hpas, key=lambda one: (namespace_of(one), named_of(one)))
    rows = tuple(_predicted(inputs, body, asked.horizon) for body in ordered)
    findings = tuple(finding for row in rows for finding in _findings(row, inputs.now))
    return Predictions(worth_of(inputs, needs(asked), by_history=True), findings, rows)


def _predicted(inputs: Inputs, body: Body, horizon: float) -> Prediction:
    spec = read_spec(body)
    target = target_of(inputs, spec)
    nothing = Prediction(spec.namespace, spec.name, None, "", None, None, None, None, "", None, "")
    if target is None:
        return replace(nothing, why=f"krm does not know {spec.target_kind} {spec.target_name}")
    nothing = replace(nothing, replicas=target.replicas)
    if not target.replicas or not spec.least <= target.replicas <= spec.most:
        return replace(nothing, why=f"{target.replicas} replicas are not between {spec.least} and {spec.most}")
    found: List[Prediction] = []
    whys: List[str] = []
    for one in spec.metrics:
        load, why = load_of(one, spec.target_kind, spec.target_name, spec.namespace, target.pods, inputs.history)
        made = replace(nothing, why=why) if load is None else _of_load(nothing, spec, load, inputs.now, horizon)
        if made.direction:
            found.append(made)
        else:
            whys.append(made.why)
    return _together(nothing, found, whys)


def _together(nothing: Prediction, found: Sequence[Prediction], whys: Sequence[str]) -> Prediction:
    """The first that scales up wins; down goes only what all of the metrics let go, and when the last does."""
    ups = [one for one in found if one.direction == UP]
    if ups:
        return min(ups, key=lambda one: one.at or 0.0)
    if whys or not found:
        return replace(nothing, why="; ".join(dict.fromkeys(whys)) or "it has no metrics")
    stays = [one for one in found if one.direction == NONE]
    return stays[0] if stays else max(found, key=lambda one: one.at or 0.0)


def _of_load(nothing: Prediction, spec: Spec, load: Load, now: float, horizon: float) -> Prediction:
    """Of one metric; direction '' = no basis."""
    replicas, values = nothing.replicas or 0, load.values
    if len(values) < _LEAST_POINTS:
        return replace(
            nothing, why=f"no basis: {len(values)} means of 5 min of {load.spec.label}, an hour is needed"
        )
    tested = _test(load, horizon)
    if tested is None:
        return replace(nothing, why=f"no basis: the past of {load.spec.label} is too short to test a forecast on")
    if tested.held < _LEAST_HELD * tested.forecasts:
        why = f"no basis: of {tested.forecasts} forecasts of {load.spec.label} in the past {tested.held} came true"
        return replace(nothing, why=why)
    made = replace(nothing, metric=load.spec.label, tested=tested, direction=NONE)
    up, down = _levels(spec, load, replicas)
    rises = _reached(load, up, now, horizon, values[-1] > up)
    falls = _reached(load, down, now, horizon, values[-1] < down)
    if rises is not None and (falls is None or rises.at <= falls.at):
        wanted = max(replicas + 1, ceil(max(_forecast(load, rises.at), up) / load.each))
        if replicas >= spec.most:
            return replace(made, to=wanted, why=f"{wanted} replicas will be needed, and maxReplicas is {spec.most}")
        return _due(made, UP, min(spec.most, wanted), rises, 0.0, load)
    if falls is not None and replicas > spec.least:
        wanted = max(spec.least, ceil(min(_forecast(load, falls.at), down) / load.each), 1)
        window = USUAL.down_window if spec.down is None or spec.down.window is None else spec.down.window
        return _due(made, DOWN, min(wanted, replicas - 1), falls, window, load)
    return replace(
        made, why=f"{load.spec.label} stays within what {replicas} replicas bear for {horizon / 3600:g} h"
    )


def _levels(spec: Spec, load: Load, replicas: int) -> Tuple[float, float]:
    """Loads beyond which one more, or one fewer, replica is asked for."""
    up = spec.up.tolerance if spec.up is not None and spec.up.tolerance is not None else USUAL.tolerance
    down = spec.down.tolerance if spec.down is not None and spec.down.tolerance is not None else USUAL.tolerance
    present = load.each * replicas
    return present * (1 + up), min(present * (1 - down), load.each * (replicas - 1))


def _reached(load: Load, level: float, now: float, horizon: float, is_beyond: bool) -> Optional[Crossing]:
    """When, if within the horizon; at once where the newest mean is beyond it."""
    if is_beyond:
        return Crossing(now, now, now)
    found = crossing(load.times, load.values, level, now)
    return found if found is not None and found.at <= now + horizon else None


def _forecast(load: Load, at: float) -> float:
    found = forecast(load.times, load.values, [at])
    return load.values[-1] if found is None else found[0].value


def _due(made: Prediction, way: str, to: int, when: Crossing, later: float, load: Load) -> Prediction:
    why = f"{load.spec.label} of all pods: {load.values[-1] / 1000:.4g} now, {load.each / 1000:.4g} a replica"
    return replace(
        made, direction=way, to=to, at=when.at + later, earliest=when.earliest + later, latest=when.latest + later,
        why=why + (f"; {later:g} s of stabilisation are in it" if later else ""),
    )  # fmt: skip


def _test(load: Load, horizon: float) -> Optional[Tested]:
    """None: nothing of the past could be forecast."""
    first, last = load.times[0], load.times[-1]
    forecasts, held, errors = 0, 0, []
    for share in _CUTS:
        cut = first + share * (last - first)
        before = [place for place, at in enumerate(load.times) if at <= cut]
        after = [place for place, at in enumerate(load.times) if cut < at <= cut + horizon]
        after = after[:: max(1, len(after) // _EACH_CUT)]
        made = forecast(
            [load.times[place] for place in before],
            [load.values[place] for place in before],
            [load.times[place] for place in after],
        )
        for place, one in zip(after, made or ()):
            came = load.values[place]
            forecasts, held = forecasts + 1, held + (one.low <= came <= one.high)
            if came:
                errors.append(abs(one.value - came) / abs(came))
    return Tested(forecasts, held, median(errors) if errors else None) if forecasts else None


def _findings(row: Prediction, now: float) -> List[Finding]:
    about, name = About(HPAS, row.namespace, row.hpa), f"HPA {row.namespace}/{row.hpa}"
    evidence = (Evidence("replicas", row.replicas, "count", "spec", now),
                Evidence("replicas after it", row.to, "count", "history", row.at, PAST))  # fmt: skip
    doubts = () if row.tested is None else (f"{_tested(row.tested)} the interval in the past",)
    if row.direction == NONE and row.to is not None:
        hint = "a larger maxReplicas, or less load"
        return [Finding("hpa-maximum-ahead", WARNING, about, f"{name}: {row.why}", evidence, LOW, doubts, hint)]
    if row.direction not in (UP, DOWN):
        return []
    sentence = f"{name} scales from {row.replicas} to {row.to} at {_moment(row.at)}"
    sentence += f" ({_moment(row.earliest)} to {_moment(row.latest)}): {row.why}"
    sureness = MEDIUM if row.tested is not None and row.tested.held >= 0.8 * row.tested.forecasts else LOW
    return [Finding("hpa-scaling-ahead", INFO, about, sentence, evidence, sureness, doubts, "another load")]
