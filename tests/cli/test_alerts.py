"""`krm alerts`: JSON lines, Alertmanager and a webhook, retries, secrets that stay secret, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, Callable, Dict, Iterator, List

import pytest
from fake_alertmanager import PATH, Alertmanager
from kept_cluster import KeptCluster, KeptKind, wait_until
from krm.cli.alert_post import ATTEMPTS, MOST_WAITING, NotTaken, Outbox, Post
from krm.client.errors import BadRequest
from krm.monitor import K8sResourceMonitor
from krm.monitor.questions import QUESTIONS
from paper_findings import kept_quota

Krm = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def quotas(kept: KeptCluster) -> Iterator[KeptKind]:
    for kind in ("pods", "nodes", "namespaces"):
        kept.kind(kind)
    made = kept.kind("resourcequotas", {"shop/q": kept_quota("9")})
    with kept.alive():
        yield made


@pytest.fixture
def manager() -> Iterator[Alertmanager]:
    with Alertmanager() as made:
        yield made


def lines(done: Any) -> List[Any]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_fires_now_is_a_json_line_each(quotas: KeptKind, krm: Krm) -> None:
    done = krm("alerts", "--stale-ok")
    assert [(one["state"], one["rule"], one["severity"]) for one in lines(done)] == [
        ("firing", "quota-threshold", "warning")
    ], done
    assert krm("alerts", "--stale-ok", "--severity", "critical").stdout == ""
    assert krm("alerts", "--stale-ok", "--fail-on", "warning").returncode == 4
    assert krm("alerts", "--stale-ok", "--thresholds", "95", "--fail-on", "warning").returncode == 0
    assert krm("alerts", "--stale-ok", "-n", "other").stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--thresholds", "x"], ["--thresholds", "0"], ["--every", "0"], ["--webhook", "ftp://x"],
        ["--alertmanager", "http://u:p@example.com"], ["--webhook", "http://h:port"],
        ["--alert-token-file", "/no/such", "--webhook", "http://127.0.0.1"], ["--severity", "loud"],
    ],
)  # fmt: skip
def test_wrong_arguments_are_2_and_a_sentence(quotas: KeptKind, krm: Krm, arguments: List[str]) -> None:
    done = krm("alerts", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert "u:p" not in done.stderr


def test_nothing_there_is_1(krm: Krm) -> None:
    done = krm("alerts", "--redis", "unix:///no/such.sock")
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot be reached" in done.stderr


def test_no_question_can_be_answered_is_no_success(kept: KeptCluster, krm: Krm) -> None:
    """3: of OOM kills there is an answer, which says that nobody tells of any."""
    kept.kind("services")
    done = krm("alerts")
    assert (done.returncode, done.stdout) == (3, "")
    assert "not kept here" in done.stderr


def test_an_answer_that_is_not_live_is_3(quotas: KeptKind, krm: Krm) -> None:
    quotas.head(watch_error="Forbidden")
    done = krm("alerts")
    assert (done.returncode, done.stdout) == (3, "")
    assert "get_quota_usage: not live, nothing of it fires or resolves" in done.stderr


def _watched(environment: Dict[str, str], kept: KeptCluster, *arguments: str) -> Any:
    return subprocess.Popen(
        [sys.executable, "-m", "krm.cli.main", "alerts", "--watch", "--every", "100ms", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**environment, "KRM_REDIS": kept.url}, text=True,
    )  # fmt: skip


def _next(process: Any) -> Any:
    """Of the next line."""
    one = json.loads(process.stdout.readline())
    return one["state"], one["severity"], one["was"]


def test_it_fires_becomes_worse_and_resolves_and_each_is_one_message(
    quotas: KeptKind, kept: KeptCluster, manager: Alertmanager, environment: Dict[str, str]
) -> None:
    urls = ["--alertmanager", f"{manager.url}/prefix/", "--webhook", f"{manager.url}/hook?secret=1"]
    process = _watched(environment, kept, *urls, "--for", "60s")
    try:
        assert process.stdout is not None
        assert _next(process) == ("firing", "warning", None)
        quotas.publish(("shop/q", kept_quota("10")))
        assert _next(process) == ("firing", "critical", "warning")
        quotas.publish(("shop/q", kept_quota("1")))
        assert _next(process) == ("resolved", "critical", None)
        wait_until(lambda: len(manager.requests) >= 6)
    finally:
        process.kill()
        process.communicate()
    hooks = [body for path, _, body in manager.requests if path == "/hook?secret=1"]
    assert [(one["state"], one["severity"]) for one in hooks] == [
        ("firing", "warning"), ("firing", "critical"), ("resolved", "critical"),
    ]  # fmt: skip
    posts = [body for path, _, body in manager.requests if path == "/prefix" + PATH]
    assert [[row["labels"]["severity"] for row in body] for body in posts] == [
        ["warning"], ["warning", "critical"], ["critical"],
    ]  # fmt: skip


def test_while_redis_is_away_nothing_resolves_and_that_is_told(
    quotas: KeptKind, kept: KeptCluster, environment: Dict[str, str]
) -> None:
    process = _watched(environment, kept, "--for", "60s")
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["state"] == "firing"
        quotas.head(watch_error="Forbidden")
        assert any("get_quota_usage: not live" in line for line in process.stderr)
        quotas.publish(("shop/q", kept_quota("1")))
        quotas.head(watch_error="")
        assert any("get_quota_usage: is live again" in line for line in process.stderr)
        assert json.loads(process.stdout.readline())["state"] == "resolved"
    finally:
        process.kill()
        process.communicate()


# --- the outbox


def test_what_fails_by_itself_is_tried_again_with_growing_pauses_and_dropped_at_last(manager: Alertmanager) -> None:
    box = Outbox(Post(manager.url + "/hook", "--webhook"))
    manager.answers = [503] * ATTEMPTS
    box.add({"n": 1})
    box.add({"n": 2})
    moments, now, said = [], 0.0, []
    while box.next_at is not None:
        now = max(now, box.next_at)
        moments.append(now)
        said += box.send(now)
    assert moments == [0.0, 1.0, 3.0, 7.0, 15.0, 15.0]
    assert [body["n"] for body in manager.bodies] == [1, 1, 1, 1, 1, 2]
    assert said == [
        f"{manager.url} answered 503: attempt 1 of 5",
        f"{manager.url} answered 503: a message is dropped after 5 attempts",
    ]


@pytest.mark.parametrize("status", [302, 400, 401, 404])
def test_what_will_be_refused_again_is_not_tried_again(manager: Alertmanager, status: int) -> None:
    box = Outbox(Post(manager.url, "--webhook"))
    manager.answers = [status]
    box.add({"n": 1})
    box.add({"n": 2})
    assert "dropped after 1 attempts" in box.send(0.0)[0]
    assert [body["n"] for body in manager.bodies] == [1, 2]
    assert box.empty


def test_a_full_outbox_drops_its_oldest_and_says_so() -> None:
    def never(body: bytes) -> None:
        raise NotTaken("away", True)

    never.name = "there"  # type: ignore[attr-defined]
    box = Outbox(never)
    told: List[str] = []
    for number in range(MOST_WAITING + 2):
        told += box.add(number)
    assert len(told) == 2
    assert "there: more than" in told[0]


def test_a_target_that_is_away_is_named_without_its_secrets() -> None:
    box = Outbox(Post("http://alice:hunter2@127.0.0.1:9/T0KEN?key=s3cret", "--webhook"))
    box.add({})
    said = " ".join(box.send(0.0))
    assert "http://127.0.0.1:9 does not answer" in said
    for secret in ("alice", "hunter2", "T0KEN", "s3cret"):
        assert secret not in said


def test_credentials_go_in_a_header_and_never_in_the_clear(manager: Alertmanager) -> None:
    host = manager.url.partition("://")[2]
    Post(f"http://alice:p%40ss@{host}/x", "--webhook")(b"[]")
    Post(manager.url, "--webhook", token="abc")(b"[]")
    sent = [headers.get("Authorization") for _, headers, _ in manager.requests]
    assert sent == ["Basic YWxpY2U6cEBzcw==", "Bearer abc"]
    for make in (
        lambda: Post("http://example.com", "--webhook", token="abc"),
        lambda: Post("http://a:b@example.com", "--webhook"),
        lambda: Post("https://a:b@example.com", "--webhook", token="abc"),
        lambda: Post("https://example.com", "--webhook", token="a\nb"),
        lambda: Post("https://example.com", "--webhook", ca="/no/such.pem"),
    ):
        with pytest.raises(BadRequest):
            make()


def test_every_question_is_a_method_of_the_facade() -> None:
    assert len({question.method for question in QUESTIONS}) == len(QUESTIONS)
    for question in QUESTIONS:
        assert callable(getattr(K8sResourceMonitor, question.method))
