"""What is kept of profiles is never older than what was stored, whatever readers and loaders do at the same time."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from cdp.cache import LARGEST, LASTS, Cache, Found

LAN, HUNG = (str(uuid.UUID(int=n)) for n in (1, 2))


@pytest.fixture
def cache(state: Redis) -> Cache:
    """A cache on this test's state."""
    return Cache(state, "test:", seconds=60, stamp="rules")


async def test_what_was_kept_is_found_until_something_is_stored(cache: Cache) -> None:
    """A lease lets content be kept; a hold and its release take it away, for these profiles alone."""
    for profile, content in ((LAN, b"lan"), (HUNG, b"!?=")):
        found = await cache.find(profile)
        assert (found.content, bool(found.lease)) == (None, True)
        await cache.keep(profile, found.lease, content)
    assert await cache.find(LAN) == Found(b"lan")
    await cache.hold([LAN])
    await cache.release([LAN])

    assert (await cache.find(LAN)).content is None
    assert await cache.find(HUNG) == Found(b"!?=")


async def test_what_was_read_before_an_insert_is_not_kept_after_it(cache: Cache) -> None:
    """A lease from before a hold is worth nothing, and while it is held there is none to be had."""
    before = await cache.find(LAN)
    await cache.hold([LAN])
    assert await cache.find(LAN) == Found(None)
    await cache.keep(LAN, before.lease, b"old")
    await cache.keep(LAN, b"", b"old")
    await cache.release([LAN])
    await cache.keep(LAN, before.lease, b"old")

    assert (await cache.find(LAN)).content is None


async def test_the_last_of_several_loaders_takes_away_what_was_kept_since(cache: Cache) -> None:
    """Two store something about one profile: what was read between their inserts does not stay."""
    await cache.hold([LAN])
    await cache.hold([LAN, HUNG])
    await cache.release([LAN])
    between = await cache.find(LAN)
    await cache.keep(LAN, between.lease, b"of the first")
    assert await cache.find(HUNG) == Found(None)
    await cache.release([LAN, HUNG])
    assert (await cache.find(LAN)).content is None


async def test_what_was_read_in_another_way_does_not_count(state: Redis, cache: Cache) -> None:
    """Under another stamp, or where nothing is to be kept, the warehouse is asked."""
    await cache.keep(LAN, (await cache.find(LAN)).lease, b"lan")
    assert await Cache(state, "test:").find(LAN) == Found(None)
    assert (await Cache(state, "test:", seconds=60, stamp="rule").find(LAN)).content is None
    large = await cache.find(LAN)
    await cache.keep(LAN, large.lease, bytes(LARGEST + 1))
    assert (await cache.find(LAN)).content is None


async def test_many_are_held_at_once_and_what_a_dead_process_held_passes(state: Redis, cache: Cache) -> None:
    """A turn may be about thousands of profiles; a hold that nobody released is believed for a while only."""
    many = [str(uuid.UUID(int=n)) for n in range(2_500)]
    await cache.hold(many)
    assert await state.dbsize() == len(many)
    await cache.release(many[1:])
    [key] = await state.keys()
    assert await state.ttl(key) == -1
    for _ in range(2):
        assert await cache.find(many[0]) == Found(None)
        assert 0 < await state.ttl(key) <= LASTS
        await state.expire(key, LASTS // 2)
    assert await state.ttl(key) <= LASTS // 2
    await cache.release([])


@dataclass
class World:
    """A warehouse that is a number, loaders that raise it, readers that keep it."""

    cache: Cache
    stored: int = 0
    settled: int = 0  # what was stored when no loader was at work
    holds: set[int] = field(default_factory=set)
    inserted: set[int] = field(default_factory=set)
    leases: dict[int, tuple[bytes, int | None]] = field(default_factory=dict)

    async def load(self, loader: int) -> None:
        """The next step of a loader: hold, insert, release."""
        if loader not in self.holds:
            await self.cache.hold([LAN])
            self.holds.add(loader)
        elif loader not in self.inserted:
            self.stored += 1
            self.inserted.add(loader)
        else:
            await self.cache.release([LAN])
            self.holds.remove(loader)
            self.inserted.remove(loader)
            if not self.holds:
                self.settled = self.stored

    async def read(self, reader: int) -> None:
        """The next step of a reader: find, read the warehouse, keep."""
        if reader not in self.leases:
            found = await self.cache.find(LAN)
            if found.content is None:
                self.leases[reader] = found.lease, None
                return
            content = int(found.content)
            assert content >= self.settled
            # With one loader at work, not even between its insert and its release.
            assert content == self.stored or len(self.holds) > 1 or self.overlapped
        elif self.leases[reader][1] is None:
            self.leases[reader] = self.leases[reader][0], self.stored
        else:
            lease, read = self.leases.pop(reader)
            await self.cache.keep(LAN, lease, b"%d" % (read or 0))

    overlapped: bool = False


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["load", "read"]), st.integers(0, 1)), max_size=40))
async def test_no_interleaving_shows_less_than_was_stored(
    state: Redis, cache: Cache, steps: list[tuple[str, int]]
) -> None:
    """What is found was stored when the last loader was done, or later; with one loader it is all that is stored."""
    await state.flushall()
    world = World(cache)
    for kind, who in steps:
        await (world.load(who) if kind == "load" else world.read(who))
        world.overlapped = bool(world.holds) and (world.overlapped or len(world.holds) > 1)
