"""Reading a request's body: within a limit of bytes and of time, and unzipped without trusting what it claims."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import zlib
from collections.abc import Coroutine, Mapping
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


async def read(receive: Receive, headers: Mapping[bytes, bytes], *, limit: int, seconds: float) -> bytes:
    """The body, unzipped if it came gzipped. `limit` bounds its bytes before and after.

    Raises `InvalidError` when it is too large or cannot be unzipped, `SlowError` after `seconds`, `GoneError`.
    """
    encoding = headers.get(b"content-encoding", b"").strip().lower()
    if encoding not in (*PLAIN, b"gzip", b"x-gzip"):
        named = encoding.decode(errors="replace")
        raise InvalidError(f"Content-Encoding {named!r} is not read here: send gzip or plain.", code="bad_encoding")
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > limit:
        raise _too_large(limit)
    body = await _timely(_whole(receive, limit), seconds)
    return body if encoding in PLAIN else unzipped(body, limit=limit)


async def _timely(work: Coroutine[Any, Any, bytes], seconds: float) -> bytes:
    """What the work returns. As `asyncio.timeout`, at a quarter of its cost, which every request pays."""
    task = asyncio.current_task()
    assert task is not None
    late: list[bool] = []

    def end() -> None:
        late.append(True)
        task.cancel()

    timer = asyncio.get_running_loop().call_later(seconds, end)
    try:
        return await work
    except asyncio.CancelledError:
        if late and task.uncancel() <= 0:
            raise SlowError(f"The body did not arrive within {seconds:g} s.") from None
        raise
    finally:
        timer.cancel()


async def _whole(receive: Receive, limit: int) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body") or message["type"] == "http.disconnect":
        return await _rest(message, receive, limit)
    return _within(body, limit)


async def _rest(message: Any, receive: Receive, limit: int) -> bytes:
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


def _within(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise _too_large(limit)
    return body


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
