"""`krm up --demo`: a simulated cluster beside the real stages, and one loss of events on purpose.

The simulator is a child process; it is steered over its control API (HTTP on loopback) and nothing of
it is imported here.
"""

from __future__ import annotations

import http.client
import json
import re
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple
from urllib.parse import urlsplit

from krm.cli.processes import Child
from krm.client.errors import KrmError
from krm.client.source import KindStatus
from krm.model.kinds import DEFAULT_KINDS
from krm.model.trust import LIVE

NODES, PODS = 10, 300
CHURN = 20  # changes a second in the whole cluster: a person sees it live, a laptop does not notice
VERIFY_EVERY = 3.0  # seconds
HOUSEKEEPING = 2.0  # seconds between two samples of a kubelet: a real one's 10 would fill half of a short demo
VICTIM = "pods"
LOST_EVENTS = 3
INJECT_FROM, INJECT_BY = 4.0, 7.5  # seconds after the start: once the kind is live, in any case by second 8
# Seconds without a counted repair after which another loss is tried: a later event of the same pod may
# have healed the first before any list could see it.
INJECT_AGAIN = 10.0
START_LIMIT = 20.0  # seconds for the simulator to write its kubeconfig
_SERVER = re.compile(r"""["']?server["']?\s*:\s*["']?(https?://[^\s"',}]+)""")


class NoSimulator(KrmError):
    """The simulated cluster did not start or does not answer."""


def arguments(kubeconfig: Path, kubelet_ca: Optional[Path]) -> List[str]:
    """After `python`. `kubelet_ca`: where the kubelets' certificate goes, None = there are no kubelets."""
    told = [
        *("-m", "krm.simulator", "--port", "0", "--nodes", str(NODES), "--pods", str(PODS)),
        *("--churn", str(CHURN), "--kubeconfig-out", str(kubeconfig)),
    ]
    if kubelet_ca is None:
        return told
    serving = ("--kubelets", "https", "--kubelet-ca-out", str(kubelet_ca), "--housekeeping", str(HOUSEKEEPING))
    return [*told, *serving]


def await_simulator(child: Child, kubeconfig: Path) -> Simulator:
    """The simulator once it has written its kubeconfig and answers. Raises NoSimulator."""
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline:
        if not child.running:
            raise NoSimulator(f"the simulator did not start: {child.cause()}")
        if kubeconfig.exists() and _SERVER.search(kubeconfig.read_text()):
            simulator = Simulator(kubeconfig)
            try:
                simulator.kinds()
            except NoSimulator:
                pass  # not listening yet
            else:
                return simulator
        time.sleep(0.05)
    raise NoSimulator(f"the simulator did not start within {START_LIMIT:.0f} s: {child.last_words()}")


class Simulator:
    """The control API of a running simulator."""

    def __init__(self, kubeconfig: Path) -> None:
        found = _SERVER.search(kubeconfig.read_text())
        if found is None:
            raise NoSimulator(f"{kubeconfig} names no server")
        self._address = urlsplit(found.group(1))

    def kinds(self) -> List[str]:
        """Those of krm's default kinds that it serves."""
        served = self.ask("GET", "/simulator")["kinds"]
        return [str(kind) for kind in DEFAULT_KINDS if str(kind) in served]

    def events(self) -> int:
        """How many events it has made, of all kinds."""
        return sum(int(kind["events"]) for kind in self.ask("GET", "/simulator")["kinds"].values())

    def drop(self, kind: str, count: int) -> None:
        """The next `count` events of the kind reach no watch; lists stay right."""
        self.ask("POST", "/simulator/fault", {"fault": "drop", "kind": kind, "count": count})

    def ask(self, method: str, path: str, body: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
        """Raises NoSimulator."""
        connection = http.client.HTTPConnection(
            self._address.hostname or "127.0.0.1", self._address.port, timeout=5
        )
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            answer: Dict[str, Any] = json.loads(response.read())
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise NoSimulator(f"the simulator does not answer: {type(error).__name__}: {error}") from None
        finally:
            connection.close()
        if response.status != 200:
            raise NoSimulator(f"the simulator answered {response.status}: {answer.get('error', '')}")
        return answer


class Loss:
    """The injected loss, from the plan to its repair. `turn` is called each second."""

    def __init__(self, simulator: Simulator, started: float) -> None:
        self._simulator = simulator
        self._started = started
        self._injected: Optional[Tuple[float, int]] = None  # when, and the drift counted before
        self.repaired = 0

    def turn(self, statuses: List[KindStatus]) -> Optional[str]:
        """A sentence where something happened."""
        victim = next((status for status in statuses if status.kind == VICTIM), None)
        if victim is None or self.repaired:
            return None
        now, causes = time.monotonic(), victim.trust.drift or {}
        drift = sum(causes.values())
        if self._injected is not None:
            at, before = self._injected
            # A metadata list counts the drift; the full list that it asks for repairs it.
            if drift > before and victim.head is not None and not victim.head.want:
                self.repaired = drift - before
                found = ", ".join(f"{cause}: {count}" for cause, count in sorted(causes.items()))
                return f"Repaired: {now - at:.1f} s later lists have found and set right what was lost ({found})."
            if now - at < INJECT_AGAIN:
                return None
        elif not self._due(victim, now):
            return None
        self._simulator.drop(VICTIM, LOST_EVENTS)
        self._injected = (now, drift)
        return f"Injected: the next {LOST_EVENTS} events of {VICTIM} are lost; no watch will ever see them."

    def _due(self, victim: KindStatus, now: float) -> bool:
        past = now - self._started
        return past >= INJECT_BY or (past >= INJECT_FROM and victim.trust.state == LIVE)
