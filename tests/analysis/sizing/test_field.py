"""VPA's and krr's advice: equal to the printed digit with what their own code answers (tests/oracles)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List

import pytest
from krm.analysis.sizing import krr, vpa
from krm.model.quantities import written_bytes, written_nanos

ORACLES = Path(__file__).resolve().parents[2] / "oracles"
VPA: Any = json.loads((ORACLES / "vpa.json").read_text())
KRR: Any = json.loads((ORACLES / "krr.json").read_text())


def pods_of(trace: Dict[str, Any], rows: List[Dict[str, Any]]) -> List[vpa.Pod]:
    found = []
    for row in rows:
        at = [trace["Start"] + (row["Begin"] + place) * trace["Step"] for place in range(len(row["CPU"]))]
        samples = [vpa.Sample(*one) for one in zip(at, row["CPU"], row["Memory"]) if one[1] >= 0]
        ooms = [vpa.Oom(trace["Start"] + one["At"], one["Request"]) for one in row["Kills"] or []]
        found.append((samples, ooms))
    return found


@pytest.mark.parametrize("number", range(len(VPA["Traces"])))
def test_vpa_is_reproduced(number: int) -> None:
    trace = VPA["Traces"][number]
    for name, rows in trace["Containers"].items():
        state = vpa.state_of(pods_of(trace, rows))
        advice = state.advice(len(trace["Containers"]))
        told = {
            kind: {
                "cpu": written_nanos(getattr(advice.cpu, kind) * 10**6),
                "memory": written_bytes(getattr(advice.memory, kind)),
            }
            for kind in ("target", "lower", "upper")
        }
        assert told == trace["Advice"][name], (trace["Name"], name)


def test_there_are_enough_traces() -> None:
    assert VPA["Version"] == "v1.8.1"
    assert len(VPA["Traces"]) >= 30
    assert len(KRR["cases"]) >= 30
    assert any(row["Kills"] for trace in VPA["Traces"] for rows in trace["Containers"].values() for row in rows)


@pytest.mark.parametrize("number", range(len(KRR["cases"])))
def test_krr_is_reproduced(number: int) -> None:
    case = KRR["cases"][number]
    scaled = case["hpa_cpu_target"] is not None
    # Its cores are millicores here: to a millionth, so that no rounding of the multiplication is rounded up.
    cores = [sorted(round(value * 1000, 9) for value in pod["cpu"]) for pod in case["pods"].values()]
    memory = [sorted(pod["memory"]) for pod in case["pods"].values()]
    for name, limited in (("simple", False), ("simple_limit", True)):
        for wanted, part, unit in (
            (case["expected"][name]["cpu"], krr.cpu(cores, limited, scaled), 1000),
            (case["expected"][name]["memory"], krr.memory(memory, False), 1),
        ):
            for field in ("request", "limit"):
                value = getattr(part, field)
                assert (None if value is None else value / unit) == wanted[field], (case["name"], name, field)
            assert part.info == wanted["info"]
