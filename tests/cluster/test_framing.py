"""Framing: where a body begins and ends must not depend on how the network cuts the bytes."""

from __future__ import annotations

import random

import pytest
from krm.cluster.errors import Malformed
from krm.cluster.framing import Chunked, Counted, UntilClose, framing_of


def chunks(body: bytes, source: random.Random) -> bytes:
    sent = b""
    while body:
        size = source.randint(1, 40)
        piece, body = body[:size], body[size:]
        extension = source.choice([b"", b";a=b", b"  ", b' ; x="y"'])
        sent += (b"%X" if source.random() < 0.5 else b"%x") % len(piece) + extension + b"\r\n" + piece + b"\r\n"
    return sent + b"0\r\n" + source.choice([b"", b"Trailer: x\r\n"]) + b"\r\n"


def test_any_cut_gives_the_same_body() -> None:
    seed = random.randrange(10**9)
    print(f"seed {seed}")
    source = random.Random(seed)
    for _ in range(300):
        body = bytes(source.choice(b"ab\r\n0;") for _ in range(source.randint(0, 200)))
        sent = chunks(body, source)
        framing, got, at = Chunked(), b"", 0
        while at < len(sent):
            assert not framing.ended
            step = source.randint(1, 30)
            got += b"".join(framing.feed(sent[at : at + step]))
            at += step
        assert got == body
        assert framing.ended
        assert not framing.excess


def test_the_end_is_seen_with_its_last_byte_and_not_before() -> None:
    sent = b"3\r\nabc\r\n0\r\n\r\n"
    for cut in range(len(sent)):
        framing = Chunked()
        framing.feed(sent[:cut])
        assert not framing.ended, cut
    assert framing.feed(sent[cut:]) == []
    assert framing.ended


@pytest.mark.parametrize("framing", [Chunked(), Counted(3)])
def test_bytes_behind_the_end_are_no_body_and_spoil_the_connection(framing) -> None:
    sent = b"3\r\nabc\r\n0\r\n\r\n" if isinstance(framing, Chunked) else b"abc"
    assert b"".join(framing.feed(sent + b"HTTP/1.1")) == b"abc"
    assert framing.ended
    assert framing.excess


@pytest.mark.parametrize(
    ("encoding", "length", "kind"),
    [("chunked", None, Chunked), ("Chunked", "5", Chunked), ("", "5", Counted), ("", None, UntilClose)],
)
def test_the_headers_name_the_framing(encoding: str, length, kind: type) -> None:
    assert isinstance(framing_of(encoding, length), kind)


@pytest.mark.parametrize(
    ("encoding", "length"),
    [("gzip, chunked", None), ("gzip", "5"), ("", "-1"), ("", "5, 6"), ("", "0x5"), ("", "٣"), ("", "9" * 30)],
)
def test_headers_without_sense_are_malformed(encoding: str, length) -> None:
    with pytest.raises(Malformed):
        framing_of(encoding, length)
