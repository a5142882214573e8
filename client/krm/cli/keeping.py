"""One cluster of a `krm up`: its three stages and its collector, and what the stages' heads say."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import List, Optional, Tuple

from krm.cli.checks import leave_source
from krm.cli.plan import Plan
from krm.cli.processes import Child, Family
from krm.client.directory import Directory
from krm.client.locate import announce
from krm.client.source import KindStatus
from krm.store.connect import Database


class Keeping:
    """Made for each cluster, in their order; the first is number 0."""

    def __init__(self, plan: Plan, database: Database, folder: Path, number: int, alone: bool) -> None:
        """`alone`: there is no other, so that its name need not stand on each line."""
        self.plan = plan
        self._directory, self._number = Directory(database, plan.cluster), number
        self._shown = "" if alone else plan.cluster
        self._folder = folder if alone else folder / f"cluster-{number}"
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._state: Optional[Path] = None

    def start(self, family: Family, url: str, token_file: Path) -> None:
        """The stages, and where other commands of this user find this cluster. token_file: what opens the
        history of its collector."""
        for stage in ("aggregator", "verifier", "streamer"):
            arguments = self.plan.stage_arguments(stage, url)
            family.add(Child(stage, arguments, self._folder, cluster=self._shown))
        if self.plan.collects:
            history = str(self._folder / "history.db")
            # Without what makes its certificate the history is not served; what is measured now still is.
            opens = str(token_file) if may_serve_history() else ""
            arguments = self.plan.collector_arguments(url, history, opens)
            family.add(Child("collector", arguments, self._folder, cluster=self._shown))
        leave_source(self._folder, self.plan.source)
        pipelines, logs = self.plan.pipelines, str(self._folder)
        shown = str(token_file) if self.plan.collects else ""
        self._state = announce(url, self.plan.cluster, logs, os.environ, pipelines, self._number, shown)

    @property
    def pipelines(self) -> List[Tuple[str, str, str]]:
        """(cluster, kind, namespace), as `KindStatus` names them."""
        return [(self._shown, kind, namespace) for kind, namespace in self.plan.pipelines]

    def statuses(self) -> List[KindStatus]:
        """Raises Unreachable."""
        found = self._directory.status(self.plan.pipelines)
        return [status._replace(cluster=self._shown) for status in found]

    def sentences(self, shown: str) -> List[str]:
        """What is kept of it, and where; `shown` is the Redis."""
        plan = self.plan
        scope = f"namespaces {', '.join(plan.namespaces)} of " if plan.namespaces else ""
        kinds = "1 kind" if len(plan.kinds) == 1 else f"{len(plan.kinds)} kinds"
        lines = [f"Keeping {kinds} of {scope}{plan.cluster} in {shown}"]
        if plan.left_out:
            lines.append(f"Left out, for they are of no namespace: {', '.join(plan.left_out)}")
        if plan.collects and not may_serve_history():
            lines.append(
                "The measurements' history cannot be read: that needs cryptography: pip install 'krm[collector]'"
            )
        return lines

    def close(self) -> None:
        """No command finds it any more."""
        if self._state is not None:
            self._state.unlink()


def may_serve_history() -> bool:
    """Whether a collector here can make itself a certificate."""
    return importlib.util.find_spec("cryptography") is not None
