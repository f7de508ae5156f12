"""Which processes use the embedded log, told by locks that the operating system drops with their process."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of the log at that path; another process that wants it waits."""
    with path.with_name(f"{path.name}-lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Presence:
    """Says that this process lives: a locked file beside the log, whose lock ends with the process, however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = os.urandom(8).hex()
        with locked(path):
            for name in self._names():
                if not self.lives(name):
                    self._file_of(name).unlink(missing_ok=True)
            self._file = self._file_of(self.name).open("w")
            fcntl.flock(self._file, fcntl.LOCK_EX)

    def lives(self, name: str) -> bool:
        """Whether the process of that name has its lock still."""
        try:
            with self._file_of(name).open("r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:  # it is locked; or it cannot be told, and then nothing may be taken from it
            return True
        return False

    def alone(self) -> bool:
        """Whether no other process uses the log."""
        return not any(self.lives(name) for name in self._names() if name != self.name)

    def end(self) -> None:
        """This process is done with the log."""
        self._file_of(self.name).unlink(missing_ok=True)
        self._file.close()

    def _names(self) -> list[str]:
        prefix = self._file_of("").name
        return [path.name.removeprefix(prefix) for path in self._path.parent.glob(f"{prefix}*")]

    def _file_of(self, name: str) -> Path:
        return self._path.with_name(f"{self._path.name}-process-{name}")
