"""A turn's witnesses end in one ledger: named, with the minute before, each kill once."""

import json
import os
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest
from agent.paper_kmsg import Device
from krm.agent.cgroupfs.hierarchy import V1, V2
from krm.agent.cgroupfs.places import place_of
from krm.agent.oom import killing
from krm.agent.oom.killing import Kills, Looked
from krm.agent.seen import CONTAINER, OTHER, Cgroup, Missing, Named, Place, Process
from krm.model.kills import ANCESTOR_LIMIT, CGROUP, CONTAINER_LIMIT, CRI, KERNEL_LOG, Evidence, Kill

A = "a" * 64
UID = "5f0c5e9c-6c8e-4a57-9d0e-2f6f6f3c1a11"
PATH = f"/kubepods/pod{UID}/{A}"
NOW = 1_800_000_000.0
NAMED = {A: Named("shop", "web-0", "web", UID)}


def looked(at: float, kills: int, **more: Any) -> Looked:
    cgroup = Cgroup(Place(CONTAINER, PATH, pod_uid=UID, container_id=A), at, None, {"oom_kills": kills, "pids": 2})
    return Looked(at, at - NOW + 5000, V1, [cgroup], {"oom_kills": 40 + kills}, NAMED)._replace(**more)


class Log:
    """In place of the kernel's."""

    told: List[Evidence] = []

    def __init__(self, path: str, node: str, boot: str) -> None:
        assert (path, node, boot) == ("/dev/kmsg", "n1", "7e57\n")

    def turn(self, now: float, clock: float) -> Tuple[List[Evidence], List[Missing]]:
        return [one for one in self.told if now - 10 < one.at <= now], []


@pytest.fixture
def kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kills:
    boot = tmp_path / "sys/kernel/random/boot_id"
    boot.parent.mkdir(parents=True)
    boot.write_text("7e57\n")
    monkeypatch.setattr(killing, "KernelLog", Log)
    return Kills("n1", tmp_path, "/dev/kmsg")


def logged(at: float, **more: Any) -> Evidence:
    return Evidence(KERNEL_LOG, "n1", at, at, pid=7, process="eater", key="b.1")._replace(**more)


def test_three_counts_and_a_line_are_one_kill_with_names_and_the_minute_before(
    kills: Kills, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Log, "told", [logged(NOW + 14, container_id=A, pod_uid=UID, cgroup=PATH)])
    assert kills.turn(looked(NOW, 3)) == ((), [])
    kills.turn(looked(NOW + 10, 3))
    (kill,), missing = kills.turn(looked(NOW + 20, 4))
    assert missing == []
    assert (kill.id, kill.namespace, kill.pod, kill.container) == ("n1/b.1", "shop", "web-0", "web")
    assert (kill.witnesses, kill.pid, kill.at) == ((KERNEL_LOG, CGROUP), 7, NOW + 14)
    assert [moment.at for moment in kill.before] == [NOW, NOW + 10]
    ended = Evidence(CRI, "n1", NOW + 14.2, NOW, container_id=A, pod_uid=UID, container_ended=True)
    (kill,), _ = kills.turn(looked(NOW + 30, 4, ended=[ended]))
    assert (kill.id, kill.witnesses, kill.container_ended) == ("n1/b.1", (KERNEL_LOG, CGROUP, CRI), True)
    assert [moment.at for moment in kill.before] == [NOW, NOW + 10]


def test_a_cgroup_that_a_container_names_after_another_has_its_own_kills(
    kills: Kills, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, victim = "22222222-2222-2222-2222-222222222222", "b" * 64
    place = place_of(f"/kubepods/pod{other}/{victim}")
    line = logged(NOW + 14, container_id=victim, pod_uid=UID, cgroup=f"{PATH}/{victim}", limited=PATH)
    monkeypatch.setattr(Log, "told", [line._replace(scope=ANCESTOR_LIMIT)])
    both = looked(NOW, 3).cgroups[0], Cgroup(place, NOW, None, {"oom_kills": 0, "pids": 2})
    kills.turn(looked(NOW, 3, cgroups=both))
    both = looked(NOW + 20, 4).cgroups[0], both[1]
    (kill,), _ = kills.turn(looked(NOW + 20, 4, cgroups=both))
    assert (kill.container_id, kill.pod_uid, kill.pod, kill.scope) == (A, UID, "web-0", CONTAINER_LIMIT)
    assert kill.witnesses == (KERNEL_LOG, CGROUP)


def test_a_childs_kill_leaves_its_container_running(kills: Kills, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Log, "told", [])
    kills.turn(looked(NOW, 3))
    (kill,), _ = kills.turn(looked(NOW + 10, 4))
    assert (kill.container_ended, kill.pid, kill.witnesses) == (None, None, (CGROUP,))
    assert [moment.at for moment in kill.before] == [NOW], "what was read with the counter was read after the kill"
    (kill,), _ = kills.turn(looked(NOW + 20, 4))
    assert kill.container_ended is False


def test_a_line_without_a_cgroup_is_of_where_the_process_was(kills: Kills, monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(7, 1, 1, "eater", "R", 1, 4096, 0, NOW, None, cgroup=PATH, container_id=A, pod_uid=UID)
    monkeypatch.setattr(Log, "told", [logged(NOW + 5)])
    (kill,), _ = kills.turn(looked(NOW + 6, 0, processes=[process]))
    assert (kill.container_id, kill.pod) == (A, "web-0")
    monkeypatch.setattr(Log, "told", [logged(NOW + 15, process="other", pid=7, key="b.2")])
    (_, kill), _ = kills.turn(looked(NOW + 16, 0, processes=[process]))
    assert kill.container_id == "", "a PID that is used again is another process"


def test_a_group_that_is_killed_is_counted_by_the_log_where_the_kernel_does_not_say(
    kills: Kills, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version 2 before Linux 5.17: oom_kill counts the chosen process twice, and there is no oom_group_kill."""
    where = {"container_id": A, "pod_uid": UID, "cgroup": PATH}
    told = [logged(NOW + 4.9, **where), logged(NOW + 4.9, pid=8, process="helper", key="b.2", **where)]
    monkeypatch.setattr(Log, "told", told)
    kills.turn(looked(NOW, 0, version=V2))
    kills.turn(looked(NOW + 5, 0, version=V2))
    found, _ = kills.turn(looked(NOW + 10, 3, version=V2))
    assert [(kill.pid, kill.witnesses) for kill in found] == [(7, (KERNEL_LOG, CGROUP)), (8, (KERNEL_LOG, CGROUP))]


RECORDED = sorted((Path(__file__).resolve().parent / "recorded").glob("kmsg-*.json"))


@pytest.mark.parametrize("log", ["/dev/kmsg", ""])
@pytest.mark.parametrize("page", RECORDED, ids=lambda page: page.stem)
def test_what_a_real_kernel_logged_and_counted_are_the_processes_that_died(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, page: Path, log: str
) -> None:
    """Version 2, recorded in tests/vm: of a container, a child, a group, under limits above, and node-wide."""
    done = json.loads(page.read_text())
    device = Device()
    monkeypatch.setattr(os, "open", device.open)
    kills, place = Kills("n1", tmp_path, log), place_of(done["path"])
    if place.level == OTHER:  # below a container, which counts it too
        place = place_of(place.path[: place.path.index(place.container_id) + len(place.container_id)])
    counted = {"oom_kills": done["counted"]["oom_kill"], "oom_group_kills": done["counted"]["oom_group_kill"]}

    def turn(at: float, figures: Dict[str, int]) -> Tuple[Kill, ...]:
        cgroup = Cgroup(place, at, None, dict(figures))
        seen = Looked(at, 12.0 + at - NOW, V2, [cgroup], {"oom_kills": 7 + figures["oom_kills"]})
        return kills.turn(seen)[0]

    turn(NOW, dict.fromkeys(counted, 0))
    for record in page.with_suffix(".txt").read_bytes().splitlines():
        device.near.send(record)
    found = turn(NOW + 5, counted)
    assert len([kill for kill in found if kill.container_id == place.container_id]) == len(done["pids"])
    if log:
        assert sorted(kill.pid or 0 for kill in found) == done["pids"]
        assert {kill.witnesses for kill in found} == {(KERNEL_LOG, CGROUP)}


def test_without_the_log_it_says_how_to_turn_it_on(tmp_path: Path) -> None:
    _, (missing,) = Kills("n1", tmp_path, "").turn(looked(NOW, 0))
    assert "--kernel-log" in missing.why
