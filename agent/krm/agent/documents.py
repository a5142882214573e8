"""What the agent serves as JSON: /v1/node, /v1/processes, /v1/kills. Pure: a turn in, documents out.

docs/dev/agent-protocol.md says what each field is. A figure that is not known is not there; a limit that is not
set is "unlimited". Readers refuse documents above their bounds as a whole: what is too much is left out and told.
"""

from __future__ import annotations

import json
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Sequence, Tuple, TypeVar

from krm.agent.cgroupfs.places import printable
from krm.agent.seen import CONTAINER, OTHER, POD, QOS, Cgroup, Missing, Named, PodOverhead, Process, Seen
from krm.model.kills import Kill

VERSION = 1
# As many as docs/dev/agent-protocol.md promises: a reader takes no more.
MAX_CGROUPS = 4000  # a list: containers, pods, ...
MAX_PROCESSES = 20_000
MAX_KILLS = 1000
MAX_TEXT = 4096  # characters of a path or a command
# Bytes of the document that has this list.
MOST_BYTES = {"containers": 8 * 1024 * 1024, "processes": 16 * 1024 * 1024, "kills": 4 * 1024 * 1024}
# What goes first where a document is too large, and what goes last.
_SPARED = (
    "differences",
    "others",
    "sandboxes",
    "overheads",
    "qos_classes",
    "pods",
    "containers",
    "processes",
    "kills",
)

Document = Dict[str, Any]
T = TypeVar("T")


class Listed(NamedTuple):
    """The cgroups of a turn by what they are, and whose they are."""

    containers: List[Cgroup]
    sandboxes: List[Cgroup]
    pods: List[Cgroup]
    classes: List[Cgroup]
    others: List[Cgroup]
    owners: Mapping[str, Named]  # container id, and pod uid -> whose it is

    def owner(self, container_id: str, pod_uid: str) -> Named:
        """Of a pod's own cgroup and of a container that no runtime named, the pod alone, where that is known."""
        known = self.owners.get(container_id)
        if known is not None:
            return known
        of_pod = self.owners.get(pod_uid) if pod_uid else None
        return _NOBODY if of_pod is None else of_pod


_NOBODY = Named("", "", "", "")


def listed(seen: Seen) -> Listed:
    """A container is a sandbox where its runtime says so, or where pause is all that runs in it."""
    at: Dict[str, List[Cgroup]] = {CONTAINER: [], POD: [], QOS: [], OTHER: []}
    for cgroup in seen.cgroups:
        if cgroup.place.level in at:
            at[cgroup.place.level].append(cgroup)
    owners: Dict[str, Named] = {}
    for named in seen.named.values():
        if named.pod_uid:
            owners[named.pod_uid] = Named(named.namespace, named.pod, "", named.pod_uid)
    owners.update(seen.named)
    pausing = {one.container_id for one in seen.processes if one.is_pause}
    pausing -= {one.container_id for one in seen.processes if not one.is_pause}
    containers: List[Cgroup] = []
    sandboxes: List[Cgroup] = []
    for cgroup in at[CONTAINER]:
        known = seen.named.get(cgroup.place.container_id)
        is_sandbox = known.sandbox if known is not None else cgroup.place.container_id in pausing
        (sandboxes if is_sandbox else containers).append(cgroup)
    return Listed(containers, sandboxes, at[POD], at[QOS], at[OTHER], owners)


def packed(document: Document) -> bytes:
    """As it is served: ASCII, so that no name can break it, and no larger than its readers take."""
    most = next(size for name, size in MOST_BYTES.items() if name in document)
    body = _encoded(document)
    while len(body) > most:
        name = next((name for name in _SPARED if document.get(name)), "")
        if not name:
            break
        rows: List[Document] = document[name]
        keep = len(rows) // 2
        if name == "processes":
            rows = sorted(rows, key=lambda row: ("container_id" not in row, -row["rss"]))
        kept = rows[len(rows) - keep :] if name == "kills" else rows[:keep]
        why = f"a document has at most {most} bytes: {len(rows) - keep} of {len(rows)} are left out"
        document = {**document, name: kept, "missing": [*document["missing"], {"what": name, "why": why}]}
        body = _encoded(document)
    return body


def _encoded(document: Document) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode("ascii")


def node_document(seen: Seen) -> Document:
    """/v1/node: what the node, its pods and containers, and the runtime use."""
    every = listed(seen)
    missing = list(seen.missing)
    lists = {
        "containers": every.containers,
        "pods": every.pods,
        "qos_classes": every.classes,
        "sandboxes": every.sandboxes,
        "others": every.others,
    }
    started = {} if seen.booted is None else {"started": seen.booted}
    return {
        **_head(seen, seen.time),
        "turn": seen.turn,
        "processes_at": seen.processes_at,
        "cgroups": seen.version,
        "turn_cpu_seconds": seen.seconds,
        "node_figures": {**started, **seen.node_figures},
        **{
            name: [_cgroup(one, every) for one in _at_most(MAX_CGROUPS, cgroups, name, missing)]
            for name, cgroups in lists.items()
        },
        "runtime": [{**one._asdict(), "figures": dict(one.figures)} for one in seen.runtime],
        "overheads": [_overhead(one, every) for one in _at_most(MAX_CGROUPS, seen.overheads, "pods", missing)],
        "differences": [
            one._asdict() for one in _at_most(4 * MAX_CGROUPS, seen.differences, "differences", missing)
        ],
        "missing": _missing(missing),
    }


def processes_document(seen: Seen) -> Document:
    """/v1/processes: each process, whose it is, and what it uses."""
    every, missing = listed(seen), list(seen.missing)
    # Where there are too many, the containers' stay, and of them those that hold most.
    found: Sequence[Process] = seen.processes
    if len(found) > MAX_PROCESSES:
        found = sorted(found, key=lambda one: (one.container_id == "", -one.rss))
    kept = _at_most(MAX_PROCESSES, found, "processes", missing)
    known: Dict[Tuple[str, str, str], Document] = {}
    return {
        **_head(seen, seen.time if seen.processes_at is None else seen.processes_at),
        "booted": seen.booted,
        "processes": [_process(one, every, known) for one in kept],
        "missing": _missing(missing),
    }


def kills_document(seen: Seen) -> Document:
    """/v1/kills: the OOM kills that the agent knows of, the newest last."""
    return {
        **_head(seen, seen.time),
        "since": seen.kills_since,
        "kills": [_kill(kill) for kill in seen.kills[-MAX_KILLS:]],
        "missing": _missing(seen.missing),
    }


def _head(seen: Seen, at: float) -> Document:
    return {"version": VERSION, "node": seen.node, "time": at}


def _at_most(most: int, values: Sequence[T], what: str, missing: List[Missing]) -> Sequence[T]:
    if len(values) > most:
        missing.append(Missing(what, f"there are {len(values)}: a document tells of at most {most}"))
    return values[:most]


def _cgroup(cgroup: Cgroup, every: Listed) -> Document:
    place = cgroup.place
    owner = every.owner(place.container_id, place.pod_uid)
    row: Document = {"path": plain(place.path), "at": cgroup.at}
    if cgroup.started is not None:
        row["started"] = cgroup.started
    told = (
        ("id", place.container_id), ("pod_uid", place.pod_uid or owner.pod_uid), ("namespace", owner.namespace),
        ("pod", owner.pod), ("container", owner.container), ("image", owner.image), ("qos", place.qos),
        ("runtime", place.runtime), ("outer", place.outer),
    )  # fmt: skip
    row.update((name, plain(text)) for name, text in told if text)
    row.update(cgroup.figures)
    return row


def _overhead(overhead: PodOverhead, every: Listed) -> Document:
    owner = every.owner("", overhead.pod_uid)
    return {**overhead._asdict(), "namespace": owner.namespace, "pod": owner.pod}


def _process(process: Process, every: Listed, known: Dict[Tuple[str, str, str], Document]) -> Document:
    """`known`: whose the processes of a cgroup are. It is the same for all of them, and most of the row."""
    row: Document = {
        "pid": process.pid, "started_ticks": process.started_ticks, "ppid": process.ppid,
        "name": plain(process.name), "state": process.state, "threads": process.threads, "rss": process.rss,
        "cpu_ns": process.cpu_ns, "started": process.started,
    }  # fmt: skip
    if process.pid_inside is not None:
        row["pid_inside"] = process.pid_inside
    if process.uid is not None:
        row["uid"] = process.uid
    if process.pid_depth != 1:
        row["pid_depth"] = process.pid_depth
    if process.is_pause:
        row["is_pause"] = True
    if process.is_init:
        row["is_init"] = True
    if process.shares_pids_with:
        row["shares_pids_with"] = plain(process.shares_pids_with)
    if process.command:
        row["command"] = plain(process.command)
    where = process.cgroup, process.container_id, process.pod_uid
    whose = known.get(where)
    if whose is None:
        whose = known[where] = _whose(every, *where)
    row.update(whose)
    return row


def _whose(every: Listed, cgroup: str, container_id: str, pod_uid: str) -> Document:
    owner = every.owner(container_id, pod_uid) if container_id or pod_uid else _NOBODY
    told = (
        ("cgroup", cgroup), ("container_id", container_id), ("pod_uid", pod_uid),
        ("namespace", owner.namespace), ("pod", owner.pod), ("container", owner.container),
    )  # fmt: skip
    return {name: plain(text) for name, text in told if text}


def _kill(kill: Kill) -> Document:
    row = {name: value for name, value in kill._asdict().items() if value not in (None, "")}
    row.update((name, plain(value)) for name, value in row.items() if isinstance(value, str))
    row["witnesses"] = list(kill.witnesses)
    row["before"] = [moment._asdict() for moment in kill.before]
    return row


def _missing(missing: Iterable[Missing]) -> List[Document]:
    """Each once, in their order."""
    return [{"what": plain(one.what), "why": plain(one.why)} for one in dict.fromkeys(missing)]


def plain(text: str) -> str:
    """Bounded, with what no reader could keep or show written out."""
    if text.isprintable() and len(text) <= MAX_TEXT:
        return text
    return printable(text if len(text) <= MAX_TEXT else text[:MAX_TEXT])
