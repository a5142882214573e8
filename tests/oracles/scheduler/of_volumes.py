"""Claims and volumes."""

from typing import List

from oracles.scheduler.bodies import (
    CPU2,
    Scenario,
    busy,
    claim,
    csi_node,
    hated,
    node,
    pod,
    storage_class,
    three,
    uses,
    volume,
)


def volumes() -> List[Scenario]:
    wait, now = storage_class("wait", "WaitForFirstConsumer"), storage_class("now", "Immediate")
    driver = "csi.example.com"
    zone_class = storage_class("zonal", "WaitForFirstConsumer", driver, "c")
    return [
        Scenario("a claim that is not there", pod(volumes=uses("none")), three()),
        Scenario(
            "a claim that waits to be bound at once",
            pod(volumes=uses("c1")),
            three(),
            others=[now, claim("c1", "now")],
        ),
        Scenario(
            "no volume for a claim that waits for its pod",
            pod(volumes=uses("c1")),
            three(),
            others=[wait, claim("c1", "wait")],
        ),
        Scenario(
            "a volume on another node that is full",
            pod(requests=CPU2, volumes=uses("c1")),
            three(),
            busy("n2", "n3"),
            [wait, claim("c1", "wait"), volume("v1", host="n2", class_name="wait")],
        ),
        Scenario(
            "a bound volume on one node",
            pod(requests=CPU2, volumes=uses("c1")),
            three(),
            busy("n2", "n3"),
            [claim("c1", "", "v1"), volume("v1", host="n2", bound="c1")],
        ),
        Scenario(
            "a bound volume in another zone",
            pod(requests=CPU2, volumes=uses("c1")),
            three(),
            busy("n2", "n3"),
            [claim("c1", "", "v1"), volume("v1", zone="b", bound="c1")],
        ),
        Scenario(
            "a volume that is of two zones",
            pod(labels={"app": "web"}, volumes=uses("c1")),
            three(),
            hated({"app": "web"}, "n1", "n2"),
            [claim("c1", "", "v1"), volume("v1", zone="a__c", bound="c1")],
        ),
        Scenario("a claim bound to no volume", pod(volumes=uses("c1")), three(), others=[claim("c1", "", "v9")]),
        Scenario(
            "a claim that lost its volume",
            pod(volumes=uses("c1")),
            three(),
            others=[claim("c1", "", "v9", phase="Lost")],
        ),
        Scenario(
            "a class that provisions in another zone",
            pod(volumes=uses("c1")),
            three(),
            others=[zone_class, claim("c1", "zonal")],
        ),
        Scenario("a class that is not there", pod(volumes=uses("c1")), three(), others=[claim("c1", "gone")]),
        Scenario(
            "read-write once, by one pod alone",
            pod(volumes=uses("c1")),
            three(),
            [pod("p1", "n1", volumes=uses("c1"))],
            [claim("c1", "", "v1", modes=["ReadWriteOncePod"]), volume("v1", bound="c1", mode="ReadWriteOncePod")],
        ),
        Scenario(
            "as many volumes as the driver takes",
            pod(volumes=uses("c2")),
            [node("n1"), node("n2")],
            [pod("p1", "n1", volumes=uses("c1"))],
            [
                csi_node("n1", driver, 1),
                csi_node("n2", driver, 0),
                claim("c1", "", "v1"),
                claim("c2", "", "v2"),
                volume("v1", driver=driver, bound="c1"),
                volume("v2", driver=driver, bound="c2"),
            ],
        ),
        Scenario(
            "an ephemeral claim that was not made yet",
            pod(
                volumes=[
                    {
                        "name": "scratch",
                        "ephemeral": {
                            "volumeClaimTemplate": {
                                "spec": {
                                    "accessModes": ["ReadWriteOnce"],
                                    "resources": {"requests": {"storage": "1Gi"}},
                                }
                            }
                        },
                    }
                ]
            ),
            three(),
        ),
    ]
