"""Styles of cgroups as runc itself makes them on this machine, found and read in whichever tree has them."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import time
import uuid
from pathlib import Path
from typing import Iterator, Tuple

import pytest
from krm.agent.cgroupfs.cgroups import Cgroups
from krm.agent.cgroupfs.hierarchy import open_hierarchy
from krm.agent.cgroupfs.walk import walk
from krm.agent.process.belonging import Belonging
from krm.agent.seen import BURSTABLE, CONTAINER

pytestmark = pytest.mark.slow
ROOT = Path("/sys/fs/cgroup")
WORK = "while :; do :; done"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lack = [name for name in ("runc", "busybox") if shutil.which(name, path=PATH) is None]
    why = "containers need root: run `sudo make test-slow`" if os.geteuid() else ""
    why = f"needs {', '.join(lack)}: run `apt-get install runc busybox-static`" if lack else why
    if why and os.environ.get("CI") == "true":
        pytest.fail(why, pytrace=False)
    if why:
        pytest.skip(why)
    folder = Path(tmp_path_factory.mktemp("bundle"))
    (folder / "rootfs/bin").mkdir(parents=True)
    shutil.copy(shutil.which("busybox", path=PATH) or "", folder / "rootfs/bin/sh")
    subprocess.run(["runc", "spec"], cwd=folder, check=True, timeout=30, env={"PATH": PATH})
    return folder


def cgroups_path(style: str, uid: str, id_: str) -> str:
    bare = uid.replace("-", "_")
    return {
        "cgroupfs": f"/krm-test-agent-{os.getpid()}/kubepods/burstable/pod{uid}/{id_}",
        "colons": f"kubepods-burstable-pod{bare}.slice:cri-containerd:{id_}",
    }[style]


@pytest.fixture(params=["cgroupfs", "colons"])
def running(request: pytest.FixtureRequest, bundle: Path, tmp_path: Path) -> Iterator[Tuple[str, str, int]]:
    """Pod uid, container id, and PID of a container that works."""
    uid, id_ = str(uuid.uuid4()), secrets.token_hex(32)
    config = json.loads((bundle / "config.json").read_text())
    config["process"].update(terminal=False, args=["sh", "-c", WORK], oomScoreAdj=0)
    config["root"]["readonly"] = True
    config["linux"]["cgroupsPath"] = cgroups_path(request.param, uid, id_)
    config["linux"]["resources"] = {"cpu": {"quota": 20_000, "period": 100_000}, "memory": {"limit": 32 * 2**20}}
    (bundle / "config.json").write_text(json.dumps(config))
    runc = ["runc", "--root", str(tmp_path / "runc")]
    env = {"PATH": PATH}
    try:
        command = [*runc, "run", "--detach", "--bundle", str(bundle), "--pid-file", str(tmp_path / "pid"), id_]
        subprocess.run(
            command, check=True, timeout=60, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        yield uid, id_, int((tmp_path / "pid").read_text())
    finally:
        subprocess.run([*runc, "delete", "--force", id_], check=False, timeout=60, env=env)
        for top in ROOT.glob(f"*/krm-test-agent-{os.getpid()}"):
            for folder, _, _ in os.walk(top, topdown=False):
                os.rmdir(folder)


def test_a_container_is_found_and_all_its_trees_are_read(running: Tuple[str, str, int]) -> None:
    uid, id_, pid = running
    hierarchy = open_hierarchy(ROOT)
    places = walk(hierarchy).places
    (place,) = (place for place in places.values() if place.container_id == id_ and place.level == CONTAINER)
    assert (place.pod_uid, place.qos) == (uid, BURSTABLE)
    deadline = time.monotonic() + 30.0
    figures = {}
    while not figures.get("cpu_throttled_periods") and time.monotonic() < deadline:
        (cgroup,) = Cgroups(hierarchy).turn([place], frozenset(), time.time())
        figures = dict(cgroup.figures)
        time.sleep(0.1)
    # cpu, cpuacct, memory and pids: in version 1 four trees, each with its own idea of where this cgroup is.
    assert figures["cpu_quota_us"] == 20_000
    assert figures["cpu_throttled_periods"]
    assert figures["memory_limit"] == 32 * 2**20
    assert figures["pids"] == 1
    assert isinstance(figures["cpu_usage_ns"], int)
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    shown = {line.split(":", 2)[1]: line.split(":", 2)[2] for line in lines}
    belongs = Belonging(places, inside=False).of(shown.get(hierarchy.walked(), shown.get("", "")))
    assert belongs is not None
    assert (belongs.cgroup, belongs.container_id, belongs.pod_uid) == (place.path, id_, uid)
