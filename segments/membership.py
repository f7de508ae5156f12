"""Who is in which segment, a partition of profiles at a time; each change leaves together with the record of it.

In the state, per partition of profiles.touched (one hash tag, so that one MULTI may change all of it on a cluster):

    members   profile (16 bytes) → {segment: sequence}; an odd sequence is in, an even one out
    counts    segment → how many members
    timers    profile by the moment at which time alone may change its segments
    recounts  segment → how far the recount of its definition is
    outbox    SegmentChanges that are not on the log yet
    epoch     how often the partition got a new owner; the write of an owner that was replaced changes nothing
    whole     there once the state is complete; a new state is first made whole from the warehouse's history
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import WatchError

from cdp.errors import TransientError
from cdp.records import SegmentChange, SegmentChanges, TouchedProfile, decode_segments, encode, partition_of
from cdp.state import Outbox
from cdp.streams.base import Draft, Log
from cdp.topics import SEGMENTS_CHANGES
from segments.definitions import Live
from segments.recounts import Recounts
from segments.sweep import Standing
from segments.timers import Timers

# Changes in one message of the log: Kafka takes a megabyte.
CHANGES_PER_MESSAGE = 2_000

Sequences = dict[str, int]

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(dict[str, int]).decode


class LostError(TransientError):
    """Another owner has the partition now; nothing was written. Whoever the log still gives it to takes it back."""

    code = "lost"


class Pass(NamedTuple):
    """What a pass over some profiles found: how they stand (no anchors: not in it), at which moment.

    `only`: the one segment that was asked about; None when all were.
    """

    standings: Mapping[str, Standing]
    live: Live
    now: int
    only: str | None = None


def key(prefix: str, partition: int, name: str) -> str:
    """The state's key of a part of a partition."""
    return f"{prefix}segments:{{{partition}}}:{name}"


def changes(touch: TouchedProfile, before: Sequences, found: Pass) -> list[SegmentChange]:
    """What changes for a profile, given the sequences it had."""
    standing = found.standings.get(touch.profile_id)
    held = standing.held if standing else frozenset[str]()
    asked = {found.only} if found.only else (before.keys() | found.live.segments.keys()) - found.live.unreadable
    return [
        SegmentChange(
            segment=segment,
            profile_id=touch.profile_id,
            change="entered" if segment in held else "exited",
            sequence=before.get(segment, 0) + 1,
            at=found.now,
            reason=_reason(touch, standing, found.live.defines(segment)),
            trace_id=touch.trace_id,
        )
        for segment in sorted(asked)
        if (segment in held) != is_in(before.get(segment, 0))
    ]


def is_in(sequence: int) -> bool:
    """Whether the change of that number was an entry."""
    return sequence % 2 == 1


def _reason(touch: TouchedProfile, standing: Standing | None, defined: bool) -> str:
    if not defined:
        return "definition"
    return touch.reason if standing else "identity"


class Share:
    """A partition that this process owns. Nothing else writes to what it keeps in the state."""

    def __init__(self, state: Redis, prefix: str, number: int) -> None:
        self.number = number
        self._state = state
        self._members, self._counts, self._epoch_key, self._whole_key = (
            key(prefix, number, name) for name in ("members", "counts", "epoch", "whole")
        )
        self._outbox = Outbox(state, key(prefix, number, "outbox"))
        self.timers = Timers(state, key(prefix, number, "timers"))
        self.recounts = Recounts(state, key(prefix, number, "recounts"))
        self._epoch: int | None = None
        self._waiting = True

    async def ready(self, log: Log, history: Callable[[int], Awaitable[Mapping[str, Sequences]]]) -> None:
        """Take it over if that is still to be done (who had it can write no more), and empty the outbox.

        A state that knows nothing yet gets the sequences of `history`, so that none is given twice.
        """
        if self._epoch is None:
            self._epoch = int(await self._state.incr(self._epoch_key))
            if not await self._state.exists(self._whole_key):
                await self._restore(await history(self.number))
            await self.timers.load()
            await self.recounts.load()
            self._waiting = True
        await self.drain(log)

    async def _restore(self, history: Mapping[str, Sequences]) -> None:
        members: dict[Any, Any] = {uuid.UUID(one).bytes: _pack(known) for one, known in history.items()}
        counts: dict[Any, Any] = Counter(
            segment for known in history.values() for segment, last in known.items() if is_in(last)
        )

        def build(transaction: Pipeline) -> None:
            transaction.delete(self._members, self._counts)
            if members:
                transaction.hset(self._members, mapping=members)
            if counts:
                transaction.hset(self._counts, mapping=counts)
            transaction.set(self._whole_key, 1)

        await self.write(build)

    def close(self) -> None:
        """Believe nothing in memory any more: what is in the state counts."""
        self._epoch = None

    async def write(self, build: Callable[[Pipeline], None]) -> None:
        """Write in one MULTI, as the owner. Raises `LostError`."""
        async with self._state.pipeline(transaction=True) as transaction:
            await transaction.watch(self._epoch_key)
            if int(await transaction.get(self._epoch_key) or 0) != self._epoch:
                raise LostError(f"Partition {self.number} has another owner.")
            transaction.multi()  # type: ignore[no-untyped-call]
            build(transaction)
            try:
                await transaction.execute()
            except WatchError:
                raise LostError(f"Partition {self.number} has another owner.") from None

    async def sequences(self, profile_ids: Sequence[str]) -> list[Sequences]:
        """The sequence that each profile has in each segment it was ever in."""
        if not profile_ids:
            return []
        found = await self._state.hmget(self._members, [uuid.UUID(one).bytes for one in profile_ids])
        return [_unpack(value) if isinstance(value, bytes) else {} for value in found]

    async def apply(
        self, touched: Sequence[TouchedProfile], found: Pass, also: Callable[[Pipeline], None] | None = None
    ) -> int:
        """Make the memberships of these profiles what the pass found; `also` is written together with that.

        Returns the number of changes; they are in the outbox then, and `drain` brings them to the log.
        Raises `LostError`.
        """
        before = await self.sequences([touch.profile_id for touch in touched])
        moved = [
            change for touch, known in zip(touched, before, strict=True) for change in changes(touch, known, found)
        ]
        due = {touch.profile_id: _due(found.standings.get(touch.profile_id)) for touch in touched}
        known = {touch.profile_id: sequences for touch, sequences in zip(touched, before, strict=True)}

        def build(transaction: Pipeline) -> None:
            self._move(transaction, known, moved)
            self.timers.set(transaction, due, only_sooner=found.only is not None)
            if also is not None:
                also(transaction)

        if moved or also is not None or self.timers.earliest is not None or any(due.values()):
            await self.write(build)
        return len(moved)

    async def drain(self, log: Log) -> None:
        """Bring what waits in the outbox to the log. Raises `TransientError` when the log is away."""
        if not self._waiting:
            return
        if values := await self._outbox.waiting():
            await log.append(list(_drafts(values, log.partitions(SEGMENTS_CHANGES))))
            await self._outbox.drop(values)
        self._waiting = False

    async def members(self, segment: str, cursor: str, *, count: int) -> tuple[str, list[str]]:
        """Some members of a segment, and the cursor of the next ones ('' at the end)."""
        following, found = await self._state.hscan(self._members, int(cursor or 0), count=count)
        pairs = found.items() if isinstance(found, dict) else ()
        ids = [_text(one) for one, value in pairs if is_in(_unpack(_bytes(value)).get(segment, 0))]
        return str(following) if following else "", ids

    def _move(self, transaction: Pipeline, known: Mapping[str, Sequences], moved: Sequence[SegmentChange]) -> None:
        if not moved:
            return
        counts: Counter[str] = Counter()
        for change in moved:
            known[change.profile_id][change.segment] = change.sequence
            counts[change.segment] += 1 if is_in(change.sequence) else -1
        profiles = {change.profile_id for change in moved}
        transaction.hset(self._members, mapping={uuid.UUID(one).bytes: _pack(known[one]) for one in profiles})
        for segment, difference in counts.items():
            transaction.hincrby(self._counts, segment, difference)
        self._waiting = True
        self._outbox.add(transaction, encode(SegmentChanges(list(moved))))


def _bytes(value: bytes | str) -> bytes:
    assert isinstance(value, bytes)
    return value


def _text(profile: bytes | str) -> str:
    return str(uuid.UUID(bytes=_bytes(profile)))


def _due(standing: Standing | None) -> int | None:
    return standing.due if standing else None


def _drafts(values: Sequence[bytes], partitions: int) -> Iterator[Draft]:
    """The messages for the log; each profile's changes keep their order."""
    shares: dict[int, list[SegmentChange]] = {}
    for value in values:
        for change in decode_segments(value).changes:
            shares.setdefault(partition_of(change.profile_id, partitions), []).append(change)
    for partition, moved in shares.items():
        for start in range(0, len(moved), CHANGES_PER_MESSAGE):
            some = moved[start : start + CHANGES_PER_MESSAGE]
            yield Draft(SEGMENTS_CHANGES.name, partition, encode(SegmentChanges(some)), len(some))
