"""What the store does when processes, sockets and servers fail at the worst moment."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest
import redis_servers
from kind_pen import Pen
from krm.store.connect import Database, connect
from krm.store.errors import Busy, Expired, Fenced, OutOfMemory, RefusedPolicy, Surprise, Unavailable
from krm.store.follow import Follower
from krm.store.keys import Keys
from krm.store.publish import Writer
from krm.store.read import Reader
from krm.store.transactions import Publication
from redis_servers import CutProxy, Server, env_count, until

pytestmark = pytest.mark.skipif(redis_servers.REDIS is None, reason="no redis-server on PATH")
NAMES = ["a/x", "a/y", "b/x"]
CHILD = Path(__file__).parent.parent / "store_child.py"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with redis_servers.one(tmp_path) as running:
        yield running


@pytest.fixture
def proxy(real: Database) -> Iterator[CutProxy]:
    cutting = CutProxy(real.address.path)
    yield cutting
    cutting.close()


def child(url: str, keys: Keys, fence: str, namespaces: int = 4, objects: int = 40) -> subprocess.Popen[str]:
    command = [sys.executable, str(CHILD), url, keys.cluster, fence, str(namespaces), str(objects)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@contextlib.contextmanager
def ended(process: subprocess.Popen[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


# Lost answers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["answer", "request"])
@pytest.mark.parametrize("write", ["publish", "head", "switch", "take over"])
def test_a_write_whose_answer_is_lost_happens_once(
    proxy: CutProxy, real: Database, keys: Keys, write: str, loss: str
) -> None:
    through = connect(proxy.url, name="cut")
    pen = Pen(Writer(through, keys, "ME"))
    if write != "take over":
        pen.begin(NAMES)
    lose = proxy.cut_after if loss == "answer" else proxy.cut_before
    if write == "publish":
        lose(b"XADD")
        pen.publish(("a/x", True), ("c/new", True))
    elif write == "head":
        lose(b"SADD")
        pen.writer.write_head({"beat": 5.0}, garbage_add=["old"])
    elif write == "switch":
        lose(b"UNLINK")
        pen.rebuild(NAMES)
    else:
        lose(b"EXEC")
        pen.begin(NAMES)
    assert proxy.cuts == 1
    pen.publish(("a/y", True))
    found = Reader(real, keys).snapshot()
    assert found is not None
    assert found.objects == pen.objects
    assert pen.writer.known is not None
    assert found.token.version == pen.writer.known.version
    rows = real.link(keys.head).call("XRANGE", keys.changes, "-", "+")
    assert len(rows) == {"publish": 2}.get(write, 1)


def test_a_publication_in_doubt_is_decided_when_redis_is_back(server: Server, keys: Keys, tmp_path: Path) -> None:
    proxy = CutProxy(server.address)
    pen = Pen(Writer(connect(proxy.url, name="cut"), keys, "ME"))
    pen.begin(NAMES)
    publication = pen.publication(("a/x", True))
    proxy.cut_after(b"XADD")
    proxy.refuse = True  # and nobody answers afterwards
    with pytest.raises(Unavailable):
        pen.writer.publish(publication)
    with pytest.raises(Unavailable):
        pen.writer.publish(publication)
    proxy.refuse = False
    pen.writer.publish(publication)
    assert pen.writer.known is not None
    assert pen.writer.known.version == 2
    proxy.cut_after(b"XADD")
    proxy.refuse = True
    third = pen.publication(("a/x", True))
    with pytest.raises(Unavailable):
        pen.writer.publish(third)
    proxy.refuse = False
    with pytest.raises(Surprise):  # another publication must not be taken for the one that was applied
        pen.writer.publish(pen.publication(("b/x", True)))
    proxy.close()


def test_no_command_is_repeated_by_the_library(proxy: CutProxy, real: Database, keys: Keys) -> None:
    from krm.model.messages import End
    from krm.store.errors import Unanswered
    from krm.store.streams import Appender

    stage = Appender(connect(proxy.url, name="cut"), keys)
    stage.append_event(End("n", "s", "error"), "")
    proxy.cut_after(b"XADD")
    with pytest.raises(Unanswered):
        stage.append_event(End("n", "s", "error"), "")
    assert real.link(keys.head).call("XLEN", keys.events) == 2


def test_a_stopped_redis_holds_a_call_for_its_timeout_alone(server: Server, keys: Keys) -> None:
    reader = Reader(connect(server.url, name="x"), keys)
    reader.head()
    server.pause()
    before = time.monotonic()
    with pytest.raises(Unavailable):
        reader._link.call("GET", "x")
    assert time.monotonic() - before < 7
    server.resume()
    assert reader.head().head is None


# Zombies ----------------------------------------------------------------------------------------


def test_a_paused_writer_that_wakes_after_a_takeover_writes_nothing(real: Database, keys: Keys) -> None:
    url = real.address.shown
    for _ in range(env_count("KRM_TEST_ZOMBIES", 3)):
        cluster = Keys(f"{keys.cluster}-{_}", "pods")
        zombie = child(url, cluster, "ZOMBIE")
        with ended(zombie):
            assert zombie.stdout is not None
            for _ in range(random.randrange(3, 30)):
                zombie.stdout.readline()
            zombie.send_signal(signal.SIGSTOP)
            pen = Pen(Writer(real, cluster, "HEIR"))
            pen.rv = 10**6
            pen.begin(NAMES)
            pen.publish(("a/x", True))
            before = _dump(real, cluster)
            zombie.send_signal(signal.SIGCONT)
            assert _last_line(zombie) == "Fenced"
            assert _dump(real, cluster) == before


def _last_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.read().split()[-1]


def _dump(database: Database, keys: Keys) -> List[Any]:
    """Everything under the kind's prefix."""
    link, found, cursor = database.link(keys.head), set(), b"0"
    while True:
        cursor, names = link.call("SCAN", cursor, "MATCH", keys.prefix + "*", "COUNT", 1000)
        found.update(names)
        if cursor == b"0":
            return [(name, link.call("DUMP", name)) for name in sorted(found)]


def test_reads_are_never_torn_while_writers_are_killed(real: Database, keys: Keys) -> None:
    """Each snapshot fits its digests and is one that some version had: rvs never fall, and never mix."""
    url, reader = real.address.shown, Reader(real, keys)
    reads = env_count("KRM_TEST_TORN_READS", 150)
    seed = env_count("KRM_TEST_SEED", int(time.time()))
    print("seed", seed)
    chance = random.Random(seed)
    busy, done, versions = 0, 0, set()
    while done < reads:
        writer = child(url, keys, f"W{done}-{busy}")
        with ended(writer):
            for _ in range(chance.randrange(10, max(60, reads // 100))):  # some 200 deaths in a long run
                try:
                    found = reader.snapshot() if chance.random() < 0.7 else reader.snapshot("ns1")
                except Busy:
                    busy += 1
                    continue
                assert found is not None
                assert found.corrupt == ()
                newest = max((int(row.rv) for row in found.objects.values()), default=0)
                assert newest <= int(found.head.rv)
                versions.add(found.token)
                done += 1
            time.sleep(chance.random() * 0.01)
    print(f"{done} reads of {len(versions)} versions, {busy} busy")
    assert len(versions) > 10
    assert busy <= reads // 10


def test_versions_read_are_versions_written(server: Server, keys: Keys) -> None:
    """The same from inside: a reader between two publishes of one process sees exactly the pen's state."""
    import threading

    database = connect(server.url, name="x")
    pen = Pen(Writer(database, keys, "ME"))
    pen.begin([f"ns{number % 7}/pod-{number}" for number in range(100)])
    names, chance, end = list(pen.objects), random.Random(7), threading.Event()

    def write() -> None:
        while not end.is_set():
            pen.publish(*((name, chance.random() > 0.3) for name in chance.sample(names, 4)))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        reader, found = Reader(database, keys), []
        while len(found) < env_count("KRM_TEST_TORN_READS", 150):
            with contextlib.suppress(Busy):
                found.append(reader.snapshot())
    finally:
        end.set()
        thread.join()
    for snapshot in found:
        assert snapshot is not None
        assert snapshot.objects == pen.versions[snapshot.token.version]


def _meanwhile(reader: Reader, monkeypatch: pytest.MonkeyPatch, what: Callable[[], None]) -> None:
    """`what` happens in the middle of each read of all namespaces."""
    ask = reader._hashes

    def hashes(incarnation: str, spaces: List[str]) -> Dict[str, bytes]:
        half = len(spaces) // 2
        first = ask(incarnation, spaces[:half])
        what()
        return {**first, **ask(incarnation, spaces[half:])}

    monkeypatch.setattr(reader, "_hashes", hashes)


def test_what_is_published_during_a_read_is_in_it(
    real: Database, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    pen, reader = Pen(Writer(real, keys, "ME")), Reader(real, keys)
    pen.begin(["a/x", "b/x", "c/x", "d/x"])

    def writer() -> None:
        pen.publish(*((f"{space}/x", True) for space in "abcd"), ("e/new", True))
        pen.publish(("a/x", False), ("d/x", False), ("e/y", True))

    _meanwhile(reader, monkeypatch, writer)
    found = reader.snapshot()
    assert found is not None
    assert found.token.version == 3
    assert found.objects == pen.objects


def test_changes_trimmed_during_every_read_mean_busy(
    real: Database, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    pen, reader = Pen(Writer(real, keys, "ME")), Reader(real, keys)
    pen.begin(NAMES)

    def writer() -> None:
        for _ in range(2):
            pen.publish(("a/x", True), ("b/x", True))
        assert pen.writer.known is not None
        pen.writer.trim(pen.writer.known.version, None)

    _meanwhile(reader, monkeypatch, writer)
    with pytest.raises(Busy):
        reader.snapshot()


def test_a_rebuild_during_a_read_gives_the_new_snapshot(
    real: Database, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    pen, reader, times = Pen(Writer(real, keys, "ME")), Reader(real, keys), iter([1, 0, 0])
    pen.begin(NAMES)
    _meanwhile(reader, monkeypatch, lambda: pen.rebuild(["q/x"]) if next(times) else None)
    found = reader.snapshot()
    assert found is not None
    assert set(found.objects) == {"q/x"}


# Servers ----------------------------------------------------------------------------------------


def test_a_redis_that_was_emptied_is_a_surprise(server: Server, keys: Keys) -> None:
    database = connect(server.url, name="x")
    pen = Pen(Writer(database, keys, "ME"))
    pen.begin(NAMES)
    follower = Follower(database, keys, found.token) if (found := Reader(database, keys).snapshot()) else None
    server.ask("FLUSHALL")
    with pytest.raises(Surprise):
        pen.publish(("a/x", True))
    assert follower is not None
    with pytest.raises(Expired):
        follower.turn(block=0)
    assert Reader(database, keys).snapshot() is None


def test_a_restart_is_a_surprise_even_with_all_data(tmp_path: Path, keys: Keys) -> None:
    with redis_servers.one(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as server:
        database = connect(server.url, name="x")
        pen = Pen(Writer(database, keys, "ME"))
        pen.begin(NAMES)
        server.restart(hard=True)
        with pytest.raises(Surprise):
            pen.publish(("a/x", True))
        heir = Writer(database, keys, "HEIR")
        seen = heir.read_head()
        assert seen is not None
        assert heir.take_over(seen, {})
        assert dict(heir.load_rows(seen.incarnation)) == pen.versions[1]


def test_an_older_copy_is_a_surprise_and_expired(tmp_path: Path, keys: Keys) -> None:
    with redis_servers.one(tmp_path, "--save", "3600 1", "--appendonly", "no", "--dbfilename", "d.rdb") as server:
        database = connect(server.url, name="x")
        pen = Pen(Writer(database, keys, "ME"))
        pen.begin(NAMES)
        pen.publish(("a/x", True))
        assert server.ask("SAVE") == b"+OK\r\n"
        for _ in range(5):
            pen.publish(("a/x", True))
        found = Reader(database, keys).snapshot()
        assert found is not None
        follower = Follower(database, keys, found.token)
        assert follower.turn(block=0) == []
        server.restart(hard=True)
        with pytest.raises(Surprise):
            pen.publish(("a/x", True))
        with pytest.raises(Expired, match="went back"):
            _patiently(follower)


def _patiently(follower: Follower) -> None:
    try:
        follower.turn(block=0)
    except Unavailable:
        follower.turn(block=0)


def test_failover_to_a_replica_that_lags_is_a_surprise(tmp_path: Path, keys: Keys) -> None:
    with redis_servers.sentinel(tmp_path) as (url, primary, replica, _):
        database = connect(url, name="x")
        pen = Pen(Writer(database, keys, "ME"))
        pen.begin(NAMES)
        found = Reader(database, keys).snapshot()
        assert found is not None
        until("the replica has it", lambda: b"fence" in replica.ask("HKEYS", keys.head))
        replica.ask("REPLICAOF", "127.0.0.1", "1")  # nobody there: it hears of nothing more
        for _ in range(3):
            pen.publish(("a/x", True))
        last = Reader(database, keys).snapshot()
        assert last is not None
        primary.stop(hard=True)
        until("the replica is promoted", lambda: b"role:master" in replica.ask("INFO", "replication"))

        def outcome() -> str:
            try:
                pen.publish(("a/x", True))
            except Unavailable:
                return ""
            except Surprise as error:
                return str(error)
            return "published"

        assert "another Redis server" in until("the writer reaches the new primary", outcome)
        with pytest.raises(Expired, match="went back"):
            Follower(database, keys, last.token).turn(block=0)


def test_a_socket_that_rested_and_was_closed_costs_nothing(
    real: Database, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    from krm.store import connect as module

    monkeypatch.setattr(module, "_IDLE", -1.0)
    pen, reader = Pen(Writer(real, keys, "ME")), Reader(real, keys)
    pen.begin(NAMES)
    assert reader.snapshot() is not None
    real.link().call("CLIENT", "KILL", "TYPE", "normal")
    pen.publish(("a/x", True))
    found = reader.snapshot()
    assert found is not None
    assert found.objects == pen.objects


def test_tls_is_checked_against_the_given_authority(tmp_path: Path, keys: Keys) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on PATH")
    key, cert = str(tmp_path / "key"), str(tmp_path / "cert")
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -keyout {key} -out {cert}"
    subprocess.run([*command.split(), "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    port = redis_servers.free_port()
    tls = ("--tls-port", str(port), "--tls-cert-file", cert, "--tls-key-file", key, "--tls-auth-clients", "no")
    with redis_servers.one(tmp_path / "data", "--save", "", *tls):
        database = connect(f"rediss://localhost:{port}/0?ssl_ca_certs={cert}", name="x")
        Pen(Writer(database, keys, "ME")).begin(NAMES)
        assert connect(f"rediss://localhost:{port}/0?ssl_cert_reqs=none", name="x")
        with pytest.raises(Unavailable, match="certificate"):
            connect(f"rediss://localhost:{port}/0", name="x")
        with pytest.raises(Unavailable):
            connect(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={cert}", name="x")


def test_a_server_that_evicts_is_refused(tmp_path: Path) -> None:
    with redis_servers.one(tmp_path, "--save", "", "--maxmemory-policy", "allkeys-lru") as server:
        with pytest.raises(RefusedPolicy, match="allkeys-lru"):
            connect(server.url, name="x")
        server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
        assert connect(server.url, name="x").warnings == ()


def test_an_acl_without_info_warns_and_works(server: Server, keys: Keys) -> None:
    rules = ("on", ">secret", "~krm:*", "+@all", "-info", "-config", "-client")
    assert server.ask("ACL", "SETUSER", "krm", *rules) == b"+OK\r\n"
    database = connect(server.url.replace("//", "//krm:secret@"), name="x")
    assert "maxmemory-policy cannot be read" in database.warnings[0]
    assert "secret" not in repr(database) + str(database.warnings)
    pen = Pen(Writer(database, keys, "ME"))
    pen.begin(NAMES)
    pen.publish(("a/x", True))


def test_a_full_redis_applies_nothing_and_trimming_helps(server: Server, keys: Keys) -> None:
    database = connect(server.url, name="x")
    pen = Pen(Writer(database, keys, "ME"), size=200_000)
    pen.begin(NAMES)
    server.ask("CONFIG", "SET", "maxmemory", "14mb")
    publication = _publish_until_full(pen)
    assert pen.writer.known is not None
    standing = Reader(database, keys).head().head
    assert standing is not None
    assert standing.version == pen.writer.known.version == publication.version - 1
    pen.writer.trim(changes_to=publication.version, past_to=publication.version)
    pen.writer.publish(publication)
    found = Reader(database, keys).snapshot()
    assert found is not None
    assert found.objects == pen.objects


def _publish_until_full(pen: Pen) -> Publication:
    """The publication that Redis refused."""
    for _ in range(200):
        publication = pen.publication(("a/x", True))
        try:
            pen.writer.publish(publication)
        except OutOfMemory:
            return publication
    raise AssertionError("Redis was never full")


def test_a_writer_without_the_fence_says_so(real: Database, keys: Keys) -> None:
    with pytest.raises(Fenced, match="take over first"):
        Writer(real, keys, "ME").write_head({"beat": 1.0})


def test_a_corrupted_rdb_byte_is_never_served(tmp_path: Path, keys: Keys) -> None:
    options = ("--save", "3600 1", "--dbfilename", "d.rdb", "--rdbchecksum", "no", "--rdbcompression", "no")
    with redis_servers.one(tmp_path, *options) as server:
        database = connect(server.url, name="x")
        pen = Pen(Writer(database, keys, "ME"))
        pen.begin(NAMES)
        server.ask("SAVE")
        server.stop(hard=True)
        dump = tmp_path / "d.rdb"
        shutil.copy(dump, tmp_path / "copy")
        raw = dump.read_bytes()
        assert raw.count(b'{"key":"a/y"') == 1
        dump.write_bytes(raw.replace(b'{"key":"a/y"', b'{"key":"a/z"'))
        server.start()
        found = Reader(database, keys).snapshot()
        assert found is not None
        assert found.corrupt == ("a/y",)
        assert set(found.objects) == {"a/x", "b/x"}
