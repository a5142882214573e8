"""`krm describe` and `krm explain-trust`: what a person is told of one object, and of a kind's worth."""

from __future__ import annotations

import subprocess
from typing import Any, Callable, Dict

import pytest
from kept_cluster import KeptCluster, pod
from krm.cli.describe import words
from krm.cli.explain import sentences
from krm.client.source import KindStatus
from krm.model.head import Head
from krm.model.trust import judge

Krm = Callable[..., "subprocess.CompletedProcess[str]"]


def test_an_object_is_described_with_what_it_is_worth(kept: KeptCluster, krm: Krm) -> None:
    kept.kind(
        "pods", {"default/web": {**pod(), "labels": {"app": "web"}, "spec": {"nodeName": "n1", "podIPs": ["a"]}}}
    )
    done = krm("describe", "pod/web")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:3] == ["Name:         web", "Namespace:    default", "Labels:       app=web"]
    assert "  Node Name:  n1" in lines
    assert lines[lines.index("  Pod IPs:") + 1] == "    a"
    assert any(line.startswith("Verified:     ") and "the kind is live" in line for line in lines)
    assert lines[-1] == "Events:       unknown: krm does not keep events here"


def test_what_is_not_there_is_not_found_and_what_is_stale_says_so(kept: KeptCluster, krm: Krm) -> None:
    kind = kept.kind("pods", {"default/web": pod()})
    done = krm("describe", "pods", "nope")
    assert (done.returncode, done.stdout) == (1, "")
    assert 'pods "nope" not found' in done.stderr
    kind.head(beat=kind.now() - 60.0)
    assert krm("describe", "pods", "web").returncode == 3
    done = krm("describe", "pods", "web", "--stale-ok")
    assert done.returncode == 3
    assert "the kind is stale" in done.stdout
    assert "Warning: pods" in done.stderr


@pytest.mark.parametrize("arguments", [["pods"], ["pods/a", "b"], ["pods/"]])
def test_one_object_must_be_named(kept: KeptCluster, krm: Krm, arguments: Any) -> None:
    kept.kind("pods", {"default/a": pod()})
    assert krm("describe", *arguments).returncode == 2


def test_control_characters_of_an_object_never_reach_the_terminal(kept: KeptCluster, krm: Krm) -> None:
    kept.kind("pods", {"default/web": {**pod(), "annotations": {"a": "\x1b[31mred\u202e"}}})
    done = krm("describe", "pods", "web")
    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout


@pytest.mark.parametrize(
    ("field", "shown"),
    [
        ("podIPs", "Pod IPs"),
        ("hostIP", "Host IP"),
        ("apiVersion", "Api Version"),
        ("containerID", "Container ID"),
        ("qosClass", "Qos Class"),
        ("a.b/c", "a.b/c"),
    ],
)
def test_fields_are_read_as_words(field: str, shown: str) -> None:
    assert words(field) == shown


FRESH = {
    "incarnation": "n", "version": 7, "rv": "100", "beat": 1000.0, "probed_at": 1000.0, "streamer_at": 1000.0,
    "current_as_of": 998.0, "verified_rv": "90", "verified_at": 970.0, "verified_by": "cache", "count": 3,
}  # fmt: skip


def explained(**fields: Any) -> str:
    values: Dict[str, Any] = {**FRESH, **fields}
    head = Head(**values)
    return "\n".join(sentences(KindStatus("pods", "", judge(head, 1000.0), head, 1000.0)))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "pods is live. Yes"),
        ({}, "It was proven current 2s ago"),
        ({}, "A list confirmed it 30s ago from the API server's cache, up to resourceVersion 90."),
        ({"drift": {}}, "No list has found a difference so far."),
        ({}, "What lists had to repair so far is unknown"),
        ({"beat": 900.0}, "To do: start the aggregator"),
        (
            {"probed_at": None, "list_error": "Unreachable"},
            "no proof of freshness yet (Unreachable). To do: look at",
        ),
        ({"list_error": "Forbidden"}, "To do: grant krm's identity list and watch"),
        ({"current_as_of": None}, "How old it is, is unknown"),
        ({"verified_at": None}, "No list of the API server has verified it yet."),
        ({"drift": {"ghost": 2, "missed_add": 1}}, "Lists repaired 3 objects so far (2 ghost, 1 missed_add)"),
        ({"gap_open": True}, "an event may be missing"),
        ({"upstream_drift": {"differing": 4}}, "differed from etcd in 4 objects"),
        ({"incarnation": "", "rv": ""}, "pods is warming. Not yet"),
    ],
)
def test_every_doubt_is_said_in_a_sentence(fields: Dict[str, Any], said: str) -> None:
    assert said in explained(**fields)


def test_a_kind_that_is_not_live_is_3(kept: KeptCluster, krm: Krm) -> None:
    kind = kept.kind("pods", {"default/web": pod()})
    assert krm("explain-trust", "po").returncode == 0
    kind.head(beat=kind.now() - 60.0)
    done = krm("explain-trust", "po")
    assert done.returncode == 3
    assert "pods is stale." in done.stdout
