"""The thread that sends: a turn is never held up, nothing is lost while a place is away, losses are told."""

from __future__ import annotations

import gzip
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest
from krm.store.history.sending import QUEUE, InMemory, Never, NotNow, Sender
from krm.store.history.spool import Spool, pack
from redis_servers import until


class Place:
    """An outlet that does as it is told."""

    name = "the place"

    def __init__(self) -> None:
        self.got: List[bytes] = []
        self.tried = 0
        self.behave: Callable[[bytes], None] = lambda batch: None

    def send(self, batch: bytes) -> None:
        self.tried += 1
        self.behave(batch)
        self.got.append(gzip.decompress(batch))

    def complaints(self) -> List[str]:
        return []


def assert_(value: Any) -> None:
    assert value


def away(batch: bytes) -> None:
    raise NotNow("it is away")


def offer(sender: Sender, *texts: bytes) -> None:
    for text in texts:
        until("there is room", lambda: sender._turns.qsize() < QUEUE)
        sender.offer(lambda text=text: [pack(text)])  # type: ignore[misc]


@pytest.fixture
def place() -> Place:
    return Place()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def sender(place: Place, folder: Path) -> Iterator[Sender]:
    found = Sender(place, lambda: Spool(folder), pause=0.02)
    yield found
    found.close()


def numbers(count: int) -> List[bytes]:
    return [b"%d\n" % number for number in range(count)]


def test_what_is_offered_arrives_in_order_and_is_gone_from_the_disk(
    place: Place, sender: Sender, folder: Path
) -> None:
    offer(sender, *numbers(50))
    until("all arrive", lambda: place.got == numbers(50))
    until("the disk is empty", lambda: not list(folder.glob("*.gz")))
    assert sender.health() == []


def test_while_the_place_is_away_batches_wait_and_the_exact_bytes_are_sent_again(
    place: Place, sender: Sender, folder: Path
) -> None:
    place.behave = away
    offer(sender, *numbers(30))
    until("they wait", lambda: len(list(folder.glob("*.gz"))) == 30)
    assert sender.health() == ["the place: it is away; 30 batches wait"]
    place.behave = lambda batch: None
    until("all arrive", lambda: place.got == numbers(30))
    until("all is well", lambda: sender.health() == [])


def test_an_attempt_is_made_ever_less_often(place: Place, folder: Path) -> None:
    place.behave = away
    sender = Sender(place, lambda: Spool(folder), pause=0.1)
    try:
        offer(sender, b"x\n")
        began = time.monotonic()
        until("a few attempts", lambda: place.tried >= 4)
        # 0.1, 0.2 and 0.4 s lie between four attempts, each at least three quarters of it.
        assert time.monotonic() - began >= 0.5
    finally:
        sender.close(0.1)


def test_a_batch_that_is_refused_for_ever_holds_up_no_other(place: Place, sender: Sender) -> None:
    def picky(batch: bytes) -> None:
        if gzip.decompress(batch) == b"3\n":
            raise Never("it answered 400: partial write")

    place.behave = picky
    offer(sender, *numbers(6))
    until("the others arrive", lambda: len(place.got) == 5)
    assert b"3\n" not in place.got
    assert sender.health() == ["the place: 1 batches were refused, the last one: it answered 400: partial write"]


def test_a_slow_place_never_holds_up_a_turn(place: Place, folder: Path) -> None:
    released = threading.Event()
    place.behave = lambda batch: assert_(released.wait(30))
    sender = Sender(place, lambda: Spool(folder), pause=0.02)
    try:
        longest = 0.0
        for number in range(100):
            began = time.perf_counter()
            sender.offer(lambda number=number: [pack(b"%d\n" % number)])  # type: ignore[misc]
            longest = max(longest, time.perf_counter() - began)
        assert longest < 0.5
        # One is on its way, QUEUE wait their turn; the rest is lost, and it is told how many.
        until("it is told", lambda: any("came faster than they were written" in one for one in sender.health()))
    finally:
        released.set()
        sender.close()
    assert QUEUE <= len(place.got) <= QUEUE + 1


def test_what_was_offered_before_the_end_is_on_the_disk_for_the_next_process(place: Place, folder: Path) -> None:
    place.behave = away
    sender = Sender(place, lambda: Spool(folder), pause=0.02)
    offer(sender, *numbers(20))
    sender.close()
    assert len(list(folder.glob("*.gz"))) == 20
    place.behave = lambda batch: None
    again = Sender(place, lambda: Spool(folder), pause=0.02)
    until("all arrive", lambda: place.got == numbers(20))
    again.close()


def test_a_folder_that_another_process_has_is_told_and_taken_over_when_it_ends(place: Place, folder: Path) -> None:
    other = Spool(folder)
    sender = Sender(place, lambda: Spool(folder), pause=0.02)
    try:
        until("it is told", lambda: sender.health())
        assert "another process writes to" in sender.health()[0]
        offer(sender, b"x\n")
        other.close()
        until("it arrives", lambda: place.got == [b"x\n"])
        assert sender.health() == []
    finally:
        sender.close()


def test_with_a_full_disk_batches_go_straight_to_the_place_and_it_heals(
    place: Place, sender: Sender, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(sender, b"0\n")
    until("it runs", lambda: place.got)

    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        offer(sender, b"1\n", b"2\n")
        until("they arrive", lambda: place.got == numbers(3))
        assert "No space left on device" in sender.health()[0]
        place.behave = away
        offer(sender, b"lost\n")
        until("the loss is told", lambda: any("1 batches were lost" in one for one in sender.health()))
    place.behave = lambda batch: None
    offer(sender, b"3\n")
    until("it heals", lambda: place.got == numbers(4))
    assert not any("No space" in one for one in sender.health())


def test_what_made_room_is_told_once_nothing_waits_any_more(place: Place, folder: Path) -> None:
    sender = Sender(place, lambda: Spool(folder, 3 * len(pack(b"0\n"))), pause=0.02)
    place.behave = away
    offer(sender, *numbers(5))
    until("it is told", lambda: any("2 batches were lost for want of room" in one for one in sender.health()))
    place.behave = lambda batch: None
    until("the newest arrive", lambda: place.got == numbers(5)[2:])
    until("all else is well", lambda: len(sender.health()) == 1)
    assert "2 batches were lost for want of room" in sender.health()[0]
    sender.close()


def test_in_memory_the_newest_are_kept() -> None:
    held: Any = InMemory(3)
    for number in range(5):
        held.put(number)
    assert (len(held), held.dropped) == (3, 2)
    name, batch = held.oldest()
    assert batch == 2
    held.put(5)
    held.done(name)  # it made room meanwhile: nothing else goes with it
    assert [held.oldest()[1], len(held)] == [3, 3]
