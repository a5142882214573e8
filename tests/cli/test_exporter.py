"""`krm exporter`: what a scrape sees, both formats, arguments and variables, and Redis that goes away."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
import urllib.request
from typing import Any, Callable, Dict, Iterator

import pytest
from kept_cluster import KeptCluster, pod
from seen_in_redis import write

Krm = Callable[..., "subprocess.CompletedProcess[str]"]
SECONDS = 30.0


@pytest.fixture
def filled(kept: KeptCluster) -> KeptCluster:
    kept.kind("pods", {"shop/web-0": pod(app="web")})
    kept.kind("nodes", {"/n1": {"status": {"allocatable": {"cpu": "4"}}}})
    write(kept.database, kept.name)
    return kept


@contextlib.contextmanager
def exporter(environment: Dict[str, str], *arguments: str, **more: str) -> Iterator[str]:
    """The URL of one that runs."""
    child = subprocess.Popen(
        [sys.executable, "-m", "krm.cli.main", "exporter", *arguments],
        stderr=subprocess.PIPE, env={**environment, **more}, text=True,
    )  # fmt: skip
    try:
        assert child.stderr is not None
        line = child.stderr.readline()
        found = re.search(r"http://\S+/metrics", line)
        assert found, line + child.stderr.read()
        yield found[0]
    finally:
        child.terminate()
        child.wait(SECONDS)
        child.stderr.close()  # type: ignore[union-attr]


def scrape(url: str, accept: str = "") -> Any:
    """Content type and text."""
    request = urllib.request.Request(url, headers={"Accept": accept} if accept else {})
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def value(page: str, name: str, *labels: str) -> float:
    """Of the one sample of this name with all these labels."""
    lines = [
        line
        for line in page.splitlines()
        if re.match(name + r"[{ ]", line) and all(label in line for label in labels)
    ]
    assert len(lines) == 1, (name, labels, lines, page[:2000])
    return float(lines[0].rsplit(" ", 1)[1])


def test_a_scrape_has_state_findings_and_what_they_are_worth(
    filled: KeptCluster, environment: Dict[str, str]
) -> None:
    with exporter(environment, "--port", "0", KRM_REDIS=filled.url) as url:
        assert url.startswith("http://127.0.0.1:")
        kind, page = scrape(url)
        assert kind.startswith("text/plain")
        assert value(page, "kube_pod_info", 'pod="web-0"', 'namespace="shop"') == 1
        assert value(page, "kube_node_status_allocatable", 'resource="cpu"', 'unit="core"') == 4
        assert value(page, "krm_findings", 'rule="oom-kill"', 'severity="warning"', 'namespace="shop"') == 1
        assert value(page, "krm_findings", 'rule="node-out-of-memory"', 'severity="critical"') == 1
        assert value(page, "krm_question_live", 'question="get_oom_events"') == 1
        # Quotas are not kept: what is not known is no 0.
        assert value(page, "krm_question_live", 'question="get_quota_usage"') == 0
        assert 'rule="quota' not in page
        assert "kube_resourcequota" not in page
        assert value(page, "krm_snapshot_state", 'kind="pods"', 'state="live"') == 1
        assert value(page, "krm_snapshot_age_seconds", 'kind="pods"') < 3600
        assert value(page, "krm_exporter_up") == 1
        assert value(page, "krm_exporter_dropped_series", 'family="kube_pod_info"') == 0
        kind, text = scrape(url, "application/openmetrics-text; version=1.0.0")
        assert kind.startswith("application/openmetrics-text")
        assert text.endswith("# EOF\n")


def test_variables_say_the_same_and_a_bound_that_bites_is_told(
    filled: KeptCluster, environment: Dict[str, str]
) -> None:
    filled.kind("pods", {f"shop/p{number}": pod(app="web") for number in range(5)})
    told = {"KRM_REDIS": filled.url, "KRM_EXPORTER_PORT": "0", "KRM_EXPORTER_MOST_SERIES": "3"}
    with exporter(environment, **told) as url:
        _, page = scrape(url)
        assert value(page, "krm_exporter_dropped_series", 'family="kube_pod_info"') == 2
        assert len(re.findall(r"^kube_pod_info\{", page, re.MULTILINE)) == 3


def test_where_redis_goes_away_nothing_old_is_told(environment: Dict[str, str], tmp_path: Any) -> None:
    import redis_servers

    with redis_servers.one(tmp_path) as server:
        kept = KeptCluster(server.url)
        kept.kind("pods", {"shop/web-0": pod(app="web")})
        with exporter(environment, "--port", "0", "--every", "200ms", KRM_REDIS=server.url) as url:
            assert value(scrape(url)[1], "krm_exporter_up") == 1
            server.stop()
            end = time.monotonic() + SECONDS
            while value(scrape(url)[1], "krm_exporter_up") == 1:
                assert time.monotonic() < end
                time.sleep(0.1)
            page = scrape(url)[1]
            assert "kube_pod_info" not in page
            assert "krm_findings" not in page


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--address", "0.0.0.0"], "--open says that this is meant"),
        (["--address", "here"], "is no IP address"),
        (["--port", "70000"], "a whole number from 0 to 65535"),
        (["--most-series", "0"], "a whole number from 1 to"),
    ],
)
def test_wrong_arguments(filled: KeptCluster, krm: Krm, arguments: Any, says: str) -> None:
    done = krm("exporter", *arguments)
    assert done.returncode != 0
    assert says in done.stderr


def test_wrong_flags_are_2_and_no_redis_is_1(filled: KeptCluster, krm: Krm) -> None:
    assert krm("exporter", "--every", "soon").returncode == 2
    assert krm("exporter", "and", "more").returncode == 2
    gone = krm("exporter", "--redis", "unix:///no/such.sock")
    assert gone.returncode == 1
    assert "cannot be reached" in gone.stderr


def test_for_ends_with_0(filled: KeptCluster, krm: Krm) -> None:
    done = krm("exporter", "--port", "0", "--for", "300ms", "--every", "100ms")
    assert done.returncode == 0
    assert "serving http://127.0.0.1:" in done.stderr
    assert os.environ.get("KRM_EXPORTER_PORT") is None
