"""Which gate a cluster gets, and settings by which nobody could be let in rightly."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Sequence

import pytest
from krm.server.gates import BadGate, Gates, GateSettings, check
from server.asking import bearer, request

TOKEN = {"prod": "p" * 16, "stage": "s" * 16}


def nobody(_cluster: str, _pem: str) -> None:
    """No handshake to tell."""


@pytest.mark.parametrize(
    ("settings", "clusters", "says"),
    [
        (GateSettings("token-file"), ["a"], "a --token-file for each cluster"),
        (GateSettings("token-file", ("x",)), ["a", "b"], "a --token-file for each cluster"),
        (GateSettings("kubernetes", context=("x",)), ["a", "b"], "a --context for each cluster"),
        (GateSettings("kubernetes"), ["a", "b"], "a --context for each cluster"),
        (GateSettings("kubernetes", context=("x", "x")), ["a", "b"], "twice"),
        (GateSettings("kubernetes", in_cluster=True), ["a", "b"], "--in-cluster"),
        (GateSettings("kubernetes", in_cluster=True, context=("x",)), ["a"], "--in-cluster"),
    ],
)
def test_settings_that_leave_open_whose_gate_is_whose_are_refused(
    settings: GateSettings, clusters: Sequence[str], says: str
) -> None:
    with pytest.raises(BadGate, match=says):
        check(settings, clusters)


def test_a_token_of_one_cluster_is_worth_nothing_at_another(tmp_path: Path) -> None:
    files = []
    for name, token in TOKEN.items():
        path = tmp_path / f"{name}.csv"
        path.write_text(f"{token},robot,u,,*/*\n")
        path.chmod(0o600)
        files.append(str(path))

    async def opened() -> None:
        gates = await Gates(
            GateSettings("token-file", tuple(files)), list(TOKEN), nobody, lambda name: set()
        ).open()
        for gate, name in zip(gates, TOKEN):
            for owner, token in TOKEN.items():
                if owner == name:
                    assert (await gate.user(request(bearer(token)), name)).name == "robot"
                else:
                    with pytest.raises(Exception, match="Unauthorized"):
                        await gate.user(request(bearer(token)), name)

    asyncio.run(opened())


def test_a_kubeconfig_that_cannot_be_read_is_told_at_the_start(tmp_path: Path) -> None:
    async def opened() -> None:
        settings = GateSettings("kubernetes", kubeconfig=str(tmp_path / "none"))
        with pytest.raises(BadGate, match="who may read prod"):
            await Gates(settings, ["prod"], nobody, lambda name: set()).open()

    asyncio.run(opened())
