"""A stage that dies by SIGKILL at a named step: before or after the n-th call of one function."""

from __future__ import annotations

import importlib
import itertools
import os
import signal
from typing import Any, NamedTuple


class Death(NamedTuple):
    """`str()` is what Pipeline takes for a bug's name."""

    module: str
    function: str  # NAME or CLASS.NAME
    when: str  # before, after
    call: int  # 1, 2 ...

    def __str__(self) -> str:
        return f"die {self.module} {self.function} {self.when} {self.call}"

    @classmethod
    def parse(cls, text: str) -> Death:
        _, module, function, when, call = text.split()
        return cls(module, function, when, int(call))

    def plant(self) -> None:
        owner: Any = importlib.import_module(self.module)
        *path, name = self.function.split(".")
        for part in path:
            owner = getattr(owner, part)
        # A thread a kind calls it: each call has a number of its own.
        right, numbers = getattr(owner, name), itertools.count(1)

        def deadly(*args: Any, **more: Any) -> Any:
            number = next(numbers)
            if number == self.call and self.when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            answer = right(*args, **more)
            if number == self.call:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        setattr(owner, name, deadly)
