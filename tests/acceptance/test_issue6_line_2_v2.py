"""Issue 6, line 2, on a kernel with cgroup v2 alone: a container agrees with its cgroup to 1 % over a minute.

In a virtual machine (tests/vm): containers of known loads in the kubelet's cgroups, systemd's and cgroupfs' names,
and a nested node; krm's agent as in a pod (namespaces of its own, UID 64123, no capability, the node's /proc and
cgroups mounted read-only); and readings by other hands beside it.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Tuple

import pytest
from krm.agent.figures import COUNTER, FIGURES, LIMIT, UNLIMITED
from vm.fixtures import TIMEOUT, ran

pytestmark = [pytest.mark.slow, pytest.mark.timeout(TIMEOUT)]

MIB = 1024 * 1024
SHARE = 0.01
HELD = 24 * MIB
SECOND_US = 1_000_000
# Cores that CPU-bound containers get: their quota.
CORES = {"capped": 0.2, "nested": 0.1}
STEADY = ("capped", "holding", "many", "nested")  # whose memory does not change
# Places in the readings of `followed`.
FOLLOWED = {"cpu_usage_ns": 1, "memory_usage": 2, "memory_working_set": 3, "memory_rss": 4}
BURST_NS = 20_000_000  # between two looks CPU is used in bursts, as long as a quota's
QUOTA_SHARE = 0.03  # a quota is given out by 5 ms


@pytest.fixture(scope="module")
def told() -> Dict[str, Any]:
    document: Dict[str, Any] = ran("figures.py")
    return document


def rows(told: Dict[str, Any], end: int) -> Dict[str, Any]:
    """name of the load -> what was read of its cgroup; end: 0 or 1."""
    return {name: told["samples"][end][load["path"]] for name, load in told["loads"].items()}


def grown(told: Dict[str, Any], path: str, figure: str) -> int:
    first, last = (told["samples"][end][path]["figures"][figure] for end in (0, 1))
    return int(last - first)


def agents_rows(told: Dict[str, Any]) -> Iterator[Tuple[str, Any, Any]]:
    """name of the load, and its rows in the agent's first and last document."""
    first, last = (
        {row["id"]: row for row in document["containers"] + document["sandboxes"]} for document in told["documents"]
    )
    for name, load in told["loads"].items():
        yield name, first[load["container_id"]], last[load["container_id"]]


def followed(told: Dict[str, Any], name: str, figure: str, at: float) -> float:
    """What the other hands read at that time, between their readings just before and after."""
    points: List[List[float]] = [one[name] for one in told["followed"]]
    place = FOLLOWED[figure]
    for before, after in zip(points, points[1:]):
        if before[0] <= at <= after[0]:
            share = (at - before[0]) / (after[0] - before[0])
            return before[place] + share * (after[place] - before[place])
    raise AssertionError(f"nobody looked at {at}: from {points[0][0]} to {points[-1][0]}")


def test_the_machine_has_version_2_alone_with_every_controller(told: Dict[str, Any]) -> None:
    assert told["version"] == "v2"
    assert {"cpu", "memory", "io", "pids"} <= set(told["controllers"])


def test_cpu_over_a_minute_is_the_cgroups_to_one_percent(told: Dict[str, Any]) -> None:
    for name, first, last in agents_rows(told):
        assert last["at"] - first["at"] > 55
        used = last["cpu_usage_ns"] - first["cpu_usage_ns"]
        truth = [followed(told, name, "cpu_usage_ns", row["at"]) for row in (first, last)]
        assert used == pytest.approx(truth[1] - truth[0], rel=SHARE, abs=BURST_NS), name


def test_a_container_with_a_quota_uses_no_more_and_nearly_as_much(told: Dict[str, Any]) -> None:
    """Known beforehand, whoever reads it. On a host with little CPU left it gets less."""
    for name, first, last in agents_rows(told):
        if name in CORES:
            cores = (last["cpu_usage_ns"] - first["cpu_usage_ns"]) / 1e9 / (last["at"] - first["at"])
            assert CORES[name] / 4 < cores < CORES[name] * (1 + QUOTA_SHARE), name


@pytest.mark.parametrize("figure", ["memory_usage", "memory_working_set", "memory_rss"])
def test_memory_is_the_cgroups_to_one_percent(told: Dict[str, Any], figure: str) -> None:
    for name, *both in agents_rows(told):
        for row in both if name in STEADY else ():
            assert row[figure] == pytest.approx(followed(told, name, figure, row["at"]), rel=SHARE), name


def test_who_holds_memory_is_seen_to_hold_it(told: Dict[str, Any]) -> None:
    figures = rows(told, 1)["holding"]["figures"]
    for name in ("memory_usage", "memory_working_set", "memory_rss"):
        assert HELD <= figures[name] < HELD + MIB, name


def test_every_figure_of_every_cgroup_lies_between_two_other_readings(told: Dict[str, Any]) -> None:
    """Counters exactly, limits as they are, and of the rest what does not change as it is to 1 %."""
    steady = {load["path"] for name, load in told["loads"].items() if name in STEADY}
    compared = 0
    for end in (0, 1):
        for path, row in told["samples"][end].items():
            assert set(row["figures"]) == set(row["before"]), path
            for name, value in row["figures"].items():
                before, after, kind = row["before"][name], row["after"][name], FIGURES[name].kind
                if kind == COUNTER:
                    assert before <= value <= after, (path, name)
                elif kind == LIMIT:
                    assert value == before, (path, name)
                elif path in steady:
                    assert before * (1 - SHARE) <= value <= after * (1 + SHARE), (path, name)
                compared += 1
    assert compared > 1000


def test_each_container_is_found_with_what_its_path_says(told: Dict[str, Any]) -> None:
    runtimes = {"capped": "containerd", "squeezed": "cri-o", "many": "docker", "nested": "containerd"}
    for name, row in rows(told, 1).items():
        place, load = row["place"], told["loads"][name]
        assert place["level"] == "container", name
        for field in ("pod_uid", "container_id", "qos", "outer"):
            assert place[field] == load[field], (name, field)
        assert place["runtime"] == runtimes.get(name, ""), name
    assert told["processes"] is not None


def test_who_hits_its_quota_is_throttled_and_who_has_none_is_not(told: Dict[str, Any]) -> None:
    for name, load in told["loads"].items():
        periods = grown(told, load["path"], "cpu_periods")
        throttled = grown(told, load["path"], "cpu_throttled_periods")
        waited = grown(told, load["path"], "cpu_throttled_ns")
        if name in CORES:
            assert throttled >= 0.2 * periods > 0, name
            assert waited > 2 * 10**9, name
        elif name != "squeezed":
            assert (periods, throttled, waited) == (0, 0, 0), name


def test_limits_are_as_they_were_set_and_max_is_none(told: Dict[str, Any]) -> None:
    figures = {name: row["figures"] for name, row in rows(told, 1).items()}
    assert (figures["capped"]["cpu_quota_us"], figures["capped"]["cpu_period_us"]) == (20_000, 100_000)
    assert (figures["nested"]["cpu_quota_us"], figures["nested"]["cpu_period_us"]) == (5_000, 50_000)
    assert figures["capped"]["cpu_weight"] == 79
    holding = figures["holding"]
    assert [holding[f"memory_{name}"] for name in ("limit", "low", "min")] == [64 * MIB, 16 * MIB, 8 * MIB]
    assert (figures["squeezed"]["memory_high"], figures["squeezed"]["swap_limit"]) == (16 * MIB, 64 * MIB)
    assert figures["many"]["pids_limit"] == 20
    for name, limit in (
        ("holding", "cpu_quota_us"),
        ("capped", "memory_limit"),
        ("capped", "memory_high"),
        ("capped", "pids_limit"),
        ("capped", "swap_limit"),
    ):
        assert figures[name][limit] == UNLIMITED, (name, limit)


def test_who_waits_for_memory_cpu_or_disk_has_pressure_of_that_kind(told: Dict[str, Any]) -> None:
    paths = {name: load["path"] for name, load in told["loads"].items()}
    for name, figure in (
        ("squeezed", "memory_waiting_us"),
        ("squeezed", "memory_stalled_us"),
        ("capped", "cpu_waiting_us"),
        ("writing", "io_waiting_us"),
    ):
        assert grown(told, paths[name], figure) > SECOND_US, (name, figure)
    for name in ("holding", "many"):
        for figure in ("memory_waiting_us", "io_waiting_us"):
            assert grown(told, paths[name], figure) == 0, (name, figure)


def test_swap_is_that_of_who_was_pushed_out(told: Dict[str, Any]) -> None:
    figures = rows(told, 1)
    assert figures["squeezed"]["figures"]["swap_usage"] > 4 * MIB
    assert figures["holding"]["figures"]["swap_usage"] == 0


def test_io_is_what_was_written_and_read(told: Dict[str, Any]) -> None:
    path = told["loads"]["writing"]["path"]
    written, read = (grown(told, path, f"io_{what}_bytes") for what in ("written", "read"))
    assert written >= 10 * MIB
    assert read == pytest.approx(written, abs=MIB)  # it reads each block that it has written
    assert grown(told, path, "io_writes") == pytest.approx(written / MIB, abs=1)


def test_pids_are_counted(told: Dict[str, Any]) -> None:
    for name, row in rows(told, 1).items():
        assert row["figures"]["pids"] == len(told["pids"][name]), name


def test_a_pod_its_class_and_the_node_have_no_less_than_its_container(told: Dict[str, Any]) -> None:
    """Of the agent's turns, in which all are read at nearly the same time."""

    def used(path: str) -> float:
        both = []
        for document in told["documents"]:
            rows = [*document["containers"], *document["pods"], *document["qos_classes"]]
            figures = {row["path"]: row for row in rows}
            both.append({**figures, "": document["node_figures"]}[path]["cpu_usage_ns"])
        return float(both[1] - both[0])

    path = told["loads"]["capped"]["path"]
    container = used(path)
    while path:
        path = path.rpartition("/")[0]
        assert used(path) >= (1 - QUOTA_SHARE) * container, path


def test_every_process_of_a_container_is_in_it(told: Dict[str, Any]) -> None:
    found: Dict[str, List[int]] = {}
    for process in told["processes"]["processes"]:
        found.setdefault(process.get("container_id", ""), []).append(process["pid"])
    for name, load in told["loads"].items():
        assert sorted(found.get(load["container_id"], [])) == sorted(told["pids"][name]), name
    assert found[""], "there are processes of the machine itself"


def test_what_the_agent_may_not_read_is_told(told: Dict[str, Any]) -> None:
    for document in told["documents"]:
        missing = {one["what"]: one["why"] for one in document["missing"]}
        assert "/dev/kmsg" in missing["kernel log"]


def test_the_agent_sees_itself_as_a_container_that_is_process_1_of_its_own(told: Dict[str, Any]) -> None:
    own = [one for one in told["processes"]["processes"] if one.get("uid") == 64123]
    assert [one["pid_inside"] for one in own] == [1]
    assert own[0]["container_id"] == "ae" * 32
    assert own[0]["is_init"] is True


def test_the_agent_ends_when_it_is_told_to(told: Dict[str, Any]) -> None:
    assert told["agent_ended"] == 0
