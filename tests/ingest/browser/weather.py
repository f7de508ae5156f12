"""What lies between a page and the collector: it can be away, slow, or full, and counts what comes by."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

from ingest.collector import Collector

CORS = [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", b"Retry-After")]


class Sent(NamedTuple):
    """A request of a page. `at` in seconds of the event loop's clock."""

    at: float
    path: str
    size: int
    body: Any
    cookies: str
    status: int

    @property
    def ids(self) -> list[str]:
        """The messageIds of the events in it."""
        return [event["messageId"] for event in self.body["batch"]]


class Weather:
    """An ASGI app in front of the collector."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self.status = 200
        self.retry_after = ""
        # A request waits for the gate before the collector sees it, and its answer for the way back.
        self.gate = asyncio.Event()
        self.back = asyncio.Event()
        self.gate.set()
        self.back.set()
        self.requests: list[Sent] = []

    @property
    def batches(self) -> list[Sent]:
        """The requests that brought events."""
        return [one for one in self.requests if one.path == "/v1/batch"]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["method"] != "POST":
            await self._collector(scope, receive, send)
            return
        body = await _whole(receive)
        self._note(scope, body)
        if self.status != 200:
            retry = [(b"retry-after", self.retry_after.encode())] if self.retry_after else []
            await send({"type": "http.response.start", "status": self.status, "headers": [*CORS, *retry]})
            await send({"type": "http.response.body"})
            return
        await self.gate.wait()
        await self._collector(scope, _given(body), self._delayed(send))

    def _note(self, scope: Any, body: bytes) -> None:
        headers = dict(scope["headers"])
        now = asyncio.get_running_loop().time()
        told = json.loads(body or b"{}")
        cookies = headers.get(b"cookie", b"").decode()
        self.requests.append(Sent(now, scope["path"], len(body), told, cookies, self.status))

    def _delayed(self, send: Any) -> Any:
        async def later(message: Any) -> None:
            await self.back.wait()
            await send(message)

        return later


async def _whole(receive: Any) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


def _given(body: bytes) -> Any:
    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
