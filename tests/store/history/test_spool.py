"""What waits to be sent, on disk: nothing acknowledged is lost, room is bounded, torn files cost themselves."""

from __future__ import annotations

import gzip
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import List

import pytest
from krm.store.history.spool import Spool, Taken, pack

CHILD = """
import sys
from pathlib import Path
from krm.store.history.spool import Spool, pack
spool = Spool(Path(sys.argv[1]))
for number in range(int(sys.argv[2]), 10**9):
    spool.put(pack(b"m value=%d 1\\n" % number * 500))
    print(number, flush=True)
"""


def lines_of(spool: Spool) -> List[bytes]:
    """All that waits, taken out."""
    found = []
    while True:
        one = spool.oldest()
        if one is None:
            return found
        found.append(gzip.decompress(one[1]))
        spool.done(one[0])


def test_batches_come_out_as_they_went_in_and_in_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    for number in range(12):
        spool.put(pack(b"%d\n" % number))
    assert pack(b"same\n") == pack(b"same\n")
    spool.close()
    again = Spool(tmp_path / "s")
    assert len(again) == 12
    first = again.oldest()
    assert first == again.oldest()
    assert lines_of(again) == [b"%d\n" % number for number in range(12)]
    assert (len(again), again.bytes) == (0, 0)
    assert again.oldest() is None
    # Numbers go on: a batch never takes the name of one that is gone while the process lives.
    again.put(pack(b"12\n"))
    assert [path.name for path in (tmp_path / "s").glob("*.gz")] == [f"{12:016d}.gz"]


def test_the_oldest_make_room_and_are_counted(tmp_path: Path) -> None:
    size = len(pack(os.urandom(5000)))
    spool = Spool(tmp_path / "s", 10 * size + 10)
    batches = [pack(os.urandom(5000)) for _ in range(25)]
    for batch in batches:
        spool.put(batch)
        assert spool.bytes <= 10 * size + 10
    assert spool.dropped == 25 - len(spool)
    assert lines_of(spool) == [gzip.decompress(batch) for batch in batches[-10:]]


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    spool.put(pack(b"x\n"))
    assert (tmp_path / "s").stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "s").iterdir())


def test_of_two_processes_one_has_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    with pytest.raises(Taken, match="another process writes to"):
        Spool(tmp_path / "s")
    spool.close()
    Spool(tmp_path / "s").close()


@pytest.mark.parametrize("harm", ["cut", "empty", "flipped", "longer", "bomb", "twice"])
def test_a_torn_file_costs_itself_alone(tmp_path: Path, harm: str) -> None:
    spool = Spool(tmp_path / "s")
    for number in range(3):
        spool.put(pack(os.urandom(2000) + b"%d\n" % number))
    spool.close()
    victim = sorted((tmp_path / "s").glob("*.gz"))[1]
    whole = victim.read_bytes()
    victim.write_bytes(
        {
            "cut": whole[:-3], "empty": b"", "flipped": whole[:50] + bytes([whole[50] ^ 1]) + whole[51:],
            "longer": whole + b"x", "bomb": gzip.compress(bytes(100_000_000)), "twice": whole + whole,
        }[harm]
    )  # fmt: skip
    again = Spool(tmp_path / "s")
    assert [text[-2:] for text in lines_of(again)] == [b"0\n", b"2\n"]
    assert (again.torn, len(again), again.bytes) == (1, 0, 0)
    assert not list((tmp_path / "s").glob("*.gz"))


def test_a_full_disk_is_told_and_leaves_the_spool_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path / "s")
    spool.put(pack(b"0\n"))

    def full(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[:5])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space"):
            spool.put(pack(b"lost\n"))
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == [f"{0:016d}.gz", "lock"]
    spool.put(pack(b"1\n"))
    assert lines_of(spool) == [b"0\n", b"1\n"]


def test_what_was_put_survives_sigkill(tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    promised = 0
    for _ in range(8):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path / "s"), str(promised)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stdout.readline()  # it runs
        time.sleep(chance.uniform(0, 0.05))
        child.send_signal(signal.SIGKILL)
        said = [promised, *map(int, child.stdout.read().split())]
        child.wait()
        spool = Spool(tmp_path / "s")
        found = [int(text.split(b"=")[1].split()[0]) for text in map(gzip.decompress, _peek(spool))]
        # What it said is there, in order, once; what it was about to say may be.
        assert found[: said[-1] + 1] == list(range(said[-1] + 1))
        assert len(found) <= said[-1] + 2
        assert spool.torn == 0
        promised = len(found)
        spool.close()


def _peek(spool: Spool) -> List[bytes]:
    return [path.read_bytes() for path in sorted(spool.folder.glob("*.gz"))]
