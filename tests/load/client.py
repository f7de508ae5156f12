"""A load generator that costs little itself: prepared requests over keep-alive connections."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Result(NamedTuple):
    """What came of a run."""

    seconds: float
    answers: dict[int, int]


def request(path: str, body: bytes, *, write_key: str) -> bytes:
    """The bytes of a POST."""
    token = base64.b64encode(f"{write_key}:".encode()).decode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Authorization: Basic {token}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def run(port: int, requests: Sequence[bytes], *, connections: int) -> Result:
    """Send every request once, over so many connections; returns the time and the answers by status."""
    answers: dict[int, int] = {}
    waiting = iter(requests)
    loop = asyncio.get_running_loop()
    start = loop.time()
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(_connection(port, waiting, answers))
    return Result(loop.time() - start, answers)


async def _connection(port: int, waiting: Iterator[bytes], answers: dict[int, int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for body in waiting:
        writer.write(body)
        status = await _answer(reader)
        answers[status] = answers.get(status, 0) + 1
    writer.close()


async def _answer(reader: asyncio.StreamReader) -> int:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
    if length:
        await reader.readexactly(length)
    return int(head[9:12])
