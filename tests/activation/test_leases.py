"""Leases and who should have them."""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from activation.leases import Lease, Presence, preferred
from tests.waiting import eventually


async def test_one_has_it_until_it_ends(state: Redis) -> None:
    """Holding is exclusive, renewable, and ends by itself or when given back."""
    ours, theirs = Lease(state, "l", "us", 0.3), Lease(state, "l", "them", 0.3)

    assert await ours.hold() and not await theirs.hold()
    assert await ours.hold()
    await theirs.release()
    assert not await theirs.hold()
    await eventually(theirs.hold)
    assert not await ours.hold()
    await theirs.release()
    assert await ours.hold()


async def test_the_dead_are_not_counted(state: Redis) -> None:
    """Who says nothing for a while lives no longer; who leaves, at once."""
    one, two = Presence(state, "p:", "one", 0.3), Presence(state, "p:", "two", 0.3)
    await one.attend()
    assert await two.attend() == ["one", "two"]
    await asyncio.sleep(0.35)
    assert await two.attend() == ["two"]
    await one.attend()
    await one.leave()
    assert await two.attend() == ["two"]


names = st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=6, unique=True)


@given(names, st.text(max_size=8))
def test_everybody_prefers_the_same(dispatchers: list[str], destination: str) -> None:
    """The order of the names does not matter, and who is not preferred may go without any change."""
    chosen = preferred(destination, dispatchers)

    assert chosen == preferred(destination, reversed(dispatchers))
    for other in set(dispatchers) - {chosen}:
        assert preferred(destination, [name for name in dispatchers if name != other]) == chosen
    assert preferred(destination, []) == ""


def test_destinations_spread() -> None:
    """Of a thousand destinations each of four dispatchers has a fair part."""
    share = Counter(preferred(f"hook-{number}", ["a", "b", "c", "d"]) for number in range(1000))

    assert all(200 < count < 300 for count in share.values())
