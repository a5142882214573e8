"""Pods and namespaces from their containers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Iterator, List

import pytest
from krm.model.measures import Sample, Subject
from krm.store.history.asked import HOUR, Query, Series
from krm.store.history.local import LocalHistory
from krm.store.history.summing import Summing, together

BEGIN = 1_700_000_000.0 // HOUR * HOUR
CPU = "cpu/usage_rate"


def sample(pod: str, container: str, at: float, value: float, window: float = 15.0) -> Sample:
    return Sample(Subject("shop", pod, f"uid-{pod}", container, "n1"), at, {CPU: value}, "kubelet/resource", window)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[LocalHistory]:
    made = LocalHistory(str(tmp_path / "history"))
    yield made
    made.close()


def test_a_pod_and_a_namespace_come_to_what_their_containers_do(history: LocalHistory) -> None:
    for step in range(1, 41):
        at = BEGIN + step * 15
        samples: List[Sample] = [sample("web", "app", at, 100.0), sample("web", "side", at, 10.0)]
        if step == 7:  # it lived for two seconds between two looks
            samples.append(sample("job", "run", at, 1000.0, 2.0))
        samples.append(Sample(Subject("shop"), at, {CPU: 110.0}, "sum", 15.0))
        history.record(samples, at)
    reads = Summing(history)
    query = Query(CPU, "pod", BEGIN, BEGIN + 600)
    pods = {one.subject.pod: one for one in reads.totals(query).totals}
    assert pods["web"].sum == pytest.approx(110.0 * 600)
    assert pods["web"].covered == pytest.approx(600.0)
    assert pods["web"].subject == Subject("shop", "web", "uid-web", "", "n1")
    assert pods["job"].sum == pytest.approx(2000.0)
    (namespace,) = reads.totals(query._replace(level="namespace")).totals
    assert namespace.subject == Subject("shop")
    assert namespace.sum == pytest.approx(110.0 * 600 + 2000.0)
    assert namespace.maximum == 110.0
    (web,) = reads.range(query._replace(pod="web")).series
    assert list(web.values) == [110.0] * len(web.values)
    assert reads.totals(query._replace(level="container", container="side")).totals[0].sum == pytest.approx(6000.0)


def test_a_gap_of_one_container_is_a_gap_of_its_pod_and_what_began_later_is_none() -> None:
    def series(container: str, first: int, *values: float) -> Series:
        subject = Subject("shop", "web", "uid", container)
        return Series(subject, [15.0 * (first + place) for place in range(len(values))], values)

    (pod,) = together([series("app", 1, 1.0, 2.0, 3.0, 4.0), series("side", 2, 10.0, math.nan, 30.0)])
    assert list(pod.times) == [15.0, 30.0, 45.0, 60.0]
    assert [one if one == one else None for one in pod.values] == [1.0, 12.0, None, 34.0]
