"""Tests of the collector under the real server: uvicorn with uvloop and httptools, over sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import uvloop

from cdp.api import create_app
from cdp.clock import SystemClock
from cdp.http import Front, HttpServer
from cdp.registry import Registry
from cdp.service import Platform
from cdp.settings import Settings
from cdp.streams import open_log
from ingest.collector import Collector
from ingest.service import router
from ingest.testing import authorization, ensure_source, set_aside, stored, zipped
from tests.ingest.conftest import WRITE_KEY

EVENT = json.dumps({"userId": "lan", "event": "Order Completed"}).encode()
KEY = authorization(WRITE_KEY)


class Serving(NamedTuple):
    """A server, its log, and a client."""

    port: int
    log: Any
    http: httpx.AsyncClient


@asynccontextmanager
async def serving(folder: Path, **settings: Any) -> AsyncIterator[Serving]:
    """The collector and the API, listening."""
    loaded = Settings.load(data_dir=folder, **{"http": {"port": 0}, **settings})
    folder.mkdir(exist_ok=True)  # noqa: ASYNC240
    log = open_log(loaded)
    await log.start()
    registry = Registry(log, SystemClock())
    await registry.start()
    await ensure_source(registry, WRITE_KEY, "test", clock=SystemClock(), key="shop")
    platform = Platform(loaded, SystemClock(), log, registry)
    collector = Collector(platform)
    platform.roles.append(collector)
    server = HttpServer(loaded.http)
    await server.start(Front(create_app(platform, {}, [router]), [collector]))
    try:
        async with httpx.AsyncClient(base_url=server.url) as http:
            yield Serving(server.port, log, http)
    finally:
        await server.stop()
        server.release()
        await registry.close()
        await log.close()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs a test against a server, on uvloop."""
    monkeypatch.delenv("CDP_CONFIG", raising=False)

    def runner(test: Callable[[Serving], Awaitable[None]], **settings: Any) -> None:
        async def main() -> None:
            async with serving(tmp_path / "data", **settings) as served:
                await test(served)

        uvloop.run(main())

    return runner


async def raw(port: int, *parts: bytes, pause: float = 0.0) -> bytes:
    """Send bytes, and read until the server closes or says no more for a moment."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(pause)
    answer = b""
    try:
        async with asyncio.timeout(2):
            while piece := await reader.read(65_536):
                answer += piece
                if b"\r\n\r\n" in answer and answer.endswith(b"}"):
                    break
    except TimeoutError:
        pass
    writer.close()
    return answer


def head(*lines: str) -> bytes:
    """The beginning of a POST with the write key."""
    fixed = ["POST /v1/t HTTP/1.1", "Host: x", f"Authorization: {KEY['Authorization']}"]
    return "\r\n".join([*fixed, *lines, "", ""]).encode()


def test_events_over_sockets(run: Callable[..., None]) -> None:
    """Plain, gzipped, chunked, many at once: each is answered and stored once."""

    async def test(served: Serving) -> None:
        async def parts() -> AsyncIterator[bytes]:
            for byte in zipped(EVENT):
                yield bytes([byte])

        replies = [
            await served.http.post("/v1/track", content=EVENT, headers=KEY),
            await served.http.post("/v1/t", content=zipped(EVENT), headers={**KEY, "Content-Encoding": "gzip"}),
            await served.http.post("/v1/t/", content=parts(), headers={**KEY, "Content-Encoding": "gzip"}),
            await served.http.post("/v1/batch", json={"batch": [{}]}, headers=KEY),
            *await asyncio.gather(*(served.http.post("/v1/t", content=EVENT, headers=KEY) for _ in range(50))),
        ]
        assert {reply.status_code for reply in replies} == {200}
        assert (len(await stored(served.log)), len(await set_aside(served.log))) == (53, 1)
        preflight = await served.http.options("/v1/t", headers={"Origin": "https://shop.vn"})
        assert (preflight.status_code, preflight.content) == (204, b"")
        assert (await served.http.head("/cdp.js")).status_code == 200
        assert (await served.http.get("/openapi.json")).status_code == 200, "other paths go to FastAPI"

    run(test)


def test_address_of_the_client(run: Callable[..., None]) -> None:
    """X-Forwarded-For is believed from trusted proxies alone."""

    async def test(served: Serving) -> None:
        forwarded = {**KEY, "X-Forwarded-For": "198.51.100.4"}
        await served.http.post("/v1/track", content=EVENT, headers=forwarded)
        [one] = await stored(served.log)
        assert one.batch.ip == "127.0.0.0", "cut as the source asks"

    run(test)


def test_address_behind_a_trusted_proxy(run: Callable[..., None]) -> None:
    """Then it is the client's, and the scheme is the one the client used."""

    async def test(served: Serving) -> None:
        forwarded = {**KEY, "X-Forwarded-For": "198.51.100.4", "X-Forwarded-Proto": "https"}
        await served.http.post("/v1/track", content=EVENT, headers=forwarded)
        [one] = await stored(served.log)
        assert one.batch.ip == "198.51.100.0"
        settings = (await served.http.get(f"/v1/projects/{WRITE_KEY}/settings", headers=forwarded)).json()
        assert settings["integrations"]["Segment.io"]["protocol"] == "https"

    run(test, http={"port": 0, "trusted_proxies": ["127.0.0.1"]})


def test_slow_and_broken_clients(run: Callable[..., None]) -> None:
    """A body that does not come is a 408 and the end; half a request leaves nothing; others are not disturbed."""

    async def test(served: Serving) -> None:
        slow, other = await asyncio.gather(
            raw(served.port, head("Content-Length: 40"), b'{"userId":', pause=0.1),
            served.http.post("/v1/track", content=EVENT, headers=KEY),
        )
        assert slow.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close" in slow.lower()
        assert other.status_code == 200
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(head("Content-Length: 40") + b'{"userId":')
        await writer.drain()
        writer.close()
        assert (await raw(served.port, b"\x16\x03\x01 nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
        assert len(await stored(served.log)) == 1

    run(test, collector={"body_timeout_seconds": 0.5})


def test_too_large_bodies_are_told_so(run: Callable[..., None]) -> None:
    """With and without a length the client reads its 400 and can go on over the same connection."""

    async def test(served: Serving) -> None:
        async def endless() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield b"x" * 10_000

        for content in (b"x" * 200_000, endless()):
            reply = await served.http.post("/v1/track", content=content, headers=KEY)
            assert (reply.status_code, reply.json()["code"]) == (400, "body_too_large")
        assert (await served.http.post("/v1/track", content=EVENT, headers=KEY)).status_code == 200

    run(test, collector={"max_body_bytes": 100_000})
