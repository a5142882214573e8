"""Who holds a pod's namespaces open, and whose PID namespace a container shares: no guess where two could be it."""

from __future__ import annotations

from typing import Dict, Optional, Sequence, Tuple

from krm.agent.process.sharing import marks
from krm.agent.seen import Process

POD, OTHER_POD = "pod-1", "pod-2"
SANDBOX, WEB, LOG = "s" * 64, "w" * 64, "l" * 64


def one(
    pid: int, container: str, inside: Optional[int], depth: int = 2, name: str = "app", pod: str = POD
) -> Process:
    """Processes with higher PIDs started later."""
    return Process(
        pid, pid * 100, 1, name, "S", 1, 0, 0, 0.0, inside, depth, 0, "/x", container_id=container, pod_uid=pod
    )


def shared(processes: Sequence[Process]) -> Dict[int, str]:
    return dict(marks(processes, set()).shared)


def test_containers_that_share_the_sandboxs_namespace_are_told_apart() -> None:
    assert shared(
        (
            one(10, SANDBOX, 1, name="pause"),
            one(11, WEB, 7),
            one(12, LOG, 13),
            one(13, LOG, 1, depth=3),  # in a namespace that the container made for itself
        )
    ) == {11: SANDBOX, 12: SANDBOX}


def test_containers_with_namespaces_of_their_own_share_none() -> None:
    pod = [one(10, SANDBOX, 1), one(11, WEB, 1), one(12, LOG, 1), one(20, WEB, 30)]
    assert shared(pod) == {}
    # What a runtime starts in a container is for a moment in the host's namespace.
    assert shared([*pod, one(21, WEB, 21, depth=1)]) == {}


def test_one_that_is_on_its_way_into_a_container_does_not_hide_whose_namespace_it_shares() -> None:
    pod = [one(10, SANDBOX, 1), one(11, WEB, 7)]
    assert shared([*pod, one(21, WEB, 21, depth=1)]) == {11: SANDBOX}
    assert shared([*pod, one(21, SANDBOX, 21, depth=1)]) == {11: SANDBOX}


def test_a_debug_container_that_could_share_with_two_shares_with_nobody_known() -> None:
    pod = [one(10, SANDBOX, 1), one(11, WEB, 1), one(12, LOG, 40)]
    assert shared(pod) == {}
    assert shared(pod[1:]) == {12: WEB}


def test_pods_know_nothing_of_each_other() -> None:
    assert shared([one(10, SANDBOX, 1), one(11, WEB, 7, pod=OTHER_POD)]) == {}


def test_the_hosts_namespace_and_one_that_is_not_known_are_not_shared() -> None:
    assert shared([one(10, SANDBOX, 10, depth=1), one(11, WEB, 11, depth=1)]) == {}
    assert shared([one(10, SANDBOX, None, depth=1), one(11, WEB, None, depth=1)]) == {}
    assert shared([one(10, "", 10, depth=1, pod=""), one(11, "", 1, pod="")]) == {}


def pauses(processes: Sequence[Process], sandboxes: Tuple[str, ...] = ()) -> set:
    return marks(processes, set(sandboxes)).pauses


def test_pause_is_what_the_runtime_calls_so_whatever_its_name() -> None:
    pod = (one(10, SANDBOX, 1, name="sleep"), one(11, WEB, 1, name="pause"), one(12, SANDBOX, 9, name="exec"))
    assert pauses(pod, (SANDBOX,)) == {10}
    assert pauses(pod, ("another",)) == set()


def test_without_a_runtime_pause_is_the_oldest_and_alone() -> None:
    pod = [one(10, SANDBOX, 1, name="pause"), one(11, WEB, 1, name="pause")]  # a placeholder that does nothing
    assert pauses(pod) == {10}
    assert pauses([*pod, one(12, WEB, 2)]) == {10}
    assert pauses([*pod, one(12, SANDBOX, 2)]) == set()
    assert pauses([one(9, LOG, 1, name="init"), *pod]) == set()
    assert pauses([one(10, SANDBOX, 1, name="pause", pod="")]) == set()


def test_a_pod_in_the_hosts_namespace_has_a_pause_too() -> None:
    assert pauses([one(10, SANDBOX, 10, depth=1, name="pause"), one(11, WEB, 11, depth=1)]) == {10}
