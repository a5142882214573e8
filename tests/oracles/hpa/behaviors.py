"""Scenarios of spec.behavior, and of what the controller remembers from turn to turn."""

from typing import Any, List, Sequence

from parts import NOW_DOWN, Json, Scenario, Turns, many, one, resource, rules, spec, use


def behaviors() -> List[Scenario]:
    four, ten, hot = many(4), many(10), use(["300m"] * 4)
    cold = use(["5m"] * 10)

    def up(*given: Any) -> Json:
        return {"scaleUp": rules(*given), **NOW_DOWN}

    def down(*given: Any) -> Json:
        return {"scaleDown": rules(*given)}

    return [
        one("up by pods", spec(resource(50), behavior=up(0, "", "", ("Pods", 2, 60))), four, hot),
        one("up by percent", spec(resource(50), behavior=up(0, "", "", ("Percent", 30, 60))), four, hot),
        one(
            "up, the larger",
            spec(resource(50), behavior=up(0, "Max", "", ("Percent", 10, 60), ("Pods", 3, 60))),
            four,
            hot,
        ),
        one(
            "up, the smaller",
            spec(resource(50), behavior=up(0, "Min", "", ("Percent", 10, 60), ("Pods", 3, 60))),
            four,
            hot,
        ),
        one("up is disabled", spec(resource(50), behavior=up(None, "Disabled")), four, hot),
        one("up by the default", spec(resource(50), behavior=NOW_DOWN), four, hot),
        one(
            "up by pods, and the most",
            spec(resource(50), most=5, behavior=up(0, "", "", ("Pods", 2, 60))),
            four,
            hot,
        ),
        one("up is stabilised", spec(resource(50), behavior=up(120)), four, hot),
        one("down by pods", spec(resource(50), behavior=down(0, "", "", ("Pods", 3, 60))), ten, cold),
        one("down by percent", spec(resource(50), behavior=down(0, "", "", ("Percent", 25, 60))), ten, cold),
        one(
            "down, the larger",
            spec(resource(50), behavior=down(0, "Max", "", ("Percent", 15, 60), ("Pods", 4, 60))),
            ten,
            cold,
        ),
        one(
            "down, the smaller",
            spec(resource(50), behavior=down(0, "Min", "", ("Percent", 15, 60), ("Pods", 4, 60))),
            ten,
            cold,
        ),
        one("down is disabled", spec(resource(50), behavior=down(0, "Disabled")), ten, cold),
        one("down is stabilised", spec(resource(50), behavior=down(60)), ten, cold),
        one("down by the flag's window", spec(resource(50), behavior={"scaleUp": rules(0)}), ten, cold),
        one(
            "down by pods, and the least",
            spec(resource(50), least=9, behavior=down(0, "", "", ("Pods", 3, 60))),
            ten,
            cold,
        ),
        one(
            "tolerance up of 50 %",
            spec(resource(50), behavior={"scaleUp": rules(None, "", "500m")}),
            four,
            use(["70m"] * 4),
        ),
        one(
            "tolerance up of nothing",
            spec(resource(50), behavior={"scaleUp": rules(None, "", "0")}),
            four,
            use(["51m"] * 4),
        ),
        one("tolerance down of nothing", spec(resource(50), behavior=down(0, "", "0")), four, use(["37m"] * 4)),
        one("tolerance down of 50 %", spec(resource(50), behavior=down(0, "", "500m")), four, use(["26m"] * 4)),
        one(
            "tolerance up does not hold down",
            spec(resource(50), behavior={"scaleUp": rules(None, "", "900m"), **NOW_DOWN}),
            four,
            use(["30m"] * 4),
        ),
    ]


def over_time() -> List[Scenario]:
    """Several turns: what the controller remembers."""
    four, hot, cold, even = many(4), use(["90m"] * 4), use(["10m"] * 4), use(["50m"] * 4)

    def of(
        name: str, hpa: Json, *phases: Turns, pods: Sequence[Json] = four, settings: str = "default"
    ) -> Scenario:
        return Scenario(name, hpa, pods, phases, len(pods), len(pods), settings)

    pods_20 = {"scaleUp": rules(0, "", "", ("Pods", 2, 1800)), **NOW_DOWN}
    slow_down = {"scaleDown": rules(0, "", "", ("Pods", 1, 1800))}
    return [
        of("up and up again, one period", spec(resource(50), behavior=pods_20), Turns(use(["300m"] * 4), 3)),
        of(
            "up, then the period is over",
            spec(resource(50), behavior={"scaleUp": rules(0, "", "", ("Pods", 1, 8))}),
            Turns(use(["300m"] * 4), 5),
        ),
        of("down and down again", spec(resource(50), behavior=slow_down), Turns(cold, 3)),
        of("up, then down is held", spec(resource(50)), Turns(hot), Turns(cold, 2)),
        of("up, then down after the window", spec(resource(50)), Turns(hot), Turns(cold, 5), settings="short"),
        of(
            "down after the window of its own", spec(resource(50), behavior={"scaleDown": rules(8)}), Turns(cold, 4)
        ),
        of("up after its window", spec(resource(50), behavior={"scaleUp": rules(8)}), Turns(hot, 4)),
        of(
            "up and down in one period",
            spec(
                resource(50),
                behavior={
                    "scaleUp": rules(0, "", "", ("Pods", 3, 1800)),
                    "scaleDown": rules(0, "", "", ("Pods", 2, 1800)),
                },
            ),
            Turns(use(["300m"] * 4)),
            Turns(use(["1m"] * 4)),
            Turns(use(["300m"] * 4)),
            Turns(use(["1m"] * 4)),
        ),
        of(
            "a dip in the up window",
            spec(resource(50), behavior={"scaleUp": rules(600)}),
            Turns(even),
            Turns(hot),
            Turns(use(["200m"] * 4)),
        ),
        of("it is healed", spec(resource(50)), Turns({"resource": 500}), Turns(hot)),
        of("it breaks", spec(resource(50)), Turns(even), Turns({"resource": 500})),
        of("somebody else scales", spec(resource(50), behavior=NOW_DOWN), Turns(even), Turns(even, 1, 7, 7)),
        of("more pods come", spec(resource(50)), Turns(hot, 1), Turns(use(["90m"] * 7), 1, None, 7, many(3, 4))),
        of(
            "the HPA is changed",
            spec(resource(50)),
            Turns(even),
            Turns(even, 1, None, None, None, {"metrics": [resource(30)]}),
        ),
        of(
            "up, then down is held by its own window",
            spec(resource(50), behavior={"scaleUp": rules(0), "scaleDown": rules(1800)}),
            Turns(hot),
            Turns(cold, 3),
        ),
        of(
            "down with the memory of both",
            spec(
                resource(50),
                behavior={"scaleDown": rules(1800, "Min", "", ("Percent", 50, 1800), ("Pods", 2, 1800))},
            ),
            Turns(even),
            Turns(use(["30m"] * 4)),
            Turns(cold, 2),
        ),
    ]
