"""The resolver: a turn from events.raw to events.resolved, whatever is repeated and wherever it is cut."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest
from redis.asyncio import Redis

from cdp import clock, conservation
from cdp.errors import TransientError
from cdp.records import (
    AnchorAssigned,
    DeviceSeen,
    IdentityChange,
    ObservationAdded,
    QuarantinedEvent,
    RawBatch,
    RawEvent,
    ResolvedEvent,
    decode_identity,
    decode_quarantined,
    decode_resolved,
    encode,
)
from cdp.settings import Settings
from cdp.streams.base import Draft, Log, Message, Partition
from cdp.testing import START, FrozenClock, accepted_event
from cdp.topics import EVENTS_QUARANTINED, EVENTS_RAW, EVENTS_RESOLVED, IDENTITY_CHANGES, Topic
from identity.resolver import MESSAGE_BYTES, Resolver
from identity.testing import live

PLACES = [Partition(EVENTS_RAW.name, number) for number in range(4)]


def event(number: int, **body: Any) -> RawEvent:
    """An event; `kind` is its type."""
    return accepted_event({"type": body.pop("kind", "track"), **body}, body.pop("id", f"m-{number}"))


def raw(events: Sequence[RawEvent], *, source: str = "web", partition: int = 0) -> Draft:
    """A message of events.raw."""
    batch = RawBatch(source, "trace", START, list(events))
    return Draft(EVENTS_RAW.name, partition, encode(batch), len(events), source)


class Walk:
    """A log, a state, and resolvers on them."""

    def __init__(self, log: Log, state: Redis, settings: Settings, clock: FrozenClock) -> None:
        self.log = log
        self.state = state
        self.settings = settings
        self._clock = clock

    def resolver(self, log: Any = None, state: Any = None) -> Resolver:
        """Another process."""
        return Resolver(log or self.log, state or self.state, self.settings, self._clock)

    async def collect(self, *drafts: Draft) -> list[Message]:
        """Append to events.raw, and read the messages back."""
        offsets = await self.log.append(drafts)
        return [
            Message(draft.topic, draft.partition, offset, START, draft.value, draft.records, draft.source)
            for draft, offset in zip(drafts, offsets, strict=True)
        ]

    async def read(self, topic: Topic) -> list[Message]:
        """Everything on a topic."""
        reader = await self.log.reader([topic], start="earliest")
        found: list[Message] = []
        while batch := await reader.read(limit=10_000, timeout=0.1):
            found += batch
        await reader.close()
        return found

    async def resolved(self) -> list[ResolvedEvent]:
        """events.resolved."""
        return [one for message in await self.read(EVENTS_RESOLVED) for one in decode_resolved(message.value).events]

    async def quarantined(self) -> list[QuarantinedEvent]:
        """events.quarantined."""
        messages = await self.read(EVENTS_QUARANTINED)
        return [one for message in messages for one in decode_quarantined(message.value).events]

    async def changes(self) -> list[IdentityChange]:
        """identity.changes."""
        messages = await self.read(IDENTITY_CHANGES)
        return [one for message in messages for one in decode_identity(message.value).changes]

    async def counts(self) -> dict[str, int]:
        """What was counted, by outcome and source."""
        found = await self.state.hgetall(f"{self.settings.state.prefix}conservation:counts")
        return {field.decode(): int(value) for field, value in found.items()}


@pytest.fixture
def walk(log: Log, state: Redis, settings: Settings, clock: FrozenClock) -> Walk:
    """The parts that a resolver works on."""
    return Walk(log, state, settings, clock)


async def test_events_come_out_as_they_came_in(walk: Walk) -> None:
    """Each event keeps its place, source, trace and bytes; its profile and anchor are told."""
    messages = await walk.collect(
        raw([event(1, userId="lan", event="Order Completed", properties={"total": 1_850_000}), event(2, userId="lan")]),
        raw([event(3, anonymousId="d1", kind="page", name="Áo dài")], partition=2, source="app"),
    )
    await walk.resolver().handle(messages)
    found = {one.id: one for one in await walk.resolved()}
    assert {(one.id, one.offset, one.index, one.source) for one in found.values()} == {
        ("m-1", messages[0].offset, 0, "web"),
        ("m-2", messages[0].offset, 1, "web"),
        ("m-3", messages[1].offset, 0, "app"),
    }
    assert found["m-1"].name == "Order Completed"
    assert json.loads(bytes(found["m-1"].properties)) == {"total": 1_850_000}
    assert found["m-1"].profile_id == found["m-2"].profile_id == found["m-1"].anchor_id
    assert found["m-3"].anonymous_id == "d1"
    assert {message.partition for message in await walk.read(EVENTS_RESOLVED)} == {0, 2}


async def test_the_ledger_hears_of_everything_new(walk: Walk) -> None:
    """Observations, devices in use and assignments reach identity.changes, with the message that caused them."""
    await walk.resolver().handle(await walk.collect(raw([event(1, userId="lan", anonymousId="d1")])))
    told = await walk.changes()
    [observation] = [change for change in told if isinstance(change, ObservationAdded)]
    assert (observation.message_id, observation.trace_id, observation.source) == ("m-1", "trace", "web")
    assert [change.device for change in told if isinstance(change, DeviceSeen)] == ["anonymous_id:d1"]
    assert [change.anchor_id for change in told if isinstance(change, AnchorAssigned)] == [observation.anchor_id]


async def test_duplicates_are_dropped_and_counted(walk: Walk) -> None:
    """A message seen before is dropped, in the same request, a later one, or another process; counts agree."""
    one = event(1, userId="lan")
    await walk.resolver().handle(await walk.collect(raw([one, one]), raw([one])))
    await walk.resolver().handle(await walk.collect(raw([one, event(2, userId="lan")])))
    assert sorted(found.id for found in await walk.resolved()) == ["m-1", "m-2"]
    assert await walk.counts() == {"accepted:web": 5, "duplicate:web": 3}


async def test_a_bad_event_harms_no_neighbour(walk: Walk) -> None:
    """What cannot be resolved is set aside with its reason, under an id that stays, while its neighbours pass."""
    messages = await walk.collect(raw([event(1, userId="lan"), event(2, userId="null"), event(3, userId="hung")]))
    for _ in range(2):
        await walk.resolver().handle(messages)
    aside = await walk.quarantined()
    assert {one.id for one in aside} == {f"0-{messages[0].offset}-1"}
    assert {one.code for one in aside} == {"unidentifiable"}
    assert json.loads(aside[0].body) == {"type": "track", "messageId": "m-2", "userId": "null"}
    assert json.loads(aside[0].beside) == {"type": "track"}
    assert {one.id for one in await walk.resolved()} == {"m-1", "m-3"}
    assert await walk.counts() == {"accepted:web": 2}, "what lies on events.quarantined is counted there"


async def test_what_was_set_aside_may_come_again(walk: Walk) -> None:
    """An event that could not be resolved is no duplicate when it comes corrected under the same messageId."""
    await walk.resolver().handle(await walk.collect(raw([event(1, userId="null")])))
    await walk.resolver().handle(await walk.collect(raw([event(1, userId="lan")])))
    assert [one.id for one in await walk.resolved()] == ["m-1"]
    assert await walk.counts() == {"accepted:web": 1}


async def test_another_event_under_a_known_id_is_set_aside(walk: Walk) -> None:
    """Neither lost nor let in: it waits in quarantine, once however often it is read, and a replay gets another id."""
    mine, squatted = event(1, userId="lan", event="Order Paid"), event(1, userId="hung", event="Order Paid")
    await walk.resolver().handle(await walk.collect(raw([mine])))
    later = await walk.collect(raw([squatted, mine]))
    for _ in range(2):
        await walk.resolver().handle(later)
    assert [(one.id, one.user_id) for one in await walk.resolved()] == [("m-1", "lan")]
    assert await walk.counts() == {"accepted:web": 2, "duplicate:web": 1}, "what was set aside is counted there"
    [aside, again] = await walk.quarantined()
    assert aside == again
    assert (aside.code, aside.path, aside.message_id) == ("message_id_reused", "messageId", "m-1")
    body = json.loads(aside.body)
    assert "messageId" not in body
    replayed = event(1, id=aside.id, userId=body["userId"], event=body["event"])
    await walk.resolver().handle(await walk.collect(raw([replayed])))
    assert {one.id for one in await walk.resolved()} == {"m-1", aside.id}


async def test_a_verified_event_is_not_lost_to_a_squatter(walk: Walk) -> None:
    """An unverified event that took its id before does not suppress it, however often both are read."""
    squatter, owner = (event(1, userId="lan", properties={"total": total}) for total in (0, 100))
    owner.verified = True
    messages = await walk.collect(raw([squatter], partition=1), raw([owner, owner]), raw([squatter], partition=2))
    for _ in range(2):
        await walk.resolver().handle(messages)
    stored = [(one.offset, one.index, bytes(one.properties)) for one in await walk.resolved()]
    assert set(stored) == {(messages[0].offset, 0, b'{"total":0}'), (messages[1].offset, 0, b'{"total":100}')}
    assert await walk.counts() == {"accepted:web": 4, "duplicate:web": 2}


async def test_a_message_that_cannot_be_read_is_set_aside(walk: Walk) -> None:
    """Even bytes that no collector writes stop nothing."""
    broken = Draft(EVENTS_RAW.name, 0, b"\xff{", 1, "web")
    await walk.resolver().handle(await walk.collect(broken, raw([event(1, userId="lan")])))
    [aside] = await walk.quarantined()
    assert (aside.code, aside.source) == ("undecodable", "web")
    assert len(await walk.resolved()) == 1


async def test_messages_stay_small_and_in_order(walk: Walk) -> None:
    """A turn's events go out in messages of bounded size, each of one source, in the order of events.raw."""
    large = "x" * 300_000
    messages = await walk.collect(
        raw([event(n, userId="lan", properties={"text": large}) for n in range(8)]),
        raw([event(n, userId="lan") for n in range(8, 12)], source="pos"),
        raw([event(n, userId="lan") for n in range(12, 16)]),
    )
    await walk.resolver().handle(messages)
    written = await walk.read(EVENTS_RESOLVED)
    assert max(len(message.value) for message in written) < MESSAGE_BYTES
    assert [message.source for message in written] == ["web", "web", "web", "pos", "web"]
    assert [message.records for message in written] == [3, 3, 2, 4, 4]
    places = [(one.offset, one.index) for one in await walk.resolved()]
    assert places == sorted(places)


class FaultyLog:
    """A log whose appends fail: before they take effect, or after."""

    def __init__(self, log: Log, *, effect: bool) -> None:
        self._log = log
        self._effect = effect

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(self, drafts: Sequence[Draft]) -> list[int]:
        """Fail."""
        if self._effect:
            await self._log.append(drafts)
        raise TransientError("no")


@pytest.mark.parametrize("effect", [False, True])
async def test_what_the_log_refused_is_told_the_next_time(walk: Walk, effect: bool) -> None:
    """The graph knows already, the log does not: the repeat appends the events and what waited in the outbox."""
    messages = await walk.collect(raw([event(1, userId="lan", anonymousId="d1"), event(2, anonymousId="d1")]))
    with pytest.raises(TransientError):
        await walk.resolver(FaultyLog(walk.log, effect=effect)).handle(messages)
    successor = walk.resolver()
    await successor.assigned(PLACES)
    told = [change for change in await walk.changes() if isinstance(change, AnchorAssigned)]
    assert len(told) == (4 if effect else 2), "repeated where nobody knows whether it was heard"
    await successor.handle(messages)
    assert {one.id for one in await walk.resolved()} == {"m-1", "m-2"}
    assert await walk.counts() == {"accepted:web": 2}


class Killed(BaseException):
    """The process was killed."""


class DyingState:
    """A state whose client dies at its n-th call."""

    def __init__(self, state: Redis, after: int) -> None:
        self._state = state
        self.left = after

    def __getattr__(self, name: str) -> Any:
        self.left -= 1
        if self.left < 0:
            raise Killed
        return getattr(self._state, name)


@pytest.mark.parametrize("seed", range(3))
async def test_killed_anywhere_and_repeated_it_ends_the_same(walk: Walk, seed: int) -> None:
    """Killed at every call of the state in turn, and started again each time: same people, same events, same counts."""
    rng = random.Random(seed)
    events = [
        event(
            number,
            kind=rng.choice(["track", "identify"]),
            userId=rng.choice(["lan", "hung", "null", None]),
            anonymousId=rng.choice(["d1", "d2", None]),
            traits={"phone": f"09051234{rng.randrange(10, 14)}"},
            timestamp=clock.to_text(START - rng.randrange(7_200_000)),
        )
        for number in range(30)
    ]
    events += rng.sample(events, 5)
    messages = await walk.collect(*(raw(events[n : n + 5], partition=n % 2) for n in range(0, 35, 5)))
    for message in messages:
        for after in range(0, 1_000, 3):
            dying = walk.resolver(state=DyingState(walk.state, after))
            try:
                await dying.assigned(PLACES)
                await dying.handle([message])
                break
            except Killed:
                continue
    partition = await live(walk.state, walk.settings.state.prefix)
    counts = await walk.counts()
    once = {one.id: one.anchor_id for one in await walk.resolved()}
    aside = {one.id for one in await walk.quarantined()}

    await walk.state.flushall()
    undisturbed = walk.resolver()
    await undisturbed.handle(messages)
    assert await live(walk.state, walk.settings.state.prefix) == partition
    assert await walk.counts() == counts
    assert {one.id: one.anchor_id for one in await walk.resolved()} == once
    assert {one.id for one in await walk.quarantined()} == aside


async def test_a_state_that_lost_its_last_moments_is_caught_up(walk: Walk) -> None:
    """Where less is applied than was committed, the reading starts at what is applied."""
    messages = await walk.collect(*(raw([event(n, userId=f"u{n}")]) for n in range(3)))
    resolver = walk.resolver()
    assert await resolver.assigned(PLACES) == {}
    await resolver.handle(messages[:1])
    consumer = await walk.log.consumer("resolver", [EVENTS_RAW], resolver)
    await consumer.poll(limit=100, timeout=5)
    await consumer.commit({Partition(EVENTS_RAW.name, 0): messages[2].offset + 1})
    assert await walk.resolver().assigned(PLACES) == {PLACES[0]: messages[1].offset}
    assert (await conservation.applied(walk.state, walk.settings.state.prefix))[0] == messages[1].offset
    await consumer.close()


async def test_a_state_that_is_away_is_waited_for(walk: Walk) -> None:
    """Without the state the turn fails as a passing fault, and nothing is appended."""
    from redis.asyncio import Redis as Client

    away = Client(host="127.0.0.1", port=1)
    with pytest.raises(TransientError):
        await walk.resolver(state=away).handle(await walk.collect(raw([event(1, userId="lan")])))
    await away.aclose()
    assert await walk.resolved() == []
