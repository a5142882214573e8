"""Cells of single built-in kinds in rare forms; tests/server/test_kind_tables.py compares the usual ones."""

from __future__ import annotations

from typing import Any, Dict, List

import pytest
from krm.model import columns

NOW = 1795341600.0  # 2026-11-22T10:00:00Z
EARLIER = "2026-11-22T09:55:00Z"
Object = Dict[str, Any]


def shown(kind: str, obj: Object) -> Dict[str, Any]:
    """Cells by column."""
    found = {"metadata": {"name": "x", "creationTimestamp": EARLIER}, **obj}
    return dict(zip([one.name for one in columns.columns(kind)], columns.row(kind, found, NOW)))


def addresses(*ips: str) -> List[Object]:
    return [{"ip": ip} for ip in ips]


ENDPOINTS = [
    ({}, "<none>"),
    ({"subsets": [{"notReadyAddresses": addresses("10.0.0.1")}]}, ""),
    ({"subsets": [{"addresses": addresses("10.0.0.1", "10.0.0.2")}]}, "10.0.0.1,10.0.0.2"),
    ({"subsets": [{"addresses": addresses("fd00::1"), "ports": [{"port": 80}]}]}, "[fd00::1]:80"),
    (
        {"subsets": [{"addresses": addresses("10.0.0.1", "10.0.0.2"), "ports": [{"port": 80}, {"port": 81}]}]},
        "10.0.0.1:80,10.0.0.2:80,10.0.0.1:81 + 1 more...",
    ),
]


@pytest.mark.parametrize(("obj", "want"), ENDPOINTS)
def test_endpoints_are_the_ready_ones_at_each_port(obj: Object, want: str) -> None:
    assert shown("endpoints", obj)["Endpoints"] == want


def test_labels_stand_in_the_order_in_which_they_are_written() -> None:
    """As texts: `a-b=` comes before `a=`, though the key `a` comes before `a-b`."""
    selector = {"a": "2", "a-b": "1"}
    assert shown("replicationcontrollers", {"spec": {"selector": selector}})["Selector"] == "a-b=1,a=2"
    assert shown("podtemplates", {"template": {"metadata": {"labels": {}}}})["Pod Labels"] == "<none>"


def test_a_selector_of_nothing_is_none() -> None:
    assert shown("networkpolicies.networking.k8s.io", {"spec": {"podSelector": {}}})["Pod-Selector"] == "<none>"
    odd = {"matchExpressions": [{"key": "a", "operator": "Near"}]}
    assert shown("networkpolicies.networking.k8s.io", {"spec": {"podSelector": odd}})["Pod-Selector"] == "<error>"


def test_only_what_begins_with_limits_and_a_dot_is_a_limit() -> None:
    hard = {"limits.cpu": "1", "limitsapps.krm.test/x": "2", "pods": "3"}
    cells = shown("resourcequotas", {"status": {"hard": hard, "used": {"pods": "1"}}})
    assert (cells["Request"], cells["Limit"]) == ("limitsapps.krm.test/x: 0/2, pods: 1/3", "limits.cpu: 0/1")


@pytest.mark.parametrize(
    ("state", "want"),
    [
        ({}, "Pending"),
        ({"conditions": [{"type": "Approved"}]}, "Approved"),
        ({"conditions": [{"type": "Approved"}, {"type": "Denied"}]}, "Denied"),
        ({"conditions": [{"type": "Failed"}]}, "Pending,Failed"),
        ({"conditions": [{"type": "Approved"}], "certificate": "TQ=="}, "Approved,Issued"),
    ],
)
def test_a_signing_request_tells_what_became_of_it(state: Object, want: str) -> None:
    assert shown("certificatesigningrequests.certificates.k8s.io", {"status": state})["Condition"] == want


@pytest.mark.parametrize(
    ("deleted", "state", "want"),
    [
        (False, {}, "pending"),
        (True, {}, "deleted"),
        (False, {"allocation": {}}, "allocated"),
        (True, {"allocation": {}}, "deleted,allocated"),
        (False, {"allocation": {}, "reservedFor": [{"name": "p"}]}, "allocated,reserved"),
        (False, {"reservedFor": [{"name": "p"}]}, "pending"),
    ],
)
def test_a_claim_on_devices_tells_its_state(deleted: bool, state: Object, want: str) -> None:
    metadata = {"name": "x", **({"deletionTimestamp": EARLIER} if deleted else {})}
    assert shown("resourceclaims.resource.k8s.io", {"metadata": metadata, "status": state})["State"] == want


def test_an_api_service_that_is_not_available_says_why() -> None:
    def available(**condition: str) -> str:
        told = {"conditions": [{"type": "Other", "status": "True"}, {"type": "Available", **condition}]}
        return str(shown("apiservices.apiregistration.k8s.io", {"status": told})["Available"])

    assert available(status="False", reason="Gone") == "False (Gone)"
    assert available(status="False") == "False"
    assert available(status="True", reason="Passed") == "True"
    assert shown("apiservices.apiregistration.k8s.io", {})["Available"] == "Unknown"


def test_a_flow_schema_of_which_nobody_said_whether_it_dangles_has_a_question_mark() -> None:
    kind = "flowschemas.flowcontrol.apiserver.k8s.io"
    assert shown(kind, {})["MissingPL"] == "?"
    told = [{"type": "Dangling", "status": "True"}, {"type": "Dangling", "status": "False"}]
    assert shown(kind, {"status": {"conditions": told}})["MissingPL"] == "True"


def test_zero_and_absent_differ() -> None:
    kind = "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io"
    limited = {"nominalConcurrencyShares": 0, "limitResponse": {"queuing": {"queues": 0}}}
    assert list(shown(kind, {"spec": {"limited": limited}}).values())[2:6] == [0, 0, 0, 0]
    assert list(shown(kind, {"spec": {"type": "Exempt"}}).values())[2:6] == ["<none>"] * 4
    budgets = "poddisruptionbudgets.policy"
    cells = shown(budgets, {"spec": {"minAvailable": 0, "maxUnavailable": "0%"}})
    assert (cells["Min Available"], cells["Max Unavailable"]) == ("0", "0%")
    assert shown(budgets, {})["Min Available"] == "N/A"


def test_a_policys_parameters_are_one_or_those_that_a_selector_chooses() -> None:
    def parameters(**about: Any) -> str:
        found = shown(
            "validatingadmissionpolicybindings.admissionregistration.k8s.io", {"spec": {"paramRef": about}}
        )
        return str(found["ParamRef"])

    assert parameters(name="m", namespace="n") == "n/m"
    assert parameters(name="m") == "*/m"
    assert parameters() == "<unset>"
    assert parameters(selector={}) == (
        "&LabelSelector{MatchLabels:map[string]string{},MatchExpressions:[]LabelSelectorRequirement{},}"
    )


def test_a_cron_job_tells_when_it_ran_last() -> None:
    kind = "cronjobs.batch"
    cells = shown(kind, {"spec": {"suspend": False}, "status": {"lastScheduleTime": EARLIER, "active": [{}]}})
    assert (cells["Suspend"], cells["Active"], cells["Last Schedule"]) == ("False", 1, "5m")
    bare = shown(kind, {})
    assert (bare["Suspend"], bare["Last Schedule"], bare["Timezone"]) == ("<unset>", "<none>", "<none>")


def test_a_revision_names_its_controller_with_the_group() -> None:
    def controller(*owners: Object) -> str:
        metadata = {"name": "x", "ownerReferences": list(owners)}
        return str(shown("controllerrevisions.apps", {"metadata": metadata})["Controller"])

    web = {"kind": "StatefulSet", "name": "web", "controller": True}
    assert controller({"kind": "Pod", "name": "p"}, {**web, "apiVersion": "apps/v1"}) == "statefulset.apps/web"
    assert controller({**web, "apiVersion": "v1"}) == "statefulset/web"
    assert controller({"kind": "Pod", "name": "p"}) == "<none>"


def test_events_of_both_groups_are_shown_alike() -> None:
    old = {
        "involvedObject": {"kind": "Pod", "name": "p"}, "message": " m\n", "reportingComponent": "c", "count": 3,
        "firstTimestamp": EARLIER, "lastTimestamp": EARLIER, "source": {"host": "h"}, "reason": "R",
    }  # fmt: skip
    new = {
        "regarding": {"kind": "Pod", "name": "p"}, "note": " m\n", "reportingController": "c", "deprecatedCount": 3,
        "deprecatedFirstTimestamp": EARLIER, "deprecatedLastTimestamp": EARLIER, "deprecatedSource": {"host": "h"},
        "reason": "R",
    }  # fmt: skip
    cells = shown("events", old)
    assert shown("events.events.k8s.io", new) == cells
    assert (cells["Last Seen"], cells["Source"], cells["Count"], cells["Message"]) == ("5m", "c, h", 3, "m")


def test_a_pool_that_was_not_counted_shows_no_number() -> None:
    kind = "resourcepoolstatusrequests.resource.k8s.io"
    assert list(shown(kind, {}).values())[2:] == ["-", "-", "-", "-", "-", 0, "Pending", "<none>"]
    ended = {"type": "Complete", "status": "True", "lastTransitionTime": EARLIER}
    counted = {"poolCount": 2, "pools": [{"totalDevices": 3}], "conditions": [ended]}
    assert list(shown(kind, {"status": counted}).values())[2:] == [
        "3", "0", "0", "0", "0", 2, "Complete (1/2 pools)", "5m",
    ]  # fmt: skip


def test_the_age_of_an_address_has_no_column() -> None:
    """The API server sends it so."""
    kind = "ipaddresses.networking.k8s.io"
    about = {"group": "krm.test", "resource": "Widgets", "name": "w"}
    row = columns.row(kind, {"metadata": {"name": "10.0.0.1"}, "spec": {"parentRef": about}}, NOW)
    assert row == ["10.0.0.1", "widgets.krm.test/w", "<unknown>"]
    assert len(columns.columns(kind)) == 2


@pytest.mark.parametrize("state", ["Running", "Failed", "Succeeded", "Unknown"])
def test_a_migration_tells_how_far_it_is(state: str) -> None:
    told = [
        {"type": "Other", "status": "True"},
        {"type": state, "status": "True"},
        {"type": "Failed", "status": "False"},
    ]
    cells = shown("storageversionmigrations.storagemigration.k8s.io", {"status": {"conditions": told}})
    assert cells["Status"] == state


@pytest.mark.parametrize("state", ["Issued", "Denied", "Failed", "Pending"])
def test_a_pods_request_for_a_certificate_tells_what_became_of_it(state: str) -> None:
    told = [{"type": "Other"}, {"type": state}]
    cells = shown("podcertificaterequests.certificates.k8s.io", {"status": {"conditions": told}})
    assert cells["State"] == state


def test_a_metric_of_a_type_that_is_not_known_says_so() -> None:
    metrics = [{"type": "Newer"}, {"type": "Resource", "resource": {"name": "cpu", "target": {}}}]
    cells = shown("horizontalpodautoscalers.autoscaling", {"spec": {"metrics": metrics}})
    assert cells["Targets"] == "<unknown type>, cpu: <unknown>/<auto>"


def test_what_the_api_server_fills_in_is_filled_in_where_it_did_not() -> None:
    cells = shown("storageclasses.storage.k8s.io", {})
    assert (cells["ReclaimPolicy"], cells["VolumeBindingMode"]) == ("Delete", "Immediate")
    assert shown("persistentvolumes", {})["Capacity"] == "0"
