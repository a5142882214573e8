"""Whether a node holds a pod: what the recommendations ask."""

from typing import Any, Dict, List

import pytest
from krm.analysis.scheduling.fits import fits
from oracles.scheduler.bodies import CPU2, node, pod, taint

TABLE: List[Any] = [
    # what is asked, what stands on the node, why not
    ({"cpu": "4"}, [], ()),
    ({"cpu": "4001m"}, [], ("Insufficient cpu",)),
    ({"cpu": "2"}, [CPU2], ()),
    ({"cpu": "2"}, [CPU2, {"cpu": "1m"}], ("Insufficient cpu",)),
    ({"memory": "8Gi"}, [{}], ()),
    ({"memory": "8Gi", "cpu": "3"}, [{"memory": "1"}, CPU2], ("Insufficient cpu", "Insufficient memory")),
    ({"example.com/gpu": "1"}, [], ("Insufficient example.com/gpu",)),
]


@pytest.mark.parametrize(("asked", "there", "why"), TABLE)
def test_a_node_of_four_cores_and_eight_gibibytes(asked: Dict[str, str], there: List[Any], why: Any) -> None:
    placed = [pod(f"p{number}", "n1", requests=requests) for number, requests in enumerate(there)]
    assert fits(pod(requests=asked), node("n1"), placed) == why


def test_pods_that_have_ended_or_are_elsewhere_hold_nothing() -> None:
    ended = {**pod("p1", "n1", requests={"cpu": "4"}), "status": {"phase": "Succeeded"}}
    elsewhere = pod("p2", "n2", requests={"cpu": "4"})
    assert fits(pod(requests={"cpu": "4"}), node("n1"), [ended, elsewhere]) == ()


def test_a_pod_that_runs_elsewhere_is_asked_as_a_template() -> None:
    assert fits(pod(on="n9", requests=CPU2), node("n1"), []) == ()


def test_other_filters_count_too() -> None:
    assert fits(pod(), node("n1", taints=[taint("a")]), []) == ("node(s) had untolerated taint(s)",)
    assert fits(pod(nodeSelector={"a": "b"}), node("n1"), []) == (
        "node(s) didn't match Pod's node affinity/selector",
    )


def test_what_cannot_be_read_does_not_fit_and_says_so() -> None:
    assert fits(pod(requests={"cpu": "many"}), node("n1"), []) == ("the request of cpu is not known",)
    assert fits(pod(requests=CPU2), node("n1"), [pod("p1", "n1", requests={"cpu": "x"})]) == (
        "free cpu is not known",
    )
