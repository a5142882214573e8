"""The CRI: names, figures and ends of containers, of containerd as recorded and of CRI-O as its API writes them."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple, Union

import pytest
from agent.paper_grpc import PaperCri, answer, message, refusal
from krm.agent.runtime import cri
from krm.agent.runtime.cri import CALLS, Cri
from krm.agent.runtime.http2 import DATA, END_STREAM, frame
from krm.agent.runtime.protobuf import Message, written
from krm.agent.runtime.runtimes import RuntimeSilent
from krm.agent.seen import Named
from krm.model.kills import CRI

RECORDED = Path(__file__).parent / "recorded" / "cri.json"
UID = "5f0c5e9c-6c8e-4a57-9d0e-2f6f6f3c1a11"
AT = 1_800_000_000.0
Fields = List[Tuple[int, Union[int, str, bytes]]]


def id_of(letter: str) -> str:
    return letter * 64


def nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)


def by_id(statuses: Dict[str, bytes]) -> Any:
    """ContainerStatus: each by the id that is asked for."""

    def status(stream: int, question: bytes) -> bytes:
        found = statuses.get(Message(question).text(1))
        return refusal(stream) if found is None else answer(found, stream)

    return status


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cri.sock"


@pytest.fixture
def containerd(path: Path) -> Iterator[PaperCri]:
    """containerd 1.6, as it answered (tests/node/record_runtimes.py)."""
    said = {call: base64.b64decode(raw) for call, raw in json.loads(RECORDED.read_text()).items()}
    answers: Dict[str, Any] = {call: raw for call, raw in said.items() if " " not in call}
    answers["ContainerStatus"] = by_id({call.split()[1]: raw for call, raw in said.items() if " " in call})
    with PaperCri(path, answers) as server:
        yield server


# CRI-O, as its API writes it: all of a container's memory figures, and more fields than anyone reads.


def text_map(number: int, entries: Dict[str, str]) -> Fields:
    return [(number, written([(1, key), (2, value)])) for key, value in entries.items()]


def wrapped(value: int) -> bytes:
    return written([(1, value)] if value else [])


def crio_stats(container: str, cpu: int, working_set: int) -> bytes:
    attributes = written([(1, container), (2, written([(1, "web")])), *text_map(3, {"a": "b"})])
    usage = written([(1, nanoseconds(AT)), (2, wrapped(cpu)), (3, wrapped(7))])
    sizes = [(2, working_set), (3, 0), (4, working_set + 4096), (5, working_set - 4096), (6, 12), (7, 0)]
    memory = written([(1, nanoseconds(AT) + 1000), *((number, wrapped(value)) for number, value in sizes)])
    swap = written([(1, nanoseconds(AT)), (3, wrapped(0))])
    return written([(1, attributes), (2, usage), (3, memory), (4, written([(1, 5)])), (5, swap)])


def crio_container(container: str, sandbox: str, name: str) -> bytes:
    image = written([(1, "sha256:beef"), (18, "registry.example/web:1")])
    labels = {"io.kubernetes.pod.namespace": "old", "io.kubernetes.pod.name": "gone", "io.kubernetes.pod.uid": "u"}
    fields: Fields = [
        (1, container),
        (2, sandbox),
        (3, written([(1, name), (2, 3)])),
        (4, image),
        (5, "sha256:beef"),
    ]
    return written([*fields, (6, 1), (7, 5), *text_map(8, labels)])


def crio_sandbox(sandbox: str) -> bytes:
    return written([(1, sandbox), (2, written([(1, "web-0"), (2, UID), (3, "shop")])), (4, 5), (7, "runc")])


def crio_status(reason: str, code: int, state: int = 2, finished: float = AT - 5) -> bytes:
    fields: Fields = [(3, state), (4, 5), (5, nanoseconds(AT - 100)), (10, reason), (2, written([(1, "web")]))]
    fields += [(6, nanoseconds(finished))] if finished else []
    fields += text_map(12, {"io.kubernetes.pod.name": "web-0", "io.kubernetes.pod.uid": UID})
    return written([(1, written([*fields, (7, code % 2**64)]))])


def rows(*values: bytes) -> bytes:
    return written([(1, value) for value in values])


VERSION = written([(1, "0.1.0"), (2, "cri-o"), (3, "1.30.0"), (4, "v1")])


@pytest.fixture
def crio(path: Path) -> Iterator[PaperCri]:
    pod, web = id_of("a"), id_of("b")
    answers: Dict[str, Any] = {
        "Version": VERSION,
        "ListPodSandbox": rows(crio_sandbox(pod)),
        "ListContainers": rows(crio_container(web, pod, "web"), crio_container(id_of("c"), id_of("d"), "left")),
        "ListContainerStats": rows(crio_stats(web, 10**9, 10**8)),
        "ContainerStatus": by_id({web: crio_status("OOMKilled", 137), id_of("c"): crio_status("Error", 1)}),
    }
    with PaperCri(path, answers) as server:
        yield server


def test_containerd_names(containerd: PaperCri) -> None:
    runtime = Cri(containerd.path, "worker-1")
    assert runtime.name == "containerd 1.6.20~ds1"
    names = runtime.names()
    (sandbox,) = (one for one in names.values() if one.sandbox)
    assert sandbox == Named("shop", "web-0", "", UID, sandbox=True)
    containers = {one.container: one for one in names.values() if not one.sandbox}
    assert sorted(containers) == ["child", "holding", "killed", "web"]
    assert containers["web"] == Named("shop", "web-0", "web", UID, image="krm.test/busybox:1")
    assert all(len(container) == 64 for container in names)
    assert runtime.names() == names


def test_containerd_stats_are_of_containers_that_run(containerd: PaperCri) -> None:
    runtime = Cri(containerd.path, "worker-1")
    names, stats = runtime.names(), runtime.stats()
    assert sorted(names[one].container for one in stats) == ["holding", "web"]
    (holding,) = (stats[one] for one in stats if names[one].container == "holding")
    assert 20 * 2**20 <= holding.figures["memory_working_set"] < 22 * 2**20
    assert 20 * 2**20 <= holding.figures["memory_rss"] <= holding.figures["memory_usage"]
    assert holding.figures["cpu_usage_ns"] > 0
    assert holding.cpu_at is not None
    assert holding.memory_at == pytest.approx(holding.cpu_at, abs=1)


def test_containerd_tells_of_oom_kills(containerd: PaperCri) -> None:
    """Of a child's too, whose container ended of something else, later."""
    killed, child = Cri(containerd.path, "worker-1").ended()
    assert (killed.container, killed.container_ended) == ("killed", True)
    assert (child.container, child.container_ended) == ("child", None)
    for evidence in (killed, child):
        assert (evidence.witness, evidence.node, evidence.kills) == (CRI, "worker-1", 1)
        assert (evidence.namespace, evidence.pod, evidence.pod_uid) == ("shop", "web-0", UID)
        assert evidence.after < evidence.at < evidence.after + 10
    assert child.at - child.after > 1


@pytest.mark.parametrize(("handler", "elsewhere"), [("", False), ("runc", False), ("kata", True)])
def test_a_kill_in_a_machine_of_the_pods_own_is_another_kernels(path: Path, handler: str, elsewhere: bool) -> None:
    pod, web = id_of("a"), id_of("b")
    sandbox = written([(1, pod), (2, written([(1, "web-0"), (2, UID), (3, "shop")])), (7, handler)])
    answers: Dict[str, Any] = {
        "Version": VERSION,
        "ListPodSandbox": rows(sandbox),
        "ListContainers": rows(crio_container(web, pod, "web")),
        "ContainerStatus": by_id({web: crio_status("OOMKilled", 137)}),
    }
    with PaperCri(path, answers) as server:
        runtime = Cri(server.path, "worker-1", clock=lambda: AT)
        runtime.names()
        (kill,) = runtime.ended()
        runtime.close()
    assert (kill.elsewhere, kill.pod) == (elsewhere, "web-0")


def test_crio(crio: PaperCri) -> None:
    runtime = Cri(crio.path, "worker-1", clock=lambda: AT)
    assert runtime.name == "cri-o 1.30.0"
    assert runtime.names() == {
        id_of("a"): Named("shop", "web-0", "", UID, sandbox=True),
        id_of("b"): Named("shop", "web-0", "web", UID, image="registry.example/web:1"),
        # Its sandbox is gone: its labels say whose it was.
        id_of("c"): Named("old", "gone", "left", "u", image="registry.example/web:1"),
    }
    (stats,) = runtime.stats().values()
    assert (stats.cpu_at, stats.memory_at) == (AT, AT + 1e-6)
    assert stats.figures == {
        "cpu_usage_ns": 10**9,
        "memory_working_set": 10**8,
        "memory_usage": 10**8 + 4096,
        "memory_rss": 10**8 - 4096,
        "memory_page_faults": 12,
        "memory_major_page_faults": 0,  # told as 0
    }
    (evidence,) = runtime.ended()
    assert (evidence.container_id, evidence.after, evidence.at) == (id_of("b"), AT - 100, AT - 5)
    assert evidence.container_ended is True


def test_exit_code_137_alone_is_no_evidence(crio: PaperCri) -> None:
    crio.answers["ContainerStatus"] = by_id(
        {id_of("b"): crio_status("Error", 137), id_of("c"): crio_status("", -1)}
    )
    assert Cri(crio.path, "worker-1", clock=lambda: AT).ended() == []


def test_a_kill_that_the_runtime_learns_of_late_is_not_missed(crio: PaperCri) -> None:
    """What ended a minute ago is not asked of again."""
    now = [AT]
    runtime = Cri(crio.path, "worker-1", clock=lambda: now[0])
    crio.answers["ContainerStatus"] = by_id({id_of("b"): crio_status("Error", 137), id_of("c"): crio_status("", 1)})
    assert runtime.ended() == []
    crio.answers["ContainerStatus"] = by_id({id_of("b"): crio_status("OOMKilled", 137)})
    now[0] = AT + 58
    assert [one.container_id for one in runtime.ended()] == [id_of("b")]
    crio.answers["ContainerStatus"] = by_id({id_of("c"): crio_status("", 1)})
    now[0] = AT + 100
    assert [one.container_id for one in runtime.ended()] == [id_of("b")]
    asked = crio.methods().count("ContainerStatus")
    assert [one.container_id for one in runtime.ended()] == [id_of("b")]
    assert crio.methods().count("ContainerStatus") == asked
    crio.answers["ListContainers"] = rows()  # removed
    assert runtime.ended() == []


def test_a_container_that_runs_again_when_it_is_asked_is_none(crio: PaperCri) -> None:
    running = crio_status("OOMKilled", 0, state=1, finished=0)
    crio.answers["ContainerStatus"] = by_id({id_of("b"): running, id_of("c"): running})
    assert Cri(crio.path, "worker-1", clock=lambda: AT).ended() == []


def test_statuses_are_asked_for_a_few_at_a_time(crio: PaperCri, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cri, "MOST_ASKED", 2)
    ids = [f"{number:064x}" for number in range(5)]
    crio.answers["ListContainers"] = rows(*(crio_container(one, id_of("a"), "web") for one in ids))
    crio.answers["ContainerStatus"] = by_id({one: crio_status("OOMKilled", 137) for one in ids})
    runtime = Cri(crio.path, "worker-1", clock=lambda: AT)
    assert [len(runtime.ended()) for _ in range(4)] == [2, 4, 5, 5]


def test_only_calls_that_read_can_be_sent(crio: PaperCri) -> None:
    runtime = Cri(crio.path, "worker-1")
    runtime.names(), runtime.stats(), runtime.ended()
    assert set(crio.methods()) == set(CALLS)
    assert set(CALLS) == {"Version", "ListPodSandbox", "ListContainers", "ListContainerStats", "ContainerStatus"}
    for changing in ("RunPodSandbox", "StopContainer", "ExecSync", "RemoveContainer", "Version/../StopContainer"):
        with pytest.raises(ValueError, match="calls that only read"):
            runtime._call(changing, b"")
    assert set(crio.methods()) == set(CALLS)


def test_v1alpha2_where_v1_is_unknown(crio: PaperCri) -> None:
    crio.package = "runtime.v1alpha2"
    runtime = Cri(crio.path, "worker-1")
    assert len(runtime.names()) == 3
    assert crio.calls[-1][0] == "/runtime.v1alpha2.RuntimeService/ListContainers"
    crio.package = "runtime.v2"
    crio.hang_up()
    with pytest.raises(RuntimeSilent, match=r"knows neither runtime.v1 nor runtime.v1alpha2"):
        runtime.names()


def test_one_connection_and_another_when_the_runtime_is_started_anew(crio: PaperCri) -> None:
    runtime = Cri(crio.path, "worker-1")
    runtime.names(), runtime.stats()
    assert crio.connections == 1
    crio.answers["Version"] = written([(2, "cri-o"), (3, "1.31.0")])
    crio.hang_up()
    assert len(runtime.names()) == 3
    assert (crio.connections, runtime.name) == (2, "cri-o 1.31.0")


def test_after_silence_the_next_call_connects_anew(crio: PaperCri) -> None:
    runtime = Cri(crio.path, "worker-1")
    good = crio.answers["ListContainerStats"]
    for broken in (
        lambda stream, _: frame(DATA, END_STREAM, stream, message(b"x")[:-1]),
        lambda stream, _: frame(DATA, END_STREAM, stream, message(b"\xff")),
        lambda *_: b"HTTP/1.1 500 Internal Server Error\r\n\r\n",
        None,
    ):
        crio.answers["ListContainerStats"] = broken
        with pytest.raises(RuntimeSilent, match="ListContainerStats"):
            runtime.stats()
        crio.answers["ListContainerStats"] = good
        assert len(runtime.stats()) == 1


def test_a_runtime_that_does_not_answer(crio: PaperCri, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = Cri(crio.path, "worker-1")
    monkeypatch.setattr(cri, "SECONDS", 0.2)
    crio.answers["ListPodSandbox"] = lambda *_: b""
    with pytest.raises(RuntimeSilent, match="did not answer ListPodSandbox: no answer came in time"):
        runtime.names()


def test_a_bad_row_does_not_take_the_others_with_it(crio: PaperCri) -> None:
    good = crio_container(id_of("b"), id_of("a"), "web")
    bad = (b"\xff", b"", written([(1, "../../etc")]), written([(1, id_of("e")), (3, b"\xff")]), written([(1, 5)]))
    crio.answers["ListContainers"] = rows(*bad, good, *bad)
    crio.answers["ListContainerStats"] = rows(
        *bad, crio_stats(id_of("b"), 1, 8192), crio_stats("../../etc", 1, 8192), *bad
    )
    runtime = Cri(crio.path, "worker-1")
    assert sorted(runtime.names()) == [id_of("a"), id_of("b")]
    assert list(runtime.stats()) == [id_of("b")]


def test_figures_that_are_not_told_are_unknown(crio: PaperCri) -> None:
    crio.answers["ListContainerStats"] = rows(
        written([(1, written([(1, id_of("b"))])), (2, written([(2, wrapped(5))]))]),
        written([(1, written([(1, id_of("c"))]))]),
    )
    stats = Cri(crio.path, "worker-1").stats()
    assert list(stats) == [id_of("b")]
    assert stats[id_of("b")].figures == {"cpu_usage_ns": 5}
    assert (stats[id_of("b")].cpu_at, stats[id_of("b")].memory_at) == (None, None)


def test_sockets_that_cannot_be_opened(tmp_path: Path) -> None:
    def silence(path: Path) -> str:
        with pytest.raises(RuntimeSilent) as error:
            Cri(str(path), "worker-1")
        return str(error.value)

    assert "there is no" in silence(tmp_path / "none.sock")
    assert "--runtime-socket" in silence(tmp_path / "none.sock")
    (tmp_path / "file").write_text("")
    assert "nobody listens" in silence(tmp_path / "file")
    assert "at most 107 bytes" in silence(tmp_path / ("x" * 200))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "left.sock"))
    listener.close()
    assert "nobody listens" in silence(tmp_path / "left.sock")


@pytest.mark.skipif(os.geteuid() != 0, reason="another UID can be tried by root alone: run the tests with sudo")
def test_a_socket_that_is_closed_to_the_agent_says_which_group_opens_it() -> None:
    said = {}
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to other UIDs
        os.chmod(folder, 0o755)
        path = Path(folder) / "cri.sock"
        with PaperCri(path, {"Version": VERSION}):
            os.chown(path, 0, 4711)
            for mode in (0o660, 0o600):
                path.chmod(mode)
                said[mode] = _as_agent(path)
    assert f"UID 64123 may not open {path}: give the pod supplementalGroups: [4711]" in said[0o660]
    assert "may start containers as root" in said[0o660]
    assert "its mode is 0600, which lets no group in" in said[0o600]


def _as_agent(path: Path) -> str:
    """What it says to UID 64123 without groups."""
    script = (
        "import os, sys; from krm.agent.runtime.cri import Cri; "
        "os.setgroups([]); os.setgid(64123); os.setuid(64123); Cri(sys.argv[1], 'worker-1')"
    )
    ran = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=30)
    return ran.stderr
