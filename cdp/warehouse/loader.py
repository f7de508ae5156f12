"""The loader: what the log brings for keeping goes into ClickHouse, then those who evaluate profiles are told.

    events.resolved, events.quarantined, plans.violated, identity.changes, segments.changes, deliveries
        └─► rows ─► one insert per table and turn ─► [profiles.touched] ─► commit

One turn:

1. sort      records into rows by table, and into the profiles that they are about
2. skip      events whose place in events.raw is stored already; of the others some are looked at for the catalogue
3. hold      the profiles: from here on nobody is shown them as they were read before (cdp.cache)
4. insert    all tables; an event that ClickHouse refuses is set aside alone, in `quarantine` and on events.quarantined
5. touch     profiles.touched, also for what was skipped: a crash may have come between 4 and 5

`events` gets each place of events.raw exactly once. A partition newly assigned, or one whose last turn failed, may hold
more than was committed: places up to the last one stored are read back and skipped. After that the loader knows how far
it is, and skips what the resolver repeats after a crash of its own. All other tables replace a repeated row by itself.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Coroutine, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple, TypeVar

import structlog
from msgspec import MsgspecError, structs
from redis.asyncio import Redis
from redis.exceptions import RedisError

from cdp.anchors import owners_of
from cdp.cache import Cache
from cdp.errors import PermanentError, TransientError
from cdp.records import (
    AnchorAssigned,
    DeviceSeen,
    IdentityChange,
    LinkChanged,
    ObservationAdded,
    ProfileChanged,
    ProfilesTouched,
    QuarantinedBatch,
    ResolvedEvent,
    TouchedProfile,
    ValueJudged,
    decode_deliveries,
    decode_identity,
    decode_quarantined,
    decode_resolved,
    decode_segments,
    decode_violations,
    encode,
    partition_of,
)
from cdp.service import Offer, Platform
from cdp.streams.base import Draft, Log, Message, Partition
from cdp.topics import (
    DELIVERIES,
    EVENTS_QUARANTINED,
    EVENTS_RESOLVED,
    IDENTITY_CHANGES,
    PLANS_VIOLATED,
    PROFILES_TOUCHED,
    SEGMENTS_CHANGES,
    Topic,
)
from cdp.warehouse.base import BLOCK_BYTES, BLOCK_ROWS, QUERIES, ROWS_REFUSED, Warehouse
from cdp.warehouse.catalogue import Learner
from cdp.warehouse.rows import (
    TABLES,
    CatalogueRow,
    DeliveryRow,
    EventRow,
    QuarantineRow,
    Row,
    SegmentChangeRow,
    TraitRow,
    ViolationRow,
    change_rows,
    delivery_row,
    encode_rows,
    event_row,
    latest_traits,
    quarantine_row,
    refused_event,
    segment_row,
    trait_rows,
    violation_row,
)
from cdp.worker import Worker

log = structlog.get_logger(__name__)

T = TypeVar("T")

# Records a turn. A call of ClickHouse costs about 5 ms whatever it holds, so a turn takes all that waits.
LIMIT = 10_000
# Seconds between the beginnings of two turns. The first event after a rest is stored at once; under a steady trickle
# this bounds the number of parts that ClickHouse must merge.
PACE = 0.1
# Seconds that giving partitions up waits for the turn under way, so that the next owner reads back what is final.
PATIENCE = 20.0
# Seconds that what was learnt for the catalogue may wait, unless it is new.
LEARNT_WAITS = 1.0

READS = (EVENTS_RESOLVED, EVENTS_QUARANTINED, PLANS_VIOLATED, IDENTITY_CHANGES, SEGMENTS_CHANGES, DELIVERIES)

Place = tuple[int, int]
NOWHERE: Place = (-1, -1)


class Refused(NamedTuple):
    """An event that cannot be stored; `partition` is that of events.raw."""

    partition: int
    event: ResolvedEvent
    reason: str


class Progress(NamedTuple):
    """How far a partition of events.raw is stored: up to `done`, and beyond it maybe up to the offset `doubtful`."""

    done: Place
    doubtful: int


class Turn:
    """The records of one turn, sorted. What is new is told of an anchor, or of a profile where that is known."""

    def __init__(self, messages: Iterable[Message]) -> None:
        self.events: dict[int, list[ResolvedEvent]] = defaultdict(list)
        self.rows: dict[type[Row], list[Row]] = defaultdict(list)
        self.refused: list[Refused] = []
        self.anchors: dict[str, TouchedProfile] = {}
        self.profiles: dict[str, TouchedProfile] = {}
        self.members: set[str] = set()  # profiles that came into segments or went out
        self._traits: list[TraitRow] = []
        for message in messages:
            ADD[message.topic](self, message)
        self.rows[TraitRow] = latest_traits(self._traits)

    def add_events(self, message: Message) -> None:
        """events.resolved."""
        for event in decode_resolved(message.value).events:
            try:
                self._traits += trait_rows(event)
            except (MsgspecError, UnicodeDecodeError) as error:
                self.refused.append(Refused(message.partition, event, f"The traits cannot be read: {error}"))
                continue
            self.events[message.partition].append(event)
            news = TouchedProfile(event.anchor_id, event.trace_id, event.received_at)
            self.anchors[event.anchor_id] = _newer(self.anchors.get(event.anchor_id), news)

    def add_quarantined(self, message: Message) -> None:
        """events.quarantined."""
        self.rows[QuarantineRow] += map(quarantine_row, decode_quarantined(message.value).events)

    def add_violations(self, message: Message) -> None:
        """plans.violated."""
        self.rows[ViolationRow] += map(violation_row, decode_violations(message.value).violations)

    def add_identity(self, message: Message) -> None:
        """identity.changes."""
        for change in decode_identity(message.value).changes:
            for row in change_rows(change):
                self.rows[type(row)].append(row)
            self._touch(change)

    def add_segments(self, message: Message) -> None:
        """segments.changes."""
        changes = decode_segments(message.value).changes
        self.rows[SegmentChangeRow] += map(segment_row, changes)
        self.members.update(change.profile_id for change in changes)

    def add_deliveries(self, message: Message) -> None:
        """deliveries."""
        self.rows[DeliveryRow] += map(delivery_row, decode_deliveries(message.value).deliveries)

    def _touch(self, change: IdentityChange) -> None:
        match change:
            case AnchorAssigned():
                touched = [change.profile_id, change.previous_id, change.sure, change.previous_sure]
                at, known = change.at, self.profiles
            case ProfileChanged():
                touched, at, known = [change.profile_id, change.other_id], change.at, self.profiles
            case LinkChanged():
                touched, at, known = [change.left, change.right], change.at, self.anchors
            case ObservationAdded():
                touched, at, known = [change.anchor_id], change.first_seen, self.anchors
            case DeviceSeen() | ValueJudged():
                return  # whose the anchors are, their assignments tell
        for key in filter(None, touched):
            known[key] = _newer(known.get(key), TouchedProfile(key, change.trace_id, at, "identity"))


ADD = {
    EVENTS_RESOLVED.name: Turn.add_events,
    EVENTS_QUARANTINED.name: Turn.add_quarantined,
    PLANS_VIOLATED.name: Turn.add_violations,
    IDENTITY_CHANGES.name: Turn.add_identity,
    SEGMENTS_CHANGES.name: Turn.add_segments,
    DELIVERIES.name: Turn.add_deliveries,
}


class Loader:
    """The handler behind the role."""

    group = "loader"
    topics: Sequence[Topic] = READS

    def __init__(self, log: Log, warehouse: Warehouse, state: Redis, prefix: str, *, pace: float = PACE) -> None:
        """`prefix`: of the state's keys; `pace`: seconds between the beginnings of two turns."""
        self._log = log
        self._warehouse = warehouse
        self._state = state
        self._prefix = prefix
        self._cache = Cache(state, prefix)
        self._pace = pace
        self._progress: dict[int, Progress] = {}
        self._learner = Learner()
        self._learnt_at = 0.0
        self._later: asyncio.Task[None] | None = None
        self._busy = asyncio.Lock()

    async def assigned(self, places: Sequence[Partition]) -> Mapping[Partition, int]:
        """Partitions gained: what of them is stored is read back when their first events come."""
        self._forget(places)
        return {}

    async def revoked(self, places: Sequence[Partition]) -> None:
        """Partitions lost: the turn under way ends first, so that the next owner reads back what is final."""
        try:
            async with asyncio.timeout(PATIENCE), self._busy:
                self._forget(places)
                await self._store_learnt()
        except TimeoutError:
            log.warning("loader.turn_outlives_its_partitions")
            self._forget(places)

    async def handle(self, messages: Sequence[Message]) -> None:
        """Store the records of these messages and tell whose profiles they touch.

        Raises `TransientError` when the warehouse, the state or the log is away: call again with the same messages.
        """
        now = asyncio.get_running_loop().time
        begun = now()
        async with self._busy:
            try:
                await self._load(messages)
            except BaseException:
                self._progress.clear()  # an insert may have been stored or not: read back before the next
                self._learner.forget()
                raise
            await asyncio.sleep(begun + self._pace - now())

    def _forget(self, places: Iterable[Partition]) -> None:
        for place in places:
            if place.topic == EVENTS_RESOLVED.name:
                self._progress.pop(place.number, None)

    async def _load(self, messages: Sequence[Message]) -> None:
        turn = Turn(messages)  # 1. sort
        fresh = {  # 2. skip
            partition: await self._fresh(partition, events) for partition, events in turn.events.items()
        }
        turn.rows[CatalogueRow] = self._learnt(chain.from_iterable(fresh.values()))
        touched = await self._touched(turn)
        held = touched.keys() | turn.members
        await _answer(self._cache.hold(held))  # 3. hold
        refused = turn.refused + await self._store(fresh, turn.rows)  # 4. insert
        if refused:
            await self._set_aside(refused)
        await _answer(self._cache.release(held))
        await self._touch(touched)  # 5. touch
        for partition, events in turn.events.items():
            self._advance(partition, events)

    async def _fresh(self, partition: int, events: Sequence[ResolvedEvent]) -> list[ResolvedEvent]:
        """The events whose places are not stored yet."""
        if partition not in self._progress:
            self._progress[partition] = await self._read_progress(partition)
        done, doubtful = self._progress[partition]
        ahead = []
        for event in events:
            if _place(event) > done:
                done = _place(event)
                ahead.append(event)
        stored = await self._stored(partition, [event.offset for event in ahead if event.offset <= doubtful])
        # The message id too, so that a log begun anew over an old warehouse loses nothing.
        return [event for event in ahead if (event.offset, event.index, event.id) not in stored]

    async def _read_progress(self, partition: int) -> Progress:
        await self._warehouse.settle()
        last = await self._warehouse.value(QUERIES["last_stored"], {"partition": partition})
        return Progress(NOWHERE, -1 if last is None else last)

    async def _stored(self, partition: int, offsets: Sequence[int]) -> set[tuple[int, int, str]]:
        if not offsets:
            return set()
        bounds = {"partition": partition, "first": offsets[0], "last": offsets[-1]}
        places = await self._warehouse.rows(QUERIES["stored_places"], bounds)
        return {(offset, index, message_id) for offset, index, message_id in places}

    def _advance(self, partition: int, events: Sequence[ResolvedEvent]) -> None:
        done, doubtful = self._progress[partition]
        self._progress[partition] = Progress(max(done, *map(_place, events)), doubtful)

    async def _store(
        self, fresh: Mapping[int, Sequence[ResolvedEvent]], others: Mapping[type[Row], Sequence[Row]]
    ) -> list[Refused]:
        """Insert everything, table beside table, but events last: whoever sees an event sees all that it brought.

        Returns the events that ClickHouse refused.
        """
        events = {(partition, *_place(event)): event for partition, some in fresh.items() for event in some}
        event_rows = [event_row(partition, event) for (partition, _, _), event in events.items()]
        rest = await _all(*(self._insert(kind, some) for kind, some in others.items()))
        refused = await self._insert(EventRow, event_rows)
        for row, reason in chain.from_iterable(rest):
            # A trait is in its event as well, and the catalogue tells of events: any other row is our own making, and
            # must not be passed over.
            if not isinstance(row, TraitRow | CatalogueRow):
                raise PermanentError(f"The warehouse refuses a row of {TABLES[type(row)]}: {reason}")
            log.error("loader.row_refused", table=TABLES[type(row)])
        return [
            Refused(row.log_partition, events[row.log_partition, row.log_offset, row.log_index], reason)
            for row, reason in refused
            if isinstance(row, EventRow)
        ]

    def _learnt(self, events: Iterable[ResolvedEvent]) -> list[Row]:
        """Learn from events for the catalogue. Returns what is to be stored now; what else there is is stored later."""
        now = asyncio.get_running_loop().time()
        self._learner.learn(events)
        if self._learner.urgent or now - self._learnt_at >= LEARNT_WAITS:
            self._learnt_at = now
            return list(self._learner.take())
        if self._learner.waits and (self._later is None or self._later.done()):
            self._later = asyncio.create_task(self._store_later(), name="loader:catalogue")
        return []

    async def _store_later(self) -> None:
        await asyncio.sleep(LEARNT_WAITS)
        async with self._busy:
            await self._store_learnt()

    async def _store_learnt(self) -> None:
        """Store what waits. Where that fails, it is learnt anew from later events: nobody waits for it."""
        try:
            await self._insert(CatalogueRow, list(self._learner.take()))
        except (TransientError, PermanentError) as error:
            log.warning("loader.catalogue_unstored", reason=error.message)
            self._learner.forget()

    async def _insert(self, kind: type[Row], some: Sequence[Row]) -> list[tuple[Row, str]]:
        """Insert rows of a kind, halving what is too large or refused. Returns the refused rows with the reason."""
        if not some:
            return []
        lines = encode_rows(some)
        if len(some) > 1 and (len(some) > BLOCK_ROWS or len(lines) > BLOCK_BYTES):
            return await self._insert_halves(kind, some)
        try:
            await self._warehouse.insert(TABLES[kind], kind.__struct_fields__, lines)
        except PermanentError as error:
            if error.code != ROWS_REFUSED:
                raise
            if len(some) > 1:
                return await self._insert_halves(kind, some)
            return [(some[0], error.message)]
        return []

    async def _insert_halves(self, kind: type[Row], some: Sequence[Row]) -> list[tuple[Row, str]]:
        middle = len(some) // 2
        return await self._insert(kind, some[:middle]) + await self._insert(kind, some[middle:])

    async def _set_aside(self, refused: Sequence[Refused]) -> None:
        """Keep refused events in `quarantine`, for the record on events.quarantined too."""
        partitions = self._log.partitions(EVENTS_QUARANTINED)
        events = [(each.partition % partitions, refused_event(*each)) for each in refused]
        await self._insert(QuarantineRow, [quarantine_row(event) for _, event in events])
        await self._log.append(
            [
                Draft(EVENTS_QUARANTINED.name, partition, encode(QuarantinedBatch([event])), 1, event.source)
                for partition, event in events
            ]
        )
        log.warning("loader.events_refused", events=len(events))

    async def _touched(self, turn: Turn) -> dict[str, TouchedProfile]:
        """Everybody whom something is new about, in both views. Who gets an anchor later is told of then."""
        touched = dict(turn.profiles)
        owners = await _answer(owners_of(self._state, self._prefix, list(turn.anchors)))
        for owner, news in zip(owners, turn.anchors.values(), strict=True):
            for one in set(owner):
                touched[one] = _newer(touched.get(one), structs.replace(news, profile_id=one))
        return touched

    async def _touch(self, touched: Mapping[str, TouchedProfile]) -> None:
        """Tell of these profiles, one message per partition."""
        partitions = self._log.partitions(PROFILES_TOUCHED)
        shares: dict[int, list[TouchedProfile]] = defaultdict(list)
        for profile_id, news in touched.items():
            shares[partition_of(profile_id, partitions)].append(news)
        await self._log.append(
            [
                Draft(PROFILES_TOUCHED.name, partition, encode(ProfilesTouched(share)), len(share))
                for partition, share in shares.items()
            ]
        )


def _place(event: ResolvedEvent) -> Place:
    return event.offset, event.index


def _newer(known: TouchedProfile | None, news: TouchedProfile) -> TouchedProfile:
    return news if known is None or news.at >= known.at else known


async def _answer(asked: Awaitable[T]) -> T:
    """What the state answers. Raises `TransientError` when it is away."""
    try:
        return await asked
    except RedisError as error:
        raise TransientError(f"The state is away or busy: {error}") from error


async def _all(*inserts: Coroutine[Any, Any, T]) -> list[T]:
    """Every outcome, once all have ended: the next turn must not meet them. Raises the first failure."""
    outcomes = await asyncio.gather(*inserts, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]


def _build(platform: Platform) -> Worker:
    loader = Loader(platform.log, platform.warehouse, platform.state, platform.settings.state.prefix)
    return Worker(platform.log, loader, limit=LIMIT)


LOADER = Offer(_build, needs=frozenset({"state", "warehouse"}), reads=READS)
