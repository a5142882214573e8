"""Objects of resource.k8s.io and of scheduling.k8s.io's groups, as in made_kinds."""

from __future__ import annotations

from typing import Any, Dict, List

from model.made import LATER, LONG_AGO, conditions

Body = Dict[str, Any]
_CLAIM = {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "krm-0"}}]}}
_RESULT = {"request": "r", "driver": "d.krm.test", "pool": "p", "device": "x"}
_ALLOCATED = {"allocation": {"devices": {"results": [_RESULT]}}}
_USER = {"resource": "pods", "name": "p-1", "uid": "u-1"}
_POOL = {"name": "p", "generation": 1, "resourceSliceCount": 1}
_TAINT = {"key": "krm.test/broken", "effect": "NoExecute"}
_COUNTED = {"driver": "d.krm.test", "generation": 1, "resourceSliceCount": 1}


def _ended(kind: str, status: str = "True") -> List[Body]:
    return [{**one, "status": status, "reason": f"{kind}Reason", "message": ""} for one in conditions(kind)]


def _pool(name: str, total: int, allocated: int) -> Body:
    counts = {"totalDevices": total, "allocatedDevices": allocated, "availableDevices": total - allocated - 1}
    return {**_COUNTED, "poolName": name, **counts, "unavailableDevices": 1}


_BAD = {"driver": "d.krm.test", "poolName": "bad", "generation": 1, "validationError": "it is not whole"}
_ASKED = {"spec": {"driver": "d.krm.test"}}
_GROUP = {"schedulingPolicy": {"gang": {"minCount": 2}},
          "podGroupTemplateRef": {"workload": {"workloadName": "krm-0", "podGroupTemplateName": "t"}}}  # fmt: skip

DEVICES: Dict[str, List[Body]] = {
    "resource.k8s.io/v1 deviceclasses DeviceClass": [{"body": {"spec": {}}}],
    "resource.k8s.io/v1 resourceclaimtemplates ResourceClaimTemplate+": [{"body": {"spec": {"spec": _CLAIM}}}],
    "resource.k8s.io/v1 resourceclaims ResourceClaim+": [
        {"body": {"spec": _CLAIM}},
        {"body": {"spec": _CLAIM}, "status": _ALLOCATED},
        {"body": {"spec": _CLAIM}, "status": {**_ALLOCATED, "reservedFor": [_USER]}},
        {"name": "krm-gone", "body": {"spec": _CLAIM}},
        {"name": "krm-held-gone", "body": {"spec": _CLAIM}, "status": {**_ALLOCATED, "reservedFor": [_USER]}},
    ],
    "resource.k8s.io/v1 resourceslices ResourceSlice": [
        {"body": {"spec": {"driver": "d.krm.test", "pool": _POOL, "nodeName": "n"}}},
        {"body": {"spec": {"driver": "d.krm.test", "pool": _POOL, "allNodes": True}}},
    ],
    "resource.k8s.io/v1beta2 devicetaintrules DeviceTaintRule": [
        {"body": {"spec": {"deviceSelector": {"driver": "d.krm.test"}, "taint": {**_TAINT, "timeAdded": LATER}}}},
        {"body": {"spec": {"deviceSelector": {"pool": "p"},
                           "taint": {**_TAINT, "value": "v", "timeAdded": LONG_AGO}}}},
    ],
    "resource.k8s.io/v1alpha3 resourcepoolstatusrequests ResourcePoolStatusRequest": [
        {"body": _ASKED},
        {"body": _ASKED, "status": {"poolCount": 2, "pools": [_pool("a", 5, 2), _pool("b", 3, 0)],
                                    "conditions": _ended("Complete")}},
        {"body": _ASKED, "status": {"poolCount": 7, "pools": [_pool("a", 5, 2), _BAD],
                                    "conditions": _ended("Complete")}},
        {"body": _ASKED, "status": {"poolCount": 1, "conditions": _ended("Failed")}},
    ],
    "scheduling.k8s.io/v1alpha2 workloads Workload+": [
        {"body": {"spec": {"podGroupTemplates": [{"name": "t", "schedulingPolicy": {"basic": {}}}]}}},
    ],
    "scheduling.k8s.io/v1alpha2 podgroups PodGroup+": [
        {"body": {"spec": {"schedulingPolicy": {"basic": {}}}}},
        {"body": {"spec": _GROUP}, "status": {"conditions": _ended("PodGroupScheduled")}},
        {"body": {"spec": _GROUP}, "status": {"conditions": _ended("PodGroupScheduled", "False")}},
        {"body": {"spec": _GROUP},
         "status": {"conditions": [*_ended("DisruptionTarget"), *_ended("PodGroupScheduled")]}},
    ],
}  # fmt: skip
