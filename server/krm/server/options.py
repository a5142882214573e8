"""A request's query as ListOptions, with the API server's own checks and words. Pure."""

from __future__ import annotations

import re
from typing import Dict, List, Mapping, NamedTuple, Optional

from krm.model.kinds import parse_kind
from krm.model.selectable import SELECTABLE
from krm.model.selectors import (
    BadSelector,
    FieldSelector,
    LabelSelector,
    UnknownField,
    escaped,
    parse_fields,
    parse_labels,
)
from krm.server.attributes import one_name
from krm.server.groups import BUILT_IN
from krm.server.statuses import ApiError, Cause, bad_request, invalid, quoted

EXACT, NOT_OLDER_THAN = "Exact", "NotOlderThan"
_MATCHES = ("", EXACT, NOT_OLDER_THAN)
# Requirements of one selector: each is tried on each object, while everyone else waits.
MAX_CLAUSES = 200
_INT64 = 1 << 63
_UINT64 = 1 << 64


class Options(NamedTuple):
    """What was asked of a collection. Numbers that were not given are None."""

    watch: bool = False
    labels: LabelSelector = LabelSelector(())
    fields: FieldSelector = FieldSelector(())
    resource_version: str = ""
    match: str = ""  # resourceVersionMatch
    limit: int = 0  # 0 = all
    continue_token: str = ""
    timeout: Optional[float] = None  # seconds
    bookmarks: bool = False
    initial_events: Optional[bool] = None  # sendInitialEvents
    include: str = "Metadata"  # includeObject of a Table

    @property
    def selects(self) -> bool:
        """Whether a selector was given."""
        return bool(self.labels.clauses or self.fields.clauses)

    @property
    def version(self) -> int:
        """resourceVersion as a number; 0 where it is unset or "0"."""
        return int(self.resource_version or 0)


_EVERYTHING = Options()


def parse(kind: str, query: Mapping[str, str], watch: bool = False) -> Options:
    """`query`: the first value of each name. `watch`: the path says so. Raises ApiError 400 and 422."""
    if not query and not watch:
        return _EVERYTHING  # what is asked for most
    options = Options(
        watch=watch or boolean(query, "watch") is True,
        labels=_labels(query.get("labelSelector", "")),
        fields=_fields(kind, query.get("fieldSelector", "")),
        resource_version=query.get("resourceVersion", ""),
        match=query.get("resourceVersionMatch", ""),
        limit=max(0, _integer(query, "limit") or 0),
        continue_token=query.get("continue", ""),
        timeout=_seconds(query),
        bookmarks=boolean(query, "allowWatchBookmarks") is True,
        initial_events=boolean(query, "sendInitialEvents"),
        include=_include(query.get("includeObject", "")),
    )
    causes = _watch_causes(options) if options.watch else _list_causes(options)
    if causes:
        raise invalid(causes)
    if options.continue_token and options.resource_version not in ("", "0"):
        raise bad_request("specifying resource version is not allowed when using continue")
    version = options.resource_version
    checked = checked_version(version) if options.watch else _listed_version(version)
    return options._replace(resource_version=checked)


def of_name(query: Mapping[str, str], name: str) -> Dict[str, str]:
    """The query of a collection that asks for this object of it alone. Raises ApiError 400."""
    fields = query.get("fieldSelector", "")
    if fields and one_name(fields) != name:
        raise bad_request("fieldSelector metadata.name doesn't match requested name")
    return {**query, "fieldSelector": fields or f"metadata.name={escaped(name)}"}


def parse_get(query: Mapping[str, str]) -> Options:
    """What a get of one object takes. Raises ApiError 400 and 500."""
    version = checked_version(query.get("resourceVersion", ""))
    return Options(resource_version=version, include=_include(query.get("includeObject", "")))


def checked_version(text: str) -> str:
    """A resourceVersion without leading zeros; "" and "0" as they are. Raises ApiError 500.

    500 is the API server's own word for it, except for lists.
    """
    if text in ("", "0"):
        return text
    problem = ""
    if not (text.isascii() and text.isdigit()):
        problem = "invalid syntax"
    elif len(text) > 39 or int(text) >= _UINT64:  # 2^128 has 39 digits, and no API server counts so far
        problem = "value out of range"
    if problem:
        shown = quoted(text[:100])
        said = f"resourceVersion: Invalid value: {shown}: strconv.ParseUint: parsing {shown}: {problem}"
        raise ApiError(500, "", said)
    return str(int(text))


def _listed_version(text: str) -> str:
    try:
        return checked_version(text)
    except ApiError as error:
        raise bad_request(f"invalid resource version: {error.message}") from None


def boolean(query: Mapping[str, str], name: str) -> Optional[bool]:
    """As the API server reads one: what is there and not `false` or `0` is true."""
    text = query.get(name)
    return None if text is None else text.lower() not in ("false", "0")


def _integer(query: Mapping[str, str], name: str) -> Optional[int]:
    text = query.get(name)
    if text is None:
        return None
    shown = quoted(text[:100])
    if not re.fullmatch(r"[+-]?[0-9]+", text) or not text.isascii():
        raise bad_request(f"strconv.ParseInt: parsing {shown}: invalid syntax")
    if len(text) > 20 or not -_INT64 <= int(text) < _INT64:
        raise bad_request(f"strconv.ParseInt: parsing {shown}: value out of range")
    return int(text)


def _seconds(query: Mapping[str, str]) -> Optional[float]:
    seconds = _integer(query, "timeoutSeconds")
    return None if not seconds else float(seconds)


def _include(text: str) -> str:
    if text not in ("", "Metadata", "Object", "None"):
        raise bad_request(
            f"Unable to convert to Table as requested: includeObject: Invalid value: {quoted(text[:100])}:"
            " must be 'Metadata', 'Object', 'None', or empty"
        )
    return text or "Metadata"


def _labels(text: str) -> LabelSelector:
    try:
        found = parse_labels(text)
    except BadSelector as error:
        raise bad_request(str(error)) from None
    check_requirements(len(found.clauses))
    return found


def _fields(kind: str, text: str) -> FieldSelector:
    try:
        found = parse_fields(kind, text)
    except UnknownField as error:
        raise bad_request(_unknown_field(kind, error.field)) from None
    except BadSelector as error:
        raise bad_request(str(error)) from None
    check_requirements(len(found.clauses))
    return found


def check_requirements(count: int) -> None:
    """Raises ApiError 400 where a selector has too many."""
    if count > MAX_CLAUSES:
        raise bad_request(f"a selector of more than {MAX_CLAUSES} requirements")


def _unknown_field(kind: str, field: str) -> str:
    """The API server has a sentence for kinds with fields of their own, another one for those without."""
    if kind == "jobs.batch":
        return f"field label {quoted(field)} not supported for Job"
    if kind in SELECTABLE or parse_kind(kind).group not in BUILT_IN:
        return f"field label not supported: {field}"
    return f'{quoted(field)} is not a known field selector: only "metadata.name", "metadata.namespace"'


def _list_causes(options: Options) -> List[Cause]:
    causes = _match_causes(options)
    if options.initial_events is not None:
        causes.append(_cause("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return causes


def _match_causes(options: Options) -> List[Cause]:
    match = options.match
    causes: List[Cause] = []
    if not match:
        return causes
    if not options.resource_version:
        causes.append(_cause(_MATCH, "resourceVersionMatch is forbidden unless resourceVersion is provided"))
    if options.continue_token:
        causes.append(_cause(_MATCH, "resourceVersionMatch is forbidden when continue is provided"))
    if match not in _MATCHES:
        causes.append(_unsupported(match))
    elif match == EXACT and options.resource_version == "0":
        causes.append(_cause(_MATCH, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'))
    return causes


def _watch_causes(options: Options) -> List[Cause]:
    causes = []
    if options.initial_events is not None:
        if options.match != NOT_OLDER_THAN:
            causes.append(_cause(_MATCH, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"))
    elif options.match:
        causes.append(
            _cause(_MATCH, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided")
        )
    if options.match not in ("", NOT_OLDER_THAN):
        causes.append(_unsupported(options.match, '"NotOlderThan"'))
    if options.continue_token:
        causes.append(_cause(_MATCH, "resourceVersionMatch is forbidden when continue is provided"))
    return causes


_MATCH = "resourceVersionMatch"


def _cause(field: str, why: str) -> Cause:
    return Cause("FieldValueForbidden", f"Forbidden: {why}", field)


def _unsupported(match: str, known: str = '"Exact", "NotOlderThan", ""') -> Cause:
    said = f"Unsupported value: {quoted(match[:100])}: supported values: {known}"
    return Cause("FieldValueNotSupported", said, _MATCH)
