"""/metrics: what Prometheus' own parser, prometheus-client's and promtool make of it."""

import math
import re
import shutil
import subprocess
from typing import Any, Dict, List

import pytest
from agent.turns import AT_CONTAINER, ID, NOW, PAUSE, UID, cgroup, process, seen
from krm.agent.exposition import SERIES, exposition
from krm.agent.figures import COUNTER, FIGURES, UNLIMITED
from krm.agent.seen import CONTAINER, OTHER, Missing
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

# Names of cAdvisor's that promtool would have otherwise: what it says of them is not about krm.
CADVISOR = re.compile(r"^(container_\w+|node_memory_MemAvailable_bytes) ")  # and node-exporter's own


def read(text: bytes) -> Dict[str, List[Sample]]:
    found: Dict[str, List[Sample]] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample)
    return found


def labelled(samples: List[Sample], **labels: str) -> Sample:
    (one,) = [sample for sample in samples if labels.items() <= sample.labels.items()]
    return one


def test_every_figure_has_a_series_and_no_two_the_same() -> None:
    assert set(SERIES) == set(FIGURES)
    assert len({(one.name, one.more) for one in SERIES.values()}) == len(SERIES)
    for name, series in SERIES.items():
        # cAdvisor's failcnt is a counter without _total.
        if FIGURES[name].kind == COUNTER and series.name != "container_memory_failcnt":
            assert series.name.endswith("_total"), name


def test_a_container_has_cadvisors_names_labels_and_units() -> None:
    figures = {"cpu_usage_ns": 1_500_000_000, "memory_working_set": 83886080, "cpu_waiting_us": 2_500_000}
    place = {"container_id": ID, "pod_uid": UID}
    told = read(exposition(seen(cgroups=(cgroup(CONTAINER, AT_CONTAINER, figures, **place),))))
    whose = {"id": AT_CONTAINER, "name": ID, "namespace": "shop", "pod": "web-0", "container": "web"}
    assert labelled(told["container_cpu_usage_seconds_total"], cpu="total", **whose).value == 1.5
    assert labelled(told["container_memory_working_set_bytes"], **whose).value == 83886080
    waiting = labelled(told["container_pressure_cpu_waiting_seconds_total"], **whose)
    assert waiting.value == 2.5
    assert float(waiting.timestamp or 0) == NOW - 0.125
    assert labelled(told["container_start_time_seconds"], **whose).value == 1799990000.0


def test_no_limit_and_the_unknown_have_no_series() -> None:
    told = read(exposition(seen()))
    assert [one for one in told.get("container_threads_max", []) if one.labels["id"] == AT_CONTAINER] == []
    assert "container_memory_cache" not in told
    values = [one.value for samples in told.values() for one in samples]
    assert all(math.isfinite(value) for value in values)


def test_a_pause_container_is_called_as_the_kubelet_calls_it() -> None:
    told = read(exposition(seen()))
    assert labelled(told["container_threads"], name=PAUSE).labels["container"] == "POD"


def test_processes_are_counted_where_they_were_read() -> None:
    assert labelled(read(exposition(seen()))["container_processes"], name=ID).value == 1
    assert labelled(read(exposition(seen()))["krm_processes"], of="host").value == 1
    assert "container_processes" not in read(exposition(seen(processes_at=None)))
    # One of the pod's own is not the host's; a container of which none was seen yet has not 0.
    found = read(exposition(seen(processes=(process(1), process(3, pod_uid=UID)))))
    assert labelled(found["krm_processes"], of="host").value == 1
    assert labelled(found["krm_processes"], of="containers").value == 1
    assert not [one for one in found.get("container_processes", []) if one.labels["name"] == ID]


def test_hostile_names_are_escaped_and_no_series_is_there_twice() -> None:
    paths = ['/a"} 1\nevil_metric 2 #', "/back\\slash\\", "/\udcff", "/\\xff", "/x" * 5000, "/ünï"]
    told = exposition(seen(cgroups=tuple(cgroup(OTHER, path, {"pids": 1}) for path in paths)))
    samples = read(told)["container_threads"]
    assert "evil_metric" not in read(told)
    ids = [one.labels["id"] for one in samples]
    assert '/a"} 1\\x0aevil_metric 2 #' in ids
    assert "/back\\slash\\" in ids
    assert len(ids) == len(set(ids)) == 5  # the third and the fourth are one text


def test_what_is_missing_is_a_series() -> None:
    told = read(exposition(seen(missing=(Missing("kernel log", "give --kernel-log"),))))
    assert labelled(told["krm_agent_missing"], what="kernel log").value == 1


def test_promtool_takes_it() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not there: run `apt-get install prometheus`")
    every: Dict[str, Any] = {name: number for number, name in enumerate(FIGURES)}
    place = {"container_id": ID, "pod_uid": UID}
    turn = seen(
        cgroups=(cgroup(CONTAINER, AT_CONTAINER, every, **place), cgroup(OTHER, '/a\n"\\', {"pids": UNLIMITED})),
        node_figures=every,
        processes=(process(1), process(2, container_id=ID)),
    )
    done = subprocess.run(
        [promtool, "check", "metrics"], input=exposition(turn), capture_output=True, timeout=60, check=False
    )
    told = (done.stdout + done.stderr).decode().splitlines()
    assert [line for line in told if not CADVISOR.match(line)] == []
    assert done.returncode in (0, 3)  # 3: it would name some of cAdvisor's otherwise
