"""What form of an answer a client accepts: plain JSON, a Table, or metadata alone. Pure.

krm speaks JSON. Clients that offer protobuf first offer JSON too; who offers nothing that krm speaks
gets 406, as from the API server.
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Tuple

from krm.server.statuses import not_acceptable

JSON, TABLE, METADATA = "json", "Table", "PartialObjectMetadata"
METADATA_LIST = "PartialObjectMetadataList"
MAX_ACCEPT = 8 * 1024  # characters; kubectl's has 180
MAX_CLAUSES = 50


class Form(NamedTuple):
    """How objects are written. `version` of meta.k8s.io: v1 or v1beta1, '' for plain JSON."""

    name: str
    version: str = ""


PLAIN = Form(JSON)


class Clause(NamedTuple):
    """One part of an Accept header."""

    media: str
    parameters: Dict[str, str]
    quality: float


def form(accept: str, of_list: bool, watch: bool, what: str) -> Form:
    """The first form that is accepted and that krm writes. `what`: Go's name of the type. Raises ApiError 406."""
    if not accept.strip():
        return PLAIN
    asked = clauses(accept)
    offered = [one for one in asked if one.media in ("application/json", "*/*")]
    if not offered:
        raise not_acceptable()
    for one in offered:
        name = one.parameters.get("as", "")
        if not name:
            return PLAIN
        if one.parameters.get("g") == "meta.k8s.io" and one.parameters.get("v") in ("v1", "v1beta1"):
            found = _transformed(name, one.parameters["v"], of_list, watch, what)
            if found is not None:
                return found
    raise not_acceptable(
        "only the following media types are accepted: application/json, application/json;stream=watch"
    )


def _transformed(name: str, version: str, of_list: bool, watch: bool, what: str) -> Form | None:
    if name == TABLE:
        return Form(TABLE, version)
    if name == METADATA:
        if of_list and not watch:
            raise not_acceptable(f"you requested {METADATA}, but the requested object is a list ({what})")
        return Form(METADATA, version)
    if name == METADATA_LIST:
        if not of_list:
            raise not_acceptable(f"you requested {METADATA_LIST}, but the requested object is not a list ({what})")
        return Form(METADATA, version)
    return None


def clauses(accept: str) -> List[Clause]:
    """The header's parts, best quality first, equal ones as written. Raises ApiError 406 for what is no header."""
    if len(accept) > MAX_ACCEPT or accept.count(",") >= MAX_CLAUSES:
        raise not_acceptable()
    found = [_clause(part) for part in accept.split(",") if part.strip()]
    return sorted(found, key=lambda one: -one.quality)


def _clause(part: str) -> Clause:
    media, *rest = (piece.strip() for piece in part.split(";"))
    parameters = dict(_pair(piece) for piece in rest if piece)
    try:
        quality = float(parameters.pop("q", "1"))
    except ValueError:
        quality = 0.0
    return Clause(media.lower(), parameters, quality)


def _pair(piece: str) -> Tuple[str, str]:
    name, _, value = piece.partition("=")
    return name.strip().lower(), value.strip().strip('"')


def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding takes gzip."""
    for part in header.split(",")[:MAX_CLAUSES]:
        coding, _, weight = part.partition(";")
        if coding.strip().lower() in ("gzip", "*"):
            return weight.replace(" ", "").lower() not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
