"""Which profile an anchor belongs to now: written by the resolver, read by whoever has events and wants people.

In the state, one key an anchor: 16 bytes in, 16 bytes out.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from redis.asyncio import Redis


def anchor_key(prefix: str, anchor_id: str) -> bytes:
    """The state's key of an anchor."""
    return b"%sa:%s" % (prefix.encode(), uuid.UUID(anchor_id).bytes)


async def profiles_of(state: Redis, prefix: str, anchor_ids: Sequence[str]) -> list[str]:
    """The current profile of each anchor, in order; an unknown anchor is its own profile."""
    if not anchor_ids:
        return []
    found = await state.mget([anchor_key(prefix, anchor_id) for anchor_id in anchor_ids])
    return [
        str(uuid.UUID(bytes=value)) if isinstance(value, bytes) else anchor_id
        for anchor_id, value in zip(anchor_ids, found, strict=True)
    ]
