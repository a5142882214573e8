"""A look with no more rights than the agent has: in a child process, under its UID."""

from __future__ import annotations

import os
import pickle
import shutil
import tempfile
from pathlib import Path
from typing import Callable, Iterator, TypeVar

import pytest

UID = 64123
T = TypeVar("T")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Such as every UID may enter; pytest's own are for one."""
    folder = Path(tempfile.mkdtemp(prefix="krm-test-"))
    folder.chmod(0o755)
    yield folder
    for path, names, _ in os.walk(folder):
        for name in names:
            os.chmod(os.path.join(path, name), 0o755)
    shutil.rmtree(folder)


def as_agent(look: Callable[[], T]) -> T:
    """What `look` returns in a child that gave up root, if this process has it. Its error is told as this one's."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(UID)
                os.setuid(UID)
            answer = pickle.dumps((True, look()))
        except BaseException as error:  # noqa: BLE001 (it is told where it is awaited)
            answer = pickle.dumps((False, repr(error)))
        os.write(writer, answer)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        content = pipe.read()
    os.waitpid(child, 0)
    well, answer = pickle.loads(content)
    assert well, answer
    return answer  # type: ignore[no-any-return]
