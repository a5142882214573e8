"""The images, without a container engine: each Dockerfile's steps are read and done in a fresh venv."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
STAGES = ("streamer", "verifier", "aggregator", "collector", "agent", "server")
# Runs on each node of a cluster, as a DaemonSet; compose is for one machine beside it.
NOT_COMPOSED = frozenset({"agent"})


def instructions(stage: str) -> List[Tuple[str, str]]:
    """[(INSTRUCTION, rest)], without comments."""
    lines = (ROOT / stage / "Dockerfile").read_text().splitlines()
    found = [line.split(None, 1) for line in lines if line.strip() and not line.startswith("#")]
    return [(words[0], words[1]) for words in found]


def rest_of(stage: str, instruction: str) -> List[str]:
    return [rest for name, rest in instructions(stage) if name == instruction]


def requirements(stage: str) -> List[str]:
    (install,) = rest_of(stage, "RUN")
    words = shlex.split(install)
    assert words[:2] == ["pip", "install"]
    return [word for word in words[2:] if re.match(r"^[\w-]+>=", word)]


def portions(stage: str) -> List[str]:
    return [words[0] for words in map(str.split, rest_of(stage, "COPY")) if words[0].endswith("/krm")]


@pytest.mark.parametrize("stage", STAGES)
def test_an_image_runs_as_a_number_that_is_not_root(stage: str) -> None:
    assert rest_of(stage, "USER") == ["64123:64123"]
    assert rest_of(stage, "ENTRYPOINT") == [f'["python", "-m", "krm.{stage}"]']


@pytest.mark.parametrize("stage", STAGES)
def test_the_bounds_are_those_of_pyproject(stage: str) -> None:
    declared = re.findall(r'"([a-z0-9-]+>=[0-9.]+)[";]', (ROOT / "pyproject.toml").read_text())
    assert requirements(stage)
    assert set(requirements(stage)) <= set(declared)


def test_the_aggregator_holds_nothing_that_speaks_to_an_api_server() -> None:
    assert "cluster/krm" not in portions("aggregator")
    assert not any(requirement.startswith("kubernetes") for requirement in requirements("aggregator"))


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_a_readme_of_at_most_a_page(stage: str) -> None:
    text = (ROOT / stage / "README.md").read_text()
    assert f"`krm.{stage}`" in text
    assert len(text.splitlines()) <= 60


def composed() -> Dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    services: Dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return services


def test_compose_runs_every_stage_with_no_more_than_it_needs() -> None:
    services = composed()
    assert set(services) == {"redis", *STAGES} - NOT_COMPOSED
    for name, service in services.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
    assert "api" not in services["server"]["networks"]
    assert "volumes" not in services["aggregator"]


def test_the_server_of_compose_has_tls_and_asks_for_tokens(tmp_path: Path) -> None:
    """Its command line is one that the server takes: it gets as far as the files that it is given."""
    command = composed()["server"]["command"]
    done = subprocess.run(
        [sys.executable, "-m", "krm.server", *command],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=str(tmp_path),
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "krm server: /files/tls.crt: No such file or directory"
    assert "--auth=token-file" in command


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_starts_with_only_what_its_image_holds(stage: str, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, timeout=120)
    python = str(venv / "bin" / "python")
    pip = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--target",
        str(tmp_path / "packages"),
    ]
    subprocess.run([*pip, *requirements(stage)], check=True, timeout=300, stdin=subprocess.DEVNULL)
    for portion in portions(stage):
        for room in (ROOT / portion).iterdir():
            if room.is_dir() and room.name != "__pycache__":
                shutil.copytree(str(room), str(tmp_path / "srv" / "krm" / room.name))
    # As in the image: nothing of this checkout, and a root that refuses to be written to.
    environment: Dict[str, str] = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "srv"), str(tmp_path / "packages")]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for arguments, code in (["--help"], 0), (["--redis", "redis://127.0.0.1:1/0"], 1):
        if code and stage != "server":
            continue  # a stage waits for its Redis
        done = subprocess.run(
            [python, "-m", f"krm.{stage}", *arguments],
            env=environment,
            cwd=str(tmp_path),
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr  # as of a package that is missing
    assert "usage" in done.stdout.lower() or "127.0.0.1:1" in done.stderr
