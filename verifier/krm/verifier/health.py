"""What the lister and the prober of one kind know of the API server, as reports tell it."""

from __future__ import annotations

from typing import Dict, Optional

from krm.cluster.errors import ClusterError, Forbidden, NotFound, OutOfScope
from krm.model.head import Head
from krm.model.kinds import Resource

LIST, PROBE = "list", "probe"
# Words of the API server about the kind itself, which readers are told by a state of its own: no other trouble,
# of either request, hides them. NotFound is one where discovery lacks the kind.
_ABSENT, _REFUSALS = NotFound.__name__, (OutOfScope.__name__, Forbidden.__name__)


class Health:
    """Shared by two threads: each field is replaced whole, by one of them alone."""

    def __init__(self) -> None:
        self.resource: Optional[Resource] = None  # as discovered; None = not (or not any more)
        self.facts = ""  # what discovery told last, as the head holds it
        self.unserved = False
        self._errors: Dict[str, str] = {LIST: "", PROBE: ""}
        self._begun = False

    @property
    def error(self) -> str:
        """Class of the last error since a success of the same request, '' = none; of two the one that says more."""
        found = [error for error in (self._errors[LIST], self._errors[PROBE]) if error]
        if self.unserved and _ABSENT in found:
            return _ABSENT
        return ([error for error in _REFUSALS if error in found] or found or [""])[0]

    def begin(self, head: Head) -> None:
        """What a former process was told last stands until an answer comes: a restart clears no error."""
        if not self._begun:
            self._begun = True
            if not self._errors[LIST]:
                self._errors[LIST], self.unserved = head.list_error, head.unserved

    def succeeded(self, request: str) -> None:
        """An answer came."""
        self._begun = True
        self._errors[request] = ""

    def failed(self, request: str, error: ClusterError) -> None:
        """Another came instead. What is forbidden or absent is so until an answer says otherwise, not until worse
        trouble comes: an API server that is away takes back nothing."""
        self._begun = True
        known = self._errors[request]
        stands = known in _REFUSALS or (known == _ABSENT and self.unserved)
        if not stands or isinstance(error, (Forbidden, NotFound)):
            self._errors[request] = type(error).__name__
