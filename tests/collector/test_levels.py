"""Sums: each level counted once, by the best source, and what is unknown is left out and told."""

from __future__ import annotations

import random
from typing import Dict, List, Mapping

import pytest
from krm.collector import levels
from krm.collector.facts import ContainerFacts, PodFacts, node_facts, pod_facts
from krm.collector.levels import NodeView, PodView
from krm.model.measures import Covers, Sample, Subject
from krm.store.latest import Measured

CPU, MEMORY = "cpu/usage_rate", "memory/working_set"


def facts(name: str, *running: str, namespace: str = "shop", node: str = "n1") -> PodFacts:
    containers = tuple(ContainerFacts(one, 1.0) for one in running)
    return PodFacts(namespace, name, f"uid-{name}", node, "10.0.0.1", False, False, containers, {}, True)


def said(pod: str, container: str, values: Mapping[str, float], source: str = "kubelet/resource") -> Sample:
    return Sample(Subject("shop", pod, f"uid-{pod}", container, "n1"), 100.0, values, source, 5.0)


def value(rows: tuple[Measured, ...], metric: str) -> float:
    (found,) = [row.values[metric] for row in rows if metric in row.values and not row.resource_id]
    return found


def test_a_pod_uses_what_its_containers_use() -> None:
    samples = [
        said("web", "app", {CPU: 100.0, MEMORY: 1000.0}),
        said("web", "side", {CPU: 10.0, MEMORY: 50.0}),
        said(
            "web", "", {CPU: 130.0, MEMORY: 1200.0, "network/rx_rate": 7.0}
        ),  # its cgroup: the pause container too
    ]
    view = levels.pod_view(facts("web", "app", "side"), samples)
    assert view.used == {CPU: 110.0, MEMORY: 1050.0, "network/rx_rate": 7.0}
    assert view.measured is True
    assert view.pod.lacks == ()


def test_of_two_sources_one_counts_a_metric_the_one_that_the_table_names_first() -> None:
    samples = [
        said("web", "app", {CPU: 90.0, MEMORY: 900.0, "memory/rss": 5.0}, "kubelet/cadvisor"),
        said("web", "app", {CPU: 100.0, MEMORY: 1000.0}),
    ]
    random.Random(1).shuffle(samples)
    view = levels.pod_view(facts("web", "app"), samples)
    assert view.used == {CPU: 100.0, MEMORY: 1000.0, "memory/rss": 5.0}
    rows = view.pod.containers["app"]
    assert {row.source: dict(row.values) for row in rows} == {
        "kubelet/resource": {CPU: 100.0, MEMORY: 1000.0},
        "kubelet/cadvisor": {"memory/rss": 5.0},
    }


def test_the_traffic_of_a_pod_on_its_node_s_network_is_the_node_s() -> None:
    samples = [said("proxy", "app", {CPU: 1.0}), said("proxy", "", {"network/rx_rate": 7e9, "network/rx": 1e12})]
    of_node = facts("proxy", "app")._replace(host_network=True)
    view = levels.pod_view(of_node, samples)
    assert view.used == {CPU: 1.0}
    assert [levels.counting(one, view.choice) for one in samples] == [{CPU: 1.0}, {}]
    assert "network/rx_rate" in levels.pod_view(facts("proxy", "app"), samples).used


def test_a_container_without_a_point_is_named_and_makes_the_sum_partial() -> None:
    view = levels.pod_view(facts("web", "app", "side"), [said("web", "app", {CPU: 1.0, MEMORY: 2.0})])
    assert view.pod.lacks == ("side",)
    assert view.measured is False
    whole = levels.pod_view(facts("api", "app"), [said("api", "app", {CPU: 1.0, MEMORY: 2.0})])
    rows = levels.namespace_sums([view, whole], [], 100.0)
    assert rows == (Measured("sum", 100.0, 0.0, {CPU: 2.0, MEMORY: 4.0}, Covers(1, 2, "pods")),)


def test_a_pod_of_which_nothing_runs_is_no_gap() -> None:
    view = levels.pod_view(facts("done"), [])
    assert view.measured is None
    assert levels.pods_covered([view]) == Covers(0, 0, "pods")


def test_numbers_of_another_pod_of_the_same_name_are_not_taken() -> None:
    other = said("web", "app", {CPU: 1.0, MEMORY: 2.0})
    other = other._replace(subject=other.subject._replace(uid="uid-of-the-former"))
    view = levels.pod_view(facts("web", "app"), [other])
    assert view.used == {}
    assert view.pod.lacks == ("app",)


def node(name: str, cpu: float, known: bool = True) -> NodeView:
    used = [Sample(Subject(node=name), 100.0, {CPU: cpu, MEMORY: 1e9}, "kubelet/resource", 5.0)] if known else []
    held = [Sample(Subject(node=name), 100.0, {"cpu/node_allocatable": 1000.0}, "state")]
    pods = [
        levels.pod_view(facts("p", "app"), [], levels.held_of([said("p", "", {"cpu/request": 250.0}, "state")]))
    ]
    return levels.node_view(used, held, pods, 100.0)


def test_numbers_that_another_node_tells_of_a_pod_are_not_taken_and_not_added() -> None:
    """A StatefulSet's pod came up elsewhere; the former node's page has its name for some seconds, and no uid."""
    moved = [
        one._replace(subject=one.subject._replace(uid="", node=node))
        for node, cpu in (("n2", 70.0), ("n1", 100.0))
        for one in [said("web", "app", {CPU: cpu, MEMORY: 1000.0})]
    ]
    view = levels.pod_view(facts("web", "app", node="n1"), moved)
    assert view.used == {CPU: 100.0, MEMORY: 1000.0}
    assert len(view.pod.containers["app"]) == 1
    of_all = moved[1]._replace(subject=moved[1].subject._replace(node=""))  # metrics-server names no node
    assert levels.pod_view(facts("web", "app", node="n1"), [of_all]).used == {CPU: 100.0, MEMORY: 1000.0}


def test_what_was_read_before_a_container_began_is_not_its_own() -> None:
    """A pod of the same name on the same node: metrics-server tells of the former one for a minute."""
    found = facts("web", "app", "side")
    found = found._replace(containers=(ContainerFacts("app", 150.0), ContainerFacts("side", 0.0)))
    both = [said("web", name, {CPU: 70.0, MEMORY: 1.0}) for name in ("app", "side")]  # at 100
    view = levels.pod_view(found, both)
    assert view.used == {CPU: 70.0, MEMORY: 1.0}
    assert view.pod.lacks == ("app",)
    assert levels.pod_view(found, [one._replace(at=150.0) for one in both]).pod.lacks == ()
    # The node's clock was put back by an hour since: its containers are measured all the same.
    put_back = found._replace(containers=(ContainerFacts("app", 3700.0), ContainerFacts("side", 0.0)))
    assert levels.pod_view(put_back, both).pod.lacks == ()


def test_containers_that_the_pod_does_not_name_are_not_taken() -> None:
    """A node could make up ever new ones of its own pods, until the history had room for nobody's."""
    both = [said("web", name, {CPU: 70.0, MEMORY: 1.0}) for name in ("app", "init", "made-up")]
    held = levels.held_of(
        [Sample(Subject("shop", "web", "uid-web", "init", "n1"), 1.0, {"cpu/request": 1.0}, "state")]
    )
    view = levels.pod_view(facts("web", "app"), both, held)  # its status says nothing of `init` yet
    assert view.used == {CPU: 140.0, MEMORY: 2.0}
    assert sorted(view.pod.containers) == ["app", "init"]
    assert levels.counting(both[2], view.choice) == {}


def test_a_silent_node_is_left_out_of_the_sum_which_says_so() -> None:
    rows = levels.cluster_sums([node("n1", 100.0), node("n2", 50.0), node("n3", 0.0, known=False)], [], 100.0)
    used = rows[0]
    assert used.values[CPU] == 150.0
    assert str(used.covers) == "2 of 3 nodes"
    # Of what is measured: 150 of the 2000 of two nodes, not of the 3000 of three.
    assert used.values["cpu/node_utilization"] == pytest.approx(150 / 2000)
    assert used.values["cpu/node_reservation"] == pytest.approx(750 / 3000)
    assert value(rows[1:], "cpu/request") == 750.0


def test_a_metric_that_fewer_tell_says_of_how_many_it_is_the_sum() -> None:
    """The cadvisor of one node is silent: its cores are known, its cache is not."""
    both = {CPU: 100.0, MEMORY: 10.0}
    views = [
        levels.pod_view(
            facts("a", "app"),
            [said("a", "app", both), said("a", "app", {"memory/cache": 7.0}, "kubelet/cadvisor")],
        ),
        levels.pod_view(facts("b", "app"), [said("b", "app", both)]),
    ]
    rows = levels.namespace_sums(views, (), 1.0)
    assert [(str(row.covers), row.values) for row in rows] == [
        ("2 of 2 pods", {CPU: 200.0, MEMORY: 20.0}), ("1 of 2 pods", {"memory/cache": 7.0}),
    ]  # fmt: skip
    choice = levels.choice_of(())
    nodes = [NodeView((), used, {}, True, choice) for used in ({**both, "network/rx_rate": 5.0}, both)]
    of_all = levels.cluster_sums(nodes, (), 1.0)
    assert [(str(row.covers), row.values) for row in of_all] == [
        ("2 of 2 nodes", {CPU: 200.0, MEMORY: 20.0}), ("1 of 2 nodes", {"network/rx_rate": 5.0}),
    ]  # fmt: skip


def test_a_node_that_is_not_measured_has_no_utilization() -> None:
    view = node("n3", 0.0, known=False)
    told = {metric for row in view.measured for metric in row.values}
    assert "cpu/node_utilization" not in told
    assert "cpu/node_reservation" in told
    assert not view.known


def test_sums_do_not_depend_on_the_order() -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    rng = random.Random(seed)
    views: List[PodView] = []
    for number in range(30):
        names = [f"c{one}" for one in range(rng.randrange(1, 4))]
        samples = [
            said(
                f"p{number}", name, {CPU: float(rng.randrange(1000)), MEMORY: float(rng.randrange(1 << 40))}, source
            )
            for name in names
            for source in ("kubelet/resource", "kubelet/cadvisor", "metrics.k8s.io")
            if rng.random() < 0.7
        ]
        rng.shuffle(samples)
        views.append(levels.pod_view(facts(f"p{number}", *names), samples))
    sums: Dict[str, float] = {}
    for view in views:
        for metric, one in view.used.items():
            sums[metric] = sums.get(metric, 0.0) + one
    shuffled = views[:]
    rng.shuffle(shuffled)
    assert levels.namespace_sums(shuffled, [], 1.0)[0].values == sums


def test_facts_read_what_has_another_type_as_absent() -> None:
    found = pod_facts(
        {"metadata": {"name": 7, "annotations": ["x"]}, "spec": None, "status": {"containerStatuses": 5}}
    )
    assert found == PodFacts("", "", "", "", "", False, False, (), {}, False)
    assert node_facts({"status": {"addresses": {}, "daemonEndpoints": []}}).port == 10250


def test_a_container_runs_where_its_state_says_so() -> None:
    pod = {
        "metadata": {"namespace": "a", "name": "b"},
        "status": {
            "phase": "Running",
            "containerStatuses": [
                {"name": "up", "state": {"running": {"startedAt": "1970-01-01T00:01:00Z"}}},
                {"name": "odd", "state": {"running": {}}},
                {"name": "down", "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
            ],
        },
    }
    found = pod_facts(pod)
    assert found.running == ("up", "odd")
    assert found.containers[0].started == 60.0


def test_ages_and_shares_are_not_added_up() -> None:
    values = {CPU: 1.0, MEMORY: 1.0, "uptime": 5000.0, "cpu/throttled_share": 0.5}
    samples = [
        said("web", "app", values),
        said("web", "side", {**values, "uptime": 7000.0, "cpu/throttled_share": 0.7}),
    ]
    view = levels.pod_view(facts("web", "app", "side"), samples)
    assert view.used == {CPU: 2.0, MEMORY: 2.0, "uptime": 7000.0, "cpu/throttled_share": 0.7}
    assert levels.namespace_sums([view], [], 1.0)[0].values == {CPU: 2.0, MEMORY: 2.0}


def test_one_disk_that_two_sources_call_by_two_names_is_told_by_one() -> None:
    def disk(name: str, source: str) -> Sample:
        return Sample(Subject(node="n1", resource_id=name), 1.0, {"filesystem/usage": 5.0}, source)

    view = levels.node_view([disk("/dev/vda", "kubelet/cadvisor"), disk("/", "kubelet/summary")], [], [], 1.0)
    assert [row.resource_id for row in view.measured if "filesystem/usage" in row.values] == ["/"]


def test_of_a_node_too_one_source_a_metric_is_recorded() -> None:
    quick = Sample(Subject(node="n1"), 10.0, {CPU: 100.0, MEMORY: 5.0}, "kubelet/resource", 4.0)
    slow = Sample(Subject(node="n1"), 9.0, {CPU: 90.0, "memory/rss": 3.0}, "kubelet/summary", 15.0)
    view = levels.node_view([slow, quick], [], [], 10.0)
    assert levels.counting(quick, view.choice) == {CPU: 100.0, MEMORY: 5.0}
    assert levels.counting(slow, view.choice) == {"memory/rss": 3.0}
