"""The ledger of a destination: who should be there, who is, and who is waiting to be told.

Per member an `Entry`: the newest wish (a sequence number decides what is newer), what the destination holds as far as
it said so, and the attempts. What is wished and what is there differ only while a member waits; a wish that brings
nothing new settles by itself, so an add that was never sent and the remove after it both vanish.

    wish ─► pending ─(due)─► begun ─► delivered, dropped ─► settled
               ▲                └───► retry ──┐     └─────► failed ─(replay)─┐
               └──────────────────────────────┴──────────────────────────────┘

It lies in the state, all keys of a destination in one hash slot, and changes only in scripts (`ledger.lua`), so each
change is whole. What a crash of the state loses is made again from the warehouse (`activation.reconcile`).
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import Struct
from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from cdp.errors import TransientError
from cdp.state import Outbox
from cdp.warehouse.sql import load

REMOVE, ADD = 0, 1
ABSENT, PRESENT, UNKNOWN = 0, 1, 2
SETTLED, PENDING, FAILED = 0, 1, 2
NEVER = -1

SCRIPTS = load("activation", "ledger.lua")
CHUNK = 1_000

Action = Literal["add", "remove"]


class LeaseLostError(TransientError):
    """Another dispatcher has the destination now."""

    code = "lease_lost"


class Entry(Struct, array_like=True):
    """What the ledger knows of a member. `action` and `sent` are ADD or REMOVE, `there` and `status` as named above.

    `attempts` count from the wish on; `tries` and `first` (a moment) from the beginning of the present series of
    retries. `turns` counts how often consent turned the action round since the wish.
    """

    action: int
    sequence: int
    at: int
    trace_id: str
    there: int
    attempts: int
    tries: int
    first: int
    sent: int
    turns: int
    status: int


class Member(NamedTuple):
    """A profile in a segment."""

    segment: str
    profile_id: str


class Wish(NamedTuple):
    """A membership as it should be. `there`: what the destination holds, if the ledger does not know; -1: unsaid."""

    profile_id: str
    action: Action
    sequence: int
    at: int
    trace_id: str = ""
    there: int = -1


class Start(NamedTuple):
    """A member about to be sent."""

    profile_id: str
    sequence: int
    action: int
    turns: int


class Verdict(NamedTuple):
    """What became of a member. `there`: what the destination holds now, -1 leaves it; `at`: when to try again."""

    profile_id: str
    sequence: int
    verdict: Literal["done", "retry", "failed"]
    there: int = -1
    at: int = 0


class Standing(NamedTuple):
    """How a destination is: members waiting, since when the first of them, and members set aside."""

    pending: int
    oldest_at: int | None
    failed: int


class Ledger:
    """The ledger of one destination. Raises redis errors when the state is away."""

    def __init__(self, state: Redis, prefix: str, destination: str) -> None:
        self._state: Any = state  # redis-py types every answer as bytes or str; ours are bytes
        self._room = f"{prefix}activation:{{{destination}}}:"
        self._scripts = {
            name: state.register_script(SCRIPTS["prelude"] + "\n" + body)
            for name, body in SCRIPTS.items()
            if name in ("desire", "begin", "settle", "revive", "review", "forget")
        }
        self._hand_on = state.register_script(SCRIPTS["hand_on"])
        self.lease_key = self._room + "lease"
        self._outbox_key = self._room + "outbox"
        self._outbox = Outbox(state, self._outbox_key)

    async def desire(self, segment: str, wishes: Sequence[Wish], now: int) -> int:
        """Wish; what is older than what is known counts for nothing. Returns how many wait because of it."""
        waiting = 0
        await self._state.sadd(self._room + "segments", segment)
        for start in range(0, len(wishes), CHUNK):
            chunk = wishes[start : start + CHUNK]
            waiting += int(await self._run("desire", segment, [now, _prefix(segment), *_wished(chunk)]))
        return waiting

    async def due(self, now: int, *, limit: int, skip: Collection[Member] = ()) -> list[tuple[Member, Entry]]:
        """Members to be sent now, those waiting longest first. `skip` are under way already."""
        names = await self._state.zrangebyscore(self._room + "due", "-inf", now, start=0, num=limit + len(skip))
        members = [member for member in map(_member, names) if member not in skip][:limit]
        entries = await self.entries(members)
        for member in members:
            if member not in entries:  # its segment was forgotten at this very moment
                await self._state.zrem(self._room + "due", _name(member))
        return [(member, entries[member]) for member in members if member in entries]

    async def entries(self, members: Iterable[Member]) -> dict[Member, Entry]:
        """What is known of these members."""
        by_segment: dict[str, list[Member]] = defaultdict(list)
        for member in members:
            by_segment[member.segment].append(member)
        found: dict[Member, Entry] = {}
        for segment, group in by_segment.items():
            packed = await self._state.hmget(self._entries(segment), [_field(member.profile_id) for member in group])
            found |= {member: _entry(value) for member, value in zip(group, packed, strict=True) if value is not None}
        return found

    async def next_due(self) -> int | None:
        """The moment at which the next member is due; None when nobody waits."""
        first = await self._state.zrange(self._room + "due", 0, 0, withscores=True)
        return int(first[0][1]) if first else None

    async def begin(self, token: str, segment: str, starts: Sequence[Start], now: int) -> list[bool]:
        """Note that these are being sent. False is a member of whom something newer is wished: do not send it.

        Raises `LeaseLostError`.
        """
        rows = chain.from_iterable((_field(s.profile_id), s.sequence, s.action, s.turns) for s in starts)
        answers = await self._run("begin", segment, [token, now, *rows])
        if answers is None:
            raise LeaseLostError("Another dispatcher has this destination now.")
        return [answer == 1 for answer in answers]

    async def settle(
        self, token: str, segment: str, verdicts: Sequence[Verdict], now: int, *, records: Iterable[bytes] = ()
    ) -> None:
        """Note what became of members and, in the same transaction, put records for the log into the outbox.

        Raises `LeaseLostError`; the records are in the outbox nevertheless, because what they tell did happen.
        """
        rows = chain.from_iterable((_field(v.profile_id), v.sequence, v.verdict, v.there, v.at) for v in verdicts)
        async with self._state.pipeline(transaction=True) as transaction:
            await self._run("settle", segment, [token, now, _prefix(segment), *rows], client=transaction)
            for record in records:
                self._outbox.add(transaction, record)
            [ours, *_] = await transaction.execute()
        if not ours:
            raise LeaseLostError("Another dispatcher has this destination now.")

    async def outgoing(self) -> list[bytes]:
        """Records for the log that are still in the outbox."""
        return await self._outbox.waiting()

    async def handed_on(self, token: str, count: int) -> None:
        """The oldest `count` records are on the log. Raises `LeaseLostError`."""
        if not await self._hand_on([self._outbox_key, self.lease_key], [token, count]):
            raise LeaseLostError("Another dispatcher has this destination now.")

    async def replay(self, now: int) -> int:
        """Send those set aside again. Returns how many."""
        revived = 0
        while names := await self._state.zrange(self._room + "failed", 0, CHUNK - 1):
            for segment, fields in _by_segment(names).items():
                revived += int(await self._run("revive", segment, [now, _prefix(segment), *fields]))
        return revived

    async def review(self, segment: str, now: int) -> None:
        """Have each settled member who should be there looked at again (consent may have changed)."""
        async for fields in self._pages(segment, lambda entry: entry.action == ADD and entry.status == SETTLED):
            await self._run("review", segment, [now, _prefix(segment), *fields])

    async def tidy(self, segment: str, before: int) -> int:
        """Forget members who left before that moment and are settled. Returns how many."""
        forgotten = 0
        async for fields in self._pages(segment, lambda entry: entry.action == REMOVE and entry.at < before):
            forgotten += int(await self._run("forget", segment, [_prefix(segment), before, *fields]))
        return forgotten

    async def forget(self, segment: str) -> None:
        """Forget everything about a segment: who is there, who waits, who was set aside."""
        async for fields in self._pages(segment, lambda entry: True):
            await self._run("forget", segment, [_prefix(segment), 0, *fields])
        await self._state.hdel(self._room + "synced", segment)
        await self._state.srem(self._room + "segments", segment)

    async def forget_all(self) -> None:
        """Forget the destination, but for records that are not on the log yet."""
        for segment in await self._state.smembers(self._room + "segments"):
            await self.forget(segment.decode())
        await self._state.delete(*(self._room + name for name in ("synced", "status", "segments")))

    async def standing(self) -> Standing:
        """How many wait and since when, how many were set aside."""
        async with self._state.pipeline(transaction=False) as asked:
            asked.zcard(self._room + "since").zrange(self._room + "since", 0, 0, withscores=True)
            asked.zcard(self._room + "failed")
            pending, oldest, failed = await asked.execute()
        return Standing(pending, int(oldest[0][1]) if oldest else None, failed)

    async def note(self, facts: Mapping[str, str | int]) -> None:
        """Keep facts for `facts()`: the breaker's position, the last error and the like."""
        await self._state.hset(self._room + "status", mapping=dict(facts))

    async def facts(self) -> dict[str, str]:
        """What was noted."""
        found = await self._state.hgetall(self._room + "status")
        return {name.decode(): value.decode() for name, value in found.items()}

    async def synced(self) -> dict[str, tuple[int, int]]:
        """Per segment, the version of the sync that was compared with the warehouse last, and when that was."""
        found = await self._state.hgetall(self._room + "synced")
        pairs = {segment.decode(): value.decode().split(":") for segment, value in found.items()}
        return {segment: (int(version), int(at)) for segment, (version, at) in pairs.items()}

    async def mark_synced(self, segment: str, version: int, now: int) -> None:
        """The segment was compared with the warehouse under this version of the sync."""
        await self._state.hset(self._room + "synced", segment, f"{version}:{now}")

    async def _pages(self, segment: str, wanted: Callable[[Entry], bool]) -> AsyncIterator[list[bytes]]:
        async for page in _scanned(self._state, self._entries(segment)):
            if fields := [field for field, packed in page if wanted(_entry(packed))]:
                yield fields

    def _entries(self, segment: str) -> str:
        return f"{self._room}entries:{segment}"

    async def _run(self, script: str, segment: str, arguments: Sequence[Any], *, client: Any = None) -> Any:
        keys = [self._room + name for name in ("due", "since", "failed")]
        compiled: AsyncScript = self._scripts[script]
        return await compiled([*keys, self._entries(segment), self.lease_key], arguments, client=client)


def _wished(wishes: Iterable[Wish]) -> Iterable[Any]:
    return chain.from_iterable(
        (_field(w.profile_id), ADD if w.action == "add" else REMOVE, w.sequence, w.at, w.trace_id, w.there)
        for w in wishes
    )


async def _scanned(state: Any, key: str) -> AsyncIterator[list[tuple[bytes, bytes]]]:
    cursor = -1
    while cursor:
        cursor, page = await state.hscan(key, max(cursor, 0), count=CHUNK)
        yield list(page.items())


def _prefix(segment: str) -> str:
    return f"{segment}/"


def _field(profile_id: str) -> bytes:
    return uuid.UUID(profile_id).bytes


def _name(member: Member) -> bytes:
    return _prefix(member.segment).encode() + _field(member.profile_id)


def _member(name: bytes) -> Member:
    segment, _, field = name.partition(b"/")
    return Member(segment.decode(), str(uuid.UUID(bytes=field)))


def _by_segment(names: Iterable[bytes]) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = defaultdict(list)
    for name in names:
        segment, _, field = name.partition(b"/")
        found[segment.decode()].append(field)
    return found


_decode = msgspec.msgpack.Decoder(Entry).decode


def _entry(packed: bytes) -> Entry:
    return _decode(packed)
