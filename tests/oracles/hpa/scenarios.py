"""What the real controller is put before: objects, numbers, and how they change. No expectations."""

from typing import List

from behaviors import behaviors, over_time
from parts import (
    FRESH,
    NOW_DOWN,
    YOUNG,
    Scenario,
    container,
    external,
    many,
    object_metric,
    one,
    per_pod,
    pod,
    pods_metric,
    raw,
    resource,
    spec,
    use,
)


def scenarios() -> List[Scenario]:
    return [
        *_utilization(),
        *_plain(),
        *_readiness(),
        *_missing(),
        *_of_all(),
        *_several(),
        *_bounds(),
        *behaviors(),
        *over_time(),
    ]


def _utilization() -> List[Scenario]:
    four = many(4)
    two_containers = [pod(f"p{number}", more={"side": {"cpu": "50m"}}) for number in range(3)]
    both = {
        "resource": {f"p{number}": {"use": {"app": {"cpu": "150m"}, "side": {"cpu": "10m"}}} for number in range(3)}
    }
    part = {"resource": {**both["resource"], "p2": {"use": {"app": {"cpu": "150m"}, "side": {"memory": "1Mi"}}}}}
    side = [pod(f"p{number}", sidecars={"proxy": {"cpu": "100m"}}) for number in range(2)]
    sided = {
        "resource": {
            f"p{number}": {"use": {"app": {"cpu": "150m"}, "proxy": {"cpu": "120m"}}} for number in range(2)
        }
    }
    level = [pod(f"p{number}", cpu=None, memory=None, pod_level={"cpu": "400m"}) for number in range(2)]
    half = [pod(f"p{number}", cpu="100m", memory=None, pod_level={"memory": "64Mi"}) for number in range(2)]
    return [
        one("cpu up", spec(resource(50)), four, use(["90m"] * 4)),
        one("cpu within the tolerance", spec(resource(50)), four, use(["54m"] * 4)),
        one("cpu at the edge of the tolerance", spec(resource(50)), four, use(["55m"] * 4)),
        one("cpu just beyond the tolerance", spec(resource(50)), four, use(["56m"] * 4)),
        one("cpu down, held by the window", spec(resource(50)), four, use(["10m"] * 4)),
        one("cpu down at once", spec(resource(50), behavior=NOW_DOWN), four, use(["10m"] * 4)),
        one("cpu down at the lower edge", spec(resource(50), behavior=NOW_DOWN), four, use(["45m"] * 4)),
        one("cpu down just beyond the lower edge", spec(resource(50), behavior=NOW_DOWN), four, use(["44m"] * 4)),
        one("percent is cut off", spec(resource(50)), many(3), use(["56m", "55m", "55m"])),
        one("uneven pods", spec(resource(60)), many(5), use(["10m", "190m", "1m", "150m", "99m"])),
        one("nanocores are rounded up", spec(resource(80)), many(2), use(["88000001n", "88000001n"])),
        one("memory up", spec(resource(60, "memory")), four, use(["90Mi", "80Mi", "70Mi", "99Mi"], "memory")),
        one("memory down", spec(resource(60, "memory"), behavior=NOW_DOWN), four, use(["20Mi"] * 4, "memory")),
        one("above 100 %", spec(resource(150)), many(3), use(["300m"] * 3)),
        one("usage of nothing", spec(resource(50), behavior=NOW_DOWN), four, use(["0"] * 4)),
        one("two containers", spec(resource(50)), two_containers, both),
        one("one container without the value", spec(resource(50)), two_containers, part),
        one("one container", spec(container(50)), two_containers, both),
        one("the other container", spec(container(50, "side"), behavior=NOW_DOWN), two_containers, both),
        one("a container that is not there", spec(container(50, "none")), two_containers, both),
        one("a sidecar counts", spec(resource(50)), side, sided),
        one("a sidecar alone", spec(container(50, "proxy")), side, sided),
        one("no request", spec(resource(50)), many(2, cpu=None), use(["90m"] * 2)),
        one("one pod without a request", spec(resource(50)), [*many(2), pod("p2", cpu=None)], use(["90m"] * 3)),
        one("requests of the pod", spec(resource(50)), level, use(["300m"] * 2)),
        one("requests of the pod, of another resource", spec(resource(50)), half, use(["90m"] * 2)),
        one("no pods", spec(resource(50)), [], {"resource": {"p0": {"use": {"app": {"cpu": "1"}}}}}, 2),
        one("values of others", spec(resource(50)), many(2), use([None, None, "90m", "90m"])),
        one("a stranger among the values", spec(resource(50)), many(2), use(["90m", "90m", "990m"])),
    ]


def _plain() -> List[Scenario]:
    four = many(4)
    return [
        one("raw cpu up", spec(raw("50m")), four, use(["90m"] * 4)),
        one("raw cpu down", spec(raw("50m"), behavior=NOW_DOWN), four, use(["11m"] * 4)),
        one("raw memory", spec(raw("100Mi", "memory")), four, use(["150Mi", "151Mi", "149Mi", "1"], "memory")),
        one("pods metric up", spec(pods_metric("10")), four, per_pod(["25", "15", "30500m", "10"])),
        one("pods metric down", spec(pods_metric("10"), behavior=NOW_DOWN), four, per_pod(["1", "2", "3", "4"])),
        one("pods metric within the tolerance", spec(pods_metric("10")), four, per_pod(["10", "11", "10", "11"])),
        one("pods metric in thousandths", spec(pods_metric("100m")), four, per_pod(["250m", "150m", "5m", "1"])),
        one("pods metric of 0", spec(pods_metric("10"), behavior=NOW_DOWN), four, per_pod(["0"] * 4)),
        one("pods metric of a stranger too", spec(pods_metric("10")), many(2), per_pod(["20", "20", "50"])),
        one("an empty pods metric", spec(pods_metric("10")), four, {"pods": {"rps": {}}}),
        one("a large pods metric", spec(pods_metric("1k"), most=1000), four, per_pod(["90M", "1k", "2k", "5"])),
    ]


def _readiness() -> List[Scenario]:
    young = [*many(3), pod("p3", **YOUNG)]
    unready = [*many(3), pod("p3", ready=False, started=60.0, changed=55.0)]
    late = [*many(3), pod("p3", ready=False, started=600.0, changed=590.0)]
    lost = [*many(3), pod("p3", ready=False, started=600.0, changed=100.0)]
    high = use(["90m"] * 4)
    return [
        one("an unready pod slows down", spec(resource(50)), unready, high),
        one("an unready pod, scaling down", spec(resource(50), behavior=NOW_DOWN), unready, use(["10m"] * 4)),
        one("a pod that was just ready", spec(resource(50)), young, use(["90m"] * 4, **FRESH)),
        one("a sample from before it was ready", spec(resource(50)), young, use(["90m"] * 4, age=35, window=15)),
        one("never ready after the delay", spec(resource(50)), late, high),
        one("ready once, and no more", spec(resource(50)), lost, high),
        one("no condition Ready", spec(resource(50)), [*many(3), pod("p3", ready=None)], high),
        one("no start time", spec(resource(50)), [*many(3), pod("p3", started=None)], high),
        one("pending", spec(resource(50)), [*many(3), pod("p3", phase="Pending", ready=None)], high),
        one("failed", spec(resource(50)), [*many(3), pod("p3", phase="Failed", ready=False)], high),
        one("succeeded", spec(resource(50)), [*many(3), pod("p3", phase="Succeeded", ready=False)], high),
        one("being deleted", spec(resource(50)), [*many(3), pod("p3", deleted=True)], high),
        one("none is ready", spec(resource(50)), many(3, phase="Pending", ready=None), use(["90m"] * 3)),
        one("unready of memory counts", spec(resource(50, "memory")), unready, use(["90Mi"] * 4, "memory")),
        one(
            "pending of memory",
            spec(resource(50, "memory")),
            [*many(3), pod("p3", phase="Pending", ready=None)],
            use(["90Mi"] * 4, "memory"),
        ),
        one("unready of a pods metric counts", spec(pods_metric("10")), unready, per_pod(["20"] * 4)),
        one(
            "pending of a pods metric",
            spec(pods_metric("10")),
            [*many(3), pod("p3", phase="Pending", ready=None)],
            per_pod(["20"] * 3),
        ),
        one(
            "pending turns the direction",
            spec(pods_metric("10")),
            [*many(2), *many(4, 2, phase="Pending", ready=None)],
            per_pod(["14"] * 2),
        ),
        one(
            "unready brings it within",
            spec(resource(50)),
            [*many(4), pod("p4", ready=False, started=60.0, changed=55.0)],
            use(["68m"] * 5),
        ),
        one(
            "short: left the initialisation",
            spec(resource(50)),
            [*many(3), pod("p3", ready=False, started=60.0, changed=55.0)],
            high,
            settings="short",
        ),
        one("short: the tolerance of the flag", spec(resource(50)), many(4), use(["59m"] * 4), settings="short"),
    ]


def _missing() -> List[Scenario]:
    four, five = many(4), many(5)
    return [
        one("missing, up", spec(resource(50)), four, use(["190m", "190m", "190m", None])),
        one("missing, up, within then", spec(resource(50)), four, use(["70m", "70m", "70m", None])),
        one("missing, down", spec(resource(50), behavior=NOW_DOWN), five, use(["10m", "10m", "10m", "10m", None])),
        one(
            "missing, down, the other way then", spec(resource(50), behavior=NOW_DOWN), many(2), use(["40m", None])
        ),
        one(
            "missing, down, above 100 %",
            spec(resource(150), behavior=NOW_DOWN),
            four,
            use(["60m", "60m", "60m", None]),
        ),
        one("missing at the target exactly", spec(resource(50)), four, use(["50m", "50m", "50m", None])),
        one(
            "missing and unready, up",
            spec(resource(50)),
            [*four, pod("p4", phase="Pending", ready=None)],
            use(["190m", "190m", "190m", None, "1m"]),
        ),
        one("all are missing", spec(resource(50)), four, {"resource": {}}),
        one("missing of a pods metric, up", spec(pods_metric("10")), four, per_pod(["40", "40", None, None])),
        one(
            "missing of a pods metric, down",
            spec(pods_metric("10"), behavior=NOW_DOWN),
            five,
            per_pod(["1", "2", "1", None, None]),
        ),
        one(
            "missing of raw memory, down",
            spec(raw("100Mi", "memory"), behavior=NOW_DOWN),
            four,
            use(["10Mi", "10Mi", None, None], "memory"),
        ),
        one(
            "down would turn up",
            spec(pods_metric("10"), behavior=NOW_DOWN),
            many(5),
            per_pod(["6", "6", "6", "6", None]),
            2,
        ),
        one("up would turn down", spec(pods_metric("10")), many(3), per_pod(["20", "20", None]), 6),
        one("the API of resources is broken", spec(resource(50)), four, {"resource": 500}),
        one("the API of resources is forbidden", spec(container(50)), four, {"resource": 403}),
        one("no such pods metric", spec(pods_metric("10")), four, {}),
    ]


def _of_all() -> List[Scenario]:
    four = many(4)
    mixed = [*many(2), pod("p2", ready=False, started=60.0, changed=55.0), pod("p3", phase="Pending", ready=None)]
    return [
        one("object value up", spec(object_metric("10")), four, {"object": {"hits": "25"}}),
        one("object value down", spec(object_metric("100"), behavior=NOW_DOWN), four, {"object": {"hits": "25"}}),
        one("object value within", spec(object_metric("10")), four, {"object": {"hits": "10900m"}}),
        one("object value, two are ready", spec(object_metric("10")), mixed, {"object": {"hits": "30"}}),
        one("object average up", spec(object_metric("10", average=True)), four, {"object": {"hits": "95"}}),
        one(
            "object average down",
            spec(object_metric("10", average=True), behavior=NOW_DOWN),
            four,
            {"object": {"hits": "15"}},
        ),
        one("object average within", spec(object_metric("10", average=True)), four, {"object": {"hits": "43"}}),
        one("no such object metric", spec(object_metric("10")), four, {}),
        one("external value up", spec(external("30")), four, {"external": {"queue": ["40", "20500m"]}}),
        one("external value down", spec(external("30"), behavior=NOW_DOWN), four, {"external": {"queue": ["7"]}}),
        one("external value, two are ready", spec(external("30")), mixed, {"external": {"queue": ["100"]}}),
        one(
            "external average up", spec(external("30", average=True)), four, {"external": {"queue": ["100", "99"]}}
        ),
        one(
            "external average down",
            spec(external("30", average=True), behavior=NOW_DOWN),
            four,
            {"external": {"queue": ["31"]}},
        ),
        one("external average within", spec(external("30", average=True)), four, {"external": {"queue": ["125"]}}),
        one(
            "external average without status",
            spec(external("30", average=True)),
            four,
            {"external": {"queue": ["100"]}},
            status_replicas=3,
        ),
        one(
            "external average, labels",
            spec(external("30", average=True, labels={"queue": "worker"})),
            four,
            {"external": {"queue": ["199"]}},
        ),
        one("external of 0", spec(external("30"), behavior=NOW_DOWN), four, {"external": {"queue": ["0"]}}),
        one("an empty external metric", spec(external("30")), four, {"external": {"queue": []}}),
        one("no such external metric", spec(external("30")), four, {}),
    ]


def _several() -> List[Scenario]:
    four = many(4)
    both = {**use(["60m"] * 4), **per_pod(["35"] * 4)}
    low = {**use(["10m"] * 4), **per_pod(["2"] * 4)}
    return [
        one("the largest wins", spec(resource(50), pods_metric("10")), four, both),
        one(
            "one up, one down",
            spec(resource(50), pods_metric("10")),
            four,
            {**use(["10m"] * 4), **per_pod(["20"] * 4)},
        ),
        one("both down", spec(resource(50), pods_metric("10"), behavior=NOW_DOWN), four, low),
        one("one is broken, the other up", spec(resource(50), pods_metric("10")), four, use(["90m"] * 4)),
        one("the first is broken, the other up", spec(pods_metric("10"), resource(50)), four, use(["90m"] * 4)),
        one(
            "one is broken, the other down",
            spec(resource(50), pods_metric("10"), behavior=NOW_DOWN),
            four,
            use(["10m"] * 4),
        ),
        one("one is broken, the other stays", spec(resource(50), pods_metric("10")), four, use(["50m"] * 4)),
        one("both are broken", spec(pods_metric("10"), external("5")), four, {}),
        one(
            "three kinds",
            spec(resource(50), external("30"), object_metric("10", average=True)),
            four,
            {**use(["60m"] * 4), "external": {"queue": ["50"]}, "object": {"hits": "130"}},
        ),
        one(
            "zero and something",
            spec(external("30"), pods_metric("10"), behavior=NOW_DOWN),
            four,
            {"external": {"queue": ["0"]}, **per_pod(["5"] * 4)},
        ),
    ]


def _bounds() -> List[Scenario]:
    four = many(4)
    return [
        one("at most", spec(resource(50), most=5), four, use(["90m"] * 4)),
        one("at least", spec(resource(50), least=3, behavior=NOW_DOWN), four, use(["10m"] * 4)),
        one("twice as many at most", spec(resource(10)), four, use(["90m"] * 4)),
        one("four at least", spec(resource(10)), many(1), use(["99m"])),
        one("above the most", spec(resource(50), most=3), four, {}, silent=True),
        one("below the least", spec(resource(50), least=6), four, {}, silent=True),
        one("no replicas", spec(resource(50)), [], {}, 0, silent=True),
        one("two HPAs for the same pods", spec(pods_metric("10")), four, {}, silent=True, rivals=1),
        one("the least holds without behaviour", spec(resource(50), least=4), four, use(["10m"] * 4)),
    ]
