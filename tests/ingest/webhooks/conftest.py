"""A collector with one source whose webhook each test defines, and a stand-in for Meta's Graph API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from cdp.service import Platform
from cdp.settings import Settings
from cdp.vault import open_vault
from ingest.collector import Collector
from ingest.source import KIND, SourceBody, stored
from ingest.testing import Client
from tests.ingest.webhooks.senders import KEY, definition

Define = Callable[..., Awaitable[None]]


class Graph:
    """Answers as Meta does: nodes by id, for the right token; everything else with its error."""

    def __init__(self) -> None:
        self.nodes: dict[str, Any] = {}
        self.asked: list[str] = []
        self.token = "EAAG-token"
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        path = lines[0].split()[1]
        self.asked.append(path)
        node = self.nodes.get(path.split("?")[0].rsplit("/", 1)[1])
        headers = {line.partition(": ")[0].lower(): line.partition(": ")[2] for line in lines[1:]}
        good = node is not None and headers.get("authorization") == f"Bearer {self.token}"
        body = json.dumps(node if good else {"error": {"message": "Unsupported get request.", "code": 100}}).encode()
        status = b"200 OK" if good else b"400 Bad Request"
        writer.write(b"HTTP/1.1 %s\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s" % (status, len(body), body))
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@pytest.fixture
async def graph() -> AsyncIterator[Graph]:
    """A Graph API on this machine."""
    stand_in = Graph()
    server = await asyncio.start_server(stand_in.answer, "127.0.0.1", 0)
    stand_in.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v25.0"
    yield stand_in
    server.close()
    await server.wait_closed()


@pytest.fixture
def settings(settings: Settings, graph: Graph) -> Settings:
    """Behind a proxy, and with this machine's Graph API."""
    return settings.model_copy(
        update={
            "http": settings.http.model_copy(update={"public_url": "https://cdp.test"}),
            "webhooks": settings.webhooks.model_copy(update={"graph_url": graph.url}),
        }
    )


@pytest.fixture
def define(ground: Platform) -> Define:
    """Define the source: `await define("shopify")`, or with its webhook whole."""

    async def put(preset: str = "", *, enabled: bool = True, webhook: Any = None, **more: Any) -> None:
        given = definition(preset, **more) if preset else webhook
        body = SourceBody(name="Shop", enabled=enabled, webhook=given)
        entry = ground.registry.find(KIND, KEY)
        kept = stored(body, lambda: open_vault(ground.settings), KEY, entry.body if entry else {})
        await ground.registry.put(KIND, KEY, kept)

    return put


@pytest.fixture
async def sender(collector: Collector) -> Client:
    """Sends without a write key."""
    return Client(collector)
