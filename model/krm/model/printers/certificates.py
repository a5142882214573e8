"""The columns of certificates.k8s.io."""

from __future__ import annotations

from typing import Any, Dict, List

from krm.model import times
from krm.model.cells import NONE, Cell, Object, Printer, age, layout, name_of, pairs, parts
from krm.model.reading import integer, rows, text


def _signing_request(obj: Object, now: float) -> List[Cell]:
    spec, status = parts(obj)
    seconds: Any = spec.get("expirationSeconds")
    return [
        name_of(obj),
        age(obj, now),
        text(spec.get("signerName")) or NONE,
        text(spec.get("username")),
        NONE if seconds is None else times.age(integer(seconds)),
        _condition(status),
    ]


def _condition(status: Object) -> str:
    """By the conditions that are there, whatever their status."""
    found = {one.get("type") for one in rows(status.get("conditions"))}
    words = ["Denied" if "Denied" in found else "Approved" if "Approved" in found else "Pending"]
    if "Failed" in found:
        words.append("Failed")
    if text(status.get("certificate")):
        words.append("Issued")
    return ",".join(words)


def _trust_bundle(obj: Object, _now: float) -> List[Cell]:
    spec, _ = parts(obj)
    return [name_of(obj), text(spec.get("signerName")) or NONE]


def _pod_request(obj: Object, _now: float) -> List[Cell]:
    spec, status = parts(obj)
    facts = [text(spec.get(name)) for name in ("podName", "serviceAccountName", "nodeName", "signerName")]
    ends = [one.get("type") for one in rows(status.get("conditions"))]
    states = [text(end) for end in ends if end in ("Issued", "Denied", "Failed")]
    return [name_of(obj), *facts, (states or ["Pending"])[-1], pairs(spec.get("unverifiedUserAnnotations"))]


PRINTERS: Dict[str, Printer] = {
    "certificatesigningrequests.certificates.k8s.io": Printer(
        layout("Name|Age|SignerName|Requestor|RequestedDuration|Condition"), _signing_request
    ),
    "clustertrustbundles.certificates.k8s.io": Printer(layout("Name|SignerName"), _trust_bundle),
    "podcertificaterequests.certificates.k8s.io": Printer(
        layout("Name|PodName|ServiceAccountName|NodeName|SignerName|State|UnverifiedUserAnnotations"), _pod_request
    ),
}
