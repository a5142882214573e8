"""What the library says of processes and kills: the rows that were asked for, and what they lack."""

from __future__ import annotations

import json

from kept_cluster import KeptCluster
from krm.client import connect
from krm.client.seen import Gap, Unseen
from krm.model.measures import Covers
from krm.store.keys import latest_key
from krm.store.latest_seen import GONE, NO_AGENT, NodeProcesses
from seen_in_redis import BEFORE, N1, NOW, STATE, write


def test_rows_are_chosen_and_gaps_are_named(kept: KeptCluster) -> None:
    write(kept.database, kept.name)
    with connect(kept.url, kept.name) as client:
        found = client.processes()
        assert [(row.namespace, row.pod, row.pid) for row in found.rows] == [
            ("lab", "job", 5000), ("shop", "web-0", 4700), ("shop", "web-0", 4711), ("shop", "web-0", 4712),
        ]  # fmt: skip
        nginx = found.rows[2]
        assert (nginx.node, nginx.cpu, nginx.window, nginx.pid_inside, nginx.at) == ("n1", 250.4, 10.0, 1, NOW - 4)
        assert found.rows[3].cpu is None
        assert (found.state, found.nodes) == ("live", Covers(1, 4, "nodes"))
        assert found.gaps == (
            Gap("n2", "silent", "it does not answer"),
            Gap("w1", "no agent", "it runs Windows"),
            Gap("w2", "no agent", "it runs Windows"),
        )
        assert found.reasons == (
            "agents tell of processes of 1 of 4 nodes",
            "node n2: silent: it does not answer",
            "nodes w1, w2: no agent: it runs Windows",
            "node n1: 2 more processes are not told",
        )
        assert found.unseen == (Unseen("io of processes", "it needs CAP_SYS_PTRACE", ("n1",)),)
        assert [row.pid for row in client.processes(host=True).rows] == [900, 6000]
        assert [row.pid for row in client.processes("lab").rows] == [5000]
        assert [row.pid for row in client.processes("shop", pod="nobody").rows] == []
        assert client.processes(node="w1").reasons == ("node w1: no agent: it runs Windows",)
        assert client.processes(node="n1").gaps == ()
        assert client.processes(node="n1").nodes == Covers(1, 1, "nodes")
        (reason,) = client.processes(node="nobody").reasons
        assert "node nobody is not known" in reason
        assert json.loads(json.dumps(found.to_dict()))["rows"][2]["name"] == "nginx"


def test_kills_are_of_pods_and_of_the_host_the_newest_last(kept: KeptCluster) -> None:
    write(kept.database, kept.name)
    with connect(kept.url, kept.name) as client:
        found = client.kills()
        assert [(kill.pod, kill.process) for kill in found.rows] == [
            ("web-0", "worker"),
            ("", "backup"),
            ("job", ""),
        ]
        assert found.rows[0].before == BEFORE
        assert found.rows[0].container_ended is False
        assert "kubelet's counter or its pod's status alone" in " ".join(found.reasons)
        assert [kill.pod for kill in client.kills("shop").rows] == ["web-0"]
        assert [kill.pod for kill in client.kills(node="w1").rows] == ["job"]
        plain = json.loads(json.dumps(found.to_dict()))
        assert plain["rows"][0]["before"][0]["waiting"] == 0.31
        assert plain["nodes"] == [1, 4, "nodes"]


def test_a_node_that_has_gone_lacks_nothing(kept: KeptCluster) -> None:
    write(kept.database, kept.name, [N1, N1._replace(node="w1", state=GONE, why="the cluster has it no more")])
    with connect(kept.url, kept.name) as client:
        found = client.kills()
        assert [kill.pod for kill in found.rows] == ["web-0", "", "job"]
        assert (found.nodes, found.gaps, found.reasons) == (Covers(1, 1, "nodes"), (), ())
        of_one = client.kills(node="w1")
        assert ([kill.pod for kill in of_one.rows], of_one.reasons) == (["job"], ())


def test_before_any_collector_and_without_any_agent(kept: KeptCluster) -> None:
    with connect(kept.url, kept.name) as client:
        for found in (client.processes(), client.kills()):
            assert (found.state, found.rows, found.nodes) == ("absent", (), None)
            assert "no collector runs" in found.reasons[0]
        why = "no agent runs on it: there is no krm-agent pod in namespace krm"
        writer = write(kept.database, kept.name, [NodeProcesses("n1", NO_AGENT, why)])
        found = client.processes()
        assert found.state == "absent", "what nobody tells is no empty list"
        assert client.kills().state == "live", "of kills kubelets and statuses tell"
        assert client.kills(node="nobody").state == "absent"
        assert found.reasons[0] == "no agent runs: nobody tells of processes (docs/agent.md)"
        assert found.reasons[1] == f"node n1: no agent: {why}"
        writer.give_up()
        write(kept.database, kept.name, [], [])
        assert client.processes().reasons == ("the collector knows of no node yet: no processes are told of it",)


def test_what_rotted_is_a_gap(kept: KeptCluster) -> None:
    write(kept.database, kept.name, [N1, N1._replace(node="n2")], [])
    for part in ("processes", "kills"):
        key = latest_key(kept.name, part)
        kept.database.link(key).call("HSET", key, "n2", b"rotten")
    with connect(kept.url, kept.name) as client:
        for found in (client.processes(), client.kills()):
            (gap,) = found.gaps
            assert (gap.node, gap.state) == ("n2", "damaged")
            assert found.nodes == Covers(1, 2, "nodes")
        assert client.processes().rows


def test_a_collector_that_is_away_is_stale(kept: KeptCluster) -> None:
    write(kept.database, kept.name, [N1], [], STATE._replace(every=0.1))
    key = latest_key(kept.name, "collector")
    link = kept.database.link(key)
    link.call("HSET", key, "beat", str(float(link.call("HGET", key, "beat")) - 60))
    with connect(kept.url, kept.name) as client:
        found = client.processes()
        assert found.state == "stale"
        assert "the collector is away" in found.reasons[0]
        assert found.rows
