"""The resolver: what sources sent becomes events of somebody.

    [events.raw] ─► decode ─► extract ─► drop duplicates ─► graph ─► [events.resolved]
                                 └───────────────┴─► [events.quarantined]  └─► [identity.changes]

One turn:

1. read      the messages
2. extract   what each event says, and of whom
3. judge     which of them were seen before; from now on the new ones were
4. resolve   let the graph know what is new; what that changes waits in the outbox
5. append    resolved events, what waits in the outbox, what cannot be resolved; until durable
6. count     what became of the events, with the offset up to which that is done
(7. commit   is the worker's)

Every step may be repeated: an event from the same place is judged as it was, the graph knows facts as a set, the loader
stores each place once, and counting skips what was counted.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

import structlog
from msgspec import MsgspecError, structs
from redis.asyncio import Redis
from redis.exceptions import RedisError

from cdp import conservation
from cdp.clock import Clock
from cdp.enrichers import Enrichers
from cdp.errors import TransientError
from cdp.records import (
    QuarantinedBatch,
    QuarantinedEvent,
    ResolvedBatch,
    ResolvedEvent,
    decode_raw,
    encode,
)
from cdp.settings import Settings
from cdp.state import Outbox
from cdp.streams.base import Draft, Log, Message, Partition
from cdp.topics import EVENTS_QUARANTINED, EVENTS_RAW, EVENTS_RESOLVED, IDENTITY_CHANGES, Topic
from identity import ledger, metrics
from identity.dedupe import Memory, Taken
from identity.extract import Extracted, Extractor, Refused
from identity.graph import Graph
from identity.keys import BY_HAND
from identity.observations import Anchor, to_text
from identity.policy import Policy
from identity.recall import Recall

log = structlog.get_logger(__name__)

MESSAGE_BYTES = 1_000_000  # about how large a message of events.resolved may become
EVENT_BYTES = 400  # of an event beside its properties, context and traits
NO_ENRICHERS = Enrichers()
MEMORY = 1 << 14  # texts of ids remembered: most events are of anchors that come again

REUSED = Refused(
    "message_id_reused",
    "Another event of this source, which says something else, had its messageId before. Replayed, it gets a new one.",
    "messageId",
)


_text = lru_cache(MEMORY)(to_text)


class Turn:
    """The events of one turn and what became of them."""

    def __init__(self) -> None:
        self.taken: list[Taken] = []
        self.resolved: list[tuple[Taken, Extracted]] = []
        self.refused: list[tuple[Taken, Refused]] = []
        self.unreadable: list[tuple[int, QuarantinedEvent]] = []
        self.accepted: dict[int, Counter[str]] = defaultdict(Counter)
        self.duplicate: dict[int, Counter[str]] = defaultdict(Counter)


class Resolver:
    """The handler behind the role."""

    group = "resolver"
    topics: Sequence[Topic] = (EVENTS_RAW,)

    def __init__(
        self, log: Log, state: Redis, settings: Settings, clock: Clock, enrichers: Enrichers = NO_ENRICHERS
    ) -> None:
        """Raises `MisconfiguredError` for settings that make no sense."""
        policy = Policy.of(settings.identity)
        prefix = settings.state.prefix
        self._log = log
        self._state = state
        self._prefix = prefix
        self._graph = Graph(state, prefix, policy, clock, partitions=log.partitions(IDENTITY_CHANGES))
        self._recall = Recall(self._graph)
        self._extractor = Extractor(policy, enrichers, depth=settings.collector.max_depth)
        self._memory = Memory(state, self._graph.where, clock, settings.identity.dedupe_days)
        self._applied: dict[int, int] = {}
        self._unsent: set[int | str] = set()  # partitions whose outbox may hold something

    async def assigned(self, places: Sequence[Partition]) -> Mapping[Partition, int]:
        """Partitions gained: what an earlier owner left in the outbox is appended.

        Where the state knows less than was committed (it lost its last moments), the reading starts where it does know.
        """
        self._recall.forget()
        owners: list[int | str] = [*(place.number for place in places), BY_HAND]
        self._unsent.update(owners)
        await self._append(Turn(), {}, owners)
        if await self._graph.knows_other_rules():
            log.warning("resolver.rules_changed", remedy="cdp identity rebuild --apply resolves everybody anew")
        applied = await conservation.applied(self._state, self._prefix)
        committed = await self._log.committed(self.group, EVENTS_RAW)
        starts: dict[Partition, int] = {}
        for place in places:
            known = applied.get(place.number, 0)
            self._applied[place.number] = known
            if known < committed.get(place.number, 0):
                log.warning("resolver.state_is_behind", partition=place.number, known=known)
                starts[place] = known
        return starts

    async def revoked(self, places: Sequence[Partition]) -> None:
        """Partitions lost."""
        for place in places:
            self._applied.pop(place.number, None)

    async def handle(self, messages: Sequence[Message]) -> None:
        """Resolve the events of these messages. Raises `TransientError` when the state or the log is away."""
        begun = time.perf_counter()
        try:
            await self._resolve(messages)
        except RedisError as error:
            raise TransientError(f"The state is away or busy: {error}") from error
        metrics.TURN.observe(time.perf_counter() - begun)

    async def _resolve(self, messages: Sequence[Message]) -> None:
        turn = Turn()
        for message in messages:
            self._read(message, turn)
        self._extract(turn)
        await self._judge(turn)
        profiles = await self._let_know(turn, messages[0].partition)
        await self._append(turn, profiles, {message.partition for message in messages})
        await self._count(turn, messages)

    # 1. read

    def _read(self, message: Message, turn: Turn) -> None:
        try:
            batches = decode_raw(message.value)
        except MsgspecError as error:
            turn.unreadable.append((message.partition, _unreadable(message, str(error))))
            return
        events = ((event, batch) for batch in batches for event in batch.events)
        turn.taken += [
            Taken(message.partition, message.offset, number, event, batch)
            for number, (event, batch) in enumerate(events)
        ]

    # 2. extract

    def _extract(self, turn: Turn) -> None:
        for taken in turn.taken:
            found = self._extractor.extract(taken.event, taken.batch)
            if isinstance(found, Refused):
                turn.refused.append((taken, found))
            else:
                turn.resolved.append((taken, found))

    # 3. judge

    async def _judge(self, turn: Turn) -> None:
        """Leave the new ones. What cannot be resolved is not remembered: it may come corrected under the same id."""
        candidates, turn.resolved = turn.resolved, []
        verdicts = await self._memory.judge([taken for taken, _ in candidates])
        accepted, duplicate = list[Taken](), list[Taken]()
        for one, verdict in zip(candidates, verdicts, strict=True):
            if verdict == "reused":
                turn.refused.append((one[0], REUSED))
                continue
            accepted.append(one[0])
            if verdict == "duplicate":
                duplicate.append(one[0])
            else:
                turn.resolved.append(one)
        self._tally(turn.accepted, accepted)
        self._tally(turn.duplicate, duplicate)
        metrics.DUPLICATES.inc(len(duplicate))
        metrics.REUSED.inc(len(candidates) - len(accepted))

    # 4. resolve

    async def _let_know(self, turn: Turn, partition: int) -> dict[Anchor, bytes]:
        """The profile of each anchor, after the graph has heard what is new."""
        profiles = await self._recall.profiles([found.anchor for _, found in turn.resolved])
        facts = self._recall.news(turn.resolved, profiles)
        if facts:
            self._unsent.add(partition)
            profiles |= await self._graph.add(facts, self._outbox(partition))
            self._recall.learn(facts)
        return profiles

    # 5. append

    async def _append(self, turn: Turn, profiles: Mapping[Anchor, bytes], owners: Iterable[int | str]) -> None:
        drafts = list(_resolved_drafts(turn.resolved, profiles))
        aside = [(taken.partition, _refused(taken, why)) for taken, why in turn.refused] + turn.unreadable
        drafts += _quarantined_drafts(aside, self._log.partitions(EVENTS_QUARANTINED))
        unsent = [owner for owner in owners if owner in self._unsent]
        waiting = {owner: await self._outbox(owner).waiting() for owner in unsent}
        drafts += [ledger.draft(value) for values in waiting.values() for value in values]
        if drafts:
            await self._log.append(drafts)
        for owner, values in waiting.items():
            await self._outbox(owner).drop(values)
            self._unsent.discard(owner)

    def _outbox(self, owner: int | str) -> Outbox:
        return Outbox(self._state, self._graph.where.outbox(owner))

    # 6. count

    async def _count(self, turn: Turn, messages: Sequence[Message]) -> None:
        ends = {message.partition: message.offset + 1 for message in messages}
        async with self._state.pipeline(transaction=True) as pipe:
            for partition, end in ends.items():
                conservation.count(
                    pipe,
                    self._prefix,
                    partition,
                    end,
                    accepted=turn.accepted[partition],
                    duplicate=turn.duplicate[partition],
                )
            await pipe.execute()
        for partition, end in ends.items():
            self._applied[partition] = max(end, self._applied.get(partition, 0))

    def _tally(self, tally: Mapping[int, Counter[str]], events: Iterable[Taken]) -> None:
        """Count events, but for those that were counted before. What is set aside is counted where it lies."""
        messages = Counter((taken.partition, taken.offset, taken.batch.source) for taken in events)
        for (partition, offset, source), count in messages.items():
            if offset >= self._applied.get(partition, 0):
                tally[partition][source] += count


def _unreadable(message: Message, reason: str) -> QuarantinedEvent:
    """A message that cannot be read at all, as it is kept aside: no collector of ours writes one."""
    log.error("resolver.undecodable", partition=message.partition, offset=message.offset)
    return QuarantinedEvent(
        id=_aside_id(message.partition, message.offset, 0),
        source=message.source,
        trace_id="",
        received_at=message.timestamp,
        code="undecodable",
        reason=f"The message of events.raw cannot be read: {reason}.",
        body=message.value.decode(errors="backslashreplace"),
    )


def _aside_id(partition: int, offset: int, number: int) -> str:
    """The same each time the event at this place is set aside."""
    return f"{partition}-{offset}-{number}"


class _Run:
    """Events of one partition and one source that follow each other, as they become a message."""

    def __init__(self, partition: int, source: str) -> None:
        self.partition = partition
        self.source = source
        self.events: list[ResolvedEvent] = []
        self.size = 0

    @property
    def draft(self) -> Draft:
        """The message."""
        value = encode(ResolvedBatch(self.events))
        return Draft(EVENTS_RESOLVED.name, self.partition, value, len(self.events), self.source)


def _resolved_drafts(resolved: Iterable[tuple[Taken, Extracted]], profiles: Mapping[Anchor, bytes]) -> Iterator[Draft]:
    """Messages of events.resolved, in the order of events.raw. A message is of one source and of bounded size."""
    runs: dict[int, _Run] = {}
    for taken, found in resolved:
        partition, source = taken.partition, taken.batch.source
        size = EVENT_BYTES + len(found.properties) + len(found.context) + len(found.traits)
        run = runs.get(partition)
        if run is None or run.source != source or run.size + size > MESSAGE_BYTES:
            if run is not None:
                yield run.draft
            run = runs[partition] = _Run(partition, source)
        run.events.append(_resolved(taken, found, profiles[found.anchor]))
        run.size += size
    for run in runs.values():
        yield run.draft


def _quarantined_drafts(set_aside: Iterable[tuple[int, QuarantinedEvent]], partitions: int) -> Iterator[Draft]:
    groups: dict[tuple[int, str], list[QuarantinedEvent]] = defaultdict(list)
    for partition, event in set_aside:
        groups[partition % partitions, event.source].append(event)
    for (partition, source), events in groups.items():
        yield Draft(EVENTS_QUARANTINED.name, partition, encode(QuarantinedBatch(events)), len(events), source)


def _resolved(taken: Taken, found: Extracted, profile: bytes) -> ResolvedEvent:
    return ResolvedEvent(
        offset=taken.offset,
        index=taken.number,
        source=taken.batch.source,
        trace_id=taken.batch.trace_id,
        received_at=taken.batch.received_at,
        id=taken.event.id,
        type=taken.event.type,
        at=found.at,
        anchor_id=_text(found.anchor),
        profile_id=_text(profile),
        name=found.name,
        user_id=found.user_id,
        anonymous_id=found.anonymous_id,
        group_id=found.group_id,
        properties=found.properties,
        context=found.context,
        traits=found.traits,
        verified=bool(taken.event.verified),
    )


def _refused(taken: Taken, refused: Refused) -> QuarantinedEvent:
    """An event that cannot be resolved, as it is kept aside: the same each time it is refused."""
    batch = taken.batch
    # Without its messageId, since that is another one's: a replay then goes by the id given here.
    event = structs.replace(taken.event, id="") if refused is REUSED else taken.event
    around = {
        "ip": batch.ip,
        "context": batch.context,
        "integrations": batch.integrations,
        "location": batch.location,
    }
    beside = {name: part for name, part in around.items() if part is not None and len(part)}
    return QuarantinedEvent(
        id=_aside_id(taken.partition, taken.offset, taken.number),
        source=batch.source,
        trace_id=batch.trace_id,
        received_at=batch.received_at,
        code=refused.code,
        reason=refused.reason,
        body=event.body.decode(errors="backslashreplace"),
        path=refused.path,
        message_id=taken.event.id,
        sent_at=batch.sent_at,
        beside=encode({"type": taken.event.type} | beside).decode(),
        changed_at=batch.received_at,
    )
