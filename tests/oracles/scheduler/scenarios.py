"""All scenarios, in the order in which they are recorded."""

from typing import List

from oracles.scheduler import of_nodes, of_pods, of_volumes
from oracles.scheduler.bodies import Scenario


def all_of_them() -> List[Scenario]:
    return [
        *of_nodes.resources(),
        *of_nodes.nodes(),
        *of_pods.neighbours(),
        *of_pods.preemption(),
        *of_volumes.volumes(),
    ]
