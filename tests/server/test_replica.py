"""The replica's laws on random histories, against a dictionary a version."""

from __future__ import annotations

import random
from typing import Dict, List, Tuple

import pytest
from krm.model.head import Head
from krm.model.messages import ADDED, DELETED, MODIFIED
from krm.model.records import Change, ChangeEntry, Envelope, object_digest, pack_envelope
from krm.server.replica import Replica
from krm.store.read import SnapshotData, Token


def envelope(key: str, rv: int) -> Envelope:
    body = b'{"apiVersion":"v1","kind":"Pod","metadata":{"name":"%s","resourceVersion":"%d"}}' % (key.encode(), rv)
    return Envelope(str(rv), f"uid-{key}", object_digest(body), 1.0, b"", (), body)


def entry(changes: List[Tuple[str, str, int]], rv: int, repair: bool = False) -> ChangeEntry:
    rows = [Change(type_, key, pack_envelope(envelope(key, at)), "", "", b"", ()) for type_, key, at in changes]
    return ChangeEntry(1.0, str(rv), repair, 0.0, tuple(rows))


def loaded(objects: Dict[str, int], rv: int) -> Replica:
    replica = Replica("pods")
    held = {key: envelope(key, at) for key, at in objects.items()}
    head = Head(incarnation="n", version=1, rv=str(rv))
    replica.load(SnapshotData(Token("n", 1), head, 10.0, held))
    return replica


def shown(replica: Replica) -> Dict[str, int]:
    keys = replica.keys()
    return {key: int(replica.objects[key].rv) for key in keys}


def run(seed: int) -> Tuple[Replica, Dict[int, Dict[str, int]]]:
    """A random life, and the true state at each resourceVersion at which a version ended."""
    rng = random.Random(seed)
    state = {f"ns-{n % 3}/pod-{n}": 10 for n in range(12)}
    replica, rv = loaded(state, 10), 10
    truth = {10: dict(state)}
    for version in range(2, 60):
        changes = []
        for _ in range(rng.randint(1, 4)):
            rv += rng.randint(1, 3)
            key = f"ns-{rng.randint(0, 2)}/pod-{rng.randint(0, 15)}"
            if key in state and rng.random() < 0.4:
                del state[key]
                changes.append((DELETED, key, rv))
            else:
                changes.append((MODIFIED if key in state else ADDED, key, rv))
                state[key] = rv
        replica.apply(version, entry(changes, rv))
        truth[rv] = dict(state)
    return replica, truth


@pytest.mark.parametrize("seed", range(20))
def test_the_newest_state_and_its_order_are_the_true_ones(seed: int) -> None:
    print(f"seed {seed}")
    replica, truth = run(seed)
    assert shown(replica) == truth[int(replica.rv)]
    assert replica.keys() == sorted(replica.objects)
    for space in ("ns-0", "ns-1", "ns-2", "ns-9"):
        assert replica.keys(space) == [key for key in sorted(replica.objects) if key.startswith(space + "/")]


@pytest.mark.parametrize("seed", range(20))
def test_every_kept_version_can_be_undone_to(seed: int) -> None:
    print(f"seed {seed}")
    replica, truth = run(seed)
    for rv, state in truth.items():
        undone = replica.undone(rv)
        assert undone is not None
        found = {key: int(one.rv) for key, one in replica.objects.items() if key not in undone}
        found.update({key: int(one.rv) for key, one in undone.items() if one is not None})
        assert found == state


@pytest.mark.parametrize("seed", range(20))
def test_a_watch_from_any_version_leads_to_the_newest_state(seed: int) -> None:
    print(f"seed {seed}")
    replica, truth = run(seed)
    for rv, state in truth.items():
        position = replica.position(rv)
        assert position is not None
        events = replica.events(position)
        assert events is not None
        last = rv
        for event in events:
            assert event.rv > last
            last = event.rv
            assert (event.before is None) == (event.key not in state)
            if event.type == DELETED:
                del state[event.key]
            else:
                state[event.key] = event.rv
        assert state == shown(replica)


def test_a_repair_ends_watches_by_resource_version() -> None:
    replica = loaded({"a/x": 5}, 10)
    epoch = replica.epoch
    replica.apply(2, entry([(ADDED, "a/y", 7)], 12, repair=True))
    assert replica.epoch > epoch
    assert (replica.position(11), replica.position(13)) == (None, replica.end)
    assert shown(replica) == {"a/x": 5, "a/y": 7}


def told_from(replica: Replica, rv: int) -> List[Tuple[str, str, int]]:
    position = replica.position(rv)
    assert position is not None
    return [(one.type, one.key, one.rv) for one in replica.events(position) or ()]


def test_who_read_at_a_repair_s_version_is_told_what_was_repaired() -> None:
    """Before it or after it: the resourceVersion is the same."""
    replica = loaded({"a/x": 5, "a/z": 6}, 12)
    replica.apply(2, entry([(ADDED, "a/y", 7), (DELETED, "a/x", 11), (MODIFIED, "a/z", 8)], 12, repair=True))
    repair = [(ADDED, "a/y", 12), (DELETED, "a/x", 12), (MODIFIED, "a/z", 12)]
    assert told_from(replica, 12) == repair
    assert replica.undone(12) == {}, "what is listed at it is what was repaired"
    replica.apply(3, entry([(MODIFIED, "a/y", 13)], 13))
    assert told_from(replica, 12) == [*repair, (MODIFIED, "a/y", 13)]
    assert told_from(replica, 13) == []
    undone = replica.undone(12)
    assert undone is not None
    assert [(key, one.rv if one else None) for key, one in undone.items()] == [("a/y", "7")]


def adopted(replica: Replica, made: Replica) -> int:
    """The epoch is another one, and every position is: what was open ends."""
    epoch, end = replica.epoch, replica.end
    replica.adopt(made)
    assert replica.epoch > epoch
    return end


def test_who_read_at_the_version_of_a_snapshot_built_anew_is_told_what_differs() -> None:
    """At one resourceVersion two states were told, and their readers cannot be told apart."""
    replica, made = loaded({"a/v": 3, "a/x": 5, "a/z": 6}, 12), loaded({"a/v": 3, "a/y": 7, "a/z": 8}, 12)
    made.apply(2, entry([(MODIFIED, "a/y", 13)], 13))
    end = adopted(replica, made)
    differs = [(DELETED, "a/x", 12), (ADDED, "a/y", 12), (MODIFIED, "a/z", 12)]
    assert told_from(replica, 12) == [*differs, (MODIFIED, "a/y", 13)]
    assert told_from(replica, 13) == []
    assert replica.position(11) is None
    position = replica.position(12)
    assert position is not None
    assert position >= end
    assert (replica.undone(12) or {}).keys() == {"a/y"}, "what is listed at it is the newer of the two"


def test_a_snapshot_built_anew_that_begins_later_or_the_same_tells_nothing_more() -> None:
    for now, rv in (({"a/x": 5}, 12), ({"a/y": 7}, 13)):
        replica = loaded({"a/x": 5}, 12)
        adopted(replica, loaded(now, rv))
        assert told_from(replica, rv) == []
        assert (replica.position(12) is None) == (rv == 13)


def test_repairs_at_one_version_are_told_together_and_the_next_one_alone() -> None:
    replica = loaded({"a/x": 5}, 12)
    replica.apply(2, entry([(ADDED, "a/y", 7)], 12, repair=True))
    epoch = replica.epoch
    replica.apply(3, entry([(DELETED, "a/x", 12)], 12, repair=True))
    assert replica.epoch > epoch
    assert told_from(replica, 12) == [(ADDED, "a/y", 12), (DELETED, "a/x", 12)]
    replica.apply(4, entry([(ADDED, "a/z", 14)], 15, repair=True))
    assert replica.position(12) is None
    assert told_from(replica, 15) == [(ADDED, "a/z", 15)]


def test_a_repair_is_held_until_a_later_version_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is refused its resourceVersion lists anew, and would be given it again."""
    monkeypatch.setattr("krm.server.replica.LOG_LEAST", 1000)
    replica = loaded({}, 10)
    repair = [(ADDED, f"a/{number}", 5) for number in range(30)]
    replica.apply(2, entry(repair, 12, repair=True))
    assert len(told_from(replica, 12)) == 30
    replica.apply(3, entry([(ADDED, "a/y", 13)], 13))
    assert replica.position(12) is None, "a part of it would not do"
    assert told_from(replica, 13) == []


def test_a_version_that_does_not_follow_changes_nothing() -> None:
    replica = loaded({"a/x": 5}, 10)
    with pytest.raises(ValueError, match="does not follow"):
        replica.apply(3, entry([(DELETED, "a/x", 11)], 11))
    assert (shown(replica), replica.rv, replica.token.version) == ({"a/x": 5}, "10", 1)


def test_a_head_that_ran_ahead_is_no_proof_of_what_is_held() -> None:
    replica = loaded({}, 10)
    replica.told(Head(incarnation="n", version=5, rv="99", current_as_of=50.0))
    assert (replica.rv, replica.head.current_as_of) == ("10", None)
    replica.told(Head(incarnation="n", version=1, rv="12", current_as_of=51.0))
    assert (replica.rv, replica.head.current_as_of) == ("12", 51.0)


def test_the_log_has_a_budget_and_what_left_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("krm.server.replica.LOG_LEAST", 1000)
    replica = loaded({"a/x": 5}, 10)
    for number in range(2, 100):
        replica.apply(number, entry([(MODIFIED, "a/x", 10 + number)], 10 + number))
    assert replica.position(10) is None
    assert replica.undone(10) is None
    oldest = replica.watch_from
    assert replica.position(oldest) is not None
    assert replica.events(0) is None
