"""Whose an anchor is now: written by the resolver, read by whoever has events and wants people.

In the state, one key an anchor: its profile's id (16 bytes), and after it the id of the person in the surer view where
that is another one.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import NamedTuple

from redis.asyncio import Redis

ID = 16  # bytes


class Owner(NamedTuple):
    """Whose an anchor is: the likely profile, and the sure person who is a part of it."""

    profile_id: str
    sure_id: str


def anchor_key(prefix: str, anchor_id: str) -> bytes:
    """The state's key of an anchor."""
    return b"%sa:%s" % (prefix.encode(), uuid.UUID(anchor_id).bytes)


def pack_owner(profile: bytes, sure: bytes) -> bytes:
    """What is kept under the key: ids of 16 bytes in, 16 or 32 bytes out."""
    return profile if sure == profile else profile + sure


async def owners_of(state: Redis, prefix: str, anchor_ids: Sequence[str]) -> list[Owner]:
    """Whose each anchor is now, in order; an unknown anchor is its own."""
    if not anchor_ids:
        return []
    found = await state.mget([anchor_key(prefix, anchor_id) for anchor_id in anchor_ids])
    return [
        _owner(value) if isinstance(value, bytes) else Owner(anchor_id, anchor_id)
        for anchor_id, value in zip(anchor_ids, found, strict=True)
    ]


async def profiles_of(state: Redis, prefix: str, anchor_ids: Sequence[str]) -> list[str]:
    """The likely profile of each anchor now, in order; an unknown anchor is its own."""
    return [owner.profile_id for owner in await owners_of(state, prefix, anchor_ids)]


def _owner(packed: bytes) -> Owner:
    profile_id = str(uuid.UUID(bytes=packed[:ID]))
    return Owner(profile_id, str(uuid.UUID(bytes=packed[ID:])) if len(packed) > ID else profile_id)
