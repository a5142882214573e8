"""`krm config`: the contexts that reading commands choose from with --context."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace

from krm.client.contexts import Context, Contexts, config_path, read, write
from krm.client.direct import told
from krm.client.errors import BadRequest
from krm.model.layout import Columns
from krm.store.url import parse


def run(args: argparse.Namespace) -> int:
    """Exit code 0; a context that is not there is a wrong command line."""
    path = config_path()
    held = read(path)
    if args.action == "path":
        print(path)
    elif args.action == "get-contexts":
        _show(held)
    elif args.action == "current-context":
        if not held.current:
            raise BadRequest("no context is current: krm config use-context NAME chooses one")
        print(held.current)
    else:
        write(path, _changed(held, args))
        print(_DONE[args.action] % args.name)
    return 0


_DONE = {
    "use-context": "Switched to context %s.",
    "set-context": "Context %s is set.",
    "delete-context": "Context %s is deleted.",
}


def _changed(held: Contexts, args: argparse.Namespace) -> Contexts:
    if not args.name:
        raise BadRequest(f"krm config {args.action} needs the name of a context")
    if args.action == "use-context":
        held.named(args.name)
        return replace(held, current=args.name)
    if args.action == "delete-context":
        held.named(args.name)
        left = {name: one for name, one in held.contexts.items() if name != args.name}
        return Contexts("" if held.current == args.name else held.current, left)
    return replace(held, contexts={**held.contexts, args.name: _set(held, args)})


def _set(held: Contexts, args: argparse.Namespace) -> Context:
    """What is not given stays as it was."""
    given = {name: getattr(args, name) for name in ("url", "cluster", "kubeconfig", "ca", "token_file")}
    given = {name: value for name, value in given.items() if value}
    for name in ("kubeconfig", "ca", "token_file"):
        if name in given:
            given[name] = os.path.abspath(given[name])  # it is read from wherever the next command is typed
    if "url" in given and not given["url"].lower().startswith(("http:", "https:")):
        with told():
            parse(given["url"])
    before = held.contexts.get(args.name)
    if before is not None:
        return replace(before, **given)
    if "url" not in given and "kubeconfig" not in given:
        raise BadRequest("a new context needs --url (redis://, unix://, https://) or --kubeconfig")
    return Context(**{"url": "", **given})


def _show(held: Contexts) -> None:
    if not held.contexts:
        print("No contexts. krm config set-context NAME --url URL makes one.")
        return
    rows = [["CURRENT", "NAME", "URL", "CLUSTER"]]
    for name, one in sorted(held.contexts.items()):
        rows.append(["*" if name == held.current else "", name, one.url, one.cluster or "-"])
    for line in Columns().lines(rows):
        print(line)
