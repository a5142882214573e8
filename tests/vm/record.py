"""Records what a kernel with cgroup v2 alone says, for tests of what reads it.

cd tests && python -m vm.record agent/recorded
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from vm.machine import GUEST, run

KERNEL = "6.1"
SECONDS = 110.0


def main(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name, told in run(GUEST / "kills.py", SECONDS)["kills"].items():
        (folder / f"kmsg-{KERNEL}-{name}.txt").write_text(told.pop("kmsg"))
        (folder / f"kmsg-{KERNEL}-{name}.json").write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
