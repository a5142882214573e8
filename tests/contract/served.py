"""krm as a cluster to ask: what is written goes to the API server behind it, what is read comes from krm."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, Iterator, Optional

import redis_servers
from acceptance.product import Product
from contract.api import Api, Json, Reply
from krm.model.kinds import DEFAULT_KINDS
from krm.simulator.server import Server
from krm.simulator.world import World

KINDS = (*map(str, DEFAULT_KINDS), "configmaps")
# Seconds within which krm has what was written.
SETTLED = 20.0


@dataclass
class KrmApi(Api):
    """Reads wait until krm holds what this test has written."""

    behind: Optional[Api] = None

    def __post_init__(self) -> None:
        self._written: Dict[str, int] = {}  # collections that krm may not have yet, with what it must have seen

    def ask(
        self, method: str, path: str, body: Optional[Json] = None, accept: str = "application/json", **query: object
    ) -> Reply:
        assert self.behind is not None
        if method == "GET":
            self._settle()
            return super().ask(method, path, body, accept, **query)
        reply = self.behind.ask(method, path, body, accept, **query)
        if reply.status < 300:
            collection = path if method == "POST" else path.rpartition("/")[0]
            version = int(reply.json.get("metadata", {}).get("resourceVersion", 0))
            self._written[collection] = max(version, self._written.get(collection, 0))
        return _without_managers(reply)

    def _settle(self) -> None:
        assert self.behind is not None
        deadline = time.monotonic() + SETTLED
        while self._written:
            path, least = next(iter(self._written.items()))
            listed = Api.ask(self, "GET", path)
            wanted, found = _versions(self.behind.get(path)), _versions(listed)
            if wanted == found and listed.status == 200 and int(listed.version) >= least:
                del self._written[path]
                continue
            assert time.monotonic() < deadline, f"{path}: krm has {found}, not {wanted}"
            time.sleep(0.02)


def _versions(reply: Reply) -> Dict[str, str]:
    if reply.status != 200:
        return {"": str(reply.status)}
    found = (item["metadata"] for item in reply.json["items"])
    return {f"{one.get('namespace', '')}/{one['name']}": one["resourceVersion"] for one in found}


def _without_managers(reply: Reply) -> Reply:
    """krm keeps no managedFields, so what a write answers is compared without them."""
    with contextlib.suppress(ValueError, AttributeError):
        found = reply.json
        if found["metadata"].pop("managedFields", None) is not None:
            return replace(reply, body=json.dumps(found).encode())
    return reply


@contextlib.contextmanager
def running(folder: Path) -> Iterator[KrmApi]:
    """A simulator, krm's stages on it and the server; ends with all kinds served."""
    (folder / "redis").mkdir()
    world = World(seed=2)
    with Server(world) as simulator, redis_servers.one(folder / "redis") as redis:
        config = folder / "kubeconfig"
        config.write_text(json.dumps(_kubeconfig(simulator.url)))
        with Product(folder, redis, "contract") as krm:
            for stage in ("aggregator", "verifier", "streamer"):
                access = () if stage == "aggregator" else ("--kubeconfig", str(config))
                quick = ("--verify-every", "2s") if stage == "verifier" else ()
                krm.stage(stage, KINDS, *access, *quick)
            port = redis_servers.free_port()
            where = ("--redis", redis.url, "--cluster", krm.cluster, "--port", str(port), "--auth", "none")
            krm.start("server", "-m", "krm.server", *where)
            behind = Api("simulator", simulator.url)
            api = KrmApi("krm", f"http://127.0.0.1:{port}", behind=behind)
            krm.wait("all kinds are served", lambda: _serves_all(api), 60.0)
            yield api


def _serves_all(api: Api) -> bool:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    try:
        groups = list(itertools.chain(*(api.get(path, accept).json["items"] for path in ("/api", "/apis"))))
    except (OSError, KeyError):
        return False
    return sum(len(version["resources"]) for group in groups for version in group["versions"]) == len(KINDS)


def _kubeconfig(url: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "it", "cluster": {"server": url}}],
        "users": [{"name": "it", "user": {}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "current-context": "it",
    }
