"""What a crowd costs the live graph: memory a person, look-ups while it grows, and how long it takes to make it again.

    python -m tests.load.crowd [--people 1000000] [--events 10000000] [--json]

Starts the embedded Valkey as the product does, and takes a month of a shop's events through the resolver, in turns of
about 1,000: everybody looks around, signs up, buys, comes to the shop and gives a telephone number and a card there,
gives the number to the website too (now both are known to be one person), and comes back, signed in or not, some on a
second browser. What the resolver tells goes through the loader into the ledger of an embedded ClickHouse.

When so many people are known, look-ups are timed, on an idle graph, one after the other. In the end the graph is
emptied and made again from the ledger, and compared.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import shutil
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
from redis.asyncio import Redis
from rich.console import Console
from rich.progress import Progress

from cdp import heap
from cdp.clock import DAY, to_text
from cdp.errors import NotFoundError
from cdp.records import RawBatch, RawEvent, encode
from cdp.settings import Settings
from cdp.state import EmbeddedValkey, Outbox
from cdp.streams.base import Draft, Message
from cdp.testing import START, FrozenClock, accepted_event
from cdp.topics import EVENTS_RAW, IDENTITY_CHANGES
from cdp.warehouse.base import Warehouse
from cdp.warehouse.loader import Loader
from identity import rebuild
from identity.graph import Graph
from identity.keys import BY_HAND, Keys
from identity.people import People
from identity.policy import Policy
from identity.resolver import Resolver
from tests.load.resolver import Nowhere

MONTH = 30 * DAY
TURN = 1_000  # events
MESSAGE = 100
FIRST = 4  # events of a person's first visit
LATER = 25  # of so many parts of the month, one lies between two later events of a person
LOADED = 20  # turns between two of the loader
MILESTONES = (1_000, 10_000, 100_000, 1_000_000)
LOOKUPS = 1_000
SAMPLED = 500  # one of so many keys is asked how large it is
FAMILIES = {
    "a": "whose an anchor is", "io": "observations", "iv": "identifiers", "ip": "profiles", "ir": "absorbed profiles",
    "id": "devices", "is": "where observations were made", "im": "messageIds, for a week",
}  # fmt: skip

Figures = dict[str, Any]


def main() -> None:
    """Fill, look up, make again, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--no-rebuild", action="store_true", help="leave the graph as it is in the end")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    folder = Path(tempfile.mkdtemp(prefix="cdp-crowd-"))
    try:
        each = max(given.events // given.people, FIRST + 2)
        figures = asyncio.run(run(folder, given.people, each, again=not given.no_rebuild))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(figures, indent=1) if given.json else "\n".join(lines_of(figures)))


async def run(folder: Path, people: int, each: int, *, again: bool) -> Figures:
    """The figures of so many people with so many events each; with `again` the graph is made again."""
    settings = Settings.load(data_dir=folder / "data", warehouse={"dsn": "chdb:"})
    valkey, warehouse = EmbeddedValkey(folder / "valkey"), Warehouse(settings)
    state = await valkey.start()
    await warehouse.open()
    crowd = Crowd(state, warehouse, settings, people, each)
    heap.settle()
    try:
        with Progress(console=Console(stderr=True)) as progress:
            return await crowd.figures(progress, again=again)
    finally:
        await warehouse.close()
        await valkey.stop(state)


class Told(Nowhere):
    """A log that keeps what is to be read by the loader, until it is read."""

    def __init__(self) -> None:
        self.waiting: list[Message] = []
        self._offset = 0

    async def append(self, drafts: Sequence[Draft]) -> list[int]:
        """Take them."""
        for draft in drafts:
            if draft.topic == IDENTITY_CHANGES.name:
                self._offset += 1
                self.waiting.append(
                    Message(draft.topic, draft.partition, self._offset, START, draft.value, draft.records, draft.source)
                )
        return [0] * len(drafts)


class Crowd:
    """People who come, and what becomes of the graph."""

    def __init__(self, state: Redis, warehouse: Warehouse, settings: Settings, people: int, each: int) -> None:
        self._state, self._warehouse = state, warehouse
        self._prefix, self._policy = settings.state.prefix, Policy.of(settings.identity)
        self._told: Any = Told()
        self._clock = FrozenClock()
        self._resolver = Resolver(self._told, state, settings, self._clock)
        self._loader = Loader(self._told, warehouse, state, self._prefix, pace=0)
        self._people, self._each = people, each
        self._together = max(TURN // each, 1)  # who come in one turn
        self._groups = -(-people // self._together)
        self._lag = max(self._groups // LATER, 1)
        self._turns = self._groups + (each - FIRST) * self._lag
        self._offset = self._events = 0
        self._costs: dict[str, float] = defaultdict(float)

    async def figures(self, progress: Progress, *, again: bool) -> Figures:
        """Let everybody come; measure on the way, and in the end."""
        empty = await self._account()
        steps: list[Figures] = []
        bar = progress.add_task("Events", total=self._people * self._each)
        for turn in range(self._turns):
            await self._take(self._of_turn(turn))
            progress.update(bar, completed=self._events)
            if turn % LOADED == 0 or turn == self._turns - 1:
                await self._load()
            known = (turn - 2 * self._lag) * self._together  # whose number the website has
            if len(steps) < len(MILESTONES) and known >= MILESTONES[len(steps)] and turn < self._turns - 1:
                steps.append(await self._step(known, empty))
        steps.append(await self._step(self._people, empty))
        families = await self._families(progress)
        return {"steps": steps, "families": families, "rebuild": await self._rebuild(progress) if again else None}

    # --- events

    def _of_turn(self, turn: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """What is sent in a turn, each with its source."""
        at = START - MONTH + MONTH * turn // self._turns
        self._clock.advance(at - self._clock.now())
        for number in range(self._each):
            group = turn if number < FIRST else turn - (number - FIRST + 1) * self._lag
            if 0 <= group < self._groups:
                for person in range(group * self._together, min((group + 1) * self._together, self._people)):
                    yield self._event(person, number, at + person % self._together * 1_000 + number)

    def _event(self, person: int, number: int, at: int) -> tuple[str, dict[str, Any]]:
        """The event of a person's life that has this number."""
        browser = _browser(person, 1 if number > FIRST and person % 5 == 0 else 0)
        body: dict[str, Any] = {"timestamp": to_text(at), "messageId": f"m-{person}-{number}"}
        known = {"userId": _user(person), "anonymousId": browser}
        name = f"{FAMILY[person % len(FAMILY)]} {GIVEN[person // 7 % len(GIVEN)]} {person:x}"
        phone = _phone(person)
        if number == 2:
            return "web", body | known | {"type": "identify", "traits": {"email": f"kh{person}@shop.vn", "name": name}}
        if number == FIRST:
            card = {"type": "loyalty_card", "id": f"T{person:09d}", "collection": "users", "encoding": "none"}
            told = {"traits": {"phone": phone, "name": name}, "context": {"externalIds": [card]}}
            return "pos", body | {"type": "identify", **told}
        if number == FIRST + 1:
            return "web", body | known | {"type": "identify", "traits": {"phone": phone}}
        if number in (0, 1) or (number > FIRST and number % 3 == 0):
            return "web", body | {"type": "page", "anonymousId": browser, "name": "Home"}
        return "web", body | known | {"event": "Order Completed", "properties": {"total": 250_000, "currency": "VND"}}

    async def _take(self, sent: Iterator[tuple[str, dict[str, Any]]]) -> None:
        """Through the resolver; what it costs is counted."""
        by_source: dict[str, list[RawEvent]] = defaultdict(list)
        for source, body in sent:
            by_source[source].append(accepted_event(body, body["messageId"]))
        messages = [
            self._message(source, events[start : start + MESSAGE])
            for source, events in by_source.items()
            for start in range(0, len(events), MESSAGE)
        ]
        if not messages:
            return
        before, begun = await self._served(), time.process_time()
        await self._resolver.handle(messages)
        self._costs["ours"] += time.process_time() - begun
        self._costs["valkey"] += await self._served() - before
        taken = sum(map(len, by_source.values()))
        self._events += taken
        self._costs["events"] += taken

    def _message(self, source: str, events: list[RawEvent]) -> Message:
        self._offset += 1
        value = encode(RawBatch(source, "0" * 32, self._clock.now(), events))
        return Message(EVENTS_RAW.name, 0, self._offset, self._clock.now(), value, len(events), source)

    async def _load(self) -> None:
        waiting, self._told.waiting = self._told.waiting, []
        if waiting:
            await self._loader.handle(waiting)

    # --- figures

    async def _step(self, known: int, empty: Figures) -> Figures:
        """Memory, what an event cost since the last step, and look-ups among the people who are known."""
        account, costs = await self._account(), self._costs
        events = max(costs["events"], 1)
        step: Figures = {
            "people": known,
            "events": self._events,
            "memory": account["used_memory"] - empty["used_memory"],
            "resident": account["used_memory_rss"],
            "µs an event": round(costs["ours"] / events * 1e6, 1),
            "µs an event, Valkey": round(costs["valkey"] / events * 1e6, 1),
        }
        self._costs = defaultdict(float)
        people = People(self._state, self._prefix, self._policy)
        chance = random.Random(known)
        for name, written in (("user_id", _user), ("phone", _phone), ("anonymous_id", _browser)):
            took, served = [], await self._served()
            for _ in range(LOOKUPS):
                value = written(chance.randrange(known))
                begun = time.perf_counter()
                with suppress(NotFoundError):  # a number in a row may look like a placeholder
                    await people.find(name, value)
                took.append(time.perf_counter() - begun)
            took.sort()
            step[name] = {
                "p50 ms": round(statistics.median(took) * 1e3, 3),
                "p99 ms": round(took[len(took) * 99 // 100] * 1e3, 3),
                "Valkey µs": round((await self._served() - served) / LOOKUPS * 1e6, 1),
            }
        return step

    async def _families(self, progress: Progress) -> Figures:
        """How many keys of each kind there are, and how many bytes they take, by a sample."""
        where = len(self._prefix)
        counts: Counter[str] = Counter()
        sampled: dict[str, list[int]] = defaultdict(list)
        bar = progress.add_task("Keys", total=await self._state.dbsize())
        async for key in self._state.scan_iter(count=5_000):
            family = key[where:].partition(b":")[0].decode(errors="replace")
            counts[family] += 1
            if counts[family] % SAMPLED == 1 or family == "im":
                sampled[family].append(await self._state.memory_usage(key, samples=0 if family == "id" else 100) or 0)
            progress.advance(bar)
        return {
            family: {"keys": counts[family], "bytes": round(statistics.mean(sampled[family]) * counts[family])}
            for family in FAMILIES
            if counts[family]
        }

    async def _rebuild(self, progress: Progress) -> Figures:
        """Empty the graph and make it again from the ledger."""
        begun = time.perf_counter()
        ledger = await rebuild.read_ledger(self._warehouse)
        read = time.perf_counter()
        await self._state.flushall()
        graph = Graph(self._state, self._prefix, self._policy, self._clock, partitions=4)
        outbox = Outbox(self._state, Keys(self._prefix).outbox(BY_HAND))
        bar = progress.add_task("Rebuild", total=None)
        await rebuild.apply(
            graph, ledger, outbox, lambda done, total: progress.update(bar, completed=done, total=total)
        )
        applied = time.perf_counter()
        live = await rebuild.live_owners(self._state, self._prefix)
        found = await asyncio.to_thread(rebuild.compare, live, ledger, self._policy)
        return {
            "observations": len(ledger.observations),
            "anchors": len(ledger.owners),
            "profiles": len(set(ledger.owners.values())),
            "read s": round(read - begun, 1),
            "apply s": round(applied - read, 1),
            "compare s": round(time.perf_counter() - applied, 1),
            "equal": found.equal,
        }

    async def _account(self) -> Figures:
        info: Figures = await self._state.info("memory")
        return info

    async def _served(self) -> float:
        info: Figures = await self._state.info("cpu")
        return float(info["used_cpu_user"] + info["used_cpu_sys"])


FAMILY = ("Nguyễn", "Trần", "Lê", "Phạm", "Hoàng", "Phan", "Vũ", "Đặng", "Bùi", "Đỗ", "Hồ", "Ngô", "Dương", "Lý")
GIVEN = ("Lan", "Hùng", "Mai", "Sơn", "Thảo", "Khôi", "Vy", "Minh", "Tuấn", "Hà", "Linh", "Dũng", "Trang")


def _user(person: int) -> str:
    return f"user-{person:08d}"


def _browser(person: int, number: int = 0) -> str:
    return f"browser-{person:08d}-{number}"


def _phone(person: int) -> str:
    return f"+8490{(person * 7_919 + 1_234_567) % 10**7:07d}"


def lines_of(figures: Figures) -> Iterator[str]:
    """The figures for people."""
    heads = f"{'people':>10} {'events':>11} {'memory MB':>10} {'resident':>9}  {'B/person':>8} {'µs an event':>15}"
    yield f"{heads}  look-ups, ms"
    for step in figures["steps"]:
        found = "   ".join(
            f"{name} p50 {step[name]['p50 ms']:.2f} p99 {step[name]['p99 ms']:.2f}"
            for name in ("user_id", "phone", "anonymous_id")
        )
        cost = f"{step['µs an event']:.0f} + {step['µs an event, Valkey']:.0f}"
        memory = (
            f"{step['memory'] / 1e6:>10,.0f} {step['resident'] / 1e6:>9,.0f}  {step['memory'] / step['people']:>8,.0f}"
        )
        yield f"{step['people']:>10,} {step['events']:>11,} {memory} {cost:>15}  {found}"
    people, again = figures["steps"][-1]["people"], figures["rebuild"]
    yield ""
    for family, found in figures["families"].items():
        size = f"{found['bytes'] / 1e6:>10,.1f} MB {found['bytes'] / people:>8,.0f} B a person"
        yield f"{FAMILIES[family]:32} {found['keys']:>12,} keys {size}"
    graph = sum(found["bytes"] for family, found in figures["families"].items() if family != "im")
    observations = max(figures["families"].get("io", {}).get("keys", 0), 1)
    yield f"the graph: {graph / people:,.0f} B a person, {graph / observations:,.0f} B an observation"
    if again:
        took = ", ".join(f"{name} {again[f'{name} s']:,.1f} s" for name in ("read", "apply", "compare"))
        counts = ", ".join(f"{again[name]:,} {name}" for name in ("observations", "anchors", "profiles"))
        yield f"made again from the ledger of {counts}: {took}; {'equal' if again['equal'] else 'NOT EQUAL'}"


if __name__ == "__main__":
    main()
