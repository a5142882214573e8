"""The Prometheus text format, as kubelets and agents write it: lines of `name{labels} value timestamp`.

Our own reader, for speed: a kubelet's page is read at about 1 us a line, prometheus-client's parser takes ten
times that. It gives what that parser gives for a sound page (tests hold it to that) and skips a line that is
no line, so one bad line costs no other. Pages are capped in bytes, lines and the length of a line.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import Dict, Iterator, NamedTuple, Optional

from krm.collector.source import NoData

MAX_LINES = 200_000  # a node of 250 pods has 75,000 lines at /metrics/cadvisor
BLOCK = 1024 * 1024  # bytes
MAX_LINE = 16 * 1024  # characters; a label set of Kubernetes stays under 2 KiB

_QUOTED = r'"([^"\\\n]*(?:\\.[^"\\\n]*)*)"'
_LINE = re.compile(
    r"[ \t]*([a-zA-Z_:][a-zA-Z0-9_:]*)[ \t]*(?:\{((?:[^\"{}\n]*%s)*[^\"{}\n]*)\})?[ \t]*([^\s_{}\"]+)"
    r"(?:[ \t]+(-?[0-9]{1,18}))?[ \t]*" % _QUOTED.replace("(", "(?:", 1)
).fullmatch
_LABEL = re.compile(r"[ \t]*([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*%s[ \t]*(?:,[ \t]*|\Z)" % _QUOTED).match
_PAIRS = re.compile(r"([a-zA-Z_][a-zA-Z0-9_]*)=%s(?:,|\Z)" % _QUOTED).findall
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", '"': '"', "\\": "\\"}


class Line(NamedTuple):
    """One series at one moment."""

    name: str
    labels: Dict[str, str]
    value: float  # NaN and infinities as they stand
    millis: Optional[int]  # Unix milliseconds, None = the line gives no time


def page_of(raw: bytes, what: str) -> str:
    """The page as text; `what` names it for the sentence. Raises NoData where it has too many lines."""
    return "".join(blocks(raw, what))


def blocks(raw: bytes, what: str) -> Iterator[str]:
    """The page in pieces of whole lines, so that a large one is not held as lines at once. Raises NoData."""
    if raw.count(b"\n") > MAX_LINES:
        raise NoData(f"{what} has more than {MAX_LINES} lines: it was not read")
    at, end = 0, len(raw)
    while at < end:
        newline = raw.find(b"\n", min(at + BLOCK, end))
        after = newline + 1 if newline >= 0 else end
        yield raw[at:after].decode("utf-8", "replace")
        at = after


def line_of(text: str) -> Optional[Line]:
    """One line; None for a comment, an empty one, and what is no line."""
    match = _LINE(text) if len(text) <= MAX_LINE else None
    if match is None:
        return None
    name, raw_labels, raw_value, raw_millis = match.groups()
    labels = labels_of(raw_labels or "")
    value = number(raw_value)
    if labels is None or value is None:
        return None
    return Line(name, labels, value, int(raw_millis) if raw_millis else None)


def lines(page: str) -> Iterator[Line]:
    """Every line that is one."""
    for text in page.split("\n"):
        line = line_of(text) if text and not text.startswith("#") else None
        if line is not None:
            yield line


def labels_of(text: str) -> Optional[Dict[str, str]]:
    """`a="b",c="d"` as a mapping; None where that is no list of labels, or one stands twice."""
    pairs = _PAIRS(text)
    found = dict(pairs)
    # Where the pairs with their quotes and commas are all of the text, nothing else stands between them.
    if len(found) == len(pairs) and sum(map(len, chain(*pairs))) + 4 * len(pairs) - 1 == len(text):
        return found if "\\" not in text else {name: unescaped(value) for name, value in pairs}
    labels: Dict[str, str] = {}
    at, end = 0, len(text.rstrip(" \t"))
    while at < end:
        match = _LABEL(text, at)
        if match is None or match.group(1) in labels:
            return None
        labels[match.group(1)] = unescaped(match.group(2))
        at = match.end()
    return labels


def unescaped(text: str) -> str:
    r"""A label's value: \n, \" and \\ are escapes, any other backslash is one."""
    if "\\" not in text:
        return text
    return _ESCAPE.sub(lambda match: _ESCAPED.get(match.group(1), match.group(0)), text)


def number(text: str) -> Optional[float]:
    """As Go writes numbers; None for what is none."""
    try:
        return float(text)
    except ValueError:
        return None


def usable(value: float) -> bool:
    """No counter and no gauge of a kubelet is negative, infinite or NaN."""
    return 0.0 <= value < float("inf")
