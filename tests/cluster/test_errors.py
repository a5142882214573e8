"""An error's class decides what a stage does next; its sentence is all that a person sees."""

from __future__ import annotations

import json

import pytest
from cluster.scripted import status_body
from krm.cluster import errors
from krm.cluster.errors import ClusterError, from_error_event, from_status

WHAT = "GET /api/v1/pods"


@pytest.mark.parametrize(
    ("status", "body", "name"),
    [
        (401, status_body(401, "Unauthorized", "Unauthorized"), "Unauthorized"),
        (403, status_body(403, "Forbidden"), "Forbidden"),
        (404, status_body(404, "NotFound"), "NotFound"),
        (404, b"404 page not found\n", "NotFound"),
        (410, status_body(410, "Expired"), "Expired"),
        (410, status_body(410, "Gone"), "Expired"),
        (500, status_body(410, "Expired"), "Expired"),
        (429, b"Too many requests, please try again later.\n", "TooManyRequests"),
        (429, status_body(429, "TooManyRequests"), "TooManyRequests"),
        (400, status_body(400, "BadRequest"), "BadRequest"),
        (405, b"", "BadRequest"),
        (422, status_body(422, "Invalid"), "BadRequest"),
        (500, b"\xff\x00", "ServerError"),
        (503, b"<html>", "ServerError"),
        (504, status_body(504, "Timeout", "request timed out"), "ServerError"),
        (302, b"", "Malformed"),
        (101, b"", "Malformed"),
        # The three wordings: 1.18.6 on, 1.17 to 1.18.5, before.
        (
            504,
            status_body(504, "Timeout", "x", causes=[{"reason": "ResourceVersionTooLarge", "message": "m"}]),
            "TooLargeResourceVersion",
        ),
        (
            504,
            status_body(504, "Timeout", "x", causes=[{"message": "Too large resource version"}]),
            "TooLargeResourceVersion",
        ),
        (504, status_body(504, "Timeout", "Too large resource version: 9, current: 5"), "TooLargeResourceVersion"),
        # The words alone are no proof.
        (400, status_body(400, "BadRequest", "Too large resource version: 9"), "BadRequest"),
    ],
)
def test_the_class_follows_from_status_and_reason(status: int, body: bytes, name: str) -> None:
    assert type(from_status(status, body, WHAT)).__name__ == name


@pytest.mark.parametrize(
    ("header", "details", "seconds"),
    [(7.0, {}, 7.0), (None, {"retryAfterSeconds": 3}, 3.0), (None, {}, None), (9e9, {}, 300.0)],
)
def test_retry_after_comes_from_the_header_or_the_body(header, details, seconds) -> None:
    for status in (429, 503):
        error = from_status(status, status_body(status, "Any", **details), WHAT, header)
        assert error.retry_after == seconds  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"kind":"Status","details":[1]}', b'{"kind":"Status","reason":{}}']
)
def test_hostile_bodies_are_errors_all_the_same(body: bytes) -> None:
    assert isinstance(from_status(500, body, WHAT), errors.ServerError)


@pytest.mark.parametrize("value", [True, "3", -1, 10**40, None, [1]])
def test_a_senseless_retry_after_is_none(value) -> None:
    body = status_body(429, "TooManyRequests", retryAfterSeconds=value)
    assert from_status(429, body, WHAT).retry_after is None  # type: ignore[attr-defined]


def test_a_message_says_what_happened_to_what_and_what_to_do() -> None:
    for status in (401, 403, 404, 410, 429, 400, 500):
        text = str(from_status(status, b"", WHAT))
        assert text.startswith(f"{WHAT} was answered {status}")
        assert ": " in text


def test_a_forbidden_names_the_user_and_the_right() -> None:
    words = 'pods is forbidden: User "u" cannot list resource "pods" in API group "" at the cluster scope'
    assert words in str(from_status(403, status_body(403, "Forbidden", words), WHAT))


def test_no_message_holds_what_a_body_says_of_objects() -> None:
    """A canary that stands in every field of every error body must not come out where it could be data."""
    for status in (401, 404, 410, 429, 500, 503, 504):
        body = status_body(status, "Any", "CANARY", name="CANARY", causes=[{"message": "CANARY"}])
        assert "CANARY" not in str(from_status(status, body, WHAT))
        assert "CANARY" not in repr(from_status(status, b"CANARY", WHAT))


def test_a_message_cannot_write_to_a_terminal_or_start_a_new_log_line() -> None:
    text = str(
        from_status(403, status_body(403, "\x1b[31mForbidden", "a\nb\x1b]0;x\x07\u202e" + "y" * 10_000), WHAT)
    )
    assert text.isprintable()
    assert len(text) < 1000


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (status_body(410, "Expired", "too old resource version: 5 (9)"), "Expired"),
        (status_body(410, "Gone"), "Expired"),
        (status_body(500, "InternalError"), "ServerError"),
        (status_body(403, "Forbidden"), "Forbidden"),
        (status_body(504, "Timeout", "Too large resource version: 9"), "TooLargeResourceVersion"),
        (b"{}", "Malformed"),
        (b"nonsense", "Malformed"),
        (json.dumps({"kind": "Status", "code": True}).encode(), "Malformed"),
        (json.dumps({"kind": "Status", "code": 200}).encode(), "Malformed"),
    ],
)
def test_an_error_event_means_what_its_status_says(status: bytes, name: str) -> None:
    assert type(from_error_event(status, "WATCH /api/v1/pods")).__name__ == name


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = {line.split()[1] for line in (errors.__doc__ or "").splitlines() if line.strip().startswith("+-")}
    assert drawn == {cls.__name__ for cls in ClusterError.__subclasses__()}
