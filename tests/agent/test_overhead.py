"""What the runtime costs: its parts by name and cgroup, shims by the containers that they are parents of, and a
pod's cgroup less its containers."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Tuple

import pytest
from agent.trees import PODS, STYLES, Tree, build
from hypothesis import given, settings
from hypothesis import strategies as st
from krm.agent.cgroupfs.places import place_of
from krm.agent.runtime.overhead import Kept, part_of, pod_overheads, runtime_cgroups, runtime_costs
from krm.agent.seen import Cgroup, Named, PodOverhead, Process, RuntimeCost

UNIT = "/system.slice/containerd.service"
POD = PODS[1]
UID, SANDBOX = POD.uid, POD.sandbox
WEB, PROXY = POD.containers
HOME = f"/kubepods/burstable/pod{UID}"
NOBODY = Kept(5.0, {})  # of a turn that saw no pods, before any was started
NAMED = {SANDBOX: Named("shop", "web-0", "", UID, sandbox=True)}


def process(pid: int, name: str, cgroup: str = UNIT, **more: object) -> Process:
    place = place_of(cgroup)
    made = Process(
        pid, pid * 10, 1, name, "S", 1, 1000 * pid, 7 * pid, 0.0, None, uid=0, cgroup=cgroup,
        container_id=place.container_id or place.outer, pod_uid=place.pod_uid,
    )  # fmt: skip
    return made._replace(**more)  # type: ignore[arg-type]


def cgroup(path: str, cpu: Optional[int] = None, memory: Optional[int] = None) -> Cgroup:
    figures = {"cpu_usage_ns": cpu, "memory_working_set": memory}
    return Cgroup(place_of(path), 20.0, 10.0, {name: value for name, value in figures.items() if value is not None})


def pod(total: int, used: Mapping[str, int], memory: int = 0) -> List[Cgroup]:
    """A pod and its containers, each with as many bytes as ns."""
    return [cgroup(HOME, total, memory or total), *(cgroup(f"{HOME}/{id_}", n, n) for id_, n in used.items())]


class TestParts:
    def test_every_part_is_known_by_its_name_on_the_host(self) -> None:
        names = ["dockerd", "containerd", "containerd-shim", "crio", "conmon", "runc:[1:CHILD]", "crun", "kubelet"]
        costs = runtime_costs([], [process(n + 1, name) for n, name in enumerate(names)])
        assert [cost.part for cost in costs] == sorted(
            ["dockerd", "containerd", "containerd-shim", "cri-o", "conmon", "runc", "crun", "kubelet"]
        )

    def test_a_part_is_the_sum_of_its_processes(self) -> None:
        shims = [process(pid, "containerd-shim") for pid in (10, 20, 30)]
        assert runtime_costs([], [*shims, process(2, "bash")]) == (RuntimeCost("containerd-shim", 3, 420, 60_000),)

    @pytest.mark.parametrize(
        "other",
        [
            process(1, "containerd", f"{HOME}/{WEB}"),  # a container that calls itself so
            process(1, "containerd", f"/docker/{WEB}/kubelet/kubepods"),  # a nested node's
            process(1, "containerd", uid=1000),  # a user's
            process(1, "containerd2"),
            process(1, "kubectl"),
        ],
    )
    def test_what_only_bears_the_name_is_none(self, other: Process) -> None:
        assert part_of(other) == ""
        assert runtime_costs([], [other]) == ()

    def test_a_service_has_its_cgroups_figures_where_it_is_alone_there(self) -> None:
        unit = cgroup(UNIT, 5000, 900)
        those = [process(1, "containerd"), process(2, "containerd-shim")]
        assert runtime_cgroups(those) == {UNIT}
        daemon, shims = runtime_costs([unit], those)
        assert daemon.figures == unit.figures
        assert shims.figures == {}  # they are in the daemon's
        (daemon, _) = runtime_costs([unit], [*those, process(3, "sleep")])
        assert daemon.figures == {}
        (daemon,) = runtime_costs([cgroup("/", 1, 1)], [process(1, "containerd", "/")])
        assert daemon.figures == {}

    def test_two_daemons_in_two_cgroups_have_no_cgroup_of_their_own(self) -> None:
        two = [process(1, "containerd"), process(2, "containerd", "/system.slice/docker.service")]
        (cost,) = runtime_costs([cgroup(UNIT, 1, 1)], two)
        assert (cost.processes, cost.figures) == (2, {})


class TestShims:
    def overheads(self, processes: List[Process]) -> Dict[str, Tuple[int, int, int]]:
        found, _ = pod_overheads(pod(100, {SANDBOX: 10, WEB: 20}), processes, NAMED)
        return {one.pod_uid: (one.shims, one.shim_cpu_ns, one.shim_rss) for one in found}

    def test_a_shim_is_its_containers_pods(self) -> None:
        shim = process(50, "containerd-shim")
        pause = process(51, "pause", f"{HOME}/{SANDBOX}", ppid=50)
        web = process(52, "nginx", f"{HOME}/{WEB}", ppid=50)
        other = process(60, "containerd-shim")  # of a container of no pod
        loose = process(61, "sh", f"/docker/{PROXY}", ppid=60)
        assert self.overheads([shim, pause, web, other, loose]) == {UID: (1, 350, 50_000)}

    def test_a_shim_of_several_pods_is_none_of_theirs(self) -> None:
        second = f"/kubepods/pod{PODS[0].uid}/{PODS[0].containers[0]}"
        those = [process(50, "containerd-shim"), process(51, "a", f"{HOME}/{WEB}", ppid=50)]
        those.append(process(52, "b", second, ppid=50))
        both = [*pod(100, {WEB: 20}), cgroup(second.rpartition("/")[0], 100, 100), cgroup(second, 50, 50)]
        found, _ = pod_overheads(both, those, NAMED)
        assert [one.shims for one in found] == [0, 0]

    def test_conmon_is_known_by_its_cgroup_even_when_its_container_ended(self) -> None:
        conmon = process(50, "conmon", f"/system.slice/crio-conmon-{WEB}.scope")
        assert self.overheads([conmon]) == {UID: (1, 350, 50_000)}

    def test_a_monitor_in_the_pods_cgroup_is_in_its_figures_already(self) -> None:
        conmon = process(50, "conmon", f"{HOME}/crio-conmon-{WEB}")
        web = process(51, "nginx", f"{HOME}/{WEB}", ppid=50)
        assert self.overheads([conmon, web]) == {UID: (0, 0, 0)}
        assert [cost.part for cost in runtime_costs([], [conmon, web])] == ["conmon"]


class TestPods:
    def turns(self, *turns: List[Cgroup], named: Mapping[str, Named] = NAMED) -> List[PodOverhead]:
        """Of turns after one that saw no pod, so that this one is young."""
        kept = NOBODY
        found = []
        for cgroups in turns:
            (one,), kept = pod_overheads(cgroups, [], named, kept)
            found.append(one)
        return found

    def test_the_sandbox_is_overhead_and_containers_are_not(self) -> None:
        (one,) = self.turns(pod(100, {SANDBOX: 15, WEB: 20, PROXY: 30}))
        assert (one.cpu_ns, one.memory) == (50, 50)

    def test_pause_tells_a_sandbox_where_no_runtime_is_asked(self) -> None:
        inside = pod(100, {SANDBOX: 15, WEB: 20})
        pause = process(1, "pause", f"{HOME}/{SANDBOX}", is_pause=True)
        (one,), _ = pod_overheads(inside, [pause], {}, NOBODY)
        assert one.cpu_ns == 80
        beside = process(2, "sh", f"{HOME}/{SANDBOX}")
        (one,), _ = pod_overheads(inside, [pause, beside], {}, NOBODY)
        assert one.cpu_ns == 65

    def test_of_an_old_pod_it_counts_from_the_second_look(self) -> None:
        """It may have had init containers and restarts: what they used is in its cgroup, and no overhead."""
        (first,), kept = pod_overheads(pod(1000, {WEB: 100}), [], NAMED)
        assert (first.cpu_ns, first.memory) == (None, 900)
        (second,), kept = pod_overheads(pod(1050, {WEB: 140}), [], NAMED, kept)
        assert second.cpu_ns == 10

    def test_a_pod_that_was_not_seen_for_a_turn_is_no_young_one(self) -> None:
        """A walk that failed, a folder that could not be listed: its history is not overhead by that."""
        _, kept = pod_overheads(pod(1000, {WEB: 100}), [], NAMED)
        _, kept = pod_overheads([], [], NAMED, kept)
        (one,), kept = pod_overheads(pod(1100, {WEB: 200}), [], NAMED, kept)
        assert one.cpu_ns is None
        (one,), _ = pod_overheads(pod(1150, {WEB: 240}), [], NAMED, kept)
        assert one.cpu_ns == 10

    def test_a_container_that_ends_is_not_overhead_from_then_on(self) -> None:
        found = self.turns(
            pod(100, {WEB: 60, PROXY: 30}),
            pod(200, {WEB: 150}),  # PROXY used up to 50 more, unseen
            pod(230, {WEB: 170, PROXY[::-1]: 5}),
        )
        assert [one.cpu_ns for one in found] == [10, 10, 15]

    def test_reads_of_two_moments_make_nothing_negative(self) -> None:
        found = self.turns(pod(100, {WEB: 99}), pod(200, {WEB: 205}), pod(300, {WEB: 297}))
        assert [one.cpu_ns for one in found] == [1, 1, 3]
        assert [one.memory for one in found] == [1, 0, 3]

    def test_a_cgroup_made_anew_counts_anew(self) -> None:
        found = self.turns(pod(1000, {WEB: 100}), pod(50, {WEB: 20}))
        assert [one.cpu_ns for one in found] == [900, 30]

    def test_a_figure_that_is_not_known_leaves_it_unknown_for_that_turn(self) -> None:
        unread = [*pod(150, {}), Cgroup(place_of(f"{HOME}/{WEB}"), 0.0, None, {})]
        found = self.turns(pod(100, {WEB: 50}), unread, pod(200, {WEB: 120}))
        assert [one.cpu_ns for one in found] == [50, None, 80]
        assert [one.memory for one in found] == [50, None, 80]

    def test_containers_beside_their_pod_leave_it_unknown(self) -> None:
        beside = f"/kubepods-burstable-pod{UID.replace('-', '_')}.slice:cri-containerd:{WEB}"
        (one,) = self.turns([cgroup(HOME, 0, 0), cgroup(beside, 50, 50)])
        assert (one.cpu_ns, one.memory) == (None, None)

    def test_what_is_nested_in_a_container_is_not_taken_off_twice(self) -> None:
        (one,) = self.turns([*pod(100, {WEB: 80}), cgroup(f"{HOME}/{WEB}/docker/{PROXY}", 60, 60)])
        assert (one.cpu_ns, one.memory) == (20, 20)

    @settings(deadline=None, print_blob=True)
    @given(st.integers(0, 2**32))
    def test_it_counts_overhead_alone_and_never_falls(self, seed: int) -> None:
        """Containers come, work, end and come again; the pod's cgroup keeps all of it. Turn by turn what is counted
        is the overhead, but that of turns in which a container ended."""
        rng = random.Random(seed)
        running: Dict[str, int] = {}
        total = overhead = counted = 0
        kept = NOBODY
        for turn in range(30):
            grown = rng.randrange(100)
            total, overhead = total + grown, overhead + grown
            for id_ in running:
                used = rng.randrange(10_000)
                running[id_], total = running[id_] + used, total + used
            ended = [id_ for id_ in running if rng.random() < 0.2]
            for id_ in ended:
                del running[id_]
            if rng.random() < 0.5:
                running[f"{seed:032x}{turn:032x}"] = 0
            (one,), kept = pod_overheads(pod(total, running), [], {}, kept)
            assert one.cpu_ns is not None, f"seed {seed}"
            assert one.cpu_ns - counted == (0 if ended else grown), f"seed {seed}, turn {turn}"
            counted = one.cpu_ns
        assert 0 <= counted <= overhead


@pytest.mark.parametrize("style", [style for style in STYLES if style != "containerd-colons-v1"])
def test_a_pod_of_every_style_costs_what_its_cgroup_has_beyond_its_containers(tmp_path: Path, style: str) -> None:
    tree: Tree = build(tmp_path, style)
    cgroups = []
    for path, place in tree.places.items():
        load = tree.loads[path]
        figures = {
            "cpu_usage_ns": load.user_ns + load.system_ns,
            "memory_working_set": load.usage - load.inactive_file,
        }
        cgroups.append(Cgroup(place, 20.0, 10.0, figures))
    named = {one.sandbox: Named("ns", "pod", "", one.uid, sandbox=True) for one in PODS}
    found, _ = pod_overheads(cgroups, [], named, NOBODY)
    if style.startswith(("docker-v1", "docker-systemd", "kind")):
        assert found == ()  # no pods, or those of a nested node
        return
    assert {one.pod_uid for one in found} == {one.uid for one in PODS}
    for one in found:
        (its,) = (p for p in PODS if p.uid == one.pod_uid)
        sandbox = tree.loads[tree.container(its.sandbox).path]
        conmons = sum(
            load.user_ns + load.system_ns
            for path, load in tree.loads.items()
            if "conmon" in path and tree.places[path].pod_uid == its.uid
        )
        assert one.cpu_ns == sandbox.user_ns + sandbox.system_ns + conmons
        assert one.memory is not None
        assert one.memory >= sandbox.usage - sandbox.inactive_file
