"""One pipeline of three kinds for all walks on the simulator that leave it in order."""

from __future__ import annotations

from typing import Iterator

import pytest
from faults.paper import Paper
from faults.walking import WIDGETS


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paper]:
    """One pipeline of two kinds for all walks that leave it in order."""
    with Paper(tmp_path_factory.mktemp("walks"), ("pods", "nodes", WIDGETS), verify_every=1.0) as paper:
        paper.world.add_kind(WIDGETS)
        yield paper


@pytest.fixture
def paper(shared: Paper) -> Iterator[Paper]:
    shared.heal()
    if WIDGETS not in {kind.name for kind in shared.world.kinds()}:
        shared.world.add_kind(WIDGETS)
    shared.live()
    shared.wait_converged()
    shared.record()
    yield shared
    shared.finish_readers()
    shared.heal()
