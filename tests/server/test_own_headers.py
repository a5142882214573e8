"""The headers of /krm/v1/ say what the answer shows, not what the server has come to."""

from __future__ import annotations

import json
from email.message import Message
from typing import Any, Iterator, List, Tuple
from urllib.request import urlopen

import pytest
from kept_cluster import KeptCluster, pod, wait_until
from krm.server import followed, replica
from krm.store import follow
from served_cluster import Served, quick


class Asked:
    """A server over pods of three versions, the second of which is half a second old."""

    def __init__(self, kept: KeptCluster, served: Served) -> None:
        self._served = served
        self.pods = kept.kind("pods", {"a/x": pod()})
        self.pods.publish(("a/x", pod(node="n2")))
        served.settle(kept)
        self.second = self.get("snapshots/pods")[1]["token"]
        self.pods.publish(("a/x", pod(node="n3")))
        served.settle(kept)
        self.third = self.get("snapshots/pods")[1]["token"]
        wait_until(lambda: self._age() > 0.5)

    def _age(self) -> float:
        first = self.get(f"snapshots/pods?at={self.second}")[1]
        return float(first["now"]) - float(first["published_at"])

    def settle(self, kept: KeptCluster) -> None:
        self._served.settle(kept)

    def lines(self, path: str) -> List[bytes]:
        with urlopen(f"{self._served.url}/krm/v1/{path}", timeout=20) as answer:
            return list(answer)

    def get(self, path: str) -> Tuple[Message, Any]:
        """Headers, and the first line."""
        with urlopen(f"{self._served.url}/krm/v1/{path}", timeout=20) as answer:
            return answer.headers, json.loads(answer.readline())


@pytest.fixture
def asked(kept: KeptCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    quick(monkeypatch)
    with Served(kept.url, [kept.name]) as served:
        yield Asked(kept, served)


def test_a_version_of_the_past_is_as_old_as_it_is(asked: Asked) -> None:
    headers, first = asked.get(f"snapshots/pods?at={asked.second}")
    assert headers["Krm-Version"] == asked.second != asked.third
    assert abs(float(headers["Krm-Age-Seconds"]) - (first["now"] - first["published_at"])) < 0.4
    assert (headers["Krm-Resource-Version"], headers["Krm-Verified-At"]) == ("unknown", "unknown")
    moment = first["published_at"] + 0.001
    headers, first = asked.get(f"snapshots/pods?at={moment:.6f}")
    assert headers["Krm-Version"] == asked.second
    assert abs(float(headers["Krm-Age-Seconds"]) - (first["now"] - moment)) < 0.4
    assert asked.get("snapshots/pods")[0]["Krm-Version"] == asked.third


def test_the_verified_state_is_as_old_as_the_list_that_confirmed_it(asked: Asked) -> None:
    headers, first = asked.get("snapshots/pods?verified=true")
    assert headers["Krm-Resource-Version"] == first["head"]["verified_rv"]
    assert abs(float(headers["Krm-Age-Seconds"]) - (first["now"] - first["head"]["verified_at"])) < 0.4


def test_a_difference_is_of_the_moment_that_it_ends_with(asked: Asked) -> None:
    headers, _ = asked.get(f"diffs/pods?a=1&b={asked.second}")
    assert (headers["Krm-Version"], headers["Krm-Age-Seconds"]) == (asked.second, "unknown")
    headers, first = asked.get("diffs/pods?a=1")
    assert headers["Krm-Version"] == first["b"] == asked.third
    assert headers["Krm-Age-Seconds"] != "unknown"


@pytest.mark.parametrize("redis", [False, True])
def test_a_page_of_changes_that_is_not_the_last_says_how_far_it_leads(
    asked: Asked, kept: KeptCluster, monkeypatch: pytest.MonkeyPatch, redis: bool
) -> None:
    monkeypatch.setattr(followed, "PAGE", 1)
    if redis:  # where the server's memory is shorter
        monkeypatch.setattr(replica, "LOG_LEAST", 1)
        monkeypatch.setattr(follow, "_COUNT", 1)
        for number in range(5):
            asked.pods.publish(("a/x", pod(node=f"n{number}")))
    asked.settle(kept)
    headers, first = asked.get("changes/pods?since=1")
    assert first["caught_up"] is False
    assert headers["Krm-Version"] == first["token"] == asked.second
    assert headers["Krm-Verified-At"] == "unknown"
    assert (headers["Krm-Resource-Version"] == "unknown") is redis  # an entry's, which is not told from there
    at = json.loads(asked.lines("changes/pods?since=1")[1])["published_at"]
    assert abs(float(headers["Krm-Age-Seconds"]) - (first["now"] - at)) < 0.4
    headers, first = asked.get(f"changes/pods?since={first['head']['version']}")
    assert first["caught_up"] is True
    assert headers["Krm-Version"] == first["token"] != asked.second
    assert float(headers["Krm-Age-Seconds"]) < 10
