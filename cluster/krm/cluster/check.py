"""The checks of `krm doctor` against an API server: can krm keep these kinds, and if not, what to do.

Each check gives lines; a line that fails names its remedy, where a right is missing the exact RBAC rule.
"""

from __future__ import annotations

import json
import time
from email.utils import parsedate_to_datetime
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from krm.cluster.discovery import ServerVersion, discover, server_version
from krm.cluster.errors import ClusterError, Expired, Malformed, NotFound, from_error_event
from krm.cluster.listing import freshness_probe
from krm.cluster.requests import JSON, Cluster
from krm.cluster.reviews import Right, allowed
from krm.cluster.watching import Watch, WatchClosed
from krm.model import versions
from krm.model.kinds import UNCACHED_KINDS, Kind, Resource

# resourceVersionMatch is since 1.19; what is below was never tried.
OLDEST = (1, 19)
# Seconds. Tokens are refused, and ages read wrong, when clocks differ more.
MAX_SKEW = 10.0
# Seconds of the watch that is opened for a bookmark: one comes 2 s before its end.
BOOKMARK_WATCH = 4


class Line(NamedTuple):
    """One check's result."""

    ok: bool
    check: str  # what was looked at, e.g. "rights pods"
    found: str
    remedy: str = ""  # of a failure


def run_checks(cluster: Cluster, kinds: Sequence[Kind], namespaces: Sequence[str] = ()) -> Iterator[Line]:
    """The lines, as they are found. After an API server that cannot be reached nothing more is asked."""
    try:
        version, skew = _hello(cluster)
    except ClusterError as error:
        yield Line(False, "reachable", f"{cluster.server} did not answer: {_name(error)}", str(error))
        return
    yield Line(True, "reachable", cluster.server)
    yield _version_line(version)
    yield _skew_line(skew)
    served: List[Resource] = []
    for kind in kinds:
        line, resource = _served(cluster, kind)
        yield line
        if resource is None:
            continue
        rights = _rights(cluster, resource, namespaces)
        yield rights
        if rights.ok:
            served.append(resource)
    yield from _reads(cluster, served, namespaces)


def rbac_rule(kind: Kind, verbs: Sequence[str]) -> str:
    """The rule to add to a ClusterRole (or a Role, for one namespace), as YAML in one line."""
    listed = ", ".join(verbs)
    return f'- {{apiGroups: ["{kind.group}"], resources: ["{kind.resource}"], verbs: [{listed}]}}'


def _hello(cluster: Cluster) -> Tuple[ServerVersion, Optional[float]]:
    version = server_version(cluster)
    asked = time.time()
    date = cluster.exchange("GET", "/version", None, JSON, timeout=15.0).date
    middle = (asked + time.time()) / 2
    try:
        # The header is cut to whole seconds: on average it is half a second early.
        return version, middle - parsedate_to_datetime(date).timestamp() - 0.5
    except (TypeError, ValueError, IndexError):
        return version, None


def _version_line(version: ServerVersion) -> Line:
    if (version.major, version.minor) >= OLDEST:
        return Line(True, "version", version.git)
    oldest = ".".join(map(str, OLDEST))
    return Line(False, "version", version.git, f"krm needs Kubernetes {oldest} or later")


def _skew_line(skew: Optional[float]) -> Line:
    if skew is None:
        return Line(False, "clock", "unknown, the answer has no Date", "look for a proxy that takes headers away")
    found = f"{skew:+.1f} s from the API server's"
    remedy = "set this machine's clock by NTP, or the API server's" if abs(skew) > MAX_SKEW else ""
    return Line(not remedy, "clock", found, remedy)


def _served(cluster: Cluster, kind: Kind) -> Tuple[Line, Optional[Resource]]:
    name = f"served {kind}"
    try:
        resource = discover(cluster, kind)
    except NotFound as error:
        return Line(False, name, "no", f"{error}; or leave it out of --kinds"), None
    except ClusterError as error:
        return Line(False, name, f"unknown: {_name(error)}", str(error)), None
    return Line(True, name, resource.api_version), resource


def _rights(cluster: Cluster, resource: Resource, namespaces: Sequence[str]) -> Line:
    kind = resource.kind
    name = f"rights {kind}"
    if namespaces and not resource.namespaced:
        return Line(False, name, "cluster-scoped", f"leave {kind} out of --kinds, or run without --namespaces")
    wanted = [Right(verb, kind, namespace) for namespace in namespaces or ("",) for verb in ("list", "watch")]
    try:
        verdicts = allowed(cluster, wanted)
    except ClusterError as error:
        return Line(False, name, f"unknown: {_name(error)}", str(error))
    missing: Dict[str, List[str]] = {}
    for right, verdict in zip(wanted, verdicts):
        if not verdict:
            missing.setdefault(right.namespace, []).append(right.verb)
    if not missing:
        return Line(True, name, "list, watch")
    remedies = []
    for namespace, verbs in missing.items():
        role = f"a Role in namespace {namespace}" if namespace else "a ClusterRole"
        remedies.append(f"add to {role} of krm's user: {rbac_rule(kind, verbs)}")
    lacking = "; ".join(
        f"no {' and no '.join(verbs)}" + (f" in {ns}" if ns else "") for ns, verbs in missing.items()
    )
    return Line(False, name, lacking, "; ".join(remedies))


def _reads(cluster: Cluster, served: Sequence[Resource], namespaces: Sequence[str]) -> Iterator[Line]:
    """A consistent read and a bookmark, of the first kind with a watch cache that may be read."""
    resource = next((one for one in served if one.kind not in UNCACHED_KINDS), None)
    if resource is None:
        return
    namespace = namespaces[0] if namespaces else None
    try:
        rv = freshness_probe(cluster, resource, namespace)
    except ClusterError as error:
        yield Line(False, "consistent read", f"failed: {_name(error)}", str(error))
        return
    yield Line(True, "consistent read", f"{resource.kind} at resourceVersion {rv}")
    yield _bookmark_line(cluster, resource, namespace, rv)


def _bookmark_line(cluster: Cluster, resource: Resource, namespace: Optional[str], rv: str) -> Line:
    name = "bookmarks"

    def now() -> int:
        return versions.parse(freshness_probe(cluster, resource, namespace))

    try:
        # A bookmark is sent only if it is later than the watch's start, so start before now.
        start = str(max(1, versions.parse(rv) - 1))
        watch = Watch(cluster, resource, namespace, start, timeout_seconds=BOOKMARK_WATCH)
        try:
            sent, owed = _first_bookmark(watch, now)
        finally:
            watch.close()
    except versions.MalformedVersion:
        return Line(
            False, name, "unknown", f"{resource.kind} has resourceVersions that are no numbers: leave it out"
        )
    except Expired:  # its watch history begins now
        return Line(True, name, "unknown, the API server has just started")
    except ClusterError as error:
        return Line(False, name, f"no watch: {_name(error)}", str(error))
    if sent or not owed:
        return Line(True, name, f"{resource.kind} sent one" if sent else "unknown, nothing was written meanwhile")
    remedy = "look for a proxy before the API server that drops parameters or holds answers back"
    return Line(False, name, f"{resource.kind} sent none in {BOOKMARK_WATCH} s", remedy)


def _first_bookmark(watch: Watch, now: Callable[[], int]) -> Tuple[bool, bool]:
    """Whether one came, and whether one had to: something was written that the watch did not show."""
    newest = owed = 0
    try:
        while True:
            for line in watch.poll(1.0):
                event = json.loads(line)
                if event["type"] == "BOOKMARK":
                    return True, True
                if event["type"] == "ERROR":
                    raise from_error_event(json.dumps(event["object"]).encode(), "WATCH")
                newest = versions.parse(event["object"]["metadata"]["resourceVersion"])
            owed = owed or now()  # at second 1 at the latest; the bookmark is due at second 2
    except WatchClosed:
        return False, owed > newest
    except (UnicodeDecodeError, json.JSONDecodeError, TypeError, KeyError, RecursionError):
        raise Malformed("the watch sent a line that is no event: look for a proxy before the API server") from None


def _name(error: ClusterError) -> str:
    return type(error).__name__
