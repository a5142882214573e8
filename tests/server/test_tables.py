"""Tables: a row is kept, its ages are not."""

from __future__ import annotations

import json
from typing import Any, Dict, List

import pytest
from krm.model import columns
from krm.model.cells import Column
from krm.model.printed import Printed, printed_columns, printer_of
from krm.model.records import Envelope, object_digest
from krm.model.times import parse
from krm.server import tables
from krm.server.negotiation import Form
from krm.server.tables import Tabulator
from krm.server.writing import Page
from model.pods import pod as real_pod
from server.replicas import pod

V1 = Form("Table", "v1")
CREATED = parse("2026-11-22T10:00:00Z")


def whole(envelope: Envelope) -> bytes:
    return envelope.body


def row(tabulator: Tabulator, envelope: Envelope, now: float, include: str = "Metadata") -> Dict[str, Any]:
    found: Dict[str, Any] = json.loads(tabulator.row(V1, envelope, whole, include, now))
    return found


def test_a_kept_row_is_decoded_once_and_its_age_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: List[bytes] = []
    monkeypatch.setattr(tables, "_decode", lambda body: decoded.append(body) or json.loads(body))
    tabulator, envelope = Tabulator("pods"), pod("a/x", 5)
    ages = [row(tabulator, envelope, CREATED + late)["cells"][4] for late in (1, 59, 300, 86400 * 3, -100)]
    assert ages == ["1s", "59s", "5m", "3d", "<invalid>"]
    assert len(decoded) == 1
    assert row(tabulator, pod("a/x", 6, phase="Failed"), CREATED)["cells"][2] == "Failed"
    assert len(decoded) == 2


def test_kept_rows_are_what_the_cells_are_at_any_time() -> None:
    """Against the model's own cells, with restarts and jobs' durations among the ages."""
    found = real_pod()
    found["status"]["containerStatuses"][0]["restartCount"] = 3
    ended = {"terminated": {"exitCode": 1, "finishedAt": "2026-11-22T11:00:00Z"}}
    found["status"]["containerStatuses"][0]["lastState"] = ended
    body = json.dumps(found).encode()
    envelope = Envelope("5", "u", object_digest(body), 1.0, b"", (), body)
    tabulator = Tabulator("pods")
    for late in (0.5, 3700, 1e5, 1e7, 1e9):
        assert row(tabulator, envelope, CREATED + late)["cells"] == columns.row("pods", found, CREATED + late)


def test_a_table_of_what_no_time_is_known_of_says_so() -> None:
    envelope = Envelope("5", "u", b"", 1.0, b"", (), b'{"metadata":{"name":"x"}}')
    assert row(Tabulator("pods"), envelope, 0.0)["cells"][4] == "<unknown>"


def test_no_object_can_write_an_age_of_its_own() -> None:
    """The mark between a row's pieces is not to be guessed."""
    assert Tabulator("pods")._later.sign != Tabulator("pods")._later.sign
    body = b'{"metadata":{"name":"x"},"message":"0.0"}'
    envelope = Envelope("5", "u", b"", 1.0, b"", (), body)
    assert row(Tabulator("events"), envelope, 0.0)["cells"][6] == "0.0"


INCLUDED = [
    ("Metadata", lambda found: [found["kind"], *found["metadata"]][:2], ["PartialObjectMetadata", "name"]),
    ("Object", lambda found: found["status"], {"phase": "Running"}),
    ("None", lambda found: found, None),
]  # fmt: skip


@pytest.mark.parametrize(("include", "look", "want"), INCLUDED)
def test_a_row_holds_what_was_asked_for(include: str, look: Any, want: Any) -> None:
    assert look(row(Tabulator("pods"), pod("a/x", 5), CREATED, include)["object"]) == want


def test_an_ended_pod_is_marked_as_completed() -> None:
    tabulator = Tabulator("pods")
    assert row(tabulator, pod("a/x", 5, phase="Failed"), CREATED)["conditions"] == [
        {"type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."}
    ]
    assert "conditions" not in row(tabulator, pod("a/y", 5), CREATED)


def test_kept_rows_have_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROWS_KEPT", 10_000)
    tabulator = Tabulator("pods")
    for number in range(200):
        row(tabulator, pod(f"a/x-{number}", 5), CREATED)
        assert tabulator._size <= 10_000
    assert 0 < len(tabulator._kept) < 30


def test_columns_are_told_once_and_wide_ones_have_priority_1() -> None:
    tabulator = Tabulator("pods")
    told = json.loads(tabulator.table(V1, Page("9"), []))
    assert [one["name"] for one in told["columnDefinitions"] if one["priority"] == 0] == [
        "Name", "Ready", "Status", "Restarts", "Age",
    ]  # fmt: skip
    assert json.loads(tabulator.table(V1, Page("9"), [], definitions=False))["columnDefinitions"] is None
    assert (
        json.loads(tabulator.table(Form("Table", "v1beta1"), Page("9"), []))["apiVersion"] == "meta.k8s.io/v1beta1"
    )


CELLS = [
    ("string", '"a"', "a"), ("string", "5", "5"), ("string", "null", "<no value>"), ("string", "", None),
    ("string", '{"a":[1,null]}', '{"a":[1,null]}'), ("string", '"<&>"', "<&>"),
    ("integer", "3", 3), ("integer", "3.7", 3), ("integer", '"3"', None), ("integer", "true", None),
    ("integer", "null", None), ("integer", "", None),
    ("number", "2", 2), ("number", "0.5", 0.5), ("number", '"0.5"', None), ("number", "1e21", 1e21),
    ("boolean", "true", True), ("boolean", '"true"', None), ("boolean", "1", None),
    ("date", '"2026-11-22T10:00:00Z"', "5m"), ("date", '"yesterday"', "<invalid>"), ("date", "5", None),
    ("date", "", None), ("date", '"2999-01-01T00:00:00Z"', "<invalid>"),
]  # fmt: skip


@pytest.mark.parametrize(("type_", "value", "want"), CELLS)
def test_a_custom_column_prints_as_the_api_server_does(type_: str, value: str, want: Any) -> None:
    spec = '{"v":%s}' % value if value else "{}"
    body = ('{"metadata":{"name":"w"},"spec":%s}' % spec).encode()
    envelope = Envelope("5", "u", b"", 1.0, b"", (), body)
    tabulator = Tabulator("widgets.krm.test", printer_of([Printed(Column("V", type=type_), ".spec.v")]))
    assert row(tabulator, envelope, CREATED + 300)["cells"] == ["w", want]


def test_printer_columns_are_of_the_served_version() -> None:
    column = {"name": "Size", "type": "integer", "jsonPath": ".spec.size", "priority": 1}
    versions = [{"name": "v1", "additionalPrinterColumns": [column]}, {"name": "v2"}]
    definition = {"spec": {"versions": versions}}
    (found,) = printed_columns(definition, "v1")
    described = "Custom resource definition column (in JSONPath format): .spec.size"
    assert found.column == Column("Size", 1, "integer", "", described)
    for wrong, version in ((definition, "v2"), (definition, "v3"), ({}, "v1"), ({"spec": 5}, "v1")):
        assert [one.column.name for one in printed_columns(wrong, version)] == ["Age"]


def test_every_column_of_a_built_in_kind_is_described() -> None:
    without = [
        f"{kind} {column.name}"
        for kind in columns.PRINTERS
        for column in Tabulator(kind).columns
        if not column.description
    ]
    # So the API server has them: it looks these up where they are not.
    candidate = "leasecandidates.coordination.k8s.io"
    odd = ["runtimeclasses.node.k8s.io Handler", f"{candidate} BinaryVersion", f"{candidate} EmulationVersion"]
    assert sorted(without) == sorted(odd)
    assert Tabulator("pods").columns[1].description.startswith("The aggregate readiness state")


def test_what_a_crd_says_of_a_column_stands() -> None:
    printer = printer_of([Printed(Column("Age", 2, description="Its own."), ".spec.age")])
    name, age = Tabulator("widgets.krm.test", printer)._definitions
    assert name["description"].startswith("Name must be unique")
    assert (age["description"], age["priority"]) == ("Its own.", 2)


def test_flow_schemas_stand_by_precedence_and_all_else_as_the_list_has_them() -> None:
    objects = {
        f"/{name}": Envelope("5", "u", b"", 1.0, b"", (), body)
        for name, body in (
            ("a", b'{"metadata":{"name":"a"},"spec":{"matchingPrecedence":9}}'),
            ("b", b'{"metadata":{"name":"b"},"spec":{"matchingPrecedence":1}}'),
            ("c", b'{"metadata":{"name":"c"},"spec":{"matchingPrecedence":1}}'),
            ("d", b"{broken"),
        )
    }
    keys = list(objects)
    schemas = Tabulator("flowschemas.flowcontrol.apiserver.k8s.io")
    assert schemas.ordered(keys, objects) == ["/d", "/b", "/c", "/a"]
    assert Tabulator("configmaps").ordered(keys, objects) is keys


def test_what_krm_does_not_hold_is_unknown_not_empty() -> None:
    body = b'{"metadata":{"name":"w","annotations":{}}}'
    paths = [
        ".metadata.managedFields[0].manager",
        r".metadata.annotations.kubectl\.kubernetes\.io/last-applied-configuration",
        ".metadata.annotations.other",
    ]
    printer = printer_of([Printed(Column("V"), path) for path in paths])
    tabulator = Tabulator("widgets.krm.test", printer)
    assert row(tabulator, Envelope("5", "u", b"", 1.0, b"", (), body), 0.0)["cells"] == [
        "w", "<unknown>", "<unknown>", None,
    ]  # fmt: skip
    broken = Envelope("5", "u", b"", 1.0, b"", (), b"{broken")
    assert row(tabulator, broken, 0.0, "None")["cells"] == ["<unreadable>"] * 4
