"""Records what a kernel with cgroup v2 alone says, for tests of what reads it.

    cd tests && python -m vm.record agent/recorded

v2-6.1.json: the tree under the known load of guest/loads.py, path -> file -> content. kmsg-6.1-KIND.txt: the raw
records of the kernel's log of each kill of guest/kills.py, and beside it as .json what was done.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from vm.machine import GUEST, run

KERNEL = "6.1"
SECONDS = 300.0
DONE = ("path", "pids", "limited", "limit", "counted")


def main(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    tree = run(GUEST / "figures.py", SECONDS)["tree"]
    (folder / f"v2-{KERNEL}.json").write_text(json.dumps(tree, indent=1) + "\n")
    for name, told in run(GUEST / "kills.py", SECONDS)["kills"].items():
        (folder / f"kmsg-{KERNEL}-{name}.txt").write_text(told["kmsg"])
        done = {key: told[key] for key in DONE}
        (folder / f"kmsg-{KERNEL}-{name}.json").write_text(json.dumps(done, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
