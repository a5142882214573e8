"""The walks that the protocol names, on the simulator: beginnings, stages that die, events that are lost."""

from __future__ import annotations

import time
from pathlib import Path
from typing import List

import pytest
from faults.deaths import Death
from faults.paper import Paper, wait
from faults.walking import WIDGETS, follows, healed, some_key, touch
from krm.model.trust import LIVE, WARMING

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


# Beginnings --------------------------------------------------------------------------------------


def test_a_cold_start_on_an_empty_redis_is_warming_and_then_whole(tmp_path: Path) -> None:
    paper = Paper(tmp_path)
    paper.world.faults.last("http_500")  # no list can be merged before somebody has read
    with paper:
        paper.record()
        answers = paper.snapshot_readers[0].answers
        wait("a head was read", lambda: any(answer.state for answer in answers))
        paper.world.faults.heal()
        paper.live()
        paper.wait_converged()
        paper.finish_readers()
        assert answers[0].state == WARMING
        shown = [len(answer.rvs) for answer in answers if answer.token is not None]
        assert set(shown) == {40}, "a first snapshot was shown half built"
        assert not paper.violations()


def test_a_410_right_after_the_start_and_a_storm_of_it_cost_few_lists(tmp_path: Path) -> None:
    with Paper(tmp_path, verify_every=60.0) as paper:
        paper.world.faults.last("watch_410")
        wait("the first list is merged", lambda: paper.views["pods"].head().rv)
        before = sum(count for (_, path), count in paper.server.requests.items() if path.endswith("/api/v1/pods"))
        with paper.traffic(40.0):
            time.sleep(5.0)
        after = sum(count for (_, path), count in paper.server.requests.items() if path.endswith("/api/v1/pods"))
        # The backoff reaches .8 to 1.6 s after three ends; each end costs a watch and a list.
        assert after - before <= 2 * (3 + 5 / 0.8), f"{after - before} requests in 5 s of 410"
        paper.heal()
        paper.live()
        paper.wait_converged()


def test_a_kind_without_objects_is_live_and_empty_and_verified_again(paper: Paper) -> None:
    view = paper.views[WIDGETS]
    seen = set()

    def verified() -> bool:
        seen.add(view.head().verified_at)
        return len(seen) >= 3

    wait("an empty kind is verified three times", verified)
    assert view.state() == LIVE
    assert view.held() == {}
    healed(paper)


def test_each_list_of_a_quiet_kind_verifies_it_again_without_a_new_version(paper: Paper) -> None:
    view = paper.views["nodes"]
    version, seen = view.head().version, set()

    def verified() -> bool:
        seen.add(view.head().verified_at)
        return len(seen) >= 4

    wait("a quiet kind is verified again and again", verified)
    assert view.head().version == version
    healed(paper)


# Stages die --------------------------------------------------------------------------------------

PUBLISH = "krm.store.publish"
DEATHS = {
    "aggregator before it publishes": ("aggregator", Death(PUBLISH, "Writer.publish", "before", 3)),
    "aggregator after it published": ("aggregator", Death(PUBLISH, "Writer.publish", "after", 3)),
    "aggregator before it writes its head": ("aggregator", Death(PUBLISH, "Writer.write_head", "before", 4)),
    "aggregator after it took over": ("aggregator", Death(PUBLISH, "Writer.take_over", "after", 1)),
    "aggregator after a chunk was built": ("aggregator", Death(PUBLISH, "Writer.build", "after", 1)),
    "aggregator before the switch": ("aggregator", Death(PUBLISH, "Writer.switch", "before", 1)),
    "aggregator after the switch": ("aggregator", Death(PUBLISH, "Writer.switch", "after", 1)),
    "streamer before a batch": ("streamer", Death("krm.store.streams", "Appender.append_event", "before", 9)),
    "streamer after a batch": ("streamer", Death("krm.store.streams", "Appender.append_event", "after", 9)),
    "verifier between page and end": ("verifier", Death("krm.verifier.rounds", "Round._append", "after", 1)),
    "verifier after the end": ("verifier", Death("krm.verifier.rounds", "Round._append", "after", 2)),
}


@pytest.mark.parametrize("step", DEATHS)
def test_a_stage_killed_at_any_step_leaves_nothing_that_its_successor_cannot_continue(
    step: str, paper: Paper
) -> None:
    stage, death = DEATHS[step]
    with paper.traffic(60.0):
        paper.pipeline.kill(stage)
        if death.function in ("Writer.build", "Writer.switch"):
            paper.pipeline.flush()  # only a first list is built aside
        paper.pipeline.start(stage, str(death))
        paper.pipeline.wait_dead(stage)
        paper.pipeline.start(stage)
        time.sleep(0.5)
    healed(paper)


def test_a_stopped_aggregator_that_wakes_after_its_successor_published_writes_nothing(paper: Paper) -> None:
    pipeline, view = paper.pipeline, paper.views["pods"]
    with paper.traffic(60.0):
        time.sleep(0.3)
        pipeline.pause("aggregator")
        before = view.head()
        pipeline.start("aggregator+")
        wait("the successor published", lambda: view.head().version > before.version + 3)
        pipeline.pause("aggregator+")
        asleep = _written(paper)
        pipeline.resume("aggregator")
        time.sleep(1.2)  # below the 2 s after which it may rightly take over again
        assert _written(paper) == asleep
        pipeline.resume("aggregator+")
        time.sleep(0.3)
    healed(paper)


def _written(paper: Paper) -> List[bytes]:
    """Everything that an aggregator writes, raw."""
    keys, ask = paper.pipeline.keys("pods"), paper.pipeline.redis.ask
    incarnation = paper.views["pods"].head().incarnation
    return [
        ask("HGETALL", keys.head),
        ask("XINFO", "STREAM", keys.changes),
        ask("HGETALL", keys.index(incarnation)),
    ]


def test_a_list_that_nobody_read_before_the_aggregator_died_does_no_harm(paper: Paper) -> None:
    pipeline, view = paper.pipeline, paper.views["pods"]
    reader = paper.database.link(pipeline.keys("pods").lists)
    pipeline.pause("aggregator")
    cursor = view.head().lists_id

    def pages() -> bool:
        rows = reader.call("XRANGE", pipeline.keys("pods").lists, f"({cursor}", "+")
        return any(b"listed" in fields[1][:20] for _, fields in rows)

    for number in range(5):
        touch(paper, some_key(paper, number))
    wait("a list lies unread", pages)
    for number in range(5):
        touch(paper, some_key(paper, number))
    pipeline.restart("aggregator")
    wait("the list was taken in", lambda: view.head().lists_id > cursor)
    assert view.head().drift == {}
    healed(paper)


def test_two_streamers_of_one_kind_lose_and_repeat_nothing(paper: Paper) -> None:
    with paper.traffic(60.0):
        paper.pipeline.start("streamer+")
        time.sleep(3.0)
        paper.pipeline.kill("streamer")
        time.sleep(1.5)
        paper.pipeline.start("streamer")
        time.sleep(1.0)
    healed(paper)


def test_a_slow_kind_does_not_hold_up_a_fast_one(paper: Paper) -> None:
    paper.world.faults.last("slow", "nodes", value=3.0)
    view = paper.views["pods"]
    seen = set()
    with paper.traffic(60.0):
        end = time.monotonic() + 4.0
        while time.monotonic() < end:
            head = view.head()
            seen.add(head.verified_at)
            assert view.state() == LIVE
            time.sleep(0.1)
    assert len(seen) >= 3
    healed(paper)


# Events are lost ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "cause"), [("ADDED", "missed_add"), ("MODIFIED", "missed_update"), ("DELETED", "ghost")]
)
def test_an_eaten_event_is_repaired_by_the_next_list_and_counted_under_its_cause(
    type_: str, cause: str, paper: Paper
) -> None:
    view = paper.views["pods"]
    before = view.head().drift
    key, other = some_key(paper, 1), some_key(paper, 2)
    paper.proxies["streamer"].eat(1, b'"type":"%s"' % type_.encode())
    pod = paper.world.read("pods", key)
    if type_ == "MODIFIED":
        touch(paper, key)
    elif type_ == "DELETED":
        paper.world.delete("pods", key)
    else:
        pod["metadata"].update(name="an-addition", uid="")
        del pod["metadata"]["uid"]
        paper.world.create("pods", pod)
    wait("the event was lost", lambda: paper.proxies["streamer"].eaten)
    touch(paper, other)  # F goes on beyond what was lost
    follows(paper)
    wait("the loss was found", lambda: view.head().drift != before, 8.0)
    paper.wait_converged()
    after = view.head().drift
    more = {name: count - before.get(name, 0) for name, count in after.items() if count != before.get(name, 0)}
    assert more == {cause: 1}  # though a metadata list found it, and the full list that it asked for again
    paper.proxies["streamer"].eaten.clear()
    paper.finish_readers()


def test_another_history_at_the_same_versions_is_found_by_the_next_full_list(tmp_path: Path) -> None:
    """etcd is restored and written past F before anybody asks: the same key, uid and rv, and other bytes."""
    with Paper(tmp_path, verify_every=1.0) as paper:
        view, world = paper.views["pods"], paper.world
        paper.live()
        key, other, third = (some_key(paper, number) for number in range(3))

        def sided(side: str) -> int:
            return world.update("pods", key, lambda pod: pod["metadata"]["labels"].update(side=side)).revision

        revision = sided("A")
        follows(paper)
        with world.lock:
            world.rollback(revision - 1)
            assert sided("B") == revision
            for _ in range(20):
                touch(paper, other)
        follows(paper)
        before, incarnation = view.head().verified_at, view.head().incarnation
        wait("two more lists agree", lambda: (view.head().verified_at or 0.0) > (before or 0.0) + 1.5)
        assert not view.equal()  # of what metadata lists compare, nothing differs
        world.faults.drop("pods", 1)
        touch(paper, third)  # lost: a full list is asked for
        touch(paper, other)
        paper.wait_converged()
        head = view.head()
        assert (head.drift, head.incarnation) == ({"other_bytes": 1, "missed_update": 1}, incarnation)


def test_an_object_deleted_between_the_metadata_list_and_the_full_one_leaves_no_ghost(paper: Paper) -> None:
    view, key = paper.views["pods"], some_key(paper, 3)
    paper.proxies["streamer"].eat(1, b'"type":"MODIFIED"')
    touch(paper, key)
    wait("the event was lost", lambda: paper.proxies["streamer"].eaten)
    touch(paper, some_key(paper, 4))
    paper.world.faults.last("slow", "pods", value=0.7)
    wait("a full list is asked for", lambda: view.head().want)
    paper.world.delete("pods", key)
    paper.heal()
    paper.wait_converged()
    held = view.held()
    assert held is not None
    assert key not in held
    healed(paper)
