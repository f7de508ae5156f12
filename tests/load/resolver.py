"""What the resolver costs an event: CPU µs of its process and of the Valkey, by how much of it is new.

    python -m tests.load.resolver [--events 20000] [--json]

Starts the embedded Valkey as the product does, and takes events of the usual size through whole turns of 1,000, over a
log that keeps nothing. CPU is the operating system's account of both processes. The kinds of turns, and a plain MGET of
the same keys, are measured one after the other again and again, so that noise meets all of them: where the machine is
busy, quote the ratios.

    repeats      a known person, in a slice of time in which the device was seen
    sessions     anonymous activity of a known session
    mixed        95 % repeats, the rest new people
    visits       a known person on a known device, in a new slice of time
    people       nothing of it was ever seen: a new person on a new device
    details      a person of whom one thing is known, who says another (a phone number)
"""

from __future__ import annotations

import argparse
import gc
import json
import shutil
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from inspect import isawaitable
from pathlib import Path
from typing import Any

import uvloop
from msgspec import Raw, structs
from redis.asyncio import Redis

from cdp.clock import to_text
from cdp.records import NOTHING, RawBatch, RawEvent, encode
from cdp.settings import Settings
from cdp.state import EmbeddedValkey
from cdp.streams.base import Draft, Message, Partition
from cdp.testing import START, FrozenClock, accepted_event
from cdp.topics import EVENTS_RAW, Topic
from identity.resolver import Resolver, Turn
from tests.load import payload

TURN = 1_000
MESSAGE = 100
SLICE = 30 * 60_000  # milliseconds, as the default settings have it

PLAIN, GRAPH = "plain MGET", "graph"

Costs = dict[str, tuple[float, float]]  # by step: µs an event, ours and the Valkey's


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=20_000, help="how many events of each kind")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="cdp-resolver-"))
    try:
        figures = uvloop.run(run(folder, arguments.events))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(figures, indent=1) if arguments.json else table(figures))


async def run(folder: Path, events: int) -> dict[str, Costs]:
    """By kind of turn the costs of its steps, the median of all such turns."""
    valkey = EmbeddedValkey(folder)
    client = await valkey.start()
    try:
        shop = Shop(client, Settings.load(data_dir=folder / "data"))
        await shop.open()
        rounds = [await shop.round() for _ in range(max(3, events // TURN))][1:]  # the first warms up
    finally:
        await valkey.stop(client)
    return {kind: _medians([one[kind] for one in rounds]) for kind in rounds[0]}


class Nowhere:
    """A log that takes everything and keeps nothing."""

    def partitions(self, topic: Topic) -> int:
        """As many as the default settings have."""
        return 4

    async def append(self, drafts: Sequence[Draft]) -> list[int]:
        """Take them."""
        return [0] * len(drafts)

    async def committed(self, group: str, topic: Topic) -> dict[int, int]:
        """Nothing was ever read."""
        return {}


class Shop:
    """Customers, some of them known, and a resolver that hears of them."""

    def __init__(self, client: Redis, settings: Settings) -> None:
        log: Any = Nowhere()
        self._client = client
        self._resolver = Resolver(log, client, settings, FrozenClock())
        self._offset = 0
        self._people = 0
        self._period = 0
        self._known: list[RawEvent] = []

    async def open(self) -> None:
        """Let a thousand people be known, with their devices and anonymous sessions."""
        await self._resolver.assigned([Partition(EVENTS_RAW.name, 0)])
        self._known = self._strangers(TURN)
        for events in (self._known, _anonymous(self._known)):
            await self._resolver.handle(self._messages(events))

    async def round(self) -> dict[str, Costs]:
        """A turn of each kind → the costs of its steps."""
        self._period += 1
        later = [structs.replace(event, timestamp=_time(self._period)) for event in self._known]
        known, share = self._known, TURN * 95 // 100
        strangers = self._strangers(TURN)
        turns = {
            "repeats": known,
            "sessions": _anonymous(known),
            "mixed": known[:share] + self._strangers(TURN - share),
            "visits": later,
            "people": strangers,
            "details": [_with_phone(event, self._period * TURN + n) for n, event in enumerate(strangers)],
        }
        return {kind: await self._turn(events) for kind, events in turns.items()}

    async def _turn(self, events: Sequence[RawEvent]) -> Costs:
        """As `Resolver.handle` takes it, step by step."""
        resolver, turn, messages, costs = self._resolver, Turn(), self._messages(events), Costs()

        async def part(name: str, work: Callable[[], Any]) -> Any:
            before, begun = await self._served(), time.process_time()
            if isawaitable(result := work()):
                result = await result
            ours = time.process_time() - begun
            costs[name] = ours / TURN * 1e6, (await self._served() - before) / TURN * 1e6
            return result

        gc.collect()  # else the collector would go through this program's own events again and again
        gc.freeze()
        await part("read", lambda: _read(resolver, messages, turn))
        await part("extract", lambda: resolver._extract(turn))
        await part("judge", lambda: resolver._judge(turn))
        keys = [resolver._graph.where.owner(found.anchor) for _, found in turn.resolved]
        await self._client.mget(keys)
        await part(PLAIN, lambda: self._client.mget(keys))
        profiles = await part(GRAPH, lambda: resolver._let_know(turn, 0))
        before = costs[PLAIN]
        await part(PLAIN, lambda: self._client.mget(keys))
        costs[PLAIN] = (before[0] + costs[PLAIN][0]) / 2, (before[1] + costs[PLAIN][1]) / 2
        await part("append", lambda: resolver._append(turn, profiles, {0}))
        await part("count", lambda: resolver._count(turn, messages))
        return costs

    def _strangers(self, count: int) -> list[RawEvent]:
        self._people += count
        return [_event(number) for number in range(self._people - count, self._people)]

    def _messages(self, events: Sequence[RawEvent]) -> list[Message]:
        """As the collector writes them, each event under an id of its own."""
        fresh = [structs.replace(event, id=str(uuid.uuid4())) for event in events]
        return [self._message(fresh[start : start + MESSAGE]) for start in range(0, len(fresh), MESSAGE)]

    def _message(self, events: list[RawEvent]) -> Message:
        self._offset += 1
        value = encode(RawBatch("website", "0" * 32, START, events))
        return Message(EVENTS_RAW.name, 0, self._offset, START, value, len(events), "website")

    async def _served(self) -> float:
        info: dict[str, Any] = await self._client.info("cpu")
        return float(info["used_cpu_user"] + info["used_cpu_sys"])


def table(figures: Mapping[str, Costs]) -> str:
    """The figures for people."""
    return "\n".join(_lines(figures))


def _lines(figures: Mapping[str, Costs]) -> Iterator[str]:
    yield "CPU µs an event: client + server"
    parts = [name for name in next(iter(figures.values())) if name != PLAIN]
    yield f"{'':10} {PLAIN:>12} {' '.join(f'{name:>14}' for name in parts)} {'graph/plain':>12} {'events/s':>9}"
    for kind, costs in figures.items():
        whole = sum(sum(costs[name]) for name in parts)
        shown = " ".join(f"{costs[name][0]:>7.2f} +{costs[name][1]:>5.2f}" for name in parts)
        ratio = sum(costs[GRAPH]) / sum(costs[PLAIN])
        yield (
            f"{kind:10} {costs[PLAIN][0]:>5.2f} +{costs[PLAIN][1]:>5.2f} {shown} {ratio:>12.2f} {1e6 / whole:>9,.0f}"
        )


def _read(resolver: Resolver, messages: Sequence[Message], turn: Turn) -> None:
    for message in messages:
        resolver._read(message, turn)


def _medians(turns: Sequence[Costs]) -> Costs:
    found: Costs = {}
    for part in turns[0]:
        ours, theirs = zip(*(turn[part] for turn in turns), strict=True)
        found[part] = statistics.median(ours), statistics.median(theirs)
    return found


def _event(number: int) -> RawEvent:
    """One event of a customer of their own, on a device of their own."""
    device = str(uuid.UUID(int=number))
    return accepted_event(payload.event(number, people=1) | {"userId": f"user-{number:07d}", "anonymousId": device})


def _anonymous(events: Sequence[RawEvent]) -> list[RawEvent]:
    return [structs.replace(event, user_id=None) for event in events]


def _with_phone(event: RawEvent, number: int) -> RawEvent:
    """The same customer, who says a phone number that nobody said before."""
    traits = Raw(encode({"phone": f"+8490{number:07d}"}))
    return structs.replace(event, type="identify", event=None, traits=traits, properties=NOTHING)


def _time(period: int) -> str:
    """A moment in a slice of time of its own, a while ago."""
    return to_text(START - period * 2 * SLICE)


if __name__ == "__main__":
    main()
