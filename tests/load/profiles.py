"""What it costs to read a profile: CPU and time, from the cache and from a warehouse of many events.

    python -m tests.load.profiles [--events 1000000] [--reads 300] [--json]

One process holds the parts as the product does: chdb, Valkey, the API. The warehouse is filled with everybody's events
(20 each; one person has a thousand, one a hundred thousand); Lan and her orders come through the resolver and
the loader, among them. CPU is this process's (chdb's threads too), and for answers of the API the Valkey's beside it.
Where the machine is busy quote CPU, and the ratio to the floor: one look-up by key in the same warehouse.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import shutil
import statistics
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from cdp import profiles, trait_rules
from cdp.cache import Cache
from cdp.clock import SystemClock
from cdp.registry import Registry
from cdp.service import Platform
from cdp.settings import Settings
from cdp.state import EmbeddedValkey
from cdp.streams import open_log
from cdp.traits import Rule
from cdp.warehouse.base import Warehouse
from identity.routes import router
from tests.cdp.apps import api
from tests.identity.test_routes import House

EACH = 20  # events of a usual person
BUSY, BUSIEST = uuid.UUID(int=1), uuid.UUID(int=2)
SLICE = 500_000  # events inserted at once
TICKS = os.sysconf("SC_CLK_TCK")

# Person n has the events n*20 to n*20+19; every fifth is an order, every tenth states traits.
EVENTS = """
INSERT INTO events (anchor_id, at, received_at, source, message_id, type, name, properties, context, traits, log_offset)
SELECT {owner}, fromUnixTimestamp64Milli(1795249800000 + number * 7919 % 2592000000) AS at, at, 'web', toString(number),
       if(number % 10 = 0, 'identify', 'track'),
       if(number % 5 = 1, 'Order Completed', if(number % 10 = 0, '', 'Product Viewed')),
       if(number % 5 = 1, concat('{"order_id":"', toString(number), '","total":', toString(number % 1000 * 1000),
          ',"currency":"VND","products":[{"product_id":"p1","category":"c', toString(number % 7), '","quantity":2}]}'),
          '{"category":"Áo dài","product_id":"p1","price":250000,"url":"https://shop.vn/ao-dai"}'),
       '{"userAgent":"Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36","locale":"vi-VN"}',
       if(number % 10 = 0, concat('{"city":"Huế","plan":"p', toString(number % 3), '"}'), '{}'), number
FROM numbers({first:UInt64}, {count:UInt64})
"""
PEOPLE = """
INSERT INTO identity_map (profile_id, anchor_id, kind, present, version, at)
SELECT reinterpretAsUUID(number), reinterpretAsUUID(number), 'observation', 1, 1, now64(3)
FROM numbers({first:UInt64}, {count:UInt64})
"""
SURE = """
INSERT INTO sure_map (profile_id, anchor_id, likely_id, present, version, at)
SELECT sure_id, anchor_id, profile_id, present, version, at FROM identity_map
"""
TRAITS = """
INSERT INTO trait_values (anchor_id, name, source, verified, at, value, message_id)
SELECT anchor_id, name, source, verified, at, value, message_id FROM statements
"""
FLOOR = "SELECT count() FROM identity_map WHERE profile_id = {profile:UUID}"


class Cost(NamedTuple):
    """Milliseconds: CPU of this process, CPU of the Valkey, and by the clock."""

    cpu_p50: float
    cpu_p99: float
    state: float
    p50: float
    p99: float


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000, help="events in the warehouse")
    parser.add_argument("--reads", type=int, default=300, help="how often each is read")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    folder = Path(tempfile.mkdtemp(prefix="cdp-profiles-"))
    try:
        figures = asyncio.run(measure(folder, given.events, given.reads))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    shown = {name: cost._asdict() for name, cost in figures.items()}
    print(json.dumps(shown, indent=1) if given.json else table(figures))


async def measure(folder: Path, events: int, reads: int) -> dict[str, Cost]:
    """Each way of reading → what it costs."""
    settings = Settings.load(data_dir=folder, state={"url": "embedded:"}, warehouse={"dsn": "chdb:"})
    valkey = EmbeddedValkey(folder / "valkey")
    state, warehouse, clock = await valkey.start(), Warehouse(settings), SystemClock()
    log = open_log(settings, clock)
    await log.start()
    await warehouse.open()
    registry = Registry(log, clock)
    await registry.start()
    house = House(Platform(settings, clock, log, registry, state, warehouse))
    pid = int((await state.info("server"))["process_id"])
    await fill(warehouse, events)
    try:
        usual = await warehouse.value("SELECT reinterpretAsUUID({n:UInt64})", {"n": 10 + events // EACH // 2})
        return await _measured(house, Meter(pid, reads), usual)
    finally:
        await registry.close()
        await log.close()
        await warehouse.close()
        await valkey.stop(state)


async def fill(warehouse: Warehouse, events: int) -> None:
    """A warehouse of so many events, of people who are their own anchors."""
    usual = EVENTS.replace("{owner}", f"reinterpretAsUUID(intDiv(number, {EACH}) + 10)")
    for first in range(0, events, SLICE):
        await warehouse.command(usual, {"first": first, "count": min(SLICE, events - first)})
    for number, (owner, count) in enumerate(((BUSY, 1_000), (BUSIEST, 100_000)), 1):
        theirs = EVENTS.replace("{owner}", f"toUUID('{owner}')")
        await warehouse.command(theirs, {"first": number * 10**9, "count": count})
        mapped = PEOPLE.replace("reinterpretAsUUID(number)", f"toUUID('{owner}')")
        await warehouse.command(mapped, {"first": 0, "count": 1})
    await warehouse.command(PEOPLE, {"first": 10, "count": events // EACH})
    await warehouse.command(SURE)
    await warehouse.command(TRAITS)


class Meter:
    """Measures a call again and again."""

    def __init__(self, pid: int, reads: int) -> None:
        self._pid, self._reads = pid, reads

    async def cost(self, call: Callable[[], Awaitable[Any]]) -> Cost:
        """What one call costs."""
        for _ in range(5):
            await call()
        gc.collect()
        cpu, wall, before = [], [], self._state()
        for _ in range(self._reads):
            cpu_begun, begun = time.process_time(), time.perf_counter()
            await call()
            cpu.append((time.process_time() - cpu_begun) * 1e3)
            wall.append((time.perf_counter() - begun) * 1e3)
        state = (self._state() - before) / self._reads * 1e3
        return Cost(statistics.median(cpu), _p99(cpu), state, statistics.median(wall), _p99(wall))

    def _state(self) -> float:
        """CPU seconds of the Valkey so far."""
        fields = Path(f"/proc/{self._pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


async def _measured(house: House, meter: Meter, usual: uuid.UUID) -> dict[str, Cost]:
    opened = house.platform
    warehouse, state = opened.warehouse, opened.state
    bought = [{"order_id": n, "total": n * 1_000, "currency": "VND"} for n in range(5)]
    orders = [{"event": "Order Completed", "properties": properties} for properties in bought]
    lan = {"type": "identify", "userId": "lan", "traits": {"email": "lan@example.com", "name": "Lan", "city": "Huế"}}
    await house.send(lan, *({"userId": "lan", **order} for order in orders))
    frequent = {"city": Rule("most_frequent")}
    cache = Cache(state, "load:", seconds=600)
    found = {
        "floor: one look-up by key": lambda: warehouse.rows(FLOOR, {"profile": str(usual)}),
        "traits of a usual person (activation)": lambda: profiles.read_sure(warehouse, [str(usual)]),
        "a usual person, computed": lambda: profiles.read_whole(warehouse, str(usual)),
        "… with a trait whose values are counted": lambda: profiles.read_whole(warehouse, str(usual), frequent),
        "somebody with 1,000 events, computed": lambda: profiles.read_whole(warehouse, str(BUSY)),
        "somebody with 100,000 events, computed": lambda: profiles.read_whole(warehouse, str(BUSIEST)),
        "… every value that was ever said": lambda: profiles.said(warehouse, str(BUSIEST)),
        "a usual person, from the cache": lambda: profiles.recall(cache, warehouse, str(usual)),
    }
    costs = {name: await meter.cost(call) for name, call in found.items()}
    async with api(opened, routers=[router, trait_rules.router]) as client:
        path = "/api/v1/profiles/user_id:lan"
        answer = (await client.get(path)).json()
        assert answer["computed"]["orders"] == 5, answer
        costs["GET of Lan, from the cache"] = await meter.cost(lambda: client.get(path))
        costs["GET of nobody (what a request costs)"] = await meter.cost(lambda: client.get("/api/v1/traits"))

        async def anew() -> None:
            await Cache(state, opened.settings.state.prefix).release([answer["profile_id"]])
            await client.get(path)

        costs["GET of Lan, after each event"] = await meter.cost(anew)
    return costs


def _p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


def table(figures: dict[str, Cost]) -> str:
    """The figures for people."""
    floor = figures["floor: one look-up by key"].cpu_p50
    lines = [f"{'':42} {'CPU p50':>8} {'p99':>7} {'Valkey':>7} {'time p50':>9} {'p99':>7}   × floor"]
    for name, cost in figures.items():
        row = f"{name:42} {cost.cpu_p50:8.2f} {cost.cpu_p99:7.2f} {cost.state:7.2f} {cost.p50:9.2f} {cost.p99:7.2f}"
        lines.append(f"{row}   {cost.cpu_p50 / floor:.2f}")
    return "\n".join([*lines, "milliseconds"])


if __name__ == "__main__":
    main()
