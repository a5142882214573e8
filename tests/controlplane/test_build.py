"""build.py with a go that only pretends, so that the rules of the cache are tested in no time."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Dict, List

import pytest
from controlplane import build

SCRIPT = Path(build.__file__)
TESTS = SCRIPT.parents[1]
# Writes its arguments as the binary, as go would write what it built.
GO = """#!/bin/sh
echo ran >> "$GO_RUNS"
sleep "${GO_SECONDS:-0}"
[ -n "$GO_FAILS" ] && exit 7
for word; do [ "$last" = -o ] && out=$word; last=$word; done
echo "$@" > "$out"
[ -n "$GO_DIES" ] && kill -9 $PPID
chmod +x "$out"
"""


class Workshop:
    """An empty cache, and a PATH whose only go is the pretended one."""

    def __init__(self, folder: Path) -> None:
        self.cache, self.runs, self.path = folder / "cache", folder / "runs", folder / "bin"
        self.path.mkdir()
        go = self.path / "go"
        go.write_text(GO)
        go.chmod(0o755)
        self.environment = {**os.environ, "KRM_CONTROL_PLANE_CACHE": str(self.cache), "GO_RUNS": str(self.runs)}
        self.environment["PATH"] = f"{self.path}{os.pathsep}{os.defpath}"

    def run(self, *words: str, script: Path = SCRIPT, **more: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, str(script), *words]
        environment: Dict[str, str] = {**self.environment, **more}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    def built(self) -> int:
        """How often go ran."""
        return len(self.runs.read_text().splitlines()) if self.runs.exists() else 0

    def left(self) -> List[str]:
        return sorted(str(path.relative_to(self.cache)) for path in self.cache.rglob("*") if path.is_file())


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def test_the_default_is_one_version_with_all_that_stands_beside_it(workshop: Workshop) -> None:
    done = workshop.run()
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "etcd/etcd",
        "kwok/kwok",
        "informer/informer",
        "1.36/kube-apiserver",
        "1.36/kube-controller-manager",
        "1.36/kube-scheduler",
        "1.36/kubectl",
        "1.36/kubelet",
        "metrics-server/metrics-server",
    ]
    assert all("built in" in line for line in lines)


def test_what_is_there_is_not_built_again(workshop: Workshop) -> None:
    workshop.run("--only", "etcd")
    done = workshop.run("--only", "etcd")
    assert (done.stdout, workshop.built()) == ("etcd/etcd: there already\n", 1)


def test_a_changed_module_is_built_again(workshop: Workshop, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(str(SCRIPT.parent / "build"), str(copy / "build"))
    script = Path(shutil.copy(str(SCRIPT), str(copy)))
    workshop.run("--only", "etcd", script=script)
    with (copy / "build" / "etcd" / "go.sum").open("a") as file:
        file.write("another line\n")
    assert "missing" in workshop.run("--only", "etcd", "--list", script=script).stdout
    workshop.run("--only", "etcd", script=script)
    assert workshop.built() == 2
    assert "there" in workshop.run("--only", "etcd", "--list", script=script).stdout


def test_the_version_and_the_tags_reach_the_compiler(workshop: Workshop) -> None:
    workshop.run("--version", "1.30", "--only", "kube-controller-manager")
    words = (workshop.cache / "1.30" / "kube-controller-manager").read_text()
    assert "-X k8s.io/component-base/version.gitVersion=v1.30.14" in words
    assert "-X k8s.io/component-base/version.gitMinor=30" in words
    assert "-tags providerless" in words


def test_a_failed_build_leaves_nothing_and_says_so(workshop: Workshop) -> None:
    done = workshop.run("--only", "etcd", GO_FAILS="1")
    assert done.returncode == 1
    assert "etcd/etcd: go build failed with exit code 7" in done.stderr
    assert workshop.left() == [".lock"]


def test_a_killed_build_is_not_taken_for_a_finished_one(workshop: Workshop) -> None:
    assert workshop.run("--only", "etcd", GO_DIES="1").returncode == -9
    assert "missing" in workshop.run("--only", "etcd", "--list").stdout
    assert workshop.run("--only", "etcd").returncode == 0
    assert workshop.left() == [".lock", "etcd/etcd", "etcd/etcd.stamp"]


def test_two_at_once_build_each_binary_once(workshop: Workshop) -> None:
    command = [sys.executable, str(SCRIPT), "--only", "etcd", "kwok"]
    environment = {**workshop.environment, "GO_SECONDS": "0.5"}  # so that both find nothing there
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [child.wait(60) for child in both] == [0, 0]
    assert workshop.built() == 2


def test_without_go_it_says_what_to_install(workshop: Workshop) -> None:
    (workshop.path / "go").unlink()
    done = workshop.run("--only", "etcd", PATH=str(workshop.path))
    assert done.returncode == 3
    assert done.stderr == "Go is not on PATH: install Go 1.26 or newer to build the control plane.\n"


def test_an_unknown_version_is_a_usage_error(workshop: Workshop) -> None:
    done = workshop.run("--version", "1.2")
    assert done.returncode == 2
    assert "1.36" in done.stderr


def test_every_module_pins_the_version_that_is_named(workshop: Workshop) -> None:
    for minor, (full, _, _) in build.KUBERNETES.items():
        for module in {binary.module for binary in build.kubernetes_binaries(minor)}:
            assert f"k8s.io/kubernetes {full}" in (build.MODULES / module / "go.mod").read_text()
            assert (build.MODULES / module / "go.sum").exists()


@pytest.mark.parametrize(("ci", "outcome"), [("", "1 skipped"), ("true", "1 error")])
def test_tests_without_binaries_skip_here_and_fail_in_ci(workshop: Workshop, ci: str, outcome: str) -> None:
    one = f"{SCRIPT.parent / 'test_plane.py'}::test_it_is_the_version_it_was_built_as"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", one]
    environment = {**workshop.environment, "CI": ci}
    environment.pop("KRM_TEST_KUBERNETES", None)
    done = subprocess.run(
        command, cwd=str(TESTS.parent), env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert outcome in done.stdout
    assert "run `make control-plane`" in done.stdout
