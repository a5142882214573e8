"""`krm explain-trust KIND`: in sentences, why an answer about a kind can or cannot be trusted now."""

from __future__ import annotations

import argparse
from typing import Iterator, List, Optional

from krm.cli.durations import ago, span
from krm.cli.opening import chosen_namespace, open_client, resolve
from krm.client.source import KindStatus
from krm.model import trust as states
from krm.model.safetext import safe
from krm.model.trust import Trust

# What a state means for whoever reads, and what to do where it is not live.
_MEANS = {
    states.LIVE: "Yes: an answer now is fresh, and proven to be.",
    states.STALE: "With care: what is held may be older than it looks, so readers must say stale_ok to get it.",
    states.WARMING: "Not yet: no list was merged, so there is nothing to read. It is never shown as an empty list.",
    states.FORBIDDEN: "No: krm may not list or watch it any more. What is held is the last that was allowed.",
    states.ABSENT: "No: the API server does not serve this kind.",
    states.TRUNCATED: "Only as a count: there are more objects than krm keeps.",
}
_DO = {
    "the aggregator has not beaten": "start the aggregator, or look why it stands still: its log, Redis, its CPU",
    "no proof of freshness": "look at the verifier and at the API server: its probes do not come through",
    "no open watch": "look at the streamer and at what cuts connections between it and the API server",
    "not proven current": "wait for the next list; if none comes, look at the verifier",
    "the snapshot is being rebuilt": "wait: the new one is readable in one step when its list is complete",
    "krm may not": "grant krm's identity list and watch of this kind: docs/rbac.md",
    "no list of this kind was merged": "wait for the first list; krm doctor says what stands in its way",
    "the API server does not serve": "install what defines the kind, or leave it out",
}


def run(args: argparse.Namespace) -> int:
    """Exit code 3 where the kind is not live."""
    client = open_client(args)
    kind = resolve(client, args.kind)
    statuses = client.status(kind, chosen_namespace(client, args))
    for number, status in enumerate(statuses):
        if number:
            print()
        for line in sentences(status):
            print(safe(line))
    return 0 if all(status.trust.state == states.LIVE for status in statuses) else 3


def sentences(status: KindStatus) -> List[str]:
    """What there is to say about one pipeline, the verdict first."""
    trust = status.trust
    lines = [f"{status.name} is {trust.state}. {_MEANS.get(trust.state, '')}".rstrip()]
    for reason in trust.reasons:
        lines.append(f"  Because {reason}." + _advice(reason))
    lines += _fresh(trust)
    lines += _verified(trust, status.now)
    lines += _lost(trust)
    lines += _held(status)
    return lines


def _advice(reason: str) -> str:
    for begin, advice in _DO.items():
        if reason.startswith(begin):
            return f" To do: {advice}."
    return ""


def _fresh(trust: Trust) -> Iterator[str]:
    if trust.age is None:
        yield "How old it is, is unknown: nothing has proven it current yet."
    else:
        yield (
            f"It was proven current {ago(trust.age)} ago, at resourceVersion {trust.resource_version or 'unknown'}:"
            " everything that had happened by then is in it, unless an event was lost since it was last verified."
        )
    if trust.delay_p99 is not None:
        yield f"Of the newest thousand changes 99 of 100 took at most {span(trust.delay_p99)} to reach readers."
    if trust.clock_suspect:
        yield "A time lies in the future of the Redis clock: a clock was set back, and ages are wrong by as much."


def _verified(trust: Trust, now: float) -> Iterator[str]:
    if trust.verified_at is None:
        yield "No list of the API server has verified it yet."
        return
    by = {"cache": "from the API server's cache", "etcd": "from etcd"}.get(trust.verified_by, "")
    yield (
        f"A list confirmed it {ago(max(0.0, now - trust.verified_at))} ago {by}".rstrip()
        + f", up to resourceVersion {trust.verified_resource_version or 'unknown'}."
    )


def _lost(trust: Trust) -> Iterator[str]:
    if trust.gap_open:
        yield "The watch broke and no list has closed the gap yet: an event may be missing."
    elif trust.gaps:
        yield f"The watch broke {_times(trust.gaps)} so far; each gap was closed."
    if trust.drift is None:
        yield "What lists had to repair so far is unknown (whoever may read one namespace alone is not told)."
    elif any(trust.drift.values()):
        total = sum(trust.drift.values())
        causes = ", ".join(f"{count} {cause}" for cause, count in sorted(trust.drift.items()))
        yield f"Lists repaired {total} objects so far ({causes}): what the watch had lost was found and counted."
    else:
        yield "No list has found a difference so far."
    differing = (trust.upstream_drift or {}).get("differing")
    if differing:
        yield f"The API server's own cache differed from etcd in {differing} objects at the last audit."


def _held(status: KindStatus) -> Iterator[str]:
    head = status.head
    objects: Optional[int] = status.objects
    if objects is not None:
        yield f"It holds {objects} objects, version {status.trust.version}."
    if head is not None and head.bad:
        yield f"{len(head.bad)} objects or lines were refused and are in no answer: krm status names them."
    if head is not None and head.rebuilt:
        yield f"It was last built anew because: {head.rebuilt}."


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
