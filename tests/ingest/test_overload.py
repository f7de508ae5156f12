"""More than the collector can take, in small: `tests/load/overload.py` does it for a minute with a real process."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from cdp.errors import TransientError
from cdp.registry import Registry
from cdp.service import Platform
from cdp.streams.base import Draft
from cdp.testing import FrozenClock
from ingest.collector import Collector
from ingest.testing import Client, Reply, ensure_source, stored
from tests.ingest.conftest import WRITE_KEY
from tests.waiting import eventually

MOST, TIMES, ROUNDS = 20, 3, 10


class Gate:
    """A log that takes nothing while it is shut, and refuses every fifth append."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self.open = asyncio.Event()
        self._count = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(self, drafts: Sequence[Draft]) -> Any:
        """Append, once it is open."""
        await self.open.wait()
        self._count += 1
        if self._count % 5 == 0:
            raise TransientError("The log is away.", retry_after=2)
        return await self._log.append(drafts)


@pytest.fixture
async def gate(log: Any) -> Gate:
    """The log behind a gate."""
    return Gate(log)


@pytest.fixture
async def crowded(ground: Platform, gate: Gate) -> AsyncIterator[Collector]:
    """A collector that takes 20 requests at once."""
    room = ground.settings.collector.model_copy(update={"max_in_flight": MOST})
    settings = ground.settings.model_copy(update={"collector": room})
    gateway = Collector(dataclasses.replace(ground, settings=settings, log=gate))
    await gateway.start()
    yield gateway
    gate.open.set()
    await gateway.stop()


def batch(name: str) -> dict[str, Any]:
    """Three events."""
    return {"batch": [{"type": "track", "event": "E", "userId": "u", "messageId": f"{name}-{n}"} for n in range(3)]}


async def test_three_times_too_much(
    crowded: Collector, gate: Gate, registry: Registry, clock: FrozenClock, log: Any
) -> None:
    """Each is answered 200, 429 or 503; all of every 200 and nothing of any other is stored; nothing is left behind."""
    await ensure_source(registry, "wk_limited_source", "test", clock=clock, key="limited")
    entry = registry.get("source", "limited")
    limit = {"events_per_second": 0.001, "burst": 2 * MOST}
    await registry.put("source", "limited", {**entry.body, "limit": limit})
    clients = [Client(crowded, key) for key in (WRITE_KEY, WRITE_KEY, "wk_limited_source")]
    replies: dict[str, Reply] = {}

    async def send(name: str, client: Client) -> None:
        replies[name] = await client.post("/v1/batch", batch(name))

    for number in range(ROUNDS):
        gate.open.clear()
        async with asyncio.TaskGroup() as group:
            for place in range(MOST * TIMES):
                group.create_task(send(f"r{number}-{place}", clients[place % len(clients)]))
            await eventually(lambda: crowded._in_flight == MOST)
            gate.open.set()

    answers = Counter(reply.status for reply in replies.values())
    assert answers.total() == MOST * TIMES * ROUNDS
    assert set(answers) == {200, 429, 503}
    assert all("retry-after" in reply.headers for reply in replies.values() if reply.status != 200)
    kept = Counter(one.event.id.rsplit("-", 1)[0] for one in await stored(log))
    assert kept == {name: 3 for name, reply in replies.items() if reply.status == 200}
    assert crowded._in_flight == 0
    assert crowded.health().figures["in_flight"] == 0
