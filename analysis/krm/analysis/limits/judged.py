"""A breach as a finding: how bad it is, in a sentence, with its numbers, and how sure. Pure."""

from __future__ import annotations

from typing import FrozenSet, Iterable, NamedTuple, Optional, Tuple

from krm.analysis.finding import CRITICAL, HIGH, INFO, LOW, MEDIUM, SURENESS, WARNING, About, Evidence, Finding
from krm.analysis.inputs import Body
from krm.analysis.limits import words
from krm.analysis.limits.breach import ABOVE, APPROACHING, AT, Breach
from krm.analysis.limits.checks import LIMIT, REQUEST, UNITS, Check
from krm.analysis.limits.points import GRACE, STEP
from krm.model.amounts import CPU, MEMORY
from krm.model.reading import mapping, rows, text
from krm.model.trust import LIVE

LIMIT_BREACH, REQUEST_EXCEEDED = "limit-breach", "request-exceeded"
# Share of CPU periods, over the window: above it the kubernetes-mixin's CPUThrottlingHigh fires.
THROTTLED_MUCH = 0.25
MOST_MISSING, HALF = 0.1, 0.5  # shares of the window's points: sure up to the first, unsure from the second on
AHEAD = 60.0  # seconds: the clock of who measured is that far in the future
_WOULD = {
    (LIMIT, CPU): "use less, or a higher CPU limit: `krm recommend` says which was enough in the past",
    (LIMIT, MEMORY): "use less, or a higher memory limit, before the kernel kills it: `krm recommend` says which",
    (REQUEST, CPU): "a request of what it uses: the scheduler counts on requests, and so does the HPA",
    (REQUEST, MEMORY): "a request of what it uses: whoever is above its request is evicted first",
}
_WOULD_STORAGE = {
    LIMIT: "fewer files, or a higher limit: a pod above it is evicted",
    REQUEST: "a request of what it uses: whoever is above its request is evicted first",
}


def id_of(check: Check) -> str:
    """Of the finding that there is, or would be, of it: as Finding.id."""
    holder = check.holder
    rule = LIMIT_BREACH if check.against == LIMIT else REQUEST_EXCEEDED
    return "/".join((rule, "pod", holder.namespace, holder.name, check.container, check.resource))


class Setting(NamedTuple):
    """What judges all breaches of one answer."""

    now: float
    window: float  # seconds
    threshold: float
    newest: str  # state of the newest readings, of krm.model.trust
    pods: str  # state of the pods
    pressed: FrozenSet[str]  # nodes under memory pressure
    nodes_known: bool


def finding_of(one: Breach, check: Check, setting: Setting) -> Finding:
    """`one`: of `check`."""
    sureness, doubts = _doubts(one, check, setting)
    would = _WOULD.get((one.against, one.resource)) or _WOULD_STORAGE[one.against]
    if one.resource == "pids":
        would = "fewer processes and threads: at the limit no more can be started"
    return Finding(
        rule=LIMIT_BREACH if one.against == LIMIT else REQUEST_EXCEEDED,
        severity=_severity(one, setting),
        about=About("pod", one.namespace, one.pod, one.container, one.resource),
        sentence=_sentence(one, setting),
        evidence=_evidence(one, check, setting),
        sureness=sureness,
        doubts=doubts,
        would_change=would,
    )


def _severity(one: Breach, setting: Setting) -> str:
    if one.against == REQUEST:
        return WARNING if one.resource == MEMORY and one.node in setting.pressed else INFO
    if one.resource == CPU:
        if one.state == APPROACHING:
            return INFO
        much = one.throttled is not None and one.throttled >= THROTTLED_MUCH
        return WARNING if much or one.ratio >= 1.0 or one.throttled is None else INFO
    return WARNING if one.state == APPROACHING else CRITICAL


def _looked_at(one: Breach, window: float) -> float:
    """Seconds: the window, or as much of it as the container has been there."""
    due = window if one.points is None else one.points.of * STEP
    return window if due + 2 * GRACE >= window else due


def _sentence(one: Breach, setting: Setting) -> str:
    who = f"{one.namespace}/{one.pod}" + (f" container {one.container}" if one.container else " as a whole")
    state = {APPROACHING: "near", AT: "at", ABOVE: "above"}[one.state]
    said = [f"{who}: {one.resource} {state} its {one.against} of {words.amount(one.resource, one.allowed)}"]
    if one.peak is not None:
        said.append(f"peak {words.amount(one.resource, one.peak)}")
    if one.share is not None and one.longest is not None:
        least = "above it" if one.against == REQUEST else f"at {words.share(setting.threshold)} or above"
        if one.resource == CPU and one.against == LIMIT:
            least += " or throttled"
        said.append(
            f"{least} for {words.share(one.share)} of {words.span(_looked_at(one, setting.window))}, "
            f"{words.span(one.longest)} at a time"
        )
    if one.now is not None:
        said.append(f"{words.amount(one.resource, one.now)} now")
    if one.throttled:
        said.append(f"{words.share(one.throttled)} of its periods throttled")
    if one.left is not None and one.resource == MEMORY:
        said.append(
            f"{words.amount(one.resource, one.left)} before the kernel kills" if one.left > 0
            else f"{words.amount(one.resource, -one.left)} beyond where the kernel kills"
        )  # fmt: skip
    return ", ".join(said)


def _evidence(one: Breach, check: Check, setting: Setting) -> Tuple[Evidence, ...]:
    unit = UNITS[one.resource]
    found = [
        Evidence("used", one.now, unit, check.source or "kubelet", one.now_at),
        Evidence(f"{one.against} in force", one.allowed, unit, "agent" if one.resource == "pids" else "pod"),
    ]
    newest = max(check.line, default=None)

    def of_window(what: str, value: Optional[float], unit: str) -> None:
        found.append(Evidence(what, value, unit, "history", newest, setting.window, one.points))

    if one.peak is not None:
        of_window("peak used", one.peak, unit)
    if one.share is not None:
        of_window("share of the points", one.share, "share")
        of_window("longest run", one.longest, "seconds")
    if one.resource == CPU and one.against == LIMIT:
        at = max(check.throttled, default=None)
        found.append(Evidence("throttled share of periods", one.throttled, "share", "history", at, setting.window))
    if one.against == LIMIT and one.resource == MEMORY:
        found.append(Evidence("distance to an OOM kill", one.left, unit, check.source or "kubelet", one.now_at))
        of_window("least distance", one.least_left, unit)
    found += [Evidence("limit before", value, unit, "history", at) for at, value in sorted(check.then.items())[-1:]]
    return tuple(found)


def _doubts(one: Breach, check: Check, setting: Setting) -> Tuple[str, Tuple[str, ...]]:
    levels, doubts = [HIGH], []

    def doubt(level: str, sentence: str) -> None:
        levels.append(level)
        doubts.append(sentence)

    if not check.windowed:
        doubt(HIGH, "it is told of now alone: no history of it is read")
    elif one.points is None:
        doubt(MEDIUM, _since(one.history_since) + ": it is told from the newest values alone")
    else:
        missing = one.points.of - one.points.known
        if missing > 0:
            share = missing / one.points.of
            level = HIGH if share <= MOST_MISSING else LOW if share >= HALF else MEDIUM
            doubt(level, f"{missing} of {one.points.of} points of the window are missing")
    if one.now is None:
        doubt(MEDIUM, "what it uses now is not known")
    elif setting.newest != LIVE:
        doubt(LOW if one.points is None else MEDIUM, f"the newest values are {setting.newest}")
    if one.now_at is not None and one.now_at > setting.now + AHEAD:
        doubt(LOW, f"the clock of who measured it is {one.now_at - setting.now:.0f} s ahead")
    if setting.pods != LIVE:
        doubt(MEDIUM, f"pods are {setting.pods}: what is in force may be something else")
    if one.resource == CPU and one.against == LIMIT and not check.throttled:
        doubt(HIGH, "whether it was throttled is not known")
    if one.state == ABOVE and one.against == LIMIT:
        doubt(MEDIUM, "a limit that is enforced is not exceeded: it was lowered, or is not enforced")
    if one.against == REQUEST and one.resource == MEMORY and not setting.nodes_known:
        doubt(HIGH, "whether its node is under memory pressure is not known")
    return min(levels, key=SURENESS.index), tuple(doubts)


def _since(at: Optional[float]) -> str:
    return "there is no history" if at is None else f"history since {words.moment(at)}, which is not all of it"


def pressed_nodes(nodes: Iterable[Body]) -> FrozenSet[str]:
    """Names of nodes whose kubelet reports memory pressure."""
    return frozenset(
        text(mapping(node.get("metadata")).get("name"))
        for node in nodes
        if isinstance(node, dict)
        for condition in rows(mapping(node.get("status")).get("conditions"))
        if condition.get("type") == "MemoryPressure" and condition.get("status") == "True"
    )
