"""The walks that only a real API server can prove: etcd stopped and taken back, rights revoked, a CRD removed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Dict, Iterator, List

import pytest
from controlplane.fixtures import running_plane
from controlplane.plane import ControlPlane
from faults.paper import View, wait
from faults.pipeline import CLUSTER, Pipeline
from krm.client import errors
from krm.client.client import Client, connect
from krm.cluster.credentials import connect as connect_cluster
from krm.model.trust import ABSENT, FORBIDDEN, LIVE, STALE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180), pytest.mark.xdist_group("controlplane")]
WIDGETS = "widgets.example.com"
KINDS = ("pods", "configmaps", WIDGETS)
VERBS = {"streamer": ("list", "watch"), "verifier": ("get", "list", "watch")}


class Real:
    """A control plane with a pipeline on it."""

    def __init__(self, plane: ControlPlane, pipeline: Pipeline) -> None:
        self.plane, self.pipeline = plane, pipeline
        cluster = connect_cluster(str(plane.kubeconfig("admin")), None, False, "faults")
        database = pipeline.database()
        self.views = {kind: View(database, pipeline.keys(kind), cluster) for kind in KINDS}

    def client(self) -> Client:
        return connect(self.pipeline.redis.url, CLUSTER)

    def live(self, *kinds: str) -> None:
        for kind in kinds or KINDS[:2]:
            view = self.views[kind]
            wait(f"{kind} is live", lambda view=view: view.state() == LIVE, 60.0)

    def converged(self, *kinds: str) -> None:
        try:
            for kind in kinds or KINDS[:2]:
                self.views[kind].wait_converged(60.0)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.pipeline.log()}") from None


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    yield from running_plane()


@pytest.fixture(scope="module")
def real(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    for stage, verbs in VERBS.items():
        for kind in KINDS:
            resource, _, group = kind.partition(".")
            plane.grant(f"krm-{stage}", verbs, [resource], group)
        plane.grant(f"krm-{stage}", ["get"], ["namespaces"])
    plane.create_pods(30, plane.create_namespaces(3))
    configs: Dict[str, Path] = {stage: plane.kubeconfig(f"krm-{stage}") for stage in VERBS}
    with Pipeline(tmp_path_factory.mktemp("real"), KINDS, configs) as pipeline:
        yield Real(plane, pipeline)


def test_a_cold_start_holds_what_the_api_server_lists_byte_for_byte(real: Real) -> None:
    real.live()
    real.converged()


def test_a_crd_made_removed_and_made_again(real: Real) -> None:
    view = real.views[WIDGETS]
    wait("a kind that is not served is absent", lambda: view.state() == ABSENT)
    for name in ("first", "second"):
        real.plane.create_crd("widgets", "example.com", "Widget")
        body = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}}
        real.plane.admin.create("/apis/example.com/v1/namespaces/default/widgets", body)
        key = f"default/{name}"
        wait(
            f"{name} alone is read", lambda key=key: view.state() == LIVE and set(view.held() or {}) == {key}, 60.0
        )
        real.plane.delete_crd("widgets", "example.com")
        wait("the kind is absent", lambda: view.state() == ABSENT, 60.0)
        with real.client() as reader, pytest.raises(errors.Absent):
            reader.snapshot(WIDGETS)
    real.converged()


def test_revoked_rights_are_forbidden_within_one_verification_with_the_last_state_and_heal(real: Real) -> None:
    view = real.views["configmaps"]
    real.converged()
    held = view.held()
    assert held
    for stage, verbs in VERBS.items():
        real.plane.revoke(f"krm-{stage}", verbs, ["configmaps"])
    try:
        # An open watch survives: the next list finds it (2 s, a fifth more, and its way here).
        wait("configmaps are forbidden", lambda: view.state() == FORBIDDEN, 10.0)
        assert view.held() == held
        with real.client() as reader:
            with pytest.raises(errors.Forbidden):
                reader.snapshot("configmaps")
            assert len(reader.snapshot("configmaps", stale_ok=True)) == len(held)
        assert real.views["pods"].state() == LIVE
    finally:
        for stage, verbs in VERBS.items():
            real.plane.grant(f"krm-{stage}", verbs, ["configmaps"])
    real.live()
    real.converged()


def test_a_stopped_etcd_makes_every_kind_stale_within_30_s_though_bookmarks_go_on(real: Real) -> None:
    real.converged()
    real.plane.pause("etcd")
    try:
        began = time.monotonic()
        for kind in KINDS[:2]:
            view = real.views[kind]
            wait(f"{kind} is stale", lambda view=view: view.state() == STALE, 30.0 - (time.monotonic() - began))
            assert view.held()
    finally:
        real.plane.resume("etcd")
    real.live()
    real.plane.create_pods(3)
    real.converged()


def test_an_api_server_that_was_killed_comes_back_without_a_loss(real: Real) -> None:
    real.plane.kill("apiserver")
    time.sleep(2.0)
    real.plane.restart("apiserver")
    real.plane.create_pods(5)
    real.live()
    real.converged()
    assert real.views["pods"].head().drift == {}


def test_etcd_restored_to_an_older_revision_is_another_incarnation_and_nothing_of_the_old_one(real: Real) -> None:
    real.converged()
    incarnation = real.views["pods"].head().incarnation
    copy = real.plane.etcd_snapshot()
    lost = [pod["metadata"]["name"] for pod in real.plane.create_pods(20)]
    wait("the lost ones were read", lambda: _holds(real, lost))
    real.plane.etcd_restore(copy)
    wait("another incarnation", lambda: real.views["pods"].head().incarnation not in ("", incarnation), 60.0)
    real.live()
    real.converged()
    assert not _holds(real, lost[:1])
    # Revisions that were given away once come again with other objects.
    real.plane.create_pods(25)
    real.converged()


def _holds(real: Real, names: List[str]) -> bool:
    return {f"default/{name}" for name in names} <= set(real.views["pods"].held() or {})
