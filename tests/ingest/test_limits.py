"""Tests of the limits of write keys: what is let in, what is told, and that nobody waits for Valkey."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from cdp.clock import SECOND, SystemClock
from cdp.registry import Registry
from cdp.service import Platform
from cdp.settings import CollectorSettings
from cdp.state import connect
from cdp.testing import FrozenClock
from ingest.collector import Collector
from ingest.keys import Sources
from ingest.limits import SLICES, Bucket, Limit, RateLimitedError, Rates, default_limit
from ingest.metrics import FIGURES
from ingest.service import WING
from ingest.testing import Client, ensure_source, stored
from tests.ingest.conftest import WRITE_KEY
from tests.waiting import eventually

EVENT = {"userId": "lan", "event": "Order Completed"}
# So slow that nothing comes while a test runs.
STILL = Limit(events_per_second=0.001, burst=100)


def batch(events: int) -> dict[str, Any]:
    """So many events."""
    return {"batch": [{"type": "track", **EVENT, "messageId": f"m-{number}"} for number in range(events)]}


def tried(rates: Rates, limit: Limit, events: int) -> int:
    """How many of the events are let in: all or none."""
    try:
        rates.spend("shop", WRITE_KEY, limit, events)
    except RateLimitedError:
        return 0
    return events


limits = st.builds(Limit, events_per_second=st.sampled_from([0.5, 1.0, 7.0, 1_000.0]), burst=st.integers(1, 500))
steps = st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 120)), max_size=60)


# --- one collector alone --------------------------------------------------------------------------


@given(limits, steps)
def test_no_stretch_of_time_brings_more_than_the_limit(limit: Limit, steps: list[tuple[int, int]]) -> None:
    """rate × time + burst, and of the last request what it is larger than what was left."""
    clock = FrozenClock()
    rates = Rates(None, clock, "cdp:")
    taken: list[tuple[int, int]] = []
    for wait, events in steps:
        clock.advance(wait)
        taken.append((clock.now(), tried(rates, limit, events)))
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            seconds = (taken[last][0] - taken[first][0]) / SECOND
            brought = [events for _, events in taken[first : last + 1]]
            assert sum(brought) <= limit.events_per_second * seconds + limit.most + max(brought, default=0) + 1e-6


@given(limits, steps)
def test_who_is_sent_away_and_waits_is_let_in(limit: Limit, steps: list[tuple[int, int]]) -> None:
    """`Retry-After` is no guess, and not one second too long; what is told fits together."""
    clock = FrozenClock()
    rates = Rates(None, clock, "cdp:")
    for wait, events in steps:
        clock.advance(wait)
        try:
            standing = rates.spend("shop", WRITE_KEY, limit, events)
        except RateLimitedError as error:
            assert events
            assert error.standing.remaining == 0
            clock.advance((error.standing.reset - 1) * SECOND)
            if error.standing.reset > 1:
                assert tried(rates, limit, events) == 0
            clock.advance(1 * SECOND)
            assert tried(rates, limit, events) == events
        else:
            assert 0 <= standing.remaining <= standing.limit == limit.most
            assert (standing.reset == 0) <= (standing.remaining == standing.limit)


def test_singles_are_let_in_exactly() -> None:
    """A burst of five is five; then one each half second; and after a rest five again, not more."""
    clock = FrozenClock()
    rates = Rates(None, clock, "cdp:")
    limit = Limit(events_per_second=2, burst=5)

    assert sum(tried(rates, limit, 1) for _ in range(9)) == 5
    clock.advance(500)
    assert sum(tried(rates, limit, 1) for _ in range(9)) == 1
    clock.advance(3_600_000)
    assert sum(tried(rates, limit, 1) for _ in range(9)) == 5
    clock.advance(-3_600_000)
    assert sum(tried(rates, limit, 1) for _ in range(9)) == 0, "a clock that is put back gives nothing"


def test_a_batch_larger_than_the_burst_is_paid_for_afterwards() -> None:
    """It is let in once, whole; then the key waits for as long as it was too large."""
    clock = FrozenClock()
    rates = Rates(None, clock, "cdp:")
    limit = Limit(events_per_second=10, burst=50)

    assert tried(rates, limit, 200) == 200
    with pytest.raises(RateLimitedError) as refused:
        rates.spend("shop", WRITE_KEY, limit, 1)
    assert refused.value.standing == (50, 0, 16)
    assert "10 events a second and 50 at once" in refused.value.message


def test_each_write_key_has_a_bucket_and_a_new_limit_counts_at_once() -> None:
    """So a rotation parts those who have the new key from those who go on with the old one."""
    rates = Rates(None, FrozenClock(), "cdp:")
    for source, key in (("shop", "wk_old"), ("shop", "wk_new"), ("app", "wk_new")):
        rates.spend(source, key, STILL, 100)
        with pytest.raises(RateLimitedError):
            rates.spend(source, key, STILL, 1)
    assert rates.spend("shop", "wk_old", STILL.model_copy(update={"burst": 200}), 150).remaining == 50


def test_a_burst_that_nobody_set_is_ten_seconds_worth() -> None:
    """And no limit is no limit."""
    assert Limit(events_per_second=0.25).most == 3
    assert default_limit(CollectorSettings()) is None
    assert default_limit(CollectorSettings(limit_events_per_second=50)) == Limit(events_per_second=50)
    assert default_limit(CollectorSettings(limit_events_per_second=5, limit_burst=7)) == Limit(
        events_per_second=5, burst=7
    )


# --- several collectors ---------------------------------------------------------------------------


class FakeValkey:
    """A bucket by a clock that stands still, whose answers come late when told so; or that is away."""

    def __init__(self, clock: FrozenClock, limit: Limit) -> None:
        self._clock = clock
        self._bucket = Bucket(limit, clock.now())
        self.given = 0.0
        self.away = False

    def register_script(self, _: str) -> Any:
        """The script."""
        return self._take

    async def _take(self, *, keys: list[str], args: list[float]) -> tuple[float, float]:
        await asyncio.sleep(0)
        if self.away:
            raise ConnectionError("away")
        now = self._clock.now()
        self._bucket.set(self._bucket.left(now), now)
        taken = self._bucket.take(args[2], now)
        self.given += taken
        await asyncio.sleep(0)
        return taken, self._bucket.left(self._clock.now())


moves = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from([0, 0, 0, 10, 900, 20_000]), st.integers(0, 60), st.integers(0, 4)),
    max_size=80,
)


@given(limits, moves)
async def test_together_they_let_in_what_is_stated(limit: Limit, moves: list[tuple[int, int, int, int]]) -> None:
    """rate × time + burst + a slice and a request for each collector, however late Valkey's answers come."""
    clock = FrozenClock()
    valkey: Any = FakeValkey(clock, limit)
    collectors = [Rates(valkey, clock, "cdp:") for _ in range(3)]
    start, brought, largest = clock.now(), 0, 0
    for collector, wait, events, turns in moves:
        clock.advance(wait)
        brought += tried(collectors[collector], limit, events)
        largest = max(largest, events)
        for _ in range(turns):
            await asyncio.sleep(0)
        seconds = (clock.now() - start) / SECOND
        assert valkey.given <= limit.events_per_second * seconds + limit.most + 1e-6
        each = limit.most / SLICES + largest
        assert brought <= limit.events_per_second * seconds + limit.most + len(collectors) * each + 1e-6
    for one in collectors:
        await one.stop()


@pytest.fixture
async def pair(state: Redis, clock: FrozenClock) -> AsyncIterator[list[Rates]]:
    """Two collectors at one Valkey."""
    both = [Rates(state, clock, "cdp:") for _ in range(2)]
    yield both
    for one in both:
        await one.stop()


async def test_collectors_share_a_bucket(pair: list[Rates]) -> None:
    """Together they let in the burst, to within an event each; and then each knows that it is empty."""
    brought = 0
    for _ in range(300):
        for rates in pair:
            brought += tried(rates, STILL, 1)
        await asyncio.sleep(0.001)

    assert abs(brought - STILL.most) <= len(pair)
    for rates in pair:
        with pytest.raises(RateLimitedError) as refused:
            rates.spend("shop", WRITE_KEY, STILL, 1)
        assert refused.value.standing.remaining == 0


async def test_who_waited_is_let_in_at_once(state: Redis) -> None:
    """An empty bucket is watched beside the requests: who comes back in time is not sent away for old news."""
    rates = Rates(state, SystemClock(), "cdp:")
    limit = Limit(events_per_second=50, burst=10)
    assert tried(rates, limit, 30) == 30
    assert tried(rates, limit, 1) == 0

    lease = rates._leases["shop", WRITE_KEY]
    await eventually(lambda: lease.held > 0)
    await eventually(lambda: tried(rates, limit, 1) == 1)
    await rates.stop()


async def test_a_full_bucket_leaves_no_trace(state: Redis, clock: FrozenClock) -> None:
    """A key's bucket is forgotten once it would be full again."""
    rates = Rates(state, clock, "cdp:")
    rates.spend("shop", WRITE_KEY, Limit(events_per_second=100, burst=50), 1)
    await eventually(lambda: state.exists(f"cdp:limit:shop:{WRITE_KEY}"))
    assert 0 < await state.pttl(f"cdp:limit:shop:{WRITE_KEY}") <= 1_500
    await rates.stop()


# --- Valkey is away -------------------------------------------------------------------------------


async def test_without_valkey_each_counts_alone(clock: FrozenClock) -> None:
    """Nothing fails: the limit is kept by each collector, which says so, and asks again after a second."""
    valkey: Any = FakeValkey(clock, STILL)
    rates = Rates(valkey, clock, "cdp:")
    valkey.away = True
    assert tried(rates, STILL, 1) == 1
    await eventually(FIGURES.alone)

    assert sum(tried(rates, STILL, 1) for _ in range(300)) in (99, 100)
    valkey.away = False
    clock.advance(1_000)
    tried(rates, STILL, 1)
    await eventually(lambda: not FIGURES.alone())
    assert tried(rates, STILL, 10) == 10, "and then what all share counts"
    await rates.stop()


async def test_a_valkey_that_does_not_answer_makes_nobody_wait(clock: FrozenClock) -> None:
    """A request is answered from memory; the one who waits in vain is the one who fetches tokens."""

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    client = connect(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    rates = Rates(client, clock, "cdp:")
    assert tried(rates, STILL, 1) == 1, "answered in the same turn of the loop"
    await eventually(FIGURES.alone)

    assert tried(rates, STILL, 50) == 50
    await rates.stop()
    await client.aclose()
    server.close()


# --- over HTTP ------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """The figures of no test are another's."""
    yield
    FIGURES.limited.clear()
    FIGURES.alone = bool


async def limited(registry: Registry, limit: dict[str, Any] | None) -> None:
    """Give the source `shop` a limit."""
    await registry.put("source", "shop", {**registry.get("source", "shop").body, "limit": limit})


async def test_a_sender_sees_how_it_stands(client: Client, registry: Registry, clock: FrozenClock, log: Any) -> None:
    """Limit, remaining and reset on every answer; then 429 with Retry-After, readable in pages, and nothing taken."""
    await limited(registry, {"events_per_second": 2, "burst": 10})
    reply = await client.post("/v1/batch", batch(6))
    names = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
    assert (reply.status, *(reply.headers[name] for name in names)) == (200, "10", "4", "3")
    assert (await client.post("/v1/batch", batch(4))).status == 200

    reply = await client.post("/v1/track", EVENT, {"Origin": "https://shop.vn"})
    assert (reply.status, reply.json()["code"], reply.json()["success"]) == (429, "rate_limited", False)
    assert (*(reply.headers[name] for name in names), reply.headers["retry-after"]) == ("10", "0", "1", "1")
    assert reply.headers["access-control-allow-origin"] == "https://shop.vn"
    assert {"Retry-After", "X-RateLimit-Remaining"} <= set(reply.headers["access-control-expose-headers"].split(", "))
    assert len(await stored(log)) == 10
    assert FIGURES.limited["shop"] == 1

    clock.advance(1_000)
    assert (await client.post("/v1/track", EVENT)).status == 200


async def test_bad_events_count_as_well(client: Client, registry: Registry, log: Any) -> None:
    """They cost the same to judge and to keep aside."""
    await limited(registry, {"events_per_second": 1, "burst": 5})
    assert (await client.post("/v1/batch", {"batch": [{}] * 5})).status == 200
    assert (await client.post("/v1/track", EVENT)).status == 429
    assert (await client.post("/v1/batch", {"batch": []})).status == 200, "nothing costs nothing"


async def test_one_source_does_not_slow_another(client: Client, registry: Registry, clock: FrozenClock) -> None:
    """The limit of one leaves the other as it is; without a limit there are no such headers."""
    await ensure_source(registry, "wk_other_source", "test", clock=clock, key="other")
    await limited(registry, {"events_per_second": 1, "burst": 1})
    other = Client(client._app, "wk_other_source")

    assert [(await client.post("/v1/track", EVENT)).status for _ in range(3)] == [200, 429, 429]
    reply = await other.post("/v1/batch", batch(50))
    assert (reply.status, "x-ratelimit-limit" in reply.headers) == (200, False)
    await limited(registry, None)
    assert (await client.post("/v1/track", EVENT)).status == 200


async def test_an_installation_may_limit_every_source(ground: Platform, registry: Registry, clock: FrozenClock) -> None:
    """A setting holds for sources that say nothing; one that says something has its own."""
    collector = ground.settings.collector.model_copy(update={"limit_events_per_second": 1.0, "limit_burst": 2})
    settings = ground.settings.model_copy(update={"collector": collector})
    client = Client(Collector(dataclasses.replace(ground, settings=settings)), WRITE_KEY)

    assert [(await client.post("/v1/track", EVENT)).status for _ in range(3)] == [200, 200, 429]
    await limited(registry, {"events_per_second": 1, "burst": 50})
    assert (await client.post("/v1/batch", batch(50))).status == 200


async def test_image_requests_are_limited_too(client: Client, registry: Registry) -> None:
    """Whatever door a write key comes in by; the image stays an image."""
    await limited(registry, {"events_per_second": 1, "burst": 1})
    query = f"/pixel/v1/track?writeKey={WRITE_KEY}&userId=lan&event=Opened"
    replies = [await client.ask("GET", query) for _ in range(2)]
    assert [(reply.status, reply.headers["content-type"]) for reply in replies] == [
        (200, "image/gif"),
        (429, "image/gif"),
    ]


@pytest.mark.parametrize("limit", [{}, {"events_per_second": 0}, {"events_per_second": 5, "burst": 0}, {"burst": 5}, 5])
def test_a_limit_that_is_none_is_refused(limit: Any) -> None:
    """A rate is needed, above zero."""
    with pytest.raises(ValueError, match="validation error"):
        Limit.model_validate(limit)


async def test_the_collector_shares_limits_where_there_is_a_state(platform: Platform, ground: Platform) -> None:
    """It runs without, and takes what another role or a server offers."""
    assert WING.roles["collector"].borrows == {"state"}
    assert Collector(ground)._rates._take is None
    assert Collector(platform)._rates._take is not None


def test_sources_without_a_limit_pay_a_look(registry: Registry, clock: FrozenClock) -> None:
    """There is nothing to count: no limit in force is None."""
    assert [held.source.limit for held in Sources(registry, clock)._held.values()] == []
