"""What it costs to know a messageId again: CPU an event and memory an id, with few and with many ids remembered.

    python -m tests.load.dedupe [--ids 50000000] [--json]

Starts the embedded Valkey as the product does, fills it step by step, and measures after each what judging events of
the usual size costs: in turns of 100 and 1,000, one event of each sent before, and as many old ids forgotten as new
ones come. CPU is the operating system's account of both processes: `client` is everything from events as the resolver
has them to their verdicts, `server` the Valkey with its append-only file. The plainest way, one pipelined SET NX EX an
event, is measured in the same run: where the machine is busy, quote the ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import uvloop
from msgspec import structs
from redis.asyncio import Redis
from rich.progress import Progress

from cdp import heap
from cdp.clock import DAY
from cdp.records import RawBatch, RawEvent
from cdp.state import EmbeddedValkey
from cdp.testing import START, FrozenClock, accepted_event
from identity.dedupe import CHUNK, MEET, RECORD, Memory, Taken
from identity.keys import Keys
from tests.load import payload

DAYS = 7
SIZES = (100, 1_000)
MESSAGE = 100  # events of a message of events.raw
SLICE = 10_000  # events between two readings of the accounts
SLICES = 7
STEPS = 6

Measure = dict[str, float]


def main() -> None:
    """Fill, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--ids", type=int, default=5_000_000, help="how many messageIds to fill in")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="cdp-dedupe-"))
    try:
        figures = uvloop.run(run(folder, arguments.ids))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(figures, indent=1) if arguments.json else table(figures))


async def run(folder: Path, ids: int) -> list[Measure]:
    """The figures at several levels of filling."""
    valkey = EmbeddedValkey(folder)
    client = await valkey.start()
    heap.settle()
    try:
        return [figures async for figures in Filling(client).levels(ids)]
    finally:
        await valkey.stop(client)


class Filling:
    """A memory that is filled step by step."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._keys = Keys("cdp:").messages
        self._clock = FrozenClock()
        self._memory = Memory(client, Keys("cdp:"), self._clock, DAYS)
        self._events = [accepted_event(payload.event(number, people=10_000)) for number in range(max(SIZES))]
        self._offset = 0
        self._chunks = 0
        self._latest: RawEvent | None = None

    async def levels(self, ids: int) -> AsyncIterator[Measure]:
        """Fill, and measure after each step."""
        await self._memory.judge(self._taken(1))
        empty = await self._account()
        self._clock.advance(DAYS * DAY)
        with Progress(transient=True) as progress:
            task = progress.add_task("Filling", total=ids)
            for _ in range(STEPS):
                await self._fill(ids // STEPS, lambda: progress.advance(task, CHUNK))
                yield await self._level(empty)

    async def _fill(self, ids: int, advance: Callable[[], None]) -> None:
        """As `Memory` does it, with digests and records of nobody. What is filled in first will be due first."""
        secret = await self._client.get(self._keys.secret) or b""
        for _ in range(0, ids, CHUNK):
            self._chunks += 1
            moment, digests, records = START + self._chunks, os.urandom(CHUNK * 8), os.urandom(CHUNK * RECORD)
            arguments = secret, moment, DAYS * DAY, digests, records
            await self._client.eval(MEET, len(self._keys), *self._keys, *arguments)
            advance()

    async def _level(self, empty: Measure) -> Measure:
        account = await self._account()
        ids = account["ids"]
        figures = {
            "ids": ids,
            "bytes": (account["memory"] - empty["memory"]) / ids,
            "resident": (account["resident"] - empty["resident"]) / ids,
        }
        for size in SIZES:
            figures |= {f"{name} {size}": cost for name, cost in (await self._cost(self._judge, size)).items()}
        figures |= {f"{name} plain": cost for name, cost in (await self._cost(self._set, SIZES[-1])).items()}
        async for key in self._client.scan_iter(match="plain:*", count=10_000):
            await self._client.unlink(key)
        return figures

    async def _cost(self, work: Callable[[list[Taken]], Awaitable[object]], size: int) -> Measure:
        """CPU µs an event, the median of some slices."""
        costs: list[tuple[float, float]] = []
        for _ in range(SLICES):
            turns = [self._taken(size) for _ in range(SLICE // size)]
            before, begun = await self._account(), time.process_time()
            for number, turn in enumerate(turns):
                if number * size % CHUNK == 0:
                    self._clock.advance(1)  # the next thousand are due
                await work(turn)
            client, after = time.process_time() - begun, await self._account()
            costs.append((client / SLICE * 1e6, (after["cpu"] - before["cpu"]) / SLICE * 1e6))
        client, server = (statistics.median(column) for column in zip(*costs, strict=True))
        return {"client": client, "server": server}

    async def _judge(self, turn: list[Taken]) -> None:
        await self._memory.judge(turn)

    async def _set(self, turn: list[Taken]) -> None:
        async with self._client.pipeline(transaction=False) as pipe:
            for one in turn:
                pipe.set(f"plain:{one.batch.source}:{one.event.id}", one.offset, nx=True, ex=604_800)
            await pipe.execute()

    def _taken(self, size: int) -> list[Taken]:
        """A turn of fresh events in messages of a hundred, the last of which is one of the turn before, sent again."""
        events = [structs.replace(event, id=str(uuid.uuid4())) for event in self._events[:size]]
        sent = [*events[:-1], self._latest or events[-1]]
        self._latest = events[0]
        return [one for start in range(0, size, MESSAGE) for one in self._message(sent[start : start + MESSAGE])]

    def _message(self, events: Sequence[RawEvent]) -> list[Taken]:
        self._offset += 1
        batch = RawBatch("website", "trace", START, list(events))
        return [Taken(3, self._offset, number, event, batch) for number, event in enumerate(events)]

    async def _account(self) -> Measure:
        info: dict[str, Any] = await self._client.info()
        return {
            "cpu": info["used_cpu_user"] + info["used_cpu_sys"],
            "memory": info["used_memory"],
            "resident": info["used_memory_rss"],
            "ids": await self._client.hlen(self._keys.records),
        }


def table(figures: Sequence[Measure]) -> str:
    """The figures for people."""
    return "\n".join(_lines(figures))


def _lines(figures: Sequence[Measure]) -> Iterator[str]:
    yield "CPU µs an event: client + server"
    turns = (f"{f'turns of {size:,}':>22}" for size in SIZES)
    yield f"{'ids':>12} {'B/id':>6} {'resident':>9} {' '.join(turns)} {'SET NX each':>22}"
    for each in figures:
        costs = (f"{_sum(each, kind):>22}" for kind in (*map(str, SIZES), "plain"))
        yield f"{each['ids']:>12,.0f} {each['bytes']:>6.1f} {each['resident']:>9.1f} {' '.join(costs)}"


def _sum(each: Measure, kind: str) -> str:
    client, server = each[f"client {kind}"], each[f"server {kind}"]
    return f"{client:.2f} + {server:.2f} = {client + server:.2f}"


if __name__ == "__main__":
    main()
