"""/simulator/...: the truth and the levers over HTTP, for a simulator that runs as a child process."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional

from .access import Rule
from .faults import ANY, COUNTED, LASTING
from .history import Change
from .kubelet_control import command, describe
from .messages import PLAIN, Answer, Request
from .wire import Object, dumps
from .world import Conflict
from .writes import mark_deleted

if TYPE_CHECKING:
    from .churn import Churn
    from .kubelets import Kubelets
    from .server import Server

LINES = "application/x-ndjson"


class Control:
    """One a server. `churn` and `kubelets` are set by whoever runs them."""

    def __init__(self, server: Server) -> None:
        self.server, self.world = server, server.world
        self.churn: Optional[Churn] = None
        self.kubelets: Optional[Kubelets] = None
        self._posts: Dict[str, Callable[[Object], Object]] = {
            "churn": self._churn,
            "fault": self._fault,
            "heal": self._heal,
            "mutate": self._mutate,
            "kinds": self._kinds,
            "access": self._access,
            "kubelets": lambda asked: command(self._all_kubelets(), asked),
            "pause": self._pause,
        }

    def answer(self, request: Request) -> Answer:
        """GET looks, POST (JSON body) changes; 400 {"error": text} where that fails."""
        name = "/".join(request.parts[1:])
        try:
            if request.method == "GET":
                return self._look(name, request)
            found = self._posts.get(name)
            if found is None:
                return Answer(404, b"404 page not found\n", PLAIN)
            return Answer(body=dumps(found(json.loads(request.body or b"{}"))) + b"\n")
        except (KeyError, ValueError, TypeError, Conflict) as error:
            return Answer(400, dumps({"error": "%s: %s" % (type(error).__name__, error)}) + b"\n")

    # -- looking

    def _look(self, name: str, request: Request) -> Answer:
        if name == "history":
            changes = self.world.history(request.value("kind"), int(request.value("after", "-1")))
            return Answer(content_type=LINES, stream=_lines(changes, request.value("bytes", "base64")))
        if name == "state":
            text = request.value("revision")
            return Answer(body=dumps(self._state(request.value("kind"), int(text) if text else None)) + b"\n")
        if name == "requests":
            rows = [{"method": m, "path": p, "count": n} for (m, p), n in sorted(self.server.requests.items())]
            return Answer(body=dumps({"requests": rows}) + b"\n")
        if name == "kubelets":
            return Answer(body=dumps(describe(self._all_kubelets())) + b"\n")
        if name == "":
            return Answer(body=dumps(self.summary()) + b"\n")
        return Answer(404, b"404 page not found\n", PLAIN)

    def summary(self) -> Object:
        """Revision, epoch, counts and current faults."""
        world = self.world
        with world.lock:
            kinds = {
                name: {"objects": len(log.current), "events": log.events, "trimmed": log.trimmed}
                for name, log in world.logs.items()
            }
            rate = self.churn.rate if self.churn is not None else 0
            return {
                "revision": world.revision,
                "compacted": world.compacted,
                "epoch": world.epoch,
                "churn": rate,
                "kinds": kinds,
                "faults": world.faults.describe(),
            }

    def _state(self, kind: str, revision: Optional[int]) -> Object:
        with self.world.lock:
            at = self.world.revision if revision is None else revision
            state = self.world.state_at(kind, at)
        return {"kind": kind, "revision": at, "objects": {key: _base64(body) for key, body in state.items()}}

    # -- changing

    def _churn(self, asked: Object) -> Object:
        if self.churn is None:
            raise ValueError("this simulator runs without churn")
        self.churn.rate = float(asked.get("rate", self.churn.rate))
        if "weights" in asked:
            self.churn.weights = {str(name): float(share) for name, share in asked["weights"].items()}
        if asked.get("turn"):
            self.churn.turn(int(asked["turn"]))
        return {"revision": self.world.revision}

    def _fault(self, asked: Object) -> Object:
        faults, fault = self.world.faults, str(asked["fault"])
        kind, count = str(asked.get("kind", ANY)), int(asked.get("count", 1))
        if fault == "drop":
            faults.drop(kind, count)
        elif fault in COUNTED:
            faults.count(fault, kind, count)
        elif fault == "stale":
            faults.stale(kind, asked.get("revision"), bool(asked.get("quorum", False)))
        elif fault == "cut_all":
            faults.cut_all()
        elif fault in LASTING:
            seconds = asked.get("seconds")
            limit = None if seconds is None else float(seconds)
            faults.last(fault, kind, limit, float(asked.get("value", 1.0)))
        else:
            raise ValueError("no fault is called %r" % fault)
        return {"faults": faults.describe()}

    def _heal(self, asked: Object) -> Object:
        self.world.faults.heal(asked.get("kind"))
        return {"faults": self.world.faults.describe()}

    def _mutate(self, asked: Object) -> Object:
        """action: create update delete terminate inject burst compact rollback."""
        world, action = self.world, str(asked["action"])
        kind, key = str(asked.get("kind", "")), str(asked.get("key", ""))
        if action == "create":
            world.create(kind, asked["object"])
        elif action == "update":
            world.update(kind, key, asked["object"])
        elif action == "delete":
            world.delete(kind, key)
        elif action == "terminate":
            mark_deleted(world, world.log(kind).kind, key, int(asked.get("seconds", 30)))
        elif action == "inject":
            world.inject(kind, key, base64.b64decode(asked["bytes"]))
        elif action == "burst":
            self._burst(kind, asked)
        elif action == "compact":
            world.compact(asked.get("revision"))
        elif action == "rollback":
            world.rollback(int(asked["revision"]), bool(asked.get("cut_watches", True)))
        else:
            raise ValueError("no action is called %r" % action)
        return {"revision": world.revision, "epoch": world.epoch, "compacted": world.compacted}

    def _burst(self, kind: str, asked: Object) -> None:
        """All at once (count), or paced (rate a second for so many seconds)."""
        if "rate" not in asked:
            self.world.burst(kind, int(asked["count"]))
        elif self.churn is None:
            raise ValueError("a paced burst needs churn")
        else:
            self.churn.pump(kind, float(asked["rate"]), float(asked["seconds"]))

    def _kinds(self, asked: Object) -> Object:
        if "add" in asked:
            self.world.add_kind(str(asked["add"]))
        if "remove" in asked:
            self.world.remove_kind(str(asked["remove"]))
        return {"kinds": [kind.name for kind in self.world.kinds()]}

    def _access(self, asked: Object) -> Object:
        """{"token": t, "user": u, "rules": [{"verbs": [], "kinds": [], "namespaces": []}]} or {"revoke": t}."""
        access = self.server.access
        if access is None:
            raise ValueError("this simulator lets everyone do everything: start it with a token")
        if "revoke" in asked:
            access.revoke(str(asked["revoke"]))
        else:
            rules = [Rule(**{name: tuple(value) for name, value in rule.items()}) for rule in asked["rules"]]
            access.allow(str(asked["token"]), str(asked.get("user", "u")), rules)
        return {}

    def _all_kubelets(self) -> Kubelets:
        if self.kubelets is None:
            raise ValueError("this simulator runs without kubelets")
        return self.kubelets

    def _pause(self, asked: Object) -> Object:
        """Refuse connections for `seconds`; this answer is the last before."""
        seconds = float(asked["seconds"])
        for delay, step in ((0.05, self.server.stop), (0.05 + seconds, self.server.resume)):
            timer = threading.Timer(delay, step)
            timer.daemon = True
            timer.start()
        return {"seconds": seconds}


def _base64(body: bytes) -> str:
    return base64.b64encode(body).decode()


def _lines(changes: Iterator[Change], form: str) -> Iterator[bytes]:
    """One JSON line an event; the bytes as base64, as their sha256, or not at all (none)."""
    batch: List[bytes] = []
    for change in changes:
        row: Dict[str, Any] = {
            "revision": change.revision,
            "type": change.type,
            "key": change.key,
            "uid": change.uid,
            "at": change.at,
        }
        if form == "base64":
            row["bytes"] = _base64(change.body)
        elif form == "sha256":
            row["sha256"] = hashlib.sha256(change.body).hexdigest()
        batch.append(dumps(row) + b"\n")
        if len(batch) >= 256:
            yield b"".join(batch)
            batch = []
    if batch:
        yield b"".join(batch)
