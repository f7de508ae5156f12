"""The promise of activation: whatever fails and crashes, the receiver ends with the members it should have.

Random entries and exits; a receiver that takes, loses, refuses, or answers and dies; processes killed before and after
each step of the ledger, the log and the transport; intake repeated from an older offset; destinations taken over while
the old dispatcher still sends. In the end: the receiver's members (deduped by webhook-id, ordered by sequence) are the
segment's, nothing waits, and what was noted in the ledger was told on the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from activation.connectors.file import File
from activation.connectors.webhook import Webhook
from activation.courier import Courier
from activation.ledger import ABSENT, PRESENT, Member
from activation.requests import Reply
from cdp.errors import TransientError
from cdp.records import SegmentChange
from cdp.state import EmbeddedValkey
from tests.activation.arena import SECRET, Arena, Killed, change, profile_id

PROFILES = 4
STEPS = ("change", "change", "turn", "turn", "turn_and_land", "wait", "repeat", "lag", "kill", "take_over")


class Storm:
    """Plays a story of steps against an arena, with faults drawn from `rng`."""

    def __init__(self, arena: Arena, rng: random.Random, trouble: float) -> None:
        self.arena = arena
        self.rng = rng
        self.trouble = trouble
        self.calm = False
        self.sequences = dict.fromkeys(range(PROFILES), 0)
        self.history: list[SegmentChange] = []
        self.life = 0
        self.couriers: list[Courier] = []

    def fault(self, life: int, point: str) -> None:
        """Kill the process at this point, or let it be; a killed one does nothing any more."""
        if life in self.dead:
            raise Killed(point)
        if not self.calm and self.rng.random() < self.trouble / 8:
            self.dead.add(life)
            raise Killed(point)

    def answer(self, request: Any) -> Reply:
        """What the receiver and the network do with a request."""
        now = self.arena.clock.now()
        luck = 1.0 if self.calm else self.rng.random() / self.trouble
        if luck < 0.3:
            raise TransientError("connection refused")
        if luck < 0.6:
            self.arena.take(request)
            raise TransientError("connection reset after it was taken")
        if luck < 0.8:
            return Reply(500, now)
        if luck < 0.9:
            return Reply(429, now, {"retry-after": str(self.rng.randint(0, 5))})
        return Reply(422 if luck < 0.97 else 200, now)

    async def play(self, steps: list[str]) -> None:
        """The story, then calm, then what must hold."""
        self.dead: set[int] = set()
        self.arena.answer = self.answer
        await self.start()
        for step in steps:
            try:
                await getattr(self, step)()
            except Killed:
                await self.start()
            if self.life in self.dead:
                await self.start()
        self.calm = True
        await self.intake(self.history[-10:])
        await self.start()
        await self.arena.settle(self.couriers[-1])
        await self.arena.ledger.replay(self.arena.clock.now())
        await self.arena.settle(self.couriers[-1])

    async def start(self) -> None:
        """A new process begins, under a new lease."""
        for courier in self.couriers:
            if not any(flight for flight in courier._flights):
                continue
            with contextlib.suppress(Exception, Killed):
                await asyncio.wait_for(courier.landed(), 5)
        self.life += 1
        life = self.life
        self.arena.fault = lambda point: self.fault(life, point)
        self.couriers.append(await self.arena.courier(f"life {life}", seed=life))

    async def change(self) -> None:
        """Somebody comes in or goes out."""
        number = self.rng.randrange(PROFILES)
        self.sequences[number] += 1
        self.history.append(change(number, self.sequences[number], at=self.arena.clock.now()))
        await self.intake(self.history[-1:])

    async def repeat(self) -> None:
        """The intake starts again from an older offset."""
        await self.intake(self.history[-self.rng.randint(1, 6) :])

    async def lag(self) -> None:
        """An intake that lost its partitions long ago still writes what others have gone beyond."""
        end = self.rng.randint(0, len(self.history))
        await self.arena.desire(*self.history[max(0, end - 3) : end])

    async def intake(self, changes: list[SegmentChange]) -> None:
        """The changes arrive; the process may be killed in their middle, and reads them again."""
        if changes and not self.calm and self.rng.random() < self.trouble / 4:
            await self.arena.desire(*changes[: self.rng.randrange(len(changes))])
        await self.arena.desire(*changes)

    async def turn(self) -> None:
        """The courier works, and its flights may still be in the air at the next step."""
        with contextlib.suppress(TransientError):
            await self.couriers[-1].turn()
        await asyncio.sleep(self.rng.choice((0, 0.0003, 0.002)))

    async def turn_and_land(self) -> None:
        """The courier works, and what it launched comes to its end."""
        await self.turn()
        await self.couriers[-1].landed()

    async def kill(self) -> None:
        """kill -9, wherever it is."""
        self.dead.add(self.life)
        raise Killed

    async def take_over(self) -> None:
        """Another dispatcher takes the lease while this one still has requests in the air."""
        self.life += 1
        life = self.life
        self.arena.fault = lambda point: self.fault(life, point)
        self.couriers.append(await self.arena.courier(f"life {life}", seed=life))

    async def wait(self) -> None:
        """Time passes."""
        self.arena.clock.advance(self.rng.randint(1, 20_000))

    async def check(self) -> None:
        """What must hold in the end."""
        arena = self.arena
        for line in lines(arena.folder / "hook-vip.jsonl"):
            message = json.loads(line)
            assert message["id"] not in arena.receiver.seen, "a line stands in the file once"
            arena.receiver.seen[message["id"]] = message
        wished = {profile_id(number) for number, sequence in self.sequences.items() if sequence % 2}
        assert arena.receiver.members() == wished
        standing = await arena.ledger.standing()
        assert (standing.pending, standing.failed) == (0, 0)
        assert await arena.ledger.outgoing() == []
        told = {one.id for one in arena.log.deliveries if one.outcome == "delivered"}
        assert told <= set(arena.receiver.seen)
        appended = {draft.value for draft in arena.log.drafts}
        for courier in self.couriers:
            for name, _, named in courier._ledger.done:  # type: ignore[attr-defined]
                assert name != "settle" or set(named["records"]) <= appended
        members = [Member("vip", profile_id(number)) for number in range(PROFILES)]
        for member, entry in (await arena.ledger.entries(members)).items():
            assert entry.there == (PRESENT if member.profile_id in wished else ABSENT)


def lines(place: Path) -> list[str]:
    """The lines of a file, if there is one."""
    return place.read_text(encoding="utf-8").splitlines() if place.exists() else []


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.lists(st.sampled_from(STEPS), min_size=10, max_size=60),
    seed=st.integers(0, 2**32),
    trouble=st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    kind=st.sampled_from(["one", "batches", "file"]),
)
def test_the_receiver_ends_with_the_members_it_should_have(
    state_server: EmbeddedValkey, steps: list[str], seed: int, trouble: float, kind: str
) -> None:
    """Random changes × random failures × crashes at each step: the membership is right and nothing is lost."""

    async def run() -> None:
        client = Redis(unix_socket_path=str(state_server.socket))
        with tempfile.TemporaryDirectory() as folder:
            hook = {"url": "https://shop.example/", "secret": SECRET, "batch": 3 if kind == "batches" else 1}
            connector, given = (File(), {}) if kind == "file" else (Webhook(), hook)
            arena = Arena(client, Path(folder), connector=connector, settings=given)
            storm = Storm(arena, random.Random(seed), trouble or 1e-9)
            await storm.play(steps)
            await storm.check()
        await client.aclose()

    asyncio.run(run())
