"""A part that all workers of one test run share: the first who asks starts it, the last who leaves ends it.

Two locks in the part's folder, which die with the processes that hold them: `door` is held while the part is started
or ended, `users` for as long as somebody uses it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import pytest


class Part(NamedTuple):
    """A running part: where it is reached, and the process that it is."""

    address: str
    pid: int


def folder_of(factory: pytest.TempPathFactory, name: str) -> Path:
    """A folder that all workers of this run know by its name; without workers, one of this process."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def alone(folder: Path, name: str = "door") -> Iterator[None]:
    """Nobody else is in here at the same time, in whatever process."""
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def shared(folder: Path, start: Callable[[], Part]) -> Iterator[str]:
    """The address of the part, running for as long as somebody is in here."""
    note = folder / "part.json"
    with (folder / "users.lock").open("w") as users:
        with alone(folder):
            if not note.exists():
                note.write_text(json.dumps(start()))
            fcntl.flock(users, fcntl.LOCK_SH)
        part = Part(*json.loads(note.read_text()))
        try:
            yield part.address
        finally:
            with alone(folder):
                if _is_last(users):
                    note.unlink()
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(part.pid, signal.SIGKILL)


def _is_last(users: IO[str]) -> bool:
    """Whether nobody else uses the part. Asked behind the door, so that nobody comes in meanwhile."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
