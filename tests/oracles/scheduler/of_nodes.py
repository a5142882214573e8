"""What nodes have and are: resources, taints, labels, ports."""

from typing import List

from oracles.scheduler.bodies import (
    CPU8,
    HOST,
    Scenario,
    container,
    expression,
    field,
    node,
    pod,
    port,
    required,
    taint,
    three,
)


def resources() -> List[Scenario]:
    big = {"cpu": "3", "memory": "6Gi"}
    full = [pod(f"p{n}", f"n{n}", requests={"cpu": "3"}) for n in (1, 2, 3)]
    sidecar = container("side", {"cpu": "2"}, restartPolicy="Always")
    return [
        Scenario("no nodes", pod(requests=CPU8)),
        Scenario("cpu beyond every node", pod(requests=CPU8), three()),
        Scenario("cpu taken by pods of the same priority", pod(requests={"cpu": "2"}), three(), full),
        Scenario(
            "memory beyond two of three",
            pod(requests=big),
            [node("n1", memory="4Gi"), node("n2", memory="2Gi"), node("n3", "2")],
        ),
        Scenario("cpu and memory on one node", pod(requests={"cpu": "9", "memory": "99Gi"}), three()),
        Scenario("cpu taken, memory beyond", pod(requests={"cpu": "2", "memory": "99Gi"}), three(), full),
        Scenario("ephemeral storage", pod(requests={"ephemeral-storage": "21Gi"}), three()),
        Scenario("extended resource that no node has", pod(requests={"example.com/gpu": "1"}), three()),
        Scenario(
            "extended resource all taken",
            pod(requests={"example.com/gpu": "2"}),
            [node("n1", extended={"example.com/gpu": "2"}), node("n2", extended={"example.com/gpu": "1"})],
            [pod("p1", "n1", requests={"example.com/gpu": "1"})],
        ),
        Scenario(
            "huge pages",
            pod(requests={"hugepages-2Mi": "64Mi", "cpu": "1", "memory": "1Gi"}),
            [node("n1", extended={"hugepages-2Mi": "32Mi"}), node("n2")],
        ),
        Scenario(
            "pod count", pod(), [node("n1", pods="1"), node("n2", pods="1")], [pod("p1", "n1"), pod("p2", "n2")]
        ),
        Scenario("pod count and cpu", pod(requests=CPU8), [node("n1", pods="1"), node("n2")], [pod("p1", "n1")]),
        Scenario(
            "init container asks for most",
            pod(requests={"cpu": "1"}, init=[container("init", {"cpu": "5"})]),
            three(),
        ),
        Scenario("sidecar adds to the containers", pod(requests={"cpu": "2500m"}, init=[sidecar]), three()),
        Scenario(
            "sidecar beside an init container",
            pod(requests={"cpu": "1"}, init=[sidecar, container("init", {"cpu": "2500m"})]),
            three(),
        ),
        Scenario("pod-level request", pod(requests={"cpu": "1"}, resources={"requests": {"cpu": "5"}}), three()),
        Scenario(
            "fractions of a millicore round up",
            pod(requests={"cpu": "2"}),
            [node("n1", "3")],
            [pod("p1", "n1", requests={"cpu": "999m"}), pod("p2", "n1", requests={"cpu": "2m"})],
        ),
        Scenario(
            "a node without room for a byte",
            pod(requests={"memory": "1"}),
            [node("n1", memory="1Gi")],
            [pod("p1", "n1", requests={"memory": "1Gi"})],
        ),
    ]


def nodes() -> List[Scenario]:
    tainted = [
        node("n1", taints=[taint("dedicated", "db")]),
        node("n2", taints=[taint("gpu", "", "NoExecute")]),
        node("n3", taints=[taint("soft", "", "PreferNoSchedule")], cpu="1"),
    ]
    tolerates = [{"key": "dedicated", "operator": "Equal", "value": "web", "effect": "NoSchedule"}]
    exists = [{"key": "dedicated", "operator": "Exists", "effect": "NoExecute"}]
    disk = {"disktype": "ssd"}
    some = [node("n1", labels={"cores": "4"}), node("n2", labels={"cores": "16", **disk}), node("n3", labels=disk)]
    return [
        Scenario("all cordoned", pod(), three(unschedulable=True)),
        Scenario(
            "cordoned, tolerated, but too small",
            pod(requests=CPU8, tolerations=[{"operator": "Exists"}]),
            three(unschedulable=True),
        ),
        Scenario("taints", pod(requests={"cpu": "2"}), tainted),
        Scenario(
            "a toleration of another value",
            pod(tolerations=tolerates),
            [node("n1", taints=[taint("dedicated", "db")])],
        ),
        Scenario(
            "a toleration of another effect",
            pod(tolerations=exists),
            [node("n1", taints=[taint("dedicated", "db")])],
        ),
        Scenario(
            "tolerated, too small",
            pod(requests=CPU8, tolerations=[{"key": "dedicated", "operator": "Exists"}]),
            [node("n1", taints=[taint("dedicated", "db")]), node("n2", unschedulable=True)],
        ),
        Scenario("node selector", pod(nodeSelector={"disktype": "nvme"}), some),
        Scenario("node selector, and the one is too small", pod(nodeSelector=disk, requests={"cpu": "5"}), some),
        Scenario(
            "node affinity: NotIn, Exists",
            pod(
                affinity=required(
                    {
                        "matchExpressions": [
                            {"key": "disktype", "operator": "NotIn", "values": ["ssd"]},
                            {"key": "disktype", "operator": "Exists"},
                        ]
                    }
                )
            ),
            some,
        ),
        Scenario("node affinity: Gt", pod(affinity=required(expression("cores", "Gt", "16"))), some),
        Scenario(
            "node affinity: Lt or DoesNotExist",
            pod(affinity=required(expression("cores", "Lt", "4"), expression(HOST, "DoesNotExist"))),
            some,
        ),
        Scenario(
            "selector and affinity together",
            pod(nodeSelector=disk, affinity=required(expression("cores", "In", "4"))),
            some,
        ),
        Scenario("affinity to a node by name", pod(requests=CPU8, affinity=required(field("In", "n2"))), three()),
        Scenario("affinity to a node that is not there", pod(affinity=required(field("In", "n9"))), three()),
        Scenario(
            "affinity to a name and to a label that it has not",
            pod(affinity=required({**field("In", "n2"), **expression("disktype", "In", "hdd")})),
            three(),
        ),
        Scenario(
            "affinity away from every node by name",
            pod(
                affinity=required(
                    {
                        "matchFields": [
                            {"key": "metadata.name", "operator": "NotIn", "values": [name]}
                            for name in ("n1", "n2", "n3")
                        ]
                    }
                )
            ),
            three(),
        ),
        Scenario(
            "affinity to two names at once",
            pod(
                affinity=required(
                    {
                        "matchFields": [
                            {"key": "metadata.name", "operator": "In", "values": [name]} for name in ("n1", "n2")
                        ]
                    }
                )
            ),
            three(),
        ),
        Scenario(
            "host port",
            pod(ports=[port(80)]),
            three(),
            [pod(f"p{n}", f"n{n}", ports=[port(80)]) for n in (1, 2, 3)],
        ),
        Scenario(
            "host port of one address",
            pod(ports=[port(80, hostIP="127.0.0.1")]),
            [node("n1"), node("n2", "1")],
            [pod("p1", "n1", ports=[port(80)]), pod("p2", "n2", ports=[port(80, hostIP="127.0.0.1")])],
        ),
        Scenario(
            "host port of another protocol is free",
            pod(ports=[port(80, protocol="UDP"), port(81)]),
            [node("n1")],
            [pod("p1", "n1", ports=[port(80), port(81)])],
        ),
        Scenario(
            "a bit of everything",
            pod(requests={"cpu": "3"}, nodeSelector={"kubernetes.io/os": "linux"}),
            [
                node("n1", unschedulable=True),
                node("n2", taints=[taint("a")]),
                node("n3", labels={"kubernetes.io/os": "windows"}),
                node("n4", "2"),
                node("n5"),
            ],
            [pod("p5", "n5", requests={"cpu": "2"})],
        ),
    ]
