"""The head as it is stored: what no aggregator wrote is refused, and no time of it is fresh for ever."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from krm.model.head import BadHead, Head, decode, encode
from krm.model.trust import judge

NOW = 1_000_000.0
LIVE = Head("n", rv="10", beat=NOW, probed_at=NOW, streamer_at=NOW, current_as_of=NOW)


def stored(**values: str) -> Any:
    return {name.encode(): value.encode() for name, value in values.items()}


@pytest.mark.parametrize("field", ["beat", "probed_at", "streamer_at", "current_as_of", "verified_at"])
@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999"])
def test_a_time_that_is_no_moment_is_refused(field: str, text: str) -> None:
    with pytest.raises(BadHead):
        decode(stored(incarnation="n", **{field: text}))


@pytest.mark.parametrize("field", ["beat", "probed_at", "streamer_at", "current_as_of"])
@pytest.mark.parametrize("at", [float("nan"), float("inf"), float("-inf"), None])
def test_a_time_that_is_no_moment_is_unknown_and_never_fresh(field: str, at: Any) -> None:
    assert judge(LIVE, NOW).state == "live"
    trust = judge(replace(LIVE, **{field: at}), NOW)
    assert trust.state == "stale"
    assert trust.age == (None if field == "current_as_of" else 0.0)


@pytest.mark.parametrize(
    ("field", "limit", "reason", "more"),
    [
        ("beat", 5.0, "the aggregator has not beaten for 6 s", {}),
        ("probed_at", 25.0, "no proof of freshness for 26 s (Unreachable)", {"list_error": "Unreachable"}),
        ("streamer_at", 25.0, "no open watch for 26 s (ServerError)", {"watch_error": "ServerError"}),
        ("current_as_of", 90.0, "not proven current for 91 s", {}),
        ("current_as_of", 300.0, "not proven current for 301 s", {"uncached": True}),
    ],
)
def test_each_proof_has_a_limit_of_its_own_and_says_which_ran_out(
    field: str, limit: float, reason: str, more: Any
) -> None:
    assert judge(replace(LIVE, **{field: NOW - limit}, **more), NOW).state == "live"
    trust = judge(replace(LIVE, **{field: NOW - limit - 1.0}, **more), NOW)
    assert (trust.state, trust.reasons) == ("stale", (reason,))
    unknown = judge(replace(LIVE, **{field: None}, **more), NOW)
    assert (unknown.state, len(unknown.reasons)) == ("stale", 1)
    assert unknown.reasons[0].split(" yet")[0] == reason.split(" for ")[0]


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("bad", '[["error", 1, "digest", ["key"], "rv", 1.0]]'),
        ("bad", '[["error", 1, "digest", "key", "rv", NaN]]'),
        ("bad", "[[]]"),
        ("drift", '{"ghost": "many"}'),
    ],
)
def test_lists_of_other_things_are_refused(field: str, text: str) -> None:
    with pytest.raises(BadHead):
        decode(stored(incarnation="n", **{field: text}))


def test_what_is_stored_is_read_back() -> None:
    head = replace(LIVE, bad=(("error", 1, "digest", "key", "rv", 1.0),), drift={"ghost": 2}, gaps=3)
    values = {name: getattr(head, name) for name in ("incarnation", "rv", "beat", "bad", "drift", "gaps")}
    assert decode(stored(**encode(values))) == replace(head, probed_at=None, streamer_at=None, current_as_of=None)
