"""docs/agent.md prints the tables of figures and series as they are, and a DaemonSet that starts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, List

import pytest
from krm.agent.__main__ import Settings
from krm.agent.access import Files, refused
from krm.agent.exposition import _HELP, SERIES
from krm.agent.figures import FIGURES
from krm.collector.sources.agent import APP, PORT
from krm.stage.settings import parse_settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "agent.md"


def section(title: str) -> str:
    return PAGE.read_text().split(f"## {title}\n")[1].split("\n## ")[0]


def test_the_page_has_the_table_of_figures() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([\w-]+) \| (.*) \| `(\S+)` \|$", section("Figures"), re.MULTILINE)
    told = []
    for name, one in FIGURES.items():
        more = ",".join(f'{key}="{value}"' for key, value in SERIES[name].more)
        series = SERIES[name].name + (f"{{{more}}}" if more else "")
        told.append((name, one.kind, one.unit or "-", one.what, series))
    assert rows == told


def test_the_page_has_every_other_series() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", section("Figures"), re.MULTILINE))
    assert {name: text for name, text in rows.items() if "|" not in text} == _HELP


def manifest() -> List[Dict[str, Any]]:
    yaml = pytest.importorskip("yaml")
    (block,) = re.findall(r"```yaml\n(.*?)```", section("To apply"), re.DOTALL)
    return list(yaml.safe_load_all(block))


def test_the_manifest_gives_no_rights() -> None:
    namespace, daemons, policy = manifest()
    spec = daemons["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert spec["automountServiceAccountToken"] is False
    assert not {"hostPID", "hostNetwork", "hostIPC", "serviceAccountName"} & set(spec)
    assert spec["securityContext"]["runAsUser"] == 64123
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert all(mount["readOnly"] for mount in container["volumeMounts"])
    assert {one["metadata"].get("namespace", "krm-agent") for one in (namespace, daemons, policy)} == {"krm-agent"}
    assert policy["spec"]["podSelector"] == {}
    assert "egress" not in policy["spec"]  # it asks nobody
    assert {one["hostPath"]["path"] for one in spec["volumes"] if "hostPath" in one} == {"/proc", "/sys/fs/cgroup"}


def test_the_manifest_is_one_that_the_agent_and_the_collector_take() -> None:
    _, daemons, _ = manifest()
    template = daemons["spec"]["template"]
    (container,) = template["spec"]["containers"]
    settings = parse_settings(Settings, container["args"], {}, "krm agent")
    assert refused(settings.address, Files(settings.cert, settings.key, settings.token_file)) == ""
    assert [port["containerPort"] for port in container["ports"]] == [settings.port] == [PORT]
    assert template["metadata"]["labels"] == daemons["spec"]["selector"]["matchLabels"]
    assert template["metadata"]["labels"]["app.kubernetes.io/name"] == APP
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {settings.procfs, settings.cgroupfs, str(Path(settings.cert).parent)} == mounted
