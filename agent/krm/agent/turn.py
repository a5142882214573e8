"""One turn of the agent: every reader once, what each says put together, and what fails told instead.

A part that fails is Missing in that turn, and stops no other. What is read less often than each turn (processes,
the runtime's API) is carried over, and says when it was read.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple, TypeVar

from krm.agent.cgroups import Cgroups
from krm.agent.differences import Look, differences
from krm.agent.hierarchy import Hierarchy, NoCgroups, open_hierarchy
from krm.agent.runtime_door import open_runtime
from krm.agent.runtimes import NOT_ASKED, Runtime, RuntimeSilent, RuntimeStats
from krm.agent.seen import Cgroup, Difference, Missing, Named, Process, Seen
from krm.agent.walk import Walked, walk

T = TypeVar("T")
log = logging.getLogger("krm")


class Asked(NamedTuple):
    """What the agent is told to do."""

    node: str
    procfs: Path = Path("/proc")
    cgroupfs: Path = Path("/sys/fs/cgroup")
    every: float = 5.0  # seconds between two turns
    processes_every: float = 10.0  # seconds between two looks at processes and the runtime's API
    commands: bool = False
    runtime_socket: str = ""  # "" = none is asked
    kernel_log: str = ""  # "" = it is not read
