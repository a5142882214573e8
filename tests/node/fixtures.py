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
from node.real import USERS, Node, missing

COLLECTOR = "krm-collector"  # may nothing until it is granted


@pytest.fixture(scope="module")
def node_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """The control plane that `node` joins; a metrics-server may stand beside it."""
    lack = missing()
    if lack is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(lack, pytrace=False)
        pytest.skip(lack)
    flags = metrics_server.aggregation_flags(tmp_path_factory.mktemp("aggregation"))
    users = {**USERS, **metrics_server.USERS, COLLECTOR: ()}
    yield from running_plane(users=users, apiserver_flags=flags)


@pytest.fixture(scope="module")
def node(node_plane: ControlPlane) -> Iterator[Node]:
    """A Ready node without pods; after the module the machine is as it was."""
    with machine.prepared() as folder:
        node = Node(node_plane, folder)
        try:
            node.start()
            yield node
        finally:
            node.stop()
