"""Every built-in kind that krm can keep has the API server's own Table: columns, descriptions, cells, order."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, NamedTuple, Optional

import pytest
from acceptance.kubectl_world import older
from controlplane.build import DEFAULT_VERSION
from controlplane.fixtures import running_plane, version
from controlplane.kubeapi import KubeClient
from controlplane.objects import CRDS, crd_body
from controlplane.processes import wait_until
from krm.model import columns
from krm.model.cells import Printer
from krm.model.kinds import Kind, Resource
from krm.model.printed import printed_columns, printer_of
from model.made import NAMESPACE, post
from model.made_kinds import make_kinds
from model.made_original import make_all
from server.kind_tables import FLAGS, built_in, krm_table, real_table

pytestmark = [pytest.mark.slow, pytest.mark.controlplane, pytest.mark.timeout(300)]
# An age may change between two answers, and controllers of the API server write: then both are asked again.
TURNS = 5


class World(NamedTuple):
    admin: KubeClient
    kinds: List[Resource]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    if version() != DEFAULT_VERSION:
        pytest.skip(f"the descriptions of columns are those of Kubernetes {DEFAULT_VERSION}")
    for plane in running_plane(apiserver_flags=FLAGS):
        kinds = built_in(plane.admin)  # before there are APIServices that lead nowhere
        make_all(plane.admin)
        make_kinds(plane.admin)
        plane.etcd_rewrite("/registry/", older())
        yield World(plane.admin, kinds)


def difference(
    world: World, resource: Resource, asked: Optional[Resource] = None, printer: Optional[Printer] = None
) -> str:
    """'' where both Tables are the same, but for their objects. `asked`: of the API server, where it is another."""
    told = ""
    for _ in range(TURNS):
        real, krm = real_table(world.admin, asked or resource), krm_table(world.admin, resource, printer)
        told = _told(str(resource.kind), real, krm)
        if not told:
            break
    return told


def _told(kind: str, real: Dict[str, Any], krm: Dict[str, Any]) -> str:
    if krm["columnDefinitions"] != real["columnDefinitions"]:
        return f"{kind}: columns\n  krm  {krm['columnDefinitions']}\n  real {real['columnDefinitions']}"
    theirs, ours = ([(row["cells"], row.get("conditions")) for row in found["rows"] or ()] for found in (real, krm))
    if len(ours) != len(theirs) or not ours:
        return f"{kind}: {len(ours)} rows in krm, {len(theirs)} in the API server"
    wrong = [f"  krm  {one}\n  real {two}" for one, two in zip(ours, theirs) if one != two]
    return "\n".join([f"{kind}: cells", *wrong]) if wrong else ""


def test_every_kind_has_the_api_servers_own_table(world: World) -> None:
    wrong = [told for told in (difference(world, resource) for resource in world.kinds) if told]
    assert not wrong, "\n\n".join(wrong)


def test_autoscalers_are_shown_alike_in_both_versions(world: World) -> None:
    """The API server shows what it stores, whatever the version that is asked for; krm keeps the one it prefers."""
    (kept,) = [one for one in world.kinds if one.kind.resource == "horizontalpodautoscalers"]
    assert kept.version == "v2"
    assert not difference(world, kept, asked=kept._replace(version="v1"))


PRINTED = [
    {"name": "Size", "type": "integer", "jsonPath": ".spec.size", "format": "int32", "description": "How <big>."},
    {"name": "Far", "type": "string", "jsonPath": ".spec.word", "priority": 2},
    {"name": "Below", "type": "number", "jsonPath": ".spec.share", "priority": -1},
    {"name": "Name", "type": "string", "jsonPath": ".spec.list[*].name"},
]


@pytest.mark.parametrize("printed", [PRINTED, []], ids=["its own columns", "none"])
def test_a_custom_resource_has_the_api_servers_own_table(world: World, printed: List[Dict[str, Any]]) -> None:
    plural = "prints" if printed else "blanks"
    resource = Resource(Kind(plural, "krm.test"), "v1", plural.title(), True)
    body = crd_body(plural, "krm.test", plural.title(), "v1", True)
    body["spec"]["versions"][0]["additionalPrinterColumns"] = printed
    definition = world.admin.create(CRDS, body)
    path = f"/apis/krm.test/v1/namespaces/{NAMESPACE}/{plural}"
    wait_until(lambda: world.admin.request("GET", path).status == 200, 20.0, f"{path} is served")
    specs = [{"size": 3, "word": "a", "share": 0.5, "list": [{"name": "m"}, {"name": "n"}]}, {"size": 3.5}, {}]
    for number, spec in enumerate(specs):
        post(world.admin, path, plural.title(), f"p-{number}", {"spec": spec})
    assert not difference(world, resource, printer=printer_of(printed_columns(definition, "v1")))


def test_every_printer_is_of_a_kind_that_was_compared(world: World) -> None:
    assert set(columns.PRINTERS) - {str(one.kind) for one in world.kinds} == set()
