"""/krm/v1/bill: a closed month for who has the right to it, and for nobody else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest
import server_process
from billed import BANK, NODE, SHOP, bill, hour
from kept_cluster import KeptCluster
from krm.analysis.billing.bill import document
from krm.store.bills import Bills, Closed

Served = Tuple[server_process.Server, str]
READS = {"accounting": "/krm/v1/bill", "admin": "*/*", "pods": "*/pods", "other": "/metrics", "nobody": ""}


def token(who: str) -> str:
    return f"{who}-token-0123456789"


def closed(cluster: str, version: int, text: str) -> Closed:
    labels: Dict[str, Any] = {"nodes": {}, "namespaces": {}, "pods": {}}
    return Closed(cluster, "2026-10", version, "2026-11-02T00:00:00Z", "", text, "{}", labels)


@pytest.fixture
def served(kept: KeptCluster, tmp_path: Path) -> Iterator[Served]:
    kept.kind("pods", {})
    server_process.tell_facts(kept)
    text = document(bill([hour(0, [NODE], [SHOP, BANK])])).decode()
    folder = Bills(str(tmp_path / "bills"))
    folder.write(closed(kept.name, 1, text.replace("0.13", "0.14")))
    folder.write(closed(kept.name, 2, text))
    file = tmp_path / "tokens.csv"
    file.write_text("".join(f'{token(who)},{who},,,"{reads}"\n' for who, reads in READS.items()))
    file.chmod(0o600)
    options = ("--auth", "token-file", "--token-file", str(file), "--bills", str(tmp_path / "bills"))
    with server_process.running(kept, *options) as server:
        server.ready()
        yield server, text


def ask(server: server_process.Server, who: str, query: str) -> Tuple[int, Dict[str, str], bytes]:
    answer = server.get(f"/krm/v1/bill?{query}", {"Authorization": f"Bearer {token(who)}"})
    return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.body


def test_accounting_reads_what_was_closed_byte_for_byte(served: Served) -> None:
    server, text = served
    status, headers, body = ask(server, "accounting", "month=2026-10")
    assert (status, body.decode()) == (200, text)
    assert headers["krm-bill-version"] == "2"
    _, headers, first = ask(server, "accounting", "month=2026-10&version=1")
    assert (headers["krm-bill-version"], b"0.14" in first) == ("1", True)
    status, headers, body = ask(server, "accounting", "month=2026-10&format=csv")
    assert (status, headers["content-type"].split(";")[0]) == (200, "text/csv")
    assert len(body.splitlines()) == 1 + len(json.loads(text)["lines"])


def test_other_rights_open_no_bill(served: Served) -> None:
    for who, code in (("admin", 200), ("pods", 403), ("other", 403), ("nobody", 403)):
        status, _, body = ask(served[0], who, "month=2026-10")
        assert (status, b"total" in body) == (code, code == 200), who


def test_wrong_questions(served: Served) -> None:
    for query, code in (
        ("", 400),
        ("month=2026-13", 400),
        ("month=../../etc", 400),
        ("month=2026-10&version=0", 400),
        ("month=2026-10&version=x", 400),
        ("month=2026-10&format=xml", 400),
        ("month=2026-10&version=3", 404),
        ("month=2026-09", 404),
    ):
        assert ask(served[0], "accounting", query)[0] == code, query


def test_without_a_folder_it_says_so(kept: KeptCluster) -> None:
    kept.kind("pods", {})
    server_process.tell_facts(kept)
    with server_process.running(kept) as server:
        server.ready()
        answer = server.get("/krm/v1/bill?month=2026-10", {})
    assert answer.status == 404
    assert b"--bills" in answer.body


HOSTILE: List[bytes] = [b"", b"[]", b"{}", b"\xff", b'{"version": "x"}', b"[" * 10_000]


def test_a_file_that_krm_did_not_write_is_no_bill(served: Served, kept: KeptCluster, tmp_path: Path) -> None:
    for content in HOSTILE:
        (tmp_path / "bills" / kept.name / "2026-10.v3.json").write_bytes(content)
        assert ask(served[0], "accounting", "month=2026-10")[0] == 404, content[:20]
        assert ask(served[0], "accounting", "month=2026-10&version=2")[0] == 200
