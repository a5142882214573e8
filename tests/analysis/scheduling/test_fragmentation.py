"""The FGD measure and what still fits: a table worked out by hand, and what is left out of it."""

import random
from typing import Any, Dict, List, Optional, Sequence

import pytest
from krm.analysis.scheduling.fragmentation import Asked, Fragmentation, FragmentationByShape, Fragments, answer
from oracles.scheduler.bodies import busy, node, pod, taint
from paper_nodes import inputs, state

GI = 1 << 30


def asked(nodes: Sequence[Any], pods: Sequence[Any], *shapes: str, by: str = "node") -> Fragmentation:
    return answer(inputs(state(nodes, pods)), Asked(shapes, by))


def row(found: Fragmentation, where: str, resource: str) -> Fragments:
    (one,) = [one for one in found.rows if (one.node, one.resource) == (where, resource)]
    return one


# A node of 4 cores and 8 GiB. What runs on it (cpu, memory), the shapes, then by hand: what is fragmented of cpu
# (millicores) and of memory (GiB), and how many of each shape fit.
TABLE: List[Any] = [
    # Empty: both fit, nothing is fragmented.
    ("empty", [], ["cpu=1,memory=1Gi", "cpu=4,memory=8Gi"], 0, 0, [4, 1]),
    # 1 core and 7 GiB are left: the small one fits once; for the large one (half of all) they are of no use.
    ("half", [("3", "1Gi")], ["cpu=1,memory=1Gi", "cpu=2,memory=1Gi"], 500, 3.5, [1, 0]),
    # 3 cores and 1 GiB are left: neither fits for want of memory, and all of both is lost.
    ("memory is full", [("1", "7Gi")], ["cpu=1,memory=2Gi", "cpu=2,memory=4Gi"], 3000, 1, [0, 0]),
    # One of four shapes fits: three quarters of 2 cores and of 2 GiB.
    ("a quarter", [("2", "6Gi")], ["cpu=1,memory=1Gi", "cpu=3,memory=1Gi", "cpu=1,memory=3Gi", "cpu=9,memory=1Gi"],
     1500, 1.5, [2, 0, 0, 0]),
    # A shape that fits and asks for no memory uses none of it: half of 8 GiB.
    ("not asked", [], ["cpu=1", "cpu=1,memory=1Gi"], 0, 4, [4, 4]),
    # Nothing is left of the CPU: nothing of it is fragmented, all of the memory is.
    ("used up", [("4", "2Gi")], ["cpu=1,memory=1Gi"], 0, 6, [0]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "used", "shapes", "cpu", "memory", "fits"), TABLE, ids=[one[0] for one in TABLE])
def test_by_hand(name: str, used: Any, shapes: Any, cpu: int, memory: float, fits: List[int]) -> None:
    placed = [pod(f"p{n}", "n1", requests={"cpu": c, "memory": m}) for n, (c, m) in enumerate(used)]
    found = asked([node("n1")], placed, *shapes)
    assert row(found, "n1", "cpu").fragmented == pytest.approx(cpu)
    assert row(found, "n1", "memory").fragmented == pytest.approx(memory * GI)
    assert [one.fits for one in found.shapes] == fits


def test_parts_of_the_measure_and_the_sum_over_nodes() -> None:
    """n1 has a core left, n2 is tainted and empty, n3 takes no more pods. Half of all ask for 2, half for 1."""
    nodes = [node("n1"), node("n2", taints=[taint("a")]), node("n3", pods="1")]
    placed = [*busy("n1"), pod("p3", "n3", requests={"cpu": "1"})]
    found = asked(nodes, placed, "cpu=1", "cpu=2")
    assert [(one.node, one.free, one.too_small, one.kept_away, one.share) for one in found.rows] == [
        ("", 8000, 3500, 4000, 7500 / 8000),
        ("n1", 1000, 500, 0, 0.5),
        ("n2", 4000, 0, 4000, 1.0),
        ("n3", 3000, 3000, 0, 1.0),
    ]
    small, large = found.shapes
    assert (small.fits, small.nodes, small.largest, small.largest_on) == (1, 1, "cpu=1", "n1")
    assert (large.fits, large.largest, large.scale) == (0, "cpu=1", 0.5)


def test_places_for_pods_bound_what_fits() -> None:
    found = asked([node("n1", pods="3")], [pod("p", "n1", requests={"cpu": "1"})], "cpu=100m")
    assert found.shapes[0].fits == 2


def test_shapes_are_the_clusters_own_by_whom_they_are_of() -> None:
    def of(owner: Optional[str], name: str, requests: Dict[str, str], on: str = "") -> Any:
        body = pod(name, on, requests=requests)
        if owner:
            kind, called = owner.split("/")
            body["metadata"]["ownerReferences"] = [
                {"apiVersion": "apps/v1", "kind": kind, "name": called, "controller": True}
            ]
        return body

    pods = [
        of("StatefulSet/db", "db-0", {"cpu": "2"}, "n1"),
        of("StatefulSet/web", "web-0", {"cpu": "1"}, "n1"),
        of("StatefulSet/web", "web-1", {"cpu": "1"}),
        of("StatefulSet/api", "api-0", {"cpu": "1000m"}),
        of("DaemonSet/logs", "logs-x", {"cpu": "100m"}, "n1"),  # nobody places it
        of("StatefulSet/idle", "idle-0", {}, "n1"),  # it asks for nothing
    ]
    found = asked([node("n1")], pods, by="shape")
    assert isinstance(found, FragmentationByShape)
    assert found.cells()[1:] == [
        ["statefulset.apps/web of default and 1 more", "cpu=1", "3", "75%", "0", "0", "cpu=900m", "n1"],
        ["statefulset.apps/db of default", "cpu=2", "1", "25%", "0", "0", "cpu=900m", "n1"],
    ]
    assert found.covers == (4, 4, "pods")
    assert any("1 pods ask for nothing" in reason for reason in found.worth.reasons)
    assert [one.rule for one in found.findings] == ["fragmentation", "no-room-for-shape", "no-room-for-shape"]


def test_what_is_not_known_is_left_out_and_told() -> None:
    spoilt = node("n2")
    spoilt["status"]["allocatable"]["cpu"] = "lots"
    found = asked([node("n1"), spoilt], [], "cpu=1")
    assert {one.node for one in found.rows} == {"", "n1"}
    assert any("1 nodes are left out" in reason for reason in found.worth.reasons)


def test_without_shapes_there_is_no_measure() -> None:
    found = asked([node("n1")], [])
    assert (found.rows, found.shapes, found.cells()) == ((), (), [])
    assert str(found).startswith("no pod asks for anything")


@pytest.mark.parametrize("text", ["", "cpu", "cpu=0", "cpu=-1", "cpu=many", "=1", "cpu=1,"])
def test_a_shape_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="RESOURCE=AMOUNT"):
        asked([node("n1")], [], text)


@pytest.mark.parametrize("seed", range(5))
def test_laws_on_random_clusters(seed: int) -> None:
    """The measure is never more than what is free, parts add up, what fits can be placed, and order is nothing."""
    print(f"seed {seed}")
    source = random.Random(seed)
    nodes = [node(f"n{number}", str(source.randint(1, 16)), f"{source.randint(1, 32)}Gi") for number in range(9)]
    pods = []
    for number in range(40):
        requests = {"cpu": f"{source.randint(1, 20) * 100}m", "memory": f"{source.randint(1, 20) * 256}Mi"}
        pods.append(pod(f"p{number}", f"n{source.randrange(9)}", requests=requests))
    found = asked(nodes, pods)
    for one in found.rows:
        assert -1e-6 <= one.fragmented <= one.free + 1e-6
        assert one.fragmented == pytest.approx(one.too_small + one.kept_away + one.not_asked)
    for shape in found.shapes:
        assert (shape.fits > 0) == (shape.scale >= 1)
    assert asked(source.sample(nodes, 9), source.sample(pods, 40)) == found
