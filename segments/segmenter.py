"""The segmenter: keeps memberships equal to what the definitions say of the warehouse, at every moment.

    [profiles.touched] ─┐
    timers that ring   ─┼─► sweep ─► memberships, timers, outbox (one MULTI a partition) ─► [segments.changes]
    recounts, by pages ─┘

Profiles are evaluated the moment they are touched; what is touched during a pass makes up the next one.
`handle` (touches; called by the worker) and `turn` (timers and recounts; called again and again) never work at once.

A crash at any point is repaired by doing the work again: a change and its record are written together, the record stays
in the outbox until it is on the log, and touches are committed after that.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import structlog
from msgspec import MsgspecError, structs
from redis.asyncio.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from cdp.errors import TransientError
from cdp.records import ProfilesTouched, TouchedProfile, decode_touched, new_trace_id
from cdp.registry import Entry
from cdp.service import Platform
from cdp.streams.base import Message, Partition
from cdp.topics import PROFILES_TOUCHED, Topic
from cdp.traits import TRAIT
from cdp.warehouse.sql import load
from segments.definitions import Definitions, Live
from segments.membership import Pass, Sequences, Share
from segments.recounts import DELETED, STALE, Recount
from segments.sweep import NOWHERE, Sweep

log = structlog.get_logger(__name__)

QUERIES = load("segments")
NOBODY = str(uuid.UUID(int=0))

# Seconds between two looks whether a definition has changed without a message about it (its sender crashed).
RECONCILE_SECONDS = 10.0

Also = Callable[[Pipeline], None]


class Segmenter:
    """The handler of profiles.touched."""

    group = "segmenter"
    topics: Sequence[Topic] = (PROFILES_TOUCHED,)

    def __init__(self, platform: Platform) -> None:
        self._log = platform.log
        self._state = platform.state
        self._warehouse = platform.warehouse
        self._registry = platform.registry
        self._clock = platform.clock
        self._prefix = platform.settings.state.prefix
        self._batch = platform.settings.segments.batch_profiles
        self._definitions = Definitions(platform.registry)
        self._sweep = Sweep(platform.warehouse)
        self._shares: dict[int, Share] = {}
        self._reconcile_at = 0.0
        self._one_at_a_time = asyncio.Lock()
        self._evaluated = self._changed = 0
        platform.registry.watch(self._ruled)

    async def assigned(self, places: Sequence[Partition]) -> Mapping[Partition, int]:
        """Partitions gained; they are taken over when there is work on them."""
        async with self._one_at_a_time:
            for place in places:
                self._shares[place.number] = Share(self._state, self._prefix, place.number)
            self._reconcile_at = 0.0
        return {}

    async def revoked(self, places: Sequence[Partition]) -> None:
        """Partitions lost; returns when the work under way on them has ended."""
        async with self._one_at_a_time:
            for place in places:
                self._shares.pop(place.number, None)

    async def handle(self, messages: Sequence[Message]) -> None:
        """Evaluate who was touched. Raises `TransientError` when a part is away."""
        async with self._work():
            touched: dict[int, dict[str, TouchedProfile]] = {}
            for message in messages:
                if news := _read(message):
                    await self._redefined(message.partition, news)
                    some = touched.setdefault(message.partition, {})
                    some.update((touch.profile_id, touch) for touch in news.profiles if _is_uuid(touch.profile_id))
            await self._evaluate({number: list(some.values()) for number, some in touched.items()})

    async def turn(self) -> bool:
        """Do one piece of what time brings: timers that ring, else a page of a recount. True if there was something.

        Raises `TransientError` when a part is away.
        """
        async with self._work():
            await self._reconcile()
            return await self._ring() or await self._recount()

    def figures(self) -> dict[str, float]:
        """What it counts by itself."""
        live = self._definitions.live()
        return {
            "segments": len(live.segments),
            "segments_unreadable": len(live.unreadable),
            "recounts": sum(not one.done for share in self._shares.values() for one in share.recounts.known.values()),
            "profiles_evaluated": self._evaluated,
            "changes": self._changed,
        }

    @asynccontextmanager
    async def _work(self) -> AsyncIterator[None]:
        """Alone, on open shares whose outboxes are empty. After a failure nothing in memory is believed any more."""
        async with self._one_at_a_time:
            try:
                for share in self._shares.values():
                    await share.ready(self._log, self._history)
                yield
            except BaseException as error:
                for share in self._shares.values():
                    share.close()
                if isinstance(error, RedisConnectionError | RedisTimeoutError):
                    raise TransientError(f"The state is away or busy: {error}") from error
                raise

    async def _evaluate(self, touched: Mapping[int, Sequence[TouchedProfile]]) -> None:
        """Everything about these profiles, as it is now."""
        ids = [touch.profile_id for number, some in touched.items() if number in self._shares for touch in some]
        if not ids:
            return
        live, now = self._definitions.live(), self._clock.now()
        found = Pass(await self._sweep.standings(live.segments, ids, now), live, now)
        for number, some in touched.items():
            if number in self._shares:
                await self._apply(self._shares[number], some, found)

    async def _apply(
        self, share: Share, touched: Sequence[TouchedProfile], found: Pass, also: Also | None = None
    ) -> None:
        self._changed += await share.apply(touched, found, also)
        self._evaluated += len(touched)
        await share.drain(self._log)

    async def _ring(self) -> bool:
        now, trace_id = self._clock.now(), new_trace_id()
        ringing: dict[int, list[TouchedProfile]] = {}
        for number, share in self._shares.items():
            if ids := await share.timers.due(now, limit=self._batch):
                ringing[number] = [TouchedProfile(one, trace_id, now, "timer") for one in ids]
        await self._evaluate(ringing)
        for number in ringing:
            await self._shares[number].timers.load()
        return bool(ringing)

    async def _redefined(self, number: int, news: ProfilesTouched) -> None:
        """Begin a recount, unless this definition was counted already. An offset of -1 asks for it in any case."""
        if not news.segment or (share := self._shares.get(number)) is None:
            return
        if news.definition_offset >= 0:
            await self._registry.reached(news.definition_offset)
        live = self._definitions.live()
        if news.definition_offset < 0 or _is_uncounted(share, live, news.segment):
            await self._begin(share, live, news.segment, news.trace_id)

    def _ruled(self, kind: str, _name: str, _entry: Entry | None) -> None:
        """The rule of a trait changed: whoever asks for the trait is to be recounted, at the next turn."""
        if kind == TRAIT:
            self._reconcile_at = 0.0

    async def _reconcile(self) -> None:
        """Begin the recounts that nobody has told about."""
        if (moment := asyncio.get_running_loop().time()) < self._reconcile_at:
            return
        self._reconcile_at = moment + RECONCILE_SECONDS
        live = self._definitions.live()
        for share in self._shares.values():
            for segment in share.recounts.known.keys() | live.segments.keys():
                if _is_uncounted(share, live, segment):
                    await self._begin(share, live, segment, "")

    async def _begin(self, share: Share, live: Live, segment: str, trace_id: str) -> None:
        log.info("recount.begins", segment=segment, partition=share.number)
        await self._note(share, segment, Recount(_fingerprint(live, segment), trace_id=trace_id or new_trace_id()))

    async def _recount(self) -> bool:
        for share in self._shares.values():
            if (waiting := share.recounts.next()) is not None:
                await self._recount_page(share, *waiting)
                return True
        return False

    async def _recount_page(self, share: Share, segment: str, recount: Recount) -> None:
        live, now = self._definitions.live(), self._clock.now()
        if recount.fingerprint != _fingerprint(live, segment) or segment in live.unreadable:
            await self._note(share, segment, Recount(STALE, done=True))
            return
        if recount.fingerprint == DELETED:
            after, ids = await share.members(segment, recount.after, count=self._batch)
            standings = dict.fromkeys(ids, NOWHERE)
        else:
            after, ids = await self._page(share.number, recount.after)
            standings = await self._sweep.standings({segment: live.segments[segment]}, ids, now)
        touched = [TouchedProfile(one, recount.trace_id, now, "definition") for one in ids]
        following = structs.replace(recount, after=after, done=not after)
        found = Pass(standings, live, now, only=segment)
        await self._apply(share, touched, found, lambda write: share.recounts.set(write, segment, following))

    async def _note(self, share: Share, segment: str, recount: Recount) -> None:
        await share.write(lambda write: share.recounts.set(write, segment, recount))

    async def _history(self, number: int) -> dict[str, Sequences]:
        """The last sequences of a partition's profiles, as the warehouse has them."""
        place = {"partitions": self._log.partitions(PROFILES_TOUCHED), "partition": number}
        rows = await self._warehouse.rows(QUERIES["sequences_of_partition"], place)
        return {str(one): dict(zip(segments, sequences, strict=True)) for one, segments, sequences in rows}

    async def _page(self, number: int, after: str) -> tuple[str, list[str]]:
        """A page of the partition's profiles, and where the next one begins ('' at the end)."""
        partitions = self._log.partitions(PROFILES_TOUCHED)
        place = {"after": after or NOBODY, "partitions": partitions, "partition": number, "limit": self._batch}
        ids = [str(one) for (one,) in await self._warehouse.rows(QUERIES["profiles_of_partition"], place)]
        return (ids[-1] if len(ids) == self._batch else ""), ids


def _fingerprint(live: Live, segment: str) -> str:
    return live.segments[segment].fingerprint if segment in live.segments else DELETED


def _is_uncounted(share: Share, live: Live, segment: str) -> bool:
    """Whether the definition in force was not evaluated over all profiles yet, nor is being so."""
    known = share.recounts.known.get(segment)
    return segment not in live.unreadable and (known is None or known.fingerprint != _fingerprint(live, segment))


def _read(message: Message) -> ProfilesTouched | None:
    try:
        return decode_touched(message.value)
    except MsgspecError as error:
        log.error(
            "message.unreadable",
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            reason=str(error),
        )
        return None


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        log.error("profile.unreadable")
        return False
    return True
