"""A unary call over HTTP/2: however its frames arrive, and whatever else comes, an answer or a typed error."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from typing import List

import pytest
from agent.paper_grpc import HELLO, PaperSocket, answer, frames, message, refusal
from krm.agent.runtime import http2
from krm.agent.runtime.http2 import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_BYTES,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PADDED,
    PING,
    PREFACE,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Broken,
    Connection,
    Http2Error,
    Late,
    Lost,
    Refused,
    frame,
)
from krm.agent.runtime.unix_socket import UnixSocket

PATH = "/runtime.v1.RuntimeService/Version"
BODY = b"what the runtime says"


def number(value: int) -> bytes:
    return struct.pack(">I", value)


def asked(*pieces: bytes, body: bytes = b"question") -> bytes:
    """The answer to one call, where the server sends these pieces."""
    return connected(*pieces).unary(PATH, body, 1.0)


def connected(*pieces: bytes) -> Connection:
    return Connection(PaperSocket(pieces))  # type: ignore[arg-type]


def test_a_call() -> None:
    paper = PaperSocket([HELLO + answer(BODY)])
    assert Connection(paper).unary(PATH, b"question", 1.0) == BODY  # type: ignore[arg-type]
    sent = paper.frames()
    assert [kind for kind, *_ in sent] == [SETTINGS, WINDOW_UPDATE, HEADERS, DATA, SETTINGS, WINDOW_UPDATE]
    (data,) = (one for one in sent if one[0] == DATA)
    assert data == (DATA, END_STREAM, 1, message(b"question"))
    # What the answer took of the connection's window is given back.
    assert sent[-1] == (WINDOW_UPDATE, 0, 0, number(len(message(BODY))))


def test_an_answer_that_is_cut_at_each_byte() -> None:
    whole = HELLO + answer(BODY, cut=7)
    for at in range(1, len(whole)):
        assert asked(whole[:at], whole[at:]) == BODY
    assert asked(*(whole[at : at + 1] for at in range(len(whole)))) == BODY


def test_an_answer_that_ends_at_each_byte_is_lost() -> None:
    whole = HELLO + answer(BODY, cut=7)
    for at in range(len(whole)):
        with pytest.raises(Lost, match="closed the connection"):
            asked(*([whole[:at]] if at else []))


def test_calls_follow_one_another_on_a_connection() -> None:
    paper = PaperSocket(
        [HELLO + answer(b"one", 1), answer(b"two", 3) + frame(RST_STREAM, 0, 3, number(0)), answer(b"", 5)]
    )
    connection = Connection(paper)  # type: ignore[arg-type]
    assert [connection.unary(PATH, b"", 1.0) for _ in range(3)] == [b"one", b"two", b""]
    assert paper.sent.count(PREFACE) == 1
    assert [stream for kind, _, stream, _ in paper.frames() if kind == HEADERS] == [1, 3, 5]


def test_what_is_not_for_the_call_is_answered_or_passed_over() -> None:
    paper = PaperSocket(
        [
            HELLO + frame(PING, 0, 0, b"12345678") + frame(PING, ACK, 0, b"87654321"),
            frame(0x55, 0xFF, 9, b"of a later standard") + frame(WINDOW_UPDATE, 0, 0, number(100)),
            answer(BODY),
        ]
    )
    assert Connection(paper).unary(PATH, b"", 1.0) == BODY  # type: ignore[arg-type]
    assert (PING, ACK, 0, b"12345678") in paper.frames()
    assert [one for one in paper.frames() if one[0] == PING] == [(PING, ACK, 0, b"12345678")]
    assert (SETTINGS, ACK, 0, b"") in paper.frames()


def test_padding_and_headers_in_parts() -> None:
    padded = bytes((5,)) + message(BODY) + b"\0" * 5
    parts = (
        frame(HEADERS, 0, 1, b"\x88") + frame(CONTINUATION, 0, 1, b"") + frame(CONTINUATION, END_HEADERS, 1, b"")
    )
    assert asked(HELLO + parts + frame(DATA, PADDED | END_STREAM, 1, padded)) == BODY


def test_an_answer_of_many_frames() -> None:
    body = bytes(range(256)) * 4000  # 1 MB
    assert asked(*_pieces(HELLO + answer(body))) == body


def _pieces(raw: bytes) -> List[bytes]:
    return [raw[at : at + 65_536] for at in range(0, len(raw), 65_536)]


def test_a_question_waits_for_its_window() -> None:
    """The server lets 4 bytes of a stream in, then more: nothing is sent before."""
    small = frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 4))
    connection = connected(HELLO + answer(b"", 1), small + answer(b"", 3))
    connection.unary(PATH, b"", 1.0)
    connection.unary(PATH, b"", 1.0)
    paper = PaperSocket(
        [frame(WINDOW_UPDATE, 0, 5, number(3)), frame(WINDOW_UPDATE, 0, 5, number(50)), answer(BODY, 5)]
    )
    connection._socket = paper  # type: ignore[assignment]
    assert connection.unary(PATH, b"question", 1.0) == BODY
    assert (DATA, END_STREAM, 5, message(b"question")) in frames(paper.sent)
    # The next one is let in by a larger window of all streams, those that are open too.
    larger = frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 100))
    paper = PaperSocket([larger, answer(BODY, 7)])
    connection._socket = paper  # type: ignore[assignment]
    assert connection.unary(PATH, b"question", 1.0) == BODY
    with pytest.raises(Lost):
        connection.unary(PATH, b"x" * 200, 1.0)
    assert DATA not in [kind for kind, _, stream, _ in frames(paper.sent) if stream == 9]


def test_the_connections_window_is_kept_to() -> None:
    """65,535 bytes may go out until the server gives more."""
    connection = connected(HELLO + b"".join(answer(b"", stream) for stream in range(1, 11, 2)))
    for _ in range(4):
        connection.unary(PATH, b"x" * 16_000, 1.0)
    with pytest.raises(Broken, match="of stream 9"):
        connection.unary(PATH, b"x" * 16_000, 1.0)


# What the server sends, and what the client calls it.
REFUSED = (
    (refusal(), "refused the call"),
    (frame(RST_STREAM, 0, 1, number(8)), "error 8 of HTTP/2"),
    (frame(HEADERS, END_HEADERS, 1, b"") + frame(DATA, END_STREAM, 1, b""), "refused the call"),
)
BROKEN = (
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak HTTP/2"),
    (b"\x15\x03\x01\x00\x02\x02\x50 an alert of TLS", "does not speak HTTP/2"),
    (frame(SETTINGS, ACK, 0, b""), "does not speak HTTP/2"),
    (HELLO + b"\x00\x40\x01" + b"\x00" * 6, "16385 bytes"),
    (HELLO + frame(DATA, END_STREAM, 1, b"\x01\0\0\0\x01x"), "not one message"),
    (HELLO + frame(DATA, END_STREAM, 1, b"\x00\0\0\0\x09x"), "not one message"),
    (HELLO + frame(DATA, END_STREAM, 1, message(b"a") + message(b"b")), "not one message"),
    (HELLO + frame(DATA, END_STREAM, 1, b"\x00\0"), "breaks off"),
    (HELLO + frame(DATA, PADDED | END_STREAM, 1, b"\x09abc"), "padding"),
    (HELLO + frame(DATA, PADDED | END_STREAM, 1, b""), "padding"),
    (HELLO + frame(DATA, 0, 3, b"x"), "nobody opened"),
    (HELLO + frame(PUSH_PROMISE, END_HEADERS, 1, number(2)), "nobody opened"),
    (HELLO + frame(HEADERS, 0, 1, b"") + frame(PING, 0, 0, b"12345678"), "interrupted"),
    (HELLO + frame(CONTINUATION, END_HEADERS, 1, b""), "nobody opened"),
    (HELLO + frame(PING, 0, 0, b"1"), "PING"),
    (HELLO + frame(PING, 0, 1, b"12345678"), "PING"),
    (HELLO + frame(SETTINGS, 0, 0, b"12345"), "SETTINGS"),
    (HELLO + frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 2**31)), "too large"),
    (HELLO + frame(WINDOW_UPDATE, 0, 0, number(0)), "of nothing"),
    (HELLO + frame(WINDOW_UPDATE, 0, 0, b"1"), "wrong size"),
    (HELLO + frame(WINDOW_UPDATE, 0, 0, number(2**31 - 1)), "too large"),
    (HELLO + frame(GOAWAY, 0, 0, b"1"), "GOAWAY"),
    (HELLO + frame(RST_STREAM, 0, 1, b"1"), "wrong size"),
)


@pytest.mark.parametrize(("raw", "said"), REFUSED)
def test_refused(raw: bytes, said: str) -> None:
    with pytest.raises(Refused, match=said):
        asked(HELLO + raw)


@pytest.mark.parametrize(("raw", "said"), BROKEN)
def test_broken(raw: bytes, said: str) -> None:
    with pytest.raises(Broken, match=said):
        asked(raw)


def test_after_a_refusal_the_connection_goes_on() -> None:
    connection = connected(HELLO + refusal(1), answer(BODY, 3))
    with pytest.raises(Refused):
        connection.unary(PATH, b"", 1.0)
    assert connection.unary(PATH, b"", 1.0) == BODY


def goaway(last: int) -> bytes:
    return frame(GOAWAY, 0, 0, number(last) + number(0))


def test_goaway() -> None:
    """What it took on it answers; what it did not, another connection may."""
    connection = connected(HELLO + goaway(1) + answer(BODY))
    assert not connection.is_spent
    assert connection.unary(PATH, b"", 1.0) == BODY
    assert connection.is_spent
    still_open = PaperSocket([HELLO + goaway(0)], then=socket.timeout())
    with pytest.raises(Lost) as error:
        Connection(still_open).unary(PATH, b"", 1.0)  # type: ignore[arg-type]
    assert error.value.unheard


def test_lost_before_or_within_an_answer() -> None:
    """Only what was not heard of is worth a second connection."""
    for raw, unheard in ((HELLO, True), (HELLO + answer(BODY)[:15], False)):
        with pytest.raises(Lost) as error:
            asked(raw)
        assert error.value.unheard is unheard
    paper = PaperSocket([HELLO], then=ConnectionResetError(104, "Connection reset by peer"))
    with pytest.raises(Lost, match="Connection reset") as error:
        Connection(paper).unary(PATH, b"", 1.0)  # type: ignore[arg-type]
    assert error.value.unheard


def test_an_answer_above_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2, "MAX_ANSWER", 70_000)
    with pytest.raises(Broken, match="more than 70000 bytes"):
        asked(*_pieces(HELLO + answer(b"x" * 80_000, cut=100)))


def test_frames_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2, "MAX_FRAMES", 50)
    for endless in (frame(PING, 0, 0, b"12345678"), frame(CONTINUATION, 0, 1, b""), frame(DATA, 0, 1, b"")):
        with pytest.raises(Broken, match="50 frames"):
            asked(HELLO + frame(HEADERS, 0 if endless[3] == CONTINUATION else END_HEADERS, 1, b"") + endless * 100)


def test_a_question_that_is_too_long_is_not_asked() -> None:
    with pytest.raises(ValueError, match="at most"):
        asked(HELLO, body=b"x" * FRAME_BYTES)


def test_time_runs_out_however_bytes_drip() -> None:
    """A timeout a read would never end this: each byte comes in time."""
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    over = threading.Event()

    def drip() -> None:
        theirs.sendall(HELLO)
        for byte in frame(0x55, 0, 0, b"passed over") * 1000:
            if over.wait(0.02):
                return
            theirs.sendall(bytes((byte,)))

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        opened = UnixSocket(fileno=ours.detach())
        began = time.monotonic()
        with pytest.raises(Late, match="in time"):
            Connection(opened).unary(PATH, b"", began + 0.3)
        assert 0.25 < time.monotonic() - began < 2
        opened.close()
    finally:
        over.set()
        thread.join(5)
        theirs.close()


def test_whatever_comes_is_an_answer_or_a_typed_error() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    good = HELLO + frame(PING, 0, 0, b"12345678") + frame(WINDOW_UPDATE, 0, 0, number(9)) + answer(BODY, cut=9)
    for _ in range(3000):
        raw = bytearray(good)
        for _ in range(rng.randrange(1, 5)):
            raw[rng.randrange(len(raw))] = rng.choice((0, 1, 255, rng.randrange(256)))
        at = rng.randrange(len(raw))
        try:
            asked(bytes(raw[:at]) or b"\0", bytes(raw[at:]))
        except Http2Error:
            continue
