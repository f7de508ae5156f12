"""Conservation: accepted = stored + duplicate + quarantined + suppressed + filtered + in flight, at every step."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import chain, repeat
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from cdp import conservation
from cdp.conservation import SourceCounts
from cdp.records import (
    QuarantinedBatch,
    QuarantinedEvent,
    RawBatch,
    ResolvedBatch,
    ResolvedEvent,
    encode,
)
from cdp.service import Platform
from cdp.streams.base import Consumer, Draft, Message, Partition
from cdp.testing import accepted_event
from cdp.topics import EVENTS_QUARANTINED, EVENTS_RAW, EVENTS_RESOLVED, Topic
from cdp.warehouse.loader import READS, Loader

ANCHOR = "00000000-0000-4000-8000-000000000001"


class Follower:
    """Takes each partition from where the group left it."""

    async def assigned(self, places: Sequence[Partition]) -> Mapping[Partition, int]:
        """From the committed offsets."""
        return {}

    async def revoked(self, places: Sequence[Partition]) -> None:
        """Nothing to finish."""


class Walk:
    """Events on their way, step by step: what collector, resolver and loader do, each with its consumer group."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self._prefix = platform.settings.state.prefix
        self._loader = Loader(platform.log, platform.warehouse, platform.state, self._prefix, pace=0)
        self._consumers: dict[str, Consumer] = {}

    async def collect(self, source: str, events: int) -> None:
        """Events are accepted."""
        batch = RawBatch(source, "t", 0, [accepted_event({}, f"m{n}") for n in range(events)])
        await self._append(EVENTS_RAW, encode(batch), events, source)

    async def set_aside(self, source: str, event_id: str, status: str = "quarantined") -> None:
        """An event is kept aside, or what became of it is told."""
        event = QuarantinedEvent(event_id, source, "t", 1, "invalid", "", "", status=status)  # type: ignore[arg-type]
        event.changed_at = 1 if status == "quarantined" else 2
        await self._append(EVENTS_QUARANTINED, encode(QuarantinedBatch([event])), 1, source)

    async def resolve(self, fates: Sequence[str] = ()) -> None:
        """The next messages of events.raw are taken; each event's fate is the next in the list, at last `stored`."""
        consumer, messages = await self._poll("resolver", [EVENTS_RAW])
        ahead = chain(fates, repeat("stored"))
        for message in messages:
            await self._resolve(message, [next(ahead) for _ in range(message.records)])
        await consumer.commit({message.place: message.offset + 1 for message in messages})

    async def _resolve(self, message: Message, fates: Sequence[str]) -> None:
        prefix, partition, offset, source = self._prefix, message.partition, message.offset, message.source
        tally = {fate: {source: fates.count(fate)} for fate in ("duplicate", "suppressed", "filtered")}
        set_aside = [index for index, fate in enumerate(fates) if fate == "set aside"]
        passed = [(index, fate) for index, fate in enumerate(fates) if fate in ("stored", "refused")]
        async with self.platform.state.pipeline(transaction=True) as transaction:
            accepted = {source: len(fates) - len(set_aside)}
            conservation.count(transaction, prefix, partition, offset + 1, accepted=accepted, **tally)
            await transaction.execute()
        for index in set_aside:
            await self.set_aside(source, f"{partition}-{offset}-{index}")
        # What the loader will not get into the warehouse: a moment beyond all moments.
        events = [self._event(offset, index, source, 10**21 if fate == "refused" else 1) for index, fate in passed]
        await self._append(EVENTS_RESOLVED, encode(ResolvedBatch(events)), len(events), source)

    async def load(self) -> None:
        """What waits for the loader is stored."""
        consumer, messages = await self._poll("loader", READS)
        if messages:
            await self._loader.handle(messages)
        await consumer.commit({message.place: message.offset + 1 for message in messages})

    async def counts(self) -> dict[str, SourceCounts]:
        """The counts by source."""
        return {each.source: each for each in await conservation.counts(self.platform)}

    async def close(self) -> None:
        """Leave the groups."""
        for consumer in self._consumers.values():
            await consumer.close()

    async def _append(self, topic: Topic, value: bytes, records: int, source: str) -> None:
        await self.platform.log.append([Draft(topic.name, 0, value, records, source)])

    async def _poll(self, group: str, topics: Sequence[Topic]) -> tuple[Consumer, list[Message]]:
        if group not in self._consumers:
            self._consumers[group] = await self.platform.log.consumer(group, topics, Follower())
        return self._consumers[group], await self._consumers[group].poll(limit=1_000, timeout=0.05)

    def _event(self, offset: int, index: int, source: str, at: int) -> ResolvedEvent:
        return ResolvedEvent(offset, index, source, "t", 1, f"{offset}-{index}", "track", at, ANCHOR, ANCHOR)


@pytest.fixture
async def walk(platform: Platform) -> AsyncIterator[Walk]:
    """A walk on fresh parts."""
    begun = Walk(platform)
    yield begun
    await begun.close()


async def test_every_step_of_the_walk_keeps_the_sum(walk: Walk) -> None:
    """An event is in flight until it is stored, dropped or set aside, and counted in exactly one place."""
    await walk.collect("web", 6)
    await walk.set_aside("web", "q1")
    before = (await walk.counts())["web"]
    assert (before.accepted, before.in_flight, before.difference) == (7, 7, 0)

    await walk.resolve(["stored", "duplicate", "set aside", "suppressed", "filtered", "refused"])
    resolved = (await walk.counts())["web"]
    assert (resolved.accepted, resolved.in_flight, resolved.difference) == (7, 4, 0)

    await walk.load()
    await walk.load()  # what the loader set aside itself
    await walk.set_aside("web", "q1", "replayed")
    await walk.collect("pos", 1)
    await walk.load()

    assert await walk.counts() == {
        "web": SourceCounts("web", 7, 1, 1, 3, 1, 1, 0, 0),
        "pos": SourceCounts("pos", 1, 0, 0, 0, 0, 0, 1, 0),
    }


fates = st.lists(st.sampled_from(["stored", "stored", "duplicate", "set aside", "suppressed", "filtered", "refused"]))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("collect"), st.sampled_from(["web", "pos"]), st.integers(1, 4)),
        st.tuples(st.just("set_aside"), st.sampled_from(["web", "pos"]), st.sampled_from(["q1", "q2"])),
        st.tuples(st.just("resolve"), fates),
        st.tuples(st.just("load")),
    ),
    max_size=12,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
async def test_no_order_of_steps_breaks_the_sum(walk: Walk, steps: list[tuple[Any, ...]]) -> None:
    """Whatever step comes next, nothing is missing and nothing counts twice once it is done."""
    for name, *arguments in steps:
        await getattr(walk, name)(*arguments)
        # The loader may have set something aside of its own: it waits on the log and lies in the warehouse already.
        assert {each.difference for each in (await walk.counts()).values()} <= {0}


async def test_nothing_is_counted_twice(state: Redis) -> None:
    """A transaction that does not go beyond what was applied counts nothing, however often it is repeated."""

    async def count(next_offset: int, events: int) -> None:
        async with state.pipeline(transaction=True) as transaction:
            conservation.count(transaction, "p:", 3, next_offset, accepted={"web": events})
            await transaction.execute()

    for next_offset, events in ((5, 10), (5, 10), (3, 4), (8, 1), (5, 10)):
        await count(next_offset, events)

    assert await conservation.applied(state, "p:") == {3: 8}
    assert await state.hgetall("p:conservation:counts") == {b"accepted:web": b"11"}


async def test_a_source_is_shown_before_its_first_event(walk: Walk) -> None:
    """Every defined source has its row, so that a missing one is seen."""
    await walk.platform.registry.put("source", "shop", {"name": "Shop"})

    assert await walk.counts() == {"shop": SourceCounts("shop", 0, 0, 0, 0, 0, 0, 0, 0)}


async def test_prometheus_gets_every_outcome(walk: Walk) -> None:
    """One figure per source and outcome and one difference per source; a second reading within a second is the same."""
    await walk.collect("web", 2)
    events, differences = await conservation.figures(walk.platform)
    await walk.collect("web", 2)
    again, _ = await conservation.figures(walk.platform)

    found = {sample.labels["outcome"]: sample.value for sample in events.samples}
    assert found == {
        "accepted": 2,
        "stored": 0,
        "duplicate": 0,
        "quarantined": 0,
        "suppressed": 0,
        "filtered": 0,
        "in_flight": 2,
    }
    assert (events.name, differences.name) == ("cdp_events_total", "cdp_conservation_difference")
    assert [sample.value for sample in differences.samples] == [0]
    assert events.samples == again.samples
