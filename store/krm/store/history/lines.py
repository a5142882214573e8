"""Line protocol, as Heapster wrote it to InfluxDB, so that its queries and dashboards go on working.

    MEASUREMENT,TAGS FIELDS MILLISECONDS

The measurement is the metric's name, the field is `value`, the tags are Heapster's: type, nodename,
namespace_name, pod_name, pod_id, container_name, resource_id. krm adds fields (what sums need, see
`Point`) and the tag `source`. A tag without a value is not written. Pure.

A comma, a space and an equals sign are escaped as the protocol says. What it has no way to write (control
characters, line ends; a backslash, which would escape what follows) is percent-encoded, and so is the
percent sign itself: two names never become one, and `untagged` gives back each.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple, Union
from urllib.parse import unquote

from krm.model.measures import CLUSTER, CONTAINER, NAMESPACE, NODE, POD, Subject

# Heapster's words for levels, as the tag `type` has them.
TYPES: Dict[str, str] = {CONTAINER: "pod_container", POD: "pod", NAMESPACE: "ns", NODE: "node", CLUSTER: "cluster"}
# Tag -> field of Subject.
SUBJECT_TAGS: Dict[str, str] = {
    "container_name": "container",
    "namespace_name": "namespace",
    "nodename": "node",
    "pod_id": "uid",
    "pod_name": "pod",
    "resource_id": "resource_id",
}
# Characters of a tag's value: InfluxDB holds 64 KiB of all tags together, VictoriaMetrics 16 KiB of each.
MOST_TAG = 1024
_UNWRITABLE = re.compile(r"[%\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_PLAIN = re.compile(r"[A-Za-z0-9_./:@+-]*").fullmatch
_ESCAPED = re.compile(r"([,= ])")

Field = Union[float, int, str]


class Point(NamedTuple):
    """A line to be."""

    measurement: str
    tags: Tuple[Tuple[str, str], ...]  # sorted by name, none empty
    fields: Mapping[str, Field]
    at: float  # Unix seconds; kept to the millisecond


def tags_of(subject: Subject, source: str = "") -> Tuple[Tuple[str, str], ...]:
    """The tags of a subject, sorted as InfluxDB would have to sort them otherwise."""
    found = [(tag, getattr(subject, field)) for tag, field in SUBJECT_TAGS.items()]
    found += [("source", source), ("type", TYPES[subject.level])]
    return tuple((tag, value) for tag, value in found if value)


def subject_of(tags: Mapping[str, str]) -> Subject:
    """The subject that a store's tags name."""
    return Subject(**{field: untagged(tags.get(tag) or "") for tag, field in SUBJECT_TAGS.items()})


def tagged(value: str) -> str:
    """A value as it stands in a store's tag, before the protocol's own escapes."""
    return _UNWRITABLE.sub(_percent, value)


def untagged(value: str) -> str:
    """What `tagged` made it of."""
    return unquote(value, errors="surrogatepass")


def line(point: Point) -> Optional[str]:
    """One line without its end; None where nothing of it can be written: no finite field, an endless tag."""
    return _line(point, _tagged_text(point.tags))


def text(points: Iterable[Point]) -> Tuple[bytes, int]:
    """(the lines, how many points gave none)."""
    lines: List[str] = []
    lost = 0
    tags: Optional[Tuple[Tuple[str, str], ...]] = None
    written: Optional[str] = None
    for point in points:
        if point.tags is not tags:  # a sample's points share theirs
            tags = point.tags
            written = _tagged_text(tags)
        one = _line(point, written)
        if one is None:
            lost += 1
        else:
            lines.append(one)
    return ("\n".join(lines) + "\n").encode() if lines else b"", lost


def _line(point: Point, tags: Optional[str]) -> Optional[str]:
    fields = [text for text in map(_field, point.fields.items()) if text]
    if not fields or tags is None:
        return None
    return f"{_name(point.measurement)}{tags} {','.join(fields)} {round(point.at * 1000)}"


def _tagged_text(tags: Tuple[Tuple[str, str], ...]) -> Optional[str]:
    """Tags as a line has them; None = too long."""
    if any(len(value) > MOST_TAG for _, value in tags):
        return None
    return "".join([f",{_name(tag)}={_escaped(value)}" for tag, value in tags])


@lru_cache(maxsize=1024)  # of measurements, tags and fields
def _name(name: str) -> str:
    return _escaped(name)


def _escaped(value: str) -> str:
    if _PLAIN(value):
        return value
    return _ESCAPED.sub(r"\\\1", tagged(value))


def _field(item: Tuple[str, Field]) -> str:
    name, value = item
    if isinstance(value, str):
        quoted = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{_name(name)}="{quoted}"'.replace("\n", " ")
    # Always a float: a field's type is that of the first point that a shard got.
    return f"{_name(name)}={float(value)!r}" if math.isfinite(value) else ""


def _percent(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found.group().encode("utf-8", "surrogatepass"))
