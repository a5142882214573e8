"""From the words of a command line to what a subcommand reads: --redis, --cluster and KIND."""

from __future__ import annotations

import argparse
import os
import stat
from contextlib import contextmanager
from typing import Iterator, Optional

from krm.client.client import Client, connect
from krm.client.contexts import Context, config_path, read
from krm.client.errors import BadRequest, UnknownCluster, Unreachable
from krm.client.locate import running_here
from krm.client.source import Source

# Bytes of a token's file; a service account's has about 1 KB.
MAX_TOKEN = 64 * 1024


def open_client(args: argparse.Namespace, name: str = "krm-cli") -> Client:
    """Raises KrmError."""
    chosen = _place(args)
    if chosen is None:
        _require_running(args)
        return connect(args.redis, args.cluster, name=name)
    return connect(
        chosen.url or None,
        args.cluster or chosen.cluster or None,
        name,
        token=read_token(chosen.token_file),
        ca=chosen.ca,
        kubeconfig=chosen.kubeconfig,
        # Beside a kubeconfig that was typed --context is one of that file, as kubectl has it.
        context=(args.place or "") if getattr(args, "server_kubeconfig", None) else "",
    )


def _place(args: argparse.Namespace) -> Optional[Context]:
    """What the command line says of a server, else a context; None = KRM_REDIS or the krm up of this machine."""
    given = Context(
        args.redis or "",
        kubeconfig=getattr(args, "server_kubeconfig", None) or "",
        ca=getattr(args, "server_ca", None) or "",
        token_file=getattr(args, "server_token", None) or "",
    )
    if given.url and getattr(args, "place", None):
        raise BadRequest("--context names a place to read from, and so does --url: give one of them")
    if given.url or given.kubeconfig:
        return given
    if given != Context(""):
        raise BadRequest("--ca and --token-file go with --url https://...")
    # What was typed goes before what the environment says.
    return None if os.environ.get("KRM_REDIS") and not getattr(args, "place", None) else _context(args)


def read_token(path: str) -> str:
    """The token in a file; '' without one. Raises BadRequest, which never shows what is in it."""
    if not path:
        return ""
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_TOKEN:
            raise BadRequest(f"{path} holds no token: a regular file of at most {MAX_TOKEN} bytes is meant")
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError as error:
        raise BadRequest(f"the token in {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadRequest(f"the token in {path} cannot be read: it is no ASCII") from None


def _context(args: argparse.Namespace) -> Optional[Context]:
    """The context that is named, or the current one of krm's configuration, where there is one."""
    return read(config_path()).chosen(getattr(args, "place", None) or os.environ.get("KRM_CONTEXT"))


def chosen_namespace(client: Client, args: argparse.Namespace) -> Optional[str]:
    """Of what reads all unless told: -n, else that of the kubeconfig's context; None = all."""
    if args.all_namespaces:
        return None
    return args.namespace if args.namespace is not None else client.directory.namespace


def open_directory(args: argparse.Namespace) -> Source:
    """For what needs heads alone. Raises KrmError."""
    return open_client(args).directory


@contextmanager
def followed(client: Client) -> Iterator[None]:
    """Around what goes on for long: where the `krm up` that it reads from ends meanwhile, that is told."""
    try:
        yield
    except Unreachable:
        if client.directory.expected and not any(state["cluster"] == client.cluster for state in running_here()):
            ended = "the krm up of this machine has ended, and with it what it kept: start it again"
            raise Unreachable(ended) from None
        raise


def resolve(client: Client, word: str) -> str:
    """The kind that a person means, as kubectl spells it: also SHORT.GROUP. Raises BadRequest."""
    if "," in word or word == "all":
        raise BadRequest(f"{word!r} means several kinds: krm reads one kind at a time")
    short, dot, group = word.lower().partition(".")
    if dot and word.lower() not in client.kinds():
        try:
            kind = client.resolve(short)
        except BadRequest:  # ambiguous without its group
            return client.resolve(word)
        if kind.partition(".")[2] in (group, group.partition(".")[2]):  # GROUP or VERSION.GROUP
            return kind
    return client.resolve(word)


def _require_running(args: argparse.Namespace) -> None:
    """A cluster's name where only other clusters' `krm up` run here: that is told, not that nothing runs."""
    cluster = args.cluster or os.environ.get("KRM_CLUSTER")
    if not cluster or args.redis or os.environ.get("KRM_REDIS"):
        return
    names = sorted({str(state["cluster"]) for state in running_here()})
    if names and cluster not in names:
        raise UnknownCluster(f"the krm up of this machine keeps {', '.join(names)}, not {cluster}")
