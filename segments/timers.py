"""Timers: when time alone may change the segments of a profile, so that it is looked at again at that moment."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline


class Timers:
    """The timers of one partition: a sorted set of profiles by moment (ms). `earliest` is never too late."""

    def __init__(self, state: Redis, key: str) -> None:
        self._state = state
        self._key = key
        self.earliest: int | None = None

    async def load(self) -> None:
        """Look up when the earliest rings."""
        first = await self._state.zrange(self._key, 0, 0, withscores=True)
        self.earliest = int(first[0][1]) if first else None

    async def due(self, now: int, *, limit: int) -> list[str]:
        """Profiles whose timer rings at this moment or has rung before."""
        if self.earliest is None or self.earliest > now:
            return []
        found = await self._state.zrange(self._key, "-inf", str(now), byscore=True, offset=0, num=limit)
        return [str(uuid.UUID(bytes=member)) for member in found if isinstance(member, bytes)]

    def set(self, transaction: Pipeline, due: Mapping[str, int | None], *, only_sooner: bool = False) -> None:
        """Set each profile's timer, or stop it (None). With `only_sooner` no timer is put off or stopped."""
        ringing = {uuid.UUID(profile_id).bytes: moment for profile_id, moment in due.items() if moment is not None}
        if ringing:
            transaction.zadd(self._key, ringing, lt=only_sooner)
            soonest = min(ringing.values())
            self.earliest = soonest if self.earliest is None else min(self.earliest, soonest)
        silent = [uuid.UUID(profile_id).bytes for profile_id, moment in due.items() if moment is None]
        if silent and not only_sooner and self.earliest is not None:
            transaction.zrem(self._key, *silent)
