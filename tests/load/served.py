"""The servers that the collector is measured against, and the collector without its log. One process each.

    python -m tests.load.served NAME PORT [BOOTSTRAP]

- `bare`: reads the body and answers, nothing else: what uvicorn costs
- `fastapi`: a plain FastAPI route with a pydantic model of the body
- `naive`: the same, and each event sent to Kafka by `AIOKafkaProducer.send`, acks=all: what one would write first
- `nolog`: our collector, all features on, with a log that takes everything at once
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

import uvicorn
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from fastapi import FastAPI
from pydantic import BaseModel

from cdp import heap
from cdp.clock import SystemClock
from cdp.http import Front
from cdp.registry import Entry
from cdp.service import Platform
from cdp.settings import Settings
from cdp.topics import Topic
from ingest.collector import Collector
from tests.processes import WRITE_KEY

BODY = b'{"success":true}'
PARTITIONS = 4
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())],
}


async def bare(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer."""
    while (await receive()).get("more_body"):
        pass
    await send(START)
    await send({"type": "http.response.body", "body": BODY})


class Event(BaseModel):
    """An event, as FastAPI's documentation would have one write it."""

    type: Literal["track", "identify", "page", "screen", "group", "alias"] = "track"
    messageId: str | None = None
    userId: str | None = None
    anonymousId: str | None = None
    event: str | None = None
    timestamp: str | None = None
    properties: dict[str, Any] = {}
    context: dict[str, Any] = {}


class Batch(BaseModel):
    """Several."""

    batch: list[Event]


def plain(take: Callable[[Event], Awaitable[None]] | None = None, lifespan: Any = None) -> FastAPI:
    """The two routes."""
    app = FastAPI(lifespan=lifespan)

    @app.post("/v1/track")
    async def track(event: Event) -> dict[str, bool]:
        if take is not None:
            await take(event)
        return {"success": True}

    @app.post("/v1/batch")
    async def batch(given: Batch) -> dict[str, bool]:
        if take is not None:
            await asyncio.gather(*(take(event) for event in given.batch))
        return {"success": True}

    return app


def naive(bootstrap: str) -> FastAPI:
    """Each event on its own to Kafka."""
    producers: list[AIOKafkaProducer] = []
    topic = f"naive-{os.getpid()}"

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> Any:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        await admin.create_topics([NewTopic(topic, num_partitions=PARTITIONS, replication_factor=1)])
        await admin.close()
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=5)
        await producer.start()
        producers.append(producer)
        yield
        await producer.stop()

    async def take(event: Event) -> None:
        key = (event.userId or event.anonymousId or "").encode()
        await producers[0].send_and_wait(topic, json.dumps(event.model_dump()).encode(), key=key)

    return plain(take, lifespan)


class Nowhere:
    """A log that takes everything at once and keeps nothing."""

    def partitions(self, topic: Topic) -> int:
        """As many as by default."""
        return PARTITIONS

    async def append(self, drafts: Sequence[Any]) -> list[int]:
        """Done."""
        return [0] * len(drafts)


class OneSource:
    """A registry with one source in it."""

    def watch(self, watcher: Any) -> None:
        """Nothing will change."""

    def all(self, kind: str) -> list[Entry]:
        """The source."""
        body = {"name": "Shop", "write_keys": [{"key": WRITE_KEY, "created_at": 0}]}
        return [Entry("source", "shop", body, 1, 0, 0, "bench")] if kind == "source" else []

    def find(self, kind: str, key: str) -> Entry | None:
        """Whatever there is."""
        return next((entry for entry in self.all(kind) if entry.key == key), None)


def nolog() -> Any:
    """Our collector behind its front, as the product serves it."""
    platform: Any = Platform(Settings.load(), SystemClock(), Nowhere(), OneSource())  # type: ignore[arg-type]
    collector = Collector(platform)
    front = Front(plain(), [collector])
    started: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if not started:
            started.append(True)
            await collector.start()
            heap.settle()
        await front(scope, receive, send)

    return app


def main() -> None:
    """Serve until the process is ended."""
    name, port, *more = sys.argv[1:]
    apps: dict[str, Callable[[], Any]] = {
        "bare": lambda: bare,
        "fastapi": plain,
        "naive": lambda: naive(more[0]),
        "nolog": nolog,
    }
    lifespan: Literal["on", "off"] = "on" if name in ("fastapi", "naive") else "off"
    uvicorn.run(
        apps[name](),
        port=int(port),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="error",
        ws="none",
        lifespan=lifespan,
        server_header=False,
    )


if __name__ == "__main__":
    main()
