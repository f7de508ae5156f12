"""What a process remembers in front of the graph: it saves work, and never changes what comes out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw
from redis.asyncio import Redis

from cdp.clock import MINUTE
from cdp.records import RawBatch, encode
from cdp.state import Outbox
from cdp.testing import START, FrozenClock, accepted_event
from identity import keys
from identity.dedupe import Taken
from identity.extract import Extracted, Extractor
from identity.facts import Facts
from identity.graph import Graph
from identity.observations import Anchor
from identity.policy import Policy
from identity.rebuild import live_owners
from identity.recall import Recall
from identity.succession import ProfileId
from identity.testing import live

Said = tuple[Taken, Extracted]

EXTRACTOR = Extractor(Policy())


def said(number: int = 0, *, minute: int = 0, phone: str = "", **body: Any) -> Said:
    """An event, extracted; `minute` is when it happened."""
    if phone:
        body |= {"type": "identify", "traits": Raw(encode({"phone": phone}))}
    event = accepted_event(body, f"m-{number}")
    event.timestamp = None
    taken = Taken(0, 0, number, event, RawBatch("web", "trace", START + minute * MINUTE, [event]))
    found = EXTRACTOR.extract(event, taken.batch)
    assert isinstance(found, Extracted)
    return taken, found


class Process:
    """A process that lets one graph know events, with a memory in front of it or without."""

    def __init__(self, state: Redis, prefix: str, *, most: int | None = None) -> None:
        self.graph = Graph(state, prefix, Policy(limit=2), FrozenClock(), partitions=4)
        self.outbox = Outbox(state, f"{prefix}outbox")
        self.recall = Recall(self.graph, most=most or 1)
        self.remembers = most is not None

    async def hear(self, events: Iterable[Said]) -> tuple[Facts, dict[Anchor, ProfileId]]:
        """As the resolver does. Returns what the graph was told, and whose the events are."""
        events = list(events)
        if not self.remembers:
            self.recall.forget()
        profiles = await self.recall.profiles(found.anchor for _, found in events)
        facts = self.recall.news(events, profiles if self.remembers else {})
        if facts:
            profiles |= await self.graph.add(facts, self.outbox)
        self.recall.learn(facts)
        return facts, profiles


turns = st.lists(
    st.tuples(
        st.integers(0, 1),  # which process
        st.lists(
            st.fixed_dictionaries(
                {
                    "minute": st.sampled_from([0, 5, 20, 31, 62, 95, 400, 800]),
                    "userId": st.sampled_from([None, "lan", "hung", "my"]),
                    "anonymousId": st.sampled_from(["d1", "d2"]),
                    "phone": st.sampled_from(["", "", "0905123410", "0905123411"]),
                }
            ),
            min_size=1,
            max_size=4,
        ),
    ),
    max_size=12,
)


async def devices(state: Redis, prefix: str) -> dict[bytes, Any]:
    """Everything that is known of devices, but in which order it came."""
    found: dict[bytes, Any] = {}
    async for key in state.scan_iter(match=f"{prefix}id:*"):
        fields: Any = await state.hgetall(key)
        everyone = sorted(keys.anchors(fields.pop(keys.EVERYONE, b"")))
        found[key.removeprefix(prefix.encode())] = everyone, {f: keys.decode_slice(v) for f, v in fields.items()}
    return found


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(turns, st.sampled_from([1, 2, 100]))
async def test_two_that_remember_end_as_one_that_does_not(state: Redis, turns: list[Any], most: int) -> None:
    """Whatever repeats, in whatever order, and however little fits: the same people, ids and devices."""
    await state.flushall()
    left, right = "left:", "right:"
    two = [Process(state, left, most=most) for _ in range(2)]
    one = Process(state, right)
    for number, described in turns:
        events = [said(**each) for each in described]
        await two[number].hear(events)
        await one.hear(events)
        anchors = [found.anchor for _, found in events]
        assert await two[number].recall.profiles(anchors) == await one.recall.profiles(anchors)
    assert await live(state, left) == await live(state, right)
    assert await live_owners(state, left) == await live_owners(state, right)
    assert await devices(state, left) == await devices(state, right)


async def test_a_repeat_costs_one_look_up(state: Redis, prefix: str) -> None:
    """What is known is asked for once, in one call, and nothing else is done."""
    process = Process(state, prefix, most=100)
    events = [said(1, userId="lan", anonymousId="d1"), said(2, anonymousId="d2"), said(3, userId="hung")]
    await process.hear(events)
    before: Any = await state.info("commandstats")
    facts, profiles = await process.hear(events)
    after: Any = await state.info("commandstats")
    assert not facts
    assert len(profiles) == 3
    calls = {name: of["calls"] - before.get(name, {"calls": 0})["calls"] for name, of in after.items()}
    assert {name: count for name, count in calls.items() if count} == {"cmdstat_mget": 1, "cmdstat_info": 1}


async def test_an_earlier_moment_is_news(state: Redis, prefix: str) -> None:
    """A device was used before the graph knew: that is told, and remembered."""
    process = Process(state, prefix, most=100)
    late, early = (said(n, minute=minute, userId="lan", anonymousId="d1") for n, minute in ((1, 20), (2, 5)))
    for event, told in ((late, True), (early, True), (late, False), (early, False)):
        facts, _ = await process.hear([event])
        assert bool(facts.visits) is told


async def test_what_an_alias_names_is_remembered_too(state: Redis, prefix: str) -> None:
    """Both devices of an alias call are told once."""
    process = Process(state, prefix, most=100)
    event = said(1, type="alias", userId="lan", previousId="d9", anonymousId="d1")
    assert len((await process.hear([event]))[0].visits) == 2
    assert not (await process.hear([event]))[0]


async def test_whose_an_anchor_is_is_never_remembered(state: Redis, prefix: str) -> None:
    """Another process merged: the next repeat says so."""
    mine, other = Process(state, prefix, most=100), Process(state, prefix, most=100)
    lan = said(1, userId="lan")
    number = said(2, phone="0905123410")
    _, before = await mine.hear([lan, number])
    await other.hear([said(3, userId="lan", phone="0905123410")])
    facts, after = await mine.hear([lan, number])
    assert not facts
    assert (len(set(before.values())), len(set(after.values()))) == (2, 1)


async def test_a_state_that_lost_its_last_moments_is_told_again(state: Redis, prefix: str) -> None:
    """Where the state counts fewer changes than it did, nothing that was remembered is believed."""
    process = Process(state, prefix, most=100)
    await process.hear([said(1, userId="lan", anonymousId="d1")])
    saved = {key: await state.dump(key) or b"" async for key in state.scan_iter(match=f"{prefix}*")}
    later = said(2, minute=90, userId="lan", anonymousId="d1")
    await process.hear([later])
    await state.flushall()
    for key, value in saved.items():
        await state.restore(key, 0, value)
    facts, _ = await process.hear([later])
    assert facts.visits
