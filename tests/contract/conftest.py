"""`api`: the simulator, a real API server, and krm's server; each test has a namespace of its own in it."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Iterator

import pytest
from contract.api import Api
from contract.served import KrmApi, running
from krm.simulator.server import Server
from krm.simulator.world import World

_NUMBERS = itertools.count(1)
BOTH = ["simulator", pytest.param("real", marks=pytest.mark.controlplane)]


@pytest.fixture(scope="module")
def paper() -> Iterator[Api]:
    """A simulator with nothing in it but the four first namespaces."""
    world = World(seed=1)
    with Server(world) as server:
        yield Api("simulator", server.url, compact=world.compact)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KrmApi]:
    """krm's server before a simulator of its own."""
    with running(Path(tmp_path_factory.mktemp("served"))) as made:
        yield made


# One worker runs krm: each would start its own.
@pytest.fixture(params=[*BOTH, pytest.param("krm", marks=pytest.mark.xdist_group("served"))])
def api(request: pytest.FixtureRequest) -> Api:
    if request.param == "krm":
        return _with_namespace(request.getfixturevalue("served"))
    if request.param == "simulator":
        return _with_namespace(request.getfixturevalue("paper"))
    plane = request.getfixturevalue("control_plane")
    return _with_namespace(Api("real", plane.url, plane.token("admin"), plane.ca_file))


@pytest.fixture(params=BOTH)
def compactable(request: pytest.FixtureRequest) -> Api:
    """The same, where the test may forget the past."""
    if request.param == "simulator":
        return _with_namespace(request.getfixturevalue("paper"))
    plane = request.getfixturevalue("control_plane")
    return _with_namespace(Api("real", plane.url, plane.token("admin"), plane.ca_file, plane.compact))


def _with_namespace(api: Api) -> Api:
    name = "contract-%d" % next(_NUMBERS)
    reply = api.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    assert reply.status == 201, reply.body
    return replace(api, namespace=name)
