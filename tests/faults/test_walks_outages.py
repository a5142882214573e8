"""The walks that the protocol names, on the simulator: Redis or the API server is away, emptied, or went back."""

from __future__ import annotations

import contextlib
import time
from unittest import mock

import pytest
from faults.paper import Paper, wait
from faults.readers import SnapshotReader
from faults.walking import WIDGETS, a_client, follows, healed, some_key, touch
from krm.client import errors
from krm.client.client import Client
from krm.model.trust import ABSENT, LIVE, STALE, WARMING
from krm.store.errors import Expired
from krm.store.follow import Follower

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


# Redis -------------------------------------------------------------------------------------------


def test_flushall_while_all_run_is_warming_and_another_incarnation(paper: Paper) -> None:
    view = paper.views["pods"]
    before = view.head().incarnation
    token = SnapshotReader(paper.database, view.keys).read().token  # one of its own: readers are no threads' common
    assert token is not None
    follower = Follower(paper.database, view.keys, token)
    with paper.traffic(60.0):
        paper.pipeline.flush()
        with pytest.raises(Expired):
            _follow_for_ever(follower)
        wait("there is a snapshot again", lambda: view.head().rv)
        assert view.head().incarnation != before
    follower.close()
    healed(paper)
    states = {answer.state for answer in paper.snapshot_readers[0].answers}
    assert WARMING in states


def _follow_for_ever(follower: Follower) -> None:
    while True:
        follower.turn(0.1)


def test_redis_away_is_a_typed_error_and_heals(paper: Paper) -> None:
    with a_client(paper) as reader:
        assert len(reader.snapshot("pods", stale_ok=True)) > 0
        with paper.traffic(60.0):
            paper.pipeline.kill_redis()
            with pytest.raises(errors.Unreachable):
                reader.snapshot("pods", stale_ok=True)
            time.sleep(0.5)
            paper.pipeline.start_redis()
            try:  # emptied: never an empty answer
                assert len(reader.snapshot("pods", stale_ok=True)) > 0
            except (errors.Warming, errors.UnknownKind):
                pass
            paper.live()
    for stage in ("aggregator", "streamer", "verifier"):
        assert paper.pipeline.runs(stage), f"{stage} ended because Redis was away"
    healed(paper)


def _watch_for_ever(reader: Client, token: str) -> None:
    """Each socket that Redis closed is told once as Unreachable; a client has three."""
    for _ in range(4):
        with contextlib.suppress(errors.Unreachable):
            for _change in reader.watch("pods", since=token, stale_ok=True, timeout=20.0):
                pass


def test_redis_restored_to_an_older_copy_is_told_to_readers(paper: Paper) -> None:
    with a_client(paper) as reader:
        with paper.traffic(60.0):
            copy = paper.pipeline.copy_redis()
            time.sleep(1.0)
            held = reader.snapshot("pods", stale_ok=True)
            paper.redis_went_back = True
            paper.pipeline.kill_redis()
            paper.pipeline.start_redis(copy)
            with pytest.raises(errors.Expired):
                _watch_for_ever(reader, held.token)
            paper.live()
        again = reader.snapshot("pods", stale_ok=True)
    assert again.token.partition(":")[0] != held.token.partition(":")[0], "an older copy was continued"
    healed(paper)


def test_a_client_is_told_that_versions_went_back(paper: Paper) -> None:
    with a_client(paper) as reader:
        copy = paper.pipeline.copy_redis()
        for number in range(5):
            touch(paper, some_key(paper, number))
        follows(paper)
        held = reader.snapshot("pods", stale_ok=True)
        paper.pipeline.pause("aggregator")
        paper.redis_went_back = True
        paper.pipeline.kill_redis()
        paper.pipeline.start_redis(copy)
        again = reader.snapshot("pods", stale_ok=True)
        assert int(again.token.rpartition(":")[2]) < int(held.token.rpartition(":")[2])
        assert again.trust.state == "reset", "an older version was given as if it were the next"
        paper.pipeline.resume("aggregator")
    healed(paper)


# The API server ----------------------------------------------------------------------------------


def test_an_api_server_that_is_away_is_stale_with_a_rising_age_and_the_last_state(paper: Paper) -> None:
    view = paper.views["pods"]
    held = view.held()
    with mock.patch("krm.model.trust.REPORT_LIMIT", 4.0), a_client(paper) as reader:
        paper.server.stop()
        wait("the kind is stale", lambda: view.state() == STALE, 10.0)
        with pytest.raises(errors.Stale):
            reader.snapshot("pods")
        first = reader.snapshot("pods", stale_ok=True).trust.age
        time.sleep(0.5)
        second = reader.snapshot("pods", stale_ok=True).trust.age
        assert first is not None
        assert second is not None
        assert second >= first + 0.4
        assert view.held() == held
        paper.server.resume()
        wait("the kind is live again", lambda: view.state() == LIVE)
    healed(paper)


def test_a_crd_made_removed_and_made_again(paper: Paper) -> None:
    view = paper.views[WIDGETS]

    def widget(name: str) -> None:
        metadata = {"name": name, "namespace": "default"}
        paper.world.create(WIDGETS, {"metadata": metadata, "spec": {"size": 1}})

    widget("first")
    wait("the widget is read", lambda: "default/first" in (view.held() or {}))
    paper.world.remove_kind(WIDGETS)
    wait("the kind is absent", lambda: view.state() == ABSENT)
    with a_client(paper) as reader, pytest.raises(errors.Absent):
        reader.snapshot(WIDGETS)
    paper.world.add_kind(WIDGETS)
    widget("second")
    wait("the kind is live again", lambda: view.state() == LIVE)
    wait("only the new widget is read", lambda: set(view.held() or {}) == {"default/second"})
    paper.world.delete(WIDGETS, "default/second")
    paper.heal()
    paper.wait_converged()


def test_a_rollback_of_the_api_server_begins_another_incarnation(paper: Paper) -> None:
    for number in range(10):
        touch(paper, some_key(paper, number))
    follows(paper)
    before = {kind: view.head().incarnation for kind, view in paper.views.items()}
    paper.truth.roll_back(int(paper.views["pods"].head().rv) - 5)
    wait("pods are another incarnation", lambda: paper.views["pods"].head().incarnation not in ("", before["pods"]))
    paper.live()
    paper.truth.doubt_over()
    healed(paper)
