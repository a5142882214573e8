"""`--namespaces a,b` with Roles in a and b alone, on a real API server: no right beyond them is needed or used."""

from __future__ import annotations

from typing import Iterator, List, NamedTuple

import pytest
import redis_servers
from acceptance.apitruth import listed
from acceptance.product import Product, product
from acceptance.rights import grant, start_stages
from controlplane.plane import ControlPlane
from krm.client.client import connect

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
KINDS = ("pods", "deployments.apps", "nodes")


class Team(NamedTuple):
    plane: ControlPlane
    krm: Product
    names: List[str]  # two that are kept, and one that is another team's


@pytest.fixture(scope="module")
def team(
    own_control_plane: ControlPlane, redis_server: redis_servers.Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Team]:
    plane = own_control_plane
    names = plane.create_namespaces(3, "team")
    plane.create_pods(12, names)
    grant(plane, [("pods", ""), ("deployments", "apps")], names[:2])
    with product(tmp_path_factory.mktemp("team"), redis_server) as krm:
        common = ("--namespaces", ",".join(names[:2]))
        start_stages(krm, plane, KINDS, "--verify-every", "2s", "--probe-every", "2s", common=common)
        for name in names[:2]:
            for kind in KINDS[:2]:
                krm.wait_state(f"{kind}@{name}", "live", 40.0)
        yield Team(plane, krm, names)


def test_roles_in_two_namespaces_keep_them_live_and_equal(team: Team) -> None:
    plane, krm, (one, two, other) = team
    plane.create_pods(6, [one, two, other])
    truth = {}
    for name in (one, two):
        truth.update(listed(plane, f"/api/v1/namespaces/{name}/pods"))
    krm.wait("pods are equal", lambda: krm.objects("pods") == truth, 15.0)
    assert len(truth) == 12
    for user in ("krm-streamer", "krm-verifier"):
        asked = {
            (event["objectRef"]["resource"], event["objectRef"].get("namespace", ""))
            for event in plane.audit_events(user)
            if event.get("responseStatus", {}).get("code", 200) < 300 and event.get("objectRef")
        }
        assert asked <= {(kind, name) for kind in ("pods", "deployments") for name in (one, two)}


def test_cluster_scoped_kinds_say_forbidden(team: Team) -> None:
    for name in team.names[:2]:
        team.krm.wait_state(f"nodes@{name}", "forbidden", 15.0)
    answer = team.krm.krm("get", "nodes")
    assert (answer.returncode, answer.stdout) == (3, "")
    assert "nodes are forbidden" in answer.stderr


def test_a_read_of_all_says_only_these(team: Team) -> None:
    _, krm, (one, two, other) = team
    answer = krm.krm("get", "pods", "-A")
    assert answer.returncode == 0
    assert f"only {one}, {two}: krm runs with --namespaces" in answer.stderr
    assert other not in answer.stdout
    elsewhere = krm.krm("get", "pods", "-n", other)
    assert (elsewhere.returncode, elsewhere.stdout) == (1, "")
    assert f"only {one}, {two}" in elsewhere.stderr or other in elsewhere.stderr
    assert krm.redis is not None
    with connect(krm.redis.url, krm.cluster) as client:
        assert {pod.namespace for pod in client.snapshot("pods")} == {one, two}
        assert client.snapshot("pods").trust.reasons[0].startswith(f"only {one}, {two}")


def test_a_right_lost_in_one_namespace_is_told_for_it_and_the_other_goes_on(team: Team) -> None:
    plane, krm, (one, two, _) = team
    plane.revoke("krm-verifier", ("list",), ["pods"], "", one)
    krm.wait_state(f"pods@{one}", "forbidden", 10.0)
    assert krm.state(f"pods@{two}") == "live"
    assert krm.krm("get", "pods", "-n", two).returncode == 0
    assert krm.krm("get", "pods", "-n", one).returncode == 3
    whole = krm.krm("get", "pods", "-A")
    assert (whole.returncode, whole.stdout) == (3, "")
    plane.grant("krm-verifier", ("list",), ["pods"], "", one)
    krm.wait_state(f"pods@{one}", "live", 60.0)
