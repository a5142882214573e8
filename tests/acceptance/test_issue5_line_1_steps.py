"""Issue 5, line 1: a step in a container's CPU is in `krm top` within 10 s (p99 of 50), on simulated kubelets.

`krm top` prints what `client.usage` answers; the step is there once the value has come nine tenths of the way.
"""

from __future__ import annotations

import random
import time
from typing import Dict, List

import pytest
from kept_cluster import KeptCluster
from krm.client import connect
from krm.simulator.kubelet_loads import Load
from krm.simulator.kubelet_nodes import Node, pod
from krm.simulator.kubelets import Kubelets
from metered import Metered, until, whole

STEPS = 50
EVERY = 4.0  # seconds: the collector's default
OVER = 30.0  # seconds over which the steps are spread
LATEST = 10.0  # seconds
BEFORE, AFTER = 100.0, 900.0  # millicores


@pytest.mark.slow
def test_a_step_is_in_krm_top_within_ten_seconds(kept: KeptCluster) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    rng = random.Random(seed)
    start = time.time() - 600
    nodes = [
        Node(f"n{one}", [pod("shop", f"p{one}-{each}", start, {"app": Load(cpu=BEFORE)}) for each in range(10)])
        for one in range(5)
    ]
    with Kubelets(nodes) as kubelets:
        metered = Metered(kept, kubelets)
        with metered.collecting(every=EVERY), connect(kept.url, kept.name) as client:
            until("all is measured", whole(metered, nodes), 60)
            names = [(node.name, key) for node in nodes for key in node.pods]
            due = sorted((time.time() + rng.random() * OVER, name) for name in names)
            stepped: Dict[str, float] = {}
            seen: Dict[str, float] = {}
            deadline = time.time() + OVER + 3 * LATEST
            while len(seen) < STEPS and time.time() < deadline:
                now = time.time()
                while due and due[0][0] <= now:
                    node, key = due.pop(0)[1]
                    kubelets.step(node, key, "app", Load(cpu=AFTER))
                    stepped[key] = time.time()
                for row in client.usage("pods").rows:
                    key = f"{row.namespace}/{row.name}"
                    if key in stepped and key not in seen and row.cpu and row.cpu > BEFORE + 0.9 * (AFTER - BEFORE):
                        seen[key] = time.time()
                time.sleep(0.1)
    took: List[float] = sorted(seen[key] - stepped[key] for key in seen)
    print(f"steps seen {len(took)}, median {took[len(took) // 2]:.1f} s, last {took[-1]:.1f} s")
    assert len(took) == STEPS
    assert took[-1] <= LATEST  # of 50 the 99th percentile is the last
