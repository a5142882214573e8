"""What other pods decide: affinity, spread, priorities."""

from typing import List

from oracles.scheduler.bodies import (
    CPU2,
    CPU8,
    DB,
    HIGH,
    HOST,
    LOW,
    NEVER,
    WEB,
    ZONE,
    Scenario,
    busy,
    hated,
    near,
    node,
    pod,
    port,
    spread,
    taint,
    three,
)


def neighbours() -> List[Scenario]:
    webs = [pod("w1", "n1", labels=WEB), pod("w3", "n3", labels=WEB)]
    lonely = near("podAntiAffinity", HOST, WEB)
    full = [pod(f"w{n}", f"n{n}", labels=WEB) for n in (1, 2, 3)]
    return [
        Scenario("affinity to pods that are nowhere", pod(affinity=near("podAffinity", HOST, DB)), three()),
        Scenario(
            "affinity to a pod on a node that is full",
            pod(requests={"cpu": "3"}, affinity=near("podAffinity", HOST, DB)),
            three(),
            [pod("d1", "n1", labels=DB, requests={"cpu": "2"})],
        ),
        Scenario(
            "affinity by a key that no node has",
            pod(labels=WEB, affinity=near("podAffinity", "example.com/rack", WEB)),
            three(),
        ),
        Scenario(
            "affinity to itself is no reason",
            pod(labels=WEB, requests=CPU8, affinity=near("podAffinity", HOST, WEB)),
            three(),
        ),
        Scenario(
            "affinity to another namespace",
            pod(affinity=near("podAffinity", HOST, DB, namespaces=["krm-other"])),
            three(),
            [pod("d1", "n1", labels=DB)],
        ),
        Scenario(
            "affinity by a namespace selector",
            pod(
                requests=CPU2,
                affinity=near("podAffinity", ZONE, DB, namespaceSelector={"matchLabels": {"team": "b"}}),
            ),
            three(),
            [*busy("n1", "n2"), pod("d1", "n1", "krm-other", labels=DB), pod("d3", "n3", "krm-third", labels=DB)],
        ),
        Scenario("anti-affinity", pod(labels=WEB, affinity=lonely), three(), full),
        Scenario(
            "anti-affinity by zone, and one node left that is full",
            pod(labels=WEB, requests=CPU2, affinity=near("podAntiAffinity", ZONE, WEB)),
            three(),
            [*busy("n3"), pod("w1", "n1", labels=WEB)],
        ),
        Scenario(
            "anti-affinity to every namespace",
            pod(affinity=near("podAntiAffinity", ZONE, WEB, namespaceSelector={})),
            three(),
            [pod("w1", "n1", "krm-other", labels=WEB), pod("w3", "n3", "krm-third", labels=WEB)],
        ),
        Scenario("anti-affinity of those that are there", pod(labels=WEB), three(), hated(WEB, "n1", "n2", "n3")),
        Scenario(
            "anti-affinity by matchLabelKeys",
            pod(
                labels={**WEB, "hash": "1"},
                requests=CPU2,
                affinity=near("podAntiAffinity", HOST, WEB, matchLabelKeys=["hash"]),
            ),
            three(),
            [
                *busy("n2", "n3"),
                pod("w1", "n1", labels={**WEB, "hash": "1"}),
                pod("w2", "n2", labels={**WEB, "hash": "2"}),
            ],
        ),
        Scenario(
            "spread over hosts",
            pod(labels=WEB, topologySpreadConstraints=[spread(HOST, WEB)], requests={"cpu": "2"}),
            [node("n1"), node("n2"), node("n3", "1")],
            [pod("w1", "n1", labels=WEB), pod("w2", "n2", labels=WEB)],
        ),
        Scenario(
            "spread over zones",
            pod(labels=WEB, topologySpreadConstraints=[spread(ZONE, WEB)], requests={"cpu": "3"}),
            three(),
            [pod("w1", "n1", labels=WEB), pod("b3", "n3", requests={"cpu": "2"})],
        ),
        Scenario(
            "spread by a key that some lack",
            pod(labels=WEB, topologySpreadConstraints=[spread("rack", WEB)], requests=CPU2),
            [node("n1", labels={"rack": "1"}), node("n2")],
            busy("n1"),
        ),
        Scenario(
            "spread with more domains than there are",
            pod(labels=WEB, topologySpreadConstraints=[spread(HOST, WEB, minDomains=5)]),
            three(),
            full,
        ),
        Scenario(
            "spread that honours taints",
            pod(
                labels=WEB,
                requests={"cpu": "3"},
                topologySpreadConstraints=[spread(HOST, WEB, nodeTaintsPolicy="Honor")],
            ),
            [node("n1"), node("n2"), node("n3", taints=[taint("a")])],
            [pod("w1", "n1", labels=WEB), pod("b2", "n2", requests={"cpu": "2"})],
        ),
        Scenario(
            "spread that ignores node affinity",
            pod(
                labels=WEB,
                nodeSelector={"pool": "x"},
                topologySpreadConstraints=[spread(HOST, WEB, nodeAffinityPolicy="Ignore")],
            ),
            [node("n1", labels={"pool": "x"}), node("n2")],
            [pod("w1", "n1", labels=WEB)],
        ),
        Scenario(
            "spread counts no pods of other namespaces",
            pod(labels=WEB, requests={"cpu": "3"}, topologySpreadConstraints=[spread(HOST, WEB)]),
            three(),
            [
                pod("w1", "n1", labels=WEB),
                pod("w2", "n2", "krm-other", labels=WEB, requests={"cpu": "2"}),
                pod("b3", "n3", requests={"cpu": "2"}),
            ],
        ),
        Scenario(
            "spread by matchLabelKeys",
            pod(
                labels={**WEB, "hash": "1"},
                requests=CPU2,
                topologySpreadConstraints=[spread(HOST, WEB, matchLabelKeys=["hash"])],
            ),
            three(),
            [
                *busy("n2", "n3"),
                pod("w1", "n1", labels={**WEB, "hash": "1"}),
                pod("w2", "n2", labels={**WEB, "hash": "2"}),
            ],
        ),
        Scenario(
            "spread over two keys",
            pod(labels=WEB, requests=CPU2, topologySpreadConstraints=[spread(HOST, WEB, 2), spread(ZONE, WEB)]),
            three(),
            [*busy("n3"), pod("w1", "n1", labels=WEB), pod("w2", "n1", labels=WEB)],
        ),
        Scenario(
            "spread with a selector of everything",
            pod(labels=WEB, requests=CPU2, topologySpreadConstraints=[{**spread(HOST, {}), "labelSelector": {}}]),
            three(),
            busy("n1", "n2", "n3"),
        ),
        Scenario(
            "a domain of a node that keeps the pod away does not count where taints are honoured",
            pod(labels=WEB, topologySpreadConstraints=[spread(HOST, WEB, nodeTaintsPolicy="Honor")]),
            [node("n1"), node("n2"), node("n3", taints=[taint("a")])],
            [pod("w1", "n1", labels=WEB), pod("w2", "n2", labels=WEB), *hated(WEB, "n1", "n2")],
        ),
        Scenario(
            "the same where taints are ignored",
            pod(labels=WEB, topologySpreadConstraints=[spread(HOST, WEB)]),
            [node("n1"), node("n2"), node("n3", taints=[taint("a")])],
            [pod("w1", "n1", labels=WEB), pod("w2", "n2", labels=WEB), *hated(WEB, "n1", "n2")],
        ),
        Scenario(
            "a pod that ends is not counted by the spread",
            pod(labels=WEB, topologySpreadConstraints=[spread(HOST, WEB)]),
            three(),
            [pod("w1", "n1", labels=WEB), pod("w2", "n2", labels=WEB), *hated(WEB, "n1", "n2", "n3")],
            ending=["w1"],
        ),
        Scenario(
            "a pod that ends still holds what it requested",
            pod(requests=CPU2),
            [node("n1")],
            busy("n1"),
            ending=["busy-n1"],
        ),
        Scenario(
            "the first of a series that wants to be near itself, where others want it apart",
            pod(labels=WEB, affinity=near("podAffinity", HOST, WEB)),
            three(),
            hated(WEB, "n1", "n2", "n3"),
        ),
        Scenario(
            "spread and anti-affinity",
            pod(labels=WEB, affinity=lonely, topologySpreadConstraints=[spread(ZONE, WEB, 2)]),
            three(),
            [*webs, pod("w2", "n2", labels=WEB)],
        ),
    ]


def preemption() -> List[Scenario]:
    lows = [pod(f"l{n}", f"n{n}", requests={"cpu": "3"}, priority=LOW) for n in (1, 2, 3)]
    return [
        Scenario("preemption that works", pod(requests={"cpu": "3"}, priority=HIGH), three(), lows),
        Scenario("preemption that is not allowed", pod(requests={"cpu": "3"}, priority=NEVER), three(), lows),
        Scenario(
            "preemption would not free enough",
            pod(requests={"cpu": "3"}, priority=HIGH),
            three(),
            [*lows, *[pod(f"h{n}", f"n{n}", requests={"cpu": "1500m"}, priority=HIGH) for n in (1, 2, 3)]][3:]
            + [pod("l1", "n1", requests={"cpu": "1"}, priority=LOW)],
        ),
        Scenario(
            "preemption on one node alone",
            pod(requests={"cpu": "3"}, priority=HIGH),
            three(),
            [lows[0], *[pod(f"h{n}", f"n{n}", requests={"cpu": "2"}, priority=HIGH) for n in (2, 3)]],
        ),
        Scenario(
            "victims would go, their anti-affinity stays elsewhere",
            pod(labels=WEB, priority=HIGH),
            three(),
            [
                pod("h1", "n1", priority=HIGH, affinity=near("podAntiAffinity", "kubernetes.io/os", WEB)),
                pod("l2", "n2", priority=LOW),
            ],
        ),
        Scenario(
            "a port held by a pod of lower priority and by another of higher",
            pod(ports=[port(80)], priority=HIGH),
            [node("n1")],
            [pod("h1", "n1", ports=[port(80)], priority=HIGH), pod("l1", "n1", priority=LOW)],
        ),
        Scenario(
            "victims free the spread of their node",
            pod(labels=WEB, priority=HIGH, requests=CPU2, topologySpreadConstraints=[spread(HOST, WEB)]),
            three(),
            [
                *busy("n3"),
                pod("w1", "n1", labels=WEB, priority=HIGH),
                pod("w2", "n2", labels=WEB, priority=HIGH),
                pod("l1", "n1", priority=LOW),
            ],
        ),
        Scenario(
            "a pod that waits for its place on a node holds it",
            pod(requests={"cpu": "3"}),
            [node("n1")],
            [pod("h1", "n1", requests=CPU2, priority=HIGH)],
        ),
        Scenario(
            "memory and cpu, victims of both kinds of priority",
            pod(requests={"cpu": "3", "memory": "5Gi"}),
            three(),
            [
                pod("l1", "n1", requests={"cpu": "2"}, priority=LOW),
                pod("h2", "n2", requests={"memory": "4Gi"}, priority=HIGH),
                pod("h3", "n3", requests={"cpu": "3"}, priority=HIGH),
                pod("h1", "n1", requests=CPU2, priority=HIGH),
            ],
        ),
    ]
