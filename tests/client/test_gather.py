"""What a question is given: everything that it needs, and a sentence for whatever is not there."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, Iterator, List

import pytest
from kept_cluster import KeptCluster, pod
from krm.analysis.inputs import Inputs, Needs, NotKnown
from krm.analysis.worth import Worth, worth_of
from krm.client import errors
from krm.client.client import Client, connect
from krm.client.measurements import Measurements
from krm.client.usage import used
from krm.model.measures import Covers, Sample, Subject
from krm.monitor.gather import _reading, gather
from krm.monitor.past import history_of
from krm.store.history.asked import HOUR, STEP
from krm.store.history.local import LocalHistory
from krm.store.latest import CollectorState, Measured, Pod, pack_pod
from krm.store.latest_writer import LatestWriter, Turn

CPU = "cpu/usage_rate"
KEY = (CPU, "container")


def names(inputs: Inputs, kind: str) -> List[str]:
    return [
        f"{body['metadata'].get('namespace', '')}/{body['metadata']['name']}" for body in inputs.state.objects(kind)
    ]


def worth(client: Client, needs: Needs) -> Worth:
    return worth_of(gather(client, needs), needs)


def test_of_one_namespace_what_has_none_is_read_whole(kept: KeptCluster, client: Client) -> None:
    kept.kind("pods", {"a/x": pod(), "b/y": pod()})
    kept.kind("nodes", {"/n1": {}, "/n2": {}})
    needs = Needs(("pods",), ("nodes",), namespace="a")
    inputs = gather(client, needs)
    assert (names(inputs, "pods"), names(inputs, "nodes")) == (["a/x"], ["/n1", "/n2"])
    found = worth_of(inputs, needs)
    assert (found.state, found.reasons) == ("live", ())
    assert found.as_of is not None
    assert found.as_of <= found.now
    assert found.history_since is None
    assert names(gather(client, Needs(("pods",))), "pods") == ["a/x", "b/y"]


LOST: List[Any] = [
    ({"list_error": "Forbidden"}, "grant it list and watch", errors.Forbidden),
    ({"list_error": "NotFound", "unserved": True}, "does not serve", errors.Absent),
    ({"truncated": 123456}, "123456 objects", errors.Truncated),
]


@pytest.mark.parametrize(("head", "words", "error"), LOST, ids=["forbidden", "absent", "truncated"])
def test_a_kind_that_is_lost_weakens_an_answer_or_is_its_state(
    kept: KeptCluster, client: Client, head: Dict[str, Any], words: str, error: Any
) -> None:
    """Also where an old copy of it is held: that would be shown as if it were of now."""
    kept.kind("pods", {"a/x": pod()})
    kept.kind("services", {"a/s": {}}).head(**head)
    needs = Needs(("pods",), ("services",))
    inputs = gather(client, needs)
    with pytest.raises(NotKnown, match=words):
        inputs.state.objects("services")
    assert inputs.state.maybe("services") is None
    found = worth_of(inputs, needs)
    assert found.state == "live"
    assert len(found.reasons) == 1
    assert words in found.reasons[0]
    assert worth(client, Needs(("services",))).state == error.__name__.lower()


def test_a_kind_that_is_not_kept(kept: KeptCluster, client: Client) -> None:
    kept.kind("pods", {"a/x": pod()})
    (reason,) = worth(client, Needs(("pods",), ("widgets.example.com",))).reasons
    assert reason.startswith("widgets.example.com: ")
    with pytest.raises(errors.KrmError, match=r"widgets\.example\.com"):
        gather(client, Needs(("widgets.example.com",)))


def test_the_worst_state_is_the_answers(kept: KeptCluster, client: Client) -> None:
    kept.kind("pods", {"a/x": pod()})
    kept.kind("services", {"a/s": {}}).stall()
    kept.kind("nodes", {"/n": {}}).head(list_error="Forbidden")
    found = worth(client, Needs(("pods", "services", "nodes")))
    assert found.state == "forbidden"
    assert [reason.split(":")[0] for reason in found.reasons] == ["services", "nodes"]


def test_rotten_objects_are_named_and_the_others_are_given(kept: KeptCluster, client: Client) -> None:
    pods = kept.kind("pods", {f"a/x{number}": pod() for number in range(9)})
    place = pods.keys.objects(pods.writer.known.incarnation, "a")  # type: ignore[union-attr]
    for number in range(7):
        raw = pods.link.call("HGET", place, f"x{number}")
        pods.link.call("HSET", place, f"x{number}", raw[:-1] + b" ")
    needs = Needs(("pods",))
    inputs = gather(client, needs)
    assert names(inputs, "pods") == ["a/x7", "a/x8"]
    told = worth_of(inputs, needs).reasons
    assert told[0] == "pods a/x0: left out: its stored bytes are damaged"
    assert told[-1] == "pods and others: 2 more objects are damaged and left out"
    assert len(told) == 6


def test_a_snapshot_that_began_anew_is_no_concern_of_an_answer(kept: KeptCluster, client: Client) -> None:
    pods = kept.kind("pods", {"a/x": pod()})
    assert worth(client, Needs(("pods",))).state == "live"
    pods.begin({"a/y": pod()})
    inputs = gather(client, Needs(("pods",)))
    assert names(inputs, "pods") == ["a/y"]
    assert worth_of(inputs, Needs(("pods",))).state == "live"


def test_what_was_never_measured_is_absent_not_empty(kept: KeptCluster) -> None:
    kept.kind("pods", {"a/x": pod()})
    with connect(kept.url, kept.name) as client:
        needs = Needs(("pods",), points=(KEY,), window=300.0, newest=("container", "node"), kills=True)
        found = worth(client, needs)
    assert (found.state, found.history_since, found.measured_at) == ("absent", None, None)
    assert any("no collector" in reason for reason in found.reasons)
    assert any(reason.startswith("cpu/usage_rate of each container: no history") for reason in found.reasons)


def test_what_is_used_now_is_of_one_turn_and_of_the_levels_asked_for(kept: KeptCluster) -> None:
    def one(**values: float) -> Any:
        return (
            Measured("kubelet/resource", 100.0, 15.0, {name.replace("__", "/"): at for name, at in values.items()}),
        )

    writer = LatestWriter(kept.database, kept.name)
    assert writer.take()
    state = CollectorState("", "", 3600.0, (), {}, (), Covers(1, 2, "nodes"))
    pods = {
        space: {
            "x": pack_pod(Pod("x", "u", "n1", (), {"c": one(cpu__usage_rate=7.0), "d": one(cpu__usage_rate=1.0)}))
        }
        for space in ("a", "b")
    }
    writer.write(Turn(pods, {"a": (), "b": ()}, {"n1": one(cpu__usage_rate=9.0)}, state))
    with connect(kept.url, kept.name) as client:
        needs = Needs((), newest=("container", "node", "pod"), namespace="a")
        found = gather(client, needs).newest
        wide = gather(client, needs._replace(namespace=None)).newest
        worth_found = worth(client, needs)
    rows = {
        level: [(tuple(row.subject), row.values[CPU]) for row in rows] for level, rows in found.readings.items()
    }
    assert rows == {
        "container": [(("a", "x", "", "c", "n1", ""), 7.0), (("a", "x", "", "d", "n1", ""), 1.0)],
        "pod": [(("a", "x", "", "", "n1", ""), 8.0)],
        "node": [(("", "", "", "", "n1", ""), 9.0)],
    }
    assert len(wide.readings["container"]) == 4
    assert (found.state, found.nodes) == ("live", Covers(1, 2, "nodes"))
    assert (worth_found.measured_at, worth_found.reasons) == (100.0, ("only 1 of 2 nodes are measured",))


def test_a_server_that_is_gone_is_an_error(kept: KeptCluster) -> None:
    with pytest.raises(errors.Unreachable):
        gather(connect("redis://127.0.0.1:1", "paper"), Needs(("pods",)))


# --- the history

NOW = 1_700_000_000.0 // HOUR * HOUR + 1800.0


@pytest.fixture
def history(tmp_path: Path) -> Iterator[LocalHistory]:
    """Three hours of two containers: one throughout but for ten minutes, one that began an hour ago."""
    kept = LocalHistory(str(tmp_path / "history"))
    for number in range(int(3 * HOUR // STEP), 0, -1):
        at, samples = NOW - number * STEP, []
        if not 40 <= number <= 80:
            samples.append(Sample(Subject("a", "x", "u1", "c", "n1"), at, {CPU: float(number)}, "x", STEP))
        if number <= HOUR // STEP:
            samples.append(Sample(Subject("b", "y", "u2", "c", "n1"), at, {CPU: 7.0}, "x", STEP))
        kept.record(samples, at)
    yield kept
    kept.close()


def reader(history: LocalHistory) -> Client:
    """As much of a client as reading the history takes."""
    return SimpleNamespace(measurements=Measurements(history))  # type: ignore[arg-type, return-value]


def values(track: Any) -> Dict[float, float]:
    assert len(track.times) == len(track.values)
    assert [b - a for a, b in zip(track.times, track.times[1:])] == [STEP] * (len(track.times) - 1)
    return {at: value for at, value in zip(track.times, track.values) if not math.isnan(value)}


def test_pieces_of_time_are_joined_as_if_they_were_one_answer(
    history: LocalHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = Needs((), points=(KEY, ("memory/working_set", "container")), window=3 * HOUR)
    whole = history_of(reader(history), needs, NOW)
    assert whole.lacks == ()
    assert len(whole.tracks(*KEY)) == 2
    for most in (1000, 400, 150):
        monkeypatch.setattr("krm.store.history.points.MOST_POINTS", most)
        pieces = history_of(reader(history), needs, NOW)
        assert [track.subject for track in pieces.tracks(*KEY)] == [track.subject for track in whole.tracks(*KEY)]
        for one, other in zip(pieces.tracks(*KEY), whole.tracks(*KEY)):
            assert values(one) == values(other), most
        assert (pieces.since, pieces.lacks) == (whole.since, ())


def test_more_than_can_be_read_is_told(history: LocalHistory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("krm.store.history.points.MOST_POINTS", 10)
    found = history_of(reader(history), Needs((), points=(KEY,), window=3 * HOUR), NOW)
    assert found.tracks(*KEY) == ()
    assert "more than 10 points" in found.lacks[0]


def test_one_namespace_and_all(history: LocalHistory) -> None:
    for namespace, pods in ((None, ["x", "y"]), ("b", ["y"]), ("c", [])):
        needs = Needs((), points=(KEY,), window=600.0, hours=(KEY,), hours_back=3 * HOUR, namespace=namespace)
        found = history_of(reader(history), needs, NOW)
        assert sorted(track.subject.pod for track in found.tracks(*KEY)) == pods
        assert sorted(track.subject.pod for track in found.hours(*KEY)) == pods


def test_hours_are_whole_and_say_what_they_cover(history: LocalHistory) -> None:
    found = history_of(reader(history), Needs((), hours=(KEY,), hours_back=48 * HOUR), NOW)
    (long,) = [track for track in found.hours(*KEY) if track.subject.pod == "x"]
    last = NOW // HOUR * HOUR
    assert list(long.ends) == [last - 2 * HOUR, last - HOUR, last]
    assert long.covered[1] == pytest.approx(HOUR)
    assert long.covered[0] == pytest.approx(HOUR / 2, abs=2 * STEP)
    assert long.covered[2] == pytest.approx(HOUR)
    assert found.since == NOW - 3 * HOUR


@pytest.mark.parametrize("window", [300.0, HOUR, 2.75 * HOUR, 24 * HOUR])
def test_history_begins_with_its_first_sample_not_with_that_ones_hour(history: LocalHistory, window: float) -> None:
    found = history_of(reader(history), Needs((), points=(KEY,), window=window), NOW)
    assert found.since == NOW - 3 * HOUR
    for namespace in ("b", "c"):  # not measured in the first hour: after it, measuring had surely begun
        other = history_of(reader(history), Needs((), points=(KEY,), window=window, namespace=namespace), NOW)
        assert other.since == (NOW - 3 * HOUR) // HOUR * HOUR + HOUR


def test_hours_before_the_first_are_not_asked_one_by_one(history: LocalHistory) -> None:
    asked: List[float] = []
    totals = history.totals
    history.totals = lambda query: (asked.append(query.begin), totals(query))[1]  # type: ignore[method-assign, func-returns-value]
    history_of(reader(history), Needs((), hours=(KEY,), hours_back=400 * 24 * HOUR), NOW)
    assert len(asked) <= 6


def test_a_sum_over_the_window_is_one_a_subject(history: LocalHistory) -> None:
    needs = Needs((), points=(KEY,), sums=(KEY,), window=HOUR)
    found = history_of(reader(history), needs, NOW)
    sums = {one.subject.pod: one for one in found.sums(*KEY)}
    assert sorted(sums) == ["x", "y"]
    for track in found.tracks(*KEY):
        known = [value for value in track.values if not math.isnan(value)]
        one = sums[track.subject.pod]
        assert one.mean == pytest.approx(sum(known) / len(known), rel=0.02)
        assert one.maximum == pytest.approx(max(known), rel=0.02)
    assert history_of(reader(history), needs._replace(namespace="c"), NOW).sums(*KEY) == []


def test_points_of_nodes_that_are_named(history: LocalHistory) -> None:
    """All namespaces of them, whatever namespace the question is about; without any, nothing is read."""
    needs = Needs((), points=(KEY,), window=600.0, namespace="b", of_killed=True)
    nodes = sorted(
        {
            track.subject.node
            for track in history_of(reader(history), needs._replace(namespace=None), NOW).tracks(*KEY)
        }
    )
    found = history_of(reader(history), needs, NOW, nodes)
    assert sorted(track.subject.pod for track in found.tracks(*KEY)) == ["x", "y"]
    assert history_of(reader(history), needs, NOW, ["no-such-node"]).tracks(*KEY) == []
    assert history_of(reader(history), needs, NOW, []).tracks(*KEY) == []
    many = history_of(reader(history), needs, NOW, [f"n{number}" for number in range(30)])
    assert any("of 20 of 30 nodes" in sentence for sentence in many.lacks)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_is_not_known(value: float) -> None:
    """JSON and msgpack let it through; a sum, or a whole number of it, stops an answer."""
    row = used("node", [Measured("kubelet", 1.0, 10.0, {"cpu/usage_rate": 5.0, "memory/usage": value})], node="n1")
    assert _reading(row).values == {"cpu/usage_rate": 5.0}
