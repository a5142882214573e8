#!/usr/bin/env python3
"""Make a virtual environment with krm and its tools in it; `make setup` runs this.

The newest final CPython from 3.8 up is taken, wherever it lies: PATH, pyenv, uv. Needs nothing but
the Python that runs it (3.6 is enough for that), so that a bare machine can start here.
"""

import argparse
import glob
import os
import shutil
import subprocess
import sys

OLDEST = (3, 8)
# Newer than today's newest: names on PATH are tried, so asking for one that is absent costs nothing.
NEWEST_MINOR = 20
# What a Python must bring to make a venv; Debian ships ensurepip apart, in python3-venv.
PROBE = (
    "import sys, venv, ensurepip, ssl;"
    "v = sys.version_info;"
    "print(v[0], v[1], v[2], v[3], sys.implementation.name, sys.prefix == sys.base_prefix)"
)
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def commands():
    """Paths that may be a Python: names on PATH, then pyenv's and uv's folders."""
    names = ["python3.%d" % minor for minor in range(NEWEST_MINOR, OLDEST[1] - 1, -1)] + ["python3", "python"]
    for name in names:
        found = shutil.which(name)
        if found:
            yield found
    pyenv = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    yield from glob.glob(os.path.join(pyenv, "versions", "*", "bin", "python3"))
    if shutil.which("uv"):
        answer = subprocess.run(["uv", "python", "dir"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        folder = answer.stdout.decode().strip()
        if answer.returncode == 0 and folder:
            yield from glob.glob(os.path.join(folder, "*", "bin", "python3"))


def version(command):
    """(major, minor, micro) of a usable Python, else None: a pyenv shim may stand for no Python at all."""
    try:
        answer = subprocess.run(
            [command, "-c", PROBE],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    words = answer.stdout.decode().split()
    if answer.returncode != 0 or len(words) != 6 or words[3:] != ["final", "cpython", "True"]:
        return None
    return tuple(int(word) for word in words[:3])


def candidates(wanted):
    """[(version, command)], newest first, one a minor version; `wanted` ("3.8") keeps that one alone."""
    found = {}
    for command in commands():
        seen = version(command)
        if seen is None or seen < OLDEST or (wanted and "%d.%d" % seen[:2] != wanted):
            continue
        if seen[:2] not in found or found[seen[:2]][0] < seen:
            found[seen[:2]] = (seen, command)
    return sorted(found.values(), reverse=True)


def python_of(folder):
    return os.path.join(folder, "bin", "python")


def install(folder, command, extras):
    """True once krm stands in the venv, editable, with `extras`."""
    python = python_of(folder)
    if version_of_venv(python) != version(command):
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([command, "-m", "venv", folder], check=True)
    ask = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--editable", ".[%s]" % extras]
    return subprocess.run(ask, cwd=ROOT, stdin=subprocess.DEVNULL).returncode == 0


def version_of_venv(python):
    """Of the Python in the folder, None where there is none or its base has gone."""
    probe = "import sys; print(*sys.version_info[:3])"
    try:
        answer = subprocess.run([python, "-c", probe], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        return None
    return tuple(int(word) for word in answer.stdout.split()) if answer.returncode == 0 else None


def attempts(pythons, extras):
    """What to try, in order: the newest Python, the one before it, then fewer extras."""
    tries = [(python, extras) for python in pythons[:2]]
    if "all" in extras.split(","):
        without = ",".join(["cluster"] + [extra for extra in extras.split(",") if extra != "all"])
        tries.append((pythons[0], without))
    return tries


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", default=".venv", help="the folder (default: .venv)")
    parser.add_argument(
        "--python", default="", metavar="3.N", help="this version alone (default: the newest found)"
    )
    parser.add_argument("--extras", default="all,dev", help="extras of pyproject.toml (default: all,dev)")
    options = parser.parse_args()
    pythons = candidates(options.python)
    if not pythons:
        wish = options.python or "3.%d or newer" % OLDEST[1]
        print("No Python %s with venv and ensurepip was found on PATH, in pyenv or in uv." % wish, file=sys.stderr)
        print("On Debian and Ubuntu: apt-get install python3 python3-venv", file=sys.stderr)
        return 1
    folder = os.path.join(ROOT, options.venv)
    for (number, command), extras in attempts(pythons, options.extras):
        label = "Python %d.%d.%d with %s" % (*number, extras)
        print("%s: installing on %s" % (options.venv, label), flush=True)
        if install(folder, command, extras):
            if extras != options.extras:
                print("NOTE: %s could not be had, so %s is what this venv holds." % (options.extras, extras))
            return 0
        print("%s could not be installed; pip says why above." % label, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
