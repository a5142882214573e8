"""`krm oom`: the case file, exit codes, wrong arguments, nothing found, and what is not there."""

from __future__ import annotations

import json
import subprocess
from typing import Any, Callable

import pytest
from kept_cluster import KeptCluster, pod
from krm.store.keys import latest_key
from seen_in_redis import N1, write

Krm = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def killed(kept: KeptCluster) -> KeptCluster:
    kept.kind("pods", {"shop/web-0": pod(app="web")})
    write(kept.database, kept.name)
    return kept


def test_each_kill_has_its_cause(killed: KeptCluster, krm: Krm) -> None:
    done = krm("oom", "-A", "--no-headers")
    assert [line.split()[1:4] for line in done.stdout.splitlines()] == [
        ["lab", "job", "run"],
        ["-", "-", "-"],
        ["shop", "web-0", "web"],
    ], done
    assert [line.split("  ")[-1].strip() for line in done.stdout.splitlines()] == ["low", "high", "high"]
    assert "shop/web-0 container web was killed" in done.stderr
    assert "at its own limit of 256Mi" in done.stderr
    assert "node n1 ran out of memory" in done.stderr
    assert "nodes w1, w2: no agent: it runs Windows" in done.stderr
    assert done.returncode == 0
    assert krm("oom", "-A", "--fail-on", "critical").returncode == 4
    assert krm("oom", "-n", "shop", "--fail-on", "critical").returncode == 0


def test_one_pod_as_json_and_names(killed: KeptCluster, krm: Krm) -> None:
    done = json.loads(krm("oom", "web-0", "-n", "shop", "-o", "json").stdout)
    (row,) = done["rows"]
    assert (row["cause"], row["limit"], row["child"]) == ("own limit", 256 * 1024 * 1024, True)
    assert row["before"][0]["node_available"] == 6144 * 1024 * 1024
    assert done["findings"][0]["rule"] == "oom-kill"
    assert krm("oom", "-n", "shop", "-o", "name").stdout == "pod shop/web-0 container web memory\n"
    assert "working_set" in krm("oom", "-n", "shop", "-o", "yaml").stdout
    assert len(krm("oom", "-A", "--node", "w1", "--no-headers").stdout.splitlines()) == 1


@pytest.mark.parametrize("arguments", [["a", "b"], ["-o", "html"], ["--fail-on", "some"]])
def test_wrong_arguments_are_2(killed: KeptCluster, krm: Krm, arguments: Any) -> None:
    done = krm("oom", *arguments)
    assert (done.returncode, done.stdout) == (2, "")


def test_nothing_found_and_nothing_there(killed: KeptCluster, krm: Krm) -> None:
    done = krm("oom", "-n", "elsewhere")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no OOM kills of the last day are known here" in done.stderr
    gone = krm("oom", "--redis", "unix:///no/such.sock")
    assert (gone.returncode, gone.stdout) == (1, "")
    assert "cannot be reached" in gone.stderr


def test_without_a_collector_nobody_knows(kept: KeptCluster, krm: Krm) -> None:
    kept.kind("pods", {"shop/web-0": pod(app="web")})
    done = krm("oom", "-A")
    assert (done.returncode, done.stdout) == (3, "")
    assert "no collector runs" in done.stderr


def test_a_collector_that_is_away_is_3(kept: KeptCluster, krm: Krm) -> None:
    kept.kind("pods", {"shop/web-0": pod(app="web")})
    write(kept.database, kept.name, [N1])
    key = latest_key(kept.name, "collector")
    link = kept.database.link(key)
    link.call("HSET", key, "beat", str(float(link.call("HGET", key, "beat")) - 3 * 3600))
    assert krm("oom", "-A").returncode == 3
    assert krm("oom", "-A").stdout == ""
    assert krm("oom", "-A", "--stale-ok").stdout
