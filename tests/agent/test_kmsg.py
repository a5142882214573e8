"""Lines of the kernel's log, as kernels since 3.10 write them, are the kills that they tell of."""

import os
from typing import Iterator, List, Optional, Tuple

import pytest
from agent.paper_kmsg import CLOCK, Device, recorded
from hypothesis import given, settings
from hypothesis import strategies as st
from krm.agent.oom.kmsg import RECENT, KernelLog, record_of, scope_of
from krm.agent.oom.oom_lines import GLOBAL, MEMCG, Killed, OomLines
from krm.model.kills import ANCESTOR_LIMIT, CONTAINER_LIMIT, NODE_WIDE, POD_LIMIT, UNKNOWN, Evidence

ID = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
UID = "5f0c5e9c-6c8e-4a57-9d0e-2f6f6f3c1a11"
AT_POD = f"/kubepods/burstable/pod{UID}"
AT = f"{AT_POD}/{ID}"
NOW = 1_800_000_000.0


def killed_by(text: str, step: int = 10) -> List[Killed]:
    lines = OomLines()
    found = (lines.line(1_000_000 + step * i, line) for i, line in enumerate(text.strip().splitlines()))
    return [one for one in found if one is not None]


# As kernels write them

HELD = "total-vm:82092kB, anon-rss:61280kB, file-rss:620kB, shmem-rss:4kB"
SCORE = "UID:0 pgtables:96kB oom_score_adj:969"
SINCE_5 = f"""
eater invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=969
memory: usage 65536kB, limit 65536kB, failcnt 27
swap: usage 0kB, limit 9007199254740988kB, failcnt 0
Memory cgroup stats for {AT}:
oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset={ID},mems_allowed=0,\
oom_memcg={AT},task_memcg={AT},task=eater,pid=4711,uid=0
Memory cgroup out of memory: Killed process 4711 (eater) {HELD}, {SCORE}
oom_reaper: reaped process 4711 (eater), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB
"""
BEFORE_4_20 = f"""
eater invoked oom-killer: gfp_mask=0x24000c0(GFP_KERNEL), nodemask=0, order=0, oom_score_adj=969
Task in {AT} killed as a result of limit of {AT_POD}
memory: usage 65536kB, limit 65536kB, failcnt 27
memory+swap: usage 0kB, limit 9007199254740988kB, failcnt 0
Memory cgroup out of memory: Kill process 4711 (eater) score 1975 or sacrifice child
Killed process 4711 (eater) {HELD}
"""
NODE_5 = f"""
postgres invoked oom-killer: gfp_mask=0x100cca(GFP_HIGHUSER_MOVABLE), order=0, oom_score_adj=0
oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,\
task_memcg={AT},task=eater,pid=4711,uid=0
Out of memory: Killed process 4711 (eater) {HELD}, {SCORE}
"""
NODE_3 = """
java invoked oom-killer: gfp_mask=0xd0, order=0, oom_score_adj=0
Out of memory: Kill process 4711 (eater) score 854 or sacrifice child
Killed process 4711, UID 679, (eater) total-vm:82092kB, anon-rss:61280kB, file-rss:620kB
"""
ALLOCATING = NODE_5.replace("Out of memory:", "Out of memory (oom_kill_allocating_task):")


@pytest.mark.parametrize(
    ("text", "scope", "cgroup", "limited", "limit"),
    [
        (SINCE_5, CONTAINER_LIMIT, AT, AT, 64 << 20),
        (BEFORE_4_20, POD_LIMIT, AT, AT_POD, 64 << 20),
        (SINCE_5.replace(f"oom_memcg={AT}", "oom_memcg=/kubepods"), ANCESTOR_LIMIT, AT, "/kubepods", 64 << 20),
        (SINCE_5.replace(AT, "/db.slice"), ANCESTOR_LIMIT, "/db.slice", "/db.slice", 64 << 20),
        (NODE_5, NODE_WIDE, AT, "", None),
        (ALLOCATING, NODE_WIDE, AT, "", None),
        (NODE_3, NODE_WIDE, "", "", None),
    ],
    ids=["5.x", "4.x", "kubepods", "service", "node", "allocating task", "3.x"],
)
def test_a_kill_is_told_with_its_process_cgroup_and_limit(
    text: str, scope: str, cgroup: str, limited: str, limit: Optional[int]
) -> None:
    (killed,) = killed_by(text)
    assert (killed.pid, killed.name) == (4711, "eater")
    assert killed.rss // 1024 in (61280 + 620, 61280 + 620 + 4)
    assert (scope_of(killed), killed.cgroup, killed.limited, killed.limit) == (scope, cgroup, limited, limit)


def test_a_groups_members_die_with_it_and_the_chosen_one_once() -> None:
    line = SINCE_5.strip().splitlines()[5]
    text = f"{SINCE_5}Tasks in {AT} are going to be killed due to memory.oom.group set\n{line}\n"
    text += line.replace("4711 (eater)", "4712 (helper)")
    _, second = killed_by(text)
    assert (second.pid, second.cgroup, second.limited, second.limit) == (4712, AT, AT, 64 << 20)
    # Later it is another's: nothing is told of where that was.
    later = line.replace("4711 (eater)", "9 (other)")
    assert [one.cgroup for one in killed_by(f"{text}\n{later}", step=600_000)][-1] == ""


def test_a_kill_without_a_report_takes_no_others() -> None:
    """More than ten in 5 s are told by their last line alone."""
    bare = (
        "Memory cgroup out of memory: Killed process 9 (b) total-vm:9kB, anon-rss:9kB, file-rss:0kB, shmem-rss:0kB"
    )
    first, second = killed_by(SINCE_5 + bare)
    assert (first.cgroup, second.cgroup, second.reason, second.limited) == (AT, "", MEMCG, "")
    assert scope_of(second) == UNKNOWN
    # Nor where a child was sacrificed for the process that the report names.
    (child,) = killed_by(SINCE_5.replace("Killed process 4711 (eater)", "Killed process 4712 (child)"))
    assert (child.pid, child.cgroup) == (4712, "")


def test_lines_of_others_between_change_nothing() -> None:
    noise = "eth0: link is up\nmemory: nothing to see\nTask in trouble\nKilled by mistake\noom-kill: what?\n"
    lines = SINCE_5.strip().splitlines()
    (killed,) = killed_by("\n".join(f"{line}\n{noise}" for line in lines))
    assert (killed.pid, killed.cgroup, killed.limit) == (4711, AT, 64 << 20)


def test_a_line_that_others_cut_in_two_is_put_together() -> None:
    lines = OomLines()
    report = SINCE_5.strip().splitlines()
    head, tail = report[4][:40], report[4][40:]
    found = [
        lines.line(1, report[1]),
        lines.line(2, head),
        lines.line(3, "usb 1-1: new device"),
        lines.line(4, tail, goes_on=True),
        lines.line(5, report[5]),
    ]
    assert found[-1] is not None
    assert found[-1].cgroup == AT


_names = st.one_of(
    st.sampled_from(
        ["a) total-vm:1kB", "x,pid=1,uid=0", ",task=y", "a) R 1 (", "a\nb", "\\x0a", "(", "", "ü", "\udcff"]
    ),
    st.text(min_size=0, max_size=15),
).map(lambda text: text.replace("\0", "")[:15])
_folders = st.one_of(
    st.sampled_from([",task_memcg=", "a,oom_memcg=/b", ",task=x,pid=1,uid=0", "pod\n1", "a:b:c", " killed"]),
    st.text(alphabet="abc,=_:. \n", min_size=1, max_size=12),
)


@settings(max_examples=500, deadline=None)
@given(_names, st.lists(_folders, min_size=1, max_size=3), st.integers(0, 3))
def test_whatever_names_and_paths_hold_the_kill_is_the_one_that_was(
    name: str, folders: List[str], upper: int
) -> None:
    """The records as the kernel makes them, with what it escapes."""
    cgroup = "/" + "/".join(folders)
    limited = "/" + "/".join(folders[: max(1, len(folders) - upper)])
    report = (
        f"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg={limited},"
        f"task_memcg={cgroup},task={name},pid=77,uid=1000"
    )
    told = f"Memory cgroup out of memory: Killed process 77 ({name}) total-vm:8kB, anon-rss:4kB, file-rss:2kB, "
    lines = OomLines()
    found = None
    for number, text in enumerate((report, told + "shmem-rss:1kB, UID:1000 pgtables:9kB oom_score_adj:0")):
        record = record_of(recorded(text, number))
        assert record is not None
        found = lines.line(record.us, record.text, record.goes_on)
    assert found is not None
    assert (found.pid, found.name, found.cgroup, found.rss) == (77, name, cgroup, 7 * 1024)
    assert found.limited == limited or limited + ",task_memcg=" in cgroup


@pytest.mark.parametrize("data", [b"", b";", b"x,1,2,-;a", b"6,1;a", b"6,1,-;a", b"\xff" * 8192, b"14,1,2,-;a"])
def test_what_is_no_record_of_the_kernel_is_none(data: bytes) -> None:
    assert record_of(data) is None


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_break_it(data: bytes) -> None:
    record = record_of(b"6,1,2,-;" + data)
    if record is not None:
        OomLines().line(record.us, record.text, record.goes_on)


# Reading


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    made = Device()
    monkeypatch.setattr(os, "open", made.open)
    yield made
    made.near.close()
    made.far.close()


def turn(log: KernelLog, later: float = 0.0) -> List[Evidence]:
    found, missing = log.turn(NOW + later, CLOCK + later)
    assert missing == []
    return found


def test_a_kill_is_evidence_with_container_moment_and_a_name_that_stays(device: Device) -> None:
    device.write(SINCE_5)
    log = KernelLog(device.path, "n1", "7e57b001-0000\n")
    (seen,) = turn(log)
    assert (seen.container_id, seen.pod_uid, seen.scope, seen.pid, seen.process) == (
        ID,
        UID,
        CONTAINER_LIMIT,
        4711,
        "eater",
    )
    assert seen.at == seen.after == pytest.approx(NOW - 1, abs=0.1)
    assert seen.key == "7e57b001.6"
    assert turn(log, 5) == []
    log.close()


def test_the_first_turn_tells_of_the_last_minutes_alone(device: Device) -> None:
    device.write(SINCE_5, CLOCK - RECENT - 1)
    device.write(SINCE_5.replace("4711", "4712"), CLOCK - RECENT + 1)
    assert [one.pid for one in turn(KernelLog(device.path, "n1", "b"))] == [4712]


@pytest.mark.parametrize("off", [-400.0, 400.0])
def test_a_clock_that_is_off_is_off_by_no_more_than_a_turn(device: Device, off: float) -> None:
    device.write("hello")
    log = KernelLog(device.path, "n1", "b")
    turn(log)
    device.write(SINCE_5, CLOCK + 3 + off)
    (seen,) = turn(log, 5)
    assert NOW <= seen.at <= NOW + 5


def test_who_writes_to_the_device_is_not_the_kernel(device: Device) -> None:
    device.write(SINCE_5, priority=14)
    assert turn(KernelLog(device.path, "n1", "b")) == []


def test_control_characters_reach_nobody(device: Device) -> None:
    device.write("hello")
    device.near.send(recorded(NODE_5.strip().splitlines()[2].replace("eater", "e\x1b[2Jr\n"), 9))
    (seen,) = turn(KernelLog(device.path, "n1", "b"))
    assert seen.process == "e\\x1b[2Jr\\x0a"


def test_lost_records_are_told(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    device.write(SINCE_5)
    real, lost = os.read, [True]

    def read(fd: int, size: int) -> bytes:
        if lost:
            lost.pop()
            raise BrokenPipeError
        return real(fd, size)

    monkeypatch.setattr(os, "read", read)
    found, missing = KernelLog(device.path, "n1", "b").turn(NOW, CLOCK)
    assert [one.pid for one in found] == [4711]
    assert "overwritten" in missing[0].why


@pytest.mark.parametrize(
    ("error", "says"),
    [(PermissionError(1, "Operation not permitted"), "CAP_SYSLOG"), (FileNotFoundError(), "mount")],
)
def test_a_log_that_cannot_be_read_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, error: OSError, says: str
) -> None:
    def refuse(*_: object) -> Tuple[()]:
        raise error

    monkeypatch.setattr(os, "open", refuse)
    found, (missing,) = KernelLog("/dev/kmsg", "n1", "b").turn(NOW, CLOCK)
    assert found == []
    assert missing.what == "kernel log"
    assert says in missing.why


def test_a_reason_is_known_without_a_report() -> None:
    assert [one.reason for one in killed_by(NODE_5.strip().splitlines()[2])] == [GLOBAL]
