#!/usr/bin/env python3
"""Build the binaries of a real Kubernetes control plane into a cache outside the tree.

The Go modules in `build/` pin every source by go.mod and go.sum. Beside each binary lies a stamp,
the hash of the module, the flags and the version: a changed module rebuilds, an unchanged one does
not. The stamp is written last, so an interrupted build never looks complete.
"""

import argparse
import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

MODULES = Path(__file__).resolve().parent / "build"
NO_GO = 3
BUILD_FAILED = 1


class Binary(NamedTuple):
    """One command to build: `name` in cache folder `folder`, from package `package` of `module`."""

    name: str
    folder: str
    module: str
    package: str
    tags: str
    ldflags: str


# minor version -> (full version, build tags, commands). 1.30's controller manager still links the
# cloud providers that lived in the tree, unless it is told not to.
KUBERNETES: Dict[str, Tuple[str, str, Tuple[str, ...]]] = {
    "1.36": (
        "v1.36.3",
        "",
        ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"),
    ),
    "1.34": ("v1.34.4", "", ("kube-apiserver", "kube-controller-manager", "kube-scheduler")),
    "1.30": (
        "v1.30.14",
        "providerless",
        ("kube-apiserver", "kube-controller-manager", "kube-scheduler"),
    ),
}
DEFAULT_VERSION = "1.36"
ETCD = Binary("etcd", "etcd", "etcd", "go.etcd.io/etcd/server/v3", "", "-s -w")
KWOK = Binary(
    "kwok",
    "kwok",
    "kwok",
    "sigs.k8s.io/kwok/cmd/kwok",
    "",
    "-s -w -X sigs.k8s.io/kwok/pkg/consts.Version=v0.8.0",
)
# What answers metrics.k8s.io in a real cluster, for tests of krm's own answers.
METRICS_SERVER = Binary(
    "metrics-server",
    "metrics-server",
    "metrics-server",
    "sigs.k8s.io/metrics-server/cmd/metrics-server",
    "",
    "-s -w -X k8s.io/client-go/pkg/version.gitVersion=v0.9.0",
)
# Minor versions with a kubelet for tests/node. Its module is its own, so that what it needs beside the
# control plane's sources leaves their stamps alone.
KUBELETS = ("1.36",)
# A client-go program with an informer, for tests of krm's server: it reads, and says what it was told.
INFORMER = Binary("informer", "informer", "informer", ".", "", "-s -w")


def version_flags(full: str) -> str:
    """Linker flags that tell a Kubernetes command its version.

    Without them it calls itself v0.0.0, refuses clients and disables feature gates.
    """
    major, minor, _ = full.lstrip("v").split(".")
    values = {"gitVersion": full, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    sets = [f"-X {package}.{key}={value}" for package in packages for key, value in values.items()]
    return " ".join(["-s", "-w", *sets])


def kubernetes_binaries(version: str) -> List[Binary]:
    """The commands of one minor version, the API server first: it is the one most tests need."""
    full, tags, names = KUBERNETES[version]
    package, flags = "k8s.io/kubernetes/cmd", version_flags(full)
    binaries = [Binary(name, version, f"kubernetes-{version}", f"{package}/{name}", tags, flags) for name in names]
    if version in KUBELETS:
        binaries.append(Binary("kubelet", version, f"kubelet-{version}", f"{package}/kubelet", tags, flags))
    return binaries


def wanted(versions: Sequence[str], only: Sequence[str] = ()) -> List[Binary]:
    """Everything `versions` need, and what serves any version; `only` keeps the commands with these names."""
    binaries = [ETCD, KWOK, INFORMER]
    for version in versions:
        binaries.extend(kubernetes_binaries(version))
    binaries.append(METRICS_SERVER)
    return [binary for binary in binaries if not only or binary.name in only]


def cache_folder() -> Path:
    """Where the binaries lie: $KRM_CONTROL_PLANE_CACHE, or krm/control-plane in the user's cache."""
    named = os.environ.get("KRM_CONTROL_PLANE_CACHE")
    if named:
        return Path(named).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "krm" / "control-plane"


def find_binary(name: str, version: str) -> Optional[Path]:
    """The finished, current binary `name` for Kubernetes `version`, or None."""
    for binary in wanted([version], [name]):
        if is_current(binary):
            return target(binary)
    return None


def target(binary: Binary) -> Path:
    return cache_folder() / binary.folder / binary.name


def stamp_file(binary: Binary) -> Path:
    path = target(binary)
    return path.with_name(path.name + ".stamp")


def stamp(binary: Binary) -> str:
    """The hash of all that decides what `binary` is, but for the Go release that compiles it."""
    digest = hashlib.sha256("\0".join(binary).encode())
    folder = MODULES / binary.module
    for path in (folder / "go.mod", folder / "go.sum", folder / "main.go"):
        if path.exists():  # where the sources are another module's there is no main.go
            digest.update(path.read_bytes())
    return digest.hexdigest()


def is_current(binary: Binary) -> bool:
    try:
        return stamp_file(binary).read_text() == stamp(binary) and os.access(target(binary), os.X_OK)
    except OSError:
        return False


def build(binary: Binary, go: str) -> None:
    """Compile to a name of its own and rename; raises CalledProcessError when Go refuses."""
    path, mark = target(binary), stamp_file(binary)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name("." + path.name + ".partial")
    command = [go, "build", "-mod=readonly", "-trimpath", "-tags", binary.tags]
    command += ["-ldflags", binary.ldflags, "-o", str(partial), binary.package]
    settings = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}
    try:
        subprocess.run(command, cwd=str(MODULES / binary.module), env=settings, check=True)
        with contextlib.suppress(FileNotFoundError):
            mark.unlink()
        os.replace(str(partial), str(path))
        mark.write_text(stamp(binary))
    finally:
        with contextlib.suppress(FileNotFoundError):
            partial.unlink()


@contextlib.contextmanager
def one_build_at_a_time() -> Iterator[None]:
    """Hold the cache's lock; the kernel drops it when the process dies, however it dies."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    with open(str(cache_folder() / ".lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another build", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build_missing(binaries: Sequence[Binary], go: str) -> int:
    """Build what is not current, a line for each; the exit code."""
    for binary in binaries:
        label = f"{binary.folder}/{binary.name}"
        if is_current(binary):
            print(f"{label}: there already", flush=True)
            continue
        began = time.monotonic()
        try:
            build(binary, go)
        except subprocess.CalledProcessError as error:
            print(f"{label}: go build failed with exit code {error.returncode}", file=sys.stderr)
            return BUILD_FAILED
        print(f"{label}: built in {time.monotonic() - began:.1f} s", flush=True)
    return 0


def arguments(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    names = sorted({binary.name for binary in wanted(list(KUBERNETES))})
    parser = argparse.ArgumentParser(
        description="Build etcd, kwok and the Kubernetes control plane that the tests run.",
        epilog="The cache is $KRM_CONTROL_PLANE_CACHE, else krm/control-plane in $XDG_CACHE_HOME or ~/.cache.",
    )
    parser.add_argument(
        "--version",
        nargs="+",
        default=[DEFAULT_VERSION],
        choices=list(KUBERNETES),
        metavar="X.Y",
        help=f"Kubernetes versions to build, of {', '.join(KUBERNETES)} (default: {DEFAULT_VERSION})",
    )
    parser.add_argument("--only", nargs="+", default=[], choices=names, metavar="NAME", help="only these commands")
    parser.add_argument("--list", action="store_true", help="print what is there or missing; build nothing")
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> int:
    options = arguments(argv)
    binaries = wanted(options.version, options.only)
    if options.list:
        for binary in binaries:
            print(f"{'there  ' if is_current(binary) else 'missing'} {target(binary)}")
        return 0
    go = shutil.which("go")
    if go is None and not all(is_current(binary) for binary in binaries):
        print("Go is not on PATH: install Go 1.26 or newer to build the control plane.", file=sys.stderr)
        return NO_GO
    with one_build_at_a_time():
        return build_missing(binaries, go or "go")


if __name__ == "__main__":
    sys.exit(main())
