"""`krm version`."""

from __future__ import annotations

import argparse
import json
import platform
from importlib.metadata import version

from krm.model.release import VERSION


def run(args: argparse.Namespace) -> int:
    """Prints what a bug report needs."""
    facts = {"krm": VERSION, "python": platform.python_version(), "redis-py": version("redis")}
    if args.output == "json":
        print(json.dumps(facts))
    else:
        print("\n".join(f"{name} {version}" for name, version in facts.items()))
    return 0
