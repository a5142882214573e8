"""The POST API on a real history: over a month its sums are the integral of a load that a formula gives."""

from __future__ import annotations

import math
import random
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
from krm.model import times
from krm.model.measures import Sample, Subject
from krm.model.metrics import TABLE
from krm.server.accounts import Accounts
from krm.server.classic import Classic
from krm.server.classic_asked import ALL_NAMESPACE, ALL_POD, POD_BY_NAMESPACE, POINTS, Asked
from krm.server.classic_rows import read
from krm.server.kept import Kept
from krm.store.history.asked import STEP
from krm.store.history.local import LocalHistory
from paper_app import PaperApp
from server.classic_bench import RIGHT
from server.paper_history import PaperHistory

BEGIN = times.parse("2017-12-01T00:00:00Z")
DAY = 86400.0
TURN = 120.0  # seconds between two readings


def used(at: float, base: float) -> float:
    """Millicore-seconds since BEGIN of a load that goes up and down each day around `base` millicores."""
    day = 2 * math.pi / DAY
    return base * ((at - BEGIN) + 0.5 * (1 - math.cos((at - BEGIN) * day)) / day)


class Node:
    """Pods on one node, read each two minutes: two that run all the time, one that restarts, many that live for
    seconds. `truth`: millicore-seconds a pod, of the time that was measured."""

    def __init__(self, seed: int) -> None:
        self.truth: Dict[str, float] = {}
        self._rng = random.Random(seed)
        self._began: Dict[str, float] = {}  # when the counter of a pod's container began

    def turn(self, at: float, silent: bool) -> List[Sample]:
        """Readings of the time before `at`; while the node is silent there are none, and nobody knows."""
        if self._rng.random() < 1 / 600:
            self._began["restarts-0"] = at - TURN  # its counter begins again at 0
        samples = []
        for name, base in (("web-0", 250.0), ("web-1", 37.3), ("restarts-0", 900.0)):
            grown = used(at, base) - used(at - TURN, base)
            counter = used(at, base) - used(self._began.get(name, BEGIN), base)
            samples.append(self._sample(name, at, grown, TURN, counter))
        if int(at / TURN) % 30 == 0:  # 20 seconds of 500 millicores, and gone
            samples.append(self._sample(f"job-{int(at)}", at - 5, 500 * 20.0, 20.0, 500 * 20.0))
        if silent:
            return []
        for one in samples:
            grown = one.values["cpu/usage_rate"] * one.window
            self.truth[one.subject.pod] = self.truth.get(one.subject.pod, 0.0) + grown
        return samples

    def _sample(self, pod: str, at: float, grown: float, window: float, counter: float) -> Sample:
        subject = Subject("default", pod, f"uid-{pod}", node="n1")
        # A millicore-second is 10^6 nanoseconds of CPU time.
        values = {"cpu/usage_rate": grown / window, "cpu/usage": counter * 1e6}
        return Sample(subject, at, values, "kubelet/resource", window)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[LocalHistory]:
    made = LocalHistory(str(tmp_path / "history.db"), flush_every=900.0)
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_months_sum_is_the_integral_of_what_ran(history: LocalHistory) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    node, rng = Node(seed), random.Random(seed)
    at, quiet_until = BEGIN, 0.0
    system = Subject("kube-system", "dns-0", "uid-dns", node="n1")
    while at < BEGIN + 30 * DAY:
        at += TURN
        if at >= quiet_until and rng.random() < 1 / 500:  # a silence of more than an hour may lose a counter
            quiet_until = at + rng.uniform(60, 3600)
        samples = node.turn(at, at < quiet_until)
        history.record([*samples, Sample(system, at, {"cpu/usage_rate": 10.0}, "kubelet/resource", TURN)], at)

    app = PaperApp("paper")
    app.app.classic = Classic(history, Accounts("", ("sifac", "hunter2")), Kept(1 << 24), lambda: at)
    interval = '"timeBeginInterval":"2017-12-01","timeEndInterval":"2017-12-31"'

    def ask(metric: str, agg: str) -> Any:
        begun = time.monotonic()
        got = app.ask(f"/api/{metric}", "POST", RIGHT, [f'{{"agg":"{agg}",{interval}}}'.encode()])
        print(f"{metric} {agg}: {len(got.body)} bytes in {time.monotonic() - begun:.2f} s, {len(node.truth)} pods")
        assert got.status == 200, got.body
        return got.json()

    whole = sum(node.truth.values())
    (row,) = ask("cpu/usage_rate", "all-namespace")
    assert row["namespace_name"] == "default"
    assert row["time"] == "2017-12-01T00:00:00Z"
    assert row["sum"] == pytest.approx(whole, rel=1e-3)
    rows = ask("cpu/usage_rate", "pod-by-namespace")
    assert {one["pod_name"] for one in rows} == set(node.truth)
    assert sum(one["sum"] for one in rows) == pytest.approx(row["sum"], rel=1e-9)
    for one in rows:
        assert one["sum"] == pytest.approx(node.truth[one["pod_name"]], rel=1e-3), one
    pods = {one["pod_name"]: one["sum"] for one in ask("cpu/usage_rate", "all-pod")}
    assert pods.pop("dns-0") == pytest.approx(10 * 30 * DAY, rel=1e-3)
    assert pods == {one["pod_name"]: one["sum"] for one in rows}
    # The counter goes on through the gaps: what ran while nobody looked is in its increase.
    counted = {one["pod_name"]: one["sum"] for one in ask("cpu/usage", "pod-by-namespace")}
    for name, base in (("web-0", 250.0), ("web-1", 37.3)):
        assert counted[name] == pytest.approx(used(at, base) * 1e6, rel=1e-3)


@pytest.mark.parametrize("agg", [POINTS, POD_BY_NAMESPACE, ALL_NAMESPACE, ALL_POD])
def test_the_file_answers_as_the_history_of_the_other_tests(history: LocalHistory, agg: str) -> None:
    """Every level at once, so that one that is mixed up is seen."""
    paper, now = PaperHistory(), BEGIN + 3600
    pod = Subject("shop", "web-0", "u1", node="n1")
    subjects = (
        pod, pod._replace(container="app"), pod._replace(container="proxy"), Subject("shop"), Subject(node="n1"),
        Subject("kube-system", "dns-0", "u2", node="n1"), Subject("test", "web-0", "u3", node="n2"), Subject(),
    )  # fmt: skip
    for turn in range(1, 240):
        at = BEGIN + turn * STEP
        samples = []
        for number, subject in enumerate(subjects):
            value = 10.0 * number + turn
            paper.put("cpu/usage_rate", subject, at, value)
            samples.append(Sample(subject, at, {"cpu/usage_rate": value}, "kubelet/resource", STEP))
        history.record(samples, at)
    for allowed in (None, ("shop",), ()):
        for limit in (3, 10_000):
            namespace = "" if agg in (ALL_NAMESPACE, ALL_POD) else "shop"
            asked = Asked(TABLE["cpu/usage_rate"], agg, namespace, limit, BEGIN, now, now)
            found, wanted = read(history, asked, allowed), read(paper, asked, allowed)
            assert len(found.rows) == len(wanted.rows)
            for one, other in zip(found.rows, wanted.rows):
                near = {name: pytest.approx(other[name]) for name in ("value", "sum") if name in other}
                assert one == {**other, **near}
