"""Appends lines to files: each line once, whole, and on the disk before the answer.

Files only grow, so that whoever follows one (`tail -f`, a loader with an offset) sees every line. One write appends all
lines of a request, under a lock, and is synced. What a killed process may leave behind is put right at the next append:

- a torn last line is cut off (no reader took it for a line: its break is missing);
- lines of an attempt that nobody acknowledged are found by their ids, and not written again.

The ids looked for are only those of members that were attempted before, so the file is read again after trouble alone.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path
from typing import BinaryIO

from activation.requests import FileRequest, Reply
from cdp.clock import Clock
from cdp.errors import MisconfiguredError, TransientError
from cdp.settings import Settings

FOLDER = "exports"
CHUNK = 1 << 16


class FileTransport:
    """Appends for one destination."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._root = settings.data_dir / FOLDER
        self._anywhere = settings.activation.allow_any_path
        self._clock = clock

    async def send(self, request: FileRequest) -> Reply:
        """Append the lines; see `Transport`."""
        # A cancelled append is waited for: whoever takes over must not meet it half done.
        work = asyncio.ensure_future(asyncio.to_thread(append, self._place(request.path), request))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work])
            raise
        except OSError as error:
            raise TransientError(f"the file cannot be written: {error.strerror}") from None
        return Reply(200, self._clock.now())

    async def close(self) -> None:
        """Nothing is kept open."""

    def _place(self, path: str) -> Path:
        return confined(self._root, path, anywhere=self._anywhere)


def confined(root: Path, path: str, *, anywhere: bool = False) -> Path:
    """The file that `path` names inside `root`. Raises `MisconfiguredError` when it leads out of it."""
    if "\0" in path:
        raise MisconfiguredError("the path holds a zero byte", code="path_refused")
    inside = root.resolve()
    place = (inside / path).resolve()
    if not anywhere and not place.is_relative_to(inside):
        raise MisconfiguredError(
            f"the path leads out of the data folder's {FOLDER}/; CDP_ACTIVATION__ALLOW_ANY_PATH lets it through",
            code="path_refused",
        )
    if place == inside or place.is_dir():
        raise MisconfiguredError("the path is a folder, not a file", code="path_refused")
    return place


def append(place: Path, request: FileRequest) -> int:
    """Append what is not in the file yet; returns how many lines that was. Raises `OSError`: nothing was appended."""
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        size = mend(file)
        there = ids_in(file, request.doubtful, request.id_at) if request.doubtful and size else set()
        lines = [line.text + b"\n" for line in request.lines if line.id not in there]
        if lines:
            heading = request.heading + b"\n" if request.heading and not size else b""
            _write(file, heading + b"".join(lines), size)
    if not size:
        _sync_folder(place.parent)
    return len(lines)


def mend(file: BinaryIO) -> int:
    """Cut off a torn last line; returns the size in bytes."""
    size = end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - CHUNK)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            end = start + found + 1
            break
        end = start
    if end != size:
        file.truncate(end)
    return end


def ids_in(file: BinaryIO, wanted: frozenset[str], at: int) -> set[str]:
    """Which of the ids stand at byte `at` of a line of the file."""
    sought = {id_.encode() for id_ in wanted}
    lengths = {len(id_) for id_ in sought}
    file.seek(0)
    with os.fdopen(os.dup(file.fileno()), "rb") as reader:
        found = {line[at : at + length] for line in reader for length in lengths} & sought
    return {id_.decode() for id_ in found}


def _write(file: BinaryIO, content: bytes, size: int) -> None:
    rest = memoryview(content)
    try:
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(file.fileno())
    except OSError:
        file.truncate(size)
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
