"""Alerts of what is measured no more: the answer stays live, and nothing of the silent node or pod resolves."""

from __future__ import annotations

from typing import List

import paper_inputs as paper
from krm.analysis.alerting import Firing, Told, advance
from krm.analysis.inputs import Inputs, Newest
from krm.analysis.limits import breaches
from krm.analysis.nodes import pressure
from krm.analysis.nodes.predicting import Eviction
from paper_findings import NOW
from paper_inputs import MEMORY, MIB, a_pod, container, now_of, track
from paper_kubelets import GI, OWN, cluster, node, past, pod, reads_node, reads_pod

SILENT = ("node n1: no data: timed out",)
LIMIT = {"memory": "200Mi"}


def messages(*turns: Told) -> List[List[str]]:
    firing: Firing = {}
    found = []
    for number, turn in enumerate(turns):
        after = advance(firing, [turn], float(number))
        firing = after.firing
        ids = [(one.state, one.alert.finding.id) for one in after.changes]
        found.append([f"{state} {name}" for state, name in ids if not name.startswith("missing-resources")])
    return found


def breached(used: float, measured: bool, silent: bool, points: int = 20) -> Told:
    """web-0, and one more pod on another node, which is always measured."""
    pods = [a_pod("web-0", container("app", LIMIT, LIMIT)), a_pod("db", container("app", LIMIT, LIMIT), node="n2")]
    newest = [now_of("db", "app", node="n2", memory=MIB)]
    if measured:
        newest.append(now_of("web-0", "app", memory=used))
    end = paper.NOW - (0 if measured else 150)
    known = [track([MIB] * 20, "db", node="n2"), track([used] * points, "web-0", end=end)]
    tracks = {(MEMORY, "container"): known}
    made: Inputs = paper.inputs(pods, tracks, newest)
    if silent:
        made = made._replace(newest=Newest(made.newest.readings, reasons=SILENT))
    return Told("breaches", breaches.answer(made, breaches.Asked(None, 0.9, 300.0)))


def test_a_limit_breach_of_a_pod_that_is_silent_stays() -> None:
    """First the window still holds its points, and says already that the node is silent; then they run out."""
    fires = ["firing limit-breach/pod/shop/web-0/app/memory"]
    at, held = breached(199 * MIB, True, False), breached(199 * MIB, False, True, 10)
    gone, calm = breached(0.0, False, True, 0), breached(20 * MIB, True, False)
    assert messages(at, held, gone, gone, gone) == [fires, [], [], [], []]
    assert messages(at, held, gone, calm, calm)[-1] == [fires[0].replace("firing", "resolved")]


def nodes(measured: bool, used: float = 60 * GI, silent: bool = False) -> Told:
    readings = [reads_node("n2", GI), reads_pod("calm", "n2", GI, ephemeral_storage__usage=0.0)]
    at = NOW - (5 if measured else 3600)
    readings += [reads_node("n1", used, at=at), reads_pod("hungry", "n1", 30 * GI, at=at)]
    rate = GI / 600 if used > 50 * GI else 0.0
    made = cluster(
        [node("n1"), node("n2")], [pod("hungry", "n1", "1Gi"), pod("calm", "n2", "1Gi")], readings,
        [past("n1", MEMORY, used, rate)], {"n1": OWN, "n2": OWN},
    )  # fmt: skip
    if silent:
        made = made._replace(newest=Newest(made.newest.readings, reasons=SILENT))
    return Told("nodes", pressure.answer(made, pressure.Asked()))


def test_an_eviction_to_come_of_a_node_that_is_silent_stays() -> None:
    """Its newest values are believed for three minutes, its silence told beside them; then nothing is known."""
    near, held, gone = nodes(True), nodes(True, silent=True), nodes(False, silent=True)
    fires = "firing node-eviction/node//n1//memory.available"
    found = messages(near, held, gone, gone, gone)
    assert fires in found[0]
    assert not [one for turn in found for one in turn if one == fires.replace("firing", "resolved")]
    calm = nodes(True, 20 * GI)
    assert fires.replace("firing", "resolved") in messages(near, held, gone, calm, calm)[-1]


def test_the_ids_are_those_of_the_findings() -> None:
    """So that what cannot be judged is the same thing that fired."""
    answer = nodes(True).answer
    assert isinstance(answer, pressure.NodePressure)
    coming: List[Eviction] = [one for row in answer.rows for one in row.evictions if one.at is not None]
    assert {pressure.id_of(one) for one in coming} == {
        one.id for one in answer.findings if one.rule == "node-eviction"
    }
