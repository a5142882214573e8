"""Whether advice can be taken over: LimitRanges, quotas with the rollout's surge, nodes; and what patches say."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

import pytest
from krm.analysis.inputs import Inputs
from krm.analysis.sizing import recommendations
from krm.analysis.sizing.patches import kustomization, patches
from krm.analysis.sizing.recommendations import Asked
from krm.analysis.sizing.rows import Recommendation
from paper_inputs import container
from paper_sizing import APP, DAY, deployment, node, web


def row_of(given: Inputs, **asked: Any) -> Recommendation:
    (row,) = recommendations.answer(given, Asked("shop", **asked)).rows
    return row


def sized(**kinds: Any) -> Inputs:
    """Two pods that ask for 1 core and 1 GiB; 115m, 210Mi and a limit of 270Mi will be advised."""
    return web([100.0] * DAY, [200.0] * DAY, **kinds)


def limit_range(**item: Any) -> Dict[str, Any]:
    return {"metadata": {"namespace": "shop", "name": "r"}, "spec": {"limits": [{"type": "Container", **item}]}}


RANGES: Tuple[Tuple[Dict[str, Any], Optional[str]], ...] = (
    ({"min": {"cpu": "100m"}}, None),
    ({"min": {"cpu": "200m"}}, "limitrange r: container app: cpu request 115m is below the least, 200m"),
    ({"max": {"memory": "256Mi"}}, "limitrange r: container app: memory 270Mi is above the most, 256Mi"),
    ({"maxLimitRequestRatio": {"memory": "1.5"}}, None),
    (
        {"maxLimitRequestRatio": {"memory": "1.2"}},
        "limitrange r: container app: memory limit is 1.29 times the request, at most 1.2 is allowed",
    ),
    # The default becomes the limit that is not set, and is above what may be.
    (
        {"default": {"cpu": "4"}, "max": {"cpu": "2"}},
        "limitrange r: container app: cpu 4 is above the most, 2",
    ),
    ({"type": "Pod", "max": {"memory": "200Mi"}}, "limitrange r: the pod: memory 270Mi is above the most, 200Mi"),
    ({"min": {"cpu": "what"}}, None),
)


@pytest.mark.parametrize(("item", "obstacle"), RANGES)
def test_limit_ranges(item: Dict[str, Any], obstacle: Optional[str]) -> None:
    row = row_of(sized(limitranges=[limit_range(**item)]))
    assert row.obstacles == (() if obstacle is None else (obstacle,))
    assert row.feasible is (obstacle is None)


def quota(hard: Dict[str, str], used: Dict[str, str], **spec: Any) -> Dict[str, Any]:
    metadata = {"namespace": "shop", "name": "q"}
    return {"metadata": metadata, "spec": {"hard": hard, **spec}, "status": {"hard": hard, "used": used}}


def grown(**kinds: Any) -> Inputs:
    """Two pods that ask for 50m and 64Mi; 115m and 210Mi will be advised, with one pod that surges."""
    small = container("app", {"cpu": "50m", "memory": "64Mi"}, {"memory": "256Mi"})
    return web([100.0] * DAY, [200.0] * DAY, small, **kinds)


# More while it rolls out: one pod beside the two, and what two grow by: 115 + 2 x 65 = 245m, 210 + 2 x 146 = 502Mi.
QUOTAS: Tuple[Tuple[Dict[str, str], Dict[str, str], Optional[str]], ...] = (
    ({"requests.cpu": "345m"}, {"requests.cpu": "100m"}, None),
    (
        {"requests.cpu": "344m"},
        {"requests.cpu": "100m"},
        "resourcequota q: requests.cpu needs 245m more with its surge, 244m of 344m are left",
    ),
    ({"memory": "630Mi"}, {"memory": "128Mi"}, None),
    (
        {"memory": "629Mi"},
        {"memory": "128Mi"},
        "resourcequota q: memory needs 502Mi more with its surge, 501Mi of 629Mi are left",
    ),
    ({"limits.cpu": "9"}, {"limits.cpu": "0"}, "resourcequota q has limits.cpu: a pod without one is refused"),
    ({"pods": "2"}, {"pods": "2"}, None),
)


@pytest.mark.parametrize(("hard", "used", "obstacle"), QUOTAS)
def test_quotas_hold_the_rollout(hard: Dict[str, str], used: Dict[str, str], obstacle: Optional[str]) -> None:
    row = row_of(grown(resourcequotas=[quota(hard, used)]))
    assert row.obstacles == (() if obstacle is None else (obstacle,))


def test_a_quota_of_another_scope_is_not_asked() -> None:
    full = quota({"requests.cpu": "1m"}, {"requests.cpu": "1m"}, scopes=["BestEffort"])
    assert row_of(grown(resourcequotas=[full])).feasible is True


def test_recreate_needs_no_surge() -> None:
    recreated = deployment(APP, strategy={"type": "Recreate"})
    row = row_of(grown(resourcequotas=[quota({"requests.cpu": "230m"}, {"requests.cpu": "100m"})]))
    assert row.feasible is False
    given = grown(
        resourcequotas=[quota({"requests.cpu": "230m"}, {"requests.cpu": "100m"})], deployments__apps=[recreated]
    )
    assert row_of(given).obstacles == ()


# 2 pods of 64 MiB; one of 210 beside them, then one of the old ends: 64 + 420 are needed.
@pytest.mark.parametrize(("memory", "holds"), [("338Mi", False), ("483Mi", False), ("484Mi", True)])
def test_a_node_holds_each_step_of_the_rollout(memory: str, holds: bool) -> None:
    row = row_of(grown(nodes=[node(memory=memory)]))
    assert row.feasible is holds
    if holds:
        assert row.proven == ("2 pods fit on n1, 1 beside the old ones",)
    else:
        assert row.obstacles[0].endswith("of the rollout: 1 Insufficient memory")
        assert any(one.rule == "advice-infeasible" for one in recommendations.answer(
            grown(nodes=[node(memory=memory)]), Asked("shop")).findings)  # fmt: skip


def test_smaller_pods_take_the_places_of_the_old_ones() -> None:
    """Two of 1 GiB run: the surge needs 210 MiB beside them, the other takes the place of one that ends."""
    assert row_of(sized(nodes=[node(memory="2258Mi")])).proven == ("2 pods fit on n1, 1 beside the old ones",)
    row = row_of(sized(nodes=[node(memory="2257Mi")]))
    assert row.obstacles == ("no node holds pod 1 of the rollout: 1 Insufficient memory",)


def test_another_node_may_hold_it() -> None:
    row = row_of(grown(nodes=[node(memory="128Mi"), node(name="n2")]))
    assert row.proven == ("2 pods fit on n2, 1 beside the old ones",)


def test_what_is_not_known_is_no_proof() -> None:
    given = sized()
    kinds = {kind: rows for kind, rows in given.state.kinds.items() if kind not in ("limitranges", "nodes")}
    row = row_of(given._replace(state=type(given.state)(kinds, {}, {"nodes": "may not be read"})))
    assert row.feasible is None
    assert "LimitRanges are not known" in row.doubts
    assert any(doubt.startswith("no node was tried: nodes: may not be read") for doubt in row.doubts)


def test_patches_change_what_differs_and_take_limits_away() -> None:
    found = patches(recommendations.answer(sized(), Asked("shop")).rows)
    resources = {"requests": {"cpu": "115m", "memory": "210Mi"}, "limits": {"cpu": None, "memory": "270Mi"}}
    assert found.left_out == ()
    assert found.documents == (
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"template": {"spec": {"containers": [{"name": "app", "resources": resources}]}}},
        },
    )
    made = kustomization(found, str)
    assert made["patches"][0]["target"] == {
        "group": "apps", "version": "v1", "kind": "Deployment", "name": "web", "namespace": "shop",
    }  # fmt: skip


def test_what_cannot_be_taken_over_is_not_in_a_patch() -> None:
    infeasible = sized(limitranges=[limit_range(min={"cpu": "2"})])
    waiting = web([100.0] * 9, [200.0] * 9)
    for given, why in ((infeasible, "cannot be taken over"), (waiting, "no advice yet")):
        found = patches(recommendations.answer(given, Asked("shop")).rows)
        assert found.documents == ()
        assert why in found.left_out[0]


def test_bare_pods_get_rows_and_no_patch() -> None:
    given = sized(deployments__apps=[], replicasets__apps=[])
    pods: List[Any] = list(given.state.kinds["pods"])
    for pod in pods:
        pod["metadata"].pop("ownerReferences")
    rows = recommendations.answer(given, Asked("shop")).rows
    assert {row.kind for row in rows} == {"pod"}
    assert len(patches(rows).left_out) == 2
