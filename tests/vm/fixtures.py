"""What a test of the virtual machine needs: its document, or a skip that says what is missing; in CI a failure."""

from __future__ import annotations

import os
from typing import Any

import pytest
from vm.machine import GUEST, missing, run

# A run takes 80 to 120 s on a host of its own; where others work beside it, twice that. Runs wait for one another.
SECONDS = 300.0
TIMEOUT = 3 * SECONDS


def ran(program: str) -> Any:
    """What the program of that name in guest/ hands back."""
    lack = missing()
    if lack is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(lack, pytrace=False)
        pytest.skip(lack)
    return run(GUEST / program, SECONDS)
