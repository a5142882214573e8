"""The documents of /v1/node, /v1/processes and /v1/kills are what docs/dev/agent-protocol.md promises."""

import json
import re
from pathlib import Path
from typing import Any, Dict, List

from agent.turns import ID, NOW, PAUSE, UID, cgroup, process, seen
from krm.agent import documents
from krm.agent.documents import kills_document, node_document, packed, processes_document
from krm.agent.seen import CONTAINER
from krm.collector.facts import ContainerFacts, PodFacts
from krm.collector.sources.agent import samples_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "dev" / "agent-protocol.md"


def examples() -> List[Dict[str, Any]]:
    return [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)]


def test_the_documents_have_the_fields_of_the_page_and_no_others() -> None:
    made = [node_document(seen()), processes_document(seen()), kills_document(seen())]
    lists = ("pods", "runtime", "overheads", "differences", "missing", "kills")
    for document, example in zip(made, examples()):
        assert set(document) == set(example)
        for name in lists:
            if example.get(name):
                assert set(document[name][0]) - {"started", "pids"} <= set(example[name][0]), name
    (moment,) = made[2]["kills"][0]["before"]
    assert set(moment) == set(examples()[2]["kills"][0]["before"][0])
    assert set(made[2]["kills"][0]) == set(examples()[2]["kills"][0])
    assert set(made[1]["processes"][1]) == set(examples()[1]["processes"][0])


def test_the_collector_reads_of_it_what_it_always_read() -> None:
    pod = PodFacts(
        "shop", "web-0", UID, "worker-1", "10.0.0.1", False, False, (ContainerFacts("web", 1.0, ID),), {}, True
    )
    samples = samples_of(packed(node_document(seen())), "worker-1", [pod], NOW)
    values = {
        (sample.subject.container, name): value for sample in samples for name, value in sample.values.items()
    }
    assert values["", "cpu/usage"] == 10.0
    assert values["web", "pids/usage"] == 17.0
    assert ("web", "pids/limit") not in values


def test_a_pause_container_is_no_container_whether_its_runtime_says_so_or_its_process() -> None:
    named = node_document(seen())
    assert [row["id"] for row in named["containers"]] == [ID]
    assert [row["id"] for row in named["sandboxes"]] == [PAUSE]
    pausing = seen().processes + (process(9, container_id=PAUSE, is_pause=True),)
    unnamed = node_document(seen(named={}, processes=pausing))
    assert [row["id"] for row in unnamed["containers"]] == [ID]
    both = node_document(seen(named={}, processes=pausing + (process(10, container_id=PAUSE),)))
    assert [row["id"] for row in both["containers"]] == [ID, PAUSE]


def test_unknown_is_absent_and_no_limit_is_no_number() -> None:
    (container,) = node_document(seen())["containers"]
    assert container["pids_limit"] == "unlimited"
    assert "memory_limit" not in container
    (overhead,) = node_document(seen())["overheads"]
    assert overhead["memory"] is None
    host, inside = processes_document(seen())["processes"]
    assert "pid_inside" not in host
    assert "container_id" not in host
    assert inside["pod"] == "web-0"


def test_a_pod_without_names_has_none_made_up() -> None:
    document = node_document(seen(named={}))
    assert all("namespace" not in row for row in document["containers"] + document["pods"])


def test_hostile_names_are_text_that_everyone_can_keep() -> None:
    path = f"/a\udcff\n/..{'x' * 10_000}"
    document = processes_document(
        seen(processes=(process(5, name="a) R 1 (", cgroup=path, command="é\udc80\ud800"),))
    )
    again = json.loads(packed(document))["processes"][0]
    assert again["name"] == "a) R 1 ("
    assert again["cgroup"].startswith("/a\\xff\\x0a/..x")
    assert len(again["cgroup"]) < 4110
    assert again["command"] == "é\\x80\\xed\\xa0\\x80"
    for text in again.values():
        str(text).encode("utf-8")


def test_what_is_too_much_is_left_out_and_told(monkeypatch) -> None:
    monkeypatch.setattr(documents, "MAX_CGROUPS", 1)
    monkeypatch.setattr(documents, "MAX_PROCESSES", 2)
    many = tuple(process(pid, rss=pid) for pid in range(1, 9)) + (process(99, rss=0, container_id=ID),)
    document = node_document(seen(named={}))
    assert len(document["containers"]) == 1
    assert {"what": "containers", "why": "there are 2: a document tells of at most 1"} in document["missing"]
    kept = processes_document(seen(processes=many))
    assert [row["pid"] for row in kept["processes"]] == [99, 8]
    assert "there are 9" in kept["missing"][-1]["why"]


def test_the_same_thing_is_missing_once() -> None:
    assert node_document(seen())["missing"] == [
        {"what": "kernel log", "why": "it may not be read: give --kernel-log"}
    ]


def test_no_document_is_larger_than_its_reader_takes() -> None:
    long = "x" * 4000
    (kill,) = seen().kills
    moments = kill.before * 30
    many = seen(
        named={},
        cgroups=tuple(
            cgroup(CONTAINER, f"/{number}/{long}", {"pids": 1}, container_id=f"{number:064x}")
            for number in range(4000)
        ),
        processes=tuple(
            process(pid, command=long, rss=pid, container_id=ID if pid > 5990 else "") for pid in range(1, 6000)
        ),
        kills=tuple(kill._replace(id=str(number), before=moments, limited=long) for number in range(1000)),
    )
    for document, name in (
        (node_document(many), "containers"),
        (processes_document(many), "processes"),
        (kills_document(many), "kills"),
    ):
        body = packed(document)
        assert len(body) <= documents.MOST_BYTES[name]
        kept = json.loads(body)
        assert 0 < len(kept[name]) < len(document[name])
        assert "are left out" in kept["missing"][-1]["why"]
        if name == "processes":
            assert {row["pid"] for row in kept[name]} > set(range(5991, 6000))
        if name == "kills":
            assert kept[name][-1]["id"] == "999"
