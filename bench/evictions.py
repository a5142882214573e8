"""Evictions foretold beside what the kubelet does: 60 replayed cases of memory pressure (eviction_replays.py).

`python bench/evictions.py` asks krm's own question some time before each, with what krm would know then: a point of
the node's working set each 15 s of the last hour, with noise, and what each pod used 10 s ago. It prints how often
the first victim was the kubelet's, how many pairs of pods stood in its order, and how often the interval held the
moment: without the 12 cases in which a pod bursts in the last half minute, for nothing tells of those before.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence

from eviction_replays import Replay, replays
from krm.analysis.inputs import History, Inputs, Newest, Reading, State, Track
from krm.analysis.nodes.evictions import Asked, answer
from krm.analysis.nodes.signals import WORKING_SET
from krm.model.kubelets import KubeletConfig, NodeKubelet
from krm.model.measures import Subject
from rig import Row

ORACLE = Path(__file__).resolve().parent.parent / "tests" / "oracles" / "eviction.json"
LEADS = (1800.0, 900.0, 300.0, 60.0, 20.0)  # seconds before the eviction
WINDOW, STEP, LATE = 3600.0, 15.0, 10.0  # seconds of the past, between its points, and a reading's age
NOISE = 0.002  # of the working set, the standard deviation of a point
NODE = "n1"


class Score(NamedTuple):
    """Of all cases, at one lead."""

    lead: float
    cases: int
    victims: int  # whose first victim was the kubelet's
    pairs: int
    ordered: int  # pairs of pods in the kubelet's order
    calm: int  # cases without a burst
    dates: int  # of these, with a date
    held: int  # of these, whose interval held the moment


def scores(leads: Sequence[float] = LEADS) -> List[Score]:
    """Each case at each lead."""
    orders = {one["Name"]: one for one in json.loads(ORACLE.read_text(encoding="utf-8"))["Replays"]}
    cases = replays()
    return [_score(lead, cases, orders) for lead in leads]


def _score(lead: float, cases: List[Replay], orders: Dict[str, Dict[str, List[str]]]) -> Score:
    victims = pairs = ordered = dates = held = 0
    for case in cases:
        told = orders[f"replay {case.number}"]
        (row,) = answer(inputs(case, case.at - lead), Asked()).rows
        mine = [one.pod for one in row.victims if one.place is not None]
        place = {name: number for number, name in enumerate(told["Order"])}
        victims += bool(mine) and mine[0] == told["Victim"]
        for number, first in enumerate(mine):
            for second in mine[number + 1 :]:
                pairs += 1
                ordered += place[first] < place[second]
        if not case.bursts and row.earliest is not None and row.latest is not None:
            dates += 1
            held += row.earliest <= case.at <= row.latest
    calm = sum(not case.bursts for case in cases)
    return Score(lead, len(cases), victims, pairs, ordered, calm, dates, held)


def inputs(case: Replay, now: float) -> Inputs:
    """What krm knows at `now`."""
    draw = random.Random(case.number)
    times = [now - LATE - STEP * back for back in range(int(WINDOW // STEP) - 1, -1, -1)]
    values = [case.working_set(at) * draw.gauss(1, NOISE) for at in times]
    node = {
        "metadata": {"name": NODE},
        "status": {
            "capacity": {"memory": str(case.capacity)},
            "allocatable": {"memory": str(case.capacity)},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }
    pods = [
        Reading(Subject("lab", pod.name, node=NODE), {WORKING_SET: pod.used(now - LATE)}, now - LATE, 10.0, "k", "")
        for pod in case.pods
    ]
    used = {WORKING_SET: case.working_set(now - LATE)}
    nodes = [Reading(Subject(node=NODE), used, now - LATE, 10.0, "k", "")]
    track = Track(Subject(node=NODE), times, values)
    config = KubeletConfig({"memory.available": "100Mi"})
    return Inputs(
        now,
        "replay",
        State({"nodes": [node], "pods": [pod.body(NODE) for pod in case.pods]}, {}, {}),
        History(now - WINDOW, now, {(WORKING_SET, "node"): [track]}, None, now - WINDOW),
        Newest({"node": nodes, "pod": pods}),
        kubelets={NODE: NodeKubelet(NODE, config, now)},
    )


def rows() -> List[Row]:
    """For the table of all benchmarks."""
    made = []
    for one in scores((900.0, 60.0)):
        right = f"{one.victims / one.cases:.0%} first victims, {one.ordered / one.pairs:.1%} pairs in order"
        beside = f"the kubelet's own package; {one.held} of {one.dates} intervals held the moment"
        made.append(Row(f"evictions foretold {one.lead:.0f} s before", right, beside, "-", None))
    return made


def main() -> None:
    """A line a lead."""
    print("before   first victim right   pairs in order   date given   interval held the moment")
    for one in scores():
        print(
            f"{one.lead:5.0f}s   {one.victims}/{one.cases} ({one.victims / one.cases:.0%})"
            f"          {one.ordered / one.pairs:.1%}            {one.dates}/{one.calm}"
            f"        {one.held}/{one.dates}"
        )


if __name__ == "__main__":
    main()
