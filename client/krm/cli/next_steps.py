"""What to type next, spelt as this `krm` was started: it need not be on PATH."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from typing import List, Sequence

from krm.client.names import is_cluster_scoped


def own_command() -> str:
    """`krm` where the shell finds this very one by that name, else its path, or `python -m krm.cli.main`."""
    started = sys.argv[0]
    if os.path.basename(started) == "main.py":  # python -m
        return f"{shlex.quote(sys.executable)} -m krm.cli.main"
    found = shutil.which("krm")
    if found and os.path.exists(started) and os.path.samefile(found, started):
        return "krm"
    return shlex.quote(started)


def next_steps(kinds: Sequence[str], clusters: Sequence[str] = ()) -> str:
    """While it runs: one sentence; the example is of a kind that is kept, of the first of several clusters."""
    krm, of = own_command(), f" --cluster {shlex.quote(clusters[0])}" if len(clusters) > 1 else ""
    steps = [f"{_reads(kinds)}{of}", f"{krm} status{of}", f"{krm} changes {example(kinds)}{of}"]
    return f"Next, in another terminal: {'; '.join(steps)}"


def afterwards(kinds: Sequence[str], demo: bool, arguments: Sequence[str]) -> str:
    """Once it has ended: nothing can be read any more, so how to go on. `arguments`: those of this run."""
    krm = own_command()
    own = f"; your own cluster: {krm} up --context NAME" if demo else ""
    again = " ".join(map(shlex.quote, _again(arguments)))
    return f"Next: {krm} {again}, and beside it {_reads(kinds)}{own}; README.md, docs/index.md"


def _again(arguments: Sequence[str]) -> List[str]:
    """Without --for, which ended it, and without a URL that may hold a password."""
    kept: List[str] = []
    words = iter(arguments)
    for word in words:
        option, equals, value = word.partition("=")
        if option not in ("--for", "--redis"):
            kept.append(word)
            continue
        value = value if equals else next(words, "")
        if option == "--redis" and "@" not in value:
            kept += [option, value]
    return kept


def example(kinds: Sequence[str]) -> str:
    """A kind that is kept, pods if they are."""
    return "pods" if "pods" in kinds else kinds[0]


def namespaces_flag(kind: str) -> str:
    """` -A` where the kind has namespaces."""
    return "" if is_cluster_scoped(kind) else " -A"


def _reads(kinds: Sequence[str]) -> str:
    kind = example(kinds)
    return f"{own_command()} get {kind}{namespaces_flag(kind)}"
