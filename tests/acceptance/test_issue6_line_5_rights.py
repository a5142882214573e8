"""Issue 6, line 5: the agent under its own UID, without capabilities, on a read-only root, in its own namespaces.

It runs in a container of runc's as the DaemonSet of docs/agent.md has it, beside two containers of a pod. What it
needs of the machine is mounted read-only; what it then cannot read it lists.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import pytest
from agent.containers import CGROUPS, Container, Containers, containers, skip_or_fail
from authorities import Authority

ROOT = Path(__file__).resolve().parents[2]
UID = 64123
PORT = 10260
SECONDS = 60.0
TOKEN = "a-token-of-the-test"
CAPABILITIES = ("bounding", "effective", "inheritable", "permitted", "ambient")
NAMESPACES = ("pid", "mount", "network", "cgroup", "ipc", "uts")
# Asks the agent from inside, where its network is.
CLIENT = """
import http.client, json, ssl, sys
path, token = sys.argv[1:]
context = ssl.create_default_context(cafile="/files/ca.pem")
connection = http.client.HTTPSConnection("127.0.0.1", %d, timeout=20, context=context)
connection.request("GET", path, headers={"Authorization": "Bearer " + token})
answer = connection.getresponse()
print(json.dumps([answer.status, answer.read().decode()]))
""" % PORT  # fmt: skip

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class Confined:
    """The agent in its container; `pid` is its process as the host sees it."""

    def __init__(self, runc: List[str], name: str, pid: int, log: Path) -> None:
        self._runc, self._name, self.pid, self._log = runc, name, pid, log

    def inside(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command with no more rights than the agent's."""
        return subprocess.run(
            [*self._runc, "exec", self._name, *command],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def ask(self, path: str, token: str = TOKEN) -> Tuple[int, str]:
        done = self.inside("/python/bin/python3", "-c", CLIENT, path, token)
        assert done.returncode == 0, f"{done.stderr}\n{self._log.read_text()}"
        status, body = json.loads(done.stdout)
        return status, body

    def document(self, path: str) -> Dict[str, Any]:
        status, body = self.ask(path)
        assert status == 200, body
        found: Dict[str, Any] = json.loads(body)
        return found

    def status(self) -> Dict[str, str]:
        """/proc/PID/status of it, as the host has it."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def bundle(folder: Path, cgroup: str) -> None:
    """What the DaemonSet says, as runc is told it."""
    root = folder / "rootfs"
    for name in ("proc", "dev", "host/proc", "host/cgroup", "files", "srv", "python", "usr", "lib", "lib64", "tmp"):
        (root / name).mkdir(parents=True)
    (folder / "srv/packages").mkdir(parents=True)
    for room in ("model", "store", "stage", "agent"):
        shutil.copytree(str(ROOT / room / "krm" / room), str(folder / "srv/krm" / room))
    psutil = pytest.importorskip("psutil").__file__
    shutil.copytree(str(Path(psutil).parent), str(folder / "srv/packages/psutil"))
    bound = {"/files": folder / "files", "/srv": folder / "srv", "/python": Path(sys.base_prefix)}
    bound.update((f"/{name}", Path(f"/{name}")) for name in ("usr", "lib", "lib64") if Path(f"/{name}").exists())
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        *({"destination": to, "type": "bind", "source": str(source), "options": ["bind", "ro"]}
          for to, source in bound.items()),
        {"destination": "/host/proc", "type": "bind", "source": "/proc", "options": ["bind", "ro"]},
        {"destination": "/host/cgroup", "type": "bind", "source": str(CGROUPS), "options": ["rbind", "ro"]},
    ]  # fmt: skip
    arguments = [
        "--procfs", "/host/proc", "--cgroupfs", "/host/cgroup", "--node", "worker-1", "--address", "0.0.0.0",
        "--port", str(PORT), "--cert", "/files/tls.crt", "--key", "/files/tls.key", "--token-file", "/files/token",
        "--every", "1s", "--processes-every", "1s",
    ]  # fmt: skip
    process = {
        "terminal": False,
        "user": {"uid": UID, "gid": UID},
        "args": ["/python/bin/python3", "-m", "krm.agent", *arguments],
        "env": [
            "PATH=/python/bin:/usr/bin:/bin", "PYTHONPATH=/srv:/srv/packages", "PYTHONDONTWRITEBYTECODE=1",
            "LD_LIBRARY_PATH=/python/lib",
        ],
        "cwd": "/",
        "capabilities": {name: [] for name in CAPABILITIES},
        "noNewPrivileges": True,
    }  # fmt: skip
    config = {
        "ociVersion": "1.0.2",
        "process": process,
        "root": {"path": str(root), "readonly": True},
        "hostname": "agent",
        "mounts": mounts,
        "linux": {"cgroupsPath": cgroup, "namespaces": [{"type": name} for name in NAMESPACES]},
    }
    (folder / "config.json").write_text(json.dumps(config))


def secrets_of(folder: Path) -> None:
    """Certificate, key and token, which that UID alone may read, and the CA."""
    folder.mkdir()
    authority = Authority(folder, "ca")
    pair = authority.server("tls")
    (folder / "token").write_text(TOKEN)
    for path in (pair.cert, pair.key, folder / "token"):
        path.chmod(0o400)
        os.chown(str(path), UID, UID)
    folder.chmod(0o755)


@contextmanager
def confined(folder: Path, top: str) -> Iterator[Confined]:
    folder.mkdir()
    secrets_of(folder / "files")
    bundle(folder, f"{top}/agent")
    runc = ["runc", "--root", str(folder / "runc")]
    name, log = f"krm-agent-{secrets.token_hex(4)}", folder / "log"
    with open(str(log), "wb") as output:
        subprocess.run(
            [*runc, "run", "--detach", "--bundle", str(folder), "--pid-file", str(folder / "pid"), name],
            check=True, timeout=SECONDS, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        agent = Confined(runc, name, int((folder / "pid").read_text()), log)
        wait_for(lambda: "serving" in log.read_text(), lambda: log.read_text())
        yield agent
    finally:
        subprocess.run([*runc, "delete", "--force", name], timeout=SECONDS, check=False, capture_output=True)


def wait_for(what: Callable[[], Any], otherwise: Callable[[], str]) -> Any:
    deadline = time.monotonic() + SECONDS
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.2)


class World:
    """A pod of two containers, and the agent beside them."""

    def __init__(self, made: Containers, agent: Confined) -> None:
        self.agent, self.pod = agent, made.new_pod()
        script = "sleep 1000 & sleep 1000 & read x <>/tmp/nothing"
        self.containers: List[Container] = [made.run(self.pod, script) for _ in range(2)]

    def sees(self) -> Optional[Dict[str, List[Dict[str, Any]]]]:
        """Rows of processes by container, once all of both are told."""
        found: Dict[str, List[Dict[str, Any]]] = {}
        for row in self.agent.document("/v1/processes")["processes"]:
            found.setdefault(row.get("container_id", ""), []).append(row)
        whole = all(
            sorted(row["pid"] for row in found.get(one.id, [])) == one.pids() and len(one.pids()) == 3
            for one in self.containers
        )
        return found if whole else None


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    skip_or_fail()
    if not sys.platform.startswith("linux"):
        pytest.skip("runc is of Linux")
    with containers() as made:
        # Below made.folder, which every UID may pass: pytest's own folders are for one user.
        made.folder.chmod(0o755)
        with confined(made.folder / "agent", made.top) as agent:
            yield World(made, agent)


def test_it_has_no_rights(world: World) -> None:
    status = world.agent.status()
    assert status["Uid"].split() == [str(UID)] * 4
    assert status["Gid"].split() == [str(UID)] * 4
    assert status["Groups"] == ""
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert status["NoNewPrivs"] == "1"
    for name in ("pid", "mnt", "net", "cgroup"):
        own, its = (os.readlink(f"/proc/{pid}/ns/{name}") for pid in ("self", world.agent.pid))
        assert own != its, name
    for path in ("/x", "/srv/x", "/host/cgroup/memory/x", "/host/proc/sys/kernel/hostname", "/files/x"):
        done = world.agent.inside("/python/bin/python3", "-c", f"open({path!r}, 'w')")
        assert done.returncode != 0
        assert "Read-only file system" in done.stderr or "Permission denied" in done.stderr, done.stderr


def test_it_serves_over_tls_to_whom_has_the_token(world: World) -> None:
    assert world.agent.ask("/healthz", "none")[0] == 200
    for path in ("/v1/node", "/v1/processes", "/v1/kills", "/metrics"):
        assert world.agent.ask(path, "another")[0] == 401
        assert world.agent.ask(path)[0] == 200


def test_it_sees_each_process_in_its_container(world: World) -> None:
    found = wait_for(world.sees, lambda: world.agent.ask("/v1/processes")[1][:3000])
    for container in world.containers:
        rows = found[container.id]
        assert {row["pod_uid"] for row in rows} == {world.pod}
        assert {row["pid_inside"] for row in rows} >= {1}
        (first,) = [row for row in rows if row.get("is_init")]
        assert first["pid"] == container.process
        for row in rows:
            stat = Path(f"/proc/{row['pid']}/stat").read_text()
            assert row["started_ticks"] == int(stat.rpartition(")")[2].split()[19])
    host = {row["pid"]: row for row in found[""]}
    assert "pod_uid" not in host[os.getpid()]
    assert host[world.agent.pid]["uid"] == UID  # itself: PID 1 in its own namespace, this one on the host
    assert host[world.agent.pid]["pid_inside"] == 1


def test_it_sees_what_each_container_uses(world: World) -> None:
    def told() -> Optional[Dict[str, Dict[str, Any]]]:
        rows = {row["id"]: row for row in world.agent.document("/v1/node")["containers"]}
        return rows if all("memory_usage" in rows.get(one.id, {}) for one in world.containers) else None

    rows = wait_for(told, lambda: world.agent.ask("/v1/node")[1][:3000])
    for container in world.containers:
        row = rows[container.id]
        assert row["path"] == container.cgroup
        assert row["pids"] == 3
        assert row["cpu_usage_ns"] > 0
        assert row["memory_working_set"] > 0
    document = world.agent.document("/v1/node")
    assert document["node_figures"]["cpu_usage_ns"] > 0
    assert document["node_figures"]["started"] > 0
    assert [row["pod_uid"] for row in document["pods"] if row["pod_uid"] == world.pod] == [world.pod]


def test_it_lists_what_it_cannot_read(world: World) -> None:
    missing = {row["what"]: row["why"] for row in world.agent.document("/v1/node")["missing"]}
    assert "--runtime-socket" in missing["runtime API"]
    assert "--kernel-log" in missing["kernel log"]
    (of_processes,) = [why for what, why in missing.items() if "io" in what and "processes" in what]
    assert "SYS_PTRACE" in of_processes
    # And it is true: what is listed cannot be read, what is not can.
    for name in ("io", "smaps_rollup", "environ", "exe"):
        assert name in " ".join(missing)
        done = world.agent.inside(
            "/python/bin/python3", "-c", f"import os; p='/host/proc/{os.getpid()}/{name}'; "
            "os.readlink(p) if p.endswith('exe') else open(p, 'rb').read()",
        )  # fmt: skip
        assert "Permission denied" in done.stderr, (name, done.stderr)
    # Nothing failed: all that is missing has a reason of its own.
    assert not [why for why in missing.values() if "could not be read in this turn" in why]


def test_a_hidden_proc_is_said_to_be_hidden(world: World, tmp_path: Path) -> None:
    """Where the node mounts /proc with hidepid, another user's processes are not there for the agent."""
    folder = tmp_path / "proc"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "proc", "-o", "hidepid=2", "proc", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"no /proc can be mounted here: {done.stderr.strip()}")
    try:
        from agent.lesser import as_agent
        from krm.agent.turn import Asked, Turns

        fd = os.open(str(folder), os.O_RDONLY)  # pytest's folders are for one user alone

        def look() -> Any:
            return Turns(Asked("n", procfs=Path(f"/proc/self/fd/{fd}"))).turn(True).missing

        Turns(Asked("n")).turn(True)  # what is imported late may lie where another may not read
        missing = as_agent(look)
        os.close(fd)
    finally:
        subprocess.run(["umount", str(folder)], check=True)
    assert any("hidepid" in one.why for one in missing), missing
