"""Tests of the reading of bodies: limits before and after unzipping, time, and those who hang up."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.errors import InvalidError
from ingest import bodies
from ingest.bodies import Deadlines, GoneError, SlowError, unzipped

ZIPPED = {b"content-encoding": b"gzip"}


async def read(receive: Any, headers: dict[bytes, bytes], *, limit: int, seconds: float = 5) -> bytes:
    """Read under a deadline."""
    deadlines = Deadlines(seconds)
    try:
        return await bodies.read(receive, headers, deadlines, limit=limit)
    finally:
        assert not deadlines.began and not deadlines.late


def arriving(*parts: bytes) -> Any:
    """A body in parts."""
    waiting = list(parts)

    async def receive() -> dict[str, Any]:
        if not waiting:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    return receive


@given(st.lists(st.binary(max_size=2_000), min_size=1, max_size=5))
def test_gzip_of_several_members_is_one_body(parts: list[bytes]) -> None:
    """Unzipping gives back what was zipped, however many members it has."""
    assert b"".join(parts) == unzipped(b"".join(map(gzip.compress, parts)), limit=10_000)


@given(st.binary())
def test_any_bytes_unzip_or_are_refused(body: bytes) -> None:
    """Nothing but `InvalidError` is raised."""
    try:
        unzipped(body, limit=1_000)
    except InvalidError as error:
        assert error.code in ("invalid_gzip", "body_too_large")


@pytest.mark.parametrize("size", [1_000, 1_001])
def test_limit_after_unzipping_is_exact(size: int) -> None:
    """The limit itself is allowed, one byte more is not."""
    if size <= 1_000:
        assert size == len(unzipped(gzip.compress(b"x" * size), limit=1_000))
        return
    with pytest.raises(InvalidError, match="larger than 1000"):
        unzipped(gzip.compress(b"x" * size), limit=1_000)


async def test_body_arrives_in_parts() -> None:
    """Parts are joined; gzip may be cut anywhere."""
    zipped = gzip.compress(b"hello")
    assert await read(arriving(b"he", b"", b"llo"), {}, limit=5) == b"hello"
    assert await read(arriving(*[zipped[n : n + 1] for n in range(len(zipped))]), ZIPPED, limit=50) == b"hello"


@pytest.mark.parametrize("parts", [(b"x" * 6,), (b"xxx", b"xxx"), (b"xxx", b"xxx", b"xxx")])
async def test_too_large_a_body_is_not_read_to_its_end(parts: tuple[bytes, ...]) -> None:
    """The limit counts while reading, with or without a Content-Length."""
    with pytest.raises(InvalidError) as caught:
        await read(arriving(*parts), {}, limit=5)
    assert caught.value.code == "body_too_large"


async def test_declared_length_is_enough_to_refuse() -> None:
    """A body that says it is too large is not read at all."""
    with pytest.raises(InvalidError):
        await read(arriving(), {b"content-length": b"6"}, limit=5)


async def test_hanging_up_is_told_apart() -> None:
    """A client that leaves gets no answer."""
    with pytest.raises(GoneError):
        await read(arriving(), {}, limit=5)


async def test_slow_body_ends() -> None:
    """The whole body has to arrive in time."""

    async def never() -> Any:
        await asyncio.Event().wait()

    with pytest.raises(SlowError):
        await read(never, {}, limit=5, seconds=0.01)


@pytest.mark.parametrize("encoding", [b"deflate", b"br", b"zstd", b"gzip, gzip"])
async def test_other_encodings_are_refused(encoding: bytes) -> None:
    """What is not read here is said clearly."""
    with pytest.raises(InvalidError) as caught:
        await read(arriving(b"x"), {b"content-encoding": encoding}, limit=5)
    assert caught.value.code == "bad_encoding"
