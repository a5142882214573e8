"""The agent's settings: every default is in --help, and flags and variables mean the same."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import List, Mapping

import pytest
from krm.agent.__main__ import Settings, asked
from krm.stage.settings import parse_settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "agent.md"


def settings(arguments: List[str], env: Mapping[str, str]) -> Settings:
    return parse_settings(Settings, arguments, env, "krm agent")


def test_help_states_every_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        settings(["--help"], {})
    told = re.sub(r"\s+", " ", capsys.readouterr().out)
    for one in fields(Settings):
        default = one.default if one.default != "" else "none"
        assert f"Default: {default}. (KRM_{one.name.upper()})" in told, one.name
        assert f"--{one.name.replace('_', '-')}" in told
    assert "-o OUTPUT" in told or "-o, --output" in told


def test_flags_and_variables_say_the_same() -> None:
    by_flag = settings(
        ["--runtime-socket", "/a.sock", "--runtime-socket", "/b.sock", "--every", "2s", "--commands", "-o", "json"],
        {},
    )
    by_variable = settings(
        [],
        {"KRM_RUNTIME_SOCKET": "/a.sock,/b.sock", "KRM_EVERY": "2", "KRM_COMMANDS": "yes", "KRM_OUTPUT": "json"},
    )
    assert by_flag == by_variable
    assert asked(by_flag).runtime_sockets == ("/a.sock", "/b.sock")


def test_the_node_is_the_named_one_then_the_environments_then_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_NAME", "of-the-pod")
    assert asked(settings(["--node", "given"], {})).node == "given"
    assert asked(settings([], {})).node == "of-the-pod"
    monkeypatch.delenv("NODE_NAME")
    monkeypatch.setattr("socket.gethostname", lambda: "of-the-host")
    assert asked(settings([], {})).node == "of-the-host"


def test_the_page_names_settings_that_exist() -> None:
    known = {"--" + one.name.replace("_", "-") for one in fields(Settings)}
    named = set(re.findall(r"(?<![\w-])--[a-z]+(?:-[a-z]+)*", PAGE.read_text()))
    of_others = {"--agent-ca", "--agent-token-file", "--agent-namespace", "--from-file", "--password"}
    of_others |= {"--cacert", "--connect-to"}  # curl's
    assert named <= known | of_others, named - known


@pytest.mark.parametrize("port", ["70000", "-1", "x"])
def test_a_port_that_is_none_is_told_at_the_start(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        settings([f"--port={port}"], {})
    assert ended.value.code == 2
    assert "is no port: a number from 0 to 65535" in capsys.readouterr().err
