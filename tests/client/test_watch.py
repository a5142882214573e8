"""Watching: every change once, in order, or Expired; selectors turn changes into transitions."""

from __future__ import annotations

import random
from datetime import datetime, timezone
from typing import Any, List, Tuple

import pytest
from kept_cluster import KeptCluster, KeptKind, pod
from krm.client import errors
from krm.client.client import Client
from krm.client.watch import Change


def brief(changes: List[Change]) -> List[Tuple[str, str]]:
    return [(change.type, change.object.key) for change in changes]


def test_a_change_says_what_and_from_what(kept: KeptCluster, client: Client) -> None:
    pods = kept.kind("pods", {"a/x": pod()})
    start = client.snapshot("pods").token
    first = pods.objects["a/x"].rv
    pods.publish(("a/x", pod(node="n2")), repair=True)
    pods.publish(("a/x", None))
    changed, gone = client.changes("pods", since=start)
    assert (changed.type, changed.previous_resource_version, changed.repair) == ("MODIFIED", first, True)
    assert changed.object.spec.node_name == "n2"
    assert (gone.type, gone.object.name, gone.repair) == ("DELETED", "x", False)
    assert gone.published_at == pytest.approx(pods.now(), abs=60)
    assert gone.delay == pytest.approx(0.001)
    assert changed.delay is None


def test_resuming_at_any_change_misses_and_repeats_nothing(kept: KeptCluster, client: Client) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    source = random.Random(seed)
    pods = kept.kind("pods")
    start = client.snapshot("pods").token
    names = [f"a/p{number}" for number in range(6)]
    for _ in range(25):
        chosen = source.sample(names, source.randrange(1, 5))
        keep = {key: source.random() < 0.7 or key not in pods.objects for key in chosen}
        pods.publish(*[(key, pod() if keep[key] else None) for key in chosen])
    whole = client.changes("pods", since=start)
    assert len({change.token for change in whole}) == len(whole) > 25
    for number, change in enumerate(whole):
        rest = client.changes("pods", since=change.token)
        assert brief(rest) == brief(whole[number + 1 :]), f"resumed after {number}"
    # The state that a change's token names holds the change.
    for change in source.sample(whole, 10):
        then = client.at("pods", change.token).get(change.object.name, "a")
        assert change.type == "DELETED" or then is not None


def test_selectors_see_transitions(kept: KeptCluster, client: Client) -> None:
    pods = kept.kind("pods", {"a/x": pod("Pending", app="web")})
    start = client.snapshot("pods").token
    pods.publish(("a/x", pod("Running", app="web")))  # enters the field selector
    pods.publish(("a/x", pod("Running", app="web", tier="2")))  # stays
    pods.publish(("a/x", pod("Running", app="db")))  # leaves the label selector
    pods.publish(("a/y", pod("Running", app="web")), ("b/z", pod("Running", app="web")))
    pods.publish(("a/x", None), ("a/y", None))
    seen = client.watch(
        "pods", start, namespace="a", label_selector="app=web", field_selector="status.phase=Running", timeout=0.3
    )
    assert brief(list(seen)) == [
        ("ADDED", "a/x"),
        ("MODIFIED", "a/x"),
        ("DELETED", "a/x"),
        ("ADDED", "a/y"),
        ("DELETED", "a/y"),
    ]


def test_a_watch_without_since_begins_when_it_is_called(kept: KeptCluster, client: Client) -> None:
    pods = kept.kind("pods")
    changes = client.watch("pods", timeout=10)
    pods.publish(("a/x", pod()))
    assert next(changes).object.key == "a/x"


def test_a_place_that_is_gone_is_expired_never_skipped(kept: KeptCluster, client: Client) -> None:
    pods = kept.kind("pods")
    start = client.snapshot("pods").token
    for _ in range(5):
        pods.publish(("a/x", pod()))
    pods.writer.trim(4, 4)
    try:
        assert len(client.changes("pods", since=start)) == 5  # a server knows more than Redis: all of it
    except errors.Expired:
        pass
    changes = client.watch("pods", timeout=10)
    pods.begin({})
    with pytest.raises(errors.Expired):
        next(changes)
    with pytest.raises(errors.Expired):
        client.changes("pods", since=start)


@pytest.mark.parametrize("token", ["x", "N:", "N:-1", "N:1+", "N:1+x", "a=b", "N:1,b", "9" * 40])
def test_a_bad_token_is_told(kept: KeptCluster, client: Client, token: str) -> None:
    kept.kind("pods")
    with pytest.raises((errors.BadRequest, errors.Expired)):
        list(client.watch("pods", since=token, timeout=0.1))
    with pytest.raises((errors.BadRequest, errors.Expired)):
        client.at("pods", token)


def history(kept: KeptCluster) -> Tuple[KeptKind, List[str]]:
    pods = kept.kind("pods", {"a/x": pod(node="n0")})
    tokens = [
        pods.publish(("a/x", pod(node="n1"))),
        pods.publish(("a/y", pod(node="n1")), ("b/z", pod())),
        pods.publish(("a/x", None)),
    ]
    return pods, tokens


def test_the_past_is_read_by_token_version_and_time(kept: KeptCluster, client: Client) -> None:
    pods, (one, two, three) = history(kept)
    assert client.at("pods", one).get("x").spec.node_name == "n1"  # type: ignore[union-attr]
    assert client.at("pods", two).keys() == ["a/x", "a/y", "b/z"]
    assert client.at("pods", two, namespace="b").keys() == ["b/z"]
    assert client.at("pods", int(three.rpartition(":")[2])).keys() == ["a/y", "b/z"]
    now = pods.now()
    for moment in (
        now,
        datetime.fromtimestamp(now, timezone.utc),
        datetime.fromtimestamp(now, timezone.utc).isoformat(),
    ):
        assert client.at("pods", moment).keys() == ["a/y", "b/z"]
    with pytest.raises(errors.Expired):
        client.at("pods", "1h")  # before anything is kept
    with pytest.raises(errors.BadRequest, match="lies in the future: by Redis' clock it is 20"):
        client.at("pods", now + 100)
    for words, told in (
        ("yesterday", r"no token \(N:VERSION\), no version \(a number\), no time \(RFC 3339\)"),
        ("2026-11-25T03:00:00", "names no time zone: write 2026-11-25T03:00:00Z for UTC"),
        ("2999-01-01T00:00:00Z", "^2999-01-01T00:00:00Z lies in the future"),
    ):
        with pytest.raises(errors.BadRequest, match=told):
            client.at("pods", words)
    assert client.at("pods", now).as_of == now
    assert client.at("pods", one).as_of == client.changes("pods")[0].published_at
    with pytest.raises(errors.Expired):
        client.at("pods", 10**6)


def test_the_oldest_moment_can_be_read_though_changes_are_kept_from_further_back(
    kept: KeptCluster, client: Client
) -> None:
    pods, (one, two, _) = history(kept)
    assert client.diff("pods", client.oldest("pods"), one)[0].key == "a/x"
    pods.writer.trim(None, int(two.rpartition(":")[2]))  # of the past alone, which has the smaller budget
    assert client.oldest("pods") == one
    assert client.at("pods", client.oldest("pods")).keys() == ["a/x"]
    assert [found.key for found in client.diff("pods", client.oldest("pods"), two)] == ["a/y", "b/z"]
    assert len(client.changes("pods")) == 4


def test_a_quiet_kind_was_as_it_is(kept: KeptCluster, client: Client) -> None:
    pods = kept.kind("pods")
    pods.begin({"a/x": pod()}, oldest_at=pods.now() - 60)
    assert client.at("pods", "5s").keys() == ["a/x"]
    assert client.diff("pods", "5s") == []
    with pytest.raises(
        errors.Expired, match=r"^pods of paper: .* no longer kept, the oldest is \d+, published .*, 6\d s ago"
    ):
        client.at("pods", "5m")
    pods.begin({"a/x": pod()}, oldest_at=pods.now(), uncached=True)
    with pytest.raises(errors.Expired, match=r"^pods of paper have no past"):
        client.diff("pods", "5s")


def test_a_difference_goes_both_ways(kept: KeptCluster, client: Client) -> None:
    _, (one, two, three) = history(kept)

    def types(found: Any) -> List[Tuple[str, str]]:
        return [(difference.type, difference.key) for difference in found]

    assert types(client.diff("pods", one)) == [("DELETED", "a/x"), ("ADDED", "a/y"), ("ADDED", "b/z")]
    assert types(client.diff("pods", three, one)) == [("ADDED", "a/x"), ("DELETED", "a/y"), ("DELETED", "b/z")]
    assert types(client.diff("pods", one, two, namespace="b")) == [("ADDED", "b/z")]
    assert client.diff("pods", three) == []
    (first,) = [one for one in client.diff("pods", int(one.rpartition(":")[2]) - 1, two) if one.key == "a/x"]
    assert (first.before.spec.node_name, first.after.spec.node_name) == ("n0", "n1")  # type: ignore[union-attr]


def test_an_empty_token_is_refused_and_never_read_as_now(kept: KeptCluster, client: Client) -> None:
    """It is a variable that was not set: what had come since would be lost without a word."""
    kept.kind("pods", {"a/x": pod()})
    for read in (client.watch, client.changes):
        with pytest.raises(errors.BadRequest, match="'' is no token"):
            list(read("pods", since=""))
