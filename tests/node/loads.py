"""The known load: what a container uses is known before anyone measures it."""

from controlplane.kubeapi import Json
from node.real import Node, container

POD = "busy"
CAPPED, HOLDING = "capped", "holding"
CORES = 0.2
HELD = 64 * 1024 * 1024
LIMIT = "128Mi"


def run_loads(node: Node) -> Json:
    """Pod POD: CAPPED wants a whole core and gets CORES; HOLDING keeps HELD bytes and does nothing."""
    capped = {"limits": {"cpu": f"{CORES * 1000:.0f}m", "memory": LIMIT}}
    # dd has filled its one block and waits for a reader that never comes.
    hold = f"dd if=/dev/zero bs={HELD} count=1 2>/dev/null | sleep 2147483647"
    return node.run_pod(
        POD,
        [
            container(CAPPED, "while :; do :; done", resources=capped),
            container(HOLDING, hold, resources={"limits": {"memory": LIMIT}}),
        ],
    )
