"""The built-in kinds of a real API server: what it serves, the Tables that it makes of them, and krm's beside.

`PYTHONPATH=tests python tests/server/kind_tables.py` writes the descriptions of columns into krm.server, for a new
release of Kubernetes.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

from controlplane.kubeapi import KubeClient
from controlplane.plane import ControlPlane
from krm.model.canonical import Canonicaliser
from krm.model.cells import Printer
from krm.model.kinds import BadKind, Kind, Resource, parse_kind
from krm.model.records import Envelope
from krm.server import descriptions
from krm.server.lists import Forms
from krm.server.negotiation import Form
from krm.server.tables import Tabulator
from krm.server.writing import Page, Writer

TABLE = {"Accept": "application/json;as=Table;g=meta.k8s.io;v=v1"}
# Every kind that a 1.36 can serve: those of alpha and beta APIs too. JSON in etcd: a test moves creation times.
FLAGS = (
    "--runtime-config=api/all=true",
    "--feature-gates=AllAlpha=true,AllBeta=true",
    "--storage-media-type=application/json",
)


def built_in(admin: KubeClient) -> List[Resource]:
    """Those that krm can keep, each in the version that krm takes: the one that its group prefers and has it in."""
    found: Dict[Kind, Resource] = {}
    versions = [("", "v1")]
    for group in admin.get("/apis")["groups"]:
        rows = [group["preferredVersion"], *group["versions"]]
        versions += [(group["name"], one["version"]) for one in rows]
    for group, version in versions:
        for row in admin.get(f"/apis/{group}/{version}" if group else f"/api/{version}")["resources"]:
            kind = Kind(row["name"], group)
            if "/" in kind.resource or not {"list", "watch"} <= set(row["verbs"]) or not _kept(kind):
                continue
            found.setdefault(kind, Resource(kind, version, row["kind"], row["namespaced"]))
    return list(found.values())


def _kept(kind: Kind) -> bool:
    try:
        return parse_kind(str(kind)) == kind
    except BadKind:
        return False


def real_table(admin: KubeClient, resource: Resource) -> Dict[str, Any]:
    """As the API server makes it."""
    table: Dict[str, Any] = admin.request("GET", resource.path(), headers=TABLE).json()
    return table


def krm_table(admin: KubeClient, resource: Resource, printer: Optional[Printer] = None) -> Dict[str, Any]:
    """As krm makes it of the same list, taken in, redacted and written by its own code. `printer`: of a CRD."""
    items = Canonicaliser(resource).page(admin.request("GET", resource.path()).body).items
    objects = {one.key: Envelope(one.rv, one.uid, b"", 0.0, one.labels, one.fields, one.body) for one in items}
    forms = Forms(Writer(resource), Tabulator(str(resource.kind), printer))
    keys = forms.tabulator.ordered(sorted(objects, key=str.encode), objects)
    made = forms.table(Form("Table", "v1"), Page("1"), [objects[key] for key in keys], "None", time.time())
    table: Dict[str, Any] = json.loads(made)
    return table


def write_descriptions() -> None:
    """Asks an API server of the version that tests are run on."""
    told: Dict[str, Dict[str, str]] = {}
    with ControlPlane(apiserver_flags=FLAGS) as plane:
        for resource in built_in(plane.admin):
            columns = real_table(plane.admin, resource)["columnDefinitions"]
            told[str(resource.kind)] = {one["name"]: one["description"] for one in columns}
    shared = {name: told["pods"][name] for name in ("Name", "Age")}
    shared["Created At"] = shared["Age"]
    shared.update({name: told["deployments.apps"][name] for name in ("Containers", "Images")})
    own = {
        kind: {name: text for name, text in columns.items() if text != shared.get(name)}
        for kind, columns in sorted(told.items())
    }
    found = {"": shared, **{kind: columns for kind, columns in own.items() if columns}}
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    Path(descriptions.FILE).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_descriptions()
