"""Line 5: what a person sees when rights, kinds, the API server or Redis go away, on a real control plane."""

from __future__ import annotations

import time
from typing import Iterator, NamedTuple

import pytest
import redis_servers
from acceptance.product import Product, product
from acceptance.rights import VERBS, grant, start_stages
from controlplane.plane import ControlPlane
from krm.client import errors
from krm.client.client import connect

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]
WIDGETS, GROUP = "widgets.example.com", "example.com"
KINDS = ("pods", "nodes", WIDGETS)
VERIFY_EVERY = 3.0  # seconds
# Seconds for one verification to fail and be told: its jitter, the verifier's report, and a busy machine.
ONE_VERIFICATION = VERIFY_EVERY * 1.2 + 2.0 + 2.0
# Seconds until what is right again is live again: the backoff's cap is 30.
HEALED = 75.0


class Kept(NamedTuple):
    plane: ControlPlane
    krm: Product
    namespace: str


@pytest.fixture(scope="module")
def stages(
    own_control_plane: ControlPlane, redis_server: redis_servers.Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kept]:
    plane = own_control_plane
    namespace = plane.create_namespaces(1)[0]
    plane.create_pods(12, [namespace])
    plane.create_crd("widgets", GROUP, "Widget")
    widget(plane, "first")
    grant(plane, [("pods", ""), ("nodes", ""), ("widgets", GROUP)])
    with product(tmp_path_factory.mktemp("states"), redis_server) as krm:
        start_stages(krm, plane, KINDS, "--verify-every", f"{VERIFY_EVERY}s", "--probe-every", "3s")
        yield Kept(plane, krm, namespace)


@pytest.fixture
def kept(stages: Kept) -> Kept:
    for kind in KINDS:
        stages.krm.wait_state(kind, "live", HEALED)
    return stages


def widget(plane: ControlPlane, name: str) -> None:
    body = {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "metadata": {"name": name}, "spec": {"size": 1}}
    plane.admin.create(f"/apis/{GROUP}/v1/namespaces/default/widgets", body)


def test_with_the_least_rights_a_full_round_is_run(kept: Kept) -> None:
    plane, krm, namespace = kept
    made = plane.create_pods(3, [namespace])
    names = {f"{namespace}/{pod['metadata']['name']}" for pod in made}
    krm.wait("new pods are read", lambda: names <= set(krm.objects("pods")), 10.0)
    before = krm.status()["pods"]["trust"]["verified_at"]
    krm.wait("another list verified them", lambda: krm.status()["pods"]["trust"]["verified_at"] > before, 10.0)
    assert {event["verb"] for event in plane.audit_events("krm-streamer") if event.get("objectRef")} <= {
        "watch",
        "get",
    }
    # The uid of namespace kube-system is asked for, refused, and done without.
    for user in ("krm-streamer", "krm-verifier"):
        refused = {
            (event["verb"], event["objectRef"]["resource"])
            for event in plane.audit_events(user)
            if event.get("responseStatus", {}).get("code") == 403
        }
        assert refused <= {("get", "namespaces")}


def test_rights_removed_while_running_are_forbidden_with_the_last_state_and_heal(kept: Kept) -> None:
    plane, krm, _ = kept
    held = set(krm.objects("pods"))
    plane.revoke("krm-verifier", VERBS["verifier"], ["pods"])
    began = time.monotonic()
    with connect(krm.redis.url, krm.cluster) as reader:  # a command a look would measure how long Python starts
        krm.wait("pods are forbidden", lambda: reader.trust("pods").state == "forbidden", 2 * ONE_VERIFICATION)
        assert time.monotonic() - began <= ONE_VERIFICATION
    assert krm.state("nodes") == "live"
    refused = krm.krm("get", "pods", "-A")
    assert (refused.returncode, refused.stdout) == (3, "")
    assert "pods are forbidden: krm may not list this kind: grant it" in refused.stderr
    answered = krm.krm("get", "pods", "-A", "-o", "name", "--stale-ok")
    assert answered.returncode == 3
    assert len(answered.stdout.splitlines()) == len(held)
    assert "Warning: pods are forbidden" in answered.stderr
    with connect(krm.redis.url, krm.cluster) as reader, pytest.raises(errors.Forbidden):
        reader.snapshot("pods")
    assert krm.krm("status", "--check").returncode == 3
    plane.grant("krm-verifier", VERBS["verifier"], ["pods"])
    krm.wait_state("pods", "live", HEALED)
    assert krm.krm("status", "--check").returncode == 0
    assert krm.status()["pods"]["trust"]["drift"] == {}


def test_the_right_to_watch_removed_before_a_session_begins_is_forbidden(kept: Kept) -> None:
    plane, krm, _ = kept
    plane.revoke("krm-streamer", VERBS["streamer"], ["nodes"])
    streamer = krm.children.pop("streamer")
    streamer.terminate()
    streamer.wait(10)
    krm.stage("streamer", KINDS, "--kubeconfig", str(plane.kubeconfig("krm-streamer")))
    krm.wait_state("nodes", "forbidden", 15.0)
    assert "may not watch" in krm.krm("get", "nodes").stderr
    krm.wait_state("pods", "live", 15.0)
    plane.grant("krm-streamer", VERBS["streamer"], ["nodes"])
    krm.wait_state("nodes", "live", HEALED)


def test_a_crd_removed_is_absent_never_empty_and_comes_back(kept: Kept) -> None:
    plane, krm, _ = kept
    assert set(krm.objects(WIDGETS)) == {"default/first"}
    plane.delete_crd("widgets", GROUP)
    krm.wait_state(WIDGETS, "absent", 20.0)
    answer = krm.krm("get", "widgets", "-A")
    assert (answer.returncode, answer.stdout) == (3, "")
    assert f"{WIDGETS} are absent: the API server does not serve this kind" in answer.stderr
    with connect(krm.redis.url, krm.cluster) as reader, pytest.raises(errors.Absent):
        reader.snapshot(WIDGETS)
    assert krm.state("pods") == "live"
    plane.create_crd("widgets", GROUP, "Widget")
    widget(plane, "second")
    krm.wait_state(WIDGETS, "live", HEALED)
    krm.wait("only the new widget is read", lambda: set(krm.objects(WIDGETS)) == {"default/second"}, 20.0)


def test_an_api_server_that_is_down_is_stale_with_a_rising_age_and_the_last_state(kept: Kept) -> None:
    plane, krm, _ = kept
    held = krm.objects("pods")
    plane.kill("apiserver")
    for kind in KINDS:
        krm.wait_state(kind, "stale", 35.0)
    refused = krm.krm("get", "pods", "-A")
    assert (refused.returncode, refused.stdout) == (3, "")
    assert "pods are stale: no proof of freshness for" in refused.stderr
    ages = []
    for _ in range(2):
        ages.append(krm.status()["pods"]["trust"]["age"])
        time.sleep(1.0)
    assert ages[1] - ages[0] >= 1.0
    assert ages[0] >= 20.0
    assert krm.objects("pods", "--stale-ok") == held
    plane.restart("apiserver")
    # A kind is live again with the first proof, and stale once more until its watch is back: all, at one time.
    krm.wait("all are live at once", lambda: all(krm.state(kind) == "live" for kind in KINDS), HEALED)
    krm.wait("pods can be read", lambda: krm.krm("get", "pods", "-A").returncode == 0, HEALED)
    assert krm.objects("pods") == held
    assert {kind: row["trust"]["drift"] for kind, row in krm.status().items() if row["trust"]["drift"]} == {}


def test_redis_down_is_told_with_what_to_do_and_writers_wait_and_heal(kept: Kept) -> None:
    plane, krm, namespace = kept
    held = set(krm.objects("pods"))
    assert krm.redis is not None
    reader = connect(krm.redis.url, krm.cluster)
    token = reader.snapshot("pods").token
    krm.redis.stop(hard=True)
    for command in (("get", "pods", "-A"), ("status", "--check"), ("changes", "pods"), ("diff", "pods", "1m")):
        answer = krm.krm(*command)
        assert (answer.returncode, answer.stdout) == (1, ""), answer
        (sentence,) = answer.stderr.splitlines()
        assert "does not answer" in sentence or "cannot be reached" in sentence, sentence
    doctor = krm.krm("doctor", "--kubeconfig", str(plane.kubeconfig("krm-verifier")))
    assert doctor.returncode == 1
    assert "FAIL redis" in doctor.stdout
    with pytest.raises(errors.Unreachable) as caught:
        reader.snapshot("pods")
    print(caught.value)
    made = plane.create_pods(2, [namespace])
    assert all(child.poll() is None for child in krm.children.values()), "a stage ended because Redis was away"
    krm.redis.start()  # empty
    answer = krm.krm("get", "pods", "-A")
    assert not (answer.returncode == 0 and not answer.stdout), "an emptied Redis was an empty list"
    for kind in KINDS:
        krm.wait_state(kind, "live", HEALED)
    wanted = held | {f"{namespace}/{pod['metadata']['name']}" for pod in made}
    krm.wait("all pods are read", lambda: set(krm.objects("pods")) == wanted, 10.0)
    with pytest.raises(errors.Expired):
        list(reader.watch("pods", since=token, timeout=2.0))
    reader.close()
    assert all(child.poll() is None for child in krm.children.values())
