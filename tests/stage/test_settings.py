"""Settings: flags win over variables, every default is told, a wrong value is a sentence."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Mapping, Sequence

import pytest
from krm.model.durations import parse_duration
from krm.model.kinds import DEFAULT_KINDS
from krm.stage.common import Common, FromApiServer
from krm.stage.settings import Durations, parse_durations, parse_settings, setting


@dataclass(frozen=True)
class Settings(FromApiServer):
    """A stage of tests."""

    every: Durations = setting(Durations(60.0), "Between two turns.", parse_durations(60.0))
    fresh_within: float = setting(1.0, "A span.", parse_duration)


def parsed(argv: Sequence[str], env: Mapping[str, str]) -> Settings:
    return parse_settings(Settings, argv, env, "krm test")


def test_a_flag_wins_over_its_variable() -> None:
    env = {"KRM_REDIS": "redis://variable", "KRM_CLUSTER": "variable"}
    settings = parsed(["--redis", "redis://flag"], env)
    assert (settings.redis, settings.cluster) == ("redis://flag", "variable")


def test_nothing_given_is_every_default() -> None:
    assert parsed([], {}) == Settings()


def test_an_empty_variable_is_as_if_it_were_not_set() -> None:
    assert parsed([], {"KRM_NAMESPACES": "", "KRM_IN_CLUSTER": ""}) == Settings()


def test_kinds_come_by_position_by_comma_and_by_variable() -> None:
    assert parsed(["pods", "nodes"], {}).kinds == ("pods", "nodes")
    assert parsed(["pods,deployments.apps"], {}).kinds == ("pods", "deployments.apps")
    assert parsed([], {"KRM_KINDS": "pods, nodes pods"}).kinds == ("pods", "nodes")


def test_intervals_are_settable_for_single_kinds() -> None:
    every = parsed(["--every", "5m,pods=10s", "--every", "nodes=250ms"], {}).every
    assert [every.of(kind) for kind in ("pods", "nodes", "jobs.batch")] == [10.0, 0.25, 300.0]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--every", "soon"], "'soon' is no duration"),
        (["--env-values", "show"], "'show' is none of redact, keep"),
        (["secrets"], "secrets are never cached"),
        (["Pods"], "'Pods' is no kind"),
        (["--metrics-port", "x"], "--metrics-port"),
    ],
)
def test_a_wrong_value_is_told_with_status_2(
    argv: Sequence[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed(argv, {})
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_help_states_every_default_and_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(["--help"], {})
    said = capsys.readouterr().out
    for one in fields(Common):
        assert f"KRM_{one.name.upper()}" in said
    assert said.count("Default:") == len(fields(Settings))


def test_help_can_be_read(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        parsed(["--help"], {})
    said = capsys.readouterr().out
    assert not re.search(r"\bVALUE\b", said)
    for option in (
        "--redis REDIS",
        "--every SPAN",
        "--fresh-within SPAN",
        "--metrics-port PORT",
        "--namespaces NAMESPACES",
    ):
        assert option in said
    assert "a pipeline each. Default: all." in " ".join(said.split())
    words = said.split()
    for kind in DEFAULT_KINDS:
        assert f"{kind}," in words or f"{kind}." in words, kind  # never broken inside
