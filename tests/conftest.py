"""What every test run shares: one worker for the control plane, and a report that says what it ran on."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Dict, List

import pytest
from controlplane.build import DEFAULT_VERSION
from controlplane.fixtures import (  # noqa: F401 (fixtures)
    PLANES,
    any_cluster,
    control_plane,
    full_control_plane,
    metrics_plane,
    metrics_server,
    own_control_plane,
)
from kept_cluster import kept, server  # noqa: F401 (fixtures)
from node.fixtures import loaded_node, node, node_metrics_server, node_plane  # noqa: F401 (fixtures)
from original_client import original_client  # noqa: F401 (fixture)

HERE = Path(__file__).resolve().parent
_SEED = re.compile(r"\bseed\b\W{0,4}(-?\d+)", re.IGNORECASE)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    """With xdist's loadgroup one worker runs all that needs an API server: each would start its own."""
    for item in items:
        if PLANES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.controlplane)
        if "node_plane" in getattr(item, "fixturenames", ()) or HERE / "node" in Path(str(item.path)).parents:
            item.add_marker(pytest.mark.node)
        if item.get_closest_marker("controlplane") or HERE / "controlplane" in Path(str(item.path)).parents:
            item.add_marker(pytest.mark.xdist_group("controlplane"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Groups that a pytest and a pytest-xdist lose between them make a slow and unsteady run, and say nothing."""
    if session.config.getoption("loadgroup", False):
        alone = [
            item for item in session.items if item.get_closest_marker("xdist_group") and "@" not in item.nodeid
        ]
        if alone:
            raise pytest.UsageError(
                f"pytest {pytest.__version__} and this pytest-xdist do not keep groups together: "
                "install what pyproject.toml's extra `test` says"
            )


@pytest.hookimpl(optionalhook=True)
def pytest_json_modifyreport(json_report: Dict[str, Any]) -> None:
    """Fills `environment`, which the plugin leaves empty, and drops what passing tests printed."""
    tests = json_report.get("tests", [])
    json_report["environment"] = _environment(tests)
    for test in tests:
        if test["outcome"] == "passed":
            for phase in ("setup", "call", "teardown"):
                for stream in ("stdout", "stderr", "log"):
                    test.get(phase, {}).pop(stream, None)


def _seeds(tests: List[Dict[str, Any]]) -> List[str]:
    """Random tests print their seed: gathered, so that a run can be had again."""
    printed = " ".join(test.get("call", {}).get("stdout", "") for test in tests)
    return sorted(set(_SEED.findall(printed)))


def _environment(tests: List[Dict[str, Any]]) -> Dict[str, str]:
    about = {"Python": platform.python_version(), "Redis": _redis_version()}
    if any("controlplane" in test["nodeid"] and test["outcome"] != "skipped" for test in tests):
        about["Kubernetes"] = os.environ.get("KRM_TEST_KUBERNETES", DEFAULT_VERSION)
    seeds = _seeds(tests)
    if seeds:
        about["seeds"] = " ".join(seeds)
    return about


def _redis_version() -> str:
    command = shutil.which("redis-server")
    if command is None:
        return "none on PATH"
    answer = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=10)
    found = re.search(r"v=(\S+)", answer.stdout)
    return found.group(1) if found else "of unknown version"
