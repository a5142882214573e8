"""What `krm up` is to run: from its options to the command lines of its children."""

from __future__ import annotations

import argparse
import json
import os
import re
from typing import List, NamedTuple, Optional, Tuple

from krm.cli.checks import Source
from krm.cli.demo import VERIFY_EVERY
from krm.client.errors import BadRequest
from krm.client.names import is_cluster_scoped
from krm.model.kinds import DEFAULT_KINDS, BadKind, parse_kind

_CURRENT = re.compile(r"""^["']?current-context["']?\s*:\s*["']?([^"'\n#]+?)["']?\s*(?:#.*)?,?$""", re.M)
# Kinds that say whom a collector asks.
COLLECTED = ("pods", "nodes")
_MAX_KUBECONFIG = 4 * 1024 * 1024  # bytes


class Plan(NamedTuple):
    """All that was decided before the first process starts."""

    cluster: str
    redis: str  # '' = embedded
    kinds: Tuple[str, ...]
    kinds_named: Tuple[str, ...]  # by --kinds; () = the default
    left_out: Tuple[str, ...]  # defaults of no namespace, where only some namespaces are kept
    namespaces: Tuple[str, ...]
    kubeconfig: str
    context: str
    in_cluster: bool
    demo: bool
    verify_every: Optional[float]  # seconds, None = the verifier's own default
    env_values: str  # redact, keep
    collects: bool = False  # whether a collector runs
    history: str = ""  # file of its history, '' = in the folder of the logs, gone with it
    kubelet_ca: str = ""  # file of who signs the kubelets' certificates, '' = the cluster's own CA

    @property
    def source(self) -> Source:
        return Source(self.kubeconfig, self.context, self.in_cluster, self.demo)

    @property
    def pipelines(self) -> List[Tuple[str, str]]:
        """(kind, namespace) of each, the namespace '' for the whole cluster."""
        return [(kind, namespace) for kind in self.kinds for namespace in self.namespaces or ("",)]

    def stage_arguments(self, stage: str, url: str) -> List[str]:
        """After `python`."""
        arguments = ["-m", f"krm.{stage}", *self.kinds, "--redis", url, "--cluster", self.cluster]
        if self.namespaces:
            arguments += ["--namespaces", ",".join(self.namespaces)]
        if stage == "aggregator":
            return arguments  # it never sees an API server
        arguments += self.source.flags()
        arguments += ["--env-values", self.env_values]
        if stage == "verifier" and self.verify_every is not None:
            arguments += ["--verify-every", f"{self.verify_every:g}s"]
        return arguments

    def collector_arguments(self, url: str, history: str, token_file: str) -> List[str]:
        """After `python`. `history`: the file, where the plan names none. token_file: '' = it is not served."""
        arguments = ["-m", "krm.collector", "--redis", url, "--cluster", self.cluster]
        if self.namespaces:
            arguments += ["--namespaces", ",".join(self.namespaces)]
        arguments += ["--history", self.history or history]
        if token_file:
            arguments += ["--history-token-file", token_file]
        if self.kubelet_ca:
            arguments += ["--kubelet-ca", self.kubelet_ca]
        if self.demo:  # the addresses of its pods are made up, and may be somebody's
            arguments += ["--sources", "kubelet,cadvisor,summary"]
        return arguments + self.source.flags()


def make_plans(args: argparse.Namespace) -> List[Plan]:
    """One a cluster: each context once, in the order given. Raises BadRequest."""
    contexts: List[str] = list(dict.fromkeys(args.context or []))
    if len(contexts) > 1 and args.cluster:
        raise BadRequest("--cluster names one cluster: of several contexts each is called as its context")
    if len(contexts) > 1 and args.history:
        raise BadRequest("--history names the file of one cluster: of several each has one of its own")
    if len(contexts) < 2:
        return [make_plan(args, *contexts)]
    return [make_plan(args, context)._replace(cluster=context) for context in contexts]


def make_plan(args: argparse.Namespace, context: str = "") -> Plan:
    """Of one cluster. Raises BadRequest."""
    if sum(map(bool, (args.demo, args.in_cluster, args.kubeconfig or context))) > 1:
        raise BadRequest("--demo, --in-cluster and --kubeconfig/--context exclude one another")
    kinds = kinds_of(args.kinds)
    namespaces = tuple(_names("--namespaces", args.namespaces))
    # Whoever may read some namespaces may not read these: they would be forbidden for ever.
    default = tuple(map(str, DEFAULT_KINDS))
    left_out = tuple(filter(is_cluster_scoped, default)) if namespaces and not kinds else ()
    every = args.verify_every if args.verify_every is not None else (VERIFY_EVERY if args.demo else None)
    return Plan(
        cluster=args.cluster or os.environ.get("KRM_CLUSTER") or _cluster_name(args, context),
        redis=args.redis or os.environ.get("KRM_REDIS") or "",
        kinds=kinds or tuple(kind for kind in default if kind not in left_out),
        kinds_named=kinds,
        left_out=left_out,
        namespaces=namespaces,
        kubeconfig=args.kubeconfig or "",
        context=context,
        in_cluster=args.in_cluster,
        demo=args.demo,
        verify_every=every,
        env_values=args.env_values,
        collects=_collects(args, kinds, namespaces),
        history=os.path.abspath(args.history) if args.history else "",
    )


def _collects(args: argparse.Namespace, kinds: Tuple[str, ...], namespaces: Tuple[str, ...]) -> bool:
    """Whether there is a collector. Raises BadRequest where it was asked for and cannot be."""
    if args.no_collector and args.history:
        raise BadRequest("--no-collector measures nothing that --history could keep")
    lacking = [kind for kind in COLLECTED if kinds and kind not in kinds]
    if lacking and args.history:
        raise BadRequest(f"--history needs {' and '.join(lacking)} among --kinds: they say whom to measure")
    # Whoever may read some namespaces alone may ask no kubelet.
    return not (args.no_collector or lacking or namespaces)


def kinds_of(text: Optional[str]) -> Tuple[str, ...]:
    """--kinds A,B: each once, () where not given. Raises BadRequest."""
    try:
        return tuple(str(parse_kind(kind)) for kind in _names("--kinds", text))
    except BadKind as error:
        raise BadRequest(str(error)) from None


def _names(option: str, text: Optional[str]) -> List[str]:
    """Each once; [] where the option is not given. An empty one may come of a variable that is not set: refused."""
    if text is None:
        return []
    names = [name.strip() for name in text.split(",")]
    if not any(names):
        raise BadRequest(f"{option} names nothing: leave it out for its default, or name some: A,B")
    return list(dict.fromkeys(name for name in names if name))


def _cluster_name(args: argparse.Namespace, context: str) -> str:
    if args.demo:
        return "demo"
    if args.in_cluster:
        return "in-cluster"
    return context or current_context(args.kubeconfig) or "default"


def current_context(kubeconfig: Optional[str]) -> str:
    """The current context's name, '' where none is found. Of YAML only this one line is read: the stages read
    the rest, with a real parser."""
    paths = [kubeconfig] if kubeconfig else os.environ.get("KUBECONFIG", "").split(os.pathsep)
    if not any(paths):
        paths = [os.path.expanduser("~/.kube/config")]
    for path in filter(None, paths):
        if not os.path.isfile(path):
            continue  # a FIFO would hold us for ever
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                found = _current_of(file.read(_MAX_KUBECONFIG))
        except OSError:
            continue  # the stages say what is wrong with it
        if found:
            return found
    return ""


def _current_of(text: str) -> str:
    if text.lstrip().startswith("{"):
        try:
            found = json.loads(text).get("current-context")
        except (ValueError, RecursionError):
            return ""  # YAML that begins like JSON
        return found if isinstance(found, str) else ""
    line = _CURRENT.search(text)
    return line.group(1) if line else ""
