"""Fixtures with a real node, for all tests: tests/conftest.py takes them in.

Who asks for `node` is marked `node` and left to `make test-node`: there is one node at a time, and it
measures best on a machine that does little else.
"""

from __future__ import annotations

import os
from typing import Iterator

import pytest
from controlplane import metrics_server
from controlplane.fixtures import running_plane
from controlplane.plane import ControlPlane
from node import machine
from node.loads import run_loads
from node.real import USERS, Node, missing

COLLECTOR = "krm-collector"  # may nothing until it is granted


@pytest.fixture(scope="session")
def node_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """The control plane that `node` joins, and `node_metrics_server`."""
    lack = missing()
    if lack is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(lack, pytrace=False)
        pytest.skip(lack)
    flags = metrics_server.aggregation_flags(tmp_path_factory.mktemp("aggregation"))
    users = {**USERS, **metrics_server.USERS, COLLECTOR: ()}
    yield from running_plane(users=users, apiserver_flags=flags)


@pytest.fixture(scope="session")
def node(node_plane: ControlPlane) -> Iterator[Node]:
    """A Ready node; after the run the machine is as it was. Give pods names of your own and delete them."""
    with machine.prepared() as folder:
        node = Node(node_plane, folder)
        try:
            node.start()
            yield node
        finally:
            node.stop()


@pytest.fixture(scope="session")
def loaded_node(node: Node) -> Node:
    """`node` with the known load on it, which stays."""
    run_loads(node)
    return node


@pytest.fixture(scope="session")
def node_metrics_server(
    node_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[metrics_server.MetricsServer]:
    """A real metrics-server beside `node`."""
    with metrics_server.MetricsServer(node_plane, tmp_path_factory.mktemp("metrics-server")) as server:
        yield server
