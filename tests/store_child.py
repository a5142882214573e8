"""Child processes of the store's tests: a writer that publishes as fast as it can, until killed.

`python store_child.py URL CLUSTER FENCE NAMESPACES OBJECTS`: takes over (or takes the dead one's
place), prints `ready`, then a line a version.
"""

from __future__ import annotations

import random
import sys
import time

from kind_pen import Pen
from krm.store.connect import connect
from krm.store.errors import StoreError
from krm.store.keys import Keys
from krm.store.publish import Writer


def main() -> None:
    url, cluster, fence, namespaces, objects = sys.argv[1:6]
    keys = Keys(cluster, "pods")
    pen = Pen(Writer(connect(url, name=fence), keys, fence), size=500)
    names = [f"ns{number % int(namespaces)}/pod-{number}" for number in range(int(objects))]
    head = pen.writer.read_head()
    pen.rv = int(head.rv or 0) if head else 0
    pen.begin(names, beat=time.time())
    print("ready", flush=True)
    chance = random.Random(fence)
    while True:
        try:
            pen.publish(*((name, chance.random() > 0.2) for name in chance.sample(names, 5)), beat=time.time())
        except StoreError as error:
            print(type(error).__name__, flush=True)
            return
        print(pen.writer.known.version if pen.writer.known else "", flush=True)


if __name__ == "__main__":
    main()
