"""Reading a request's body: within a limit of bytes and of time, and unzipped without trusting what it claims."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import time
import zlib
from collections.abc import Coroutine, Generator, Mapping
from types import ModuleType
from typing import Any

from cdp.errors import InvalidError
from cdp.service import Receive

ZLIB: ModuleType = zlib
with contextlib.suppress(ImportError):  # isal has no wheels for every machine; zlib does the same, slower
    ZLIB = importlib.import_module("isal.isal_zlib")

GZIP = zlib.MAX_WBITS | 16
# A gzip file may be several, one after the other; nobody sends many.
MOST_MEMBERS = 16

PLAIN = (b"", b"identity")


class GoneError(Exception):
    """The client left before its body was whole. There is nobody to answer."""


class SlowError(InvalidError):
    """The body did not arrive in time."""

    code = "slow_body"


class Deadlines:
    """Ends requests whose bodies do not arrive in time: one timer looks at all of them, since each pays for its own."""

    EVERY = 0.25

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.began: dict[asyncio.Task[Any], float] = {}
        self.late: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, task: asyncio.Task[Any]) -> None:
        """Watch the task until `end`."""
        self.began[task] = time.monotonic()
        if self._timer is None:
            self._watch()

    def end(self, task: asyncio.Task[Any]) -> None:
        """Watch it no more."""
        self.began.pop(task, None)

    def _watch(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(min(self.EVERY, self.seconds / 2), self._look)

    def _look(self) -> None:
        longest = time.monotonic() - self.seconds
        for task in [task for task, began in self.began.items() if began < longest]:
            del self.began[task]
            self.late.add(task)
            task.cancel()
        self._timer = None
        if self.began:
            self._watch()

    def was_late(self, task: asyncio.Task[Any]) -> bool:
        """Whether the task's cancellation is this one's doing, and nobody else's too."""
        if task not in self.late:
            return False
        self.late.discard(task)
        return task.uncancel() <= 0


async def read(receive: Receive, headers: Mapping[bytes, bytes], deadlines: Deadlines, *, limit: int) -> bytes:
    """The body, unzipped if it came gzipped. `limit` bounds its bytes before and after.

    Raises `InvalidError` when it is too large or cannot be unzipped, `SlowError` after the deadline, `GoneError`.
    """
    encoding = headers.get(b"content-encoding")
    if encoding is not None:
        encoding = _encoding(encoding)
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > limit:
        raise _too_large(limit)
    arrival: Any = receive()
    try:
        pending = arrival.send(None)
    except StopIteration as there:  # as the body of most requests is: nobody need be watched
        message = there.value
        body: bytes = message.get("body", b"")
        if message.get("more_body") or message["type"] == "http.disconnect":
            body = await _watched(_rest(message, receive, limit), deadlines)
    else:
        body = await _watched(_rest(_Begun(arrival, pending), receive, limit), deadlines)
    if len(body) > limit:
        raise _too_large(limit)
    return unzipped(body, limit=limit) if encoding else body


class _Begun:
    """A coroutine that has run to its first wait, to be awaited to its end."""

    def __init__(self, coroutine: Any, pending: Any) -> None:
        self._coroutine = coroutine
        self._pending = pending

    def __await__(self) -> Generator[Any, Any, Any]:
        pending = self._pending
        try:
            while True:
                try:
                    value = yield pending
                except BaseException as error:
                    pending = self._coroutine.throw(error)
                else:
                    pending = self._coroutine.send(value)
        except StopIteration as done:
            return done.value


async def _watched(work: Coroutine[Any, Any, bytes], deadlines: Deadlines) -> bytes:
    """What the work returns. Raises `SlowError` after the deadline."""
    task = asyncio.current_task()
    assert task is not None
    deadlines.begin(task)
    try:
        return await work
    except asyncio.CancelledError:
        if deadlines.was_late(task):
            raise SlowError(f"The body did not arrive within {deadlines.seconds:g} s.") from None
        raise
    finally:
        deadlines.end(task)


def _encoding(named: bytes) -> bytes:
    """How the body is packed; empty for not at all. Raises `InvalidError`."""
    encoding = named.strip().lower()
    if encoding in PLAIN:
        return b""
    if encoding not in (b"gzip", b"x-gzip"):
        shown = encoding.decode(errors="replace")
        raise InvalidError(f"Content-Encoding {shown!r} is not read here: send gzip or plain.", code="bad_encoding")
    return encoding


async def _rest(message: Any, receive: Receive, limit: int) -> bytes:
    """The body from this message on, which may still be on its way."""
    if isinstance(message, _Begun):
        message = await message
    parts, size = [], 0
    while message["type"] != "http.disconnect":
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()
    raise GoneError


def unzipped(body: bytes, *, limit: int) -> bytes:
    """What a gzip file of one or more members holds. Raises `InvalidError`; never makes more than `limit` + 1 bytes."""
    parts, size = [], 0
    for _ in range(MOST_MEMBERS):
        member = ZLIB.decompressobj(GZIP)
        try:
            parts.append(member.decompress(body, limit + 1 - size))
        except ZLIB.error as error:
            raise InvalidError(f"The body is not valid gzip: {error}.", code="invalid_gzip") from None
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        if not member.eof:
            raise InvalidError("The gzip body is cut off.", code="invalid_gzip")
        body = member.unused_data
        if not body:
            return parts[0] if len(parts) == 1 else b"".join(parts)
    raise InvalidError(f"The gzip body has more than {MOST_MEMBERS} members.", code="invalid_gzip")


def _too_large(limit: int) -> InvalidError:
    return InvalidError(f"The body is larger than {limit} bytes: send smaller batches.", code="body_too_large")
