"""What the history did not keep, counted, and told while it goes on."""

from __future__ import annotations

from typing import Dict, List, Optional

from krm.model.measures import Sample

TOLD_FOR = 600.0  # seconds that a refusal is told in `health`
# Which count, and the sentence for it.
_SENTENCES = {
    "late": "{} samples came more than two minutes late and are not in the history",
    "ahead": "{} samples are of the future: a clock is wrong",
    "bad": "{} values are no numbers that history can hold",
    "unknown": "{} values are of metrics that are not in the table",
    "many": "{} values are not kept: there are more series than the history has room for",
    "unresumed": "{} samples were not taken: the file cannot be read, and would be written over",
    "dropped": "{} blobs were dropped unwritten: the file could not be written for too long",
}


class Refused:
    """Counts since the start of the process; `repeated` is no fault, and is never told."""

    def __init__(self) -> None:
        self.late = self.ahead = self.bad = self.unknown = self.many = self.repeated = 0
        self.dropped = self.unresumed = 0
        self._examples: Dict[str, str] = {}
        self._told: Dict[str, int] = {}  # what the counts were when the present span began, and the one before
        self._before: Dict[str, int] = {}
        self._since: Optional[float] = None

    def count(self, what: str, sample: Optional[Sample], metric: str = "") -> None:
        """One more of `what`."""
        setattr(self, what, getattr(self, what) + 1)
        if sample is not None:
            self._examples[what] = f"{metric[:80]} of {_named(sample)}" if metric else _named(sample)

    def counts(self) -> Dict[str, int]:
        """All, by name."""
        return {what: getattr(self, what) for what in (*_SENTENCES, "repeated")}

    def turn(self, now: float) -> None:
        """Called now and then: what is older than TOLD_FOR is not told any more."""
        if self._since is None or not self._since <= now < self._since + TOLD_FOR:
            self._before, self._told, self._since = self._told, self.counts(), now

    def sentences(self) -> List[str]:
        """Of the present span and the one before."""
        found = []
        for what, sentence in _SENTENCES.items():
            grown = getattr(self, what) - self._before.get(what, 0)
            if grown:
                example = self._examples.get(what)
                found.append(sentence.format(grown) + (f"; the last: {example}" if example else ""))
        return found


def _named(sample: Sample) -> str:
    subject = sample.subject
    name = "/".join(part for part in (subject.namespace, subject.pod, subject.container) if part)
    return f"{(name or subject.node or 'the cluster')[:200]} from {sample.source[:80]}"
