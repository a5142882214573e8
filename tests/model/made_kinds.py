"""Objects of all other built-in kinds, made in a real API server: rich ones, poor ones, ended and deleted ones."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, NamedTuple, Optional

from controlplane.kubeapi import MERGE_PATCH, KubeClient
from controlplane.objects import create_crd
from model.made import CONTAINER, LATER, LONG_AGO, NAMESPACE, conditions, post
from model.made_certificates import make_certificates
from model.made_devices import DEVICES
from model.made_policies import POLICIES

Body = Dict[str, Any]
# A name that ends so is deleted once it is made, and stays for its finalizer.
GONE = "gone"
_HOLD = {"finalizers": ["krm.test/hold"]}


class Made(NamedTuple):
    """One object. `at`: `VERSION RESOURCE Kind`, with a `+` where it lies in NAMESPACE."""

    at: str
    name: str
    body: Body
    status: Optional[Body] = None
    meta: Body = {}

    @property
    def path(self) -> str:
        version, resource, _ = self.at.rstrip("+").split()
        place = f"namespaces/{NAMESPACE}/" if self.at.endswith("+") else ""
        return f"/{'apis' if '/' in version else 'api'}/{version}/{place}{resource}"


def make_kinds(admin: KubeClient) -> None:
    """All of them; the namespace is there."""
    make_certificates(admin)
    create_crd(admin, "gadgets", "krm.test", "Gadget", "v1", True)
    for one in _all():
        meta = {**one.meta, **(_HOLD if one.name.endswith(GONE) else {})}
        post(admin, one.path, one.at.rstrip("+").split()[-1], one.name, one.body, **meta)
        if one.status is not None:
            admin.patch(f"{one.path}/{one.name}/status", {"status": one.status}, content_type=MERGE_PATCH)
        if one.name.endswith(GONE):
            admin.delete(f"{one.path}/{one.name}")


def _all() -> Iterator[Made]:
    for at, rows in {**CORE, **WORKLOADS, **NETWORKING, **STORAGE, **RBAC, **POLICIES, **DEVICES, **REST}.items():
        for number, row in enumerate(rows):
            name = row.get("name", f"krm-{number}")
            yield Made(at, name, row.get("body", {}), row.get("status"), row.get("meta", {}))


_TWO = [{"name": "c", "image": "i:1"}, {"name": "d", "image": "j"}]
_LABELS = {"a": "2", "a-b": "1", "b": ""}
_TEMPLATE = {"metadata": {"labels": _LABELS}, "spec": {"containers": _TWO}}
_VOLUME = {"capacity": {"storage": "1024Mi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"]}
_PATH = {"hostPath": {"path": "/x"}}
_IPS = [{"ip": f"10.0.0.{number}"} for number in range(1, 5)]
_PORT = [{"name": "p", "port": 80}]
_ADDRESSES = ("Hostname", "InternalIP", "ExternalIP", "InternalIP")
_REGARDING = {"kind": "Pod", "name": "p-1", "namespace": NAMESPACE, "fieldPath": "spec.containers{c}"}
_NEW_EVENT = {
    "eventTime": "2026-01-05T00:00:00.000000Z", "reportingController": "krm.test/x", "reportingInstance": "i",
    "action": "a", "type": "Normal", "reason": "Made", "regarding": _REGARDING,
}  # fmt: skip

CORE: Dict[str, List[Body]] = {
    "v1 configmaps ConfigMap+": [{}, {"body": {"data": {"a": ""}}}, {"body": {"binaryData": {"a": "AA=="}}}],
    "v1 serviceaccounts ServiceAccount+": [{}, {"body": {"secrets": [{"name": "s"}]}}],
    "v1 podtemplates PodTemplate+": [
        {"body": {"template": _TEMPLATE}},
        {"body": {"template": {"spec": {"containers": [CONTAINER]}}}},
    ],
    "v1 replicationcontrollers ReplicationController+": [
        {
            "body": {"spec": {"replicas": 3, "selector": {"a": "2", "a-b": "1"}, "template": _TEMPLATE}},
            "status": {"replicas": 2, "readyReplicas": 1},
        },
        {"body": {"spec": {"replicas": 0, "template": _TEMPLATE}}},
    ],
    "v1 endpoints Endpoints+": [
        {},
        {"body": {"subsets": [{"addresses": _IPS[:2]}]}},
        {"body": {"subsets": [{"addresses": _IPS, "ports": [*_PORT, {"name": "q", "port": 81}]}]}},
        {"body": {"subsets": [{"addresses": [{"ip": "fd00::1"}], "ports": _PORT}, {"addresses": _IPS}]}},
        {"body": {"subsets": [{"notReadyAddresses": _IPS, "ports": _PORT}]}},
    ],
    "v1 persistentvolumes PersistentVolume": [
        {"body": {"spec": {**_VOLUME, **_PATH}}},
        {
            "body": {
                "spec": {
                    **_VOLUME, **_PATH, "accessModes": ["ReadOnlyMany"], "storageClassName": "fast",
                    "persistentVolumeReclaimPolicy": "Delete", "volumeMode": "Block",
                    "claimRef": {"namespace": NAMESPACE, "name": "c-2"},
                }
            },
            "status": {"phase": "Failed", "reason": "Recycle"},
        },
        {
            "body": {
                "spec": {
                    **_VOLUME, "csi": {"driver": "d.krm.test", "volumeHandle": "h"}, "storageClassName": "slow",
                    "accessModes": ["ReadWriteOncePod"], "volumeAttributesClassName": "gold",
                }
            },
            "meta": {"annotations": {"volume.beta.kubernetes.io/storage-class": "beta"}},
        },
        {"name": f"krm-{GONE}", "body": {"spec": {**_VOLUME, **_PATH}}},
    ],
    "v1 persistentvolumeclaims PersistentVolumeClaim+": [
        {
            "name": f"krm-{GONE}",
            "body": {
                "spec": {
                    "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
                    "volumeName": "lost", "volumeAttributesClassName": "gold", "volumeMode": "Block",
                }
            },
        },
    ],
    "v1 namespaces Namespace": [{"name": f"krm-{GONE}", "body": {"spec": {"finalizers": ["kubernetes"]}}}],
    "v1 nodes Node": [
        {
            "body": {"spec": {"unschedulable": True}},
            "status": {
                "conditions": [{"type": "Ready", "status": "False"}],
                "addresses": [{"type": kind, "address": f"10.3.0.{n}"} for n, kind in enumerate(_ADDRESSES)],
            },
        },
    ],
    "v1 namespaces/default/pods Pod": [  # a quota narrows NAMESPACE
        {
            "body": {
                "spec": {
                    "containers": [CONTAINER], "automountServiceAccountToken": False, "nodeName": "krm-0",
                    "readinessGates": [{"conditionType": f"krm.test/{n}"} for n in range(3)],
                }
            },
            "status": {
                "phase": "Running", "podIP": "10.1.0.8", "podIPs": [{"ip": "10.1.0.8"}, {"ip": "fd00::8"}],
                "conditions": conditions("krm.test/1"),
            },
        },
        {
            "body": {"spec": {"containers": [CONTAINER], "automountServiceAccountToken": False}},
            "status": {"phase": "Pending", "nominatedNodeName": "krm-0"},
        },
    ],
    "v1 services Service+": [
        {"body": {"spec": {"externalIPs": ["192.0.2.2", "192.0.2.1"], "ports": [{"port": 80}]}}},
    ],
    "events.k8s.io/v1 events Event+": [
        {"body": {**_NEW_EVENT, "note": " it was made \n"}},
        {
            "body": {
                **_NEW_EVENT, "regarding": {"kind": "Node", "namespace": NAMESPACE},
                "series": {"count": 3, "lastObservedTime": "2026-02-05T00:00:00.000000Z"},
            }
        },
    ],
}  # fmt: skip

_CRON = {"schedule": "*/5 * * * *"}
_JOB = {"template": {"spec": {"containers": _TWO, "restartPolicy": "Never"}}}
_INDEXED = {"completions": 2, "completionMode": "Indexed"}
_ACTIVE = [{"kind": "Job", "name": name, "namespace": NAMESPACE} for name in ("j-1", "j-2")]
_OWNER = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "s", "uid": "u-1"}
_DATA = {"data": {"x": 1}}
_POD = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u-2"}

WORKLOADS: Dict[str, List[Body]] = {
    "batch/v1 cronjobs CronJob+": [
        {"body": {"spec": {**_CRON, "jobTemplate": {"spec": _JOB}}}},
        {
            "body": {
                "spec": {**_CRON, "suspend": True, "timeZone": "Etc/UTC", "jobTemplate": {"spec": _JOB}},
            },
            "status": {"active": _ACTIVE, "lastScheduleTime": LATER},
        },
    ],
    "batch/v1 jobs Job+": [
        {"name": f"krm-{GONE}", "body": {"spec": _JOB}},
        {"body": {"spec": {**_JOB, "parallelism": 1}}},
        {
            "body": {"spec": {**_JOB, "successPolicy": {"rules": [{"succeededCount": 1}]}, **_INDEXED}},
            "status": {"startTime": LONG_AGO, "conditions": conditions("SuccessCriteriaMet"), "succeeded": 1},
        },
    ],
    "apps/v1 controllerrevisions ControllerRevision+": [
        {"body": {**_DATA, "revision": 1}},
        {"body": {**_DATA, "revision": 7}, "meta": {"ownerReferences": [_POD, {**_OWNER, "controller": True}]}},
        {"body": {**_DATA, "revision": 0}, "meta": {"ownerReferences": [{**_POD, "controller": True}, _OWNER]}},
    ],
}  # fmt: skip

_CHOSEN = {"matchLabels": _LABELS, "matchExpressions": [{"key": "a-c", "operator": "Exists"}]}
_PARAMETERS = {"apiGroup": "krm.test", "kind": "Widget", "name": "w"}

NETWORKING: Dict[str, List[Body]] = {
    "networking.k8s.io/v1 ingressclasses IngressClass": [
        {"body": {"spec": {"controller": "krm.test/c"}}},
        {
            "body": {"spec": {"controller": "krm.test/c", "parameters": _PARAMETERS}},
            "meta": {"annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}},
        },
        {
            "body": {"spec": {"controller": "krm.test/c", "parameters": {"kind": "ConfigMap", "name": "m"}}},
            "meta": {"annotations": {"ingressclass.kubernetes.io/is-default-class": "false"}},
        },
    ],
    "networking.k8s.io/v1 ingresses Ingress+": [
        {"body": {"spec": {"rules": [{"http": {"paths": [_path]}}]}}}
        for _path in [{"path": "/", "pathType": "Prefix", "backend": {"resource": _PARAMETERS}}]
    ],
    "networking.k8s.io/v1 networkpolicies NetworkPolicy+": [
        {"body": {"spec": {}}},
        {"body": {"spec": {"podSelector": _CHOSEN}}},
    ],
    "networking.k8s.io/v1 servicecidrs ServiceCIDR": [
        {"body": {"spec": {"cidrs": ["10.9.0.0/24"]}}},
        {"body": {"spec": {"cidrs": ["10.8.0.0/24", "fd00:8::/112"]}}},
    ],
    "networking.k8s.io/v1 ipaddresses IPAddress": [
        {
            "name": "10.9.0.7",
            "body": {"spec": {"parentRef": {"group": "krm.test", "resource": "Widgets", "name": "w"}}},
        },
        {
            "name": "10.9.0.8",
            "body": {"spec": {"parentRef": {"resource": "services", "namespace": NAMESPACE, "name": "s-0"}}},
        },
    ],
}

_CLASS = {"provisioner": "d.krm.test"}
_CSI = {"driver": "d.krm.test", "volumeHandle": "h"}
_SOURCE = {"persistentVolumeName": "krm-1"}

STORAGE: Dict[str, List[Body]] = {
    "storage.k8s.io/v1 storageclasses StorageClass": [
        {"body": _CLASS},
        {
            "body": {
                **_CLASS, "reclaimPolicy": "Retain", "volumeBindingMode": "WaitForFirstConsumer",
                "allowVolumeExpansion": True,
            },
            "meta": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        },
        {
            "body": {**_CLASS, "allowVolumeExpansion": False},
            "meta": {"annotations": {"storageclass.beta.kubernetes.io/is-default-class": "true"}},
        },
        {"body": _CLASS, "meta": {"annotations": {"storageclass.kubernetes.io/is-default-class": "True"}}},
    ],
    "storage.k8s.io/v1 volumeattributesclasses VolumeAttributesClass": [
        {"body": {"driverName": "d.krm.test", "parameters": {"iops": "9"}}},
    ],
    "storage.k8s.io/v1 volumeattachments VolumeAttachment": [
        {"body": {"spec": {"attacher": "d.krm.test", "nodeName": "n", "source": _SOURCE}}},
        {
            "body": {"spec": {"attacher": "d.krm.test", "nodeName": "n", "source": _SOURCE}},
            "status": {"attached": True},
        },
        {
            "body": {
                "spec": {
                    "attacher": "d.krm.test", "nodeName": "n",
                    "source": {"inlineVolumeSpec": {"accessModes": ["ReadWriteOnce"], "csi": _CSI}},
                }
            }
        },
    ],
    "storage.k8s.io/v1 csidrivers CSIDriver": [
        {"body": {"spec": {}}},
        {
            "body": {
                "spec": {
                    "attachRequired": False, "podInfoOnMount": True, "storageCapacity": True,
                    "requiresRepublish": True, "volumeLifecycleModes": ["Ephemeral", "Persistent"],
                    "tokenRequests": [{"audience": ""}, {"audience": "vault"}],
                }
            }
        },
        {"body": {"spec": {"tokenRequests": [{"audience": ""}]}}},
    ],
    "storage.k8s.io/v1 csinodes CSINode": [
        {"body": {"spec": {"drivers": []}}},
        {"body": {"spec": {"drivers": [{"name": f"{name}.krm.test", "nodeID": "i"} for name in "ab"]}}},
    ],
    "storage.k8s.io/v1 csistoragecapacities CSIStorageCapacity+": [
        {"body": {"storageClassName": "fast", "capacity": "1024Mi"}},
    ],
}  # fmt: skip

_ROLE = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
_SUBJECTS = [
    {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ann"},
    {"kind": "ServiceAccount", "name": "default", "namespace": NAMESPACE},
    {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "ops"},
    {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "bob"},
    {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "dev"},
    {"kind": "ServiceAccount", "name": "other", "namespace": "elsewhere"},
]

RBAC: Dict[str, List[Body]] = {
    f"rbac.authorization.k8s.io/v1 {resource}": [
        {"body": {"roleRef": _ROLE}},
        {"body": {"roleRef": _ROLE, "subjects": _SUBJECTS}},
    ]
    for resource in ("rolebindings RoleBinding+", "clusterrolebindings ClusterRoleBinding")
}

_BUDGET = {"selector": {"matchLabels": {"a": "1"}}}

REST: Dict[str, List[Body]] = {
    "policy/v1 poddisruptionbudgets PodDisruptionBudget+": [
        {"body": {"spec": {}}},
        {
            "body": {"spec": {**_BUDGET, "minAvailable": 0}},
            "status": {
                "disruptionsAllowed": 2, "currentHealthy": 3, "desiredHealthy": 1, "expectedPods": 3,
                "conditions": [
                    {**conditions("DisruptionAllowed")[0], "reason": "SufficientPods", "message": ""}
                ],
            },
        },
        {"body": {"spec": {**_BUDGET, "maxUnavailable": "30%"}}},
    ],
    "node.k8s.io/v1 runtimeclasses RuntimeClass": [{"body": {"handler": "runsc"}}],
    "coordination.k8s.io/v1 leases Lease+": [{"body": {"spec": {"holderIdentity": "me", "renewTime": None}}}, {}],
    "coordination.k8s.io/v1beta1 leasecandidates LeaseCandidate+": [
        {"body": {"spec": {"leaseName": "l", "binaryVersion": "1.36.0", "strategy": "OldestEmulationVersion",
                           "emulationVersion": "1.35.0", "renewTime": "2026-01-05T00:00:00.000000Z"}}},
    ],
    "apiregistration.k8s.io/v1 apiservices APIService": [
        {
            "name": f"v1.{group}.krm.test",
            "body": {
                "spec": {
                    "group": f"{group}.krm.test", "version": "v1", "insecureSkipTLSVerify": True,
                    "groupPriorityMinimum": 1, "versionPriority": 1,
                    "service": {"namespace": NAMESPACE, "name": group, "port": 1},
                }
            },
            "status": {"conditions": state},
        }
        for group, state in (
            ("told", [{"type": "Available", "status": "False", "reason": "Gone"}]),
            ("plain", [{"type": "Other", "status": "True"}, {"type": "Available", "status": "False"}]),
            ("fine", [{"type": "Available", "status": "True", "reason": "Passed"}]),
            ("unknown", []),
        )
    ],
    "storagemigration.k8s.io/v1beta1 storageversionmigrations StorageVersionMigration": [
        {"body": {"spec": {"resource": {"resource": "pods"}}}},
        {
            "body": {"spec": {"resource": {"group": "apps", "resource": "deployments"}}},
            "status": {"conditions": [
                {**one, "reason": "R", "message": ""} for one in conditions("Running", "Succeeded")
            ]},
        },
    ],
    "internal.apiserver.k8s.io/v1alpha1 storageversions StorageVersion": [
        {
            "name": f"krm.test.{name}",
            "body": {"spec": {}},
            "status": {
                "storageVersions": [
                    {"apiServerID": f"s-{number}", "encodingVersion": "v1", "decodableVersions": ["v1"]}
                    for number in range(count)
                ],
                **({"commonEncodingVersion": "v1"} if count else {}),
            },
        }
        for name, count in (("none", 0), ("many", 5))
    ],
}  # fmt: skip
