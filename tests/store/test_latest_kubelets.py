"""Kubelets' settings in Redis: what was written is read, and what rotted costs one node."""

from __future__ import annotations

import msgpack
import pytest
from krm.model.kubelets import KubeletConfig, NodeKubelet
from krm.model.measures import Covers
from krm.store.connect import Database
from krm.store.errors import Corrupt
from krm.store.keys import Keys, latest_key
from krm.store.latest import CollectorState
from krm.store.latest_kubelets import MAX_PACKED, KubeletsReader, pack_kubelet, unpack_kubelet
from krm.store.latest_writer import LatestWriter, Turn

NOW = 1_800_000_000.0
STATE = CollectorState("", "", 4.0, (), {}, (), Covers(1, 1, "nodes"))
KNOWN = NodeKubelet(
    "n1",
    KubeletConfig({"memory.available": "1Gi"}, {"memory.available": "2Gi"}, {"memory.available": "1m0s"},
                  {"memory.available": "500Mi"}, "5m0s", 110, ("pods",)),
    NOW,
)  # fmt: skip
REFUSED = NodeKubelet("n2", None, None, "403: krm's account lacks the right")


@pytest.mark.parametrize("one", [KNOWN, REFUSED, NodeKubelet("n3", KubeletConfig({}), NOW, "it is away")])
def test_what_was_packed_is_unpacked(one: NodeKubelet) -> None:
    assert unpack_kubelet(one.node, pack_kubelet(one)) == one


@pytest.mark.parametrize(
    "rotten",
    [b"", b"\xc1", pack_kubelet(KNOWN)[:-5], msgpack.packb([1, 2]), msgpack.packb([["much"] * 7, 1.0, ""]),
     msgpack.packb([None, 1.0, "x" * MAX_PACKED])],
)  # fmt: skip
def test_bytes_that_rotted_or_swell_are_refused(rotten: bytes) -> None:
    with pytest.raises(Corrupt, match="n1"):
        unpack_kubelet("n1", rotten)


def test_readers_get_what_the_holder_of_the_lease_wrote(database: Database, keys: Keys) -> None:
    writer, reader = LatestWriter(database, keys.cluster), KubeletsReader(database, keys.cluster)
    assert (reader.read().nodes, reader.read().collector) == ({}, None)
    assert writer.take()
    both = {one.node: pack_kubelet(one) for one in (KNOWN, REFUSED)}
    writer.write(Turn({}, {}, {}, STATE, kubelets=both))
    assert reader.read().nodes == {"n1": KNOWN, "n2": REFUSED}
    key = latest_key(keys.cluster, "kubelets")
    database.link(key).call("HSET", key, "n2", b"rotten")
    assert (list(reader.read().nodes), reader.read().rotten) == (["n1"], ("n2",))
    writer.write(Turn({}, {}, {}, STATE, kubelets={}))
    assert reader.read().nodes.keys() <= {"n2"}  # what was left is taken away; nobody else's field is
