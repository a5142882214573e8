"""The usual object takes a shorter way. Both codecs take it for the same bytes, with the same result, and it
gives what the long way gives."""

from __future__ import annotations

import os
import random

import pytest
from krm.model import codec as codecs
from krm.model.canonical import Canonicaliser
from krm.model.codec import NotJson
from krm.model.kinds import Resource, parse_kind

from model import pods

PODS = Resource(parse_kind("pods"), "v1", "Pod", True)
SEED = int(os.environ.get("KRM_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 40)
needs_msgspec = pytest.mark.skipif(codecs.MSGSPEC is None, reason="needs msgspec: pip install 'krm[fast]'")


def outcome(canonicaliser: Canonicaliser, raw: bytes) -> object:
    try:
        return canonicaliser.item(raw)
    except NotJson as error:
        return (type(error).__name__, error.error)


@pytest.mark.parametrize("keep_env", [False, True])
def test_the_short_way_gives_what_the_long_way_gives(keep_env: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    canonicaliser = Canonicaliser(PODS, keep_env, codecs.STDLIB)
    for number in range(20):
        raw = pods.compact(pods.pod(name=f"web-{number}", managed=number))
        short = canonicaliser._usual(raw, "A", 0.0)
        assert short is not None
        with monkeypatch.context() as patch:
            patch.setattr(canonicaliser, "_usual", lambda *_: None)
            assert canonicaliser.item(raw) == short


@needs_msgspec
def test_both_codecs_agree_on_pods_with_bytes_changed() -> None:
    """Random places, random bytes, cuts and repeats: the same item, or the same refusal."""
    print(f"seed {SEED}")
    draw = random.Random(SEED)
    assert codecs.MSGSPEC is not None
    fast, slow = (Canonicaliser(PODS, codec=codec) for codec in (codecs.MSGSPEC, codecs.STDLIB))
    whole = pods.compact(pods.pod())
    alphabet = b'{}[]",:\\ \t0e-nulltrue\xc3\xff/u'
    for _ in range(1_500):
        raw = bytearray(whole)
        for _ in range(draw.choice((1, 1, 2, 5))):
            at = draw.randrange(len(raw))
            length = draw.choice((0, 1, 1, 8, 60))
            copied = draw.randrange(len(whole))
            with_ = draw.choice((bytes([draw.choice(alphabet)]), whole[copied : copied + length], b""))
            raw[at : at + draw.choice((0, 1, length))] = with_
        assert outcome(fast, bytes(raw)) == outcome(slow, bytes(raw)), bytes(raw)
