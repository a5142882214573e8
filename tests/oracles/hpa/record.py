"""Puts scenarios before a real kube-controller-manager and writes down what its HPA controller did with them.

    PYTHONPATH=tests python tests/oracles/hpa/record.py        # writes tests/oracles/hpa.json

A real API server and etcd, a real kube-controller-manager with its HPA controller alone, a server that serves the
metrics APIs with the numbers of the scenario. Each scenario has a namespace. Deployments and pods are objects:
nobody runs them.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from controlplane.kubeapi import Json, KubeClient
from controlplane.metrics_server import USERS, aggregation_flags
from controlplane.plane import ControlPlane
from controlplane.processes import wait_until
from fake_metrics import GROUPS, Answered, FakeMetrics, moment
from parts import Scenario, Turns
from scenarios import scenarios

OUT = Path(__file__).resolve().parents[1] / "hpa.json"
SYNC = 4.0  # seconds between two turns of the controller
SETTLED = 1.5  # seconds after its last question in which a turn has written what it decided
AT_ONCE = 12  # scenarios: each is looked at before its next turn
WITHIN = 120.0  # seconds, for these
FLAGS: Dict[str, Dict[str, float]] = {  # of krm.analysis.hpa.spec.Settings
    "default": {},
    "short": {"tolerance": 0.2, "down_window": 9.0, "cpu_initialization": 20.0, "readiness_delay": 10.0},
}
_NAMES = {
    "tolerance": "tolerance={:g}",
    "down_window": "downscale-stabilization={:g}s",
    "cpu_initialization": "cpu-initialization-period={:g}s",
    "readiness_delay": "initial-readiness-delay={:g}s",
}


def controller_flags(settings: str) -> List[str]:
    told = [f"--horizontal-pod-autoscaler-{_NAMES[name].format(value)}" for name, value in FLAGS[settings].items()]
    return [
        "--controllers=horizontal-pod-autoscaler-controller",
        "--concurrent-horizontal-pod-autoscaler-syncs=20",
        f"--horizontal-pod-autoscaler-sync-period={SYNC:g}s",
        *told,
    ]


class Run:
    """One scenario in its namespace."""

    def __init__(self, admin: KubeClient, fake: FakeMetrics, number: int, scenario: Scenario) -> None:
        self.admin, self.fake, self.scenario = admin, fake, scenario
        self.space = f"s{number:03d}"
        self.plan: List[Turns] = [phase for phase in scenario.phases for _ in range(phase.turns)]
        self.first = {id(phase): True for phase in scenario.phases}
        self.turns: List[Json] = []
        self.taken = 0  # answers that belong to turns that are written down

    @property
    def api(self) -> str:
        return f"/apis/apps/v1/namespaces/{self.space}/deployments/app"

    @property
    def hpa(self) -> str:
        return f"/apis/autoscaling/v2/namespaces/{self.space}/horizontalpodautoscalers"

    def prepare(self) -> None:
        self.admin.create("/api/v1/namespaces", {"metadata": {"name": self.space}})
        template = {
            "metadata": {"labels": {"app": "app"}},
            "spec": {"containers": [{"name": "app", "image": "none"}]},
        }
        spec = {
            "replicas": self.scenario.replicas,
            "selector": {"matchLabels": {"app": "app"}},
            "template": template,
        }
        self.admin.create(self.api.rpartition("/")[0], {"metadata": {"name": "app"}, "spec": spec})
        self.admin.patch(f"{self.api}/status", {"status": {"replicas": self.scenario.status_replicas}})
        self._pods(self.scenario.pods)
        self._begin(self.plan[0])

    def begin(self) -> None:
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"}
        for number in range(self.scenario.rivals, -1, -1):
            body = {
                "metadata": {"name": f"app{number or ''}"},
                "spec": {"scaleTargetRef": target, **self.scenario.hpa},
            }
            made = self.admin.create(self.hpa, body)
            if number:  # a rival counts once it has had a turn
                wait_until(
                    lambda number=number: self._is_judged(number), 30, f"{self.scenario.name}: the rival is known"
                )
            else:
                self.before = self._look(made)

    def _is_judged(self, number: int) -> bool:
        return bool(self.admin.get(f"{self.hpa}/app{number}").get("status", {}).get("conditions"))

    def look(self) -> bool:
        """Write down a turn that is over; whether there is nothing left to do."""
        if len(self.turns) == len(self.plan):
            return True
        answers = self.fake.answers.get(self.space, [])[self.taken :]
        if self.scenario.silent:
            return self._silent()
        wanted = self._metrics()
        if len(answers) < wanted or time.time() - answers[wanted - 1].at < SETTLED:
            return False
        if len(answers) > wanted:
            raise RuntimeError(f"{self.scenario.name}: looked too late, {len(answers)} questions of {wanted}")
        self.taken += wanted
        self._write(answers)
        return self._over()

    def _metrics(self) -> int:
        return len(self.before["hpa"]["spec"]["metrics"])

    def _silent(self) -> bool:
        found = self.admin.get(f"{self.hpa}/app")
        if not found.get("status", {}).get("conditions"):
            return False
        self._write([])
        return self._over()

    def _over(self) -> bool:
        if len(self.turns) < len(self.plan):
            return False
        for number in range(1 + self.scenario.rivals):
            self.admin.delete(f"{self.hpa}/app{number or ''}")
        return True

    def _write(self, answers: Sequence[Answered]) -> None:
        after = self._look(self.admin.get(f"{self.hpa}/app"))
        at = answers[0].at if answers else time.time()
        asked = [{"path": one.path, "code": one.code, "body": one.body} for one in answers]
        self.turns.append(
            {
                "at": at,
                **self.before,
                "answers": asked,
                "after": {"replicas": after["replicas"], "status": after["hpa"]["status"]},
            }
        )
        if len(self.turns) < len(self.plan):
            self._begin(self.plan[len(self.turns)])
            self.before = self._look(self.admin.get(f"{self.hpa}/app"))

    def _look(self, hpa: Json) -> Json:
        deployment = self.admin.get(self.api)
        pods = self.admin.get(f"/api/v1/namespaces/{self.space}/pods")["items"]
        kept = {"metadata": {name: hpa["metadata"][name] for name in ("name", "namespace")}, "spec": hpa["spec"]}
        return {
            "hpa": {**kept, "status": hpa.get("status", {})},
            "replicas": deployment["spec"]["replicas"],
            "status_replicas": deployment["status"].get("replicas", 0),
            "pods": [_short(one) for one in pods],
        }

    def _begin(self, phase: Turns) -> None:
        if not self.first[id(phase)]:
            return
        self.first[id(phase)] = False
        self.fake.numbers[self.space] = phase.numbers
        if phase.replicas is not None:
            self.admin.patch(self.api, {"spec": {"replicas": phase.replicas}})
        if phase.status_replicas is not None:
            self.admin.patch(f"{self.api}/status", {"status": {"replicas": phase.status_replicas}})
        if phase.hpa is not None:
            self.admin.patch(f"{self.hpa}/app", {"spec": phase.hpa})
        self._pods(phase.pods or ())

    def _pods(self, pods: Sequence[Json]) -> None:
        path = f"/api/v1/namespaces/{self.space}/pods"
        for one in pods:
            self.admin.create(path, _pod(one))
            self.admin.patch(f"{path}/{one['name']}/status", {"status": _status(one)})
            if one["deleted"]:
                self.admin.delete(f"{path}/{one['name']}")


def _pod(one: Json) -> Json:
    containers = [
        {"name": name, "image": "none", "resources": {"requests": asked}}
        for name, asked in one["containers"].items()
    ]
    sidecars = [
        {"name": name, "image": "none", "restartPolicy": "Always", "resources": {"requests": asked}}
        for name, asked in one["sidecars"].items()
    ]
    metadata: Json = {"name": one["name"], "labels": {"app": "app"}}
    if one["deleted"]:
        metadata["finalizers"] = ["krm.io/test"]
    spec: Json = {"containers": containers, "initContainers": sidecars}
    if one["pod_level"]:
        spec["resources"] = {"requests": one["pod_level"]}
    return {"metadata": metadata, "spec": spec}


def _status(one: Json) -> Json:
    now = time.time()
    status: Json = {"phase": one["phase"]}
    if one["started"] is not None:
        status["startTime"] = moment(now - one["started"])
    if one["ready"] is not None:
        changed = moment(now - (one["changed"] or 0))
        status["conditions"] = [{"type": "Ready", "status": str(one["ready"]), "lastTransitionTime": changed}]
    return status


def _short(pod: Json) -> Json:
    """What the controller looks at."""
    metadata = {
        name: pod["metadata"][name]
        for name in ("name", "namespace", "labels", "deletionTimestamp")
        if name in pod["metadata"]
    }
    spec: Json = {
        name: [
            {key: one[key] for key in ("name", "restartPolicy", "resources") if key in one}
            for one in pod["spec"].get(name, [])
        ]
        for name in ("containers", "initContainers")
    }
    if "resources" in pod["spec"]:
        spec["resources"] = pod["spec"]["resources"]
    status = {name: pod["status"][name] for name in ("phase", "startTime", "conditions") if name in pod["status"]}
    return {"metadata": metadata, "spec": spec, "status": status}


def together(runs: Sequence[Run]) -> None:
    """All of them, to their ends."""
    for one in runs:
        one.prepare()
    for one in sorted(runs, key=lambda one: -one.scenario.rivals):  # whoever waits begins first
        one.begin()
    deadline, left = time.monotonic() + WITHIN, list(runs)
    while left:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no end of: {', '.join(one.scenario.name for one in left)}")
        left = [one for one in left if not one.look()]
        time.sleep(0.02)


def record(settings: str, chosen: Sequence[Scenario], folder: Path) -> List[Json]:
    flags = aggregation_flags(folder)
    with ControlPlane(
        controllers=True, users=USERS, apiserver_flags=flags, controller_flags=controller_flags(settings)
    ) as plane, FakeMetrics(folder) as fake:
        fake.register(plane.admin)
        for group, version in GROUPS.items():
            path = f"/apis/{group}/{version}"
            wait_until(lambda path=path: plane.admin.request("GET", path).status == 200, 60, f"{path} is served")
        runs = [Run(plane.admin, fake, number, one) for number, one in enumerate(chosen)]
        for start in range(0, len(runs), AT_ONCE):
            together(runs[start : start + AT_ONCE])
    return [
        {"name": one.scenario.name, "settings": FLAGS[settings], "rivals": one.scenario.rivals, "turns": one.turns}
        for one in runs
    ]


def main(arguments: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="scenarios whose names hold this; they are printed, not written")
    only = parser.parse_args(arguments).only
    found: List[Any] = []
    for settings in FLAGS:
        chosen = [one for one in scenarios() if one.settings == settings and only in one.name]
        if chosen:
            with tempfile.TemporaryDirectory(prefix="krm-hpa-") as folder:
                found += record(settings, chosen, Path(folder))
    head = {
        "module": "k8s.io/kubernetes",
        "version": "v1.36.3",
        "binary": "kube-controller-manager",
        "command": "PYTHONPATH=tests python tests/oracles/hpa/record.py",
        "flags": controller_flags("default"),
        "flags of settings": {name: controller_flags(name) for name in FLAGS},
        "machine": platform.machine(),
    }
    if only:
        json.dump(found, sys.stdout, indent=1)
        return 0
    lines = ",\n".join(json.dumps(one, separators=(",", ":")) for one in found)
    OUT.write_text(f'{{"head":{json.dumps(head)},\n"scenarios":[\n{lines}\n]}}\n')
    print(f"{len(found)} scenarios, {sum(len(one['turns']) for one in found)} turns: {OUT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
