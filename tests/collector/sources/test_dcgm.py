"""A recorded page of a DCGM exporter (data/dcgm.txt, values ours) against what a person counts on it.

Of the node gpu-1: GPU 0 is train-0's; GPU 1 is nobody's; GPU 2 is time-sliced, two shares for infer-0 and one
for infer-1; GPU 3 is split into three MIG instances (train-0, note-0, nobody); of GPU 4 DCGM knows nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Optional, Tuple

import pytest
from krm.collector.facts import ContainerFacts, PodFacts
from krm.collector.source import NoData
from krm.collector.sources.annotated import Reach, pod_target
from krm.collector.sources.dcgm import NAMES, Gpus, exporters, gpu_samples
from krm.collector.sources.scraped import read_page
from krm.model.measures import Covers, Sample, Subject
from krm.model.metrics import TABLE

NOW = 1_800_000_000.0
PAGE = (Path(__file__).parent / "data" / "dcgm.txt").read_bytes()
PODS = {("ml", "train-0"), ("ml", "note-0"), ("ml", "stray-0"), ("web", "infer-0"), ("web", "infer-1")}
UUIDS = [f"GPU-{n:08d}-aaaa-bbbb-cccc-{n:012d}" for n in range(5)]


def find(namespace: str, pod: str) -> Optional[Subject]:
    return Subject(namespace, pod, f"u-{pod}", "", "gpu-1") if (namespace, pod) in PODS else None


def read(page: bytes = PAGE) -> List[Sample]:
    return gpu_samples(read_page(page, "text/plain; version=0.0.4", NAMES), "gpu-1", find, NOW)


def values(samples: List[Sample], metric: str, resource: bool = False) -> Dict[Tuple[str, str, str], float]:
    """(pod, container, resource_id) -> value"""
    return {
        (one.subject.pod, one.subject.container, one.subject.resource_id): one.values[metric]
        for one in samples
        if metric in one.values
    }


def test_memory_over_all_gpus_of_containers_pods_and_the_node() -> None:
    used = values(read(), "gpu/usage")
    assert used == {
        ("", "", ""): 30000 + 3 + 12000 + 5000 + 900 + 100,
        ("train-0", "", ""): 30000 + 5000,
        ("train-0", "main", ""): 30000 + 5000,
        ("note-0", "", ""): 900,
        ("note-0", "jupyter", ""): 900,
        ("infer-0", "", ""): pytest.approx(8000),
        ("infer-0", "srv", ""): pytest.approx(8000),
        ("infer-1", "", ""): pytest.approx(4000),
        ("infer-1", "srv", ""): pytest.approx(4000),
    }
    limit = values(read(), "gpu/limit")
    assert limit["", "", ""] == 40536 * 3 + 20000 + 4800 + 4800
    assert limit["infer-1", "", ""] == pytest.approx(40536 / 3)


def test_pods_together_have_what_the_node_has_less_what_is_nobodys() -> None:
    used = values(read(), "gpu/usage")
    assert sum(v for (pod, container, _), v in used.items() if pod and not container) == pytest.approx(
        used["", "", ""] - 3 - 100
    )


def test_how_busy_each_device_is_and_not_split() -> None:
    busy = values(read(), "gpu/utilization")
    assert {resource: value for (pod, _, resource), value in busy.items() if not pod} == {
        UUIDS[0]: 0.93, UUIDS[1]: 0.0, UUIDS[2]: 0.6,
        f"{UUIDS[3]}/1": 0.25, f"{UUIDS[3]}/7": 0.5, f"{UUIDS[3]}/8": 0.0,
    }  # fmt: skip
    assert busy["infer-1", "srv", UUIDS[2]] == busy["infer-0", "", UUIDS[2]] == 0.6
    assert {resource for pod, _, resource in busy if pod == "train-0"} == {UUIDS[0], f"{UUIDS[3]}/1"}


def test_what_dcgm_does_not_know_is_not_in_a_sum_and_the_sum_says_so() -> None:
    samples = read()
    node = next(one for one in samples if one.subject == Subject(node="gpu-1"))
    assert node.covers == Covers(6, 7, "GPUs")
    assert str(node.covers) == "6 of 7 GPUs"
    half = PAGE.replace(b"2147483632", b"7")  # used is known, free is not
    node = next(one for one in read(half) if one.subject == Subject(node="gpu-1"))
    assert node.covers == Covers(7, 7, "GPUs")
    assert node.values["gpu/usage"] == 48003 + 7
    other = b"\n".join(line for line in PAGE.split(b"\n") if not (b"FB_USED" in line and b'gpu="1"' in line))
    node = next(one for one in read(other) if one.subject == Subject(node="gpu-1"))
    assert node.covers == Covers(5, 7, "GPUs")


def test_a_pod_that_this_node_has_not_is_not_given_another_ones_numbers() -> None:
    samples = read(PAGE.replace(b'pod="train-0"', b'pod="elsewhere"'))
    assert not [one for one in samples if one.subject.pod in ("elsewhere", "train-0")]
    assert values(samples, "gpu/usage")["", "", ""] == 48003


def test_the_older_names_of_labels_are_understood() -> None:
    old = PAGE.replace(b',pod="', b',pod_name="').replace(b",namespace=", b",pod_namespace=")
    old = old.replace(b",container=", b",container_name=").replace(b"UUID=", b"uuid=")
    assert [one._replace(covers=None) for one in read(old)] == [one._replace(covers=None) for one in read()]


def test_every_value_is_in_the_table_at_its_level() -> None:
    for sample in read():
        assert (sample.at, sample.source) == (NOW, "dcgm")
        for name in sample.values:
            assert "dcgm" in TABLE[name].sources
            assert sample.subject.level in TABLE[name].levels


def pod(namespace: str, name: str, node: str = "gpu-1", app: str = "") -> PodFacts:
    runs = (ContainerFacts("main", 1.0),)
    return PodFacts(namespace, name, f"u-{name}", node, "10.1.2.3", False, False, runs, {}, True, app)


def test_an_exporter_is_asked_and_believed_where_it_may_be() -> None:
    pods = {(one.namespace, one.name): one for one in [
        pod("gpu-operator", "dcgm-x", app="nvidia-dcgm-exporter"), pod("evil", "dcgm-y", app="dcgm-exporter"),
        pod("ml", "train-0"), pod("ml", "note-0", "gpu-2"), pod("shop", "web", app="web"),
    ]}  # fmt: skip
    asked = []

    def fetch(url: str, most: int, deadline: float) -> Tuple[bytes, str]:
        asked.append(url)
        return PAGE, "text/plain"

    read = Gpus(lambda namespace, name: pods.get((namespace, name)), fetch, frozenset, Reach())
    targets = exporters(pods.values())
    assert set(targets) == {"pod gpu-operator/dcgm-x", "pod evil/dcgm-y"}
    samples = read(targets["pod gpu-operator/dcgm-x"], NOW)
    assert {one.subject.pod for one in samples} == {"", "train-0"}, "note-0 runs on another node"
    assert asked == ["http://10.1.2.3:9400/metrics"]
    with pytest.raises(NoData, match="not believed"):
        read(targets["pod evil/dcgm-y"], NOW)
    del pods["gpu-operator", "dcgm-x"]
    with pytest.raises(NoData, match="no such pod"):
        read(targets["pod gpu-operator/dcgm-x"], NOW)
    assert len(asked) == 1


def test_a_page_without_gpus_is_no_data() -> None:
    exporter = pod("gpu-operator", "dcgm-x")
    read = Gpus(lambda *_: exporter, lambda *_: (b"up 1\n", "text/plain"), frozenset, Reach())
    with pytest.raises(NoData, match="no GPU"):
        read(pod_target(exporter), NOW)
