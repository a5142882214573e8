"""The truth the simulator keeps: revisions, history, the past, and bursts that equal single events."""

from __future__ import annotations

import json
from typing import Dict, List, Tuple

import pytest
from krm.model import columns
from krm.simulator.churn import Churn
from krm.simulator.history import Burst
from krm.simulator.populate import populate
from krm.simulator.wire import watch_line
from krm.simulator.world import Conflict, World

WIDGETS = "widgets.example.com"


def world(seed: int = 1, pods: int = 12) -> World:
    made = World(seed, clock=lambda: 1_700_000_000.0)
    populate(made, nodes=2, pods=pods, namespaces=2)
    return made


def replay(made: World, kind: str, revision: int) -> Dict[str, bytes]:
    """The state at a revision from the history alone."""
    state: Dict[str, bytes] = {}
    for change in made.history(kind):
        if change.revision > revision:
            break
        if change.type == "DELETED":
            del state[change.key]
        else:
            assert (change.key in state) == (change.type == "MODIFIED")
            state[change.key] = change.body
    return state


def test_revisions_are_unique_and_leave_no_hole() -> None:
    made = world()
    Churn(made).turn(300)
    revisions = sorted(change.revision for kind in made.kinds() for change in made.history(kind.name))
    assert revisions == list(range(100_001, made.revision + 1))


@pytest.mark.parametrize("seed", range(3))
def test_the_state_at_any_revision_is_the_replay_of_the_history(seed: int) -> None:
    made = world(seed)
    churn = Churn(made, seed=seed)
    begin = made.revision
    for _ in range(6):
        churn.turn(20)
        made.burst("pods", 7)
    for kind in ("pods", "events", "nodes"):
        for revision in range(begin, made.revision + 1):
            assert made.state_at(kind, revision) == replay(made, kind, revision), (seed, kind, revision)


def test_the_same_seed_is_the_same_history() -> None:
    def told(seed: int) -> List[Tuple[int, str, str, bytes]]:
        made = world(seed)
        Churn(made, seed=seed).turn(200)
        return [(c.revision, c.type, c.key, c.body) for c in made.history("pods")]

    assert told(5) == told(5)
    assert told(5) != told(6)


def test_every_body_names_its_own_revision_key_and_uid() -> None:
    made = world()
    Churn(made).turn(300)
    made.burst("pods", 30)
    for kind in made.kinds():
        for change in made.history(kind.name):
            metadata = json.loads(change.body)["metadata"]
            key = "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))
            assert (metadata["resourceVersion"], key, metadata["uid"]) == (
                str(change.revision),
                change.key,
                change.uid,
            )
            assert json.loads(b"{" + b'"m":' + change.metadata + b"}")["m"] == metadata


def test_churn_recreates_under_the_same_name_with_another_uid() -> None:
    made = world()
    Churn(made, weights={"pods": 1}).turn(400)
    uids: Dict[str, set] = {}
    for change in made.history("pods"):
        uids.setdefault(change.key, set()).add(change.uid)
    assert any(len(found) > 1 for found in uids.values())
    assert abs(len(made.keys("pods")) - 12) < 12, "it hovers around what it began with"


def test_a_burst_is_what_single_events_would_be() -> None:
    made = world()
    begin = made.revision
    made.burst("pods", 5)
    made.burst("pods", 30)
    changes = list(made.history("pods", begin))
    assert [change.revision for change in changes] == list(range(begin + 1, begin + 36))
    keys = sorted(made.keys("pods"))
    assert [change.key for change in changes] == [keys[index % len(keys)] for index in range(35)]
    for entry in made.log("pods").entries[-2:]:
        assert isinstance(entry, Burst)
        lines = entry.plan.lines(entry.position, entry.first, entry.count)
        assert lines == b"".join(watch_line(b"MODIFIED", change.body) for change in entry.changes())
    before = changes[-1].before
    assert before is not None
    assert before.body() == made.state_at("pods", made.revision - 1)[changes[-1].key]


def test_a_burst_after_other_writes_touches_the_new_objects() -> None:
    made = world()
    made.burst("pods", 3)
    key = made.keys("pods")[0]
    made.update("pods", key, lambda pod: pod["metadata"]["labels"].update(new="label"))
    made.burst("pods", 12)
    assert json.loads(made.state_at("pods")[key])["metadata"]["labels"]["new"] == "label"


def test_a_rollback_goes_back_and_on_from_there_with_new_uids() -> None:
    made = world()
    marker = made.revision
    before = {kind.name: made.state_at(kind.name) for kind in made.kinds()}
    made.create("configmaps", {"metadata": {"name": "a", "namespace": "default"}})
    first = made.get("configmaps", "default/a")
    made.burst("pods", 20)
    made.rollback(marker)
    assert {kind.name: made.state_at(kind.name) for kind in made.kinds()} == before
    assert (made.revision, made.epoch) == (marker, 1)
    made.create("configmaps", {"metadata": {"name": "a", "namespace": "default"}})
    second = made.get("configmaps", "default/a")
    assert first is not None
    assert second is not None
    assert first.revision == second.revision == marker + 1
    assert first.uid != second.uid
    undone = {kind: entries for _, kind, entries in made.undone}
    assert [entry.first for entry in undone["configmaps"]] == [marker + 1]


def test_a_rollback_into_the_middle_of_a_burst() -> None:
    made = world()
    begin = made.revision
    made.burst("pods", 40)
    middle = made.state_at("pods", begin + 17)
    made.rollback(begin + 17)
    assert made.state_at("pods") == middle
    assert replay(made, "pods", begin + 17) == middle


def test_what_is_trimmed_is_compacted_and_cannot_be_asked_for() -> None:
    made = World(keep=50)
    populate(made, nodes=1, pods=5, namespaces=1)
    for _ in range(200):
        made.update("nodes", "node-0", lambda node: None)
    assert 50 <= len(made.log("nodes").entries) <= 56
    assert made.compacted == made.log("nodes").trimmed > 100_000
    with pytest.raises(ValueError, match="is not within"):
        made.state_at("nodes", made.compacted - 1)
    assert set(made.state_at("nodes", made.compacted)) == {"node-0"}


def test_conflicts() -> None:
    made = World()
    with pytest.raises(Conflict, match="AlreadyExists"):
        made.create("namespaces", {"metadata": {"name": "default"}})
    with pytest.raises(Conflict, match="NotFound"):
        made.delete("pods", "default/none")
    with pytest.raises(ValueError, match="no object"):
        made.burst("pods", 1)


def test_custom_objects_have_sorted_keys_and_their_type_everywhere() -> None:
    made = World()
    made.add_kind(WIDGETS)
    made.create(WIDGETS, {"metadata": {"name": "w", "namespace": "default"}, "spec": {"z": 1, "a": 2}})
    body = made.state_at(WIDGETS)["default/w"]
    assert body.startswith(b'{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"creationTimestamp":')
    assert body.endswith(b'"spec":{"a":2,"z":1}}')
    begin = made.revision
    made.remove_kind(WIDGETS)
    assert made.revision == begin + 1, "its object was deleted first"
    assert WIDGETS not in made.logs


def test_pods_are_of_realistic_size() -> None:
    sizes, shares = [], []
    for body in world(pods=100).state_at("pods").values():
        managed = json.dumps(json.loads(body)["metadata"]["managedFields"], separators=(",", ":"))
        sizes.append(len(body))
        shares.append(len(managed) / len(body))
    assert 7_000 < sum(sizes) / len(sizes) < 10_000
    assert 0.35 < sum(shares) / len(shares) < 0.5


def test_a_job_is_done_for_whoever_reads_its_conditions() -> None:
    bodies = [json.loads(body) for body in world().state_at("jobs.batch").values()]
    assert [columns.row("jobs.batch", body, 1_700_000_100.0)[1:3] for body in bodies] == [["Complete", "1/1"]]


def test_pods_are_owned_up_to_their_deployment() -> None:
    made = world()
    for key in made.keys("pods"):
        pod = made.read("pods", key)
        (owner,) = pod["metadata"]["ownerReferences"]
        kind = {"ReplicaSet": "replicasets.apps", "StatefulSet": "statefulsets.apps"}[owner["kind"]]
        found = made.read(kind, "%s/%s" % (pod["metadata"]["namespace"], owner["name"]))
        assert found["metadata"]["uid"] == owner["uid"]
        assert pod["spec"]["nodeName"] in made.keys("nodes")


def test_json_is_written_as_go_does() -> None:
    made = World()
    text = "a<b> & c\u2028\u2029é\x01"
    made.create("configmaps", {"metadata": {"name": "a", "namespace": "default"}, "data": {"text": text}})
    body = made.state_at("configmaps")["default/a"]
    assert b'"data":{"text":"a\\u003cb\\u003e \\u0026 c\\u2028\\u2029\xc3\xa9\\u0001"}}' in body
    assert json.loads(body)["data"]["text"] == text
