"""Cases for the kubelet's eviction package, from a fixed seed; and, with its answers, the oracle's document.

cases.py                         prints the cases
cases.py CASES TOLD VERSION      prints cases and answers together
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional

SEED = 77
MI, GI = 2**20, 2**30
COMMAND = "tests/oracles/eviction/run.sh"
Case = Dict[str, Any]
sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "bench"))


def pod(uid: str, priority: Optional[int] = None, **more: Any) -> Case:
    spec: Case = {"containers": more.pop("containers", [container("app")])}
    if priority is not None:
        spec["priority"] = priority
    spec.update(more.pop("spec", {}))
    return {"metadata": {"uid": uid, "name": uid, "namespace": "lab", **more}, "spec": spec}


def container(name: str, requests: Optional[Case] = None, limits: Optional[Case] = None, **more: Any) -> Case:
    resources = {key: value for key, value in (("requests", requests), ("limits", limits)) if value}
    return {"name": name, "image": "x", "resources": resources, **more}


def asking(memory: str = "", storage: str = "") -> List[Case]:
    requests = {"memory": memory, "ephemeral-storage": storage}
    return [container("app", {name: value for name, value in requests.items() if value})]


def named() -> List[Case]:
    """What the documentation tells in words."""
    static = {"annotations": {"kubernetes.io/config.source": "file"}}
    mirror = {"annotations": {"kubernetes.io/config.mirror": "x"}}
    over = [
        pod("below-low", -10, containers=asking("1Gi")),
        pod("above-high", 1000, containers=asking("100Mi")),
        pod("above-low", 0, containers=asking("100Mi")),
        pod("above-low-more", 0, containers=asking("100Mi")),
    ]
    used = {"below-low": 900, "above-high": 800, "above-low": 200, "above-low-more": 300}
    rows = [
        memory("usage above request goes before priority, priority before the amount", over, used),
        memory(
            "best effort beside burstable below its request",
            [pod("best-effort", 500), pod("burstable", 0, containers=asking("1Gi"))],
            {"best-effort": 1, "burstable": 1000},
        ),
        memory(
            "what has no statistics goes first",
            [pod("a", 10, containers=asking("10Mi")), pod("unknown", 10, containers=asking("1Gi"))],
            {"a": 500},
        ),
        memory(
            "critical, static and mirror pods stay",
            [
                pod("critical", 2_000_000_000),
                pod("node-critical", 2_000_001_000),
                pod("static", 0, **static),
                pod("mirror", 0, **mirror),
                pod("plain", 1_000_000, containers=asking("1Gi")),
            ],
            {"critical": 900, "node-critical": 901, "static": 700, "mirror": 600, "plain": 10},
        ),
        memory(
            "as much as is asked for is not above it",
            [pod("equal", 0, containers=asking("100Mi")), pod("one-more", 0, containers=asking("99Mi"))],
            {"equal": 100, "one-more": 100},
        ),
        memory(
            "a sidecar counts, an init container by its maximum, overhead where something is asked for",
            [
                pod(
                    "sidecar",
                    containers=asking("100Mi"),
                    spec={"initContainers": [container("s", {"memory": "200Mi"}, restartPolicy="Always")]},
                ),
                pod(
                    "init",
                    containers=asking("100Mi"),
                    spec={"initContainers": [container("i", {"memory": "350Mi"})]},
                ),
                pod("overhead", containers=asking("100Mi"), spec={"overhead": {"memory": "150Mi"}}),
                pod("overhead-alone", spec={"overhead": {"memory": "900Mi"}}),
            ],
            {"sidecar": 310, "init": 345, "overhead": 260, "overhead-alone": 265},
        ),
        memory(
            "resources of the pod as a whole",
            [
                pod("whole", containers=asking("100Mi"), spec={"resources": {"requests": {"memory": "500Mi"}}}),
                pod("parts", containers=asking("300Mi")),
            ],
            {"whole": 450, "parts": 320},
        ),
    ]
    volumes = {
        "volumes": [
            {"name": "scratch", "emptyDir": {}},
            {"name": "claim", "persistentVolumeClaim": {"claimName": "c"}},
        ]
    }
    disks = [
        pod("logs", containers=asking(storage="1Gi")),
        pod("layer", containers=asking(storage="1Gi")),
        pod("scratch", spec=volumes),
        pod("claim", spec=volumes),
    ]
    on_disk = {
        "logs": {"Logs": 3 * GI, "Rootfs": MI},
        "layer": {"Rootfs": 4 * GI, "Logs": MI},
        "scratch": {"Volumes": {"scratch": 2 * GI}},
        "claim": {"Volumes": {"claim": 900 * GI}},
    }
    inodes = {
        "logs": {"LogInodes": 30, "RootfsInodes": 1},
        "layer": {"RootfsInodes": 4000, "LogInodes": 1},
        "scratch": {"Volumes": {"scratch": 1}, "VolumeInodes": {"scratch": 200}},
        "claim": {"Volumes": {"claim": 1}, "VolumeInodes": {"claim": 90_000}},
    }
    for signal in ("nodefs.available", "imagefs.available", "nodefs.inodesFree", "imagefs.inodesFree"):
        for image_fs, container_fs in ((False, False), (True, False), (True, True)):
            if container_fs and signal.startswith("imagefs"):
                continue  # all pods are equal there
            usage = inodes if "inodes" in signal else on_disk
            rows.append(
                rank(
                    f"{signal}, imagefs {image_fs}, containerfs {container_fs}",
                    signal,
                    disks,
                    usage,
                    image_fs,
                    container_fs,
                )
            )
    rows.append(
        rank(
            "process IDs: by priority, then by processes",
            "pid.available",
            [pod("few", 0), pod("many", 0), pod("important", 100, containers=asking("1Gi"))],
            {"few": {"Processes": 10}, "many": {"Processes": 900}, "important": {"Processes": 5000}},
        )
    )
    return rows


def memory(name: str, pods: List[Case], used: Dict[str, int]) -> Case:
    """used: MiB."""
    return rank(name, "memory.available", pods, {uid: {"Memory": mib * MI} for uid, mib in used.items()})


def rank(
    name: str, signal: str, pods: List[Case], usage: Case, image_fs: bool = False, container_fs: bool = False
) -> Case:
    return {
        "Name": name,
        "Signal": signal,
        "ImageFs": image_fs,
        "ContainerFs": container_fs,
        "Pods": pods,
        "Usage": usage,
    }


def drawn(draw: random.Random, number: int) -> Case:
    """No two pods are equal: Go's sort leaves the order of equals open."""
    signal = draw.choice(
        ["memory.available", "memory.available", "nodefs.available", "imagefs.available", "pid.available"]
    )
    pods, usage = [], {}
    for place in range(draw.randint(2, 12)):
        uid = f"p{place}"
        requests = {}
        if draw.random() < 0.7:
            requests["memory"] = f"{draw.randint(1, 1500)}Mi"
        if draw.random() < 0.5:
            requests["ephemeral-storage"] = f"{draw.randint(1, 900)}Mi"
        priority = draw.choice([None, 0, -5, 10, 1000, 2_000_000_000])
        made = pod(uid, priority, containers=[container("app", requests)])
        made["spec"]["volumes"] = [{"name": "scratch", "emptyDir": {}}]
        if draw.random() < 0.1:
            made["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
        pods.append(made)
        if draw.random() < 0.95 or any(one["metadata"]["uid"] not in usage for one in pods[:-1]):
            usage[uid] = {
                "Memory": draw.randint(1, 2 * GI),
                "Processes": 10 * place + draw.randint(0, 9),
                "Rootfs": draw.randint(0, 900 * MI),
                "Logs": draw.randint(0, 300 * MI),
                "Volumes": {"scratch": draw.randint(0, 600 * MI)},
            }
    draw.shuffle(pods)
    return rank(f"drawn {number}", signal, pods, usage, draw.random() < 0.4)


def configs() -> List[Case]:
    capacities = {
        "memory.available": 16 * GI + 12345, "allocatableMemory.available": 15 * GI,
        "nodefs.available": 100 * GI + 7,
        "imagefs.available": 333333333333, "nodefs.inodesFree": 6553600, "imagefs.inodesFree": 999999,
        "pid.available": 32768,
    }  # fmt: skip
    default = {
        "memory.available": "100Mi",
        "nodefs.available": "10%",
        "nodefs.inodesFree": "5%",
        "imagefs.available": "15%",
        "imagefs.inodesFree": "5%",
    }
    off = {"nodefs.available": "0%", "imagefs.available": "100%", "memory.available": "0.5%"}
    shares = {"memory.available": "7.3%", "nodefs.available": "12.5%", "pid.available": "3%"}
    rows: List[Case] = [
        {"Name": "defaults", "Hard": default, "Enforce": ["pods"]},
        {"Name": "defaults, nothing enforced", "Hard": default, "Enforce": ["none"]},
        {"Name": "one alone", "Hard": {"memory.available": "1Gi"}, "Enforce": ["pods"]},
        {"Name": "off by percentages", "Hard": off},
        {"Name": "percent of memory", "Hard": shares},
        {
            "Name": "soft with grace and reclaim", "Hard": {"memory.available": "100Mi"},
            "Soft": {"memory.available": "1.5Gi", "nodefs.available": "20%"},
            "SoftGrace": {"memory.available": "1m30s", "nodefs.available": "2h"},
            "MinimumReclaim": {"memory.available": "500Mi", "nodefs.available": "2%"},
        },
        {"Name": "soft without grace", "Soft": {"memory.available": "1Gi"}},
        {"Name": "no such signal", "Hard": {"memory.free": "1Gi"}},
        {"Name": "zero", "Hard": {"memory.available": "0"}},
        {"Name": "below zero", "Hard": {"memory.available": "-1Gi"}},
        {"Name": "above all", "Hard": {"nodefs.available": "101%"}},
        {"Name": "no number", "Hard": {"nodefs.available": "much"}},
        {"Name": "nothing", "Hard": {}},
    ]  # fmt: skip
    return [{**row, "Capacities": capacities} for row in rows]


def scores(draw: random.Random) -> List[Case]:
    both = {"cpu": "100m", "memory": "1Gi"}
    rows = [
        ("guaranteed", pod("a", containers=[container("app", both, both)])),
        ("best effort", pod("a")),
        ("burstable", pod("a", containers=asking("4Gi"))),
        ("burstable, two containers", pod("a", containers=[container("app", {"memory": "4Gi"}), container("b")])),
        ("all of the node", pod("a", containers=asking("16Gi"))),
        ("next to nothing", pod("a", containers=asking("1"))),
        ("CPU alone", pod("a", containers=[container("app", {"cpu": "1"})])),
        ("cluster critical", pod("a", 2_000_000_000, containers=asking("1Gi"))),
        ("node critical", pod("a", 2_000_001_000, spec={"priorityClassName": "system-node-critical"})),
        ("static", pod("a", containers=asking("1Gi"), annotations={"kubernetes.io/config.source": "file"})),
        ("sidecar", pod("a", containers=[container("app", {"memory": "2Gi"}), container("b", {"memory": "1Gi"})],
                        spec={"initContainers": [container("s", {"memory": "64Mi"}, restartPolicy="Always"),
                                                 container("i", {"memory": "8Gi"})]})),
        ("pod-level", pod("a", containers=[container("app", {"memory": "1Gi"}), container("b")],
                          spec={"resources": {"requests": {"memory": "5Gi"}}})),
        ("pod-level guaranteed", pod("a", containers=[container("app")],
                                     spec={"resources": {"requests": both, "limits": both}})),
        ("pod-level sidecar", pod("a", containers=[container("app", {"memory": "1Gi"})],
                                  spec={"resources": {"requests": {"memory": "5Gi"}},
                                        "initContainers": [container("s", restartPolicy="Always")]})),
        ("limit alone", pod("a", containers=[container("app", None, {"memory": "3Gi"})])),
    ]  # fmt: skip
    made = [{"Name": name, "MemoryCapacity": 16 * GI, "Pod": one} for name, one in rows]
    for number in range(20):
        containers = [
            container(f"c{place}", {"memory": f"{draw.randint(1, 9000)}Mi"} if draw.random() < 0.8 else None)
            for place in range(draw.randint(1, 3))
        ]
        capacity = draw.randint(1, 64) * GI + draw.randint(0, GI)
        made.append({"Name": f"drawn {number}", "MemoryCapacity": capacity, "Pod": pod("a", containers=containers)})
    return made


def replayed() -> List[Case]:
    """What the kubelet sees at the moment when too little is left."""
    from eviction_replays import replays

    return [
        rank(
            f"replay {one.number}",
            "memory.available",
            [each.body("n1") for each in one.pods],
            {each.name: {"Memory": each.used(one.at)} for each in one.pods},
        )
        for one in replays()
    ]


def cases() -> Case:
    draw = random.Random(SEED)
    return {
        "Ranks": named() + [drawn(draw, number) for number in range(60)],
        "Replays": replayed(),
        "Configs": configs(),
        "Oom": scores(draw),
    }


def main() -> None:
    if len(sys.argv) == 1:
        print(json.dumps(cases()))
        return
    asked, told = (json.loads(Path(path).read_text(encoding="utf-8")) for path in sys.argv[1:3])
    document = {"Module": sys.argv[3], "Command": COMMAND, "Seed": SEED, "Defaults": told["Defaults"]}
    for part in ("Ranks", "Configs", "Oom"):
        document[part] = [{"Asked": one, "Told": answer} for one, answer in zip(asked[part], told[part])]
    document["Configz"] = told["Configz"]  # of the defaults, of one signal, of none
    document["Replays"] = told["Replays"]  # their pods are made by bench/eviction_replays.py
    print(
        json.dumps(document, indent=None, separators=(",", ":"))
        .replace('{"Asked"', '\n{"Asked"')
        .replace('{"Name":"replay', '\n{"Name":"replay')
    )


if __name__ == "__main__":
    main()
