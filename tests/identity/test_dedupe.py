"""Dedupe: the same message at another place is a duplicate, at the same place a replay."""

from __future__ import annotations

from redis.asyncio import Redis

from identity.dedupe import Memory, Sighting
from identity.keys import Keys


def seen(message: str, offset: int = 0, number: int = 0, *, source: str = "web", partition: int = 0) -> Sighting:
    """A message at a place."""
    return Sighting(source, message, partition, offset, number)


async def test_a_message_counts_once(state: Redis, prefix: str) -> None:
    """The first place of a message is remembered; there it may be read again, anywhere else it is a duplicate."""
    memory = Memory(state, Keys(prefix), 7)
    assert await memory.duplicates([seen("a"), seen("b"), seen("a", number=1)]) == [False, False, True]
    assert await memory.duplicates([seen("a"), seen("a", 1), seen("a", partition=1)]) == [False, True, True]
    assert await Memory(state, Keys(prefix), 7).duplicates([seen("a"), seen("a", 5)]) == [False, True]
    assert await memory.duplicates([]) == []


async def test_sources_do_not_meet(state: Redis, prefix: str) -> None:
    """Two sources may use the same message ids, whatever signs are in them."""
    memory = Memory(state, Keys(prefix), 7)
    assert await memory.duplicates([seen("a", source="web"), seen("a", source="pos")]) == [False, False]
    assert await memory.duplicates([seen("\ud800\x00é"), seen("\ud800\x00é", 1)]) == [False, True]


async def test_memory_ends(state: Redis, prefix: str) -> None:
    """A message is forgotten after the days of the setting."""
    memory = Memory(state, Keys(prefix), 0.5)
    await memory.duplicates([seen("a")])
    [key] = [key async for key in state.scan_iter(match=f"{prefix}im:*")]
    assert 43_000 < await state.ttl(key) <= 43_200
