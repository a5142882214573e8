"""Fixtures with a real control plane, for all tests: tests/conftest.py takes them in.

KRM_TEST_KUBERNETES: the version to run, of build.KUBERNETES (default 1.36).
KRM_TEST_KUBECONFIG: a kubeconfig of a cluster that `any_cluster` shall be.
"""

import os
from pathlib import Path
from typing import Any, Iterator, NoReturn, Union

import pytest
from controlplane.build import DEFAULT_VERSION
from controlplane.external import ExternalCluster
from controlplane.metrics_server import USERS, MetricsServer, aggregation_flags
from controlplane.plane import ControlPlane, MissingBinary

# Whoever asks for one of these goes to the worker that has the planes. Tests that learn only from a
# parameter that they want one are marked `controlplane`.
PLANES = frozenset(("control_plane", "own_control_plane", "full_control_plane", "metrics_plane", "any_cluster"))


def version() -> str:
    return os.environ.get("KRM_TEST_KUBERNETES") or DEFAULT_VERSION


def running_plane(**options: Any) -> Iterator[ControlPlane]:
    """A started control plane; the test is skipped when it is not built, and fails for that in CI."""
    try:
        plane = ControlPlane(version(), **options)
    except MissingBinary as error:
        not_built(error)
    with plane:
        yield plane


def not_built(error: MissingBinary) -> NoReturn:
    """Skip with the command that builds it; in CI fail."""
    command = "make control-plane"
    if version() != DEFAULT_VERSION:
        command = f"python tests/controlplane/build.py --version {version()}"
    message = f"{error}: run `{command}`"
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """etcd and API server for all tests that leave them in order: use namespaces of your own."""
    yield from running_plane()


@pytest.fixture(scope="module")
def own_control_plane() -> Iterator[ControlPlane]:
    """etcd and API server of this module alone, to pause, kill, compact or take back."""
    yield from running_plane()


@pytest.fixture(scope="module")
def full_control_plane() -> Iterator[ControlPlane]:
    """With controllers, scheduler and kwok: pods on nodes run, deployments and jobs work."""
    yield from running_plane(controllers=True, scheduler=True, kwok=True)


@pytest.fixture(scope="module")
def metrics_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """etcd and an API server that hands requests on to `metrics_server`."""
    flags = aggregation_flags(tmp_path_factory.mktemp("aggregation"))
    yield from running_plane(users=USERS, apiserver_flags=flags)


@pytest.fixture(scope="module")
def metrics_server(
    metrics_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MetricsServer]:
    """A real metrics-server at `metrics_plane`. It finds the kubelets of the Nodes that a test creates."""
    try:
        server = MetricsServer(metrics_plane, tmp_path_factory.mktemp("metrics-server"))
    except MissingBinary as error:
        not_built(error)
    with server:
        yield server


@pytest.fixture(scope="session")
def any_cluster(request: pytest.FixtureRequest) -> Iterator[Union[ControlPlane, ExternalCluster]]:
    """The cluster of $KRM_TEST_KUBECONFIG, else `control_plane`: url, ca_file, admin and kubeconfig()."""
    path = os.environ.get("KRM_TEST_KUBECONFIG")
    if not path:
        plane: ControlPlane = request.getfixturevalue("control_plane")
        yield plane
        return
    cluster = ExternalCluster(Path(path))
    yield cluster
    cluster.close()
