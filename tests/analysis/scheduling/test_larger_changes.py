"""New nodes and higher priorities: what DaemonSets take, what a budget keeps, what users may not set."""

from typing import Any, Dict, List

from krm.analysis.scheduling.board import read_board
from krm.analysis.scheduling.budgets import breaking
from krm.analysis.scheduling.fits import fits
from krm.analysis.scheduling.parsed import pod_of
from krm.analysis.scheduling.pending import Asked, Pending, answer
from krm.analysis.scheduling.predicates import Cycle
from krm.analysis.scheduling.preemption import preempt
from oracles.scheduler.bodies import CPU2, node, pod
from paper_nodes import inputs, state


def one(nodes: Any, pods: Any, **more: Any) -> Pending:
    found = answer(inputs(state(nodes, pods, **more)), Asked())
    (row,) = [row for row in found.rows if row.pod == "waits"]
    return row


def steps(row: Pending, kind: str) -> List[str]:
    return [step for change in row.changes if change.kinds == (kind,) for step in change.steps]


def of_daemon_set(name: str, on: str, cpu: str) -> Any:
    body = pod(name, on, requests={"cpu": cpu})
    body["metadata"]["ownerReferences"] = [
        {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "logs", "controller": True}
    ]
    return body


def with_priority(body: Any, priority: int) -> Any:
    return {**body, "spec": {**body["spec"], "priority": priority}}


def test_a_new_node_has_room_for_daemon_sets_too() -> None:
    """An empty node of 4 cores holds 3800m, not beside 500m of a DaemonSet: 4300m are needed."""
    row = one([node("n1")], [pod(requests={"cpu": "3800m"}), of_daemon_set("d", "n1", "500m")])
    assert steps(row, "new-node")[0].startswith("add a node with at least 4300m cpu allocatable")
    assert "500m cpu of DaemonSets" in next(one for one in row.changes if one.kinds == ("new-node",)).proof
    row = one(
        [node("n1")],
        [pod(requests={"cpu": "3500m"}), of_daemon_set("d", "n1", "500m"), pod("p", "n1", requests=CPU2)],
    )
    assert steps(row, "new-node") == ["add another node like n1 (4 cpu)"]


def test_priorities_of_the_system_are_no_advice() -> None:
    critical = with_priority(pod("p", "n1", requests={"cpu": "4"}), 2_000_000_000)
    assert steps(one([node("n1")], [pod(requests=CPU2), critical]), "priority") == []
    user = with_priority(pod("p", "n1", requests={"cpu": "4"}), 999_999_999)
    assert steps(one([node("n1")], [pod(requests=CPU2), user]), "priority")[0].startswith(
        "give it priority 1000000000"
    )


def test_who_never_preempts_is_not_told_to() -> None:
    meek = pod(requests=CPU2, preemptionPolicy="Never")
    assert steps(one([node("n1")], [meek, pod("p", "n1", requests={"cpu": "4"})]), "priority") == []


def budget(allowed: int) -> Any:
    return {
        "metadata": {"name": "b", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}},
        "status": {"disruptionsAllowed": allowed},
    }


def victims(allowed: int) -> Dict[str, int]:
    """Two pods of the same priority hold 2 of 4 cores each; one is guarded. Either would do."""
    guarded, other = pod("z-guarded", "n1", requests=CPU2, labels={"app": "web"}), pod("b", "n1", requests=CPU2)
    started = {"startTime": "2027-01-01T00:00:00Z"}
    pods = [with_priority(pod(requests=CPU2), 5), {**guarded, "status": started}, {**other, "status": started}]
    read = read_board(state([node("n1")], pods))
    cycle = Cycle(read.board, read.waiting[0])
    (best,) = preempt(cycle, cycle.refusals(), [budget(allowed)]).victims
    return {one.name: best.breaks for one in best.pods}


def test_a_budget_decides_which_of_two_goes() -> None:
    """Who would break it is spared first, as the scheduler does it; else the one that comes last is the victim."""
    assert victims(0) == {"b": 0}
    guarded = [pod_of(pod("x", "n1", labels={"app": "web"})), pod_of(pod("y", "n1"))]
    assert breaking(guarded, [budget(0)]) == {("default", "x")}
    assert breaking([guarded[0], guarded[0]], [budget(1)]) == {("default", "x")}
    everyone = {**budget(0), "spec": {"selector": {"matchExpressions": [{"key": "z", "operator": "DoesNotExist"}]}}}
    assert breaking(guarded, [everyone]) == {("default", "x")}, "a pod without labels is nobody's"


def test_a_lowered_request_of_memory_is_written_in_whole_mebibytes() -> None:
    row = one(
        [node("n1", memory="1Gi")],
        [pod(requests={"memory": "1Gi"}), pod("p", "n1", requests={"memory": "1000001"})],
    )
    assert steps(row, "lower-request") == ["lower its request of memory from 1Gi to 1023Mi"]


def test_fractions_of_a_millicore_are_rounded_up() -> None:
    placed = [pod("p", "n1", requests={"cpu": "1999500u"})]
    assert fits(pod(requests={"cpu": "2"}), node("n1"), placed) == ()
    assert fits(pod(requests={"cpu": "2000100u"}), node("n1"), placed) == ("Insufficient cpu",)


def test_a_claim_of_a_class_that_is_not_known_is_taken_to_wait_for_its_pod() -> None:
    waits = pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c1"}}])
    claim = {"metadata": {"name": "c1", "namespace": "default"}, "spec": {"storageClassName": "x"}}
    row = one([node("n1")], [waits], persistentvolumeclaims=[claim])
    assert row.state == "fits"
    finding = answer(inputs(state([node("n1")], [waits], persistentvolumeclaims=[claim])), Asked()).findings[0]
    assert "judged without volumes, storage classes, CSINodes" in finding.doubts[0]


def test_storage_that_a_driver_would_have_to_make_is_a_doubt() -> None:
    waits = pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c1"}}])
    claim = {"metadata": {"name": "c1", "namespace": "default"}, "spec": {"storageClassName": "x"}}
    kind = {
        "metadata": {"name": "x"},
        "provisioner": "csi.example.com",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    more = {"persistentvolumeclaims": [claim], "storageclasses": [kind], "persistentvolumes": [], "csinodes": []}
    (finding,) = answer(inputs(state([node("n1")], [waits], namespaces=[], **more)), Asked()).findings
    assert (finding.sureness, len(finding.doubts)) == ("medium", 1)
    assert "has storage left was not judged" in finding.doubts[0]
